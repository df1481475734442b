//! A serial port: the National Semiconductor 16550A, on `vm_superio::Serial`.
//!
//! COM1 to COM4 use the standard PC port ranges: eight ports each, from 0x3f8, 0x2f8, 0x3e8 and
//! 0x2e8. Source: PC16550D data sheet; <https://www.lammertbies.nl/comm/info/serial-uart>.
//!
//! On the ISA bus, COM3 shares IRQ 4 with COM1 and COM4 shares IRQ 3 with COM2, and QEMU does the
//! same. But sharing an edge-triggered line loses interrupts, so here COM3 uses IRQ 5 and COM4 uses
//! IRQ 7. Serial cards had jumpers for these lines, which normally belong to parallel ports; this
//! machine has none. The guest finds the assignment in the DSDT.
//!
//! On top of vm-superio, this module implements interrupt identification as the chip does it
//! (received data has priority over an empty transmitter and stays pending until it is read; only
//! enabled interrupts are reported), the 16-byte FIFO in loopback mode (drivers use it to
//! distinguish a 16550A from its successors) and the "clear receive FIFO" bit of the FIFO control
//! register. Not emulated: baud rate and line settings (stored, but without effect), modem status
//! changes, line errors and breaks, and disabling the FIFO.

use std::fmt;

use acpi_tables::aml::{Device, EISAName, IO, Interrupt, Name, Path, ResourceTemplate, Scope};
use acpi_tables::{Aml, AmlSink};
use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};
use vm_superio::serial::NoEvents;

use crate::console::ConsoleSink;
use crate::device::MachineDevice;
use crate::irq::{IrqLine, LineTrigger};
use crate::pio;

/// Number of I/O ports of a serial port.
pub const PORT_COUNT: u16 = 8;

/// One of the four serial ports of a PC: `\_SB.COM1` to `\_SB.COM4` in the DSDT, PNP0501.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComPort {
    /// `ttyS0` in Linux.
    Com1,
    /// `ttyS1` in Linux.
    Com2,
    /// `ttyS2` in Linux.
    Com3,
    /// `ttyS3` in Linux.
    Com4,
}

impl ComPort {
    /// All four, in order.
    pub const ALL: [Self; 4] = [Self::Com1, Self::Com2, Self::Com3, Self::Com4];

    /// The first of the port's [`PORT_COUNT`] I/O ports.
    pub const fn base_port(self) -> u16 {
        match self {
            Self::Com1 => 0x3f8,
            Self::Com2 => 0x2f8,
            Self::Com3 => 0x3e8,
            Self::Com4 => 0x2e8,
        }
    }

    /// The port's IRQ: edge-triggered, active high, not shared.
    pub const fn irq(self) -> u8 {
        match self {
            Self::Com1 => 4,
            Self::Com2 => 3,
            Self::Com3 => 5,
            Self::Com4 => 7,
        }
    }

    /// The port's name in the DSDT and its `_UID`.
    const fn identity(self) -> (&'static str, u8) {
        match self {
            Self::Com1 => ("COM1", 1),
            Self::Com2 => ("COM2", 2),
            Self::Com3 => ("COM3", 3),
            Self::Com4 => ("COM4", 4),
        }
    }
}

impl Aml for ComPort {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let (name, uid) = self.identity();
        let hid = Name::new(Path::new("_HID"), &EISAName::new("PNP0501"));
        let uid = Name::new(Path::new("_UID"), &uid);
        let ports = IO::new(self.base_port(), self.base_port(), 1, 8);
        let interrupt = Interrupt::new(true, true, false, false, u32::from(self.irq()));
        let resources = ResourceTemplate::new(vec![&ports, &interrupt]);
        let resources = Name::new(Path::new("_CRS"), &resources);
        let device = Device::new(Path::new(name), vec![&hid, &uid, &resources]);
        Scope::new(Path::new("\\_SB_"), vec![&device]).to_aml_bytes(sink);
    }
}

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const INTERRUPT_ID: u16 = 2;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const IER_RECEIVED: u8 = 1 << 0;
const IER_TRANSMITTER_EMPTY: u8 = 1 << 1;
const IIR_NONE: u8 = 0b0001;
const IIR_TRANSMITTER_EMPTY: u8 = 0b0010;
const IIR_RECEIVED: u8 = 0b0100;
const IIR_ID_MASK: u8 = 0b1111;
const FCR_CLEAR_RECEIVER: u8 = 1 << 1;
const LCR_DIVISOR_LATCH: u8 = 1 << 7;
const LCR_8_BITS: u8 = 0b11;
const MCR_OUT2: u8 = 1 << 3;
const MCR_LOOPBACK: u8 = 1 << 4;
const LSR_DATA_READY: u8 = 1 << 0;

/// The divisor for 9600 baud, vm-superio's power-on value.
const DIVISOR: u8 = 12;

/// Number of consecutive reads of the line status register that show that the guest polls for
/// input.
pub const LISTENING_POLLS: u32 = 64;

/// Depth of vm-superio's receive buffer in bytes. Host input may fill all of it, which saves
/// interrupts.
const BUFFER_DEPTH: usize = 64;
/// Depth of the chip's FIFO in bytes, which drivers can measure in loopback mode.
const FIFO_DEPTH: usize = 16;

/// A serial port.
pub struct Serial {
    uart: vm_superio::Serial<LineTrigger, NoEvents, ConsoleSink>,
    on_room: Box<dyn Fn() + Send>,
    /// The last call to [`Serial::enqueue`] could not take all of its input.
    hungry: bool,
    /// Input is held back until the guest listens: see [`Serial::await_listener`].
    awaits_listener: bool,
    /// Reads of the line status register since the guest last sent a byte, while input is held
    /// back.
    status_polls: u32,
    interrupt_enable: u8,
    /// Transmitter-empty interrupt pending: vm-superio loses it when its interrupt identification
    /// is read.
    transmitter_empty: bool,
}

impl Serial {
    /// Creates a serial port that raises interrupts on `line` and writes its output to `sink`.
    /// After [`Serial::enqueue`] could not take all of its input, `on_room` is called once the
    /// guest has made room. It runs with the device locked, so it should only wake the thread that
    /// reads the input.
    pub fn new(
        line: Box<dyn IrqLine>,
        sink: ConsoleSink,
        on_room: impl Fn() + Send + 'static,
    ) -> Self {
        Self {
            uart: vm_superio::Serial::new(LineTrigger(line), sink),
            on_room: Box::new(on_room),
            hungry: false,
            awaits_listener: false,
            status_polls: 0,
            interrupt_enable: 0,
            transmitter_empty: false,
        }
    }

    /// Holds input back until the guest listens. Use this for input from a file or a pipe: a driver
    /// clears the FIFO when it opens the port and would discard anything that arrived earlier.
    ///
    /// A guest listens once it enables the received-data interrupt or polls for input, that is,
    /// reads the line status register [`LISTENING_POLLS`] times without sending a byte in between.
    /// A kernel that prints reads the register once or twice per byte it sends (`wait_for_xmitr` in
    /// Linux's drivers/tty/serial/8250/8250_port.c); boot loaders and hobby kernels that wait for a
    /// key read it in a loop (`ns16550_serial_getc` in U-Boot's drivers/serial/ns16550.c).
    pub fn await_listener(&mut self) {
        self.awaits_listener = true;
        self.status_polls = 0;
    }

    /// Passes as much of `input` to the guest as there is room for, and returns the number of bytes
    /// taken. If that is not all of it, `on_room` is called once there is room again.
    pub fn enqueue(&mut self, input: &[u8]) -> usize {
        let taken =
            if self.accepts_input() { self.uart.enqueue_raw_bytes(input).unwrap_or(0) } else { 0 };
        self.hungry = taken < input.len();
        taken
    }

    /// The output sink, for [`ConsoleSink::flush_now`].
    pub fn sink_mut(&mut self) -> &mut ConsoleSink {
        self.uart.writer_mut()
    }

    fn read(&mut self, register: u16) -> u8 {
        let Ok(offset) = u8::try_from(register) else { return pio::FLOATING };
        match register {
            INTERRUPT_ID => self.identify_interrupt(),
            PORT_COUNT.. => pio::FLOATING,
            _ => {
                if register == LINE_STATUS {
                    self.count_poll();
                }
                let value = self.uart.read(offset);
                self.offer_room();
                value
            }
        }
    }

    fn write(&mut self, register: u16, value: u8) {
        match register {
            DATA if self.is_loopback() && self.received() >= FIFO_DEPTH => return,
            DATA => self.status_polls = 0,
            INTERRUPT_ENABLE if !self.is_divisor_latch() => {
                self.interrupt_enable = value;
                self.awaits_listener &= value & IER_RECEIVED == 0;
            }
            FIFO_CONTROL if value & FCR_CLEAR_RECEIVER != 0 => self.clear_receiver(),
            _ => {}
        }
        if let Ok(offset) = u8::try_from(register) {
            // Writing to the interrupt line and to the sink cannot fail.
            let _ = self.uart.write(offset, value);
        }
        self.offer_room();
    }

    fn count_poll(&mut self) {
        if self.awaits_listener {
            self.status_polls += 1;
            self.awaits_listener = self.status_polls < LISTENING_POLLS;
        }
    }

    /// Received data has priority and stays pending until it is read; an empty transmitter is
    /// reported once.
    fn identify_interrupt(&mut self) -> u8 {
        let raw = self.uart.read(2);
        self.transmitter_empty |= raw & IIR_TRANSMITTER_EMPTY != 0;
        let enabled = |bit| self.interrupt_enable & bit != 0;
        let id = if enabled(IER_RECEIVED) && self.received() > 0 {
            IIR_RECEIVED
        } else if enabled(IER_TRANSMITTER_EMPTY) && self.transmitter_empty {
            self.transmitter_empty = false;
            IIR_TRANSMITTER_EMPTY
        } else {
            IIR_NONE
        };
        raw & !IIR_ID_MASK | id
    }

    /// Empties the receive buffer by reading it without the guest noticing.
    fn clear_receiver(&mut self) {
        let line_control = self.peek(LINE_CONTROL);
        let _ = self.uart.write(3, line_control & !LCR_DIVISOR_LATCH);
        for _ in 0..BUFFER_DEPTH {
            if self.peek(LINE_STATUS) & LSR_DATA_READY == 0 {
                break;
            }
            self.uart.read(0);
        }
        let _ = self.uart.write(3, line_control);
    }

    fn offer_room(&mut self) {
        if self.hungry && self.received() == 0 && self.accepts_input() {
            self.hungry = false;
            (self.on_room)();
        }
    }

    fn accepts_input(&mut self) -> bool {
        !self.awaits_listener && !self.is_loopback()
    }

    /// Number of bytes the guest has not read yet.
    fn received(&self) -> usize {
        BUFFER_DEPTH - self.uart.fifo_capacity()
    }

    fn is_loopback(&mut self) -> bool {
        self.peek(MODEM_CONTROL) & MCR_LOOPBACK != 0
    }

    fn is_divisor_latch(&mut self) -> bool {
        self.peek(LINE_CONTROL) & LCR_DIVISOR_LATCH != 0
    }

    /// Reads a register that has no side effects on read.
    fn peek(&mut self, register: u16) -> u8 {
        u8::try_from(register).map_or(pio::FLOATING, |offset| self.uart.read(offset))
    }
}

impl MachineDevice for Serial {
    /// Resets the port with the machine. Output the guest has already written is still passed on;
    /// unread input is lost.
    fn reset(&mut self) {
        self.write(MODEM_CONTROL, MCR_OUT2);
        self.write(LINE_CONTROL, LCR_DIVISOR_LATCH);
        self.write(DATA, DIVISOR);
        self.write(INTERRUPT_ENABLE, 0);
        self.write(LINE_CONTROL, LCR_8_BITS);
        self.write(INTERRUPT_ENABLE, 0);
        self.write(FIFO_CONTROL, FCR_CLEAR_RECEIVER);
        self.write(SCRATCH, 0);
        self.read(INTERRUPT_ID);
        self.transmitter_empty = false;
    }

    /// Transmit interrupts are enabled or, in loopback mode, those for received data.
    fn interrupts_for_writes(&self) -> bool {
        let is_loopback = self.uart.state().modem_control & MCR_LOOPBACK != 0;
        let enabled = |bit| self.interrupt_enable & bit != 0;
        enabled(IER_TRANSMITTER_EMPTY) || is_loopback && enabled(IER_RECEIVED)
    }

    fn flush(&mut self) {
        self.uart.writer_mut().flush_now();
    }
}

impl MutDevicePio for Serial {
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        pio::read_bytes(offset, data, |register| self.read(register));
    }

    fn pio_write(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        pio::write_bytes(offset, data, |register, byte| self.write(register, byte));
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Serial");
        debug.field("uart", &self.uart).field("hungry", &self.hungry).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
