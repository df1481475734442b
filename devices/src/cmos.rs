//! The real-time clock of a PC and its battery-backed memory: a Motorola MC146818A.
//!
//! Ports 0x70 (index; bit 7 masks the NMI on a PC and is ignored here) and 0x71 (data), no IRQ.
//! Source: Motorola MC146818A data sheet. The bytes that give firmware the memory size follow
//! QEMU's `pc_cmos_init` and SeaBIOS's `src/fw/paravirt.c`.
//!
//! | index | |
//! |---|---|
//! | 0x00, 02, 04, 06 to 09, 32 | second, minute, hour, day of the week (1 is Sunday), day, month, year, century |
//! | 0x01, 03, 05 | alarm: stored, never fires |
//! | 0x0a to 0x0d | registers A to D |
//! | 0x0f | reset reason (shutdown status): written by SeaBIOS, never read here |
//! | 0x10, 12 | floppy and hard disk types: 0, no drives |
//! | 0x14 | equipment: 0x02, a floating-point unit; no floppy, no mouse |
//! | 0x15, 16 | memory below 640 KiB, in KiB, little-endian |
//! | 0x17, 18 and 0x30, 31 | memory above 1 MiB, in KiB, at most 65535 |
//! | 0x34, 35 | memory between 16 MiB and 4 GiB, in units of 64 KiB |
//! | 0x38, 3d | boot order by kind of device: [`BootOrder`] |
//! | 0x5b to 5d | memory above 4 GiB, in units of 64 KiB |
//! | 0x5f | number of CPUs minus one: SeaBIOS waits until that many have started, or the number
//! given by fw_cfg if that is higher |
//!
//! All other bytes are plain memory, 0 after power-on. Firmware detects the chip by a month other
//! than 0xff. Not emulated: IRQ 8 and therefore the alarm, periodic and update interrupts (register
//! C reads as 0); the square wave; daylight saving time.
//!
//! The update-in-progress flag (register A, bit 7) never reads as 1. Instead, reading the seconds
//! or register A latches the time for 10 ms, so that the registers read next, as a driver does once
//! it has seen the flag clear, belong to the same second. Linux's `mc146818_get_time` therefore
//! succeeds at the first attempt, without sleeping, unless the second really changes between its
//! two reads of the seconds. SeaBIOS's `rtc_updating`, which waits up to 15 ms for the flag to
//! clear, does not wait either.

use std::fmt;

use acpi_tables::aml::{Device, EISAName, IO, Name, Path, ResourceTemplate, Scope};
use acpi_tables::{Aml, AmlSink};
use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::boot_order::BootOrder;
use crate::calendar::DateTime;
use crate::clock::Clock;
use crate::device::MachineDevice;
use crate::pio;

/// The index port; the data port follows.
pub const BASE_PORT: u16 = 0x70;
/// Number of I/O ports.
pub const PORT_COUNT: u16 = 2;
/// The index of the century register, named in the FADT. BCD or binary, like the other registers.
pub const CENTURY: u8 = 0x32;

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const REGISTER_A: u8 = 0x0a;
const REGISTER_B: u8 = 0x0b;
const REGISTER_C: u8 = 0x0c;
const REGISTER_D: u8 = 0x0d;

/// Register A: update in progress; read-only.
const A_UPDATE_IN_PROGRESS: u8 = 1 << 7;
/// Register A: both upper divider bits set, which holds the divider in reset.
const A_DIVIDER_RESET: u8 = 0b0110_0000;
/// Register A: a 32768 Hz crystal, a periodic rate of 1024 Hz.
const A_DEFAULT: u8 = 0x26;
/// Register B: stops the clock so that the time can be set.
const B_SET: u8 = 1 << 7;
/// Register B: the periodic, alarm and update interrupts and the square wave, all of which a reset
/// disables.
const B_INTERRUPTS: u8 = 0b0111_1000;
/// Register B: binary instead of BCD.
const B_BINARY: u8 = 1 << 2;
/// Register B: 24 hours instead of 12.
const B_24_HOURS: u8 = 1 << 1;
/// Register D: the battery is good.
const D_VALID: u8 = 1 << 7;
/// Hours: the PM flag in 12-hour mode.
const HOURS_PM: u8 = 1 << 7;

const NANOS: i128 = 1_000_000_000;
/// How long a latched time stays valid, in nanoseconds: long enough to read all registers, too
/// short to be noticed.
const LATCH: i128 = 10_000_000;

/// The index of the equipment byte.
const EQUIPMENT: u8 = 0x14;
/// Equipment: a floating-point unit. QEMU adds the mouse, 0x04.
const EQUIPMENT_FPU: u8 = 1 << 1;
/// The indices of the two bytes of the boot order.
const BOOT_ORDER: [usize; 2] = [0x3d, 0x38];

const SIZE: usize = 128;
const INDEX_MASK: u8 = 0x7f;

/// The real-time clock and its battery-backed memory.
pub struct Cmos {
    clock: Box<dyn Clock>,
    /// Guest time minus host time, in nanoseconds.
    offset: i128,
    /// The guest time shown by the time registers, in nanoseconds; `None` if they are out of date.
    latched: Option<i128>,
    index: u8,
    memory: [u8; SIZE],
    /// The boot order from the next reset on, if it is another one.
    next_order: Option<BootOrder>,
}

impl Cmos {
    /// Creates a clock that starts at the time of `clock`, in a machine with `below_4g` bytes of
    /// memory below 4 GiB (contiguous from address 0), `above_4g` bytes above 4 GiB and `cpus`
    /// processors.
    pub fn new(clock: Box<dyn Clock>, below_4g: u64, above_4g: u64, cpus: u8) -> Self {
        let mut memory = [0; SIZE];
        memory[usize::from(REGISTER_A)] = A_DEFAULT;
        memory[usize::from(REGISTER_B)] = B_24_HOURS;
        memory[usize::from(REGISTER_D)] = D_VALID;
        memory[usize::from(EQUIPMENT)] = EQUIPMENT_FPU;
        let mut sizes = |indices: &[usize], value: u64| {
            let limit = (1 << (8 * indices.len())) - 1;
            for (index, byte) in indices.iter().zip(value.min(limit).to_le_bytes()) {
                memory[*index] = byte;
            }
        };
        let above_1m = below_4g.saturating_sub(1 << 20) >> 10;
        sizes(&[0x15, 0x16], (below_4g >> 10).min(640));
        sizes(&[0x17, 0x18], above_1m);
        sizes(&[0x30, 0x31], above_1m);
        sizes(&[0x34, 0x35], below_4g.saturating_sub(16 << 20) >> 16);
        sizes(&[0x5b, 0x5c, 0x5d], above_4g >> 16);
        sizes(&[0x5f], u64::from(cpus.saturating_sub(1)));
        let mut cmos = Self { clock, offset: 0, latched: None, index: 0, memory, next_order: None };
        cmos.set_boot_order(BootOrder::default());
        cmos
    }

    /// Sets the boot order; `once` is that of the first boot, until the machine is reset.
    #[must_use]
    pub fn with_boot_order(mut self, order: BootOrder, once: Option<BootOrder>) -> Self {
        self.set_boot_order(once.unwrap_or(order));
        self.next_order = once.map(|_| order);
        self
    }

    fn set_boot_order(&mut self, order: BootOrder) {
        for (index, byte) in BOOT_ORDER.into_iter().zip(order.cmos()) {
            self.memory[index] = byte;
        }
    }

    fn read_data(&mut self, index: u8) -> u8 {
        match index {
            SECONDS | REGISTER_A => self.latch(),
            MINUTES | HOURS | WEEKDAY | DAY | MONTH | YEAR | CENTURY if !self.latch_is_fresh() => {
                self.latch();
            }
            REGISTER_C => return 0,
            _ => {}
        }
        self.get(index)
    }

    fn write_data(&mut self, index: u8, value: u8) {
        match index {
            SECONDS | MINUTES | HOURS | DAY | MONTH | YEAR | CENTURY => {
                self.latch();
                self.set(index, value);
                if !self.is_stopped() {
                    self.start_at_registers();
                }
            }
            REGISTER_A => {
                let was_held = self.get(REGISTER_A) & A_DIVIDER_RESET == A_DIVIDER_RESET;
                self.set(REGISTER_A, value & !A_UPDATE_IN_PROGRESS);
                if was_held && value & A_DIVIDER_RESET != A_DIVIDER_RESET && !self.is_stopped() {
                    self.start_half_a_second_before_update();
                }
            }
            REGISTER_B => self.write_control(value),
            // Read-only, or derived from the date.
            REGISTER_C | REGISTER_D | WEEKDAY => {}
            _ => self.set(index, value),
        }
    }

    fn write_control(&mut self, value: u8) {
        let was_stopped = self.is_stopped();
        self.latch();
        self.set(REGISTER_B, value);
        if was_stopped && !self.is_stopped() {
            self.start_at_registers();
        }
        if !self.is_stopped() {
            self.latched = None;
        }
    }

    /// Whether the guest has stopped the clock to set it.
    fn is_stopped(&self) -> bool {
        self.get(REGISTER_B) & B_SET != 0
    }

    fn guest_nanos(&self) -> i128 {
        self.clock.unix_nanos().saturating_add(self.offset)
    }

    fn latch_is_fresh(&self) -> bool {
        let age = self.latched.map(|latched| self.guest_nanos().saturating_sub(latched));
        age.is_some_and(|age| (0..LATCH).contains(&age))
    }

    /// Updates the time registers, unless the guest has stopped the clock.
    fn latch(&mut self) {
        if self.is_stopped() {
            return;
        }
        let now = self.guest_nanos();
        self.latched = Some(now);
        let date = DateTime::from_unix(seconds(now));
        let time = [
            (SECONDS, date.second),
            (MINUTES, date.minute),
            (WEEKDAY, date.weekday() + 1),
            (DAY, date.day),
            (MONTH, date.month),
            (YEAR, date.year.rem_euclid(100)),
            (CENTURY, date.year.div_euclid(100)),
        ];
        for (index, value) in time {
            let coded = self.encode(value);
            self.set(index, coded);
        }
        let hours = self.encode_hour(date.hour);
        self.set(HOURS, hours);
    }

    /// Restarts the clock at the time in the registers. An invalid date is replaced by the nearest
    /// valid one.
    fn start_at_registers(&mut self) {
        let year = self.decode(CENTURY).min(99) * 100 + self.decode(YEAR).min(99);
        let date = DateTime {
            year,
            month: self.decode(MONTH).clamp(1, 12),
            day: self.decode(DAY).clamp(1, 31),
            hour: self.decode_hour().min(23),
            minute: self.decode(MINUTES).min(59),
            second: self.decode(SECONDS).min(59),
        };
        let guest = i128::from(date.to_unix()) * NANOS;
        self.offset = guest.saturating_sub(self.clock.unix_nanos());
        self.latched = None;
    }

    /// Keeps the second but moves to its middle: the chip's next update comes half a second after
    /// the divider is released, and Linux sets the time accordingly.
    fn start_half_a_second_before_update(&mut self) {
        let now = self.guest_nanos();
        self.offset = self.offset.saturating_add(NANOS / 2 - now.rem_euclid(NANOS));
        self.latched = None;
    }

    fn is_binary(&self) -> bool {
        self.get(REGISTER_B) & B_BINARY != 0
    }

    /// Encodes a number from 0 to 99 as BCD or binary, as register B selects.
    fn encode(&self, value: i64) -> u8 {
        let value = u8::try_from(value.clamp(0, 99)).unwrap_or(0);
        if self.is_binary() { value } else { ((value / 10) << 4) | (value % 10) }
    }

    fn decode(&self, index: u8) -> i64 {
        self.decode_byte(self.get(index))
    }

    fn decode_byte(&self, byte: u8) -> i64 {
        let value = if self.is_binary() { byte } else { (byte >> 4) * 10 + (byte & 0xf) };
        i64::from(value)
    }

    fn encode_hour(&self, hour: i64) -> u8 {
        if self.get(REGISTER_B) & B_24_HOURS != 0 {
            return self.encode(hour);
        }
        let of_half = self.encode((hour + 11) % 12 + 1);
        if hour >= 12 { of_half | HOURS_PM } else { of_half }
    }

    fn decode_hour(&self) -> i64 {
        let byte = self.get(HOURS);
        if self.get(REGISTER_B) & B_24_HOURS != 0 {
            return self.decode_byte(byte);
        }
        let of_half = self.decode_byte(byte & !HOURS_PM) % 12;
        if byte & HOURS_PM != 0 { of_half + 12 } else { of_half }
    }

    fn get(&self, index: u8) -> u8 {
        self.memory[usize::from(index & INDEX_MASK)]
    }

    fn set(&mut self, index: u8, value: u8) {
        self.memory[usize::from(index & INDEX_MASK)] = value;
    }
}

/// Converts to whole seconds, clamped to the years the chip can represent.
fn seconds(nanos: i128) -> i64 {
    const YEAR_0: i64 = -62_167_219_200;
    const YEAR_9999: i64 = 253_402_300_799;
    let bounded = nanos.div_euclid(NANOS).clamp(i128::from(YEAR_0), i128::from(YEAR_9999));
    i64::try_from(bounded).unwrap_or(0)
}

impl MachineDevice for Cmos {
    /// Resets the machine's side of the chip. The battery preserves time and memory, but the boot
    /// order of the first boot ends with it (QEMU's `restore_boot_order`, system/bootdevice.c).
    fn reset(&mut self) {
        self.index = 0;
        if let Some(order) = self.next_order.take() {
            self.set_boot_order(order);
        }
        let control = self.get(REGISTER_B) & !B_INTERRUPTS;
        self.write_data(REGISTER_B, control);
    }
}

impl MutDevicePio for Cmos {
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        pio::read_bytes(offset, data, |port| match port {
            1 => self.read_data(self.index),
            // The index port is write-only on a PC.
            _ => pio::FLOATING,
        });
    }

    fn pio_write(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        pio::write_bytes(offset, data, |port, byte| match port {
            0 => self.index = byte & INDEX_MASK,
            1 => self.write_data(self.index, byte),
            _ => {}
        });
    }
}

impl fmt::Debug for Cmos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Cmos");
        debug.field("offset", &self.offset).field("index", &self.index).finish_non_exhaustive()
    }
}

/// The clock's DSDT entry: `\_SB.RTC_`, PNP0B00 with its ports and without an interrupt. On a
/// hardware-reduced machine, Linux then offers no alarm. (On other machines Linux assumes IRQ 8 and
/// waits for it in vain.)
#[derive(Clone, Copy, Debug)]
pub struct CmosDescription;

impl Aml for CmosDescription {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let hid = Name::new(Path::new("_HID"), &EISAName::new("PNP0B00"));
        let ports = IO::new(BASE_PORT, BASE_PORT, 1, 2);
        let resources = Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&ports]));
        let device = Device::new(Path::new("RTC_"), vec![&hid, &resources]);
        Scope::new(Path::new("\\_SB_"), vec![&device]).to_aml_bytes(sink);
    }
}

#[cfg(test)]
mod tests;
