//! A disk (virtio 1.2, 5.2). Data moves between the backend and guest memory without a copy.
//!
//! What it offers: FLUSH with a write cache that the driver can switch (CONFIG_WCE), DISCARD and
//! WRITE_ZEROES, SIZE_MAX and SEG_MAX, BLK_SIZE, TOPOLOGY, RO, and MQ where there is more than one
//! queue.
//!
//! What it promises: a write that was answered is in the backend; without a write cache, or for a
//! driver that cannot flush, it is durable too. A FLUSH that was answered was a successful
//! [`BlockBackend::flush`]. A read-only disk is never written to, whatever the driver has agreed
//! to. Where the backend fails, what follows is the owner's choice ([`ErrorPolicy`]): an I/O error,
//! nothing, or that the request and those behind it wait until it can be done. A reset gives up
//! requests that wait.

mod config;
mod errors;
mod request;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use virtio_bindings::virtio_blk as bindings;
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use vm_memory::{GuestAddress, GuestMemoryMmap, VolatileSlice};

use super::chain::{Chain, put};
use super::device::VirtioDevice;
pub use errors::{Action, BlockEvent, BlockObserver, ErrorPolicy, OnError, Operation};

/// Bytes of a sector, the unit of the protocol. It is not the disk's block size.
pub const SECTOR: u64 = 512;
/// Descriptors of a queue, as QEMU has it.
pub const QUEUE_SIZE: u16 = 256;
/// Maximum length of a serial number in bytes; longer ones are truncated.
pub const SERIAL_SIZE: usize = bindings::VIRTIO_BLK_ID_BYTES as usize;

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
pub struct BlockOptions {
    /// The serial number; at most [`SERIAL_SIZE`] bytes of it are shown.
    pub serial: String,
    /// How many queues there are, at least 1.
    pub queues: u16,
    /// Whether a write may be answered before it is durable.
    pub write_cache: bool,
    /// What follows when the backend fails.
    pub errors: ErrorPolicy,
    /// Hears of failures.
    pub observer: BlockObserver,
}

impl fmt::Debug for BlockOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("BlockOptions");
        text.field("serial", &self.serial).field("queues", &self.queues);
        text.field("write_cache", &self.write_cache).finish_non_exhaustive()
    }
}

/// A disk.
#[derive(Debug)]
pub struct Block {
    backend: Box<dyn BlockBackend>,
    options: BlockOptions,
    queue_sizes: Vec<u16>,
    /// Whether the driver has enabled the write cache.
    write_cache: AtomicBool,
    /// The features the driver has accepted.
    features: AtomicU64,
    /// How many requests have written data.
    changes: AtomicU64,
    /// A request is held until the backend can do it.
    is_waiting: AtomicBool,
}

impl Block {
    /// Creates a disk with the contents of `backend`.
    pub fn new(backend: Box<dyn BlockBackend>, options: BlockOptions) -> Self {
        let queue_sizes = vec![QUEUE_SIZE; options.queues.max(1).into()];
        let write_cache = AtomicBool::new(options.write_cache);
        let (features, changes) = (AtomicU64::new(0), AtomicU64::new(0));
        let is_waiting = AtomicBool::new(false);
        Self { backend, options, queue_sizes, write_cache, features, changes, is_waiting }
    }

    /// How many of the guest's requests have written data to the disk.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Bytes that the guest sees.
    pub fn size(&self) -> u64 {
        self.backend.len()
    }

    /// Makes durable what was written, at the end of the run. The observer hears of what could not
    /// be.
    pub fn flush(&self) {
        if let Err(error) = self.backend.flush() {
            self.tell_failure(Operation::Flush, &error, Action::Report);
        }
    }

    fn tell_failure(&self, operation: Operation, error: &io::Error, action: Action) {
        (self.options.observer)(&BlockEvent::Failed { operation, error, action });
    }

    fn has(&self, feature: u32) -> bool {
        self.features.load(Ordering::SeqCst) & 1 << feature != 0
    }

    /// Whether writes may be answered before they are durable: the driver can flush, and the cache
    /// is on.
    fn is_write_back(&self) -> bool {
        self.has(bindings::VIRTIO_BLK_F_FLUSH) && self.write_cache.load(Ordering::SeqCst)
    }

    fn reset_driver(&self) {
        self.features.store(0, Ordering::SeqCst);
        self.write_cache.store(self.options.write_cache, Ordering::SeqCst);
        self.is_waiting.store(false, Ordering::SeqCst);
    }
}

impl VirtioDevice for Block {
    fn device_id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        config::features(self.backend.is_read_only(), self.queue_sizes.len())
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let config = config::Config {
            sectors: self.backend.len() / SECTOR,
            write_cache: self.write_cache.load(Ordering::SeqCst),
            queues: self.queue_sizes.len(),
        };
        config.read(offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        if let (config::WRITE_CACHE, &[on]) = (offset, data)
            && self.has(bindings::VIRTIO_BLK_F_CONFIG_WCE)
        {
            self.write_cache.store(on != 0, Ordering::SeqCst);
        }
    }

    fn negotiated(&self, features: u64) {
        self.features.store(features, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.reset_driver();
    }

    fn serve(&self, _: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        // The status is the last byte that the device may write (virtio 1.2, 5.2.6).
        let Some(last) = chain.writable().last() else { return Some(0) };
        let Some(at) = last.at.0.checked_add(u64::from(last.len - 1)) else { return Some(0) };
        let written: u32 = chain.writable().iter().map(|segment| segment.len).sum();
        let code = self.answer(memory, chain).code()?;
        if self.is_waiting.load(Ordering::SeqCst) {
            self.is_waiting.store(false, Ordering::SeqCst);
            (self.options.observer)(&BlockEvent::Resumed);
        }
        Some(put(memory, GuestAddress(at), code).map_or(0, |()| written))
    }
}

#[cfg(test)]
mod tests;
