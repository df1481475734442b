use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::console::tests::Recorder;
use crate::irq::CountingLine;

/// The guest's side of a serial port, using the register names of Linux's
/// include/uapi/linux/serial_reg.h.
struct Guest {
    port: Serial,
    line: CountingLine,
    output: Recorder,
    room: Arc<AtomicUsize>,
}

const TX: u16 = 0;
const RX: u16 = 0;
const DLL: u16 = 0;
const IER: u16 = 1;
const DLM: u16 = 1;
const IIR: u16 = 2;
const FCR: u16 = 2;
const EFR: u16 = 2;
const LCR: u16 = 3;
const MCR: u16 = 4;
const LSR: u16 = 5;
const MSR: u16 = 6;
const SCR: u16 = 7;

impl Guest {
    fn new() -> Self {
        let (line, output) = (CountingLine::default(), Recorder::default());
        let room = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&room);
        let port = Serial::new(Box::new(line.clone()), output.sink(), move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        Self { port, line, output, room }
    }

    fn inb(&mut self, register: u16) -> u8 {
        let mut data = [0];
        self.port.pio_read(PioAddress(0x3f8), register, &mut data);
        data[0]
    }

    fn outb(&mut self, register: u16, value: u8) {
        self.port.pio_write(PioAddress(0x3f8), register, &[value]);
    }

    fn read_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.inb(LSR) & 1 != 0 {
            bytes.push(self.inb(RX));
        }
        bytes
    }

    fn room_calls(&self) -> usize {
        self.room.load(Ordering::SeqCst)
    }
}

#[test]
fn passes_output_on_when_guest_transmits() {
    let mut guest = Guest::new();
    for byte in b"hello\n" {
        guest.outb(TX, *byte);
    }
    assert_eq!(guest.output.text(), "hello\n");
    assert!(!guest.port.sink_mut().needs_flush());
}

#[test]
fn accepts_as_much_input_as_fits() {
    let mut guest = Guest::new();
    guest.outb(IER, 0x01);
    let input: Vec<u8> = (0..100).collect();

    assert_eq!(guest.port.enqueue(&input), 64);
    assert_eq!(guest.port.enqueue(&input[64..]), 0);
    assert_eq!(guest.line.count(), 1);
    assert_eq!(guest.read_all(), input[..64]);
    assert_eq!(guest.room_calls(), 1);

    assert_eq!(guest.port.enqueue(&input[64..]), 36);
    assert_eq!(guest.read_all(), input[64..]);
    assert_eq!(guest.room_calls(), 1);
}

#[test]
fn holds_input_back_when_awaiting_a_listener() {
    let mut guest = Guest::new();
    guest.port.await_listener();

    assert_eq!(guest.port.enqueue(b"ls\n"), 0);
    guest.outb(IER, 0x02);
    assert_eq!(guest.room_calls(), 0);

    guest.outb(IER, 0x05);
    assert_eq!(guest.room_calls(), 1);
    assert_eq!(guest.port.enqueue(b"ls\n"), 3);
    guest.outb(IER, 0x00);
    assert_eq!(guest.read_all(), b"ls\n");
}

#[test]
fn gives_held_input_to_a_guest_that_polls_for_it() {
    let mut guest = Guest::new();
    guest.port.await_listener();
    assert_eq!(guest.port.enqueue(b"go\n"), 0);

    // A kernel that prints reads the line status for each byte, and is not listening.
    for _ in 0..1000 {
        guest.inb(LSR);
        guest.inb(LSR);
        guest.outb(DATA, b'.');
    }
    assert_eq!(guest.room_calls(), 0);

    for _ in 1..LISTENING_POLLS {
        guest.inb(LSR);
    }
    assert_eq!(guest.room_calls(), 0);
    guest.inb(LSR);
    assert_eq!(guest.room_calls(), 1);
    assert_eq!(guest.port.enqueue(b"go\n"), 3);
    assert_eq!(guest.read_all(), b"go\n");
}

#[test]
fn holds_input_back_when_in_loopback_mode() {
    let mut guest = Guest::new();
    guest.outb(MCR, 0x10);
    assert_eq!(guest.port.enqueue(b"x"), 0);
    guest.outb(MCR, 0x08);
    assert_eq!(guest.room_calls(), 1);
    assert_eq!(guest.port.enqueue(b"x"), 1);
}

#[test]
fn fifo_control_clears_the_receiver() {
    for line_control in [0x03, 0x83] {
        let mut guest = Guest::new();
        guest.port.enqueue(&[b'x'; 100]);
        guest.outb(LCR, line_control);

        guest.outb(FCR, 0x07);

        assert_eq!(guest.inb(LCR), line_control);
        assert_eq!(guest.inb(LSR), 0x60);
        assert_eq!(guest.room_calls(), 1);
    }
}

#[test]
fn identifies_received_data_until_it_is_read() {
    let mut guest = Guest::new();
    guest.outb(IER, 0x03);
    guest.port.enqueue(b"ab");

    for byte in b"ab" {
        assert_eq!(guest.inb(IIR), 0xc4);
        assert_eq!(guest.inb(IIR), 0xc4);
        assert_eq!(guest.inb(RX), *byte);
    }
    assert_eq!(guest.inb(IIR), 0xc2);
    assert_eq!(guest.inb(IIR), 0xc1);
}

#[test]
fn identifies_nothing_when_interrupt_is_not_enabled() {
    let mut guest = Guest::new();
    guest.port.enqueue(b"a");
    guest.outb(TX, b'x');
    assert_eq!(guest.inb(IIR), 0xc1);
    assert_eq!(guest.line.count(), 0);

    guest.outb(IER, 0x01);
    assert_eq!(guest.line.count(), 1);
    assert_eq!(guest.inb(IIR), 0xc4);
}

/// Linux's console masks the interrupts while it prints, and the handler on another CPU reads the
/// identification in the meantime.
#[test]
fn interrupts_again_when_identification_was_read_while_masked() {
    let mut guest = Guest::new();
    guest.outb(IER, 0x03);
    assert_eq!(guest.line.count(), 1);

    guest.outb(IER, 0x00);
    assert_eq!(guest.inb(IIR), 0xc1);
    guest.outb(IER, 0x03);

    assert_eq!(guest.line.count(), 2);
    assert_eq!(guest.inb(IIR), 0xc2);
}

/// `autoconfig` and `autoconfig_16550a` in Linux's drivers/tty/serial/8250/8250_port.c, with
/// CONFIG_SERIAL_8250_16550A_VARIANTS.
#[test]
fn linux_finds_a_16550a_when_it_configures_the_port() {
    let mut guest = Guest::new();
    // Is a UART present?
    let interrupts = guest.inb(IER);
    guest.outb(IER, 0);
    assert_eq!(guest.inb(IER) & 0x0f, 0);
    guest.outb(IER, 0x0f);
    assert_eq!(guest.inb(IER) & 0x0f, 0x0f);
    guest.outb(IER, interrupts);
    // Does loopback mode work?
    let (modem, line) = (guest.inb(MCR), guest.inb(LCR));
    guest.outb(MCR, 0x1a);
    assert_eq!(guest.inb(MSR) & 0xf0, 0x90);
    guest.outb(MCR, modem);
    // Does it have working FIFOs?
    guest.outb(LCR, 0xbf);
    guest.outb(EFR, 0);
    guest.outb(LCR, 0);
    guest.outb(FCR, 0x01);
    assert_eq!(guest.inb(IIR) >> 6, 3);
    // ST16C650 and its successors have an EFR.
    guest.outb(LCR, 0x80);
    assert_ne!(guest.inb(EFR), 0);
    guest.outb(LCR, 0xbf);
    assert_ne!(guest.inb(EFR), 0);
    // An NS16550A in a Super I/O chip has a second register bank.
    guest.outb(LCR, 0);
    let before = guest.inb(MCR);
    guest.outb(LCR, 0xe0);
    assert_eq!((guest.inb(2) ^ before) & 0x10, 0);
    guest.outb(LCR, 0);
    guest.outb(MCR, before ^ 0x10);
    guest.outb(LCR, 0xe0);
    assert_eq!((guest.inb(2) ^ before) & 0x10, 0);
    guest.outb(LCR, 0);
    guest.outb(MCR, before);
    // A TI16750 has a FIFO of 64 bytes.
    guest.outb(FCR, 0x21);
    assert_eq!(guest.inb(IIR) >> 5, 6);
    guest.outb(LCR, 0x80);
    guest.outb(FCR, 0x21);
    assert_eq!(guest.inb(IIR) >> 5, 6);
    guest.outb(LCR, 0);
    // An XScale UART has an enable bit.
    guest.outb(IER, 0x40);
    assert_eq!(guest.inb(IER) & 0x40, 0);
    guest.outb(IER, interrupts);

    assert_eq!(size_fifo(&mut guest), 16);

    guest.outb(LCR, line);
    guest.outb(MCR, modem);
    assert_eq!(guest.output.text(), "");
}

/// `size_fifo` in the same file.
fn size_fifo(guest: &mut Guest) -> usize {
    guest.outb(LCR, 0);
    let (fifo, modem) = (0x01, guest.inb(MCR));
    guest.outb(FCR, fifo | 0x06);
    guest.outb(MCR, 0x10);
    guest.outb(LCR, 0x80);
    let divisor = (guest.inb(DLL), guest.inb(DLM));
    guest.outb(DLL, 1);
    guest.outb(DLM, 0);
    guest.outb(LCR, 0x03);
    for byte in 0..=255 {
        guest.outb(TX, byte);
    }
    let count = guest.read_all().len();
    guest.outb(FCR, fifo);
    guest.outb(MCR, modem);
    guest.outb(LCR, 0x80);
    guest.outb(DLL, divisor.0);
    guest.outb(DLM, divisor.1);
    guest.outb(LCR, 0);
    count
}

/// `serial8250_do_startup` in the same file: neither UART_BUG_TXEN nor UART_BUG_THRE is found.
#[test]
fn linux_finds_no_bugs_when_it_opens_the_port() {
    let mut guest = Guest::new();
    for value in [0x01, 0x07, 0x00] {
        guest.outb(FCR, value);
    }
    for register in [LSR, RX, IIR, MSR] {
        assert_ne!(guest.inb(register), 0xff);
    }
    guest.outb(LCR, 0x03);

    for _ in 0..3 {
        guest.outb(IER, 0x02);
        assert_eq!(guest.inb(LSR) & 0x60, 0x60);
        assert_eq!(guest.inb(IIR) & 0x01, 0);
        guest.outb(IER, 0x00);
    }
    assert_eq!(guest.line.count(), 3);
}

#[test]
fn stores_scratch_and_divisor() {
    let mut guest = Guest::new();
    guest.outb(SCR, 0xa5);
    guest.outb(LCR, 0x83);
    guest.outb(DLL, 0x34);
    guest.outb(DLM, 0x12);
    assert_eq!([SCR, DLL, DLM].map(|register| guest.inb(register)), [0xa5, 0x34, 0x12]);
    guest.outb(LCR, 0x03);
    assert_eq!([RX, IER].map(|register| guest.inb(register)), [0, 0]);
}

#[test]
fn has_power_on_values_when_machine_is_reset() {
    let registers = [IER, IIR, LCR, MCR, LSR, MSR, SCR];
    let mut fresh = Guest::new();
    let expected = registers.map(|register| fresh.inb(register));

    let mut guest = Guest::new();
    for value in [0x00, 0x80, 0xff] {
        guest.port.enqueue(b"input");
        for register in [IER, MCR, SCR, LCR, DLL, DLM] {
            guest.outb(register, !value);
        }
        guest.port.reset();
        assert_eq!(registers.map(|register| guest.inb(register)), expected);
        guest.outb(LCR, 0x83);
        assert_eq!([DLL, DLM].map(|register| guest.inb(register)), [12, 0]);
    }
}

#[test]
fn splits_access_when_it_is_a_word() {
    let mut guest = Guest::new();
    guest.port.pio_write(PioAddress(0x3f8), MCR, &[0x0b, 0, 0, 0x77]);
    let mut data = [0; 4];
    guest.port.pio_read(PioAddress(0x3f8), MCR, &mut data);
    assert_eq!(data, [0x0b, 0x60, 0xb0, 0x77]);

    guest.port.pio_read(PioAddress(0x3f8), SCR, &mut data[..2]);
    assert_eq!(data[..2], [0x77, 0xff]);
}

#[test]
fn survives_any_value_in_any_register() {
    let mut guest = Guest::new();
    for value in 0..=0xff {
        for register in 0..16 {
            guest.outb(register, value);
            guest.inb(register);
            guest.port.enqueue(&[value; 9]);
        }
    }
}

#[test]
fn four_ports_have_separate_irqs() {
    let mut lines = ComPort::ALL.map(ComPort::irq).to_vec();
    lines.push(crate::acpi_pm::GED_IRQ);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines, [3, 4, 5, 7, 9]);
}

/// Checked with `iasl -d`; its disassembly is next to the bytes.
#[test]
fn has_the_expected_dsdt_entry() {
    let mut aml = Vec::new();
    ComPort::Com3.to_aml_bytes(&mut aml);

    let expected = [
        &b"\x10\x3a\\_SB_"[..],              // Scope (\_SB)
        b"\x5b\x82\x32COM3",                 // Device (COM3)
        b"\x08_HID\x0c\x41\xd0\x05\x01",     // Name (_HID, EisaId ("PNP0501"))
        b"\x08_UID\x0a\x03",                 // Name (_UID, 0x03)
        b"\x08_CRS\x11\x16\x0a\x13",         // Name (_CRS, ResourceTemplate ()
        b"\x47\x01\xe8\x03\xe8\x03\x01\x08", // IO (Decode16, 0x03E8, 0x03E8, 0x01, 0x08)
        b"\x89\x06\0\x03\x01\x05\0\0\0", // Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 5 }
        b"\x79\0",
    ];
    assert_eq!(aml, expected.concat());
}

#[test]
fn the_divisor_latch_is_no_interrupt_enable_register() {
    let mut guest = Guest::new();
    guest.port.await_listener();
    guest.outb(LCR, 0x80);
    guest.outb(DLM, 0x01);
    guest.outb(LCR, 0x03);
    assert_eq!(guest.port.enqueue(b"x"), 0, "the guest does not listen yet");
    guest.outb(IER, 0x01);
    assert_eq!(guest.port.enqueue(b"x"), 1);
    guest.outb(LCR, 0x80);
    guest.outb(DLM, 0x00);
    guest.outb(LCR, 0x03);
    assert_eq!(guest.inb(IIR) & 0x0f, 0x04, "received data still interrupts");
}

#[test]
fn a_fifo_control_write_without_the_clear_bit_keeps_received_data() {
    let mut guest = Guest::new();
    guest.outb(IER, 0x01);
    guest.port.enqueue(b"ab");
    guest.outb(FCR, 0x01);
    assert_eq!(guest.read_all(), b"ab");
    guest.port.enqueue(b"cd");
    guest.outb(FCR, 0x03);
    assert_eq!(guest.read_all(), b"");
}

/// Transmitter empty, or what was sent comes back.
#[test]
fn writes_interrupt_where_the_guest_has_enabled_that() {
    let mut guest = Guest::new();
    for (enable, modem_control, expected) in [
        (0x00, 0x00, false),
        (0x01, 0x00, false),
        (0x0d, 0x0f, false),
        (0x02, 0x00, true),
        (0x00, 0x10, false),
        (0x0c, 0x1f, false),
        (0x01, 0x10, true),
    ] {
        guest.outb(IER, enable);
        guest.outb(MCR, modem_control);
        assert_eq!(guest.port.interrupts_for_writes(), expected, "{enable:#x} {modem_control:#x}");
    }
}

#[test]
fn a_prompt_is_written_out_when_the_machine_flushes_its_devices() {
    let mut guest = Guest::new();
    guest.outb(TX, b'>');
    assert_eq!(guest.output.text(), "");
    guest.port.flush();
    assert_eq!(guest.output.text(), ">");
}
