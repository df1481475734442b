//! What the guest does with the device, told to who wants to know.

use std::fmt;
use std::io;
use std::ops::Range;

use crate::dma::Descriptor;
use crate::key;

/// One thing the guest did. Made without allocation; it lives as long as the call.
#[derive(Debug)]
pub enum Event<'a> {
    /// It selected an item by the port.
    Select(ItemName<'a>),
    /// It read the data port.
    PortRead {
        /// What was selected.
        item: ItemName<'a>,
        /// Bytes of the item that it got.
        range: Range<u64>,
        /// Zeros that it got after them.
        zeros: u64,
    },
    /// It ran a DMA operation.
    Dma(&'a DmaEvent<'a>),
    /// An item could not be read, for a reason that is the host's.
    HostError {
        /// What was selected.
        item: ItemName<'a>,
        /// What went wrong.
        error: &'a io::Error,
    },
}

/// A DMA operation that has ended.
#[derive(Debug)]
pub struct DmaEvent<'a> {
    /// Guest-physical address of the descriptor.
    pub at: u64,
    /// The descriptor, as it was before the operation; `None` if there is no memory.
    pub descriptor: Option<Descriptor>,
    /// Whether it selected the item first.
    pub selected: bool,
    /// What was, or stayed, selected.
    pub item: ItemName<'a>,
    /// What was done.
    pub kind: DmaKind,
    /// Bytes of the item that were moved or skipped.
    pub range: Range<u64>,
    /// Zeros written after them.
    pub zeros: u64,
    /// How it ended.
    pub result: Result<(), DmaError>,
}

/// What a DMA operation does, after it has selected an item or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaKind {
    /// From item to guest memory.
    Read,
    /// From guest memory to item.
    Write,
    /// Moves the offset.
    Skip,
    /// Nothing.
    Nothing,
}

impl fmt::Display for DmaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Skip => "SKIP",
            Self::Nothing => "SELECT",
        })
    }
}

/// Why a DMA operation failed. The guest only sees the ERROR bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaError {
    /// The descriptor is not in memory.
    Descriptor,
    /// The address is not memory all along.
    Address,
    /// The item cannot be written to.
    ReadOnly,
    /// The write goes beyond the item's end.
    BeyondEnd,
    /// The host cannot read the item.
    Host,
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptor => "the descriptor is not in memory",
            Self::Address => "the address is not memory all along",
            Self::ReadOnly => "the item is read-only",
            Self::BeyondEnd => "it goes beyond the item's end",
            Self::Host => "the host cannot read the item",
        })
    }
}

/// Which item: its key, its file name, and whether it is there at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemName<'a> {
    /// The key as the guest gave it.
    pub key: u16,
    /// The name, where it is a file.
    pub file: Option<&'a str>,
    /// Whether there is such an item.
    pub exists: bool,
}

/// The file's name, or QEMU's name of the key, or its number.
impl fmt::Display for ItemName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file, key::name(self.key)) {
            (Some(name), _) => f.write_str(name),
            (None, Some(name)) => f.write_str(name),
            (None, None) => write!(f, "{:#06x}", self.key),
        }
    }
}

/// Hears of what the guest does with the device.
pub trait Observer: Send {
    /// The guest did this. Called with the device locked, in the vCPU's thread: it has to be quick.
    fn observe(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>) + Send> Observer for F {
    fn observe(&mut self, event: &Event<'_>) {
        self(event);
    }
}
