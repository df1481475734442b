//! Guest memory that a mapping takes the place of, on its way back to the host.
//!
//! Freeing pages takes the kernel 0.1 ms a MiB where they are small, and a guest waits for the transfer meanwhile. So their page
//! tables are moved to other addresses, in some 0.4 µs a MiB, and a thread frees them there.
#![expect(unsafe_code, reason = "mremap(2), mmap(2) and munmap(2) have no safe form")]

use std::ptr::{null_mut, without_provenance_mut};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use super::HUGE_PAGE;
use super::memory::Pages;

/// Addresses that nobody uses, with or without pages. Freed when dropped.
#[derive(Debug)]
struct Spare {
    start: usize,
    len: usize,
}

impl Spare {
    fn new(len: usize) -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, placed by the kernel; it overlaps nothing.
        let start = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        (start != libc::MAP_FAILED).then(|| Self { start: start.addr(), len })
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // SAFETY: the addresses are this value's own, and nothing refers to them.
        unsafe { libc::munmap(without_provenance_mut(self.start), self.len) };
    }
}

/// Frees memory on a thread of its own: one at a time, so that a guest that transfers on and on has to wait for its memory.
#[derive(Debug, Default)]
pub(super) struct Discarder {
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Discarder {
    /// Takes the pages' memory away; they read as zero, or as the file that was mapped over them, until something takes their place.
    /// Does nothing where the kernel cannot (Linux before 5.13): then whatever takes their place frees them.
    pub fn discard(&self, pages: &Pages<'_>) {
        let Some(taken) = take_away(pages) else { return };
        let Ok(mut thread) = self.thread.lock() else { return };
        if thread.as_ref().is_none_or(JoinHandle::is_finished) {
            // Without a thread it is freed at once.
            *thread = thread::Builder::new().name("discard".into()).spawn(|| drop(taken)).ok();
        }
    }
}

/// Moves the pages to other addresses. Their own stay mapped all the time, so that nothing else can get there.
fn take_away(pages: &Pages<'_>) -> Option<Spare> {
    let huge = usize::try_from(HUGE_PAGE).ok()?;
    let spare = Spare::new(pages.len().checked_add(huge)?)?;
    // At the same place of a huge page, so that whole page tables are moved and not their entries.
    let to = spare.start + (pages.start().addr().wrapping_sub(spare.start) % huge);
    // SAFETY: the pages are guest memory of ours, which is only ever accessed as volatile bytes; `to` and as many bytes after it are
    // `spare`'s.
    let moved = unsafe {
        libc::mremap(
            pages.start().cast(),
            pages.len(),
            pages.len(),
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP,
            without_provenance_mut::<libc::c_void>(to),
        )
    };
    (moved != libc::MAP_FAILED).then_some(spare)
}
