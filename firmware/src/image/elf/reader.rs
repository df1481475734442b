//! The fields of ELF headers, in both classes.

use std::io;
use std::os::unix::fs::FileExt;

use super::{ElfError, cut};
use crate::source_file::SourceFile;

/// Maximum number of program headers read. vmlinux has 5.
const MAX_PROGRAM_HEADERS: u16 = 64;

pub(super) const ET_REL: u16 = 1;
pub(super) const ET_EXEC: u16 = 2;
pub(super) const ET_DYN: u16 = 3;

/// The width of the file format; x86-64 kernels can use either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// ELFCLASS32.
    Bits32,
    /// ELFCLASS64.
    Bits64,
}

/// Little-endian fields of a structure. Bytes beyond its end read as 0.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    /// A field of `class`'s width: at `at.0` in the 32-bit structure, at `at.1` in the 64-bit one.
    pub fn word(&self, class: Class, at: (usize, usize)) -> u64 {
        match class {
            Class::Bits32 => self.u32(at.0).into(),
            Class::Bits64 => self.u64(at.1),
        }
    }
}

/// The ELF header. Offsets are in bytes of the file.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub class: Class,
    pub little_endian: bool,
    pub kind: u16,
    pub machine: u16,
    pub entry: u64,
    program: u64,
    program_entry: u16,
    program_count: u16,
    pub sections: u64,
    pub section_entry: u16,
    pub section_count: u16,
    pub section_names: u16,
}

impl Header {
    /// Parses the first bytes of a file of `file_len` bytes.
    pub fn parse(file_len: u64, head: &[u8]) -> Result<Self, ElfError> {
        let class = match head.get(4) {
            Some(1) => Class::Bits32,
            _ => Class::Bits64,
        };
        let size = if class == Class::Bits32 { 52 } else { 64 };
        let bytes = head.get(..size).ok_or(cut("header", file_len, size as u64))?;
        let fields = Fields(bytes);
        // From e_flags, the 64-bit header is 12 bytes longer.
        let tail = if class == Class::Bits32 { 0 } else { 12 };
        Ok(Self {
            class,
            little_endian: bytes[5] == 1,
            kind: fields.u16(16),
            machine: fields.u16(18),
            entry: fields.word(class, (24, 24)),
            program: fields.word(class, (28, 32)),
            program_entry: fields.u16(42 + tail),
            program_count: fields.u16(44 + tail),
            sections: fields.word(class, (32, 40)),
            section_entry: fields.u16(46 + tail),
            section_count: fields.u16(48 + tail),
            section_names: fields.u16(50 + tail),
        })
    }
}

/// A program header. Offsets and sizes are in bytes.
#[derive(Clone, Debug)]
pub(super) struct ProgramHeader {
    pub kind: u32,
    pub offset: u64,
    pub virt: u64,
    pub physical: u64,
    pub file_size: u64,
    pub mem_size: u64,
    pub align: u64,
}

impl ProgramHeader {
    /// Reads all program headers of a file. The outer error is from the disk, the inner one from
    /// the file's contents.
    pub fn table(source: &SourceFile, header: &Header) -> io::Result<Result<Vec<Self>, ElfError>> {
        let size: u16 = if header.class == Class::Bits32 { 32 } else { 56 };
        let count = header.program_count;
        if header.program_entry != size || count == 0 || count > MAX_PROGRAM_HEADERS {
            return Ok(Err(ElfError::Malformed(
                "its program headers are missing, too many or of the wrong size",
            )));
        }
        let bytes = usize::from(count) * usize::from(size);
        let expected = header.program.saturating_add(bytes as u64);
        if expected > source.len() {
            return Ok(Err(cut("program headers", source.len(), expected)));
        }
        let mut table = vec![0; bytes];
        source.file().read_exact_at(&mut table, header.program)?;
        Ok(Ok(table.chunks_exact(size.into()).map(|row| Self::parse(header.class, row)).collect()))
    }

    fn parse(class: Class, row: &[u8]) -> Self {
        let fields = Fields(row);
        Self {
            kind: fields.u32(0),
            offset: fields.word(class, (4, 8)),
            virt: fields.word(class, (8, 16)),
            physical: fields.word(class, (12, 24)),
            file_size: fields.word(class, (16, 32)),
            mem_size: fields.word(class, (20, 40)),
            align: fields.word(class, (28, 48)),
        }
    }
}
