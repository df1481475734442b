//! Signals as events: blocked everywhere, read from a descriptor by the event loop.
#![expect(
    unsafe_code,
    reason = "signalfd(2) and sigaction(2) have no safe form in std or vmm-sys-util"
)]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use vmm_sys_util::signal::{
    self, block_signal, create_sigset, register_signal_handler, unblock_signal,
};

/// Signals that end chukka, cleanly: the terminal is restored, the guest's output written, and then
/// chukka dies of the signal, so that its parent sees how it ended.
pub const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Tells that somebody wants to write to a file whose pages the guest has. By default it kills, so
/// it stays blocked to the end.
pub const LEASE: i32 = libc::SIGIO;

/// The signals chukka listens to.
#[derive(Debug)]
pub struct Signals {
    file: File,
    heard: Vec<i32>,
}

impl Signals {
    /// Blocks the signals in this thread and those it will start, and opens their descriptor. A
    /// signal that is ignored stays ignored (nohup(1)).
    ///
    /// # Errors
    /// See sigprocmask(2) and signalfd(2).
    pub fn listen() -> io::Result<Self> {
        let heard: Vec<i32> = ENDING
            .into_iter()
            .chain([libc::SIGTSTP, libc::SIGCONT])
            .filter(|signal| !is_ignored(*signal))
            .collect();
        let all: Vec<i32> = heard.iter().copied().chain([LEASE]).collect();
        for signal in &all {
            match block_signal(*signal) {
                // A lease's stays so, from the first time they are listened to: nobody hears it in
                // between.
                Ok(()) | Err(signal::Error::SignalAlreadyBlocked(_)) => {}
                Err(error) => return Err(io::Error::other(format!("{error:?}"))),
            }
        }
        let set = create_sigset(&all).map_err(io::Error::from)?;
        // SAFETY: signalfd(2) only reads the set.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nothing else owns.
        Ok(Self { file: unsafe { File::from_raw_fd(fd) }, heard })
    }

    /// The next signal that has come, if any.
    pub fn take_one(&mut self) -> Option<i32> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        let count = self.file.read(&mut info).ok()?;
        // ssi_signo is the struct's first field, 32 bits wide (signalfd(2)).
        let number = info.first_chunk().filter(|_| count == info.len())?;
        Some(u32::from_ne_bytes(*number).cast_signed())
    }
}

impl Drop for Signals {
    /// From here on the signals do to this process what they do to any. One that has come by now is
    /// dropped: the end is near, and timeout(1), which sends each signal twice, would otherwise
    /// keep chukka from telling it.
    fn drop(&mut self) {
        while self.take_one().is_some() {}
        for signal in &self.heard {
            let _ = unblock_signal(*signal);
        }
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: with a null second argument sigaction(2) only fills in the third; all zero is a valid
    // one.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// The signal that brings a vCPU's thread back from `KVM_RUN`, or out of a write(2) that blocks.
pub fn kick_number() -> i32 {
    signal::SIGRTMIN()
}

/// Gives the kick a handler that does nothing: it is there to interrupt.
///
/// # Errors
/// See sigaction(2).
pub fn prepare_kick() -> io::Result<()> {
    extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
    register_signal_handler(kick_number(), nothing).map_err(io::Error::from)
}

/// Stops this process as Ctrl-Z would, until it is continued.
pub fn stop_self() {
    // SAFETY: sends a signal to this process, no more.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Dies of `signal`, as if it had never been caught.
pub fn die_of(signal: i32) -> ! {
    // SAFETY: resets a disposition and raises the signal; nothing of ours runs after that.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    let _ = unblock_signal(signal);
    // SAFETY: as above.
    unsafe { libc::raise(signal) };
    std::process::exit(125)
}
