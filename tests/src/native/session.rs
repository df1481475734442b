//! chukka on a terminal: a pseudo-terminal whose session has a leader, as a shell would be, that outlives it. (When the
//! leader of a session ends, the kernel resets its terminal; then nobody could tell what chukka left.)
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use super::LIMIT;
use super::collect::Collected;
use super::process;
use super::scratch::Scratch;
use super::start::{Input, Output, Start};
use crate::sys::{self, Pty, Watch};

/// All that tcgetattr(3) says of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    flags: [u32; 4],
    line: u8,
    characters: [u8; libc::NCCS],
    speeds: [u32; 2],
}

impl Settings {
    /// Whether a key is a byte at once, and not shown: raw enough for a guest.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.flags[3] & (libc::ICANON | libc::ECHO) == 0
    }

    /// Whether Ctrl-C is a signal.
    #[must_use]
    pub fn has_signals(&self) -> bool {
        self.flags[3] & libc::ISIG != 0
    }
}

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
        make_uncommon(&pty.slave)?;
        let before = settings(&pty.slave)?;
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
        // SAFETY: the hook makes system calls only; it allocates nothing. One of the two processes it leaves never returns.
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
    /// Where there is no terminal any more.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn settings(&self) -> Settings {
        settings(&self.slave).unwrap_or_else(|error| panic!("tcgetattr: {error}"))
    }

    /// Waits until the terminal is raw.
    ///
    /// # Panics
    /// Where that does not happen in [`LIMIT`].
    pub fn wait_until_raw(&self) {
        self.wait_until("the terminal is raw", || self.settings().is_raw());
    }

    /// Waits until chukka waits for room in the pipe that its output goes to.
    ///
    /// # Panics
    /// Where that does not happen in [`LIMIT`].
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
    /// Where it does not, in [`LIMIT`].
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let came = self.shown.wait_for(text.as_bytes(), LIMIT);
        assert!(came, "{text:?} did not come, but {:?}", self.shown.tail());
    }

    /// Types.
    ///
    /// # Panics
    /// Where the terminal does not take it.
    pub fn type_in(&mut self, keys: &[u8]) {
        let typed = self.master.write_all(keys);
        assert!(typed.is_ok(), "typing {keys:?}: {typed:?}");
    }

    /// Sends chukka a signal.
    ///
    /// # Panics
    /// Where it cannot be sent.
    pub fn signal(&self, signal: i32) {
        let sent = sys::kill(self.pid, signal);
        assert!(sent.is_ok(), "signal {signal}: {sent:?}");
    }

    /// Puts chukka into the terminal's foreground, or the leader of the session, as a shell does before and after.
    ///
    /// # Panics
    /// Where that does not happen in [`LIMIT`].
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
    /// Where something else happens to it, or nothing in [`LIMIT`].
    pub fn wait_until_stopped(&mut self) -> i32 {
        let status = self.next_status();
        assert!(libc::WIFSTOPPED(status), "status {status:#x}; shown: {:?}", self.shown.tail());
        libc::WSTOPSIG(status)
    }

    /// Has it continue.
    ///
    /// # Panics
    /// Where it does not, in [`LIMIT`].
    pub fn go_on(&mut self) {
        self.signal(libc::SIGCONT);
        let status = self.next_status();
        assert!(libc::WIFCONTINUED(status), "status {status:#x}; shown: {:?}", self.shown.tail());
    }

    /// Waits for its end. The terminal stays.
    ///
    /// # Panics
    /// Where something else happens to it, or nothing in [`LIMIT`].
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

/// chukka's process, in its leader's memory.
static CHUKKA: AtomicI32 = AtomicI32::new(0);

/// Splits this new process in two: one leads a session with `terminal` and tells by `out` what happens to the other; the
/// other returns, to become chukka.
fn become_session(terminal: i32, out: i32, foreground: bool) -> io::Result<()> {
    let check = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: every call is async-signal-safe and takes no pointer but those to values that live through it.
    unsafe {
        check(libc::setsid())?;
        check(libc::ioctl(terminal, libc::TIOCSCTTY, 0))?;
        let child = check(libc::fork())?;
        if child > 0 {
            lead(child, terminal, out);
        }
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        check(libc::setpgid(0, 0))?;
        if foreground {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigaddset(&raw mut set, libc::SIGTTOU);
            check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
            check(libc::tcsetpgrp(terminal, libc::getpid()))?;
            check(libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// The session's leader: it waits, and hands the terminal over when SIGUSR1 and SIGUSR2 say so.
fn lead(child: i32, terminal: i32, out: i32) -> ! {
    // SAFETY: as in `become_session`; nothing of this process but these calls runs any more.
    unsafe {
        CHUKKA.store(child, Ordering::Relaxed);
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        let hand_over = hand_over as extern "C" fn(i32) as libc::sighandler_t;
        libc::signal(libc::SIGUSR1, hand_over);
        libc::signal(libc::SIGUSR2, hand_over);
        // Descriptor 0 is what the handler knows the terminal by. Whoever waits for chukka's start waits for the rest to close.
        libc::dup2(terminal, 0);
        libc::dup2(out, 1);
        libc::syscall(libc::SYS_close_range, 2, u32::MAX, 0);
        let tell = |number: i32| libc::write(1, (&raw const number).cast(), 4);
        tell(child);
        loop {
            let mut status = 0;
            let waited = libc::waitpid(child, &raw mut status, libc::WUNTRACED | libc::WCONTINUED);
            if waited == child {
                tell(status);
            } else if *libc::__errno_location() != libc::EINTR {
                libc::pause();
            }
        }
    }
}

extern "C" fn hand_over(signal: i32) {
    // SAFETY: neither call takes a pointer.
    unsafe {
        let ours = libc::getpgrp();
        let group = if signal == libc::SIGUSR1 { ours } else { CHUKKA.load(Ordering::Relaxed) };
        libc::tcsetpgrp(0, group);
    }
}

fn get(terminal: &OwnedFd) -> io::Result<libc::termios> {
    // SAFETY: tcgetattr(3) fills in the struct it is given; all zero is a valid one.
    unsafe {
        let mut settings = std::mem::zeroed::<libc::termios>();
        match libc::tcgetattr(terminal.as_raw_fd(), &raw mut settings) {
            0 => Ok(settings),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn settings(terminal: &OwnedFd) -> io::Result<Settings> {
    let of = get(terminal)?;
    Ok(Settings {
        flags: [of.c_iflag, of.c_oflag, of.c_cflag, of.c_lflag],
        line: of.c_line,
        characters: of.c_cc,
        speeds: [of.c_ispeed, of.c_ospeed],
    })
}

/// Changes things that raw mode touches, and things that it does not, so that it shows who puts back the usual instead of what
/// was there.
fn make_uncommon(terminal: &OwnedFd) -> io::Result<()> {
    let mut settings = get(terminal)?;
    settings.c_iflag = (settings.c_iflag & !libc::IXON) | libc::IXANY | libc::INLCR;
    settings.c_lflag &= !libc::ECHOKE;
    (settings.c_cc[libc::VMIN], settings.c_cc[libc::VTIME]) = (3, 7);
    settings.c_cc[libc::VERASE] = 8;
    // SAFETY: tcsetattr(3) only reads the settings.
    match unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &raw const settings) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
