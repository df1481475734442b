//! Guest memory that a mapping takes the place of, on its way back to the host.
//!
//! Freeing pages takes the kernel 0.1 ms a MiB where they are small, and a guest waits for the transfer meanwhile. So their page
//! tables are moved to other addresses, in some 0.4 µs a MiB, and a thread frees them there.
#![expect(unsafe_code, reason = "mremap(2) has no safe form")]

use std::ptr::without_provenance_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::memory::Pages;
use super::spare::Spare;

/// Bytes on the way at a time, but for a single transfer that has more: a guest that transfers on and on has to wait for its
/// memory.
const MOST: usize = 1 << 30;

/// Freed at a time, in bytes.
const PART: usize = 4 << 20;

/// Frees memory on threads of their own.
#[derive(Debug, Default)]
pub(crate) struct Discarder {
    /// Bytes on the way.
    pending: Arc<AtomicUsize>,
}

impl Discarder {
    /// Takes the pages' memory away; they read as zero, or as the file that was mapped over them, until something takes their place.
    /// Does nothing where the kernel cannot (Linux before 5.13): then whatever takes their place frees them.
    pub fn discard(&self, pages: &Pages<'_>) {
        let Some(taken) = take_away(pages) else { return };
        let (pending, len) = (Arc::clone(&self.pending), pages.len());
        let before = pending.fetch_add(len, Ordering::Relaxed);
        if before > 0 && before.saturating_add(len) > MOST {
            drop(taken);
            pending.fetch_sub(len, Ordering::Relaxed);
            return;
        }
        let free = move || {
            taken.free_by(PART);
            pending.fetch_sub(len, Ordering::Relaxed);
        };
        if thread::Builder::new().name("discard".into()).spawn(free).is_err() {
            // It has been freed with the closure.
            self.pending.fetch_sub(len, Ordering::Relaxed);
        }
    }
}

/// Moves the pages to other addresses. Their own stay mapped all the time, so that nothing else can get there.
fn take_away(pages: &Pages<'_>) -> Option<Spare> {
    let spare = Spare::like(pages)?;
    // SAFETY: the pages are guest memory of ours, which is only ever accessed as volatile bytes; the addresses they go to are
    // `spare`'s.
    let moved = unsafe {
        libc::mremap(
            pages.start().cast(),
            pages.len(),
            pages.len(),
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP,
            without_provenance_mut::<libc::c_void>(spare.at()),
        )
    };
    (moved != libc::MAP_FAILED).then_some(spare)
}
