//! One thread of another process that stands still, by ptrace(2).
#![expect(unsafe_code, reason = "ptrace(2) and waitpid(2) have no safe form")]

use std::io;
use std::ptr::null_mut;

use super::check;

/// A thread of a child process that does nothing until this is dropped, by the thread that made it.
/// The others go on.
#[derive(Debug)]
pub struct StoppedThread(i32);

impl StoppedThread {
    /// Stops the thread with this number; the first one's is its process's.
    ///
    /// # Errors
    /// See ptrace(2) and waitpid(2).
    pub fn new(thread: i32) -> io::Result<Self> {
        let none = null_mut::<libc::c_void>();
        // SAFETY: these requests read and write no memory of ours.
        check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, none, none) })?;
        let stopped = Self(thread);
        // SAFETY: as above.
        check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none) })?;
        // SAFETY: the status is not asked for.
        check(unsafe { libc::waitpid(thread, null_mut(), libc::__WALL) }.into())?;
        Ok(stopped)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        let none = null_mut::<libc::c_void>();
        // SAFETY: as above. It fails where the thread has ended, and then nothing is to be done.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}
