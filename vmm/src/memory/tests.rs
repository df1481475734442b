//! Guest memory holds what was placed in it, read or mapped.
#![expect(clippy::cast_possible_truncation, reason = "test sizes are small")]

use std::io::Write;

use super::*;

const MIB: u64 = 1 << 20;

fn source(bytes: &[u8]) -> (PathBuf, SourceFile) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name =
        format!("chukka-memory-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    let source = SourceFile::open(&path, "initrd").unwrap();
    (path, source)
}

fn pattern(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + (i >> 12)).to_le_bytes()[0]).collect()
}

fn bytes(ram: &Ram, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ram.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
    bytes
}

#[test]
fn slots_agree_with_their_host_address_below_2_mib() {
    let ram = Ram::new(&MemoryMap::new(64 * MIB)).unwrap();
    for (gpa, size, hva) in ram.slots() {
        assert_eq!((gpa, size, hva % (2 * MIB)), (0, 64 * MIB, 0));
    }
}

#[test]
fn placed_bytes_are_those_of_the_file_read_or_mapped() {
    let content = pattern(MAP_FROM + 3 * PAGE_SIZE + 77);
    let (path, file) = source(&content);
    let ram = Ram::new(&MemoryMap::new(64 * MIB)).unwrap();
    let len = content.len() as u64;
    // (file offset, guest address): congruent from a page, congruent inside a page, and not congruent.
    for (offset, at, mapped) in
        [(0, 16 * MIB, true), (100, 16 * MIB + 100, true), (1, 16 * MIB, false)]
    {
        ram.mapped.lock().unwrap().clear();
        ram.zero(GuestAddress(16 * MIB), 40 * MIB).unwrap();
        ram.place(&file, offset..len, GuestAddress(at), Content::Data).unwrap();
        assert_eq!(ram.mapped.lock().unwrap().len(), usize::from(mapped), "offset {offset}");
        assert!(
            bytes(&ram, at, content.len() - offset as usize) == content[offset as usize..],
            "offset {offset}"
        );
        assert_eq!(
            bytes(&ram, at + len - offset, 8),
            [0; 8],
            "nothing of the file's last page beyond its end"
        );
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn code_is_read_whatever_its_size() {
    let content = pattern(3 * READ_PIECE + 12345);
    let (path, file) = source(&content);
    let ram = Ram::new(&MemoryMap::new(64 * MIB)).unwrap();
    for (offset, at) in [(0, 16 * MIB), (4096 + 5, 17 * MIB + 3)] {
        ram.place(&file, offset..content.len() as u64, GuestAddress(at), Content::Code).unwrap();
        assert!(bytes(&ram, at, content.len() - offset as usize) == content[offset as usize..]);
    }
    assert!(ram.mapped.lock().unwrap().is_empty());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn whole_pages_may_end_where_memory_ends() {
    let (path, file) = source(&pattern(MAP_FROM));
    let ram = Ram::new(&MemoryMap::new(64 * MIB)).unwrap();
    ram.place(&file, 0..MAP_FROM, GuestAddress(64 * MIB - MAP_FROM), Content::Data).unwrap();
    assert_eq!(bytes(&ram, 64 * MIB - 4, 4), pattern(MAP_FROM)[MAP_FROM as usize - 4..]);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn guest_writes_never_reach_a_mapped_file() {
    let content = pattern(MAP_FROM);
    let (path, file) = source(&content);
    let ram = Ram::new(&MemoryMap::new(64 * MIB)).unwrap();
    ram.place(&file, 0..MAP_FROM, GuestAddress(16 * MIB), Content::Data).unwrap();
    ram.memory.write_slice(&[0xff; 4096], GuestAddress(17 * MIB)).unwrap();
    assert!(std::fs::read(&path).unwrap() == content);
    // Placing it again, as a reboot does, shows the file again.
    ram.place(&file, 0..MAP_FROM, GuestAddress(16 * MIB), Content::Data).unwrap();
    assert!(bytes(&ram, 16 * MIB, content.len()) == content);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_file_cut_short_is_noticed() {
    let (path, file) = source(&pattern(MAP_FROM));
    let ram = Ram::new(&MemoryMap::new(64 * MIB)).unwrap();
    ram.place(&file, 0..MAP_FROM, GuestAddress(16 * MIB), Content::Data).unwrap();
    assert!(ram.cut_file().is_none());
    File::options().write(true).open(&path).unwrap().set_len(5000).unwrap();
    assert_eq!(ram.cut_file(), Some((path.clone(), MAP_FROM, 5000)));
    let error = ram.place(&file, 0..MAP_FROM, GuestAddress(16 * MIB), Content::Data).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn more_than_the_host_has_is_refused() {
    let error = Ram::new(&MemoryMap::new(1 << 50)).unwrap_err();
    assert!(error.to_string().contains("the host has"), "{error}");
}
