//! `-vmcore`: the guest's memory and registers as an ELF core, which `crash`, drgn and gdb read.
//!
//! The file has notes first: registers, and Linux's own description of its memory (VMCOREINFO) if
//! it is found. `crash` looks for notes only in front of the first segment (`resize_elf_header`,
//! netdump.c). Then a segment for each region of RAM follows, at its guest-physical address. Pages
//! of zeros are holes.

mod notes;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::kvm::core_registers::CoreRegisters;

/// The unit of holes, in bytes.
const PAGE: usize = 4096;
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Sizes of ELF's headers in bytes (gABI, chapters 4 and 5).
const FILE_HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// How a note with VMCOREINFO begins: the sizes of its name and of its descriptor, the type 0, the
/// name padded to 4 bytes, and the first line (`append_elf_note`, kernel/vmcore_info.c in Linux).
const VMCOREINFO: &[u8] = b"VMCOREINFO\0\0OSRELEASE=";
const NOTE_HEADER: usize = 12;
/// The most bytes of its text (`VMCOREINFO_BYTES`), and of the note.
const VMCOREINFO_TEXT: u32 = 4096;
const VMCOREINFO_NOTE: usize = NOTE_HEADER + 12 + VMCOREINFO_TEXT as usize;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of memory that are not holes.
    pub data: u64,
    /// Bytes of memory in all.
    pub memory: u64,
    /// Whether Linux's description of its memory is there.
    pub has_vmcoreinfo: bool,
}

/// Writes a core dump to `file`, which is empty.
///
/// # Errors
/// The file cannot be written, or the memory cannot be read.
pub fn write(file: &File, memory: &GuestMemoryMmap, cpus: &[CoreRegisters]) -> io::Result<Written> {
    let regions: Vec<_> = memory.iter().map(|r| (r.start_addr().0, r.len())).collect();
    let headers = usize::from(FILE_HEADER) + usize::from(PROGRAM_HEADER) * (regions.len() + 1);
    let mut notes = notes::of_cpus(cpus);
    let room = headers + notes.len() + VMCOREINFO_NOTE;
    let mut at = room.next_multiple_of(PAGE) as u64;
    let mut written = Written { data: 0, memory: 0, has_vmcoreinfo: false };
    let mut program = Vec::new();
    let mut vmcoreinfo = None;
    for (start, len) in regions {
        program.push(program_header(PT_LOAD, at, start, len));
        written.data += region(file, at, memory, start, len, &mut vmcoreinfo)?;
        written.memory += len;
        at += len;
    }
    written.has_vmcoreinfo = vmcoreinfo.is_some();
    notes.extend(vmcoreinfo.unwrap_or_default());
    program.insert(0, program_header(PT_NOTE, headers as u64, 0, notes.len() as u64));
    let mut head = file_header(program.len());
    head.extend(program.concat());
    head.extend(notes);
    file.write_all_at(&head, 0)?;
    // The last page may be a hole.
    file.set_len(at)?;
    Ok(written)
}

/// Writes the pages of a region that are not all zeros, and returns how many bytes they have.
fn region(
    file: &File,
    at: u64,
    memory: &GuestMemoryMmap,
    start: u64,
    len: u64,
    vmcoreinfo: &mut Option<Vec<u8>>,
) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK];
    let (mut done, mut data) = (0, 0);
    while done < len {
        let count = usize::try_from(len - done).unwrap_or(CHUNK).min(CHUNK);
        let bytes = &mut chunk[..count];
        memory.read_slice(bytes, GuestAddress(start + done)).map_err(io::Error::other)?;
        for (page, offset) in bytes.chunks(PAGE).zip((0u64..).step_by(PAGE)) {
            if page.iter().all(|byte| *byte == 0) {
                continue;
            }
            file.write_all_at(page, at + done + offset)?;
            data += page.len() as u64;
            if vmcoreinfo.is_none() {
                *vmcoreinfo = find_vmcoreinfo(page);
            }
        }
        done += count as u64;
    }
    Ok(data)
}

/// Linux's note, which has a page of its own.
fn find_vmcoreinfo(page: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u32::from_le_bytes(*page.get(at..)?.first_chunk()?));
    let (name, text, kind) = (word(0)?, word(4)?, word(8)?);
    let is_note = name == 11 && kind == 0 && text <= VMCOREINFO_TEXT;
    let found = is_note && page.get(NOTE_HEADER..)?.starts_with(VMCOREINFO);
    // Its name takes 12 bytes.
    let end = NOTE_HEADER + 12 + usize::try_from(text).ok()?.next_multiple_of(4);
    found.then(|| page.get(..end).map(<[u8]>::to_vec)).flatten()
}

fn file_header(segments: usize) -> Vec<u8> {
    // ELF64, little-endian, version 1, System V.
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [4u16, 62] {
        bytes.extend(half.to_le_bytes()); // ET_CORE, EM_X86_64
    }
    bytes.extend(1u32.to_le_bytes());
    for word in [0, u64::from(FILE_HEADER), 0] {
        bytes.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    bytes.extend(0u32.to_le_bytes());
    let count = u16::try_from(segments).unwrap_or_default();
    for half in [FILE_HEADER, PROGRAM_HEADER, count, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}

/// A program header. Virtual addresses are 0: readers take them from the guest's page tables.
fn program_header(kind: u32, offset: u64, paddr: u64, size: u64) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), 0u32.to_le_bytes()].concat();
    for word in [offset, 0, paddr, size, size, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_core_has_memory_at_its_addresses_holes_and_vmcoreinfo() {
        let ranges = [(GuestAddress(0), 8 << 20), (GuestAddress(1 << 32), 4 << 20)];
        let memory = GuestMemoryMmap::<()>::from_ranges(&ranges).expect("memory");
        let put = |bytes: &[u8], at| memory.write_slice(bytes, GuestAddress(at)).expect("memory");
        put(b"low", 0x5000);
        put(b"high", (1 << 32) + 0x3000);
        let text: &[u8; 28] = b"OSRELEASE=6.1\nPAGESIZE=4096\n";
        let mut note = [11u32, 28, 0].map(u32::to_le_bytes).concat();
        note.extend(b"VMCOREINFO\0\0");
        note.extend(text);
        put(&note, 0x10_0000);
        // Not at the start of a page: a copy, or chance.
        put(&note, 0x20_0100);
        let path = std::env::temp_dir().join(format!("chukka-core-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.expect("a file");
        let cpus = [CoreRegisters { cpu: 0, ..CoreRegisters::default() }];
        let written = write(&file, &memory, &cpus).expect("room");
        let _ = std::fs::remove_file(&path);
        let expected = Written { data: 4 << 12, memory: 12 << 20, has_vmcoreinfo: true };
        assert_eq!(written, expected);
        let size = file.metadata().expect("metadata");
        assert!(size.blocks() * 512 < 1 << 20, "it has holes: {} blocks", size.blocks());
        let read = |at: u64, len: usize| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at).expect("it is there");
            bytes
        };
        let word = |at| u64::from_le_bytes(*read(at, 8).first_chunk().expect("8 bytes"));
        // The second region: the third program header.
        let header = 64 + 56 * 2;
        assert_eq!((word(header + 24), word(header + 32)), (1 << 32, 4 << 20));
        assert_eq!(read(word(header + 8) + 0x3000, 4), b"high");
        assert_eq!(read(word(64 + 56 + 8) + 0x5000, 3), b"low");
        let notes = read(word(64 + 8), usize::try_from(word(64 + 32)).expect("small"));
        assert!(notes.ends_with(&note), "VMCOREINFO is the last note");
        let (first, end) = (word(64 + 56 + 8), word(header + 8) + (4 << 20));
        assert!(word(64 + 8) + word(64 + 32) <= first, "notes are in front of the memory");
        assert_eq!(size.len(), end, "the file has the holes at its end");
        assert_eq!(first, 8192, "the memory begins with the first page behind the notes");
    }

    #[test]
    fn memory_of_any_size_is_written_to_its_last_byte() {
        for size in [CHUNK - PAGE, CHUNK, CHUNK + 3 * PAGE, 2 * CHUNK + PAGE] {
            let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), size)]);
            let memory = memory.expect("memory");
            let last = GuestAddress(size as u64 - 4);
            memory.write_slice(b"last", last).expect("memory");
            let name = format!("chukka-core-{size}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let mut options = File::options();
            options.read(true).write(true).create_new(true);
            let file = options.open(&path).expect("a file");
            let _ = std::fs::remove_file(&path);
            let written = write(&file, &memory, &[]).expect("room");
            assert_eq!((written.data, written.memory), (4096, size as u64));
            assert!(!written.has_vmcoreinfo);
            let mut bytes = [0; 4];
            let end = file.metadata().expect("metadata").len();
            file.read_exact_at(&mut bytes, end - 4).expect("it is there");
            assert_eq!(&bytes, b"last", "{size} bytes");
        }
    }

    /// `append_elf_note` in Linux's kernel/vmcore_info.c: name size 11, type 0, at most 4096 bytes.
    #[test]
    fn vmcoreinfo_is_a_note_with_the_name_type_and_size_that_linux_gives_it() {
        let page = |name: u32, text: u32, kind: u32, bytes: &[u8]| {
            let mut page = [name, text, kind].map(u32::to_le_bytes).concat();
            page.extend(bytes);
            page.resize(2 * PAGE, b'x');
            find_vmcoreinfo(&page).map(|note| note.len())
        };
        let text = b"VMCOREINFO\0\0OSRELEASE=6.1\n";
        assert_eq!(page(11, 14, 0, text), Some(12 + 12 + 16), "padded to words");
        assert_eq!(page(11, 4096, 0, text), Some(12 + 12 + 4096));
        assert_eq!(page(11, 4097, 0, text), None);
        assert_eq!(page(11, u32::MAX, 0, text), None);
        assert_eq!(page(10, 14, 0, text), None);
        assert_eq!(page(11, 14, 1, text), None);
        assert_eq!(page(11, 14, 0, b"VMCOREINFO\0\0LSRELEASE=6.1\n"), None);
        assert_eq!(find_vmcoreinfo(&[0; 8]), None);
    }
}
