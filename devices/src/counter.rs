//! Counters of what disks and network cards do. The thread that serves a queue or port counts, and
//! whoever reports on the run reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// The operations of a disk, or the frames of a card, of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Those that were done.
    pub done: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Operations that failed, or frames that were dropped.
    pub failed: u64,
}

/// The counters behind a [`Count`]. They order no other memory accesses, so counting is cheap.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    done: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
}

impl Counter {
    /// Counts one that was done.
    pub fn add_done(&self, bytes: u64) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts one that failed or was dropped.
    pub fn add_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn get(&self) -> Count {
        let [done, bytes, failed] =
            [&self.done, &self.bytes, &self.failed].map(|count| count.load(Ordering::Relaxed));
        Count { done, bytes, failed }
    }
}
