//! ELF kernels: what to load, the entry point, and the boot protocols the file declares.
//!
//! Sources: the ELF specification (gABI, chapters 4 and 5); `load_elf` in QEMU's
//! include/hw/elf_ops.h for the interpretation of physical addresses and the entry point; Xen's
//! docs/misc/pvh.pandoc for the PVH note.

mod marks;
mod notes;
mod reader;

use std::io;
use std::ops::Range;

use linux_loader::elf::{EM_386, EM_AARCH64, EM_ARM, EM_X86_64, PT_INTERP, PT_LOAD, PT_NOTE};
use thiserror::Error;

use crate::source_file::SourceFile;
use marks::foreign_kind;
pub use reader::Class;
use reader::{ET_DYN, ET_EXEC, ET_REL, Header, ProgramHeader};

/// A loadable part of a kernel. Addresses are guest-physical; offsets and sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its offset in the file.
    pub offset: u64,
    /// Its address in guest memory.
    pub addr: u64,
    /// Number of bytes in the file.
    pub file_size: u64,
    /// Number of bytes in memory; those beyond `file_size` are zero.
    pub mem_size: u64,
}

impl Segment {
    /// Its range of guest-physical addresses.
    pub fn range(&self) -> Range<u64> {
        self.addr..self.addr.saturating_add(self.mem_size)
    }
}

/// The information in an ELF kernel's headers.
#[derive(Clone, Debug)]
pub struct Elf {
    /// 32- or 64-bit file format.
    pub class: Class,
    /// Physical entry point: `e_entry`, converted to a physical address if its segment is linked at
    /// another virtual address.
    pub entry: u64,
    /// 32-bit PVH entry point, if the kernel has the note.
    pub pvh_entry: Option<u32>,
    /// What to load, in file order.
    pub segments: Vec<Segment>,
}

/// Why an ELF file cannot be booted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ElfError {
    /// The file ends before a part that its headers declare.
    #[error("is a truncated ELF file: it has {found} bytes; its {what} needs {expected}")]
    Cut {
        /// The part that is cut off.
        what: &'static str,
        /// Bytes in the file.
        found: u64,
        /// Bytes needed.
        expected: u64,
    },
    /// It is for another architecture.
    #[error("is an ELF file for {0}, expected one for x86-64")]
    Machine(String),
    /// Its headers are invalid.
    #[error("is an ELF file but not a kernel: {0}")]
    Malformed(&'static str),
    /// It declares no supported entry point.
    #[error(
        "is {what}, expected a kernel with a PVH note, a multiboot header, or a vmlinux of Linux"
    )]
    NotBootable {
        /// A description of the file.
        what: &'static str,
        /// A hint.
        hint: &'static str,
    },
    /// The entry point is not in a loaded segment.
    #[error("has its {which} entry point at {entry:#x}, outside its loaded segments")]
    Entry {
        /// "PVH", "64-bit" or "multiboot".
        which: &'static str,
        /// The address.
        entry: u64,
    },
}

impl ElfError {
    /// What the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "copy or download it again, and compare its size and checksum",
            Self::Machine(_) => {
                "use a vmlinux or bzImage that was built for x86-64 (CONFIG_64BIT=y)"
            }
            Self::Malformed(_) => {
                "pass vmlinux from the top of the kernel's build tree, or arch/x86/boot/bzImage"
            }
            Self::NotBootable { hint, .. } => hint,
            Self::Entry { .. } => "the file is damaged or wrongly linked; build it again",
        }
    }
}

/// An x86 ELF file, with the information needed to decide how to boot it.
#[derive(Debug)]
pub(super) struct Parsed {
    pub elf: Elf,
    header: Header,
    program: Vec<ProgramHeader>,
    linux_note: bool,
}

/// The outer error is from the disk, the inner one from the file's contents.
type Read<T> = io::Result<Result<T, ElfError>>;

impl Parsed {
    /// Reads the ELF headers and notes.
    pub fn read(source: &SourceFile, head: &[u8]) -> Read<Self> {
        let header = match check(Header::parse(source.len(), head)) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let program = match ProgramHeader::table(source, &header)? {
            Ok(program) => program,
            Err(error) => return Ok(Err(error)),
        };
        let segments = match segments(source.len(), &program) {
            Ok(segments) => segments,
            Err(error) => return Ok(Err(error)),
        };
        let (mut pvh_entry, mut linux_note) = (None, false);
        for note in program.iter().filter(|p| p.kind == PT_NOTE) {
            let end = note.offset.saturating_add(note.file_size);
            if end > source.len() {
                return Ok(Err(cut("note segment", source.len(), end)));
            }
            let found = notes::read(source.file(), note.offset..end, note.align)?;
            pvh_entry = pvh_entry.or(found.pvh_entry);
            linux_note |= found.linux;
        }
        let entry = physical_entry(header.entry, &program);
        let elf = Elf { class: header.class, entry, pvh_entry, segments };
        Ok(Ok(Self { elf, header, program, linux_note }))
    }

    /// The kernel, if PVH or Linux's 64-bit boot protocol can enter it.
    pub fn into_elf(self, source: &SourceFile) -> Read<Elf> {
        if let Some(entry) = self.elf.pvh_entry {
            return Ok(self.elf.entered_at("PVH", entry.into()));
        }
        let executable = self.header.kind == ET_EXEC && self.elf.class == Class::Bits64;
        if executable && (self.linux_note || marks::has_linux_sections(source, &self.header)?) {
            let entry = self.elf.entry;
            return Ok(self.elf.entered_at("64-bit", entry));
        }
        let interpreter = self.program.iter().find(|p| p.kind == PT_INTERP);
        let interpreter = interpreter.map(|p| p.offset..p.offset.saturating_add(p.file_size));
        let dynamic = self.header.kind == ET_DYN;
        let (what, hint) = foreign_kind(source, dynamic, interpreter, self.elf.class)?;
        Ok(Err(ElfError::NotBootable { what, hint }))
    }
}

impl Elf {
    /// First address after the kernel in memory.
    pub fn end(&self) -> u64 {
        end(&self.segments)
    }

    /// Returns the kernel if `entry` is in a loaded segment.
    pub(super) fn entered_at(self, which: &'static str, entry: u64) -> Result<Self, ElfError> {
        match self.segments.iter().any(|segment| segment.range().contains(&entry)) {
            true => Ok(self),
            false => Err(ElfError::Entry { which, entry }),
        }
    }
}

/// First address after all of `segments`.
pub(super) fn end(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| segment.range().end).max().unwrap_or_default()
}

/// Checks that the file is a little-endian x86 executable.
fn check(header: Result<Header, ElfError>) -> Result<Header, ElfError> {
    let header = header?;
    let machine = match (header.machine, header.class, header.little_endian) {
        (EM_X86_64, Class::Bits64, true) | (EM_386, Class::Bits32, true) => None,
        (EM_X86_64, ..) => Some("x32".into()),
        (EM_386, ..) => Some("32-bit x86".into()),
        (EM_ARM, ..) => Some("32-bit ARM".into()),
        (EM_AARCH64, ..) => Some("arm64".into()),
        (243, ..) => Some("RISC-V".into()),
        (8, ..) | (0x800, ..) => Some("MIPS".into()),
        (20 | 21 | 0x1400 | 0x1500, ..) => Some("PowerPC".into()),
        (22 | 0x1600, ..) => Some("S/390".into()),
        (258, ..) => Some("LoongArch".into()),
        (other, ..) => Some(format!("machine {other}")),
    };
    if let Some(machine) = machine {
        return Err(ElfError::Machine(machine));
    }
    match header.kind {
        ET_EXEC | ET_DYN => Ok(header),
        ET_REL => Err(ElfError::Malformed("it is an object file (a module?)")),
        _ => Err(ElfError::Malformed("it is neither an executable nor a shared object")),
    }
}

fn segments(file_len: u64, program: &[ProgramHeader]) -> Result<Vec<Segment>, ElfError> {
    let mut segments = Vec::new();
    for p in program.iter().filter(|p| p.kind == PT_LOAD && p.mem_size > 0) {
        let end = p.offset.saturating_add(p.file_size);
        if end > file_len {
            return Err(cut("segment", file_len, end));
        }
        if p.file_size > p.mem_size || p.physical.checked_add(p.mem_size).is_none() {
            return Err(ElfError::Malformed("a segment has invalid sizes"));
        }
        let (offset, addr) = (p.offset, p.physical);
        segments.push(Segment { offset, addr, file_size: p.file_size, mem_size: p.mem_size });
    }
    if segments.is_empty() {
        return Err(ElfError::Malformed("it has no loadable segment"));
    }
    Ok(segments)
}

/// As in QEMU and GRUB, `e_entry` is a virtual address if its segment is linked at an address other
/// than its load address. In Linux it is a physical address, which is not in the virtual range of
/// any segment.
fn physical_entry(entry: u64, program: &[ProgramHeader]) -> u64 {
    let mut loaded = program.iter().filter(|p| p.kind == PT_LOAD);
    let inside =
        |p: &&ProgramHeader| entry.checked_sub(p.virt).is_some_and(|offset| offset < p.mem_size);
    loaded.find(inside).map_or(entry, |p| p.physical.wrapping_add(entry - p.virt))
}

fn cut(what: &'static str, found: u64, expected: u64) -> ElfError {
    ElfError::Cut { what, found, expected }
}
