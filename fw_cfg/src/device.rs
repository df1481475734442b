//! The device: what is selected, how far it has been read, and the registers that lead there.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::ops::Range;

use crate::data::Data;
use crate::event::{Event, ItemName, Observer};
use crate::items::{Items, Tables};
use crate::key;
use guest_memory::{Engine, Memory};

/// What the DMA address register reads as, byte by byte (`FW_CFG_DMA_SIGNATURE`).
pub const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";

/// The fw_cfg device, without the ports or memory-mapped registers it is reached by.
///
/// One thing is selected at a time, and there is one offset into it, whether by port or by DMA: SeaBIOS selects by the port and
/// reads by DMA. `M` is the guest's memory, as DMA sees it: what is not in it, ROM included, can neither be read nor written.
pub struct FwCfg<M> {
    /// The way into guest memory.
    pub(crate) engine: Engine<M>,
    pub(crate) items: Tables,
    /// The key as the guest gave it.
    pub(crate) selected: u16,
    /// How many bytes of the item have been read. Never beyond its end.
    pub(crate) offset: u64,
    /// What was written to the DMA address register so far.
    dma_address: u64,
    pub(crate) observer: Option<Box<dyn Observer>>,
}

impl<M> fmt::Debug for FwCfg<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FwCfg")
            .field("selected", &self.items.name(self.selected))
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl<M> FwCfg<M> {
    /// A device with these items, in the machine whose memory `engine` reaches. It is as after power-on: the signature is selected.
    pub fn new(items: Items, engine: Engine<M>) -> Self {
        let items = items.into_tables();
        Self { engine, items, selected: key::SIGNATURE, offset: 0, dma_address: 0, observer: None }
    }

    /// From now on tells `observer` what the guest does.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// The machine's reset (`fw_cfg_reset`). What the guest has written to items stays.
    pub fn reset(&mut self) {
        self.set_selected(key::SIGNATURE);
        self.dma_address = 0;
    }

    /// Every item there is, in the order of keys, the architecture's own last.
    pub fn items(&self) -> impl Iterator<Item = ItemName<'_>> {
        self.items.keys().map(|key| self.items.name(key))
    }

    /// Selects an item, or nothing where `key` is beyond the tables (`fw_cfg_select`).
    pub(crate) fn set_selected(&mut self, key: u16) {
        self.selected = key;
        self.offset = 0;
    }

    /// Bytes of the selected item that have not been read.
    pub(crate) fn remaining(&self) -> u64 {
        self.items.get(self.selected).map_or(0, |item| item.data.len().saturating_sub(self.offset))
    }

    /// The selector register: selects an item, from its first byte on.
    pub fn select(&mut self, key: u16) {
        self.set_selected(key);
        let name = self.items.name(key);
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::Select(name));
        }
    }

    /// The data register, read as often as `to` has bytes: the item's next bytes, then zeros without end.
    pub fn read_data(&mut self, to: &mut [u8]) {
        let count = self.remaining().min(to.len() as u64);
        let (bytes, zeros) = to.split_at_mut(usize::try_from(count).unwrap_or(0));
        zeros.fill(0);
        let range = self.offset..self.offset + count;
        let item = self.items.get(self.selected);
        let read = item.map_or(Ok(()), |item| item.data.read_at(range.start, bytes));
        if let Err(error) = &read {
            // By this way there is no word of an error: zeros, as past the end.
            bytes.fill(0);
            self.tell_host_error(error);
        }
        self.offset = range.end;
        self.tell_port_read(range, zeros.len() as u64);
    }

    fn tell_port_read(&mut self, range: Range<u64>, zeros: u64) {
        let item = self.items.name(self.selected);
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::PortRead { item, range, zeros });
        }
    }

    /// Tells that the selected item cannot be read, by the name of its file too, where it has one.
    pub(crate) fn tell_host_error(&mut self, error: &io::Error) {
        let item = self.items.name(self.selected);
        let path = match self.items.get(self.selected).map(|item| &item.data) {
            Some(Data::File(file)) => file.file().name().to_string_lossy(),
            _ => Cow::default(),
        };
        let named = io::Error::new(error.kind(), format!("'{path}': {error}"));
        let error = if path.is_empty() { error } else { &named };
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::HostError { item, error });
        }
    }

    /// The DMA address register, 8 bytes, read from byte `offset` of it on: the signature. Beyond it there are zeros.
    pub fn read_dma_register(&self, offset: usize, to: &mut [u8]) {
        let mut signature = DMA_SIGNATURE.iter().skip(offset);
        to.fill_with(|| signature.next().copied().unwrap_or(0));
    }
}

impl<M: Memory> FwCfg<M> {
    /// The DMA address register, 8 bytes, big-endian, written from byte `offset` of it on. It takes 4 bytes at offset 0 (the high
    /// half; the low one becomes 0), 4 at offset 4 or 8 at offset 0, and nothing else (`fw_cfg_dma_mem_valid`). The last two
    /// start the operation; when they return, it has ended. The register is 0 again before it begins.
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
}
