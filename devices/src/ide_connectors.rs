//! The two IDE connectors of a PC, without drives.
//!
//! | ports | |
//! |---|---|
//! | 0x1f0 to 0x1f7, 0x3f6 | primary connector |
//! | 0x170 to 0x177, 0x376 | secondary connector |
//!
//! Every register reads as 0x7f: nothing drives the data lines, and a resistor pulls line 7 down,
//! so that the status register's BSY bit reads as 0 (ATA/ATAPI-6, T13/1410D, 4.2.1, DD7). Writes
//! have no effect. Without these ports, BSY would float high, and software that probes the legacy
//! ports would wait for a drive that spins up: U-Boot waits half a minute (`ide_init_one`,
//! drivers/block/ide.c), before each boot without input.

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::device::MachineDevice;

/// I/O ports: first port and number of ports.
pub const PORTS: [(u16, u16); 4] = [(0x1f0, 8), (0x3f6, 1), (0x170, 8), (0x376, 1)];

/// All data lines high except for line 7.
const PULLED_DOWN: u8 = 0x7f;

/// The connectors.
#[derive(Clone, Copy, Debug)]
pub struct IdeConnectors;

impl MachineDevice for IdeConnectors {
    /// The device has no state.
    fn reset(&mut self) {}
}

impl MutDevicePio for IdeConnectors {
    fn pio_read(&mut self, _: PioAddress, _: PioAddressOffset, data: &mut [u8]) {
        data.fill(PULLED_DOWN);
    }

    fn pio_write(&mut self, _: PioAddress, _: PioAddressOffset, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ide_init_one` in U-Boot's drivers/block/ide.c: BSY ends the loop when it is clear; the
    /// fault bit says that there is no drive.
    #[test]
    fn no_drive_is_busy_after_any_write() {
        let (base, offset) = (PioAddress(0x1f0), 7);
        let mut status = [0];
        for value in [0xa0, 0xec, 0xff] {
            IdeConnectors.pio_write(base, offset, &[value]);
            IdeConnectors.pio_read(base, offset, &mut status);
            assert_eq!((status[0] & 0x80, status[0] & 0x20), (0, 0x20));
        }
    }
}
