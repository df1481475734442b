//! Kernel files whose outer form is right, so that the fuzzer reaches what is inside: multiboot
//! headers with a correct checksum, notes of an ELF file, sections of a PE file. Each is opened,
//! loaded and published as in [`crate::kernel`].
//!
//! An input is the 8 bytes of [`Header`] and the command line, as there; what follows is different
//! for each.

use arbitrary::Unstructured;

use crate::Wire;
use crate::kernel::{self, Header, Reached};

/// Where multiboot headers are searched for, in bytes.
const MULTIBOOT_SEARCHED: usize = 32 << 10;
const MAGIC_1: u32 = 0x1bad_b002;
const MAGIC_2: u32 = 0xe852_50d6;

/// Splits an input into the header, the command line and the rest.
fn split(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let mut input = Unstructured::new(bytes);
    let header = Header::take(&mut input).ok()?;
    let rest = input.take_rest();
    let (cmdline, rest) = rest.split_at(usize::from(header.cmdline).min(rest.len()));
    Some((header, cmdline, rest))
}

/// A file with multiboot headers. Their checksums are corrected, whatever the input has.
pub fn multiboot(bytes: &[u8]) -> Reached {
    let Some((header, cmdline, file)) = split(bytes) else { return Reached::default() };
    let mut file = file.to_vec();
    for at in (0..file.len().min(MULTIBOOT_SEARCHED)).step_by(4) {
        let word = |at: usize| {
            let bytes = file.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let sum = match word(at) {
            Some(MAGIC_1) => word(at + 4).map(|flags| (8, MAGIC_1.wrapping_add(flags))),
            Some(MAGIC_2) => {
                let words = word(at + 4).zip(word(at + 8));
                words.map(|(a, b)| (12, MAGIC_2.wrapping_add(a).wrapping_add(b)))
            }
            _ => None,
        };
        if let Some((offset, sum)) = sum
            && let Some(field) = file.get_mut(at + offset..at + offset + 4)
        {
            field.copy_from_slice(&0u32.wrapping_sub(sum).to_le_bytes());
        }
    }
    kernel::run(&header.input(cmdline, &file))
}

/// An ELF file with one segment at 1 MiB and a segment of notes: the class (u8, bit 0: 64 bits),
/// the notes' alignment (u8), then the notes.
pub fn notes(bytes: &[u8]) -> Reached {
    let Some((header, cmdline, rest)) = split(bytes) else { return Reached::default() };
    let [class, align, notes @ ..] = rest else { return Reached::default() };
    kernel::run(&header.input(cmdline, &elf(class & 1 == 1, *align, notes)))
}

fn elf(long: bool, align: u8, notes: &[u8]) -> Vec<u8> {
    const LOAD: u64 = 1 << 20;
    let (entry, program) = if long { (64u64, 56u16) } else { (52, 32) };
    let start = entry + 2 * u64::from(program);
    let size = notes.len() as u64;
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file[4] = if long { 2 } else { 1 };
    file.resize(16, 0);
    let machine = if long { 62u16 } else { 3 };
    [2, machine].iter().for_each(|word| file.extend(word.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    // Addresses and offsets have the width of the class.
    let long_words = |file: &mut Vec<u8>, words: &[u64]| {
        for word in words {
            file.extend(&word.to_le_bytes()[..if long { 8 } else { 4 }]);
        }
    };
    long_words(&mut file, &[LOAD, entry, 0]);
    file.extend(0u32.to_le_bytes());
    let header = u16::try_from(entry).unwrap_or_default();
    [header, program, 2, 0, 0, 0].iter().for_each(|word| file.extend(word.to_le_bytes()));
    for (kind, address, align) in [(1u32, LOAD, 0x1000), (4, 0, u64::from(align))] {
        file.extend(kind.to_le_bytes());
        if long {
            file.extend(7u32.to_le_bytes());
            long_words(&mut file, &[start, address, address, size, size, align]);
        } else {
            long_words(&mut file, &[start, address, address, size, size, 7, align]);
        }
    }
    file.extend(notes);
    file
}

/// An EFI program: the number of sections (u8, modulo 16), for each a name (u8, one of those that
/// matter), the size in memory (u16), the size in the file (u16) and the offset in the file (u16);
/// then the bytes of the sections.
pub fn sections(bytes: &[u8]) -> Reached {
    const NAMES: [&[u8; 8]; 8] = [
        b".linux\0\0",
        b".initrd\0",
        b".cmdline",
        b".ucode\0\0",
        b".profile",
        b".text\0\0\0",
        b".linux.\0",
        b"\0\0\0\0\0\0\0\0",
    ];
    const ENTRY: usize = 7;
    let Some((header, cmdline, rest)) = split(bytes) else { return Reached::default() };
    let Some((count, rest)) = rest.split_first() else { return Reached::default() };
    let (table, content) = rest.split_at((usize::from(count % 16) * ENTRY).min(rest.len()));
    let table: Vec<&[u8]> = table.chunks_exact(ENTRY).collect();
    let mut file = b"MZ".to_vec();
    file.resize(0x3c, 0);
    file.extend(0x40u32.to_le_bytes());
    file.extend(b"PE\0\0");
    let number = u16::try_from(table.len()).unwrap_or_default();
    [0x8664, number].iter().for_each(|word: &u16| file.extend(word.to_le_bytes()));
    file.resize(0x58, 0); // no optional header
    for entry in table {
        let word = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        file.extend(NAMES[usize::from(entry[0]) % NAMES.len()]);
        for word in [word(1), 0, word(3), word(5)] {
            file.extend(word.to_le_bytes());
        }
        file.resize(file.len() + 16, 0);
    }
    file.extend(content);
    kernel::run(&header.input(cmdline, &file))
}
