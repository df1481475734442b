//! `-daemonize`: the run goes on in the background, without a terminal, once the guest is about to
//! run.
//!
//! As in QEMU (`os_daemonize` and `os_setup_post`, os-posix.c), the process that was started waits
//! until then, so that all errors before the guest runs are on its standard error, and its status
//! says how it went. Unlike there, the other process stays in the session and in the process group
//! of the terminal until then: Ctrl-C ends it while it fetches files.
#![expect(unsafe_code, reason = "fork(2), setsid(2) and dup3(2) have no safe form in std")]

use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a daemon needs until it has left the terminal.
#[derive(Debug)]
struct Leaving {
    /// Where the process that was started waits for its exit status.
    status: PipeWriter,
    null: File,
}

/// There is one for each process.
static LEAVING: Mutex<Option<Leaving>> = Mutex::new(None);

/// Status of the process that was started if the other one ends without reporting one.
const COULD_NOT_RUN: u8 = 125;

/// Goes on in a new process, and returns `None` there. In the process that was started, waits until
/// the guest is about to run or an error has been reported, and returns its exit status.
///
/// Has to be called before there is a second thread: only the caller's goes on.
///
/// # Errors
/// See fork(2), pipe(2) and open(2) of `/dev/null`.
pub fn begin() -> io::Result<Option<u8>> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let (mut from, status) = io::pipe()?;
    // SAFETY: there is no other thread, so that the child may do anything.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            *leaving() = Some(Leaving { status, null });
            Ok(None)
        }
        child => {
            drop(status);
            let mut byte = [COULD_NOT_RUN];
            // Nothing to read: the other process is gone.
            let _ = from.read_exact(&mut byte);
            if byte != [0] {
                // It is about to end.
                // SAFETY: waits for a child of this process, and stores nothing.
                unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            }
            Ok(Some(byte[0]))
        }
    }
}

/// The guest is about to run. In a daemon, leaves the terminal: a session of its own, and
/// `/dev/null` in place of the standard streams. Elsewhere it does nothing.
///
/// # Errors
/// See setsid(2) and dup3(2).
pub fn leave_terminal() -> io::Result<()> {
    let Some(Leaving { mut status, null }) = leaving().take() else { return Ok(()) };
    let check = |result| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: changes only the session of this process.
    check(unsafe { libc::setsid() })?;
    for stream in [io::stdin().as_raw_fd(), io::stdout().as_raw_fd(), io::stderr().as_raw_fd()] {
        // SAFETY: replaces a descriptor that nothing here owns, as std does not close it.
        check(unsafe { libc::dup3(null.as_raw_fd(), stream, 0) })?;
    }
    // Nobody waits if the process that was started has been killed.
    let _ = status.write_all(&[0]);
    Ok(())
}

/// Hands `exit_status` to the process that was started, if that still waits: errors have been
/// reported.
pub fn finish(exit_status: u8) {
    if let Some(Leaving { mut status, .. }) = leaving().take() {
        let _ = status.write_all(&[exit_status]);
    }
}

fn leaving() -> MutexGuard<'static, Option<Leaving>> {
    LEAVING.lock().unwrap_or_else(PoisonError::into_inner)
}
