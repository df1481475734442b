//! QEMU's debug exit device (`isa-debug-exit`): ports through which a guest ends the run with an
//! exit status.
//!
//! By default [`DEFAULT_SIZE`] ports from [`DEFAULT_PORT`], no IRQ; four ports at 0xf4 are a common
//! choice. Source: QEMU's `hw/misc/debugexit.c`, which ends the process with `exit((val << 1) |
//! 1)`.
//!
//! A write of any width to any of the ports ends the run. The exit status is the written value,
//! little-endian, shifted left by one, with bit 0 set and truncated to 8 bits. So only bits 6:0 of
//! a single byte matter: the one written to the lowest of the device's ports. The status is odd,
//! never 0, so it cannot signal success in the usual way. Reads return 0.
//!
//! The bus splits an access that extends beyond the device, lowest port first, and the first piece
//! that reaches the device ends the run: as in QEMU (`memory_access_size`, softmmu/physmem.c),
//! regardless of the size of the pieces.

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::device::MachineDevice;
use crate::exit::{ExitHandle, ExitRequest};

/// First I/O port by default.
pub const DEFAULT_PORT: u16 = 0x501;
/// Number of I/O ports by default.
pub const DEFAULT_SIZE: u16 = 2;

/// The debug exit device.
#[derive(Debug)]
pub struct DebugExit {
    exit: ExitHandle,
    /// The value that ends the run with status 0.
    pass: Option<u8>,
}

impl DebugExit {
    /// Creates a device that ends the run through `exit`.
    pub fn new(exit: ExitHandle) -> Self {
        Self { exit, pass: None }
    }

    /// Ends the run with status 0 if the guest writes a value whose lowest 7 bits are `pass`.
    #[must_use]
    pub fn with_pass(self, pass: Option<u8>) -> Self {
        Self { pass, ..self }
    }

    /// The exit status of the process for a written value whose lowest byte is `value`.
    fn status(&self, value: u8) -> u8 {
        if self.pass == Some(value & 0x7f) { 0 } else { value << 1 | 1 }
    }
}

impl MachineDevice for DebugExit {
    /// The device has no state.
    fn reset(&mut self) {}
}

impl MutDevicePio for DebugExit {
    fn pio_read(&mut self, _base: PioAddress, _offset: PioAddressOffset, data: &mut [u8]) {
        data.fill(0);
    }

    fn pio_write(&mut self, _base: PioAddress, _offset: PioAddressOffset, data: &[u8]) {
        if let Some(value) = data.first() {
            self.exit.request(ExitRequest::Status(self.status(*value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::tests::Requests;

    const BASE: PioAddress = PioAddress(0xf4);

    fn device() -> (DebugExit, Requests) {
        let requests = Requests::default();
        (DebugExit::new(requests.handle()), requests)
    }

    /// `exit` in kvm-unit-tests' lib/x86/io.c writes 32 bits. If all tests passed, it writes 0,
    /// which gives status 1.
    #[test]
    fn kvm_unit_tests_end_with_1_when_all_passed() {
        let (mut device, requests) = device();
        device.pio_write(BASE, 0, &0u32.to_le_bytes());
        assert_eq!(requests.take(), [ExitRequest::Status(1)]);
    }

    /// The 8-bit exit status after `exit((val << 1) | 1)`.
    #[test]
    fn status_is_low_seven_bits_and_a_one_for_any_write_width() {
        for value in
            [0, 1, 0x10, 0x22, 0x7f, 0x80, 0xff, 0x100, 0x1234, 0xff00, 0x8000_0001, u32::MAX]
        {
            let expected = u8::try_from((u64::from(value) << 1 | 1) & 0xff).unwrap();
            for width in [1, 2, 4] {
                let (mut device, requests) = device();
                device.pio_write(BASE, 0, &value.to_le_bytes()[..width]);
                assert_eq!(requests.take(), [ExitRequest::Status(expected)], "{value:#x}, {width}");
            }
        }
    }

    #[test]
    fn the_value_of_a_pass_ends_with_0() {
        for (pass, value, status) in [(0, 0u32, 0), (0, 1, 3), (0x10, 0x10, 0), (0, 0x80, 0)] {
            let (device, requests) = device();
            device.with_pass(Some(pass)).pio_write(BASE, 0, &value.to_le_bytes());
            assert_eq!(requests.take(), [ExitRequest::Status(status)], "{pass}, {value}");
        }
    }

    #[test]
    fn every_port_ends_the_run() {
        for offset in 0..4 {
            let (mut device, requests) = device();
            device.pio_write(BASE, offset, &[0x21]);
            assert_eq!(requests.take(), [ExitRequest::Status(0x43)], "{offset}");
        }
    }

    #[test]
    fn reads_as_zero_and_does_not_end_the_run() {
        let (mut device, requests) = device();
        for width in [1, 2, 4] {
            let mut data = [0xff; 4];
            device.pio_read(BASE, 0, &mut data[..width]);
            assert!(data[..width].iter().all(|byte| *byte == 0), "{width}");
        }
        assert_eq!(requests.take(), []);
    }

    #[test]
    fn empty_write_has_no_effect() {
        let (mut device, requests) = device();
        device.pio_write(BASE, 0, &[]);
        assert_eq!(requests.take(), []);
    }
}
