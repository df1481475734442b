//! ACPI power management of a hardware-reduced machine: power-off, reset and the power button.
//!
//! Ports 0x600 to 0x607, IRQ 9, edge-triggered. Source: ACPI 6.5, 4.8.3.7 (sleep control and status
//! registers), 4.8.3.6 (reset register), 5.6.9 (interrupt-signaled events, the Generic Event
//! Device) and 7.4.2 (`\_Sx`),
//! <https://uefi.org/specs/ACPI/6.5/>.
//!
//! | port | register | |
//! |---|---|---|
//! | 0x600 | sleep control | bits 4:2 `SLP_TYPx`, bit 5 `SLP_EN` (reads as 0) |
//! | 0x601 | sleep status | bit 7 `WAK_STS`, cleared by writing 1 |
//! | 0x602 | reset | write-only; [`RESET_VALUE`] resets |
//! | 0x603 | events | bit 0 power button; cleared by reading |
//! | 0x604, 0x605 | QEMU's way out | write-only, in no table: a 16-bit 0x2000 powers off |
//!
//! 0x604 is the PM1 control register of QEMU's `pc` (`acpi_pm1_cnt_write` in hw/acpi/core.c), which
//! kernels without ACPI write to in order to power off, as the OSDev wiki suggests.
//!
//! Not emulated: sleep states other than S5 (a guest that enters one wakes immediately), the
//! fixed-hardware registers (PM1, GPE) and the PM timer, which [`crate::acpi_pm_timer`] provides at
//! its usual port, 0x608.

use std::fmt;

use acpi_tables::aml::{
    And, Arg, Device, EISAName, Equal, Field, FieldAccessType, FieldEntry, FieldLockRule,
    FieldUpdateRule, If, Interrupt, Method, Name, Notify, OpRegion, OpRegionSpace, Package, Path,
    ResourceTemplate, Scope, ZERO,
};
use acpi_tables::{Aml, AmlSink};
use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::device::MachineDevice;
use crate::exit::{ExitHandle, ExitRequest, ResetSource};
use crate::irq::IrqLine;
use crate::pio;

/// First I/O port of the device.
pub const BASE_PORT: u16 = 0x600;
/// Number of I/O ports.
pub const PORT_COUNT: u16 = 8;
/// The sleep control register: 8 bits, `SLEEP_CONTROL_REG` of the FADT.
pub const SLEEP_CONTROL_PORT: u16 = BASE_PORT + SLEEP_CONTROL;
/// The sleep status register: 8 bits, `SLEEP_STATUS_REG` of the FADT.
pub const SLEEP_STATUS_PORT: u16 = BASE_PORT + SLEEP_STATUS;
/// The reset register: 8 bits, `RESET_REG` of the FADT.
pub const RESET_PORT: u16 = BASE_PORT + RESET;
/// The value that resets the machine when written to [`RESET_PORT`]: `RESET_VALUE` of the FADT. Not
/// 0 or 1, which stray writes are likely to contain.
pub const RESET_VALUE: u8 = 0x42;
/// IRQ of the Generic Event Device: edge-triggered, active high. PCs use this line for ACPI.
pub const GED_IRQ: u8 = 9;
/// The value of `SLP_TYPx` for S5, soft off.
pub const SLEEP_TYPE_S5: u8 = 5;

const SLEEP_CONTROL: u16 = 0;
const SLEEP_STATUS: u16 = 1;
const RESET: u16 = 2;
const EVENTS: u16 = 3;
/// The high byte of PM1 control in QEMU's `pc`: bits 4:2 `SLP_TYP`, 0 for soft off, and bit 5
/// `SLP_EN`.
const PM1_CONTROL_HIGH: u16 = 5;

const SLEEP_TYPE_SHIFT: u8 = 2;
const SLEEP_TYPE_MASK: u8 = 0b111 << SLEEP_TYPE_SHIFT;
const SLEEP_ENABLE: u8 = 1 << 5;
const WAKE_STATUS: u8 = 1 << 7;

const EVENT_POWER_BUTTON: u8 = 1 << 0;

/// The notification value of a pressed power button (ACPI 6.5, table 5.168).
const NOTIFY_PRESSED: u8 = 0x80;

/// The registers for power-off and reset, and the power button.
pub struct AcpiPm {
    exit: ExitHandle,
    event_line: Box<dyn IrqLine>,
    sleep_type: u8,
    sleep_status: u8,
    events: u8,
}

impl AcpiPm {
    /// Creates a device that requests power-off and reset through `exit` and signals events on
    /// `event_line`, IRQ [`GED_IRQ`].
    pub fn new(exit: ExitHandle, event_line: Box<dyn IrqLine>) -> Self {
        Self { exit, event_line, sleep_type: 0, sleep_status: 0, events: 0 }
    }

    /// Presses the power button, which asks the guest to power off.
    pub fn press_power_button(&mut self) {
        self.events |= EVENT_POWER_BUTTON;
        self.event_line.pulse();
    }

    fn read(&mut self, register: u16) -> u8 {
        match register {
            SLEEP_CONTROL => self.sleep_type,
            SLEEP_STATUS => self.sleep_status,
            EVENTS => std::mem::take(&mut self.events),
            _ => pio::FLOATING,
        }
    }

    fn write(&mut self, register: u16, value: u8) {
        match register {
            SLEEP_CONTROL => {
                self.sleep_type = value & SLEEP_TYPE_MASK;
                if value & SLEEP_ENABLE != 0 {
                    self.sleep();
                }
            }
            SLEEP_STATUS => self.sleep_status &= !(value & WAKE_STATUS),
            RESET if value == RESET_VALUE => {
                self.exit.request(ExitRequest::Reset(ResetSource::AcpiRegister));
            }
            PM1_CONTROL_HIGH if value == SLEEP_ENABLE => self.exit.request(ExitRequest::PowerOff),
            _ => {}
        }
    }

    fn sleep(&mut self) {
        if self.sleep_type >> SLEEP_TYPE_SHIFT == SLEEP_TYPE_S5 {
            self.exit.request(ExitRequest::PowerOff);
        } else {
            // The guest polls for this bit.
            self.sleep_status |= WAKE_STATUS;
        }
    }
}

impl MachineDevice for AcpiPm {
    fn reset(&mut self) {
        self.sleep_type = 0;
        self.sleep_status = 0;
        self.events = 0;
    }
}

impl MutDevicePio for AcpiPm {
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        pio::read_bytes(offset, data, |register| self.read(register));
    }

    fn pio_write(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        pio::write_bytes(offset, data, |register, byte| self.write(register, byte));
    }
}

impl fmt::Debug for AcpiPm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AcpiPm");
        debug.field("sleep_type", &self.sleep_type).field("sleep_status", &self.sleep_status);
        debug.field("events", &self.events).finish_non_exhaustive()
    }
}

/// The device's DSDT entries: `\_S5`, the power button `\_SB.PWRB` and the Generic Event Device
/// `\_SB.GED_`.
#[derive(Clone, Copy, Debug)]
pub struct AcpiPmDescription;

impl Aml for AcpiPmDescription {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let soft_off = Package::new(vec![&SLEEP_TYPE_S5, &ZERO, &ZERO, &ZERO]);
        Name::new(Path::new("\\_S5_"), &soft_off).to_aml_bytes(sink);

        let button_hid = Name::new(Path::new("_HID"), &EISAName::new("PNP0C0C"));
        let button = Device::new(Path::new("PWRB"), vec![&button_hid]);

        let hid = Name::new(Path::new("_HID"), &"ACPI0013");
        let uid = Name::new(Path::new("_UID"), &ZERO);
        let interrupt = Interrupt::new(true, true, false, false, u32::from(GED_IRQ));
        let resources = Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&interrupt]));
        let port = BASE_PORT + EVENTS;
        let region = OpRegion::new(Path::new("EVTR"), OpRegionSpace::SystemIO, &port, &1u8);
        let events = Field::new(
            Path::new("EVTR"),
            FieldAccessType::Byte,
            FieldLockRule::NoLock,
            FieldUpdateRule::WriteAsZeroes,
            vec![FieldEntry::Named(*b"EVTS", 8)],
        );
        let latch = Path::new("EVTS");
        let pressed = And::new(&ZERO, &latch, &EVENT_POWER_BUTTON);
        let button_path = Path::new("PWRB");
        let notify = Notify::new(&button_path, &NOTIFY_PRESSED);
        let when_pressed = If::new(&pressed, vec![&notify]);
        let ours = Equal::new(&Arg(0), &GED_IRQ);
        let when_ours = If::new(&ours, vec![&when_pressed]);
        let on_event = Method::new(Path::new("_EVT"), 1, true, vec![&when_ours]);
        let ged = Device::new(
            Path::new("GED_"),
            vec![&hid, &uid, &resources, &region, &events, &on_event],
        );

        Scope::new(Path::new("\\_SB_"), vec![&button, &ged]).to_aml_bytes(sink);
    }
}

#[cfg(test)]
mod tests;
