//! Bytes, files that are read, and zeros.

use std::fs::File;

use guest_memory::{Engine, FileRange, Source, TransferError};
use vm_memory::GuestAddress;

use crate::support::{
    MIB, PAGE, TempFile, assert_placed, bytes, fill, mapping, memory, pattern, place, regions,
};

#[test]
fn bytes_of_any_length_go_to_any_address() {
    let memory = memory(64 * MIB);
    let engine = Engine::new(memory.clone());
    // From nothing to what is split over several threads.
    for len in [0, 1, 7, 8, PAGE - 1, PAGE, 70_000, 9 * MIB, 17 * MIB + 5] {
        for at in [MIB, MIB + 1, 2 * MIB - 3] {
            fill(&memory, 0, 32 * MIB, 0xaa);
            let expected = pattern(len);
            engine.transfer(Source::Bytes(&expected), GuestAddress(at)).unwrap();
            assert_placed(&memory, at, &expected, 0xaa);
        }
    }
}

#[test]
fn parts_of_files_are_read_from_any_offset_to_any_address() {
    let content = pattern(18 * MIB + 77);
    let file = TempFile::new(&content);
    let memory = memory(64 * MIB);
    let engine = Engine::new(memory.clone());
    for (start, len) in
        [(0, 10), (511, 5000), (PAGE, 9 * MIB + 1), (3, 18 * MIB), (0, 18 * MIB + 77)]
    {
        for at in [MIB, 4 * MIB - 5] {
            fill(&memory, 0, 32 * MIB, 0xaa);
            let range = file.range(100..100).len();
            assert_eq!(range, 0);
            place(&engine, &file.range(start..start + len), at).unwrap();
            let from = usize::try_from(start).unwrap();
            let expected = &content[from..from + usize::try_from(len).unwrap()];
            assert_placed(&memory, at, expected, 0xaa);
        }
    }
}

#[test]
fn short_reads_are_continued_up_to_the_end_of_the_part() {
    // read(2) returns at most a page of it at a time.
    let Ok(file) = File::open("/proc/kallsyms") else { return };
    let symbols = std::fs::read("/proc/kallsyms").unwrap();
    let memory = memory(MIB);
    fill(&memory, 0, MIB, 0xaa);
    let part = FileRange::new(file, 0..0x2800);
    place(&Engine::new(memory.clone()), &part, 0x1000).unwrap();
    assert_placed(&memory, 0x1000, &symbols[..0x2800], 0xaa);
}

#[test]
fn zeros_are_zeros_whether_written_or_returned_to_the_host() {
    let memory = memory(64 * MIB);
    for engine in [Engine::new(memory.clone()), mapping(memory.clone())] {
        for len in [1, PAGE, 4 * MIB - 1, 4 * MIB, 11 * MIB + 3] {
            for at in [0, 1, 2 * MIB, 2 * MIB + 1, 3 * MIB - 7] {
                fill(&memory, 0, 32 * MIB, 0xaa);
                engine.transfer(Source::Zeros(len), GuestAddress(at)).unwrap();
                assert_placed(&memory, at, &vec![0; usize::try_from(len).unwrap()], 0xaa);
            }
        }
    }
}

#[test]
fn large_zero_fills_take_no_memory() {
    let memory = memory(64 * MIB);
    let engine = Engine::new(memory.clone());
    fill(&memory, 0, 64 * MIB, 0xaa);
    let before = resident(&memory);
    engine.transfer(Source::Zeros(64 * MIB), GuestAddress(0)).unwrap();
    assert!(
        before >= 64 * MIB && resident(&memory) < 8 * MIB,
        "{before} and {}",
        resident(&memory)
    );
}

/// Bytes of the first region that are in the host's memory (mincore(2) tells it of anonymous memory
/// by its page tables).
fn resident(memory: &vm_memory::GuestMemoryMmap) -> u64 {
    use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};
    let region = memory.iter().next().unwrap();
    let mut pages = vec![0u8; usize::try_from(region.len() / PAGE).unwrap()];
    // SAFETY: the region is mapped, and the buffer has a byte for each of its pages.
    let done = unsafe {
        let len = usize::try_from(region.len()).unwrap();
        libc::mincore(region.as_ptr().cast(), len, pages.as_mut_ptr())
    };
    assert_eq!(done, 0);
    pages.iter().filter(|page| **page & 1 != 0).count() as u64 * PAGE
}

#[test]
fn a_transfer_continues_in_the_next_region_and_ends_at_a_hole() {
    let content = pattern(12 * MIB);
    let file = TempFile::new(&content);
    let memory = regions(&[(0, 4 * MIB), (4 * MIB, 16 * MIB), (32 * MIB, MIB)]);
    for engine in [Engine::new(memory.clone()), mapping(memory.clone())] {
        for at in [MIB, MIB + 5] {
            place(&engine, &file.range(0..12 * MIB), at).unwrap();
            assert!(bytes(&memory, at, 12 * MIB) == content);
        }
        let range = file.range(0..12 * MIB);
        for source in [
            Source::Bytes(&content),
            Source::Zeros(12 * MIB),
            Source::File { file: &range, part: 0..12 * MIB },
        ] {
            let ended = engine.transfer(source, GuestAddress(16 * MIB));
            assert!(matches!(ended, Err(TransferError::Guest)), "{ended:?}");
        }
    }
}

#[test]
fn addresses_outside_memory_or_that_wrap_are_rejected() {
    let engine = Engine::new(memory(MIB));
    let file = TempFile::new(&pattern(PAGE));
    let range = file.range(0..PAGE);
    for at in [MIB, MIB - 1, 1 << 40, u64::MAX, u64::MAX - 10] {
        for source in [
            Source::Bytes(&[1; 100]),
            Source::Zeros(100),
            Source::Zeros(u64::MAX),
            Source::File { file: &range, part: 0..100 },
        ] {
            let ended = engine.transfer(source, GuestAddress(at));
            assert!(matches!(ended, Err(TransferError::Guest)), "{at:#x}: {ended:?}");
        }
        // The address of an empty transfer is not checked.
        engine.transfer(Source::Zeros(0), GuestAddress(at)).unwrap();
        engine.transfer(Source::Bytes(&[]), GuestAddress(at)).unwrap();
    }
}
