//! Signals as events: blocked in all threads and read from a signalfd by the event loop.
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

/// Signals that terminate chukka cleanly: it restores the terminal, writes the guest's output, and
/// then dies of the signal so that the parent process sees the true cause.
pub const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Sent when another process wants to write to a file that is mapped into guest memory. Its default
/// action terminates the process, so it stays blocked until the end.
pub const LEASE: i32 = libc::SIGIO;

/// The signals that chukka handles.
#[derive(Debug)]
pub struct Signals {
    file: File,
    heard: Vec<i32>,
}

impl Signals {
    /// Blocks the signals in this thread and its future child threads, and opens a signalfd for
    /// them. Ignored signals stay ignored (nohup(1)).
    ///
    /// # Errors
    /// See sigprocmask(2) and signalfd(2).
    pub fn listen() -> io::Result<Self> {
        let heard: Vec<i32> = ENDING
            .into_iter()
            .chain([libc::SIGTSTP, libc::SIGCONT, libc::SIGWINCH])
            .filter(|signal| !is_ignored(*signal))
            .collect();
        let all: Vec<i32> = heard.iter().copied().chain([LEASE]).collect();
        for signal in &all {
            match block_signal(*signal) {
                // The lease signal stays blocked after the first call, because nothing would handle
                // it in between.
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

    /// The next pending signal, if any.
    pub fn take_one(&mut self) -> Option<i32> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        let count = self.file.read(&mut info).ok()?;
        // ssi_signo is the struct's first field, 32 bits wide (signalfd(2)).
        let number = info.first_chunk().filter(|_| count == info.len())?;
        Some(u32::from_ne_bytes(*number).cast_signed())
    }
}

impl Drop for Signals {
    /// Restores the signals' default behavior. Pending signals are dropped: chukka is about to
    /// exit, and timeout(1), which sends each signal twice, would otherwise kill it before it can
    /// report the outcome.
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
    // value for it.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// The signal that interrupts a vCPU thread in `KVM_RUN` or in a blocking write(2).
pub fn kick_number() -> i32 {
    signal::SIGRTMIN()
}

/// Installs a handler for the kick signal that does nothing: the signal only interrupts system
/// calls.
///
/// # Errors
/// See sigaction(2).
pub fn prepare_kick() -> io::Result<()> {
    extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
    register_signal_handler(kick_number(), nothing).map_err(io::Error::from)
}

/// Stops this process, as Ctrl-Z would, until it is continued.
pub fn stop_self() {
    // SAFETY: only sends a signal to this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Dies of `signal`, as if it had never been caught.
pub fn die_of(signal: i32) -> ! {
    // SAFETY: resets the disposition of a signal that is raised next; no code of ours runs after
    // that.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    let _ = unblock_signal(signal);
    // SAFETY: as above.
    unsafe { libc::raise(signal) };
    std::process::exit(125)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rust's runtime ignores SIGPIPE.
    #[test]
    fn signals_that_are_ignored_are_known() {
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(libc::SIGUSR2) && !is_ignored(libc::SIGKILL));
    }
}
