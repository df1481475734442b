//! The system calls behind a disk: reads and writes of guest memory, and locks.
#![expect(
    unsafe_code,
    reason = "preadv(2) and pwritev(2) of guest memory, and locks of open file descriptions, have no safe form"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use libc::{c_int, iovec};
use vm_memory::VolatileSlice;
use vm_memory::volatile_memory::{PtrGuard, PtrGuardMut};

/// How many buffers a call takes (UIO_MAXIOV in include/uapi/linux/uio.h in Linux).
const MAX_BUFFERS: usize = 1024;

/// Fills `to` with bytes from `offset` of the file on, and returns how many there were: fewer than
/// wanted only where the file ends.
///
/// # Errors
/// As of preadv(2).
pub(super) fn read_at(file: &File, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<usize> {
    let buffer =
        |guard: &PtrGuardMut| iovec { iov_base: guard.as_ptr().cast(), iov_len: guard.len() };
    let read = |buffers: &mut [iovec]| {
        transfer(buffers, offset, |buffers, count, at| {
            // SAFETY: each of the `count` buffers is guest memory that stays mapped while its guard
            // lives, and which is only ever accessed as volatile bytes, so that no reference to it
            // exists. The guards live until `read` returns.
            unsafe { libc::preadv(file.as_raw_fd(), buffers, count, at) }
        })
    };
    // Most requests have one buffer, and need no lists.
    if let [only] = to {
        let guard = only.ptr_guard_mut();
        return read(&mut [buffer(&guard)]);
    }
    let guards: Vec<_> = to.iter().map(VolatileSlice::ptr_guard_mut).collect();
    let mut buffers: Vec<iovec> = guards.iter().map(buffer).collect();
    read(&mut buffers)
}

/// Writes all of `from` from `offset` of the file on.
///
/// # Errors
/// As of pwritev(2). Part of it may have been written.
pub(super) fn write_at(file: &File, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
    let buffer = |guard: &PtrGuard| iovec {
        iov_base: guard.as_ptr().cast_mut().cast(),
        iov_len: guard.len(),
    };
    let write = |buffers: &mut [iovec]| {
        transfer(buffers, offset, |buffers, count, at| {
            // SAFETY: as in `read_at`; the buffers are only read.
            unsafe { libc::pwritev(file.as_raw_fd(), buffers, count, at) }
        })
    };
    let wanted: usize = from.iter().map(VolatileSlice::len).sum();
    let done = if let [only] = from {
        let guard = only.ptr_guard();
        write(&mut [buffer(&guard)])?
    } else {
        let guards: Vec<_> = from.iter().map(VolatileSlice::ptr_guard).collect();
        let mut buffers: Vec<iovec> = guards.iter().map(buffer).collect();
        write(&mut buffers)?
    };
    if done == wanted { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Calls until all buffers are done or nothing more comes, and returns how many bytes were moved.
fn transfer(
    buffers: &mut [iovec],
    offset: u64,
    call: impl Fn(*const iovec, c_int, i64) -> isize,
) -> io::Result<usize> {
    let (mut done, mut first) = (0, 0);
    loop {
        first += buffers[first..].iter().take_while(|buffer| buffer.iov_len == 0).count();
        let rest = &mut buffers[first..];
        if rest.is_empty() {
            return Ok(done);
        }
        let at = offset.checked_add(done as u64).and_then(|at| i64::try_from(at).ok());
        let at = at.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        let count = c_int::try_from(rest.len().min(MAX_BUFFERS)).map_err(io::Error::other)?;
        match usize::try_from(call(rest.as_ptr(), count, at)) {
            Ok(0) => return Ok(done),
            Ok(count) => {
                done += count;
                advance(rest, count);
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Takes the first `count` bytes away; buffers that are done have no bytes left.
fn advance(buffers: &mut [iovec], mut count: usize) {
    for buffer in buffers {
        let taken = count.min(buffer.iov_len);
        buffer.iov_base = buffer.iov_base.cast::<u8>().wrapping_add(taken).cast();
        buffer.iov_len -= taken;
        count -= taken;
        if count == 0 {
            return;
        }
    }
}

fn byte_lock(kind: c_int, byte: i64) -> libc::flock {
    libc::flock {
        // Both are small constants of the kernel's.
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: byte,
        l_len: 1,
        // Has to be 0 for locks of open file descriptions.
        l_pid: 0,
    }
}

/// Takes a shared lock on one byte, for the open file description.
///
/// # Errors
/// As of fcntl(2): `EAGAIN`: somebody has an exclusive one.
pub(super) fn lock_shared(file: &File, byte: i64) -> io::Result<()> {
    let lock = byte_lock(libc::F_RDLCK, byte);
    // SAFETY: F_OFD_SETLK reads the struct it is given, and changes nothing in memory.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes away all locks of the open file description.
///
/// # Errors
/// As of fcntl(2).
pub(super) fn unlock(file: &File) -> io::Result<()> {
    let lock = libc::flock { l_len: 0, ..byte_lock(libc::F_UNLCK, 0) };
    // SAFETY: as in `lock_shared`.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether another open file description has a lock on one byte, shared or exclusive.
///
/// # Errors
/// As of fcntl(2).
pub(super) fn is_locked_by_other(file: &File, byte: i64) -> io::Result<bool> {
    let mut lock = byte_lock(libc::F_WRLCK, byte);
    // SAFETY: F_OFD_GETLK overwrites the struct it is given, which lives as long as the call.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if done == 0 {
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    } else {
        Err(io::Error::last_os_error())
    }
}
