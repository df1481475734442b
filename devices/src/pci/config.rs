//! Configuration mechanism 1: the two registers through which PCI configuration space is accessed.
//!
//! Ports 0xcf8 to 0xcff, no IRQ. Source: PCI Local Bus Specification 3.0, 3.2.2.3.2; Intel 82441FX
//! data sheet, "CONFADD" and "CONFDATA"; QEMU's `hw/pci/pci_host.c`.
//!
//! | port | access | |
//! |---|---|---|
//! | 0xcf8 | 32 bits, little-endian | address: bit 31 enable, 23:16 bus, 15:11 device, 10:8 function, 7:2 register; the others read as 0 |
//! | 0xcf9 | 8 bits | [`ResetControl`], another chip's register that lies in the middle |
//! | 0xcfc to 0xcff | 8, 16 or 32 bits, within the four | data: the bytes of the register that the address names |
//!
//! All other accesses float; in particular, an 8- or 16-bit access to 0xcf8 does not reach the
//! address register. While bit 31 is clear, or if there is no function, data reads return all ones
//! and writes are dropped.

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use super::bus::{Devfn, PciBus};
use crate::device::MachineDevice;
use crate::pio;
use crate::reset_control::{self, ResetControl};

/// First I/O port of the device.
pub const BASE_PORT: u16 = 0xcf8;
/// Number of I/O ports.
pub const PORT_COUNT: u16 = 8;

const ADDRESS: PioAddressOffset = 0;
const DATA: PioAddressOffset = 4;
const DATA_END: PioAddressOffset = 8;

/// Address register: data accesses are configuration accesses.
const ENABLE: u32 = 1 << 31;
/// Address register: the implemented bits.
const ADDRESS_MASK: u32 = 0x80ff_fffc;

const _: () = assert!(BASE_PORT == reset_control::BASE_PORT);

/// The configuration ports of a [`PciBus`], including the reset control register among them.
#[derive(Debug)]
pub struct PciConfigPorts {
    bus: PciBus,
    reset_control: ResetControl,
    address: u32,
}

impl PciConfigPorts {
    /// Creates the ports for the functions on `bus`.
    pub fn new(bus: PciBus, reset_control: ResetControl) -> Self {
        Self { bus, reset_control, address: 0 }
    }

    /// The bus, function and byte that the data register accesses at `offset`.
    fn target(&self, offset: PioAddressOffset) -> Option<(u8, Devfn, u8)> {
        let [register, devfn, bus, _] = self.address.to_le_bytes();
        let [byte, _] = (offset - DATA).to_le_bytes();
        let place = Devfn::new(devfn >> 3, devfn);
        (self.address & ENABLE != 0).then_some((bus, place, register | byte))
    }
}

/// Whether an access is entirely within the data register.
fn is_data(offset: PioAddressOffset, width: usize) -> bool {
    offset >= DATA && usize::from(offset) + width <= usize::from(DATA_END)
}

impl MachineDevice for PciConfigPorts {
    fn reset(&mut self) {
        self.address = 0;
        self.bus.reset();
        self.reset_control.reset();
    }
}

impl MutDevicePio for PciConfigPorts {
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        let width = data.len();
        match (offset, &mut *data) {
            (ADDRESS, [_, _, _, _]) => data.copy_from_slice(&self.address.to_le_bytes()),
            (reset_control::OFFSET, [byte]) => *byte = self.reset_control.read(),
            _ if is_data(offset, width) => match self.target(offset) {
                Some((bus, place, byte)) => self.bus.read_config(bus, place, byte, data),
                None => data.fill(pio::FLOATING),
            },
            _ => data.fill(pio::FLOATING),
        }
    }

    fn pio_write(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        match (offset, data) {
            (ADDRESS, &[a, b, c, d]) => {
                self.address = u32::from_le_bytes([a, b, c, d]) & ADDRESS_MASK;
            }
            (reset_control::OFFSET, &[byte]) => self.reset_control.write(byte),
            _ if is_data(offset, data.len()) => {
                if let Some((bus, place, byte)) = self.target(offset) {
                    self.bus.write_config(bus, place, byte, data);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
