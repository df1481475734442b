//! What was asked of other hosts and what they sent.

use std::sync::atomic::{AtomicU64, Ordering};

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// How many requests this process sent over HTTP, and how many bytes of bodies it took from the
/// answers; headers are not counted.
#[must_use]
pub fn traffic() -> (u64, u64) {
    (REQUESTS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed))
}

/// One more request.
pub(crate) fn count_request() {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
}

/// So many more bytes of a body.
pub(crate) fn count_bytes(count: usize) {
    BYTES.fetch_add(count as u64, Ordering::Relaxed);
}
