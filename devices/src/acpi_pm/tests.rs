use super::*;
use crate::exit::tests::Requests;
use crate::irq::CountingLine;

fn device() -> (AcpiPm, Requests, CountingLine) {
    let (requests, line) = (Requests::default(), CountingLine::default());
    (AcpiPm::new(requests.handle(), Box::new(line.clone())), requests, line)
}

fn inb(device: &mut AcpiPm, port: u16) -> u8 {
    let mut data = [0];
    device.pio_read(PioAddress(BASE_PORT), port - BASE_PORT, &mut data);
    data[0]
}

fn outb(device: &mut AcpiPm, port: u16, value: u8) {
    device.pio_write(PioAddress(BASE_PORT), port - BASE_PORT, &[value]);
}

/// `acpi_hw_extended_sleep` in Linux's drivers/acpi/acpica/hwesleep.c.
#[test]
fn powers_off_when_guest_enters_s5() {
    let (mut device, requests, _) = device();

    outb(&mut device, SLEEP_STATUS_PORT, 0x80);
    outb(&mut device, SLEEP_CONTROL_PORT, 0x34);

    assert_eq!(requests.take(), [ExitRequest::PowerOff]);
    assert_eq!(inb(&mut device, SLEEP_STATUS_PORT), 0);
}

#[test]
fn stays_on_when_sleep_is_not_enabled() {
    let (mut device, requests, _) = device();
    outb(&mut device, SLEEP_CONTROL_PORT, 0x14);
    assert_eq!(requests.take(), []);
    assert_eq!(inb(&mut device, SLEEP_CONTROL_PORT), 0x14);
}

#[test]
fn wakes_at_once_when_sleep_state_is_unknown() {
    let (mut device, requests, _) = device();

    outb(&mut device, SLEEP_CONTROL_PORT, 0x24);
    assert_eq!(requests.take(), []);
    assert_eq!(inb(&mut device, SLEEP_STATUS_PORT), 0x80);
    assert_eq!(inb(&mut device, SLEEP_CONTROL_PORT), 0x04);

    outb(&mut device, SLEEP_CONTROL_PORT, 0x24);
    outb(&mut device, SLEEP_STATUS_PORT, 0x7f);
    assert_eq!(inb(&mut device, SLEEP_STATUS_PORT), 0x80, "cleared by writing 1");
    outb(&mut device, SLEEP_STATUS_PORT, 0x80);
    assert_eq!(inb(&mut device, SLEEP_STATUS_PORT), 0);
}

#[test]
fn resets_when_reset_value_is_written() {
    let (mut device, requests, _) = device();
    for value in 0..=0xff {
        outb(&mut device, RESET_PORT, value);
    }
    assert_eq!(requests.take(), [ExitRequest::Reset(ResetSource::AcpiRegister)]);
}

#[test]
fn latches_event_until_read_when_power_button_is_pressed() {
    let (mut device, requests, line) = device();

    device.press_power_button();
    assert_eq!(line.count(), 1);
    device.press_power_button();
    assert_eq!(line.count(), 2);

    assert_eq!(inb(&mut device, BASE_PORT + EVENTS), 1);
    assert_eq!(inb(&mut device, BASE_PORT + EVENTS), 0);
    assert_eq!(requests.take(), []);
}

#[test]
fn clears_event_when_machine_is_reset() {
    let (mut device, _, _) = device();
    device.press_power_button();
    device.reset();
    assert_eq!(inb(&mut device, BASE_PORT + EVENTS), 0);
}

#[test]
fn floats_when_there_is_no_register() {
    let (mut device, requests, _) = device();
    for port in [RESET_PORT, BASE_PORT + 4, BASE_PORT + 7] {
        assert_eq!(inb(&mut device, port), 0xff);
    }
    outb(&mut device, BASE_PORT + 4, RESET_VALUE);
    assert_eq!(requests.take(), []);
}

#[test]
fn powers_off_as_qemus_pc_does_at_0x604() {
    let (mut device, requests, _) = device();
    let mut outw = |value: u16| device.pio_write(PioAddress(BASE_PORT), 4, &value.to_le_bytes());
    // SLP_TYP without SLP_EN, and SLP_EN with the type of a state other than S5.
    for value in [0, 0x1c00, 0x2400] {
        outw(value);
    }
    assert_eq!(requests.take(), []);
    outw(0x2000);
    assert_eq!(requests.take(), [ExitRequest::PowerOff]);
}

/// Checked with `iasl -d`; its disassembly is next to the bytes.
#[test]
fn has_the_expected_dsdt_entry() {
    let mut aml = Vec::new();
    AcpiPmDescription.to_aml_bytes(&mut aml);

    let expected = [
        &b"\x08\\_S5_\x12\x07\x04\x0a\x05\x00\x00\x00"[..], // Name (\_S5, Package (4) { 5, 0, 0, 0 })
        b"\x10\x4e\x07\\_SB_",                              // Scope (\_SB)
        b"\x5b\x82\x0fPWRB",                                // Device (PWRB)
        b"\x08_HID\x0c\x41\xd0\x0c\x0c",                    // Name (_HID, EisaId ("PNP0C0C"))
        b"\x5b\x82\x44\x06GED_",                            // Device (GED)
        b"\x08_HID\x0dACPI0013\0",                          // Name (_HID, "ACPI0013")
        b"\x08_UID\0",                                      // Name (_UID, Zero)
        b"\x08_CRS\x11\x0e\x0a\x0b",                        // Name (_CRS, ResourceTemplate ()
        b"\x89\x06\0\x03\x01\x09\0\0\0", // Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 9 }
        b"\x79\0",
        b"\x5b\x80EVTR\x01\x0b\x03\x06\x01", // OperationRegion (EVTR, SystemIO, 0x0603, One)
        b"\x5b\x81\x0bEVTR\x41EVTS\x08", // Field (EVTR, ByteAcc, NoLock, WriteAsZeros) { EVTS, 8 }
        b"\x14\x1c_EVT\x09",             // Method (_EVT, 1, Serialized)
        b"\xa0\x15\x93\x68\x0a\x09",     // If ((Arg0 == 0x09))
        b"\xa0\x0f\x7bEVTS\x01\0",       // If ((EVTS & One))
        b"\x86PWRB\x0a\x80",             // Notify (PWRB, 0x80)
    ];
    assert_eq!(aml, expected.concat());
}
