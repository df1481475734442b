//! The DMA address register, and the operations it starts: read the descriptor, move the data,
//! write `control` back.
//!
//! The order of steps and every corner case follow `fw_cfg_dma_transfer` in hw/nvram/fw_cfg.c of
//! QEMU.

use std::io;
use std::sync::atomic::{Ordering, fence};

use guest_memory::{Memory, Source, TransferError};
use vm_memory::{Bytes, GuestAddress};

use crate::data::Data;
use crate::device::FwCfg;
use crate::dma::{DESCRIPTOR_SIZE, Descriptor, ERROR};
use crate::event::{DmaError, DmaEvent, DmaKind, Event};

impl<M: Memory> FwCfg<M> {
    /// Writes `from` to the DMA address register, 8 bytes, big-endian, starting at byte `offset`.
    ///
    /// The register accepts 4 bytes at offset 0 (the high half; the low half becomes 0), 4 bytes at
    /// offset 4, and 8 bytes at offset 0. Other writes are ignored (`fw_cfg_dma_mem_valid`). The
    /// last two run the operation before they return. The register is 0 again when it starts.
    pub fn write_dma_register(&mut self, offset: usize, from: &[u8]) {
        let address = match (offset, from) {
            (0, [a, b, c, d]) => {
                self.dma_address = u64::from(u32::from_be_bytes([*a, *b, *c, *d])) << 32;
                return;
            }
            (4, [a, b, c, d]) => self.dma_address | u64::from(u32::from_be_bytes([*a, *b, *c, *d])),
            (0, &[a, b, c, d, e, f, g, h]) => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return,
        };
        self.dma_address = 0;
        self.run_dma(address);
    }

    /// Runs the operation whose descriptor is at guest-physical address `at`. Always writes
    /// `control` back, 0 or [`ERROR`]: the guest polls it and would otherwise hang.
    fn run_dma(&mut self, at: u64) {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        let found = self.engine.memory().read_slice(&mut bytes, GuestAddress(at));
        let descriptor = found.is_ok().then(|| Descriptor::from_bytes(bytes));
        let mut start = self.offset;
        let moved = descriptor.ok_or(DmaError::Descriptor).and_then(|descriptor| {
            if let Some(key) = descriptor.key() {
                self.set_selected(key);
                start = 0;
            }
            self.move_data(descriptor)
        });
        // Whoever sees the new `control` must also see the data.
        fence(Ordering::Release);
        let zeros = moved.unwrap_or(0);
        let result = if self.report_lost_page() { Err(DmaError::Host) } else { moved.map(|_| ()) };
        let control = if result.is_ok() { 0 } else { ERROR };
        // If the descriptor is not in memory, `control` may not be either.
        let _ = self.engine.memory().write_slice(&control.to_be_bytes(), GuestAddress(at));
        // The page of the descriptor may be lost as well. It has been replaced and the write
        // repeated, so `control` is there; only the host needs to know.
        let _ = self.report_lost_page();
        let event = DmaEvent {
            at,
            descriptor,
            selected: descriptor.is_some_and(|descriptor| descriptor.key().is_some()),
            item: self.items.name(self.selected),
            kind: descriptor.map_or(DmaKind::Nothing, DmaKind::of),
            range: start..self.offset,
            zeros,
            result,
        };
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::Dma(&event));
        }
    }

    /// Does what the descriptor asks for, after any selection. Returns how many zero bytes it wrote
    /// after the item's own.
    fn move_data(&mut self, descriptor: Descriptor) -> Result<u64, DmaError> {
        match DmaKind::of(descriptor) {
            // With length 0, nothing is checked.
            _ if descriptor.length == 0 => Ok(0),
            DmaKind::Read => self.dma_read(descriptor),
            DmaKind::Write => self.dma_write(descriptor).map(|()| 0),
            DmaKind::Skip => {
                self.offset += u64::from(descriptor.length).min(self.remaining());
                Ok(0)
            }
            DmaKind::Nothing => Ok(0),
        }
    }

    /// Whether this process touched a lost page of guest memory. If so, tells the host.
    fn report_lost_page(&mut self) -> bool {
        let lost = self.engine.take_lost_page();
        if lost {
            self.report_host_error(&io::Error::other(
                "a file's page in guest memory can no longer be read",
            ));
        }
        lost
    }

    /// Copies the item's bytes to guest memory, then zeros up to the length: firmware reads absent
    /// items into uninitialised variables. The offset advances by the item's bytes even if the
    /// address is invalid. Returns how many zeros were written.
    fn dma_read(&mut self, descriptor: Descriptor) -> Result<u64, DmaError> {
        let len = u64::from(descriptor.length);
        let from_item = len.min(self.remaining());
        let start = self.offset;
        self.offset += from_item;
        if from_item > 0
            && let Some(item) = self.items.get(self.selected)
        {
            let mut to = descriptor.address;
            let moved = item.data.sources(start, from_item).try_for_each(|(source, len)| {
                self.engine.transfer(source, GuestAddress(to))?;
                to = to.wrapping_add(len);
                Ok(())
            });
            match moved {
                Ok(()) => {}
                Err(TransferError::Guest) => return Err(DmaError::Address),
                Err(TransferError::Host(error)) => {
                    self.report_host_error(&error);
                    return Err(DmaError::Host);
                }
            }
        }
        let zeros = len - from_item;
        let rest = GuestAddress(descriptor.address.wrapping_add(from_item));
        let filled = self.engine.transfer(Source::Zeros(zeros), rest);
        filled.map_err(|_| DmaError::Address)?;
        Ok(zeros)
    }

    /// Copies from guest memory to the item, all bytes or none. The offset advances by what there
    /// was room for, even if nothing was written.
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
        // Not longer than the item, so the guest does not choose how much is allocated.
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

/// Converts a position within a writable item, which is in the host's memory.
fn index(value: u64) -> Result<usize, DmaError> {
    usize::try_from(value).map_err(|_| DmaError::BeyondEnd)
}
