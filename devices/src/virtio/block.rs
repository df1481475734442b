//! A disk (virtio 1.2, 5.2).
//!
//! What it offers: FLUSH with a write cache that the driver can switch (CONFIG_WCE), DISCARD and
//! WRITE_ZEROES, SIZE_MAX and SEG_MAX, BLK_SIZE, TOPOLOGY, RO, and MQ where there is more than one
//! queue.
//!
//! What it promises is in [`crate::disk`]. A driver that cannot flush is treated as if there were
//! no write cache. A read-only disk is never written to, whatever the driver has agreed to.

mod config;
mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use virtio_bindings::virtio_blk as bindings;
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::chain::Chain;
use super::device::VirtioDevice;
use crate::buffers::put;
use crate::disk::Disk;

/// Descriptors of a queue, as QEMU has it.
pub const QUEUE_SIZE: u16 = 256;
/// Maximum length of a serial number in bytes; longer ones are truncated.
pub const SERIAL_SIZE: usize = bindings::VIRTIO_BLK_ID_BYTES as usize;

/// A disk's device.
#[derive(Debug)]
pub struct Block {
    disk: Arc<Disk>,
    queue_sizes: Vec<u16>,
    /// The features the driver has accepted.
    features: AtomicU64,
}

impl Block {
    /// Creates a device with `queues` queues, at least 1, for a disk.
    pub fn new(disk: Arc<Disk>, queues: u16) -> Self {
        let queue_sizes = vec![QUEUE_SIZE; queues.max(1).into()];
        Self { disk, queue_sizes, features: AtomicU64::new(0) }
    }

    fn has(&self, feature: u32) -> bool {
        self.features.load(Ordering::SeqCst) & 1 << feature != 0
    }

    /// Whether writes may be answered before they are durable: the driver can flush, and the cache
    /// is on.
    fn is_write_back(&self) -> bool {
        self.has(bindings::VIRTIO_BLK_F_FLUSH) && self.disk.write_cache()
    }
}

impl VirtioDevice for Block {
    fn device_id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        config::features(self.disk.is_read_only(), self.queue_sizes.len())
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let config = config::Config {
            sectors: self.disk.sectors(),
            write_cache: self.disk.write_cache(),
            queues: self.queue_sizes.len(),
        };
        config.read(offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        if let (config::WRITE_CACHE, &[on]) = (offset, data)
            && self.has(bindings::VIRTIO_BLK_F_CONFIG_WCE)
        {
            self.disk.set_write_cache(on != 0);
        }
    }

    fn negotiated(&self, features: u64) {
        self.features.store(features, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.features.store(0, Ordering::SeqCst);
        self.disk.reset();
    }

    fn serve(&self, _: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        // The status is the last byte that the device may write (virtio 1.2, 5.2.6).
        let Some(last) = chain.writable().last() else { return Some(0) };
        let Some(at) = last.at.0.checked_add(u64::from(last.len - 1)) else { return Some(0) };
        let written: u32 = chain.writable().iter().map(|segment| segment.len).sum();
        let code = self.answer(memory, chain).code()?;
        self.disk.answered();
        Some(put(memory, GuestAddress(at), code).map_or(0, |()| written))
    }
}

#[cfg(test)]
mod tests;
