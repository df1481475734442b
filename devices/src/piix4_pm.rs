//! Power management of a PC: the ACPI fixed-hardware registers of an Intel PIIX4.
//!
//! Source: ACPI 6.5, 4.8.3.1 (PM1 event registers), 4.8.3.2 (PM1 control register) and 5.2.9.1
//! (SMI_CMD); Intel 82371AB (PIIX4) data sheet; QEMU's `hw/acpi/core.c`, `hw/acpi/piix4.c` and
//! `hw/isa/apm.c`.
//!
//! | port | width | register | |
//! |---|---|---|---|
//! | 0x600 | 16 | PM1 status | bit 8 power button, bit 15 wake; cleared by writing 1 |
//! | 0x602 | 16 | PM1 enable | which status bits raise the interrupt |
//! | 0x604 | 16 | PM1 control | bit 0 `SCI_EN`, bits 12:10 `SLP_TYP`, bit 13 `SLP_EN` (reads as 0) |
//! | 0xb2 | 8 | APM control | 0xf1 sets `SCI_EN`, 0xf0 clears it |
//! | 0xb3 | 8 | APM status | stored and read back |
//!
//! All registers are little-endian. The system control interrupt (SCI) is IRQ 9, level-triggered
//! and active high. It is raised while a status bit is set whose enable bit is set too.
//!
//! `SLP_TYP` 0 is S5, soft off, as in QEMU's DSDT. Test suites and hobby kernels rely on that
//! value: they write 0x2000 to port 0x604 to power off. Other sleep states are not supported; a
//! guest that enters one wakes immediately.
//!
//! The timer at 0x608 is [`crate::acpi_pm_timer`]. Its carry interrupt (status bit 0) is not
//! emulated, and neither are the global lock, the sleep button, the RTC alarm and the
//! general-purpose events.

use std::fmt;

use acpi_tables::aml::{Name, Package, Path, ZERO};
use acpi_tables::{Aml, AmlSink};
use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::device::MachineDevice;
use crate::exit::{ExitHandle, ExitRequest};
use crate::irq::LevelLine;
use crate::pci::bus::Devfn;
use crate::pci::function::{ConfigSpace, INTERRUPT_PIN, Identity};
use crate::pio;

/// First I/O port of the power-management registers.
pub const BASE_PORT: u16 = 0x600;
/// Number of their I/O ports.
pub const PORT_COUNT: u16 = 8;
/// The PM1 event block: `PM1a_EVT_BLK` of the FADT, status and enable registers.
pub const EVENT_PORT: u16 = BASE_PORT;
/// The PM1 control register: `PM1a_CNT_BLK` of the FADT.
pub const CONTROL_PORT: u16 = BASE_PORT + CONTROL;
/// The APM control register: `SMI_CMD` of the FADT.
pub const APM_PORT: u16 = 0xb2;
/// Number of I/O ports of the APM registers.
pub const APM_PORT_COUNT: u16 = 2;
/// The value that hands power management to the operating system: `ACPI_ENABLE` of the FADT.
pub const ACPI_ENABLE: u8 = 0xf1;
/// The value that takes it back: `ACPI_DISABLE` of the FADT.
pub const ACPI_DISABLE: u8 = 0xf0;
/// The system control interrupt: `SCI_INT` of the FADT.
pub const SCI_IRQ: u8 = 9;
/// The PCI function's address on the bus.
pub const PLACE: Devfn = Devfn::new(1, 3);

const STATUS: u16 = 0;
const ENABLE: u16 = 2;
const CONTROL: u16 = 4;
const CONTROL_END: u16 = 6;

const POWER_BUTTON: u16 = 1 << 8;
const WAKE: u16 = 1 << 15;
/// The enable bits that are stored: timer, global lock, power button, sleep button, RTC. Linux
/// reads back what it enables and reports an error if a bit is missing (`acpi_enable_event`,
/// drivers/acpi/acpica/evxfevnt.c). Only the power button's event ever occurs.
const ENABLE_BITS: u16 = 1 << 0 | 1 << 5 | POWER_BUTTON | 1 << 9 | 1 << 10;

const SCI_ENABLE: u16 = 1 << 0;
const SLEEP_ENABLE: u16 = 1 << 13;
const SLEEP_TYPE_SHIFT: u16 = 10;
const SLEEP_TYPE_MASK: u16 = 0b111 << SLEEP_TYPE_SHIFT;
const SLEEP_TYPE_S5: u8 = 0;

/// The power-management registers.
pub struct Piix4Pm {
    exit: ExitHandle,
    sci: Box<dyn LevelLine>,
    status: u16,
    enable: u16,
    control: u16,
    apm: [u8; 2],
}

impl Piix4Pm {
    /// Creates registers that request power-off through `exit` and raise `sci`, IRQ [`SCI_IRQ`].
    pub fn new(exit: ExitHandle, sci: Box<dyn LevelLine>) -> Self {
        Self { exit, sci, status: 0, enable: 0, control: 0, apm: [0; 2] }
    }

    /// Presses the power button, which asks the guest to power off.
    pub fn press_power_button(&mut self) {
        self.status |= POWER_BUTTON;
        self.update_line();
    }

    fn update_line(&self) {
        self.sci.set(self.status & self.enable != 0);
    }

    fn read(&self, offset: u16) -> u8 {
        let (register, byte) = (offset & !1, usize::from(offset & 1));
        let value = match register {
            STATUS => self.status,
            ENABLE => self.enable,
            CONTROL => self.control,
            _ => return pio::FLOATING,
        };
        value.to_le_bytes()[byte]
    }

    fn write(&mut self, offset: u16, value: u8) {
        let shift = 8 * (offset & 1);
        let (bits, mask) = (u16::from(value) << shift, 0xff << shift);
        match offset & !1 {
            STATUS => self.status &= !bits,
            ENABLE => self.enable = self.enable & !mask | bits & ENABLE_BITS,
            CONTROL => {
                self.control = self.control & !mask | bits & (SLEEP_TYPE_MASK | SCI_ENABLE);
                if bits & SLEEP_ENABLE != 0 {
                    self.sleep();
                }
            }
            _ => return,
        }
        self.update_line();
    }

    fn sleep(&mut self) {
        if (self.control & SLEEP_TYPE_MASK) >> SLEEP_TYPE_SHIFT == u16::from(SLEEP_TYPE_S5) {
            self.exit.request(ExitRequest::PowerOff);
        } else {
            // The guest polls for this bit.
            self.status |= WAKE;
        }
    }

    fn write_apm(&mut self, offset: u16, value: u8) {
        let Some(register) = self.apm.get_mut(usize::from(offset)) else { return };
        *register = value;
        match (offset, value) {
            (0, ACPI_ENABLE) => self.control |= SCI_ENABLE,
            (0, ACPI_DISABLE) => self.control &= !SCI_ENABLE,
            _ => {}
        }
    }
}

impl MachineDevice for Piix4Pm {
    fn reset(&mut self) {
        (self.status, self.enable, self.control, self.apm) = (0, 0, 0, [0; 2]);
        self.update_line();
    }
}

/// The bus passes the base port of the accessed range, which distinguishes the two ranges.
impl MutDevicePio for Piix4Pm {
    fn pio_read(&mut self, base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        if base.0 == APM_PORT {
            let registers = self.apm;
            pio::read_bytes(offset, data, |register| {
                registers.get(usize::from(register)).copied().unwrap_or(pio::FLOATING)
            });
        } else {
            pio::read_bytes(offset, data, |register| self.read(register));
        }
    }

    fn pio_write(&mut self, base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        if base.0 == APM_PORT {
            pio::write_bytes(offset, data, |register, byte| self.write_apm(register, byte));
            return;
        }
        // A word written to the control register takes effect at once: SLP_TYP and SLP_EN are both
        // in its upper byte, and bytes are written lowest first.
        pio::write_bytes(offset, data, |register, byte| {
            if register < CONTROL_END {
                self.write(register, byte);
            }
        });
    }
}

impl fmt::Debug for Piix4Pm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Piix4Pm");
        debug.field("status", &self.status).field("enable", &self.enable);
        debug.field("control", &self.control).finish_non_exhaustive()
    }
}

/// The DSDT entry `\_S5`. The power button is part of the fixed hardware and needs no device.
#[derive(Clone, Copy, Debug)]
pub struct Piix4PmDescription;

impl Aml for Piix4PmDescription {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let soft_off = Package::new(vec![&SLEEP_TYPE_S5, &ZERO, &ZERO, &ZERO]);
        Name::new(Path::new("\\_S5_"), &soft_off).to_aml_bytes(sink);
    }
}

/// Power-management base address, 32 bits: bits 15:6 the port, bit 0 set (I/O space).
const PMBA: u8 = 0x40;
/// Device activity B, 32 bits: bit 25 enables system management interrupts for APM writes.
const DEVACTB: u8 = 0x58;
/// Miscellaneous power management, 8 bits: bit 0 enables the registers at [`PMBA`].
const PMREGMISC: u8 = 0x80;

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x7113,
    revision: 3,
    class: 0x06_80_00,
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// The PCI function at [`PLACE`], 00:01.3.
///
/// Firmware reads the registers' port from here. It is hard-wired to [`BASE_PORT`] and enabled, so
/// OVMF (`OvmfPkg/PlatformPei`) and SeaBIOS (`piix4_pm_setup`, src/fw/pciinit.c) use the same port
/// as the FADT. Bit 25 of `DEVACTB` indicates that system management mode is already set up.
/// Otherwise SeaBIOS would set it up itself (`smm_device_setup`, src/fw/smm.c) and wait forever for
/// code that KVM would have to run in that mode. QEMU with `smm=off` does the same.
pub fn function() -> ConfigSpace {
    let [low, high] = (BASE_PORT | 1).to_le_bytes();
    ConfigSpace::type_0(&IDENTITY)
        .with(INTERRUPT_PIN, &[1])
        .with(PMBA, &[low, high, 0, 0])
        .with(DEVACTB, &(1u32 << 25).to_le_bytes())
        .with(PMREGMISC, &[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::tests::Requests;
    use crate::irq::RecordingLine;
    use crate::pci::function::tests::{read, write};

    fn device() -> (Piix4Pm, Requests, RecordingLine) {
        let (requests, line) = (Requests::default(), RecordingLine::default());
        (Piix4Pm::new(requests.handle(), Box::new(line.clone())), requests, line)
    }

    fn inw(device: &mut Piix4Pm, port: u16) -> u16 {
        let mut data = [0; 2];
        device.pio_read(PioAddress(BASE_PORT), port - BASE_PORT, &mut data);
        u16::from_le_bytes(data)
    }

    fn outw(device: &mut Piix4Pm, port: u16, value: u16) {
        device.pio_write(PioAddress(BASE_PORT), port - BASE_PORT, &value.to_le_bytes());
    }

    fn outb_apm(device: &mut Piix4Pm, offset: u16, value: u8) {
        device.pio_write(PioAddress(APM_PORT), offset, &[value]);
    }

    #[test]
    fn a_write_of_0x2000_to_port_0x604_powers_off() {
        let (mut device, requests, _) = device();
        outw(&mut device, CONTROL_PORT, 0x2000);
        assert_eq!(requests.take(), [ExitRequest::PowerOff]);
        assert_eq!(inw(&mut device, CONTROL_PORT), 0);
    }

    #[test]
    fn a_byte_write_of_slp_en_powers_off() {
        let (mut device, requests, _) = device();
        device.pio_write(PioAddress(BASE_PORT), CONTROL + 1, &[0x20]);
        assert_eq!(requests.take(), [ExitRequest::PowerOff]);
    }

    /// `acpi_hw_legacy_sleep` in Linux's drivers/acpi/acpica/hwsleep.c: SLP_TYP first, then SLP_EN
    /// beside it, while SCI_EN stays set.
    #[test]
    fn linux_powers_off_with_two_writes() {
        let (mut device, requests, _) = device();
        outb_apm(&mut device, 0, ACPI_ENABLE);
        outw(&mut device, CONTROL_PORT, 0x0001);
        assert_eq!(requests.take(), []);
        outw(&mut device, CONTROL_PORT, 0x2001);
        assert_eq!(requests.take(), [ExitRequest::PowerOff]);
        assert_eq!(inw(&mut device, CONTROL_PORT), 1);
    }

    #[test]
    fn a_sleep_state_that_does_not_exist_wakes_at_once() {
        let (mut device, requests, _) = device();
        outw(&mut device, CONTROL_PORT, 0x2400);
        assert_eq!(requests.take(), []);
        assert_eq!(inw(&mut device, EVENT_PORT), 0x8000);
        outw(&mut device, EVENT_PORT, 0x8000);
        assert_eq!(inw(&mut device, EVENT_PORT), 0);
    }

    #[test]
    fn the_power_button_raises_the_sci_until_its_status_is_cleared() {
        let (mut device, _, line) = device();
        device.press_power_button();
        assert!(!line.is_high(), "the button is not enabled yet");
        outw(&mut device, EVENT_PORT + ENABLE, POWER_BUTTON);
        assert!(line.is_high());
        assert_eq!(inw(&mut device, EVENT_PORT), POWER_BUTTON);
        outw(&mut device, EVENT_PORT, POWER_BUTTON);
        assert!(!line.is_high());
        device.press_power_button();
        assert!(line.is_high());
        device.reset();
        assert!(!line.is_high());
        assert_eq!(inw(&mut device, EVENT_PORT + ENABLE), 0);
    }

    /// `acpi_hw_set_mode` in Linux's drivers/acpi/acpica/hwacpi.c.
    #[test]
    fn apm_commands_switch_acpi_on_and_off() {
        let (mut device, _, _) = device();
        outb_apm(&mut device, 0, ACPI_ENABLE);
        assert_eq!(inw(&mut device, CONTROL_PORT) & SCI_ENABLE, SCI_ENABLE);
        outb_apm(&mut device, 0, ACPI_DISABLE);
        assert_eq!(inw(&mut device, CONTROL_PORT) & SCI_ENABLE, 0);
        outb_apm(&mut device, 0, 0x55);
        assert_eq!(inw(&mut device, CONTROL_PORT) & SCI_ENABLE, 0);
        outb_apm(&mut device, 1, 0xa5);
        let mut data = [0; 2];
        device.pio_read(PioAddress(APM_PORT), 0, &mut data);
        assert_eq!(data, [0x55, 0xa5]);
    }

    #[test]
    fn unimplemented_bits_and_ports_store_nothing() {
        let (mut device, requests, _) = device();
        for port in (BASE_PORT..BASE_PORT + PORT_COUNT).step_by(2) {
            outw(&mut device, port, 0xdfff);
        }
        assert_eq!(requests.take(), []);
        assert_eq!(inw(&mut device, EVENT_PORT), 0);
        assert_eq!(inw(&mut device, EVENT_PORT + ENABLE), 0x0721);
        assert_eq!(inw(&mut device, CONTROL_PORT), 0x1c01);
        assert_eq!(inw(&mut device, CONTROL_PORT + 2), 0xffff);
    }

    /// `piix4_pm_setup` and `smm_device_setup` in SeaBIOS.
    #[test]
    fn seabios_finds_the_registers_and_skips_smm_setup() {
        let mut function = function();
        assert_eq!(read(&mut function, 0x00), 0x7113_8086);
        assert_eq!(read(&mut function, 0x08), 0x0680_0003);
        write(&mut function, PMBA, 0x0000_b001);
        assert_eq!(read(&mut function, PMBA), 0x0000_0601);
        assert_eq!(read(&mut function, PMREGMISC) & 1, 1);
        assert_ne!(read(&mut function, DEVACTB) & 1 << 25, 0);
        assert_eq!(read(&mut function, 0x3c), 0x0000_0100);
    }

    #[test]
    fn a_byte_is_half_of_a_register() {
        let (mut device, _, _) = device();
        let mut outb = |port: u16, value: u8| {
            device.pio_write(PioAddress(BASE_PORT), port - BASE_PORT, &[value]);
            inw(&mut device, port & !1)
        };
        assert_eq!(outb(EVENT_PORT + ENABLE, 0x21), 0x0021);
        assert_eq!(outb(EVENT_PORT + ENABLE + 1, 0x07), 0x0721);
        assert_eq!(outb(EVENT_PORT + ENABLE, 0x01), 0x0701);
        assert_eq!(outb(EVENT_PORT + ENABLE + 1, 0x01), 0x0101);
        assert_eq!(outb(CONTROL_PORT, 0x01), 0x0001);
        assert_eq!(outb(CONTROL_PORT + 1, 0x04), 0x0401);
        assert_eq!(outb(CONTROL_PORT, 0x00), 0x0400);
    }

    #[test]
    fn what_is_set_stays_set_when_it_happens_again() {
        let (mut device, _, _) = device();
        for _ in 0..2 {
            device.press_power_button();
            outb_apm(&mut device, 0, ACPI_ENABLE);
            outw(&mut device, CONTROL_PORT, 0x2401);
            outb_apm(&mut device, 0, ACPI_ENABLE);
            assert_eq!(inw(&mut device, EVENT_PORT), 0x8100);
            assert_eq!(inw(&mut device, CONTROL_PORT), 0x0401);
        }
    }

    #[test]
    fn soft_off_is_sleep_type_0_in_the_dsdt() {
        let mut aml = Vec::new();
        Piix4PmDescription.to_aml_bytes(&mut aml);
        // Name (\_S5, Package (4) { 0, 0, 0, 0 })
        assert_eq!(aml, b"\x08\\_S5_\x12\x06\x04\0\0\0\0");
    }
}
