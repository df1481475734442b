//! The system calls behind the engine.
#![expect(
    unsafe_code,
    reason = "pread(2) into guest memory, mmap(2) and madvise(2) over it, and file leases have no safe form"
)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use vm_memory::VolatileSlice;
use vm_memory::bitmap::BitmapSlice;

use super::HUGE_PAGE;
use super::memory::Pages;

/// include/uapi/linux/fs.h: `_IOWR('f', 16, struct pm_scan_arg)`, its structs, and two of its categories.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_HUGE: u64 = 1 << 6;
/// Most runs of huge pages that are looked at: what comes after them is taken for small ones.
const MOST_HUGE_RANGES: usize = 128;

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct PagemapScan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// fcntl(2): which signal tells of a lease, instead of SIGIO (include/uapi/asm-generic/fcntl.h in Linux).
const F_SETSIG: i32 = 10;

/// Fills `to` with bytes from `offset` of the file on.
///
/// # Errors
/// As of pread(2); `UnexpectedEof` where the file ends.
pub(super) fn read_at<B: BitmapSlice>(
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
pub(super) fn map_file(over: &Pages<'_>, file: &File, offset: u64) -> io::Result<()> {
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
pub(super) fn renew(over: &Pages<'_>) -> io::Result<()> {
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
pub(super) fn drop_pages(pages: &Pages<'_>) -> io::Result<()> {
    advise(pages, libc::MADV_DONTNEED)
}

/// The parts of freshly mapped pages, counted from their start, that the host has not mapped as huge pages: the page cache
/// has them in small ones, or they do not lie at the same place of a huge page in the file. All, on a host that does not tell: Linux has
/// PAGEMAP_SCAN since 6.7.
pub(super) fn small_pages(pages: &Pages<'_>) -> Vec<Range<u64>> {
    let start = pages.start().addr() as u64;
    let end = start + pages.len() as u64;
    for at in (start.next_multiple_of(HUGE_PAGE)..end).step_by(2 << 20) {
        let at = usize::try_from(at - start).unwrap_or_default();
        // SAFETY: `at` is within the pages, which are guest memory and are accessed as volatile bytes only. The read maps the huge
        // page, if there is one.
        unsafe { pages.start().add(at).read_volatile() };
    }
    let mut small = Vec::new();
    let mut next = start;
    for huge in huge_pages(start..end) {
        if next < huge.start {
            small.push(next - start..huge.start - start);
        }
        next = huge.end;
    }
    if next < end {
        small.push(next - start..end - start);
    }
    small
}

/// Where the process has huge pages within a range of addresses.
fn huge_pages(range: Range<u64>) -> Vec<Range<u64>> {
    let mut found = [PageRegion::default(); MOST_HUGE_RANGES];
    let mut scan = PagemapScan {
        size: size_of::<PagemapScan>() as u64,
        start: range.start,
        end: range.end,
        vec: found.as_mut_ptr().addr() as u64,
        vec_len: found.len() as u64,
        category_mask: PAGE_IS_HUGE | PAGE_IS_PRESENT,
        return_mask: PAGE_IS_HUGE,
        ..PagemapScan::default()
    };
    let Ok(pagemap) = File::open("/proc/self/pagemap") else { return Vec::new() };
    // SAFETY: PAGEMAP_SCAN reads and writes the struct, and writes at most `vec_len` elements to `vec`; both live through the call.
    let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) };
    let count = usize::try_from(count).unwrap_or_default();
    found.iter().take(count).map(|region| region.start..region.end).collect()
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
pub(super) fn lease(file: &File, signal: i32) -> io::Result<()> {
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
pub(super) fn give_back(file: &File) -> bool {
    // SAFETY: as in `lease`. Without a lease it fails (fs/locks.c, `generic_delete_lease`), and nothing is to be done.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) == 0 }
}

/// Whether the lease is wanted back, or is gone.
pub(super) fn is_wanted(file: &File) -> bool {
    // SAFETY: as in `lease`. F_GETLEASE tells what the lease has to become (fs/locks.c, `fcntl_getlease`).
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) != libc::F_RDLCK }
}
