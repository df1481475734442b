use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

/// 2024-02-29 23:59:58 UTC, a Thursday, in seconds since the epoch.
const LEAP_DAY: i64 = 1_709_251_198;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1000 * MILLISECOND;

/// A clock that only advances when moved. Clones share the time.
#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl TestClock {
    fn advance(&self, nanos: i64) {
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn unix_nanos(&self) -> i128 {
        self.0.load(Ordering::SeqCst).into()
    }
}

fn cmos_at(seconds: i64) -> (Cmos, TestClock) {
    let clock = TestClock(Arc::new(AtomicI64::new(seconds * SECOND)));
    (Cmos::new(Box::new(clock.clone()), 512 << 20, 0, 1), clock)
}

fn read(cmos: &mut Cmos, index: u8) -> u8 {
    let mut data = [0];
    cmos.pio_write(PioAddress(BASE_PORT), 0, &[index]);
    cmos.pio_read(PioAddress(BASE_PORT), 1, &mut data);
    data[0]
}

fn write(cmos: &mut Cmos, index: u8, value: u8) {
    cmos.pio_write(PioAddress(BASE_PORT), 0, &[index]);
    cmos.pio_write(PioAddress(BASE_PORT), 1, &[value]);
}

/// Century, year, month, day, hours, minutes, seconds; read in reverse order, seconds first.
fn time(cmos: &mut Cmos) -> [u8; 7] {
    let mut time = [SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR, CENTURY];
    for register in &mut time {
        *register = read(cmos, *register);
    }
    time.reverse();
    time
}

fn set_time(cmos: &mut Cmos, time: [u8; 7]) {
    let control = read(cmos, REGISTER_B);
    write(cmos, REGISTER_B, control | B_SET);
    for (index, value) in [CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS].into_iter().zip(time)
    {
        write(cmos, index, value);
    }
    write(cmos, REGISTER_B, control);
}

#[test]
fn shows_time_in_bcd_by_default() {
    let (mut cmos, clock) = cmos_at(LEAP_DAY);
    assert_eq!(time(&mut cmos), [0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x58]);
    assert_eq!(read(&mut cmos, WEEKDAY), 5);

    clock.advance(2 * SECOND);
    assert_eq!(time(&mut cmos), [0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00]);
    assert_eq!(read(&mut cmos, WEEKDAY), 6);
}

#[test]
fn shows_time_in_binary_when_guest_selects_it() {
    let (mut cmos, _) = cmos_at(LEAP_DAY);
    write(&mut cmos, REGISTER_B, B_24_HOURS | B_BINARY);
    assert_eq!(time(&mut cmos), [20, 24, 2, 29, 23, 59, 58]);
}

#[test]
fn shows_12_hour_time_when_guest_selects_it() {
    let cases = [(0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (13, 0x81), (23, 0x91)];
    for (hour, expected) in cases {
        let (mut cmos, _) = cmos_at(hour * 3600);
        write(&mut cmos, REGISTER_B, 0);
        assert_eq!(read(&mut cmos, HOURS), expected, "{hour}");

        write(&mut cmos, HOURS, expected);
        write(&mut cmos, REGISTER_B, B_24_HOURS | B_BINARY);
        assert_eq!(i64::from(read(&mut cmos, HOURS)), hour);
        assert_eq!(read(&mut cmos, DAY), 1, "{hour}");
    }
}

#[test]
fn consecutive_reads_belong_to_the_same_second() {
    let (mut cmos, clock) = cmos_at(LEAP_DAY + 1);
    clock.advance(SECOND - 1);

    assert_eq!(read(&mut cmos, REGISTER_A) & A_UPDATE_IN_PROGRESS, 0);
    assert_eq!(read(&mut cmos, SECONDS), 0x59);
    clock.advance(MILLISECOND);

    assert_eq!(read(&mut cmos, MINUTES), 0x59);
    assert_eq!(read(&mut cmos, DAY), 0x29);
    assert_eq!(read(&mut cmos, SECONDS), 0x00);
    assert_eq!(read(&mut cmos, DAY), 0x01);
}

#[test]
fn shows_current_time_when_latch_has_expired() {
    let (mut cmos, clock) = cmos_at(LEAP_DAY);
    assert_eq!(read(&mut cmos, MINUTES), 0x59);
    clock.advance(120 * SECOND);
    assert_eq!(read(&mut cmos, MINUTES), 0x01);
    clock.advance(-60 * SECOND);
    assert_eq!(read(&mut cmos, MINUTES), 0x00);
}

/// `mc146818_avoid_UIP` in Linux's drivers/rtc/rtc-mc146818-lib.c, with one millisecond per access.
#[test]
fn linux_reads_time_at_first_attempt_when_second_does_not_change() {
    let (mut cmos, clock) = cmos_at(LEAP_DAY);
    let mut slow_read = |index| {
        clock.advance(MILLISECOND);
        read(&mut cmos, index)
    };
    let seconds = slow_read(SECONDS);
    assert_eq!(slow_read(REGISTER_A) & A_UPDATE_IN_PROGRESS, 0);
    assert_eq!(slow_read(SECONDS), seconds);
    let date = [MINUTES, HOURS, DAY, MONTH, YEAR, CENTURY].map(&mut slow_read);
    let control = slow_read(REGISTER_B);
    assert_eq!(slow_read(REGISTER_A) & A_UPDATE_IN_PROGRESS, 0);
    assert_eq!(slow_read(SECONDS), seconds);

    assert_eq!(date, [0x59, 0x23, 0x29, 0x02, 0x24, 0x20]);
    assert_eq!(control, 0x02);
}

/// `mc146818_set_time` in the same file: it holds the divider in reset while it sets the time, and
/// expects the next second half a second later.
#[test]
fn linux_sets_time_when_it_releases_divider() {
    let (mut cmos, clock) = cmos_at(LEAP_DAY);
    let control = read(&mut cmos, REGISTER_B);
    write(&mut cmos, REGISTER_B, control | 0x80);
    let frequency = read(&mut cmos, REGISTER_A);
    write(&mut cmos, REGISTER_A, frequency | 0x70);
    for (index, value) in [(YEAR, 0x99), (MONTH, 0x12), (DAY, 0x31), (HOURS, 0x23), (MINUTES, 0x59)]
    {
        write(&mut cmos, index, value);
    }
    write(&mut cmos, SECONDS, 0x59);
    write(&mut cmos, CENTURY, 0x19);
    write(&mut cmos, REGISTER_B, control);
    write(&mut cmos, REGISTER_A, frequency);

    clock.advance(SECOND / 2 - 1);
    assert_eq!(time(&mut cmos), [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59]);
    clock.advance(1);
    assert_eq!(time(&mut cmos), [0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00]);
}

#[test]
fn clock_stops_while_guest_sets_time() {
    let (mut cmos, clock) = cmos_at(LEAP_DAY);
    write(&mut cmos, REGISTER_B, B_24_HOURS | B_SET);
    clock.advance(100 * SECOND);
    assert_eq!(time(&mut cmos), [0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x58]);

    write(&mut cmos, REGISTER_B, B_24_HOURS);
    clock.advance(SECOND);
    assert_eq!(read(&mut cmos, SECONDS), 0x59);
}

#[test]
fn time_written_without_stopping_takes_effect_at_once() {
    let (mut cmos, clock) = cmos_at(LEAP_DAY);
    write(&mut cmos, HOURS, 0x05);
    assert_eq!(time(&mut cmos), [0x20, 0x24, 0x02, 0x29, 0x05, 0x59, 0x58]);
    clock.advance(2 * SECOND);
    assert_eq!(time(&mut cmos), [0x20, 0x24, 0x02, 0x29, 0x06, 0x00, 0x00]);
}

#[test]
fn invalid_date_becomes_nearest_valid_date() {
    let cases = [
        ([0xff; 7], [0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59]),
        ([0; 7], [0x00, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00]),
        ([0x20, 0x23, 0x02, 0x31, 0, 0, 0], [0x20, 0x23, 0x03, 0x03, 0, 0, 0]),
    ];
    for (nonsense, expected) in cases {
        let (mut cmos, _) = cmos_at(LEAP_DAY);
        set_time(&mut cmos, nonsense);
        assert_eq!(time(&mut cmos), expected);
    }
}

#[test]
fn clock_stops_at_last_representable_year() {
    let (mut cmos, clock) = cmos_at(0);
    set_time(&mut cmos, [0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59]);
    clock.advance(10 * SECOND);
    assert_eq!(time(&mut cmos), [0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59]);
}

#[test]
fn keeps_time_and_memory_when_machine_is_reset() {
    let (mut cmos, _) = cmos_at(LEAP_DAY);
    write(&mut cmos, HOURS, 0x05);
    write(&mut cmos, 0x0f, 0x0a);
    write(&mut cmos, REGISTER_B, 0x7a);

    cmos.reset();

    assert_eq!(read(&mut cmos, HOURS), 0x05);
    assert_eq!(read(&mut cmos, 0x0f), 0x0a);
    assert_eq!(read(&mut cmos, REGISTER_B), B_24_HOURS);
}

#[test]
fn reports_memory_size_as_qemu_does() {
    let sizes = |below_4g, above_4g, cpus| {
        let mut cmos = Cmos::new(Box::new(crate::clock::SystemClock), below_4g, above_4g, cpus);
        [0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d, 0x5f]
            .map(|index| read(&mut cmos, index))
    };
    // 8 MiB; 512 MiB; 3 GiB and 3 GiB.
    let small = [0x80, 2, 0, 0x1c, 0, 0x1c, 0, 0, 0, 0, 0, 0];
    assert_eq!(sizes(8 << 20, 0, 1), small);
    assert_eq!(sizes(512 << 10, 0, 1), [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "512 KiB");
    let middle = [0x80, 2, 0xff, 0xff, 0xff, 0xff, 0, 0x1f, 0, 0, 0, 3];
    assert_eq!(sizes(512 << 20, 0, 4), middle);
    let large = [0x80, 2, 0xff, 0xff, 0xff, 0xff, 0, 0xbf, 0, 0xc0, 0, 63];
    assert_eq!(sizes(3 << 30, 3 << 30, 64), large);
    assert_eq!(sizes(u64::MAX, u64::MAX, 0)[6..], [0xff, 0xff, 0xff, 0xff, 0xff, 0]);
}

#[test]
fn has_power_on_values_when_built() {
    let (mut cmos, _) = cmos_at(0);
    let registers = [REGISTER_A, REGISTER_B, REGISTER_C, REGISTER_D, 0x0f, 0x10];
    assert_eq!(registers.map(|index| read(&mut cmos, index)), [0x26, 0x02, 0, 0x80, 0, 0]);
}

/// What SeaBIOS 1.16 reads through index | 0x80: `boot_init`, `floppy_setup`, the translation of
/// disk 0, and `smp_setup`.
#[test]
fn seabios_finds_no_drives_and_the_default_boot_order() {
    let (mut cmos, _) = cmos_at(LEAP_DAY);
    let registers = [0x38, 0x3d, 0x10, 0x12, 0x14, 0x39, 0x08, 0x5f];
    let found = registers.map(|index| read(&mut cmos, index | 0x80));
    assert_eq!(found, [0x30, 0x12, 0, 0, 0x02, 0, 0x02, 0]);
}

#[test]
fn the_boot_order_of_the_first_boot_ends_with_a_reset() {
    let order = |letters| BootOrder::from_letters(letters).unwrap();
    let (cmos, _) = cmos_at(0);
    let mut cmos = cmos.with_boot_order(order("c"), Some(order("dnc")));
    let bytes = |cmos: &mut Cmos| [0x3d, 0x38].map(|index| read(cmos, index));
    assert_eq!(bytes(&mut cmos), [0x43, 0x20]);
    cmos.reset();
    assert_eq!(bytes(&mut cmos), [0x02, 0]);
    // Later resets leave what the guest has written.
    write(&mut cmos, 0x3d, 0x55);
    cmos.reset();
    assert_eq!(bytes(&mut cmos), [0x55, 0]);
    let (cmos, _) = cmos_at(0);
    let mut cmos = cmos.with_boot_order(order("n"), None);
    cmos.reset();
    assert_eq!(bytes(&mut cmos), [0x04, 0]);
}

/// `rtc_setup` and `clock_setup` in SeaBIOS's src/hw/rtc.c and src/clock.c.
#[test]
fn seabios_sets_its_clock_without_waiting() {
    let (mut cmos, _) = cmos_at(LEAP_DAY);
    write(&mut cmos, 0x8a, 0x26);
    let control = read(&mut cmos, 0x8b);
    write(&mut cmos, 0x8b, (control & 0x01) | 0x02);
    read(&mut cmos, 0x8c);
    read(&mut cmos, 0x8d);

    assert_eq!(read(&mut cmos, 0x8a) & A_UPDATE_IN_PROGRESS, 0);
    let time = [0x80, 0x82, 0x84, 0xb2].map(|index| read(&mut cmos, index));
    assert_eq!(time, [0x58, 0x59, 0x23, 0x20]);
}

#[test]
fn ignores_writes_when_register_is_read_only() {
    let (mut cmos, _) = cmos_at(0);
    for index in [REGISTER_C, REGISTER_D, WEEKDAY] {
        let before = read(&mut cmos, index);
        write(&mut cmos, index, !before);
        assert_eq!(read(&mut cmos, index), before, "{index:#x}");
    }
    write(&mut cmos, REGISTER_A, 0xa6);
    assert_eq!(read(&mut cmos, REGISTER_A), 0x26);
}

#[test]
fn masks_nmi_bit_when_index_is_written() {
    let (mut cmos, _) = cmos_at(0);
    write(&mut cmos, 0x8f, 0x55);
    assert_eq!(read(&mut cmos, 0x0f), 0x55);
}

#[test]
fn writes_index_and_data_when_access_is_a_word() {
    let (mut cmos, _) = cmos_at(0);
    cmos.pio_write(PioAddress(BASE_PORT), 0, &[0x0f, 0x77]);
    let mut data = [0; 2];
    cmos.pio_read(PioAddress(BASE_PORT), 0, &mut data);
    assert_eq!(data, [0xff, 0x77]);
}

#[test]
fn survives_any_value_in_any_register() {
    let (mut cmos, clock) = cmos_at(LEAP_DAY);
    for value in 0..=0xff {
        for index in 0..=0xff {
            write(&mut cmos, index, value);
            read(&mut cmos, index);
            clock.advance(MILLISECOND);
        }
    }
}

/// Checked with `iasl -d`; its disassembly is next to the bytes.
#[test]
fn has_the_expected_dsdt_entry() {
    let mut aml = Vec::new();
    CmosDescription.to_aml_bytes(&mut aml);

    let expected = [
        &b"\x10\x2a\\_SB_"[..],          // Scope (\_SB)
        b"\x5b\x82\x22RTC_",             // Device (RTC)
        b"\x08_HID\x0c\x41\xd0\x0b\0",   // Name (_HID, EisaId ("PNP0B00"))
        b"\x08_CRS\x11\x0d\x0a\x0a",     // Name (_CRS, ResourceTemplate ()
        b"\x47\x01\x70\0\x70\0\x01\x02", // IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
        b"\x79\0",
    ];
    assert_eq!(aml, expected.concat());
}

/// The latch holds for 10 ms from the read of the seconds or of register A, and no longer.
#[test]
fn a_latched_time_is_shown_for_ten_milliseconds() {
    for latching in [SECONDS, REGISTER_A] {
        let (mut cmos, clock) = cmos_at(LEAP_DAY + 1);
        clock.advance(SECOND - 1);
        read(&mut cmos, latching);
        clock.advance(10 * MILLISECOND - 1);
        assert_eq!(read(&mut cmos, MINUTES), 0x59, "the minute of the read");
        clock.advance(1);
        assert_eq!(read(&mut cmos, MINUTES), 0x00, "the minute of the day that follows");
    }
}

/// MC146818A data sheet, "Divider control": the first update comes half a second after the divider is released.
#[test]
fn only_the_release_of_the_divider_moves_the_second() {
    for (before, after, moves) in
        [(0x26, 0x26, false), (0x66, 0x76, false), (0x66, 0x26, true), (0x76, 0x00, true)]
    {
        let (mut cmos, clock) = cmos_at(LEAP_DAY);
        clock.advance(300 * MILLISECOND);
        write(&mut cmos, REGISTER_A, before);
        write(&mut cmos, REGISTER_A, after);
        let left = if moves { 500 } else { 700 } * MILLISECOND;
        clock.advance(left - 1);
        assert_eq!(read(&mut cmos, SECONDS), 0x58, "{before:#x} {after:#x}");
        clock.advance(1);
        assert_eq!(read(&mut cmos, SECONDS), 0x59, "{before:#x} {after:#x}");
    }
}
