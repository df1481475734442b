//! What of a file the host's page cache has in huge pages, and could be mapped as such.
#![expect(unsafe_code, reason = "mmap(2), madvise(2) and an ioctl have no safe form")]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

use super::HUGE_PAGE;
use super::bus_error::Watch;
use super::memory::Pages;
use super::spare::Spare;

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

/// The parts of `pages`, counted from their start, that would be huge pages if the file were mapped over them from `offset` on. None on
/// a host that does not tell (Linux has PAGEMAP_SCAN since 6.7), or where they lie at different places of a huge page in file and memory.
///
/// The file is mapped elsewhere for that, so that guest memory stays what it is where it is to be read to.
pub(crate) fn huge_pages(pages: &Pages<'_>, file: &File, offset: u64) -> Vec<Range<u64>> {
    let (Ok(huge), Ok(offset)) = (usize::try_from(HUGE_PAGE), i64::try_from(offset)) else {
        return Vec::new();
    };
    let Some(spare) = Spare::like(pages) else { return Vec::new() };
    let (start, end) = (spare.at(), spare.at() + pages.len());
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: the addresses are `spare`'s, and nothing refers to them.
    let mapped = unsafe {
        let start = std::ptr::without_provenance_mut(start);
        libc::mmap(start, pages.len(), libc::PROT_READ, flags, file.as_raw_fd(), offset)
    };
    if mapped == libc::MAP_FAILED {
        return Vec::new();
    }
    // What is not in the page cache yet comes into it in huge pages, where the file system knows such.
    advise(start, pages.len(), libc::MADV_HUGEPAGE);
    // If the disk cannot read it, `repair` puts a page there.
    let Some(_watch) = Watch::new(std::iter::once(start..end)) else { return Vec::new() };
    for page in (start.next_multiple_of(huge)..end).step_by(huge) {
        // SAFETY: `page` is in the mapping just made, which outlives the read. The read maps the huge page, if there is one; a page
        // fault waits for nobody who changes the mappings of the process, as madvise(2) would.
        unsafe { std::ptr::without_provenance::<u8>(page).read_volatile() };
    }
    let from_start = |at: u64| at - start as u64;
    let found = scan(start as u64..end as u64);
    found.into_iter().map(|found| from_start(found.start)..from_start(found.end)).collect()
}

/// Best effort: what fails shows in the scan.
fn advise(start: usize, len: usize, advice: i32) {
    // SAFETY: the addresses are those of a mapping for reading that nobody else knows of; the advice changes nothing of its contents.
    unsafe { libc::madvise(std::ptr::without_provenance_mut(start), len, advice) };
}

/// Where the process has huge pages within a range of addresses.
fn scan(range: Range<u64>) -> Vec<Range<u64>> {
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
