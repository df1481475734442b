//! Events: what the guest does with the device, for traces and messages.

use std::fmt;
use std::io;
use std::ops::Range;

use crate::dma::{Descriptor, READ, SKIP, WRITE};
use crate::key;

/// One thing the guest did. Creating an event does not allocate.
#[derive(Debug)]
pub enum Event<'a> {
    /// It wrote the selector register.
    Select(ItemName<'a>),
    /// It read the data register.
    PortRead {
        /// The selected item.
        item: ItemName<'a>,
        /// Which bytes of the item it got.
        range: Range<u64>,
        /// How many zeros it got after them.
        zeros: u64,
    },
    /// It ran a DMA operation.
    Dma(&'a DmaEvent<'a>),
    /// The host could not read an item.
    HostError {
        /// The selected item.
        item: ItemName<'a>,
        /// What went wrong.
        error: &'a io::Error,
    },
}

/// A completed DMA operation.
#[derive(Debug)]
pub struct DmaEvent<'a> {
    /// Guest-physical address of the descriptor.
    pub at: u64,
    /// The descriptor as it was before the operation; `None` if it is not in memory.
    pub descriptor: Option<Descriptor>,
    /// Whether the operation selected the item.
    pub selected: bool,
    /// The item that is selected now.
    pub item: ItemName<'a>,
    /// What the operation did.
    pub kind: DmaKind,
    /// Which bytes of the item were moved or skipped.
    pub range: Range<u64>,
    /// How many zeros were written after them.
    pub zeros: u64,
    /// Whether it succeeded.
    pub result: Result<(), DmaError>,
}

/// What a DMA operation does, apart from selecting an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaKind {
    /// Copies from the item to guest memory.
    Read,
    /// Copies from guest memory to the item.
    Write,
    /// Advances the offset.
    Skip,
    /// Nothing.
    Nothing,
}

impl DmaKind {
    /// What a descriptor asks for. READ takes precedence over WRITE, and WRITE over SKIP.
    pub(crate) fn of(descriptor: Descriptor) -> Self {
        match descriptor.control {
            control if control & READ != 0 => Self::Read,
            control if control & WRITE != 0 => Self::Write,
            control if control & SKIP != 0 => Self::Skip,
            _ => Self::Nothing,
        }
    }
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

/// Why a DMA operation failed. The guest sees only the ERROR bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaError {
    /// The descriptor is not in memory.
    Descriptor,
    /// The address range is not entirely guest memory.
    Address,
    /// The item cannot be written to.
    ReadOnly,
    /// The write would go beyond the item's end.
    BeyondEnd,
    /// The host cannot read the item.
    Host,
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptor => "the descriptor is not in memory",
            Self::Address => "the address range is not entirely guest memory",
            Self::ReadOnly => "the item is read-only",
            Self::BeyondEnd => "the write would go beyond the item's end",
            Self::Host => "the host cannot read the item",
        })
    }
}

/// Identifies an item: its key, its file name, and whether it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemName<'a> {
    /// The key, as the guest wrote it.
    pub key: u16,
    /// The name, if it is a file.
    pub file: Option<&'a str>,
    /// Whether the item exists.
    pub exists: bool,
}

/// The file's name, QEMU's name for the key, or the key in hexadecimal.
impl fmt::Display for ItemName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file, key::name(self.key)) {
            (Some(name), _) => f.write_str(name),
            (None, Some(name)) => f.write_str(name),
            (None, None) => write!(f, "{:#06x}", self.key),
        }
    }
}

/// Receives events.
pub trait Observer: Send {
    /// Called for each event, on the vCPU's thread and with the device locked: it must be quick.
    fn observe(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>) + Send> Observer for F {
    fn observe(&mut self, event: &Event<'_>) {
        self(event);
    }
}
