//! The few system calls that the standard library does not have, each behind a safe function.

mod machine;
mod poll;
mod process;
mod tap;
mod terminal;
mod thread;

pub use machine::{enter_new_mounts, load_module, mount, power_off};
pub use poll::{Watch, drain_inotify, inotify, poll, set_nonblocking, watch_folder};
pub(crate) use process::{ExecClock, Prepare, prepare};
pub use process::{
    Usage, die_with_parent_thread, enter_network_of, keep_open, kill, kill_group, pidfd,
    pidfd_getfd, pidfd_kill, session_of, wait,
};
pub use tap::{enter_new_network, ping_socket, tap};
pub use terminal::{Pty, describe};
pub use thread::StoppedThread;

use std::io;

/// Turns the -1 of a system call into the error it set.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A byte string for a system call.
fn c_string(text: &str) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Nanoseconds of the monotonic clock.
#[must_use]
pub fn now_ns() -> u64 {
    process::monotonic_ns()
}
