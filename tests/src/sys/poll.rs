//! Waiting for several descriptors at once.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::{c_string, check};

/// One descriptor to wait for.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// The descriptor; none is skipped.
    pub fd: Option<BorrowedFd<'a>>,
    /// Whether to wait until it can be written to instead of read from.
    pub write: bool,
}

impl<'a> Watch<'a> {
    /// Waits for something to read, or the end.
    #[must_use]
    pub fn read(fd: Option<BorrowedFd<'a>>) -> Self {
        Self { fd, write: false }
    }

    /// Waits for room to write.
    #[must_use]
    pub fn write(fd: Option<BorrowedFd<'a>>) -> Self {
        Self { fd, write: true }
    }
}

/// Waits until at least one is ready or the time is over; says which are ready (or hung up).
///
/// # Errors
/// What poll(2) says, except that an interruption counts as nothing ready.
pub fn poll(watches: &[Watch<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut fds: Vec<libc::pollfd> = watches
        .iter()
        .map(|watch| libc::pollfd {
            fd: watch.fd.map_or(-1, |fd| fd.as_raw_fd()),
            events: if watch.write { libc::POLLOUT } else { libc::POLLIN },
            revents: 0,
        })
        .collect();
    // Rounded up, so that a wait of under a millisecond does not become a busy loop.
    let millis = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    // SAFETY: the pointer and the count describe one live vector.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) };
    match check(result.into()) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; fds.len()]),
        Err(error) => Err(error),
        Ok(_) => Ok(fds.iter().map(|fd| fd.revents != 0).collect()),
    }
}

/// Makes reads and writes of a descriptor return at once.
///
/// # Errors
/// What fcntl(2) says.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL takes no further argument.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    check(flags.into())?;
    // SAFETY: F_SETFL takes an integer.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    check(result.into()).map(drop)
}

/// A descriptor that becomes readable when there is news of the folders that it watches.
///
/// # Errors
/// What inotify_init1(2) says.
pub fn inotify() -> io::Result<OwnedFd> {
    // SAFETY: the flags are valid; the result is checked.
    let fd = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }.into())?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the descriptor was just made and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has it watch for new entries in a folder; one that it watches already is no error.
///
/// # Errors
/// What inotify_add_watch(2) says.
pub fn watch_folder(inotify: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_string(&path.to_string_lossy())?;
    // SAFETY: the path is a NUL-terminated string that outlives the call.
    let result =
        unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), libc::IN_CREATE) };
    check(result.into()).map(drop)
}

/// Reads away all that an inotify descriptor has to say.
pub fn drain_inotify(fd: BorrowedFd<'_>) {
    let mut buffer = [0u8; 4096];
    loop {
        // SAFETY: the pointer and the length describe one live buffer.
        let n = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        if n <= 0 {
            break;
        }
    }
}
