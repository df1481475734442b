//! The uncompressed kernel: vmlinux, a 64-bit ELF executable, with or without a PVH entry note.

use std::io;
use std::os::unix::fs::FileExt;

use linux_loader::elf::{
    EM_386, EM_AARCH64, EM_ARM, EM_X86_64, Elf64_Ehdr, Elf64_Nhdr, Elf64_Phdr, PT_LOAD, PT_NOTE,
};
use thiserror::Error;
use vm_memory::ByteValued;

use crate::layout;
use crate::source_file::SourceFile;

/// `XEN_ELFNOTE_PHYS32_ENTRY` (xen/include/public/elfnote.h): the 32-bit physical entry point of PVH.
const PHYS32_ENTRY: u32 = 18;
/// Most program headers, and most bytes of notes, that are looked at. vmlinux has 5 headers and half a KiB of notes.
const MAX_HEADERS: u16 = 64;
const MAX_NOTES: u64 = 64 << 10;

/// A loadable part of the kernel. Addresses are guest-physical; offsets and sizes count bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts in the file.
    pub offset: u64,
    /// Where it goes in guest memory.
    pub addr: u64,
    /// Bytes from the file.
    pub file_size: u64,
    /// Bytes in memory; those beyond `file_size` are zero.
    pub mem_size: u64,
}

/// What an ELF kernel's headers say.
#[derive(Clone, Debug)]
pub struct Elf {
    /// 64-bit entry point: physical, as vmlinux is linked.
    pub entry: u64,
    /// 32-bit PVH entry point, where the kernel has the note.
    pub pvh_entry: Option<u32>,
    /// What to load, in the order of the file.
    pub segments: Vec<Segment>,
}

/// Why an ELF file cannot be booted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ElfError {
    /// The file ends before something its headers promise.
    #[error("is an ELF file cut short: it has {found} bytes, its {what} needs {expected}")]
    Cut {
        /// What does not fit.
        what: &'static str,
        /// Bytes there are.
        found: u64,
        /// Bytes there have to be.
        expected: u64,
    },
    /// It is for another processor.
    #[error("is an ELF file for {0}, expected one for x86-64")]
    Machine(String),
    /// It has nothing to load, or its headers make no sense.
    #[error("is an ELF file that is no kernel: {0}")]
    NoKernel(&'static str),
}

impl ElfError {
    /// What the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "copy or download it again, and compare its size and checksum",
            Self::Machine(_) => {
                "take a vmlinux or bzImage that was built for x86-64 (CONFIG_64BIT=y)"
            }
            Self::NoKernel(_) => {
                "pass vmlinux from the top of the kernel's build tree, or arch/x86/boot/bzImage"
            }
        }
    }
}

impl Elf {
    /// Reads the ELF headers and notes. The outer error is the disk's, the inner one the file's.
    pub(crate) fn parse(source: &SourceFile, head: &[u8]) -> io::Result<Result<Self, ElfError>> {
        let (header, table) = match Self::headers(source.len(), head) {
            Ok(headers) => headers,
            Err(error) => return Ok(Err(error)),
        };
        let mut program = vec![0; usize::from(header.e_phnum) * size_of::<Elf64_Phdr>()];
        source.file().read_exact_at(&mut program, table)?;
        let program: Vec<Elf64_Phdr> =
            program.chunks_exact(size_of::<Elf64_Phdr>()).map(from_bytes).collect();
        let segments = match Self::segments(source.len(), &program) {
            Ok(segments) => segments,
            Err(error) => return Ok(Err(error)),
        };
        let mut pvh_entry = None;
        for note in program.iter().filter(|p| p.p_type == PT_NOTE && p.p_filesz <= MAX_NOTES) {
            if note.p_offset.checked_add(note.p_filesz).is_none_or(|end| end > source.len()) {
                return Ok(Err(cut(
                    "note segment",
                    source.len(),
                    note.p_offset.saturating_add(note.p_filesz),
                )));
            }
            let mut bytes = vec![0; usize::try_from(note.p_filesz).unwrap_or_default()];
            source.file().read_exact_at(&mut bytes, note.p_offset)?;
            pvh_entry = pvh_entry.or(pvh_note(&bytes));
        }
        Ok(Ok(Self { entry: header.e_entry, pvh_entry, segments }))
    }

    /// The ELF header, and the file offset of the program headers, both checked.
    fn headers(file_len: u64, head: &[u8]) -> Result<(Elf64_Ehdr, u64), ElfError> {
        let bytes = head.get(..size_of::<Elf64_Ehdr>()).ok_or(cut("header", file_len, 64))?;
        let header: Elf64_Ehdr = from_bytes(bytes);
        const CLASS_64_LITTLE_ENDIAN: [u8; 2] = [2, 1];
        if header.e_machine != EM_X86_64 || header.e_ident[4..6] != CLASS_64_LITTLE_ENDIAN {
            return Err(ElfError::Machine(match header.e_machine {
                EM_386 => "32-bit x86".into(),
                EM_X86_64 => "x32".into(),
                EM_ARM => "32-bit ARM".into(),
                EM_AARCH64 => "arm64".into(),
                other => format!("machine {other}"),
            }));
        }
        const ET_EXEC: u16 = 2;
        match header.e_type {
            ET_EXEC => {}
            1 => return Err(ElfError::NoKernel("it is an object file (a module?)")),
            _ => {
                return Err(ElfError::NoKernel(
                    "it is a program or shared object, not statically linked at a fixed address",
                ));
            }
        }
        if usize::from(header.e_phentsize) != size_of::<Elf64_Phdr>()
            || header.e_phnum == 0
            || header.e_phnum > MAX_HEADERS
        {
            return Err(ElfError::NoKernel(
                "its program headers are missing, too many or of the wrong size",
            ));
        }
        let expected = header
            .e_phoff
            .saturating_add(u64::from(header.e_phnum) * size_of::<Elf64_Phdr>() as u64);
        if expected > file_len {
            return Err(cut("program headers", file_len, expected));
        }
        Ok((header, header.e_phoff))
    }

    fn segments(file_len: u64, program: &[Elf64_Phdr]) -> Result<Vec<Segment>, ElfError> {
        let mut segments = Vec::new();
        for p in program.iter().filter(|p| p.p_type == PT_LOAD && p.p_memsz > 0) {
            let segment = Segment {
                offset: p.p_offset,
                addr: p.p_paddr,
                file_size: p.p_filesz,
                mem_size: p.p_memsz,
            };
            let end = segment.offset.saturating_add(segment.file_size);
            if end > file_len {
                return Err(cut("segment", file_len, end));
            }
            if segment.file_size > segment.mem_size
                || segment.addr.checked_add(segment.mem_size).is_none()
            {
                return Err(ElfError::NoKernel("a segment's sizes make no sense"));
            }
            if segment.addr < layout::HIGH_RAM {
                return Err(ElfError::NoKernel(
                    "it wants to be loaded below 1 MiB (an ordinary program?)",
                ));
            }
            segments.push(segment);
        }
        if segments.is_empty() {
            return Err(ElfError::NoKernel("it has no loadable segment"));
        }
        Ok(segments)
    }

    /// First address after the kernel in memory.
    pub fn end(&self) -> u64 {
        self.segments.iter().map(|s| s.addr + s.mem_size).max().unwrap_or_default()
    }
}

fn cut(what: &'static str, found: u64, expected: u64) -> ElfError {
    ElfError::Cut { what, found, expected }
}

/// `T` from as many bytes as it has. `T` is plain data, so that any bytes will do.
fn from_bytes<T: ByteValued + Default>(bytes: &[u8]) -> T {
    let mut value = T::default();
    value.as_mut_slice().copy_from_slice(bytes);
    value
}

/// The PVH entry point, from the bytes of a note segment: name "Xen", type 18, a 4- or 8-byte address.
fn pvh_note(mut notes: &[u8]) -> Option<u32> {
    let padded = |len: u32| usize::try_from(len).ok()?.checked_next_multiple_of(4);
    while let Some((header, rest)) = notes.split_at_checked(size_of::<Elf64_Nhdr>()) {
        let header: Elf64_Nhdr = from_bytes(header);
        let (name, rest) = rest.split_at_checked(padded(header.n_namesz)?)?;
        let descriptor = rest.get(..padded(header.n_descsz)?)?;
        if header.n_type == PHYS32_ENTRY && name.starts_with(b"Xen\0") {
            return descriptor.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        }
        notes = &rest[descriptor.len()..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], descriptor: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in
            [u32::try_from(name.len()).unwrap(), u32::try_from(descriptor.len()).unwrap(), kind]
        {
            bytes.extend(word.to_le_bytes());
        }
        for part in [name, descriptor] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn pvh_note_is_found_among_others() {
        let mut notes = note(3, b"GNU\0", &[7; 20]);
        notes.extend(note(6, b"Xen\0", b"linux"));
        notes.extend(note(PHYS32_ENTRY, b"Xen\0", &0x0100_0370u64.to_le_bytes()));
        assert_eq!(pvh_note(&notes), Some(0x0100_0370));
    }

    #[test]
    fn pvh_note_is_none_when_absent_or_damaged() {
        assert_eq!(pvh_note(&[]), None);
        assert_eq!(pvh_note(&note(PHYS32_ENTRY, b"Nex\0", &[1; 4])), None);
        let whole = note(PHYS32_ENTRY, b"Xen\0", &[1; 4]);
        for len in 0..whole.len() {
            assert_eq!(pvh_note(&whole[..len]), None, "cut at {len}");
        }
        let mut huge = whole.clone();
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(pvh_note(&huge), None);
    }
}
