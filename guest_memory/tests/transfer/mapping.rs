//! Pages of files mapped over guest memory.

use guest_memory::{Engine, Leases, MappingOptions, Source};
use vm_memory::{Bytes, GuestAddress};

use crate::support::{
    MIB, PAGE, TempFile, assert_placed, bytes, fill, mapping, memory, pattern, place,
};

#[test]
fn congruent_whole_pages_are_mapped_and_the_rest_is_read() {
    let content = pattern(40 * PAGE + 77);
    let file = TempFile::new(&content);
    let len = content.len() as u64;
    let memory = memory(4 * MIB);
    let engine = mapping(memory.clone());
    // (file offset, guest address, pages mapped)
    for (offset, at, pages) in [
        (0, MIB, 40),
        (100, MIB + 100, 39),
        (PAGE, MIB, 39),
        (1, MIB, 0),
        (0, MIB + 512, 0),
        (len - 70, MIB + (len - 70) % PAGE, 0),
    ] {
        engine.transfer(Source::Bytes(&vec![0xaa; 1 << 21]), GuestAddress(MIB / 2)).unwrap();
        assert_eq!(engine.mapped_bytes(), 0, "mapped pages become plain memory again");
        place(&engine, &file.range(offset..len), at).unwrap();
        assert_eq!(engine.mapped_bytes(), pages * PAGE, "offset {offset} to {at:#x}");
        assert_placed(&memory, at, &content[usize::try_from(offset).unwrap()..], 0xaa);
    }
}

#[test]
fn code_and_short_ranges_are_read() {
    let file = TempFile::new(&pattern(3 * PAGE));
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    place(&engine, &file.code(), 0).unwrap();
    place(&engine, &file.range(0..PAGE - 1), 0x8000).unwrap();
    assert_eq!(engine.mapped_bytes(), 0);
    assert!(bytes(&memory, 0, 3 * PAGE) == pattern(3 * PAGE));
    assert!(bytes(&memory, 0x8000, PAGE - 1) == pattern(PAGE - 1));
}

/// Reading is as fast for a short part, wherever in the file it is.
#[test]
fn parts_shorter_than_the_least_that_is_mapped_are_read() {
    let content = pattern(64 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(MIB);
    drop(mapping(self::memory(MIB))); // ignores the signal
    let options = MappingOptions { from: 4 * PAGE, small_pages: true, signal: libc::SIGIO };
    let engine = Engine::mapping(memory.clone(), options);
    for (pages, mapped) in [(3, 0), (4, 4)] {
        place(&engine, &file.range(16 * PAGE..(16 + pages) * PAGE), 0).unwrap();
        assert_eq!(engine.mapped_bytes(), mapped * PAGE);
        assert!(
            bytes(&memory, 0, pages * PAGE)
                == content[16 << 12..][..usize::try_from(pages).unwrap() << 12]
        );
    }
}

#[test]
fn a_range_beyond_the_end_of_its_file_is_an_error() {
    let file = TempFile::new(&pattern(2 * PAGE));
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    for (range, at) in [(0..4 * PAGE, 0), (8 * PAGE..12 * PAGE, 0), (1..2 * PAGE + 1, 1)] {
        place(&engine, &file.range(range), at).unwrap_err();
        assert_eq!(engine.mapped_bytes(), 0);
    }
}

#[test]
fn mapped_pages_may_end_where_memory_and_file_end() {
    let file = TempFile::new(&pattern(16 * PAGE));
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    place(&engine, &file.range(0..16 * PAGE), MIB - 16 * PAGE).unwrap();
    assert_eq!(engine.mapped_bytes(), 16 * PAGE);
    assert!(bytes(&memory, MIB - 16 * PAGE, 16 * PAGE) == pattern(16 * PAGE));
}

#[test]
fn the_guest_writes_to_copies_and_another_transfer_restores_the_file() {
    let content = pattern(64 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    for _ in 0..3 {
        place(&engine, &file.range(0..64 * PAGE), 0).unwrap();
        assert!(bytes(&memory, 0, 64 * PAGE) == content);
        fill(&memory, 5 * PAGE, 3 * PAGE, 0xff);
        assert_eq!(bytes(&memory, 5 * PAGE, 3 * PAGE), [0xff; 3 * 4096]);
        assert!(std::fs::read(&file.0).unwrap() == content, "the guest's writes are in the file");
    }
}

#[test]
fn one_descriptor_serves_many_transfers() {
    let content = pattern(64 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    let range = file.range(0..64 * PAGE);
    for at in [0, 0, 16 * PAGE, 100 * PAGE, 3, 0] {
        place(&engine, &range, at).unwrap();
        assert!(bytes(&memory, at, 64 * PAGE) == content, "at {at:#x}");
    }
}

#[test]
fn copies_and_zeros_over_mapped_pages_are_complete_and_do_not_reach_the_file() {
    let content = pattern(1024 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(16 * MIB);
    let engine = mapping(memory.clone());
    let other = vec![0x55; 256 << 12];
    for (source, len) in [
        (Source::Bytes(&other[..100]), 100),
        (Source::Bytes(&other), 256 * PAGE),
        (Source::Zeros(100), 100),
        (Source::Zeros(256 * PAGE), 256 * PAGE),
        (Source::Zeros(3 * MIB), 3 * MIB),
    ] {
        for at in [MIB, MIB + 40] {
            place(&engine, &file.range(0..1024 * PAGE), MIB / 2).unwrap();
            let mut expected = bytes(&memory, 0, 16 * MIB);
            let written = usize::try_from(at).unwrap()..usize::try_from(at + len).unwrap();
            let byte = if matches!(source, Source::Zeros(_)) { 0 } else { 0x55 };
            expected[written].fill(byte);
            engine.transfer(source.clone(), GuestAddress(at)).unwrap();
            assert!(bytes(&memory, 0, 16 * MIB) == expected, "{len} bytes at {at:#x}");
        }
    }
    assert!(std::fs::read(&file.0).unwrap() == content);
}

#[test]
fn a_guest_cannot_exhaust_the_mappings_of_the_process() {
    let content = pattern(8 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(64 * MIB);
    let engine = mapping(memory.clone());
    let range = file.range(0..8 * PAGE);
    let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let before = mappings();
    // One page of each stays mapped.
    for at in (0..16_000).map(|i| i * PAGE) {
        place(&engine, &range, at).unwrap();
    }
    assert!(mappings() < before + 1000, "{before} and {}", mappings());
    assert_eq!(bytes(&memory, 15_999 * PAGE, 8 * PAGE), content);
    assert_eq!(bytes(&memory, 15_000 * PAGE, PAGE), content[..4096]);
    // Whole pages that are read after all, behind an incomplete one.
    place(&engine, &file.range(100..8 * PAGE), 16_100 * PAGE + 100).unwrap();
    assert_placed(&memory, 16_100 * PAGE + 100, &content[100..], 0);
}

#[test]
fn a_file_open_for_writing_is_read() {
    let content = pattern(64 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    let writer = file.write();
    place(&engine, &file.range(0..64 * PAGE), 0).unwrap();
    assert_eq!(engine.mapped_bytes(), 0);
    assert!(bytes(&memory, 0, 64 * PAGE) == content);
    drop(writer);
    place(&engine, &file.range(0..64 * PAGE), 0).unwrap();
    assert_eq!(engine.mapped_bytes(), 64 * PAGE);
}

#[test]
fn detached_pages_are_independent_of_the_file_and_keep_their_bytes() {
    let content = pattern(64 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    place(&engine, &file.range(0..64 * PAGE), 0).unwrap();
    memory.write_slice(b"the guest's", GuestAddress(PAGE)).unwrap();
    engine.detach(Leases::Wanted);
    assert_eq!(engine.mapped_bytes(), 64 * PAGE, "no process waits for the lease");
    engine.detach(Leases::All);
    assert_eq!(engine.mapped_bytes(), 0);
    // Writers no longer wait.
    file.write().set_len(0).unwrap();
    let mut expected = content;
    expected[4096..4107].copy_from_slice(b"the guest's");
    assert!(bytes(&memory, 0, 64 * PAGE) == expected);
    assert_eq!(engine.cut_file(), None);
}

#[test]
fn clones_of_an_engine_share_their_mappings() {
    let file = TempFile::new(&pattern(16 * PAGE));
    let engine: Engine<_> = mapping(memory(MIB));
    let clone = engine.clone();
    place(&clone, &file.range(0..16 * PAGE), 0).unwrap();
    assert_eq!(engine.mapped_bytes(), 16 * PAGE);
}

#[test]
fn huge_pages_of_the_page_cache_are_mapped_and_small_pages_read() {
    // Recent ext4 and XFS keep a file that was written in large pieces in huge pages.
    let content = pattern(16 * MIB);
    let file = TempFile::new(&content);
    let memory = memory(64 * MIB);
    let options = MappingOptions { from: PAGE, small_pages: false, signal: libc::SIGIO };
    drop(mapping(self::memory(MIB))); // ignores the signal
    let engine = Engine::mapping(memory.clone(), options);
    for at in [16 * MIB, 17 * MIB, 16 * MIB + 5] {
        fill(&memory, 0, 64 * MIB, 0xaa);
        place(&engine, &file.range(0..16 * MIB), at).unwrap();
        assert_placed(&memory, at, &content, 0xaa);
        let huge = engine.mapped_bytes();
        assert!(
            huge == 0 || at == 16 * MIB && huge.is_multiple_of(2 * MIB),
            "{huge} bytes at {at:#x}"
        );
        // No process waits for the engine.
        engine.detach(Leases::All);
        assert_placed(&memory, at, &content, 0xaa);
    }
}
