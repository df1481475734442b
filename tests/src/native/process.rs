//! chukka as a process without a terminal.
#![expect(unsafe_code, reason = "close(2) and fcntl(2) have no safe form")]

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LIMIT;
use super::collect::Collected;
use super::scratch::Scratch;
use super::start::{Input, Output, Start};
use crate::sys::{self, Watch};

/// A running chukka. Dropping it kills the process.
#[derive(Debug)]
pub struct Chukka {
    child: Child,
    input: Option<ChildStdin>,
    stdout: Option<Collected>,
    stderr: Option<Collected>,
    started: Instant,
    _unread: Option<PipeReader>,
    _files: (Option<Arc<Scratch>>, Option<Scratch>),
}

/// A chukka that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, if collected.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
    /// How long it ran.
    pub elapsed: Duration,
}

impl Ended {
    /// Its exit status. `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Chukka {
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub(super) fn start(start: &Start) -> Self {
        Self::try_start(start).unwrap_or_else(|error| panic!("{:?}: {error}", start.words))
    }

    fn try_start(start: &Start) -> io::Result<Self> {
        let (mut command, copy) = start.command();
        command.process_group(0);
        match &start.input {
            Input::Null => command.stdin(Stdio::null()),
            Input::Pipe => command.stdin(Stdio::piped()),
            Input::File(path) => command.stdin(File::open(path)?),
            Input::Closed => close(&mut command, 0),
        };
        let mut unread = None;
        match start.output {
            Output::Collected => command.stdout(Stdio::piped()),
            Output::Closed => close(&mut command, 1),
            Output::Full => {
                let (reader, writer) = full_pipe()?;
                unread = Some(reader);
                command.stdout(writer)
            }
            Output::Broken => command.stdout(io::pipe()?.1),
        };
        start.confinement.apply(&mut command);
        sys::die_with_parent_thread(&mut command);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let collect = |fd: OwnedFd| Collected::from(File::from(fd));
        let stdout = child.stdout.take().map(|out| collect(out.into()));
        let stderr = child.stderr.take().map(|err| collect(err.into()));
        let input = child.stdin.take();
        let files = (start.scratch.clone(), copy);
        Ok(Self { child, input, stdout, stderr, started, _unread: unread, _files: files })
    }

    /// Its process.
    ///
    /// # Panics
    /// If the number makes no sense.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    /// If that is no pipe, or closed.
    pub fn send(&mut self, bytes: &[u8]) {
        assert!(self.try_send(bytes), "cannot send {bytes:?}");
    }

    /// Sends it bytes, and returns whether it still takes any.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.input.as_mut().is_some_and(|input| input.write_all(bytes).is_ok())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, signal: i32) {
        let sent = sys::kill(self.pid(), signal);
        assert!(sent.is_ok(), "signal {signal}: {sent:?}");
    }

    /// Waits until it has printed `text` on standard output.
    ///
    /// # Panics
    /// If it does not, in [`LIMIT`].
    pub fn wait_for(&self, text: &str) {
        self.wait_for_within(text, LIMIT);
    }

    /// Waits until it has printed `text` on standard output, up to a time limit.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_for_within(&self, text: &str, limit: Duration) {
        let came = self.stdout.as_ref().is_some_and(|out| out.wait_for(text.as_bytes(), limit));
        assert!(came, "{text:?} did not come\n{}", self.said());
    }

    /// Waits until it has printed `text` on standard error.
    ///
    /// # Panics
    /// If it does not, in [`LIMIT`].
    pub fn wait_for_error(&self, text: &str) {
        self.wait_for_error_within(text, LIMIT);
    }

    /// Waits until it has printed `text` on standard error, up to a time limit.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_for_error_within(&self, text: &str, limit: Duration) {
        let came = self.stderr.as_ref().is_some_and(|err| err.wait_for(text.as_bytes(), limit));
        assert!(came, "{text:?} did not come on standard error\n{}", self.said());
    }

    /// Waits until it waits for room in the pipe that its output goes to.
    ///
    /// # Panics
    /// If that does not happen in [`LIMIT`].
    pub fn wait_until_it_waits_to_write(&self) {
        while !waits_to_write(self.pid()) {
            assert!(self.started.elapsed() < LIMIT, "it never waits to write\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many bytes it has printed on standard output so far.
    #[must_use]
    pub fn printed(&self) -> usize {
        self.stdout.as_ref().map_or(0, |out| out.bytes().len())
    }

    /// What it has printed on standard error so far.
    #[must_use]
    pub fn error_text(&self) -> String {
        let bytes = self.stderr.as_ref().map(|err| err.bytes()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has a file mapped.
    #[must_use]
    pub fn maps(&self, path: &Path) -> bool {
        super::maps(self.pid(), path)
    }

    /// Whether a vCPU runs. Those of a guest that is paused or has ended do not.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn runs_vcpus(&self) -> bool {
        super::runs_vcpus(self.pid())
    }

    /// Waits until it has opened a file.
    ///
    /// # Panics
    /// If that does not happen in [`LIMIT`].
    pub fn wait_until_it_has_opened(&self, path: &Path) {
        while !super::has_open(self.pid(), path) {
            assert!(self.started.elapsed() < LIMIT, "it never opens it\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The end of its output so far, for a test that fails.
    fn said(&self) -> String {
        let tail = |stream: &Option<Collected>| stream.as_ref().map(Collected::tail);
        format!("stdout: {:?}\nstderr: {:?}", tail(&self.stdout), tail(&self.stderr))
    }

    /// Waits for its end, of all of its processes.
    ///
    /// # Panics
    /// If it does not end in [`LIMIT`], or leaves a process behind.
    #[must_use]
    pub fn wait(self) -> Ended {
        self.wait_within(LIMIT)
    }

    /// The same, at most so long after it was started.
    ///
    /// # Panics
    /// If it does not end, or leaves a process behind.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn wait_within(mut self, limit: Duration) -> Ended {
        let (status, elapsed) = self
            .wait_in_time(limit)
            .unwrap_or_else(|error| panic!("it does not end: {error}\n{}", self.said()));
        let is_left = || sys::kill(-self.pid(), 0).is_ok();
        // Killed, it cannot wait for the process that reads a location: the kernel ends that.
        let killed = status.signal() == Some(libc::SIGKILL);
        let patience = Instant::now() + Duration::from_secs(if killed { 5 } else { 0 });
        while is_left() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_left(), "a process of its group is left");
        let stderr = self.stderr.take().map(Collected::finish).unwrap_or_default();
        Ended {
            status,
            stdout: self.stdout.take().map(Collected::finish).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            elapsed,
        }
    }

    fn wait_in_time(&mut self, limit: Duration) -> io::Result<(ExitStatus, Duration)> {
        let ended = sys::pidfd(self.pid())?;
        while !sys::poll(&[Watch::read(Some(ended.as_fd()))], Some(Duration::from_secs(1)))?[0] {
            if self.started.elapsed() > limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        let elapsed = self.started.elapsed();
        Ok((self.child.wait()?, elapsed))
    }
}

impl Drop for Chukka {
    fn drop(&mut self) {
        // It has mostly ended already, and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether one of its threads waits in write(2), system call 1.
pub(super) fn waits_to_write(pid: i32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    tasks.into_iter().flatten().flatten().any(|task| {
        std::fs::read_to_string(task.path().join("syscall"))
            .is_ok_and(|call| call.starts_with("1 "))
    })
}

/// A pipe without room for a byte.
pub(super) fn full_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, mut writer) = io::pipe()?;
    // SAFETY: F_SETPIPE_SZ takes an integer.
    let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
    writer.write_all(&vec![0; usize::try_from(size).map_err(|_| io::Error::last_os_error())?])?;
    Ok((reader, writer))
}

/// Has the command start without a standard stream.
fn close(command: &mut Command, stream: i32) -> &mut Command {
    let hook = move || {
        // SAFETY: closes a descriptor that nobody in the new process has used yet.
        unsafe { libc::close(stream) };
        Ok(())
    };
    // SAFETY: the hook makes one system call.
    unsafe { command.pre_exec(hook) }
}
