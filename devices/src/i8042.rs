//! The keyboard controller of a PC, an Intel 8042, reduced to its CPU reset line.
//!
//! Ports 0x60 (data) and 0x64 (status and command), no IRQ. Source: IBM PS/2 Hardware Interface
//! Technical Reference, "Keyboard and Auxiliary Device Controller";
//! <https://wiki.osdev.org/I8042_PS/2_Controller>.
//!
//! The guest resets the machine by pulsing bit 0 of the output port (command 0xfe, or any command
//! from 0xf0 to 0xff with bit 0 clear) or by writing that bit as 0 (command 0xd1). Not emulated:
//! keyboard, mouse, the A20 gate (always open), and commands that return data.
//!
//! The status register has to satisfy two kinds of readers. Linux's `reboot=k` (`kb_wait`) and
//! hand-written reset code wait until bit 1 is clear, so a floating bus (0xff) would cost 65536
//! reads before the reset. Drivers that probe for a keyboard send a command and wait half a second
//! for bit 0, so a status of 0x00, which `vm_superio::I8042Device` returns, costs Linux and SeaBIOS
//! 500 ms. Both drain the output buffer first and give up if it is still not empty after 16 bytes,
//! so this device always reports more data: with a status of 0x15, "data to read, ready for a
//! command", Linux reports "No controller found" within a millisecond. Loops that drain the buffer
//! without a limit must terminate too: after 255 data reads, one status read reports an empty
//! buffer.
//!
//! SeaBIOS (`ps2_keyboard_setup`, src/hw/ps2port.c) thus gives up after 32 reads and 16 delays of
//! 50 µs, just as with a floating port. If it has read a DSDT without PNP0303, such as ours, it
//! does not probe at all. Linux does not probe either, because the FADT does not report an 8042;
//! its `kb_wait` returns after one read.

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::device::MachineDevice;
use crate::exit::{ExitHandle, ExitRequest, ResetSource};
use crate::pio;

/// The data port.
pub const DATA_PORT: u16 = 0x60;
/// The status (read) and command (write) port.
pub const COMMAND_PORT: u16 = 0x64;
/// The device's ports, one byte each. The ports in between belong to other chips.
pub const PORTS: [u16; 2] = [DATA_PORT, COMMAND_PORT];

/// Status: output buffer full (bit 0), self-test passed (2), keyboard not locked (4). Bit 1, input
/// buffer full, is clear.
const STATUS_FULL: u8 = 0b0001_0101;
/// As [`STATUS_FULL`], but with the output buffer empty.
const STATUS_EMPTY: u8 = 0b0001_0100;

/// Number of data reads before one status read reports an empty output buffer: many times the 16
/// reads of each probe.
const STALE_BYTES: u8 = 255;

/// Command: write the next data byte to the output port.
const COMMAND_WRITE_OUTPUT_PORT: u8 = 0xd1;
/// The first of the pulse commands: pulses the output port bits that are 0 in the low nibble.
const COMMAND_PULSE: u8 = 0xf0;
/// Output port bit that holds the CPU in reset while it is 0.
const OUTPUT_PORT_RESET: u8 = 0x01;

/// The keyboard controller's reset line.
#[derive(Debug)]
pub struct I8042 {
    exit: ExitHandle,
    stale_bytes: u8,
    output_port_next: bool,
}

impl I8042 {
    /// Creates a controller that requests resets through `exit`.
    pub fn new(exit: ExitHandle) -> Self {
        Self { exit, stale_bytes: STALE_BYTES, output_port_next: false }
    }

    fn read(&mut self, port: u16) -> u8 {
        match port {
            DATA_PORT => {
                self.stale_bytes = self.stale_bytes.saturating_sub(1);
                pio::FLOATING
            }
            COMMAND_PORT if self.stale_bytes == 0 => {
                self.stale_bytes = STALE_BYTES;
                STATUS_EMPTY
            }
            COMMAND_PORT => STATUS_FULL,
            _ => pio::FLOATING,
        }
    }

    fn write(&mut self, port: u16, value: u8) {
        match port {
            DATA_PORT if self.output_port_next => {
                self.output_port_next = false;
                self.drive_output_port(value);
            }
            COMMAND_PORT => {
                self.output_port_next = value == COMMAND_WRITE_OUTPUT_PORT;
                if value >= COMMAND_PULSE {
                    self.drive_output_port(value);
                }
            }
            _ => {}
        }
    }

    fn drive_output_port(&self, value: u8) {
        if value & OUTPUT_PORT_RESET == 0 {
            self.exit.request(ExitRequest::Reset(ResetSource::I8042));
        }
    }
}

impl MachineDevice for I8042 {
    fn reset(&mut self) {
        self.stale_bytes = STALE_BYTES;
        self.output_port_next = false;
    }
}

impl MutDevicePio for I8042 {
    fn pio_read(&mut self, base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        pio::read_bytes(offset, data, |offset| self.read(base.0.wrapping_add(offset)));
    }

    fn pio_write(&mut self, base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        pio::write_bytes(offset, data, |offset, byte| {
            self.write(base.0.wrapping_add(offset), byte);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::tests::Requests;

    const RESET: ExitRequest = ExitRequest::Reset(ResetSource::I8042);

    fn controller() -> (I8042, Requests) {
        let requests = Requests::default();
        (I8042::new(requests.handle()), requests)
    }

    fn inb(device: &mut I8042, port: u16) -> u8 {
        let mut data = [0];
        device.pio_read(PioAddress(port), 0, &mut data);
        data[0]
    }

    fn outb(device: &mut I8042, port: u16, value: u8) {
        device.pio_write(PioAddress(port), 0, &[value]);
    }

    #[test]
    fn requests_reset_when_reset_line_is_pulsed() {
        let (mut device, requests) = controller();
        for command in [0xfe, 0xf0] {
            outb(&mut device, COMMAND_PORT, command);
            assert_eq!(requests.take(), [RESET], "{command:#x}");
        }
    }

    #[test]
    fn requests_reset_only_when_output_port_bit_is_cleared() {
        let (mut device, requests) = controller();
        for (value, expected) in [(0xdf, vec![]), (0xfe, vec![RESET])] {
            outb(&mut device, COMMAND_PORT, 0xd1);
            outb(&mut device, DATA_PORT, value);
            assert_eq!(requests.take(), expected, "{value:#x}");
        }
        outb(&mut device, DATA_PORT, 0);
        assert_eq!(requests.take(), []);
    }

    #[test]
    fn forgets_half_a_command_when_the_machine_is_reset() {
        let (mut device, requests) = controller();
        outb(&mut device, COMMAND_PORT, COMMAND_WRITE_OUTPUT_PORT);
        inb(&mut device, DATA_PORT);
        device.reset();
        outb(&mut device, DATA_PORT, 0xfe);
        assert_eq!(requests.take(), []);
        for _ in 0..STALE_BYTES - 1 {
            inb(&mut device, DATA_PORT);
        }
        assert_eq!(
            inb(&mut device, COMMAND_PORT),
            STATUS_FULL,
            "the buffer is as full as at first"
        );
    }

    #[test]
    fn ignores_other_commands_when_driver_probes() {
        let (mut device, requests) = controller();
        for command in (0..0xf0).chain([0xf1, 0xff]) {
            outb(&mut device, COMMAND_PORT, command);
        }
        outb(&mut device, 0x61, 0xfe);
        assert_eq!(requests.take(), []);
    }

    /// `kb_wait` in Linux's arch/x86/kernel/reboot.c.
    #[test]
    fn accepts_command_at_once_when_guest_waits_for_input_buffer() {
        let (mut device, _) = controller();
        for _ in 0..1000 {
            assert_eq!(inb(&mut device, COMMAND_PORT) & 0x02, 0);
            inb(&mut device, DATA_PORT);
        }
    }

    /// `i8042_flush` in Linux's drivers/input/serio/i8042.c and in SeaBIOS's src/hw/ps2port.c: both
    /// give up after 16 bytes.
    #[test]
    fn driver_flush_fails_on_every_probe() {
        let (mut device, _) = controller();
        for _ in 0..10 {
            for _ in 0..16 {
                assert_eq!(inb(&mut device, COMMAND_PORT) & 0x01, 1);
                inb(&mut device, DATA_PORT);
            }
            assert_eq!(inb(&mut device, COMMAND_PORT) & 0x01, 1);
        }
    }

    /// `i8042_flush`, called first in `ps2_keyboard_setup` in SeaBIOS's src/hw/ps2port.c; it sleeps
    /// 50 µs between reading status and data.
    #[test]
    fn seabios_gives_up_probing_for_a_keyboard_after_16_bytes() {
        let (mut device, requests) = controller();
        let mut delays = 0;
        for _ in 0..16 {
            if inb(&mut device, COMMAND_PORT) & 0x01 == 0 {
                panic!("goes on to commands that nobody answers, half a second each");
            }
            delays += 1;
            inb(&mut device, DATA_PORT);
        }
        assert_eq!((delays, requests.take()), (16, vec![]));
    }

    /// `i8042_reboot` in the same file, and `BOOT_KBD` in Linux's
    /// `native_machine_emergency_restart`: one status read per attempt.
    #[test]
    fn resets_without_waiting_when_guest_has_drained_the_buffer() {
        for drained in [0, 16, 254, 255, 256] {
            let (mut device, requests) = controller();
            for _ in 0..drained {
                inb(&mut device, DATA_PORT);
            }
            assert_eq!(inb(&mut device, COMMAND_PORT) & 0x02, 0, "{drained}");
            outb(&mut device, COMMAND_PORT, 0xfe);
            assert_eq!(requests.take(), [RESET], "{drained}");
        }
    }

    #[test]
    fn self_test_never_reports_success() {
        let (mut device, _) = controller();
        outb(&mut device, COMMAND_PORT, 0xaa);
        assert_ne!(inb(&mut device, DATA_PORT), 0x55);
    }

    #[test]
    fn reports_empty_buffer_when_drained_without_limit() {
        let (mut device, _) = controller();
        let reads = (0..1000).take_while(|_| {
            let full = inb(&mut device, COMMAND_PORT) & 0x01 != 0;
            if full {
                inb(&mut device, DATA_PORT);
            }
            full
        });
        assert_eq!(reads.count(), usize::from(STALE_BYTES));
    }
}
