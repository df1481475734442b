//! The reset control register of a PC's PCI-to-ISA bridge, through which firmware and kernels reset
//! the machine.
//!
//! Port 0xcf9, one byte, no IRQ. Source: Intel 82371SB (PIIX3) data sheet, "RC: reset control
//! register"; QEMU's `hw/isa/piix.c`, `rcr_write`.
//!
//! | bit | |
//! |---|---|
//! | 1 | kind of reset: 0 CPU, 1 system; stored and read back |
//! | 2 | writing 1 resets; reads as 0 |
//!
//! Both kinds reset the whole machine here, as in QEMU; bit 3 (power cycle) of later chips has no
//! effect.
//!
//! The register is within the four ports 0xcf8 to 0xcfb. On a machine with PCI, a 32-bit access to
//! them is the address register of configuration mechanism 1 and only a byte access reaches this
//! register, so [`crate::pci::config::PciConfigPorts`] owns all these ports and contains a
//! `ResetControl`. On a machine without PCI, `ResetControl` is on the bus by itself but still
//! claims all four ports: a driver that probes for PCI writes addresses to 0xcf8, and if they were
//! split into bytes, `outl 0x80000400, 0xcf8` (function 4) would write 0x04 to the register and
//! reset the machine. All accesses except a byte at 0xcf9 float, so 0xcf8 does not read back
//! 0x80000000 and SeaBIOS reports "Detected non-PCI system".

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::device::MachineDevice;
use crate::exit::{ExitHandle, ExitRequest, ResetSource};
use crate::pio;

/// First I/O port on a machine without PCI.
pub const BASE_PORT: u16 = 0xcf8;
/// Number of I/O ports on a machine without PCI.
pub const PORT_COUNT: u16 = 4;
/// The register's port.
pub const PORT: u16 = 0xcf9;

/// The value that resets the system when written to [`PORT`]: `RESET_VALUE` of the FADT.
pub const RESET_VALUE: u8 = SYSTEM | TRIGGER;

/// The register's offset within the range.
pub(crate) const OFFSET: PioAddressOffset = PORT - BASE_PORT;

/// Resets the system, not only the CPU.
const SYSTEM: u8 = 1 << 1;
/// Triggers the reset.
const TRIGGER: u8 = 1 << 2;

/// The reset control register.
#[derive(Debug)]
pub struct ResetControl {
    exit: ExitHandle,
    kind: u8,
}

impl ResetControl {
    /// Creates a register that requests resets through `exit`.
    pub fn new(exit: ExitHandle) -> Self {
        Self { exit, kind: 0 }
    }

    /// The register's value when read.
    pub(crate) fn read(&self) -> u8 {
        self.kind
    }

    pub(crate) fn write(&mut self, value: u8) {
        if value & TRIGGER != 0 {
            self.exit.request(ExitRequest::Reset(ResetSource::ResetControl));
        } else {
            self.kind = value & SYSTEM;
        }
    }
}

impl MachineDevice for ResetControl {
    fn reset(&mut self) {
        self.kind = 0;
    }
}

impl MutDevicePio for ResetControl {
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        match (offset, data) {
            (OFFSET, [byte]) => *byte = self.read(),
            (_, data) => data.fill(pio::FLOATING),
        }
    }

    fn pio_write(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        if let (OFFSET, &[byte]) = (offset, data) {
            self.write(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::tests::Requests;

    const RESET: ExitRequest = ExitRequest::Reset(ResetSource::ResetControl);

    fn register() -> (ResetControl, Requests) {
        let requests = Requests::default();
        (ResetControl::new(requests.handle()), requests)
    }

    fn inb(device: &mut ResetControl) -> u8 {
        let mut data = [0];
        device.pio_read(PioAddress(BASE_PORT), OFFSET, &mut data);
        data[0]
    }

    fn outb(device: &mut ResetControl, value: u8) {
        device.pio_write(PioAddress(BASE_PORT), OFFSET, &[value]);
    }

    /// `qemu_reboot` in SeaBIOS's src/fw/shadow.c.
    #[test]
    fn seabios_resets_when_it_writes_2_and_6() {
        let (mut device, requests) = register();
        outb(&mut device, 0x02);
        assert_eq!(requests.take(), []);
        outb(&mut device, 0x06);
        assert_eq!(requests.take(), [RESET]);
    }

    /// `BOOT_CF9_SAFE` in `native_machine_emergency_restart`, Linux's arch/x86/kernel/reboot.c.
    #[test]
    fn linux_resets_with_reboot_pci() {
        for code in [0x06, 0x0e] {
            let (mut device, requests) = register();
            let kept = inb(&mut device) & !code;
            outb(&mut device, kept | 0x02);
            assert_eq!(inb(&mut device), 0x02);
            outb(&mut device, kept | code);
            assert_eq!(requests.take(), [RESET], "{code:#x}");
        }
    }

    #[test]
    fn stores_only_the_kind_of_reset() {
        let (mut device, requests) = register();
        outb(&mut device, 0xfb);
        assert_eq!(inb(&mut device), 0x02);
        outb(&mut device, 0x01);
        assert_eq!(inb(&mut device), 0x00);
        outb(&mut device, 0x02);
        device.reset();
        assert_eq!(inb(&mut device), 0x00);
        assert_eq!(requests.take(), []);
    }

    /// `pci_probe_host` in SeaBIOS's src/hw/pci.c: the machine has no PCI.
    #[test]
    fn does_not_read_back_when_pci_is_probed() {
        let (mut device, _) = register();
        device.pio_write(PioAddress(BASE_PORT), 0, &0x8000_0000u32.to_le_bytes());
        let mut data = [0; 4];
        device.pio_read(PioAddress(BASE_PORT), 0, &mut data);
        assert_eq!(u32::from_le_bytes(data), 0xffff_ffff);
    }

    #[test]
    fn does_not_reset_when_configuration_space_is_scanned_without_pci() {
        let (mut device, requests) = register();
        for function in 0u32..256 {
            let address = 0x8000_0000 | function << 8;
            device.pio_write(PioAddress(BASE_PORT), 0, &address.to_le_bytes());
            device.pio_write(PioAddress(BASE_PORT), 0, &address.to_le_bytes()[..2]);
        }
        assert_eq!((inb(&mut device), requests.take()), (0, vec![]));
    }

    #[test]
    fn floats_when_access_is_not_a_byte() {
        let (mut device, requests) = register();
        for (offset, width) in [(0, 1), (2, 1), (3, 1), (0, 2), (OFFSET, 2), (0, 4)] {
            let mut data = [0; 4];
            device.pio_read(PioAddress(BASE_PORT), offset, &mut data[..width]);
            assert!(data[..width].iter().all(|byte| *byte == 0xff), "{offset}, {width}");
            device.pio_write(PioAddress(BASE_PORT), offset, &[0x06; 4][..width]);
        }
        assert_eq!((inb(&mut device), requests.take()), (0x00, vec![]));
    }
}
