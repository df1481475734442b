//! One request of a driver: a chain of descriptors, read and checked as a whole before a device
//! sees it (virtio 1.2, 2.7.5 to 2.7.7).
//!
//! virtio-queue's own iterator ends a chain silently where it breaks a rule, and a device would
//! take the part for the whole.

use thiserror::Error;
use virtio_queue::desc::split::Descriptor;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::buffers::{Segment, slice};

/// The longest indirect table that is read, in descriptors. QEMU has the same limit
/// (`VIRTQUEUE_MAX_SIZE`); Linux makes tables of no more than the queue's size.
const MAX_INDIRECT: u32 = 1024;
/// Bytes of a descriptor.
const DESCRIPTOR_SIZE: u32 = 16;

/// Why a chain is invalid.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChainError {
    /// A descriptor's index is not in its table.
    #[error("descriptor {index} is outside a table of {count}")]
    Index {
        /// The index.
        index: u16,
        /// How many descriptors the table has.
        count: u32,
    },
    /// More descriptors than the table has: a loop.
    #[error("a chain is longer than its table of {0} descriptors")]
    Loop(u32),
    /// A descriptor cannot be read.
    #[error("a descriptor at {0:#x} is not in memory")]
    Memory(u64),
    /// An indirect table that must not be: not negotiated, inside another one, or followed by a
    /// descriptor.
    #[error("an indirect descriptor is not allowed here")]
    Indirect,
    /// An indirect table of no descriptors, of part of one, or of too many.
    #[error("an indirect table has {0} bytes")]
    TableSize(u32),
    /// A readable buffer after a writable one.
    #[error("a readable buffer follows a writable one")]
    Order,
    /// More than 4 GiB.
    #[error("a chain has more than 4 GiB")]
    TooLarge,
}

/// Where descriptors are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// The first one.
    pub at: GuestAddress,
    /// How many there are.
    pub count: u32,
    /// Whether its descriptors may name an indirect table.
    pub may_be_indirect: bool,
}

impl Table {
    fn descriptor(&self, memory: &GuestMemoryMmap, index: u16) -> Result<Descriptor, ChainError> {
        if u32::from(index) >= self.count {
            return Err(ChainError::Index { index, count: self.count });
        }
        let offset = u64::from(index) * u64::from(DESCRIPTOR_SIZE);
        let at = self.at.0.checked_add(offset).ok_or(ChainError::Memory(self.at.0))?;
        let descriptor = match slice(memory, GuestAddress(at), DESCRIPTOR_SIZE) {
            Some(slice) => slice.read_obj(0).ok(),
            None => memory.read_obj(GuestAddress(at)).ok(),
        };
        descriptor.ok_or(ChainError::Memory(at))
    }

    /// The table that an indirect descriptor names.
    fn indirect(&self, descriptor: &Descriptor) -> Result<Self, ChainError> {
        if !self.may_be_indirect || descriptor.has_next() {
            return Err(ChainError::Indirect);
        }
        let (len, count) = (descriptor.len(), descriptor.len() / DESCRIPTOR_SIZE);
        if !len.is_multiple_of(DESCRIPTOR_SIZE) || count == 0 || count > MAX_INDIRECT {
            return Err(ChainError::TableSize(len));
        }
        Ok(Self { at: descriptor.addr(), count, may_be_indirect: false })
    }
}

/// The buffers of one request: first those the device reads, then those it writes. Kept from
/// request to request, so that its memory is.
#[derive(Debug, Default)]
pub struct Chain {
    segments: Vec<Segment>,
    /// How many of them are readable.
    readable: usize,
}

impl Chain {
    /// The buffers that the device reads.
    pub fn readable(&self) -> &[Segment] {
        &self.segments[..self.readable]
    }

    /// The buffers that the device writes.
    pub fn writable(&self) -> &[Segment] {
        &self.segments[self.readable..]
    }

    /// Reads the chain that begins at `head`.
    ///
    /// # Errors
    /// It violates a rule. Data read so far must be discarded.
    pub(super) fn read(
        &mut self,
        memory: &GuestMemoryMmap,
        mut table: Table,
        head: u16,
    ) -> Result<(), ChainError> {
        self.segments.clear();
        self.readable = 0;
        let (mut index, mut left, mut total) = (head, table.count, 0u32);
        loop {
            let descriptor = table.descriptor(memory, index)?;
            left = left.checked_sub(1).ok_or(ChainError::Loop(table.count))?;
            if descriptor.refers_to_indirect_table() {
                table = table.indirect(&descriptor)?;
                (index, left) = (0, table.count);
                continue;
            }
            total = total.checked_add(descriptor.len()).ok_or(ChainError::TooLarge)?;
            self.push(&descriptor)?;
            if !descriptor.has_next() {
                return Ok(());
            }
            index = descriptor.next();
        }
    }

    /// Adds a buffer. Empty ones count for their order only.
    fn push(&mut self, descriptor: &Descriptor) -> Result<(), ChainError> {
        let is_writable = descriptor.is_write_only();
        if !is_writable && self.readable != self.segments.len() {
            return Err(ChainError::Order);
        }
        if descriptor.len() != 0 {
            self.segments.push(Segment { at: descriptor.addr(), len: descriptor.len() });
            self.readable += usize::from(!is_writable);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
