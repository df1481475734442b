//! The system calls behind the engine.
#![expect(
    unsafe_code,
    reason = "pread(2), mmap(2) and madvise(2) on guest memory, and leases have no safe form"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use vm_memory::VolatileSlice;
use vm_memory::bitmap::BitmapSlice;

use crate::memory::Pages;

/// fcntl(2): sets the signal that announces a lease break, instead of SIGIO
/// (include/uapi/asm-generic/fcntl.h in Linux).
const F_SETSIG: i32 = 10;

/// Fills `to` with the bytes of the file from `offset`.
///
/// # Errors
/// Those of pread(2), and `UnexpectedEof` at the end of the file.
pub(crate) fn read_at<B: BitmapSlice>(
    file: &File,
    to: &VolatileSlice<'_, B>,
    offset: u64,
) -> io::Result<()> {
    let guard = to.ptr_guard_mut();
    let mut done = 0;
    while done < to.len() {
        let at = i64::try_from(offset + done as u64).map_err(io::Error::other)?;
        // SAFETY: `done` is less than the length of `to`, which is guest memory and stays so while
        // `guard` lives. It is only ever accessed as volatile bytes: no reference to it exists.
        let count = unsafe {
            let next = guard.as_ptr().add(done).cast();
            libc::pread(file.as_raw_fd(), next, to.len() - done, at)
        };
        match usize::try_from(count) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// The file's current status. Every transfer from a file needs it, however short, and fstat(2)
/// takes half the time of the statx(2) in [`File::metadata`].
///
/// # Errors
/// Those of fstat(2).
pub(crate) fn status(file: &File) -> io::Result<libc::stat> {
    // SAFETY: all zeros is a valid `stat`, and fstat(2) fills it in. On x86-64, libc's struct is
    // the kernel's.
    unsafe {
        let mut about = std::mem::zeroed::<libc::stat>();
        match libc::syscall(libc::SYS_fstat, file.as_raw_fd(), &raw mut about) {
            0 => Ok(about),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Maps the file privately over guest memory, from `offset`, a multiple of the page size. The
/// guest's writes go to copies.
///
/// # Errors
/// Those of mmap(2). The memory is then unchanged.
pub(crate) fn map_file(over: &Pages<'_>, file: &File, offset: u64) -> io::Result<()> {
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    map_over(over, 0, file.as_raw_fd(), offset)?;
    // If the page cache holds the file in huge pages, or will once it is read, the guest gets them.
    let _ = advise(over, libc::MADV_HUGEPAGE);
    Ok(())
}

/// Replaces guest memory by fresh memory, all zeros, in huge pages where the host has them.
///
/// # Errors
/// Those of mmap(2). The memory is then unchanged.
pub(crate) fn renew(over: &Pages<'_>) -> io::Result<()> {
    map_over(over, libc::MAP_ANONYMOUS, -1, 0)?;
    // If the kernel ignores the advice, only speed is lost.
    let _ = advise(over, libc::MADV_HUGEPAGE);
    Ok(())
}

fn map_over(over: &Pages<'_>, flags: i32, fd: i32, offset: i64) -> io::Result<()> {
    // SAFETY: `over` is whole pages of private anonymous guest memory, mapped for the duration of
    // this call. The new mapping has the same size and protection, and guest memory is only ever
    // accessed as volatile bytes: no reference to the old contents exists.
    let mapped = unsafe {
        libc::mmap(
            over.start().cast(),
            over.len(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE | flags,
            fd,
            offset,
        )
    };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Returns the pages to the host, after which they read as zeros. Only for memory over which no
/// file is mapped.
///
/// # Errors
/// Those of madvise(2).
pub(crate) fn drop_pages(pages: &Pages<'_>) -> io::Result<()> {
    advise(pages, libc::MADV_DONTNEED)
}

fn advise(pages: &Pages<'_>, advice: i32) -> io::Result<()> {
    // SAFETY: the pages are our guest memory, which is only ever accessed as volatile bytes. The
    // advice given in this file changes at most their contents.
    let done = unsafe { libc::madvise(pages.start().cast(), pages.len(), advice) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes a read lease on the file. From now on, a process that opens it for writing or truncates it
/// is blocked, and this process gets `signal`.
///
/// # Errors
/// Those of fcntl(2): `EAGAIN` if a process has the file open for writing, `EACCES` if another user
/// owns it, `EINVAL` if its file system does not support leases.
pub(crate) fn lease(file: &File, signal: i32) -> io::Result<()> {
    let fd = file.as_raw_fd();
    // SAFETY: the calls change settings of the descriptor, and nothing in memory.
    let done = unsafe {
        // A lease break is announced to the thread that took the lease (fs/locks.c, `lease_setup`),
        // which may have ended by then. So name the process, after the lease is taken.
        libc::fcntl(fd, F_SETSIG, signal) == 0
            && libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == 0
            && libc::fcntl(fd, libc::F_SETOWN, libc::getpid()) == 0
    };
    if !done {
        return Err(io::Error::last_os_error());
    }
    // A break in between would have been announced to the wrong thread.
    if is_breaking(file) {
        release(file);
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(())
}

/// Releases the lease. Returns false if there was none any more: the kernel has broken it.
pub(crate) fn release(file: &File) -> bool {
    // SAFETY: as in `lease`. Without a lease the call fails (fs/locks.c, `generic_delete_lease`)
    // and changes nothing.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) == 0 }
}

/// Whether another process waits for the lease, or the lease is gone.
pub(crate) fn is_breaking(file: &File) -> bool {
    // SAFETY: as in `lease`. F_GETLEASE returns what the lease must become (fs/locks.c,
    // `fcntl_getlease`).
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) != libc::F_RDLCK }
}
