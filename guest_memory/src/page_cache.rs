//! Finds the parts of a file that the host's page cache holds in huge pages.
#![expect(unsafe_code, reason = "mmap(2), madvise(2) and an ioctl have no safe form")]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

use crate::memory::Pages;
use crate::pages::HUGE_PAGE;
use crate::reservation::Reservation;
use crate::sigbus::Watch;

/// include/uapi/linux/fs.h in Linux: `_IOWR('f', 16, struct pm_scan_arg)`, and two page categories.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_HUGE: u64 = 1 << 6;
/// Maximum number of huge page runs reported. Later ones are treated as small pages.
const MAX_HUGE_RANGES: usize = 128;

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

/// The parts of `pages`, relative to their start, that would be huge pages if the file were mapped
/// over them from `offset`. Empty on hosts without PAGEMAP_SCAN (before Linux 6.7), and if file
/// offset and address differ modulo the huge page size.
///
/// The file is mapped elsewhere to find out, so that guest memory stays unchanged.
pub(crate) fn huge_pages(pages: &Pages<'_>, file: &File, offset: u64) -> Vec<Range<u64>> {
    let (Ok(huge), Ok(offset)) = (usize::try_from(HUGE_PAGE), i64::try_from(offset)) else {
        return Vec::new();
    };
    let Some(reservation) = Reservation::like(pages) else { return Vec::new() };
    let (start, end) = (reservation.at(), reservation.at() + pages.len());
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: the addresses belong to `reservation`, and nothing refers to them.
    let mapped = unsafe {
        let start = std::ptr::without_provenance_mut(start);
        libc::mmap(start, pages.len(), libc::PROT_READ, flags, file.as_raw_fd(), offset)
    };
    if mapped == libc::MAP_FAILED {
        return Vec::new();
    }
    // If the file is not in the page cache yet, ask for huge pages when it is read.
    advise(start, pages.len(), libc::MADV_HUGEPAGE);
    // If the disk cannot be read, `repair` maps a page of zeros.
    let Some(_watch) = Watch::new(std::iter::once(start..end)) else { return Vec::new() };
    for page in (start.next_multiple_of(huge)..end).step_by(huge) {
        // SAFETY: `page` is in the mapping just made, which outlives the read. The read maps the
        // huge page, if there is one. Unlike madvise(2), a page fault does not wait for threads
        // that change the mappings of the process.
        unsafe { std::ptr::without_provenance::<u8>(page).read_volatile() };
    }
    let from_start = |at: u64| at - start as u64;
    let found = scan(start as u64..end as u64);
    found.into_iter().map(|found| from_start(found.start)..from_start(found.end)).collect()
}

/// Best effort: the scan shows whether it worked.
fn advise(start: usize, len: usize, advice: i32) {
    // SAFETY: the addresses are a read-only mapping that nothing else uses. The advice does not
    // change its contents.
    unsafe { libc::madvise(std::ptr::without_provenance_mut(start), len, advice) };
}

/// The huge pages that this process has mapped within a range of addresses.
fn scan(range: Range<u64>) -> Vec<Range<u64>> {
    let mut found = [PageRegion::default(); MAX_HUGE_RANGES];
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
    // SAFETY: PAGEMAP_SCAN reads and writes the struct, and writes at most `vec_len` elements to
    // `vec`. Both outlive the call.
    let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) };
    let count = usize::try_from(count).unwrap_or_default();
    found.iter().take(count).map(|region| region.start..region.end).collect()
}
