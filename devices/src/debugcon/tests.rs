use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::tests::TestStopwatch;
use crate::console::tests::Recorder;

fn say(device: &mut Debugcon, text: &str) {
    for character in text.bytes() {
        device.pio_write(PioAddress(FIRMWARE_PORT), 0, &[character]);
    }
}

/// `qemu_debug_preinit` in SeaBIOS's src/hw/serialio.c.
#[test]
fn seabios_detects_the_port_and_keeps_logging() {
    let mut device = Debugcon::new(ConsoleSink::null());
    let mut data = [0; 2];
    device.pio_read(PioAddress(FIRMWARE_PORT), 0, &mut data[..1]);
    assert_eq!(data[0], 0xe9);
    device.pio_read(PioAddress(FIRMWARE_PORT), 0, &mut data);
    assert_eq!(data, [0xe9, 0xff]);
}

#[test]
fn writes_complete_lines() {
    let recorder = Recorder::default();
    let mut device = Debugcon::new(recorder.sink());
    say(&mut device, "SeaBIOS (version 1.16.2)\nBUILD: ");
    assert_eq!(recorder.text(), "SeaBIOS (version 1.16.2)\n");
    device.sink_mut().flush_now();
    assert_eq!(recorder.text(), "SeaBIOS (version 1.16.2)\nBUILD: ");
}

#[test]
fn stamps_each_line_when_enabled() {
    let (recorder, stopwatch) = (Recorder::default(), TestStopwatch::default());
    let mut device = Debugcon::new(recorder.sink()).with_stamps(Box::new(stopwatch.clone()));
    stopwatch.set(Duration::from_micros(12_345));
    say(&mut device, "Sea");
    stopwatch.set(Duration::from_micros(100_000));
    say(&mut device, "BIOS\n\n");
    stopwatch.set(Duration::from_micros(123_456_000_001));
    say(&mut device, "late\n");
    let expected = "[    0.012345] SeaBIOS\n[    0.100000] \n[123456.000001] late\n";
    assert_eq!(recorder.text(), expected);
}

#[test]
fn begins_new_line_when_machine_is_reset_in_the_middle() {
    let recorder = Recorder::default();
    let mut device = Debugcon::new(recorder.sink());
    say(&mut device, "In resume");
    device.reset();
    device.reset();
    say(&mut device, "SeaBIOS\n");
    assert_eq!(recorder.text(), "In resume\nSeaBIOS\n");
}

#[test]
fn wide_access_writes_one_character() {
    let recorder = Recorder::default();
    let mut device = Debugcon::new(recorder.sink());
    device.pio_write(PioAddress(FIRMWARE_PORT), 0, b"\n??");
    device.pio_write(PioAddress(FIRMWARE_PORT), 1, b"?");
    assert_eq!(recorder.text(), "\n");
}

#[test]
fn survives_when_output_fails() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let sink = ConsoleSink::new(Box::new(Broken), Box::new(()), Arc::default());
    let mut device = Debugcon::new(sink).with_stamps(Box::new(TestStopwatch::default()));
    for character in 0..=0xff {
        device.pio_write(PioAddress(FIRMWARE_PORT), 0, &[character]);
    }
}

#[test]
fn an_incomplete_line_is_written_out_when_the_machine_flushes_its_devices() {
    let recorder = Recorder::default();
    let mut device = Debugcon::new(recorder.sink());
    say(&mut device, "BUILD: ");
    assert!(!device.interrupts_for_writes(), "it has no interrupt");
    device.flush();
    assert_eq!(recorder.text(), "BUILD: ");
}
