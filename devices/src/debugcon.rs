//! The debug console of Bochs and QEMU (`isa-debugcon`): a port to which firmware writes its log.
//!
//! One 8-bit port, no IRQ: 0x402, where SeaBIOS and OVMF write, or 0xe9, QEMU's default. Each byte
//! written is a character; reads return [`READBACK`]. Source: QEMU's `hw/char/debugcon.c`.
//!
//! Each character costs the guest an exit. SeaBIOS reads the port once, after printing its banner,
//! and writes nothing more if it reads 0xff, as it does without the device (`qemu_debug_preinit`,
//! src/hw/serialio.c). So the device only exists if its output is wanted.
//!
//! The characters go to a [`ConsoleSink`], line by line. Lines can be prefixed with the host's time
//! since the machine was created, in the kernel's format: `[    0.012345] `, the time of the line's
//! first character.

use std::fmt;
use std::io::Write;

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::clock::MonotonicClock;
use crate::console::ConsoleSink;
use crate::device::MachineDevice;
use crate::pio;

/// The port to which SeaBIOS and OVMF write.
pub const FIRMWARE_PORT: u16 = 0x402;
/// QEMU's default port.
pub const DEFAULT_PORT: u16 = 0xe9;
/// The value the port reads as, by which guests detect the device.
pub const READBACK: u8 = 0xe9;

/// The debug console.
pub struct Debugcon {
    sink: ConsoleSink,
    stamps: Option<Box<dyn MonotonicClock>>,
    at_line_start: bool,
}

impl Debugcon {
    /// Creates a console that writes to `sink`.
    pub fn new(sink: ConsoleSink) -> Self {
        Self { sink, stamps: None, at_line_start: true }
    }

    /// Prefixes each line with the time of `clock`.
    #[must_use]
    pub fn with_stamps(mut self, clock: Box<dyn MonotonicClock>) -> Self {
        self.stamps = Some(clock);
        self
    }

    /// The output sink, for flushing.
    pub fn sink_mut(&mut self) -> &mut ConsoleSink {
        &mut self.sink
    }

    fn put(&mut self, character: u8) {
        // Writing to the sink cannot fail: it drops what it cannot write.
        if self.at_line_start
            && let Some(clock) = &self.stamps
        {
            let now = clock.elapsed();
            let _ = write!(self.sink, "[{:5}.{:06}] ", now.as_secs(), now.subsec_micros());
        }
        let _ = self.sink.write(&[character]);
        self.at_line_start = character == b'\n';
    }
}

impl MachineDevice for Debugcon {
    /// Resets the console with the machine. Later output starts on a new line.
    fn reset(&mut self) {
        if !self.at_line_start {
            self.put(b'\n');
        }
    }

    fn flush(&mut self) {
        self.sink.flush_now();
    }
}

impl MutDevicePio for Debugcon {
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        pio::read_bytes(offset, data, |port| if port == 0 { READBACK } else { pio::FLOATING });
    }

    fn pio_write(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        pio::write_bytes(offset, data, |port, byte| {
            if port == 0 {
                self.put(byte);
            }
        });
    }
}

impl fmt::Debug for Debugcon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Debugcon");
        debug.field("sink", &self.sink).field("stamps", &self.stamps.is_some());
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
