//! The configuration space of a PCI function: 256 bytes, little-endian.

use std::sync::{Arc, Mutex, PoisonError};

/// Size of a function's configuration space in bytes.
pub const CONFIG_SIZE: usize = 256;

/// Vendor and device: 16 bits each, read-only.
pub const VENDOR_ID: u8 = 0x00;
/// Command: 16 bits.
pub const COMMAND: u8 = 0x04;
/// Status: 16 bits.
pub const STATUS: u8 = 0x06;
/// Revision, then programming interface, subclass and class: 8 bits each, read-only.
pub const REVISION_ID: u8 = 0x08;
/// Cache line size: 8 bits.
pub const CACHE_LINE_SIZE: u8 = 0x0c;
/// Header type: 8 bits. Bit 7, several functions, is set by [`super::bus::PciBus`].
pub const HEADER_TYPE: u8 = 0x0e;
/// The first of six base address registers: 32 bits each.
pub const BASE_ADDRESS_0: u8 = 0x10;
/// Vendor and device of the board: 16 bits each, read-only.
pub const SUBSYSTEM_VENDOR_ID: u8 = 0x2c;
/// Offset of the first capability: 8 bits, read-only.
pub const CAPABILITIES: u8 = 0x34;
/// Interrupt line: 8 bits, written by firmware for the operating system.
pub const INTERRUPT_LINE: u8 = 0x3c;
/// Interrupt pin: 8 bits, read-only; 1 to 4 for INTA to INTD, 0 for none.
pub const INTERRUPT_PIN: u8 = 0x3d;
/// First byte after the header.
pub const AFTER_HEADER: u8 = 0x40;

/// Command: accesses to the memory BARs are answered.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command: the function may access memory itself.
pub const COMMAND_MASTER: u16 = 1 << 2;
/// Command: the interrupt pin is not asserted.
pub const COMMAND_INTX_DISABLE: u16 = 1 << 10;
/// Status: the function has an interrupt that its pin would show.
pub const STATUS_INTERRUPT: u8 = 1 << 3;
/// Status: there are capabilities.
const STATUS_CAPABILITIES: u8 = 1 << 4;

/// Command: I/O space, memory space, bus master, system error reporting, interrupt disable. The
/// other bits are read-only.
const COMMAND_WRITABLE: u16 = 0x0507;

/// A function on a [`super::bus::PciBus`]. Configuration accesses are 1, 2 or 4 bytes wide and do
/// not cross a multiple of 4.
pub trait PciFunction: Send {
    /// Reads the bytes from `offset` into `data`.
    fn read_config(&mut self, offset: u8, data: &mut [u8]);

    /// Writes `data` from `offset`.
    fn write_config(&mut self, offset: u8, data: &[u8]);

    /// Returns to the power-on state.
    fn reset(&mut self);
}

/// A function that others access, too.
impl<F: PciFunction + ?Sized> PciFunction for Arc<Mutex<F>> {
    fn read_config(&mut self, offset: u8, data: &mut [u8]) {
        self.lock().unwrap_or_else(PoisonError::into_inner).read_config(offset, data);
    }

    fn write_config(&mut self, offset: u8, data: &[u8]) {
        self.lock().unwrap_or_else(PoisonError::into_inner).write_config(offset, data);
    }

    fn reset(&mut self) {
        self.lock().unwrap_or_else(PoisonError::into_inner).reset();
    }
}

/// The identification registers of a function.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Vendor ID of the chip.
    pub vendor: u16,
    /// Device ID of the chip.
    pub device: u16,
    /// Its revision.
    pub revision: u8,
    /// Class in bits 23:16, subclass in 15:8, programming interface in 7:0.
    pub class: u32,
    /// Vendor ID of the board.
    pub subsystem_vendor: u16,
    /// Device ID of the board.
    pub subsystem: u16,
}

/// The bytes of a function: their current values, their reset values, and the bits the guest can
/// write.
#[derive(Clone, Debug)]
pub struct ConfigSpace {
    bytes: [u8; CONFIG_SIZE],
    after_reset: [u8; CONFIG_SIZE],
    writable: [u8; CONFIG_SIZE],
}

impl ConfigSpace {
    /// Creates a type 0 header (a device, not a bridge between buses) without BARs, capabilities or
    /// interrupt pin.
    ///
    /// The guest can write the command, cache line size and interrupt line registers, as in QEMU's
    /// `pci_init_wmask`; the rest is read-only.
    pub fn type_0(identity: &Identity) -> Self {
        let zero = [0; CONFIG_SIZE];
        let [interface, subclass, class, _] = identity.class.to_le_bytes();
        Self { bytes: zero, after_reset: zero, writable: zero }
            .with(VENDOR_ID, &identity.vendor.to_le_bytes())
            .with(VENDOR_ID + 2, &identity.device.to_le_bytes())
            .with(REVISION_ID, &[identity.revision, interface, subclass, class])
            .with(SUBSYSTEM_VENDOR_ID, &identity.subsystem_vendor.to_le_bytes())
            .with(SUBSYSTEM_VENDOR_ID + 2, &identity.subsystem.to_le_bytes())
            .with_writable(COMMAND, &COMMAND_WRITABLE.to_le_bytes())
            .with_writable(CACHE_LINE_SIZE, &[0xff])
            .with_writable(INTERRUPT_LINE, &[0xff])
    }

    /// Sets the bytes from `offset`, now and after each reset.
    #[must_use]
    pub fn with(mut self, offset: u8, bytes: &[u8]) -> Self {
        put(&mut self.after_reset, offset, bytes);
        self.reset();
        self
    }

    /// Makes the bits that are set in `mask` writable, from `offset`.
    #[must_use]
    pub fn with_writable(mut self, offset: u8, mask: &[u8]) -> Self {
        put(&mut self.writable, offset, mask);
        self
    }

    /// Adds a capability at `offset`: its identifier and the bytes after the link. Like QEMU's
    /// (`pci_add_capability`), the one that is added last comes first in the list.
    #[must_use]
    pub fn with_capability(self, offset: u8, identifier: u8, body: &[u8]) -> Self {
        let next = self.byte(CAPABILITIES);
        let status = self.byte(STATUS) | STATUS_CAPABILITIES;
        self.with(offset, &[identifier, next])
            .with(offset.saturating_add(2), body)
            .with(CAPABILITIES, &[offset])
            .with(STATUS, &[status])
    }

    /// The command register.
    pub fn command(&self) -> u16 {
        u16::from_le_bytes([self.byte(COMMAND), self.byte(COMMAND + 1)])
    }

    /// The 32 bits at `offset`, a multiple of 4.
    pub fn dword(&self, offset: u8) -> u32 {
        let offset = usize::from(offset & !3);
        let mut dword = [0; 4];
        dword.copy_from_slice(&self.bytes[offset..offset + 4]);
        u32::from_le_bytes(dword)
    }

    /// The byte at `offset`.
    pub fn byte(&self, offset: u8) -> u8 {
        self.bytes[usize::from(offset)]
    }
}

impl PciFunction for ConfigSpace {
    /// Bytes beyond the end read as all ones.
    fn read_config(&mut self, offset: u8, data: &mut [u8]) {
        let bytes = self.bytes.iter().skip(offset.into()).chain(std::iter::repeat(&0xff));
        for (byte, value) in data.iter_mut().zip(bytes) {
            *byte = *value;
        }
    }

    fn write_config(&mut self, offset: u8, data: &[u8]) {
        let bytes = self.bytes.iter_mut().zip(self.writable).skip(offset.into());
        for ((byte, writable), new) in bytes.zip(data) {
            *byte = (*byte & !writable) | (new & writable);
        }
    }

    fn reset(&mut self) {
        self.bytes = self.after_reset;
    }
}

fn put(space: &mut [u8; CONFIG_SIZE], offset: u8, bytes: &[u8]) {
    for (byte, new) in space.iter_mut().skip(offset.into()).zip(bytes) {
        *byte = *new;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const NETWORK_CARD: Identity = Identity {
        vendor: 0x1af4,
        device: 0x1041,
        revision: 1,
        class: 0x02_00_00,
        subsystem_vendor: 0x1af4,
        subsystem: 0x1100,
    };

    pub(crate) fn read(function: &mut dyn PciFunction, offset: u8) -> u32 {
        let mut data = [0; 4];
        function.read_config(offset, &mut data);
        u32::from_le_bytes(data)
    }

    pub(crate) fn write(function: &mut dyn PciFunction, offset: u8, value: u32) {
        function.write_config(offset, &value.to_le_bytes());
    }

    #[test]
    fn has_header_of_type_0_when_built() {
        let mut space = ConfigSpace::type_0(&NETWORK_CARD);
        let expected = [
            (0x00, 0x1041_1af4),
            (0x04, 0x0000_0000),
            (0x08, 0x0200_0001),
            (0x0c, 0x0000_0000),
            (0x2c, 0x1100_1af4),
            (0x34, 0x0000_0000),
            (0x3c, 0x0000_0000),
        ];
        for (offset, value) in expected {
            assert_eq!(read(&mut space, offset), value, "{offset:#x}");
        }
    }

    #[test]
    fn only_writable_bits_change() {
        let mut space = ConfigSpace::type_0(&NETWORK_CARD);
        for offset in (0..CONFIG_SIZE).step_by(4) {
            write(&mut space, u8::try_from(offset).unwrap(), u32::MAX);
        }
        let expected = [
            (0x00, 0x1041_1af4),
            (0x04, 0x0000_0507),
            (0x08, 0x0200_0001),
            (0x0c, 0x0000_00ff),
            (0x10, 0x0000_0000),
            (0x30, 0x0000_0000),
            (0x3c, 0x0000_00ff),
            (0x40, 0x0000_0000),
        ];
        for (offset, value) in expected {
            assert_eq!(read(&mut space, offset), value, "{offset:#x}");
        }
        space.reset();
        assert_eq!(read(&mut space, 0x04), 0);
    }

    /// `__pci_size_bars` in Linux's drivers/pci/probe.c: a memory BAR of 4 KiB.
    #[test]
    fn reports_bar_size_when_ones_are_written() {
        let mut space = ConfigSpace::type_0(&NETWORK_CARD)
            .with_writable(BASE_ADDRESS_0, &0xffff_f000u32.to_le_bytes());
        write(&mut space, BASE_ADDRESS_0, 0xffff_ffff);
        assert_eq!(read(&mut space, BASE_ADDRESS_0), 0xffff_f000);
        write(&mut space, BASE_ADDRESS_0, 0xfebf_0004);
        assert_eq!(read(&mut space, BASE_ADDRESS_0), 0xfebf_0000);
        assert_eq!(read(&mut space, BASE_ADDRESS_0 + 4), 0);
    }

    #[test]
    fn access_beyond_the_end_is_bounded() {
        let mut space = ConfigSpace::type_0(&NETWORK_CARD).with_writable(0xfe, &[0xff; 8]);
        space.write_config(0xfe, &[1, 2, 3, 4]);
        assert_eq!(read(&mut space, 0xfe), 0xffff_0201);
        assert_eq!(read(&mut space, 0x00), 0x1041_1af4);
    }

    #[test]
    fn a_shared_function_is_the_function() {
        let mut space = Arc::new(Mutex::new(ConfigSpace::type_0(&NETWORK_CARD)));
        write(&mut space, COMMAND, u32::MAX);
        assert_eq!(read(&mut space, 0x00), 0x1041_1af4);
        assert_eq!((read(&mut space, 0x04), space.lock().unwrap().command()), (0x0507, 0x0507));
        space.reset();
        assert_eq!(read(&mut space, 0x04), 0);
    }
}
