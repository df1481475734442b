//! A disk, whatever carries its requests: [`crate::virtio::block`] or [`crate::ata::disk`]. Data
//! moves between the backend and guest memory without a copy.
//!
//! What it promises: a write that has ended is in the backend; without a write cache it is durable
//! too. A flush that has ended was a successful [`BlockBackend::flush`]. Where the backend fails,
//! what follows is the owner's choice ([`ErrorPolicy`]): an I/O error, nothing, or that the request
//! and those behind it wait until it can be done. A reset gives up requests that wait.

mod errors;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vm_memory::VolatileSlice;

use crate::counter::{Count, Counter};
pub use errors::{Action, BlockEvent, BlockObserver, ErrorPolicy, OnError, Operation};

/// Bytes of a sector, the unit of requests.
pub const SECTOR: u64 = 512;

/// Where a disk's bytes are. Offsets and lengths are in bytes and multiples of [`SECTOR`]; the
/// device has checked that they are within [`BlockBackend::len`]. Called from every thread that
/// serves a queue.
pub trait BlockBackend: fmt::Debug + Send + Sync {
    /// Size in bytes; a partial sector at the end is not visible to the guest.
    fn len(&self) -> u64;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it cannot be written to.
    fn is_read_only(&self) -> bool;

    /// Fills `to` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Not all could be read.
    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Writes `from` from `offset` on. Other reads see it once this returns.
    ///
    /// # Errors
    /// Not all could be written; any part of it may have been.
    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes durable all that was written before.
    ///
    /// # Errors
    /// It may not be durable.
    fn flush(&self) -> io::Result<()>;

    /// The bytes of `range` are not needed any more; what they read as is not defined. A backend
    /// may do nothing.
    ///
    /// # Errors
    /// As of the host.
    fn discard(&self, range: Range<u64>) -> io::Result<()>;

    /// Has the bytes of `range` read as zeros. `may_unmap`: space for them may be given back.
    ///
    /// # Errors
    /// Not all could be written.
    fn write_zeroes(&self, range: Range<u64>, may_unmap: bool) -> io::Result<()>;
}

/// How a disk shows itself.
pub struct DiskOptions {
    /// The serial number. Controllers show as much of it as they have room for.
    pub serial: String,
    /// Whether a write may be answered before it is durable.
    pub write_cache: bool,
    /// What follows when the backend fails.
    pub errors: ErrorPolicy,
    /// Hears of failures.
    pub observer: BlockObserver,
}

impl fmt::Debug for DiskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("DiskOptions");
        text.field("serial", &self.serial).field("write_cache", &self.write_cache);
        text.finish_non_exhaustive()
    }
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was done, or the guest is to be told so.
    Done,
    /// The guest gets an I/O error.
    Failed,
    /// It does not end yet: it is to be tried again.
    Held,
}

/// What a disk has done for the guest, as QEMU's `query-blockstats` counts it
/// (`block_account_one_io`, block/accounting.c): an operation that is held counts once it ends, and
/// what a disk without a write cache makes durable behind a write is no flush. A request that no
/// disk could do, such as one beyond the end, does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub read: Count,
    /// Writes, of zeros too.
    pub write: Count,
    /// Flushes, which have no bytes.
    pub flush: Count,
    /// Discards.
    pub discard: Count,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
struct Counters {
    read: Counter,
    write: Counter,
    flush: Counter,
    discard: Counter,
}

impl Counters {
    /// Counts an operation on so many bytes.
    fn add(&self, operation: Operation, bytes: u64, ending: Ending) {
        let counter = match operation {
            Operation::Read => &self.read,
            Operation::Write | Operation::WriteZeroes => &self.write,
            Operation::Flush => &self.flush,
            Operation::Discard => &self.discard,
        };
        match ending {
            Ending::Done => counter.add_done(bytes),
            Ending::Failed => counter.add_failed(),
            Ending::Held => {}
        }
    }
}

/// A disk.
#[derive(Debug)]
pub struct Disk {
    backend: Box<dyn BlockBackend>,
    options: DiskOptions,
    /// Whether the driver has enabled the write cache.
    write_cache: AtomicBool,
    /// How many requests have written data.
    changes: AtomicU64,
    counters: Counters,
    /// A request is held until the backend can do it.
    is_waiting: AtomicBool,
}

impl Disk {
    /// Creates a disk with the contents of `backend`.
    pub fn new(backend: Box<dyn BlockBackend>, options: DiskOptions) -> Self {
        let write_cache = AtomicBool::new(options.write_cache);
        let (changes, is_waiting) = (AtomicU64::new(0), AtomicBool::new(false));
        let counters = Counters::default();
        Self { backend, options, write_cache, changes, counters, is_waiting }
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        let Counters { read, write, flush, discard } = &self.counters;
        Counts { read: read.get(), write: write.get(), flush: flush.get(), discard: discard.get() }
    }

    /// How many of the guest's requests have written data to the disk.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Bytes that the guest sees.
    pub fn size(&self) -> u64 {
        self.backend.len()
    }

    /// Whole sectors.
    pub fn sectors(&self) -> u64 {
        self.backend.len() / SECTOR
    }

    /// Whether it cannot be written to.
    pub fn is_read_only(&self) -> bool {
        self.backend.is_read_only()
    }

    /// The serial number.
    pub fn serial(&self) -> &str {
        &self.options.serial
    }

    /// Whether the write cache is on.
    pub fn write_cache(&self) -> bool {
        self.write_cache.load(Ordering::SeqCst)
    }

    /// Turns the write cache on or off.
    pub fn set_write_cache(&self, on: bool) {
        self.write_cache.store(on, Ordering::SeqCst);
    }

    /// Makes durable what was written, at the end of the run. The observer hears of what could not
    /// be.
    pub fn finish(&self) {
        if let Err(error) = self.backend.flush() {
            self.tell_failure(Operation::Flush, &error, Action::Report);
        }
    }

    /// The reset of its controller: the write cache is as at first, and no request waits.
    pub fn reset(&self) {
        self.set_write_cache(self.options.write_cache);
        self.cancel();
    }

    /// No request waits any more: its controller has given it up.
    pub fn cancel(&self) {
        self.is_waiting.store(false, Ordering::SeqCst);
    }

    /// A request has been answered. If it had been held, the observer hears that none is any more.
    pub fn answered(&self) {
        if self.is_waiting.swap(false, Ordering::SeqCst) {
            (self.options.observer)(&BlockEvent::Resumed);
        }
    }

    /// The byte range of a request of `len` bytes. `None` if it is not whole sectors, or beyond the
    /// end.
    pub fn range(&self, sector: u64, len: u64) -> Option<Range<u64>> {
        let start = sector.checked_mul(SECTOR)?;
        let end = start.checked_add(len)?;
        let capacity = self.sectors() * SECTOR;
        (len.is_multiple_of(SECTOR) && end <= capacity).then_some(start..end)
    }

    /// Fills `to` from byte `start` on, which [`Self::range`] has checked.
    pub fn read(&self, to: &[VolatileSlice<'_>], start: u64) -> Ending {
        let ending = self.end(Operation::Read, self.backend.read(to, start));
        self.counted(Operation::Read, total(to), ending)
    }

    /// Writes `from` from byte `start` on, which [`Self::range`] has checked. Unless it may be
    /// answered before it is durable (`write_back`), it is made durable.
    pub fn write(&self, from: &[VolatileSlice<'_>], start: u64, write_back: bool) -> Ending {
        if self.is_read_only() {
            return Ending::Failed;
        }
        let written = self.backend.write(from, start);
        if written.is_ok() {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        self.end_change(Operation::Write, total(from), written, write_back)
    }

    /// Makes durable what was written.
    pub fn flush(&self) -> Ending {
        self.counted(Operation::Flush, 0, self.make_durable())
    }

    /// The guest does not need the bytes of `range` any more.
    pub fn discard(&self, range: Range<u64>, write_back: bool) -> Ending {
        if self.is_read_only() {
            return Ending::Failed;
        }
        let bytes = range.end - range.start;
        self.end_change(Operation::Discard, bytes, self.backend.discard(range), write_back)
    }

    /// Has the bytes of `range` read as zeros. `may_unmap`: space for them may be given back.
    pub fn write_zeroes(&self, range: Range<u64>, may_unmap: bool, write_back: bool) -> Ending {
        if self.is_read_only() {
            return Ending::Failed;
        }
        let bytes = range.end - range.start;
        let written = self.backend.write_zeroes(range, may_unmap);
        self.end_change(Operation::WriteZeroes, bytes, written, write_back)
    }

    /// A change ends once it is durable, unless there is a write cache.
    fn end_change(
        &self,
        operation: Operation,
        bytes: u64,
        done: io::Result<()>,
        write_back: bool,
    ) -> Ending {
        let ending = match self.end(operation, done) {
            Ending::Done if !write_back => self.make_durable(),
            ending => ending,
        };
        self.counted(operation, bytes, ending)
    }

    fn make_durable(&self) -> Ending {
        self.end(Operation::Flush, self.backend.flush())
    }

    fn counted(&self, operation: Operation, bytes: u64, ending: Ending) -> Ending {
        self.counters.add(operation, bytes, ending);
        ending
    }

    fn end(&self, operation: Operation, done: io::Result<()>) -> Ending {
        let Err(error) = done else { return Ending::Done };
        let action = self.options.errors.action(operation, &error);
        let was_waiting = action == Action::Hold && self.is_waiting.swap(true, Ordering::SeqCst);
        if !was_waiting {
            self.tell_failure(operation, &error, action);
        }
        match action {
            Action::Report => Ending::Failed,
            Action::Ignore => Ending::Done,
            Action::Hold => Ending::Held,
        }
    }

    fn tell_failure(&self, operation: Operation, error: &io::Error, action: Action) {
        (self.options.observer)(&BlockEvent::Failed { operation, error, action });
    }
}

/// How many bytes there are in slices.
fn total(slices: &[VolatileSlice<'_>]) -> u64 {
    slices.iter().map(|slice| slice.len() as u64).sum()
}
