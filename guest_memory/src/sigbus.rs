//! SIGBUS: this process touched a mapped page that its file no longer has, or that its disk cannot
//! read.
#![expect(unsafe_code, reason = "a signal handler maps a page in place of a lost one")]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Page size, as an address.
const PAGE: usize = 4096;
/// Maximum number of regions watched at a time, for all guests of the process together.
const MAX_REGIONS: usize = 256;

/// Addresses of replaceable guest memory. In a static, the only thing a signal handler can use. A
/// thread takes a slot by changing `start` from 0; the slot is valid while `end` is not 0.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

static SLOTS: [Slot; MAX_REGIONS] = [const {
    Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), lost: AtomicBool::new(false) }
}; MAX_REGIONS];

/// Regions whose lost pages are replaced while this value exists.
#[derive(Debug)]
pub(crate) struct Watch {
    slots: Vec<usize>,
}

impl Watch {
    /// `None` if too many regions are watched already.
    pub fn new(regions: impl Iterator<Item = Range<usize>>) -> Option<Self> {
        let mut watch = Self { slots: Vec::new() };
        for region in regions {
            let taken = SLOTS.iter().position(|slot| {
                let free = slot.start.compare_exchange(
                    0,
                    region.start,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
                free.is_ok()
            })?;
            watch.slots.push(taken);
            SLOTS[taken].lost.store(false, Ordering::Relaxed);
            SLOTS[taken].end.store(region.end, Ordering::Release);
        }
        Some(watch)
    }

    /// Whether a page was lost since [`Watch::take_lost`].
    pub fn is_lost(&self) -> bool {
        self.slots.iter().any(|slot| SLOTS[*slot].lost.load(Ordering::Acquire))
    }

    /// Whether a page was lost since the last call.
    pub fn take_lost(&self) -> bool {
        let lost = |slot: &usize| SLOTS[*slot].lost.swap(false, Ordering::AcqRel);
        self.slots.iter().filter(|slot| lost(slot)).count() > 0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for slot in &self.slots {
            SLOTS[*slot].end.store(0, Ordering::Release);
            SLOTS[*slot].start.store(0, Ordering::Release);
        }
    }
}

/// For a SIGBUS handler: maps a page of zeros at `address` (`si_addr`) if it is guest memory of an
/// engine that maps. Returns true if it did, and the access can be retried; false if the signal has
/// another cause. Async-signal-safe.
///
/// [`Engine::take_lost_page`](crate::Engine::take_lost_page) reports it afterwards.
pub fn repair(address: usize) -> bool {
    let page = address / PAGE * PAGE;
    let watched = SLOTS.iter().find(|slot| {
        // `end` is 0 unless both are valid.
        let end = slot.end.load(Ordering::Acquire);
        slot.start.load(Ordering::Acquire) <= page && page < end
    });
    let Some(slot) = watched else { return false };
    // SAFETY: this is a page of private guest memory of an engine that still exists. Nobody can
    // access it as it is, and no reference to it exists. mmap(2) is only a system call.
    let mapped = unsafe {
        libc::mmap(
            std::ptr::without_provenance_mut(page),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    slot.lost.store(true, Ordering::Release);
    mapped != libc::MAP_FAILED
}
