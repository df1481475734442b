//! The device: the selected item, the offset into it, and the selector and data registers.

use std::fmt;
use std::io;
use std::ops::Range;

use guest_memory::Engine;

use crate::data::Data;
use crate::event::{Event, ItemName, Observer};
use crate::items::{Items, Tables};
use crate::key;

/// What the DMA address register reads as, in the order of its bytes (`FW_CFG_DMA_SIGNATURE`).
pub const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";

/// The fw_cfg device, without the I/O ports or memory-mapped registers in front of it.
///
/// Ports and DMA share one selected item and one offset into it: SeaBIOS selects by port and reads
/// by DMA. `M` is the guest's memory as DMA sees it. DMA cannot reach anything else, such as ROM.
pub struct FwCfg<M> {
    /// Gives access to guest memory.
    pub(crate) engine: Engine<M>,
    pub(crate) items: Tables,
    /// The selected key, as the guest wrote it.
    pub(crate) selected: u16,
    /// Offset of the next byte of the item, in bytes. Never beyond its end.
    pub(crate) offset: u64,
    /// The DMA address register.
    pub(crate) dma_address: u64,
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
    /// Creates a device with these items, in its power-on state: the signature is selected. DMA
    /// goes through `engine`.
    pub fn new(items: Items, engine: Engine<M>) -> Self {
        let items = items.into_tables();
        Self { engine, items, selected: key::SIGNATURE, offset: 0, dma_address: 0, observer: None }
    }

    /// Reports what the guest does to `observer` from now on.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Resets the device with the machine (`fw_cfg_reset`). Items keep what the guest has written.
    pub fn reset(&mut self) {
        self.set_selected(key::SIGNATURE);
        self.dma_address = 0;
    }

    /// All items in the order of their keys, the architecture's own last.
    pub fn items(&self) -> impl Iterator<Item = ItemName<'_>> {
        self.items.keys().map(|key| self.items.name(key))
    }

    /// Selects an item; or nothing, if `key` is beyond the tables (`fw_cfg_select`).
    pub(crate) fn set_selected(&mut self, key: u16) {
        self.selected = key;
        self.offset = 0;
    }

    /// How many bytes of the selected item are left to read.
    pub(crate) fn remaining(&self) -> u64 {
        self.items.get(self.selected).map_or(0, |item| item.data.len().saturating_sub(self.offset))
    }

    /// Writes the selector register: selects the item and sets the offset to 0.
    pub fn select(&mut self, key: u16) {
        self.set_selected(key);
        let name = self.items.name(key);
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::Select(name));
        }
    }

    /// Reads the data register once per byte of `to`: the item's next bytes, then zeros.
    pub fn read_data(&mut self, to: &mut [u8]) {
        let count = self.remaining().min(to.len() as u64);
        let (bytes, zeros) = to.split_at_mut(usize::try_from(count).unwrap_or(0));
        zeros.fill(0);
        let range = self.offset..self.offset + count;
        let item = self.items.get(self.selected);
        let read = item.map_or(Ok(()), |item| item.data.read_at(range.start, bytes));
        if let Err(error) = &read {
            // A port read cannot report an error: return zeros, as past the end.
            bytes.fill(0);
            self.report_host_error(error);
        }
        self.offset = range.end;
        self.report_port_read(range, zeros.len() as u64);
    }

    fn report_port_read(&mut self, range: Range<u64>, zeros: u64) {
        let item = self.items.name(self.selected);
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::PortRead { item, range, zeros });
        }
    }

    /// Reports that the selected item cannot be read. Adds the names of the host's files, if it
    /// has any.
    pub(crate) fn report_host_error(&mut self, error: &io::Error) {
        let item = self.items.name(self.selected);
        let data = self.items.get(self.selected).map(|item| &item.data);
        let names = data.into_iter().flat_map(Data::files).map(|file| file.file().name());
        let mut names: Vec<_> = names.filter(|name| !name.as_os_str().is_empty()).collect();
        names.dedup();
        let names: Vec<_> = names.iter().map(|name| format!("'{}'", name.display())).collect();
        let names = names.join(", ");
        let named = io::Error::new(error.kind(), format!("{names}: {error}"));
        let error = if names.is_empty() { error } else { &named };
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::HostError { item, error });
        }
    }

    /// Reads the DMA address register, 8 bytes, from byte `offset`. It always holds the signature;
    /// zeros follow it.
    pub fn read_dma_register(&self, offset: usize, to: &mut [u8]) {
        let mut signature = DMA_SIGNATURE.iter().skip(offset);
        to.fill_with(|| signature.next().copied().unwrap_or(0));
    }
}
