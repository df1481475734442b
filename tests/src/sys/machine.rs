//! What mostly the first process of a machine does: mounts, kernel modules, power-off.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::io;
use std::os::fd::AsRawFd;

use super::{c_string, check};

/// Mounts a file system of the kernel's own (`proc`, `tmpfs`, …).
///
/// # Errors
/// What mount(2) says.
pub fn mount(kind: &str, target: &str, options: &str) -> io::Result<()> {
    let (kind, target, options) = (c_string(kind)?, c_string(target)?, c_string(options)?);
    // SAFETY: all four pointers are NUL-terminated strings that outlive the call.
    let result = unsafe {
        libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast())
    };
    check(result.into()).map(drop)
}

/// Moves the calling thread into a new mount namespace: what it mounts from now on only it sees,
/// and the programs that it starts. Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// What unshare(2) and mount(2) say.
pub fn enter_new_mounts() -> io::Result<()> {
    let (none, private) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: the flag concerns this thread's namespace alone; all pointers are null or a text that
    // ends with a zero.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS).into())?;
        check(libc::mount(none, c"/".as_ptr(), none, private, none.cast()).into()).map(drop)
    }
}

/// Loads a kernel module from an open, uncompressed file.
///
/// # Errors
/// What finit_module(2) says, except that a module already loaded is no error.
pub fn load_module(module: &std::fs::File) -> io::Result<()> {
    // SAFETY: the descriptor is open and the parameter string is an empty NUL-terminated one.
    let result =
        unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), c"".as_ptr(), 0) };
    match check(result) {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
        _ => Ok(()),
    }
}

/// Switches the machine off. Returns only if that failed.
#[must_use]
pub fn power_off() -> io::Error {
    // SAFETY: sync and reboot take no pointers.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    io::Error::last_os_error()
}
