//! Returns the memory that a mapping replaces to the host.
//!
//! Freeing small pages takes the kernel 0.1 ms per MiB, while the guest waits for its transfer. So
//! their page tables are moved to other addresses, in about 0.4 µs per MiB, and a thread frees them
//! there.
#![expect(unsafe_code, reason = "mremap(2) has no safe form")]

use std::ptr::without_provenance_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::memory::Pages;
use crate::reservation::Reservation;

/// Maximum number of bytes pending at a time, unless a single transfer is larger. A guest that
/// keeps transferring waits until its memory is freed.
const MAX_PENDING: usize = 1 << 30;

/// Number of bytes freed at a time.
const PART: usize = 4 << 20;

/// Frees memory on background threads.
#[derive(Debug, Default)]
pub(crate) struct Discarder {
    /// Bytes not freed yet.
    pending: Arc<AtomicUsize>,
}

impl Discarder {
    /// Moves the pages' memory away and frees it. The pages then read as zeros, or as the file that
    /// was mapped over them, until they are replaced. Does nothing if the kernel does not support
    /// it (before Linux 5.13): then replacing the pages frees them.
    pub fn discard(&self, pages: &Pages<'_>) {
        let Some(moved) = move_away(pages) else { return };
        let (pending, len) = (Arc::clone(&self.pending), pages.len());
        let before = pending.fetch_add(len, Ordering::Relaxed);
        if before > 0 && before.saturating_add(len) > MAX_PENDING {
            drop(moved);
            pending.fetch_sub(len, Ordering::Relaxed);
            return;
        }
        let free = move || {
            moved.free_by(PART);
            pending.fetch_sub(len, Ordering::Relaxed);
        };
        if thread::Builder::new().name("discard".into()).spawn(free).is_err() {
            // Dropping the closure has freed the memory.
            self.pending.fetch_sub(len, Ordering::Relaxed);
        }
    }
}

/// Moves the pages to other addresses. Their own addresses stay mapped throughout, so that nothing
/// else can be placed there.
fn move_away(pages: &Pages<'_>) -> Option<Reservation> {
    let reservation = Reservation::like(pages)?;
    // SAFETY: the pages are our guest memory, which is only ever accessed as volatile bytes. The
    // target addresses belong to `reservation`.
    let moved = unsafe {
        libc::mremap(
            pages.start().cast(),
            pages.len(),
            pages.len(),
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP,
            without_provenance_mut::<libc::c_void>(reservation.at()),
        )
    };
    (moved != libc::MAP_FAILED).then_some(reservation)
}
