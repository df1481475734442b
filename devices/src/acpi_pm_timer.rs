//! The ACPI power-management timer, a counter that runs at 3.579545 MHz.
//!
//! Port 0x608, one register of 4 bytes, little-endian, read-only, no IRQ. Source: ACPI 6.5,
//! 4.8.3.3; QEMU's `hw/acpi/core.c`, `acpi_pm_tmr_get`.
//!
//! The counter has **24 bits**, like QEMU's and the PIIX4's: bits 31:24 read as 0, and the FADT's
//! `TMR_VAL_EXT` flag must be **clear**. It wraps every 4.69 s. Guests use only 24 bits anyway
//! (SeaBIOS's `timer_read`, Linux's `ACPI_PM_MASK`).
//!
//! The port is where SeaBIOS expects it (`acpi_pm_base` is 0x600 when `etc/table-loader` exists,
//! src/fw/paravirt.c). SeaBIOS uses it only if it has found a PIIX4 or ICH9 and has no better
//! timer. On our machines CPUID gives the TSC frequency, so nothing reads this timer unless the
//! FADT names it. Not emulated: the carry interrupt (`TMR_STS` in the PM1 event registers).

use std::fmt;

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::clock::MonotonicClock;
use crate::device::MachineDevice;
use crate::pio;

/// First port of the register: `PM_TMR_BLK` and `X_PM_TMR_BLK` in the FADT.
pub const BASE_PORT: u16 = 0x608;
/// Number of ports: `PM_TMR_LEN` in the FADT.
pub const PORT_COUNT: u16 = 4;
/// Counter frequency in hertz.
pub const FREQUENCY: u32 = 3_579_545;

/// The implemented bits of the counter.
const MASK: u32 = 0x00ff_ffff;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The power-management timer.
pub struct AcpiPmTimer {
    clock: Box<dyn MonotonicClock>,
}

impl AcpiPmTimer {
    /// Creates a timer that counts from 0 at the pace of `clock`. A machine reset does not stop it.
    pub fn new(clock: Box<dyn MonotonicClock>) -> Self {
        Self { clock }
    }

    fn value(&self) -> u32 {
        let ticks = self.clock.elapsed().as_nanos() * u128::from(FREQUENCY) / NANOS_PER_SECOND;
        u32::try_from(ticks & u128::from(MASK)).unwrap_or(0)
    }
}

impl MachineDevice for AcpiPmTimer {
    /// The counter is free-running: a machine reset does not affect it.
    fn reset(&mut self) {}
}

impl MutDevicePio for AcpiPmTimer {
    /// Any part of the register can be read; all bytes of one access come from the same sample.
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        let value = self.value().to_le_bytes();
        pio::read_bytes(offset, data, |byte| {
            value.get(usize::from(byte)).copied().unwrap_or(pio::FLOATING)
        });
    }

    fn pio_write(&mut self, _base: PioAddress, _offset: PioAddressOffset, _data: &[u8]) {}
}

impl fmt::Debug for AcpiPmTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcpiPmTimer").field("value", &self.value()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::tests::TestStopwatch;

    fn timer() -> (AcpiPmTimer, TestStopwatch) {
        let stopwatch = TestStopwatch::default();
        (AcpiPmTimer::new(Box::new(stopwatch.clone())), stopwatch)
    }

    fn inl(timer: &mut AcpiPmTimer) -> u32 {
        let mut data = [0; 4];
        timer.pio_read(PioAddress(BASE_PORT), 0, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn ticks_at_3_579545_mhz() {
        let (mut timer, stopwatch) = timer();
        assert_eq!(inl(&mut timer), 0);
        let cases = [(279, 0), (280, 1), (1_000_000, 3579), (1_000_000_000, FREQUENCY)];
        for (nanos, ticks) in cases {
            stopwatch.set(Duration::from_nanos(nanos));
            assert_eq!(inl(&mut timer), ticks, "{nanos}");
        }
    }

    /// 2^24 ticks take just under 4686968875 ns.
    #[test]
    fn wraps_at_24_bits() {
        let (mut timer, stopwatch) = timer();
        stopwatch.set(Duration::from_nanos(4_686_968_874));
        assert_eq!(inl(&mut timer), MASK);
        stopwatch.set(Duration::from_nanos(4_686_968_875));
        assert_eq!(inl(&mut timer), 0);
        stopwatch.set(Duration::from_secs(100 * 365 * 86_400));
        assert_eq!(inl(&mut timer) >> 24, 0);
    }

    /// `timer_adjust_bits` in SeaBIOS's src/hw/timer.c extends the value, which must never appear
    /// to go backwards.
    #[test]
    fn seabios_sees_no_step_back_when_counter_wraps() {
        let (mut timer, stopwatch) = timer();
        let mut last = 0u32;
        for tenths in 0u64..600 {
            stopwatch.set(Duration::from_millis(100 * tenths));
            let mut value = (last & !MASK) | (inl(&mut timer) & MASK);
            if value < last {
                value += MASK + 1;
            }
            let due = 357_954 * u32::try_from(tenths).unwrap();
            assert!((due..due + 600).contains(&value), "{tenths}: {value}");
            last = value;
        }
    }

    #[test]
    fn partial_reads_return_the_register_bytes() {
        let (mut timer, stopwatch) = timer();
        stopwatch.set(Duration::from_secs(1));
        let bytes = FREQUENCY.to_le_bytes();
        for offset in 0..PORT_COUNT {
            let mut data = [0];
            timer.pio_read(PioAddress(BASE_PORT), offset, &mut data);
            assert_eq!(data[0], bytes[usize::from(offset)]);
        }
        let mut data = [0; 2];
        timer.pio_read(PioAddress(BASE_PORT), 3, &mut data);
        assert_eq!(data, [0x00, 0xff]);
    }

    #[test]
    fn writes_do_not_stop_the_counter() {
        let (mut timer, stopwatch) = timer();
        stopwatch.set(Duration::from_secs(1));
        timer.pio_write(PioAddress(BASE_PORT), 0, &[0; 4]);
        assert_eq!(inl(&mut timer), FREQUENCY);
    }
}
