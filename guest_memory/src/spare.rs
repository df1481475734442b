//! Addresses of the process that nobody uses.
#![expect(unsafe_code, reason = "mmap(2) and munmap(2) have no safe form")]

use std::ptr::{null_mut, without_provenance_mut};

use super::HUGE_PAGE;
use super::memory::Pages;

/// Addresses for as many bytes as some pages of guest memory have, at the same place of a huge page, so that whole page tables can be
/// moved and huge pages be mapped. What is mapped there is unmapped when it is dropped.
#[derive(Debug)]
pub(crate) struct Spare {
    start: usize,
    len: usize,
    at: usize,
}

impl Spare {
    /// `None`: the process has no more.
    pub fn like(pages: &Pages<'_>) -> Option<Self> {
        let huge = usize::try_from(HUGE_PAGE).ok()?;
        let len = pages.len().checked_add(huge)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, placed by the kernel; it overlaps nothing.
        let start = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        let at = start.addr() + (pages.start().addr().wrapping_sub(start.addr()) % huge);
        (start != libc::MAP_FAILED).then(|| Self { start: start.addr(), len, at })
    }

    /// The first address for the pages.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Unmaps what is mapped, `part` bytes at a time: while the kernel frees a part, no other mapping of the process is made.
    pub fn free_by(mut self, part: usize) {
        while self.len > part {
            // SAFETY: as in `drop`; these addresses are no longer this value's then.
            unsafe { libc::munmap(without_provenance_mut(self.start), part) };
            self.start += part;
            self.len -= part;
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // SAFETY: the addresses are this value's own, and nothing refers to them.
        unsafe { libc::munmap(without_provenance_mut(self.start), self.len) };
    }
}
