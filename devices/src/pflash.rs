//! A parallel NOR flash chip with Intel's command set, eight bits wide: where UEFI firmware keeps
//! its variables.
//!
//! Source: JEDEC JESD68.01 (CFI) and JEP137 (command set 0x0001); Intel 28FxxxJ3 data sheet;
//! QEMU's `hw/block/pflash_cfi01.c`, with the parameters of its pc (`hw/i386/pc_sysfw.c`).
//!
//! While the chip is in array mode, the guest reads and executes its contents as memory, and only
//! writes arrive here. In every other mode, reads arrive here too ([`FlashWindow::show_array`]).
//!
//! | write | then | effect |
//! |---|---|---|
//! | 0x10, 0x40 | data | programs the bytes |
//! | 0x20 | 0xd0 | erases the block of [`BLOCK_SIZE`] bytes: each byte becomes 0xff |
//! | 0xe8 | count minus 1, data, 0xd0 | programs up to [`BUFFER_SIZE`] bytes within one aligned buffer |
//! | 0x50 | | clears the status register |
//! | 0x60 | 0xd0, 0x01 | unlocks or locks a block: accepted without effect |
//! | 0x70 | | reads return the status register |
//! | 0x90 | | reads return the manufacturer and device IDs, which are 0 as in QEMU |
//! | 0x98 | | reads return the CFI table |
//! | 0xff, 0xf0, 0x00 | | array mode |
//!
//! Status register, 8 bits: bit 7 ready, bit 5 an erase failed, bit 4 programming failed; bits 5
//! and 4 together an invalid sequence of commands. Operations take no time. Two properties are
//! QEMU's and not a real chip's, because EDK2 relies on the first (`QemuFlashDetected`,
//! `OvmfPkg/QemuFlashFvbServicesRuntimeDxe`): clearing the status register clears bit 7 too, and
//! programming can also set bits.
//!
//! Each change is written to the [`FlashBackend`] before the guest can see it, and is made durable
//! when the chip returns to array mode. Firmware returns to array mode after each step of an update
//! (`QemuFlashWrite`), and orders the steps so that an interrupted update can be completed or
//! undone. So the variables survive a loss of power at any point.

use std::fmt;
use std::io;
use std::sync::Arc;

use vm_device::MutDeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};

/// Size of an erase block in bytes. The size of a chip is a multiple of it.
pub const BLOCK_SIZE: u64 = BLOCK_BYTES as u64;
/// Size of the write buffer in bytes.
pub const BUFFER_SIZE: u64 = BUFFER_BYTES as u64;
/// Offsets and sizes of writes to a [`FlashBackend`] are multiples of this size in bytes.
pub const SECTOR: u64 = SECTOR_BYTES as u64;

const BLOCK_BYTES: usize = 4096;
const BUFFER_BYTES: usize = 256;
const SECTOR_BYTES: usize = 512;

const READY: u8 = 1 << 7;
const ERASE_ERROR: u8 = 1 << 5;
const PROGRAM_ERROR: u8 = 1 << 4;
const SEQUENCE_ERROR: u8 = ERASE_ERROR | PROGRAM_ERROR;

const CONFIRM: u8 = 0xd0;
const LOCK: u8 = 0x01;
const READ_ARRAY: u8 = 0xff;

/// The file that holds the contents of a chip. Offsets are in bytes.
pub trait FlashBackend: fmt::Debug + Send + Sync {
    /// Size in bytes.
    fn len(&self) -> u64;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it cannot be written to.
    fn is_read_only(&self) -> bool;

    /// Fills `data` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Not all could be read.
    fn read(&self, data: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes whole sectors ([`SECTOR`]).
    ///
    /// # Errors
    /// Not all could be written.
    fn write(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all earlier writes durable.
    ///
    /// # Errors
    /// They may not be durable.
    fn flush(&self) -> io::Result<()>;
}

/// The memory from which the guest reads the contents of a chip in array mode.
pub trait FlashWindow: Send {
    /// Copies contents from `offset` on. `data` is within the chip.
    fn read(&self, offset: u64, data: &mut [u8]);

    /// Replaces contents from `offset` on. `data` is within the chip.
    fn write(&self, offset: u64, data: &[u8]);

    /// Whether guest reads go to this memory (`true`) or to the chip's registers (`false`). Writes
    /// always go to the registers.
    fn show_array(&mut self, shown: bool);
}

/// The access to the backend that failed, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlashOperation {
    /// Writing.
    Write,
    /// Making durable.
    Flush,
}

impl fmt::Display for FlashOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Flush => "flush",
        })
    }
}

/// Receives the backend's errors. The guest finds them in the status register.
pub type FlashErrorObserver = Box<dyn Fn(FlashOperation, &io::Error) + Send + Sync>;

/// A file with the contents of a chip, and who is told about its errors.
pub struct FlashFile {
    /// The file.
    pub backend: Box<dyn FlashBackend>,
    /// Receives its errors.
    pub on_error: FlashErrorObserver,
}

impl fmt::Debug for FlashFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlashFile").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl FlashFile {
    /// Makes earlier writes durable. Returns whether that succeeded.
    pub fn flush(&self) -> bool {
        self.tell(FlashOperation::Flush, self.backend.flush())
    }

    fn write(&self, data: &[u8], offset: u64) -> bool {
        self.tell(FlashOperation::Write, self.backend.write(data, offset))
    }

    fn tell(&self, operation: FlashOperation, result: io::Result<()>) -> bool {
        result.inspect_err(|error| (self.on_error)(operation, error)).is_ok()
    }
}

/// What the chip expects next, and what reads return.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// Reads return the contents.
    Array,
    /// Reads return the status register; the next write is a command.
    Status,
    /// Reads return the IDs.
    Identify,
    /// Reads return the CFI table.
    Query,
    /// The next write is data. Reads return the status register, as in all modes below.
    Program,
    /// The next write confirms that the block at this offset is to be erased.
    Erase(u64),
    /// The next write says whether to lock.
    Lock,
    /// The next write is the number of writes that follow, minus 1.
    BufferCount,
    /// So many writes of data follow.
    BufferData(u16),
    /// The next write confirms that the buffer is to be programmed.
    BufferConfirm,
}

/// The write buffer: the new contents of [`BUFFER_SIZE`] bytes of the array.
#[derive(Clone, Debug)]
struct Buffer {
    /// Their offset in the array, a multiple of their number; unknown before the first data.
    at: Option<u64>,
    bytes: [u8; BUFFER_BYTES],
    /// Some data was outside these bytes.
    is_overrun: bool,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { at: None, bytes: [0; BUFFER_BYTES], is_overrun: false }
    }
}

/// A flash chip.
pub struct Pflash {
    file: Arc<FlashFile>,
    window: Box<dyn FlashWindow>,
    len: u64,
    mode: Mode,
    status: u8,
    buffer: Buffer,
    /// Something was written that is not durable yet.
    is_dirty: bool,
}

impl fmt::Debug for Pflash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Pflash");
        debug.field("file", &self.file).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Pflash {
    /// Creates a chip in array mode. `window` holds the contents of `file`, whose size is a
    /// multiple of [`BLOCK_SIZE`], and shows them to the guest.
    pub fn new(file: Arc<FlashFile>, window: Box<dyn FlashWindow>) -> Self {
        let len = file.backend.len();
        let (mode, buffer) = (Mode::Array, Buffer::default());
        Self { file, window, len, mode, status: READY, buffer, is_dirty: false }
    }

    /// Resets the chip together with the machine, while no vCPU runs. The contents stay.
    pub fn reset(&mut self) {
        self.enter(Mode::Array);
        self.status = READY;
    }

    fn enter(&mut self, mode: Mode) {
        let (was_array, is_array) = (self.mode == Mode::Array, mode == Mode::Array);
        self.mode = mode;
        if is_array && std::mem::take(&mut self.is_dirty) && !self.file.flush() {
            self.status |= PROGRAM_ERROR;
        }
        if was_array != is_array {
            self.window.show_array(is_array);
        }
    }

    fn read(&self, offset: u64) -> u8 {
        match self.mode {
            Mode::Array => {
                let mut byte = [0xff];
                if offset < self.len {
                    self.window.read(offset, &mut byte);
                }
                byte[0]
            }
            Mode::Identify => 0,
            Mode::Query => self.query(offset),
            _ => self.status,
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let Some(&command) = data.first() else { return };
        let next = match self.mode.clone() {
            Mode::Array | Mode::Status | Mode::Identify | Mode::Query => {
                self.command(offset, command)
            }
            Mode::Program => {
                let done = self.program(offset, data);
                self.finish(done, PROGRAM_ERROR)
            }
            Mode::Erase(block) if command == CONFIRM => {
                let done = self.program(block, &[0xff; BLOCK_BYTES]);
                self.finish(done, ERASE_ERROR)
            }
            Mode::Lock if matches!(command, CONFIRM | LOCK) => self.finish(true, 0),
            Mode::Erase(_) | Mode::Lock if command == READ_ARRAY => Mode::Array,
            Mode::BufferCount => Mode::BufferData(u16::from(command) + 1),
            Mode::BufferData(left) => {
                self.fill_buffer(offset, data);
                if left > 1 { Mode::BufferData(left - 1) } else { Mode::BufferConfirm }
            }
            Mode::BufferConfirm if command == CONFIRM => {
                let done = self.program_buffer();
                self.finish(done, PROGRAM_ERROR)
            }
            Mode::Erase(_) | Mode::Lock | Mode::BufferConfirm => self.finish(false, SEQUENCE_ERROR),
        };
        self.enter(next);
    }

    /// The first write of a sequence.
    fn command(&mut self, offset: u64, command: u8) -> Mode {
        match command {
            0x10 | 0x40 => Mode::Program,
            0x20 => Mode::Erase(offset & !(BLOCK_SIZE - 1)),
            0x50 => {
                self.status = 0;
                Mode::Array
            }
            0x60 => Mode::Lock,
            0x70 => Mode::Status,
            0x90 => Mode::Identify,
            0x98 => Mode::Query,
            0xe8 => {
                self.buffer = Buffer::default();
                self.status |= READY;
                Mode::BufferCount
            }
            _ => Mode::Array,
        }
    }

    /// The end of a sequence.
    fn finish(&mut self, done: bool, error: u8) -> Mode {
        self.status |= READY | if done { 0 } else { error };
        Mode::Status
    }

    /// Replaces the contents from `offset` on, in the file first. Returns false, with nothing
    /// changed, if that is not possible.
    fn program(&mut self, offset: u64, data: &[u8]) -> bool {
        /// The largest change, and the rest of the sectors in which it begins and ends.
        const MOST: usize = BLOCK_BYTES + 2 * SECTOR_BYTES;
        let end = offset.saturating_add(data.len() as u64);
        if self.file.backend.is_read_only() || end > self.len {
            return false;
        }
        let first = offset & !(SECTOR - 1);
        let mut sectors = [0; MOST];
        let (Ok(count), Ok(start)) = (
            usize::try_from(end.next_multiple_of(SECTOR) - first),
            usize::try_from(offset - first),
        ) else {
            return false;
        };
        let Some(sectors) = sectors.get_mut(..count) else { return false };
        self.window.read(first, sectors);
        let Some(changed) = sectors.get_mut(start..start + data.len()) else { return false };
        if changed == data {
            return true;
        }
        changed.copy_from_slice(data);
        if !self.file.write(sectors, first) {
            return false;
        }
        self.is_dirty = true;
        self.window.write(offset, data);
        true
    }

    fn fill_buffer(&mut self, offset: u64, data: &[u8]) {
        let at = offset & !(BUFFER_SIZE - 1);
        if self.buffer.at.is_none() && offset < self.len {
            self.buffer.at = Some(at);
            self.window.read(at, &mut self.buffer.bytes);
        }
        let place = offset
            .checked_sub(self.buffer.at.unwrap_or(u64::MAX))
            .and_then(|start| usize::try_from(start).ok())
            .and_then(|start| self.buffer.bytes.get_mut(start..start.checked_add(data.len())?));
        match place {
            Some(place) => place.copy_from_slice(data),
            None => self.buffer.is_overrun = true,
        }
    }

    fn program_buffer(&mut self) -> bool {
        let Buffer { at: Some(at), bytes, is_overrun: false } = self.buffer else {
            return false;
        };
        self.program(at, &bytes)
    }

    /// The CFI table (JESD68.01, 4.3), as QEMU's for a chip of eight bits. Only the low eight bits
    /// of the offset count.
    fn query(&self, offset: u64) -> u8 {
        let blocks = self.len / BLOCK_SIZE;
        let [blocks_low, blocks_high, ..] = blocks.saturating_sub(1).to_le_bytes();
        let [_, block_low, block_high, ..] = BLOCK_SIZE.to_le_bytes();
        match offset & 0xff {
            // "QRY"; the primary command set, Intel's, and the address of its table.
            0x10 => b'Q',
            0x11 => b'R',
            0x12 => b'Y',
            0x13 => 0x01,
            0x15 => 0x31,
            // Supply voltage: 4.5 to 5.5 V.
            0x1b => 0x45,
            0x1c => 0x55,
            // Timeouts, as powers of two.
            0x1f | 0x20 => 0x07,
            0x21 => 0x0a,
            0x23..=0x25 => 0x04,
            // Size, as a power of two; the bus; the write buffer.
            0x27 => u8::try_from(self.len.next_power_of_two().trailing_zeros()).unwrap_or(0),
            0x28 => 0x02,
            0x2a => 0x08,
            // One region of equal blocks.
            0x2c => 0x01,
            0x2d => blocks_low,
            0x2e => blocks_high,
            0x2f => block_low,
            0x30 => block_high,
            // The primary command set's table: "PRI", version 1.0, one protection field.
            0x31 => b'P',
            0x32 => b'R',
            0x33 => b'I',
            0x34 => b'1',
            0x35 => b'0',
            0x3f => 0x01,
            _ => 0,
        }
    }
}

impl MutDeviceMmio for Pflash {
    /// Each byte of an access is a read of its own, as on a bus of eight bits.
    fn mmio_read(&mut self, _: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        for (at, byte) in data.iter_mut().enumerate() {
            *byte = self.read(offset.saturating_add(at as u64));
        }
    }

    /// The first byte is the command. Data can have more bytes, as in QEMU.
    fn mmio_write(&mut self, _: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        self.write(offset, data);
    }
}

#[cfg(test)]
mod tests;
