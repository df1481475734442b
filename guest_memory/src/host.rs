//! The system calls behind the engine.
#![expect(
    unsafe_code,
    reason = "pread(2) into guest memory, mmap(2) and madvise(2) over it, and file leases have no safe form"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use vm_memory::VolatileSlice;
use vm_memory::bitmap::BitmapSlice;

use super::memory::Pages;

/// fcntl(2): which signal tells of a lease, instead of SIGIO (include/uapi/asm-generic/fcntl.h in Linux).
const F_SETSIG: i32 = 10;

/// Fills `to` with bytes from `offset` of the file on.
///
/// # Errors
/// As of pread(2); `UnexpectedEof` where the file ends.
pub(crate) fn read_at<B: BitmapSlice>(
    file: &File,
    to: &VolatileSlice<'_, B>,
    offset: u64,
) -> io::Result<()> {
    let guard = to.ptr_guard_mut();
    let mut done = 0;
    while done < to.len() {
        let at = i64::try_from(offset + done as u64).map_err(io::Error::other)?;
        // SAFETY: `done` is less than `to` has bytes, which are guest memory and stay so while `guard` lives; they are only ever
        // accessed as volatile bytes, so that no reference to them exists.
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

/// What the file is like now: fstat(2) itself, which takes half the time of the statx(2) of [`File::metadata`], and is asked for every
/// transfer of a file's bytes, however few.
///
/// # Errors
/// As of fstat(2).
pub(crate) fn status(file: &File) -> io::Result<libc::stat> {
    // SAFETY: all zero is a valid stat, and fstat(2) fills it in. On x86-64 the kernel's struct is that of libc.
    unsafe {
        let mut about = std::mem::zeroed::<libc::stat>();
        match libc::syscall(libc::SYS_fstat, file.as_raw_fd(), &raw mut about) {
            0 => Ok(about),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Maps the file from `offset` on, at a page boundary, over guest memory: the guest's writes go to copies.
///
/// # Errors
/// As of mmap(2); the memory is then as it was.
pub(crate) fn map_file(over: &Pages<'_>, file: &File, offset: u64) -> io::Result<()> {
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    map_over(over, 0, file.as_raw_fd(), offset)?;
    // Where the page cache has huge pages of the file, or is yet to be filled and can have them, the guest gets them as such.
    let _ = advise(over, libc::MADV_HUGEPAGE);
    Ok(())
}

/// Puts fresh memory, all zero, in the place of guest memory, as huge pages where the host has them.
///
/// # Errors
/// As of mmap(2); the memory is then as it was.
pub(crate) fn renew(over: &Pages<'_>) -> io::Result<()> {
    map_over(over, libc::MAP_ANONYMOUS, -1, 0)?;
    // Advice that is not taken costs speed, nothing else.
    let _ = advise(over, libc::MADV_HUGEPAGE);
    Ok(())
}

fn map_over(over: &Pages<'_>, flags: i32, fd: i32, offset: i64) -> io::Result<()> {
    // SAFETY: `over` is whole pages of private anonymous guest memory that lasts as long as this call; the new mapping has the same
    // size and protection, and guest memory is only ever accessed as volatile bytes, so that no reference to the old contents exists.
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

/// Gives the pages back to the host: they read as zero from now on. For memory that no file is mapped over.
///
/// # Errors
/// As of madvise(2).
pub(crate) fn drop_pages(pages: &Pages<'_>) -> io::Result<()> {
    advise(pages, libc::MADV_DONTNEED)
}

fn advise(pages: &Pages<'_>, advice: i32) -> io::Result<()> {
    // SAFETY: the pages are guest memory of ours, which is only ever accessed as volatile bytes. The advice given here changes at most
    // what they hold.
    let done = unsafe { libc::madvise(pages.start().cast(), pages.len(), advice) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes a read lease on the file: from now on whoever opens it for writing, or truncates it, waits, and this process gets
/// `signal`.
///
/// # Errors
/// As of fcntl(2): `EAGAIN`: somebody has it open for writing; `EACCES`: it is another user's; `EINVAL`: its file system knows no leases.
pub(crate) fn lease(file: &File, signal: i32) -> io::Result<()> {
    let fd = file.as_raw_fd();
    // SAFETY: the calls change settings of the descriptor, and of nothing in memory.
    let done = unsafe {
        // A lease is announced to the thread that took it (fs/locks.c, `lease_setup`), which may be gone by then: so the process is
        // named after it was taken.
        libc::fcntl(fd, F_SETSIG, signal) == 0
            && libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == 0
            && libc::fcntl(fd, libc::F_SETOWN, libc::getpid()) == 0
    };
    if !done {
        return Err(io::Error::last_os_error());
    }
    // If it was wanted back in between, nobody has heard of it.
    if is_wanted(file) {
        give_back(file);
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(())
}

/// Gives the lease back. False: there was none any more, it has been broken by force.
pub(crate) fn give_back(file: &File) -> bool {
    // SAFETY: as in `lease`. Without a lease it fails (fs/locks.c, `generic_delete_lease`), and nothing is to be done.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) == 0 }
}

/// Whether the lease is wanted back, or is gone.
pub(crate) fn is_wanted(file: &File) -> bool {
    // SAFETY: as in `lease`. F_GETLEASE tells what the lease has to become (fs/locks.c, `fcntl_getlease`).
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) != libc::F_RDLCK }
}
