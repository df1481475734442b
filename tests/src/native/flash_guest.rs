//! Firmware of a few hundred bytes that does what a list of operations says to the flash chip below
//! it.
//!
//! It runs in 32-bit protected mode, from its own flash chip, with plain instructions only, so it
//! runs on any KVM.
#![expect(unsafe_code, reason = "the program lies between two symbols of the assembler")]

use std::arch::global_asm;

const PAGE: usize = 4096;

/// An operation. Offsets are those in the chip below the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a byte to the chip.
    Write(u16, u8),
    /// Reads a byte and prints it: two hexadecimal digits and a space.
    Read(u16),
    /// Prints a byte.
    Print(u8),
    /// Resets the machine.
    Reset,
    /// Powers off if the chip has this byte.
    PowerOffIf(u16, u8),
}

impl Op {
    fn bytes(self) -> [u8; 4] {
        let (code, offset, value) = match self {
            Self::Write(offset, value) => (1, offset, value),
            Self::Read(offset) => (2, offset, 0),
            Self::Print(value) => (3, 0, value),
            Self::Reset => (4, 0, 0),
            Self::PowerOffIf(offset, value) => (5, offset, value),
        };
        let [low, high] = offset.to_le_bytes();
        [code, low, high, value]
    }
}

/// The operations that program bytes from `offset` on, one by one, and return to array mode.
pub fn program(offset: u16, bytes: &[u8]) -> Vec<Op> {
    let each =
        (offset..).zip(bytes).flat_map(|(at, byte)| [Op::Write(at, 0x10), Op::Write(at, *byte)]);
    each.chain([Op::Write(offset, 0xff)]).collect()
}

/// The operations that erase the block with `offset`, and return to array mode.
pub fn erase(offset: u16) -> Vec<Op> {
    [0x20, 0xd0, 0xff].map(|value| Op::Write(offset, value)).to_vec()
}

/// The firmware: executes the operations and powers off. `chip_size` is the size in bytes of the
/// chip below it.
#[must_use]
pub fn image(ops: &[Op], chip_size: u32) -> Vec<u8> {
    let mut image: Vec<u8> = ops.iter().flat_map(|op| op.bytes()).chain([0; 4]).collect();
    image.resize(image.len().next_multiple_of(PAGE), 0);
    let mut page = code().to_vec();
    page.resize(PAGE, 0);
    image.append(&mut page);
    // The reset vector: a jump to the page's start; the addresses of operations and chip.
    let size = u32::try_from(image.len()).unwrap_or(u32::MAX);
    let operations = size.wrapping_neg();
    let end = image.len() - 16;
    image[end..end + 3].copy_from_slice(&[0xe9, 0x0d, 0xf0]);
    image[end + 4..end + 8].copy_from_slice(&operations.to_le_bytes());
    image[end + 8..end + 12].copy_from_slice(&operations.wrapping_sub(chip_size).to_le_bytes());
    image
}

global_asm!(include_str!("flash_guest.s"));

fn code() -> &'static [u8] {
    unsafe extern "C" {
        static chukka_flash_guest_start: u8;
        static chukka_flash_guest_end: u8;
    }
    let (start, end) = (&raw const chukka_flash_guest_start, &raw const chukka_flash_guest_end);
    // SAFETY: the two symbols are the start and the end of one section of the program, which is
    // never written to.
    unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
}
