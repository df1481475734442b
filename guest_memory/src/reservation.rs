//! Reserved addresses of this process.
#![expect(unsafe_code, reason = "mmap(2) and munmap(2) have no safe form")]

use std::ptr::{null_mut, without_provenance_mut};

use crate::memory::Pages;
use crate::pages::HUGE_PAGE;

/// Unused addresses for as many bytes as some pages of guest memory have, with the same offset
/// within a huge page, so that whole page tables can be moved and huge pages mapped. Dropping it
/// unmaps whatever is mapped there.
#[derive(Debug)]
pub(crate) struct Reservation {
    start: usize,
    len: usize,
    at: usize,
}

impl Reservation {
    /// `None` if the process has no addresses left.
    pub fn like(pages: &Pages<'_>) -> Option<Self> {
        let huge = usize::try_from(HUGE_PAGE).ok()?;
        let len = pages.len().checked_add(huge)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, placed by the kernel. It overlaps nothing.
        let start = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        let at = start.addr() + (pages.start().addr().wrapping_sub(start.addr()) % huge);
        (start != libc::MAP_FAILED).then(|| Self { start: start.addr(), len, at })
    }

    /// The address for the first of the pages.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Unmaps `part` bytes at a time. While the kernel frees a part, no other thread of the process
    /// can change its mappings.
    pub fn free_by(mut self, part: usize) {
        while self.len > part {
            // SAFETY: as in `drop`. These addresses no longer belong to this value afterwards.
            unsafe { libc::munmap(without_provenance_mut(self.start), part) };
            self.start += part;
            self.len -= part;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the addresses belong to this value, and nothing refers to them.
        unsafe { libc::munmap(without_provenance_mut(self.start), self.len) };
    }
}
