//! Configuration mechanism 1: the two registers through which a PC reaches PCI configuration space.
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
//! Anything else floats: in particular a byte or word at 0xcf8 is not the address. While bit 31 is
//! clear, and where there is no function, data reads as all ones and is dropped when written.

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use super::bus::{Devfn, PciBus};
use crate::device::MachineDevice;
use crate::pio;
use crate::reset_control::{self, ResetControl};

/// The first port of the device.
pub const BASE_PORT: u16 = 0xcf8;
/// How many ports it has.
pub const PORT_COUNT: u16 = 8;

const ADDRESS: PioAddressOffset = 0;
const DATA: PioAddressOffset = 4;
const DATA_END: PioAddressOffset = 8;

/// Address: accesses to the data register are configuration accesses.
const ENABLE: u32 = 1 << 31;
/// Address: the bits that exist.
const ADDRESS_MASK: u32 = 0x80ff_fffc;

const _: () = assert!(BASE_PORT == reset_control::BASE_PORT);

/// The way to the functions of a [`PciBus`], and the reset control register in its middle.
#[derive(Debug)]
pub struct PciConfigPorts {
    bus: PciBus,
    reset_control: ResetControl,
    address: u32,
}

impl PciConfigPorts {
    /// The ports for the functions on `bus`.
    pub fn new(bus: PciBus, reset_control: ResetControl) -> Self {
        Self { bus, reset_control, address: 0 }
    }

    /// Bus, place and byte that the data register stands for at `offset`.
    fn target(&self, offset: PioAddressOffset) -> Option<(u8, Devfn, u8)> {
        let [register, devfn, bus, _] = self.address.to_le_bytes();
        let [byte, _] = (offset - DATA).to_le_bytes();
        let place = Devfn::new(devfn >> 3, devfn);
        (self.address & ENABLE != 0).then_some((bus, place, register | byte))
    }
}

/// Whether an access lies within the data register.
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
