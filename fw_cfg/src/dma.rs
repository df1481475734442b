//! One DMA operation: `struct fw_cfg_dma_access` in, data moved, `control` written back.
//!
//! The order of steps and every corner case are those of `fw_cfg_dma_transfer` in hw/nvram/fw_cfg.c of QEMU.

use std::io;
use std::sync::atomic::{Ordering, fence};

use vm_memory::{Bytes, GuestAddress};

use crate::data::Data;
use crate::device::FwCfg;
use crate::event::{DmaError, DmaEvent, DmaKind, Event};
use guest_memory::{Memory, Source, TransferError};

/// Control: the operation failed. Set by the device; ignored in a request.
pub const ERROR: u32 = 1;
/// Control: item to guest memory.
pub const READ: u32 = 1 << 1;
/// Control: move the offset.
pub const SKIP: u32 = 1 << 2;
/// Control: select the item in bits 16 to 31 first.
pub const SELECT: u32 = 1 << 3;
/// Control: guest memory to item.
pub const WRITE: u32 = 1 << 4;

/// Bytes of a descriptor in guest memory.
pub const DESCRIPTOR_SIZE: usize = 16;

/// `struct fw_cfg_dma_access`: 16 bytes anywhere in guest memory, all fields big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What to do: bits above; with [`SELECT`], the key in bits 16 to 31. Others are ignored.
    pub control: u32,
    /// Bytes to move.
    pub length: u32,
    /// Guest-physical address to move them to or from.
    pub address: u64,
}

impl Descriptor {
    /// From the bytes in guest memory.
    pub fn from_bytes(bytes: [u8; DESCRIPTOR_SIZE]) -> Self {
        let [c0, c1, c2, c3, l0, l1, l2, l3, address @ ..] = bytes;
        Self {
            control: u32::from_be_bytes([c0, c1, c2, c3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
            address: u64::from_be_bytes(address),
        }
    }

    /// As it lies in guest memory.
    pub fn to_bytes(self) -> [u8; DESCRIPTOR_SIZE] {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        bytes[..4].copy_from_slice(&self.control.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_be_bytes());
        bytes[8..].copy_from_slice(&self.address.to_be_bytes());
        bytes
    }

    /// The key in a request that selects.
    fn key(self) -> Option<u16> {
        let [high, low, ..] = self.control.to_be_bytes();
        (self.control & SELECT != 0).then_some(u16::from_be_bytes([high, low]))
    }

    /// READ before WRITE before SKIP.
    fn kind(self) -> DmaKind {
        match self.control {
            control if control & READ != 0 => DmaKind::Read,
            control if control & WRITE != 0 => DmaKind::Write,
            control if control & SKIP != 0 => DmaKind::Skip,
            _ => DmaKind::Nothing,
        }
    }
}

impl<M: Memory> FwCfg<M> {
    /// Runs the operation whose descriptor is at guest-physical address `at`. `control` is always written back, or the guest
    /// would wait for ever: 0, or [`ERROR`].
    pub(crate) fn run_dma(&mut self, at: u64) {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        let found = self.engine.memory().read_slice(&mut bytes, GuestAddress(at));
        let descriptor = found.is_ok().then(|| Descriptor::from_bytes(bytes));
        let offset = self.offset;
        let (mut start, mut zeros) = (offset, 0);
        let result = descriptor.ok_or(DmaError::Descriptor).and_then(|descriptor| {
            if let Some(key) = descriptor.key() {
                self.set_selected(key);
                start = 0;
            }
            match descriptor.kind() {
                // Nothing is looked at when nothing is to be moved.
                _ if descriptor.length == 0 => Ok(()),
                DmaKind::Read => self.dma_read(descriptor, &mut zeros),
                DmaKind::Write => self.dma_write(descriptor),
                DmaKind::Skip => {
                    self.offset += u64::from(descriptor.length).min(self.remaining());
                    Ok(())
                }
                DmaKind::Nothing => Ok(()),
            }
        });
        // What the guest finds once it sees `control` change is what was moved.
        fence(Ordering::Release);
        let result = if self.lost_page() { Err(DmaError::Host) } else { result };
        let control = if result.is_ok() { 0 } else { ERROR };
        // A descriptor that is not in memory has no place for it either.
        let _ = self.engine.memory().write_slice(&control.to_be_bytes(), GuestAddress(at));
        self.lost_page();
        let event = DmaEvent {
            at,
            descriptor,
            selected: descriptor.is_some_and(|descriptor| descriptor.key().is_some()),
            item: self.items.name(self.selected),
            kind: descriptor.map_or(DmaKind::Nothing, Descriptor::kind),
            range: start..self.offset,
            zeros,
            result,
        };
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::Dma(&event));
        }
    }

    /// Whether the operation came to a page of guest memory that is lost. The host is told.
    fn lost_page(&mut self) -> bool {
        let lost = self.engine.take_lost_page();
        if lost {
            self.tell_host_error(&io::Error::other(
                "a page of a file in guest memory cannot be read any more",
            ));
        }
        lost
    }

    /// The item's bytes, then zeros for what it does not have: firmware reads items that are not there into variables it has not
    /// set. The offset moves by what the item gave, even to an address that is no memory.
    fn dma_read(&mut self, descriptor: Descriptor, zeros: &mut u64) -> Result<(), DmaError> {
        let len = u64::from(descriptor.length);
        let from_item = len.min(self.remaining());
        let start = self.offset;
        self.offset += from_item;
        if from_item > 0
            && let Some(item) = self.items.get(self.selected)
        {
            let to = GuestAddress(descriptor.address);
            match self.engine.transfer(item.data.part(start, from_item), to) {
                Ok(()) => {}
                Err(TransferError::Guest) => return Err(DmaError::Address),
                Err(TransferError::Host(error)) => {
                    self.tell_host_error(&error);
                    return Err(DmaError::Host);
                }
            }
        }
        let rest = GuestAddress(descriptor.address.wrapping_add(from_item));
        let filled = self.engine.transfer(Source::Zeros(len - from_item), rest);
        filled.map_err(|_| DmaError::Address)?;
        *zeros = len - from_item;
        Ok(())
    }

    /// Writes all of it or nothing. The offset moves by what there was room for, even if nothing was written.
    fn dma_write(&mut self, descriptor: Descriptor) -> Result<(), DmaError> {
        let len = u64::from(descriptor.length);
        let room = len.min(self.remaining());
        let start = self.offset;
        self.offset += room;
        let Some(item) = self.items.get_mut(self.selected) else {
            return Err(DmaError::BeyondEnd);
        };
        let Some(on_write) = &mut item.on_write else { return Err(DmaError::ReadOnly) };
        if room != len {
            return Err(DmaError::BeyondEnd);
        }
        let Data::Bytes(bytes) = &mut item.data else { return Err(DmaError::ReadOnly) };
        let (start, count) = (index(start)?, index(len)?);
        // No longer than the item, so not of the guest's choosing.
        let mut written = vec![0; count];
        self.engine
            .memory()
            .read_slice(&mut written, GuestAddress(descriptor.address))
            .map_err(|_| DmaError::Address)?;
        bytes.to_mut()[start..start + count].copy_from_slice(&written);
        on_write(bytes, start, count);
        Ok(())
    }
}

/// A position within a writable item, which is in memory.
fn index(value: u64) -> Result<usize, DmaError> {
    usize::try_from(value).map_err(|_| DmaError::BeyondEnd)
}
