//! Signals that end the process with a message.
#![expect(unsafe_code, reason = "sigaction(2) and _exit(2) have no safe form in std")]

use std::io::{self, Stderr};

use super::{screen, terminal};

/// The process's exit status: as for every failure of chukka itself.
const STATUS: i32 = 125;

/// A handler that is told where the signal comes from. It does only what a signal handler may
/// (signal-safety(7)).
pub(crate) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Installs the handler of a signal, for all threads.
///
/// # Errors
/// See sigaction(2).
pub(crate) fn handle(signal: i32, handler: Handler) -> io::Result<()> {
    // SAFETY: `sigaction` is plain data, for which zeros are valid. `SA_SIGINFO` goes with a
    // handler of this type.
    let result = unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the process from a handler: restores the terminal, and has `tell` write the message, which
/// must not allocate.
pub(crate) fn end(tell: impl FnOnce(&mut Stderr)) -> ! {
    terminal::restore();
    screen::reset_modes();
    tell(&mut io::stderr());
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(STATUS) }
}
