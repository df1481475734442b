//! System control port A of a PS/2: fast reset and the A20 gate.
//!
//! Port 0x92, one byte, no IRQ. Source: IBM PS/2 Hardware Interface Technical Reference, "System
//! Control Port A"; QEMU's `hw/isa/port92.c`.
//!
//! | bit | |
//! |---|---|
//! | 0 | fast reset: a write that turns it from 0 to 1 resets the machine |
//! | 1 | A20 gate: read back as it was written, 1 after power-on |
//! | 7:2 | read as 0 |
//!
//! The A20 gate has no effect: address line 20 is always enabled, which is what every guest wants
//! and all that KVM supports. The bit is stored because firmware checks it: SeaBIOS's
//! `transition32` (src/romlayout.S) reads the port, sets bit 1 and writes the value back each time
//! it enters protected mode. For the same reason the port must never float: writing 0xff back would
//! reset the machine. Not emulated: the fixed-disk lights and the password lock, which QEMU stores
//! in bits 7:2.

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::device::MachineDevice;
use crate::exit::{ExitHandle, ExitRequest, ResetSource};
use crate::pio;

/// The device's I/O port.
pub const PORT: u16 = 0x92;

/// Fast reset bit.
const RESET: u8 = 1 << 0;
/// A20 gate bit: set while the gate is open.
const A20: u8 = 1 << 1;

/// System control port A.
#[derive(Debug)]
pub struct Port92 {
    exit: ExitHandle,
    latch: u8,
}

impl Port92 {
    /// Creates a port that requests resets through `exit`.
    pub fn new(exit: ExitHandle) -> Self {
        Self { exit, latch: A20 }
    }

    fn write(&mut self, value: u8) {
        let rising = value & !self.latch;
        self.latch = value & (RESET | A20);
        if rising & RESET != 0 {
            self.exit.request(ExitRequest::Reset(ResetSource::Port92));
        }
    }
}

impl MachineDevice for Port92 {
    fn reset(&mut self) {
        self.latch = A20;
    }
}

impl MutDevicePio for Port92 {
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        pio::read_bytes(offset, data, |port| if port == 0 { self.latch } else { pio::FLOATING });
    }

    fn pio_write(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        pio::write_bytes(offset, data, |port, byte| {
            if port == 0 {
                self.write(byte);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::tests::Requests;

    const RESET_ASKED: ExitRequest = ExitRequest::Reset(ResetSource::Port92);

    fn port() -> (Port92, Requests) {
        let requests = Requests::default();
        (Port92::new(requests.handle()), requests)
    }

    fn inb(device: &mut Port92) -> u8 {
        let mut data = [0];
        device.pio_read(PioAddress(PORT), 0, &mut data);
        data[0]
    }

    fn outb(device: &mut Port92, value: u8) {
        device.pio_write(PioAddress(PORT), 0, &[value]);
    }

    /// `transition32` in SeaBIOS's src/romlayout.S, run on each switch from 16-bit to 32-bit code.
    #[test]
    fn seabios_opens_a20_without_reset_when_it_enters_protected_mode() {
        let (mut device, requests) = port();
        for _ in 0..1000 {
            let value = inb(&mut device);
            outb(&mut device, value | 0x02);
        }
        assert_eq!(inb(&mut device), 0x02);
        assert_eq!(requests.take(), []);
    }

    /// `set_a20` in SeaBIOS's src/x86.h.
    #[test]
    fn reads_back_a20_when_it_is_closed_and_opened() {
        let (mut device, _) = port();
        for value in [0x00, 0x02, 0x00] {
            outb(&mut device, value);
            assert_eq!(inb(&mut device), value);
        }
        device.reset();
        assert_eq!(inb(&mut device), 0x02);
    }

    #[test]
    fn requests_reset_once_when_bit_0_rises() {
        let (mut device, requests) = port();
        outb(&mut device, 0x03);
        assert_eq!(requests.take(), [RESET_ASKED]);
        outb(&mut device, 0x03);
        assert_eq!(requests.take(), [], "no edge");
        outb(&mut device, 0x02);
        outb(&mut device, 0x03);
        assert_eq!(requests.take(), [RESET_ASKED]);
        device.reset();
        outb(&mut device, 0x01);
        assert_eq!(requests.take(), [RESET_ASKED]);
    }

    #[test]
    fn never_floats_whatever_is_written() {
        let (mut device, _) = port();
        for value in 0..=0xff {
            outb(&mut device, value);
            assert_eq!(inb(&mut device), value & 0x03);
        }
    }

    #[test]
    fn wide_access_does_not_affect_adjacent_ports() {
        let (mut device, requests) = port();
        let mut data = [0; 2];
        device.pio_read(PioAddress(PORT), 0, &mut data);
        assert_eq!(data, [0x02, 0xff]);
        device.pio_write(PioAddress(PORT), 0, &[0x00, 0x01]);
        assert_eq!((inb(&mut device), requests.take()), (0x00, vec![]));
    }
}
