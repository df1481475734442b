//! chukka on a terminal: a pseudo-terminal whose session has a leader, as a shell would be, that
//! outlives it. (When the leader of a session ends, the kernel resets its terminal; then nobody
//! could tell what chukka left.)
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LIMIT;
use super::collect::Collected;
use super::leader::become_session;
use super::process;
use super::scratch::Scratch;
use super::settings::Settings;
use super::start::{Input, Output, Start};
use crate::sys::{self, Pty, Watch};

/// A chukka on a terminal. It is killed when it is dropped.
#[derive(Debug)]
pub struct Session {
    leader: Child,
    pid: i32,
    master: File,
    slave: OwnedFd,
    shown: Collected,
    statuses: PipeReader,
    ended: bool,
    /// The terminal's settings before chukka had it: no common ones.
    pub before: Settings,
    _unread: Option<PipeReader>,
    _files: Option<Arc<Scratch>>,
}

impl Session {
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub(super) fn start(start: &Start, foreground: bool) -> Self {
        Self::try_start(start, foreground)
            .unwrap_or_else(|error| panic!("{:?}: {error}", start.words))
    }

    fn try_start(start: &Start, foreground: bool) -> io::Result<Self> {
        let pty = Pty::open()?;
        Settings::make_uncommon(&pty.slave)?;
        let before = Settings::of(&pty.slave)?;
        let (mut command, _) = start.command();
        command.stdin(pty.slave.try_clone()?).stdout(pty.slave.try_clone()?);
        command.stderr(pty.slave.try_clone()?);
        if let Input::File(path) = &start.input {
            command.stdin(File::open(path)?);
        }
        let mut unread = None;
        if start.output == Output::Full {
            let (reader, writer) = process::full_pipe()?;
            (unread, _) = (Some(reader), command.stdout(writer));
        }
        let (statuses, status_writer) = io::pipe()?;
        sys::die_with_parent_thread(&mut command);
        let (terminal, out) = (pty.slave.as_raw_fd(), status_writer.as_raw_fd());
        // SAFETY: the hook makes system calls only; it allocates nothing. One of the two processes
        // it leaves never returns.
        unsafe { command.pre_exec(move || become_session(terminal, out, foreground)) };
        let leader = command.spawn()?;
        drop((command, status_writer));
        let master = File::from(pty.master);
        let shown = Collected::from(master.try_clone()?);
        let mut session = Self {
            leader,
            pid: 0,
            master,
            slave: pty.slave,
            shown,
            statuses,
            ended: false,
            before,
            _unread: unread,
            _files: start.scratch.clone(),
        };
        session.pid = session.next_number()?;
        Ok(session)
    }

    /// chukka's process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The terminal's settings now.
    ///
    /// # Panics
    /// The terminal is gone.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn settings(&self) -> Settings {
        Settings::of(&self.slave).unwrap_or_else(|error| panic!("tcgetattr: {error}"))
    }

    /// Waits until the terminal is raw.
    ///
    /// # Panics
    /// If that does not happen in [`LIMIT`].
    pub fn wait_until_raw(&self) {
        self.wait_until("the terminal is raw", || self.settings().is_raw());
    }

    /// Waits until chukka waits for room in the pipe that its output goes to.
    ///
    /// # Panics
    /// If that does not happen in [`LIMIT`].
    pub fn wait_until_it_waits_to_write(&self) {
        self.wait_until("it waits to write", || process::waits_to_write(self.pid));
    }

    /// Waits until this holds.
    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let until = Instant::now() + LIMIT;
        while !holds() {
            assert!(Instant::now() < until, "{what}: never; shown was {:?}", self.shown.tail());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What the terminal has shown so far.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.bytes()).into_owned()
    }

    /// Waits until the terminal has shown `text`.
    ///
    /// # Panics
    /// If it does not, in [`LIMIT`].
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let came = self.shown.wait_for(text.as_bytes(), LIMIT);
        assert!(came, "{text:?} did not come, but {:?}", self.shown.tail());
    }

    /// Types.
    ///
    /// # Panics
    /// If the terminal does not take it.
    pub fn type_in(&mut self, keys: &[u8]) {
        let typed = self.master.write_all(keys);
        assert!(typed.is_ok(), "typing {keys:?}: {typed:?}");
    }

    /// Sends chukka a signal.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, signal: i32) {
        let sent = sys::kill(self.pid, signal);
        assert!(sent.is_ok(), "signal {signal}: {sent:?}");
    }

    /// Puts chukka into the terminal's foreground, or the leader of the session, as a shell does
    /// before and after.
    ///
    /// # Panics
    /// If that does not happen in [`LIMIT`].
    pub fn put_into_foreground(&self, chukka: bool) {
        let leader = i32::try_from(self.leader.id()).unwrap_or_default();
        let (signal, group) =
            if chukka { (libc::SIGUSR2, self.pid) } else { (libc::SIGUSR1, leader) };
        let sent = sys::kill(leader, signal);
        assert!(sent.is_ok(), "the session's leader: {sent:?}");
        // SAFETY: tcgetpgrp(3) takes no pointer.
        let now = || unsafe { libc::tcgetpgrp(self.master.as_raw_fd()) };
        self.wait_until("the foreground has changed", || now() == group);
    }

    /// The next status word of wait(2): chukka ended, was stopped or continued.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    fn next_status(&mut self) -> i32 {
        self.next_number()
            .unwrap_or_else(|error| panic!("no change: {error}; shown: {:?}", self.shown.tail()))
    }

    fn next_number(&mut self) -> io::Result<i32> {
        if !sys::poll(&[Watch::read(Some(self.statuses.as_fd()))], Some(LIMIT))?[0] {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut number = [0; 4];
        self.statuses.read_exact(&mut number)?;
        Ok(i32::from_ne_bytes(number))
    }

    /// Waits until it is stopped, and says by which signal.
    ///
    /// # Panics
    /// If something else happens to it, or nothing in [`LIMIT`].
    pub fn wait_until_stopped(&mut self) -> i32 {
        let status = self.next_status();
        assert!(libc::WIFSTOPPED(status), "status {status:#x}; shown: {:?}", self.shown.tail());
        libc::WSTOPSIG(status)
    }

    /// Has it continue.
    ///
    /// # Panics
    /// If it does not, in [`LIMIT`].
    pub fn go_on(&mut self) {
        self.signal(libc::SIGCONT);
        let status = self.next_status();
        assert!(libc::WIFCONTINUED(status), "status {status:#x}; shown: {:?}", self.shown.tail());
    }

    /// Waits for its end. The terminal stays.
    ///
    /// # Panics
    /// If something else happens to it, or nothing in [`LIMIT`].
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.next_status();
        let ended = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
        assert!(ended, "status {status:#x}; shown: {:?}", self.shown.tail());
        self.ended = true;
        ExitStatus::from_raw(status)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Each of the two may be gone already.
        if !self.ended && self.pid > 0 {
            let _ = sys::kill(self.pid, libc::SIGKILL);
        }
        let _ = self.leader.kill();
        let _ = self.leader.wait();
    }
}
