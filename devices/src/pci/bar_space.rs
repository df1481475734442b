//! The configuration space of a function with registers in memory, and the decoder that maps them.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::bar::{BarDecoder, MemoryBar, MemoryWindow};
use super::function::{COMMAND, COMMAND_MEMORY, ConfigSpace, INTERRUPT_LINE};
use crate::irq::{LevelLine, MsiSender};

/// What a function is connected to. `N` wakes the threads that serve it.
pub struct Connections<N: ?Sized> {
    /// INTA.
    pub pin: Box<dyn LevelLine>,
    /// Sends the messages of MSI and MSI-X.
    pub messages: Box<dyn MsiSender>,
    /// Wakes the threads.
    pub notifier: Box<N>,
}

impl<N: ?Sized> fmt::Debug for Connections<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

/// Configuration space with memory BARs.
pub struct BarSpace {
    space: ConfigSpace,
    bars: &'static [MemoryBar],
    decoder: Option<Box<dyn BarDecoder>>,
}

impl BarSpace {
    /// The configuration space of a function with these BARs, in the order in which they are
    /// placed.
    #[must_use]
    pub fn new(space: ConfigSpace, bars: &'static [MemoryBar]) -> Self {
        Self { space, bars, decoder: None }
    }

    /// Places the BARs, answers accesses to them and sets the interrupt line register, now and
    /// after each reset: for a machine without firmware. Returns false if the
    /// window has no room.
    #[must_use]
    pub fn preset(&mut self, window: &mut MemoryWindow, irq: u8) -> bool {
        let mut space = self.space.clone();
        for bar in self.bars {
            let Some(address) = window.take(*bar) else { return false };
            space = bar.preset(space, address);
        }
        self.space =
            space.with(COMMAND, &COMMAND_MEMORY.to_le_bytes()).with(INTERRUPT_LINE, &[irq]);
        self.place();
        true
    }

    /// From now on `decoder` hears where the BARs are.
    pub fn decode_with(&mut self, decoder: Box<dyn BarDecoder>) {
        self.decoder = Some(decoder);
        self.place();
    }

    /// Tells the decoder where the BARs are, after configuration space was written to.
    pub fn place(&self) {
        if let Some(decoder) = &self.decoder {
            self.bars.iter().for_each(|bar| decoder.place(bar.number, bar.address(&self.space)));
        }
    }
}

impl Deref for BarSpace {
    type Target = ConfigSpace;

    fn deref(&self) -> &ConfigSpace {
        &self.space
    }
}

impl DerefMut for BarSpace {
    fn deref_mut(&mut self) -> &mut ConfigSpace {
        &mut self.space
    }
}

impl fmt::Debug for BarSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarSpace").field("bars", &self.bars).finish_non_exhaustive()
    }
}
