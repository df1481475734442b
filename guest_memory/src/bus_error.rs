//! SIGBUS: the host itself came to a mapped page that its file does not have any more, or that its disk cannot read.
#![expect(unsafe_code, reason = "a page is put where there is none, from a signal handler")]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Page size, as an address.
const PAGE: usize = 4096;
/// Regions that can be watched at a time: of every guest of the process.
const MOST_REGIONS: usize = 256;

/// Addresses of replaceable guest memory. In a static, as signal handlers have nothing else to look at. Free while `end` is 0; taken
/// by who changes `start` from 0.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

static SLOTS: [Slot; MOST_REGIONS] = [const {
    Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), lost: AtomicBool::new(false) }
}; MOST_REGIONS];

/// Regions whose lost pages are replaced, as long as it lives.
#[derive(Debug)]
pub(crate) struct Watch {
    slots: Vec<usize>,
}

impl Watch {
    /// `None`: too many are watched already.
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

    /// Whether a page is lost.
    pub fn is_lost(&self) -> bool {
        self.slots.iter().any(|slot| SLOTS[*slot].lost.load(Ordering::Acquire))
    }

    /// Whether a page was lost since this was last asked.
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

/// For a handler of SIGBUS: if `address` (`si_addr`) is in guest memory of an engine that maps, puts a page of zeros there, and
/// the access can be run again. False: the signal is about something else. Async-signal-safe.
///
/// [`Engine::take_lost_page`](super::Engine::take_lost_page) tells the engine's user afterwards.
pub fn repair(address: usize) -> bool {
    let page = address / PAGE * PAGE;
    let watched = SLOTS.iter().find(|slot| {
        // `end` is 0 unless both are valid.
        let end = slot.end.load(Ordering::Acquire);
        slot.start.load(Ordering::Acquire) <= page && page < end
    });
    let Some(slot) = watched else { return false };
    // SAFETY: a page of private anonymous guest memory of an engine that lives, which cannot be accessed as it is; no reference
    // to it exists. mmap(2) only makes a system call.
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
