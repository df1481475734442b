//! Every kind of memory: the engine copies to memory that cannot be replaced.

use std::os::fd::FromRawFd;

use guest_memory::{Engine, MappingOptions, Region, Source};
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::mmap::MmapRegion;
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
    GuestRegionMmap,
};

use crate::support::{MIB, PAGE, TempFile, bytes, mapping, memory, pattern, place};

fn of(region: MmapRegion) -> GuestMemoryMmap {
    let region = GuestRegionMmap::new(region, GuestAddress(0)).unwrap();
    GuestMemoryMmap::from_regions(vec![region]).unwrap()
}

/// Tries every source, and checks that the file stays unchanged.
fn assert_copies(memory: &GuestMemoryMmap) {
    let content = pattern(8 * MIB);
    let file = TempFile::new(&content);
    let engine = mapping(memory.clone());
    assert!(!memory.iter().next().unwrap().is_replaceable());
    place(&engine, &file.range(0..8 * MIB), 0).unwrap();
    assert_eq!(engine.mapped_bytes(), 0);
    assert!(bytes(memory, 0, 8 * MIB) == content);
    engine.transfer(Source::Zeros(7 * MIB), GuestAddress(PAGE)).unwrap();
    assert!(bytes(memory, PAGE, 7 * MIB).iter().all(|byte| *byte == 0));
    assert!(bytes(memory, 0, PAGE) == content[..4096], "zeros before the start of the transfer");
    engine.transfer(Source::Bytes(&content), GuestAddress(0)).unwrap();
    assert!(bytes(memory, 0, 8 * MIB) == content);
    assert!(std::fs::read(&file.0).unwrap() == content);
}

#[test]
fn memory_shared_by_a_memfd_is_copied_to_and_the_other_side_sees_it() {
    // SAFETY: creates a new descriptor, which nothing else owns.
    let file = unsafe {
        let fd = libc::memfd_create(c"guest".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        std::fs::File::from_raw_fd(fd)
    };
    file.set_len(8 * MIB).unwrap();
    let other_side = file.try_clone().unwrap();
    let memory = of(MmapRegion::from_file(FileOffset::new(file, 0), 8 << 20).unwrap());
    assert_copies(&memory);
    let mut seen = [0; 100];
    std::os::unix::fs::FileExt::read_exact_at(&other_side, &mut seen, PAGE).unwrap();
    assert_eq!(seen, pattern(8 * MIB)[4096..4196]);
}

#[test]
fn anonymous_memory_shared_with_children_is_copied_to() {
    let (prot, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    assert_copies(&of(MmapRegion::build(None, 8 << 20, prot, flags).unwrap()));
}

#[test]
fn memory_of_hugetlb_pages_is_copied_to() {
    const COUNT: &str = "/proc/sys/vm/nr_hugepages";
    let before = std::fs::read_to_string(COUNT).unwrap();
    let wanted = before.trim().parse::<u64>().unwrap() + 4;
    // Needs root, and free memory in pieces of a huge page.
    let reserved = std::fs::write(COUNT, wanted.to_string());
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
    let region = MmapRegion::build(None, 8 << 20, prot, flags);
    match region {
        Ok(region) => assert_copies(&of(region)),
        Err(error) => {
            let why = format!("no huge pages available: {error}; {COUNT}: {reserved:?}");
            assert!(std::env::var_os("CHUKKA_NO_SKIP").is_none(), "{why}");
            eprintln!("SKIPPED: {why}");
        }
    }
    let _ = std::fs::write(COUNT, before);
}

#[test]
fn memory_of_small_or_transparent_huge_pages_is_mapped_over() {
    for advice in [libc::MADV_NOHUGEPAGE, libc::MADV_HUGEPAGE] {
        let memory = memory(16 * MIB);
        let region = memory.iter().next().unwrap();
        // SAFETY: advice on an existing mapping.
        let done = unsafe { libc::madvise(region.as_ptr().cast(), 16 << 20, advice) };
        assert_eq!(done, 0);
        let content = pattern(8 * MIB);
        let file = TempFile::new(&content);
        let engine = mapping(memory.clone());
        engine.transfer(Source::Bytes(&[1; 16 << 20]), GuestAddress(0)).unwrap();
        place(&engine, &file.range(0..8 * MIB), MIB).unwrap();
        assert_eq!(engine.mapped_bytes(), 8 * MIB);
        assert!(bytes(&memory, MIB, 8 * MIB) == content);
        assert_eq!(bytes(&memory, 9 * MIB, 16), [1; 16]);
        assert_eq!(bytes(&memory, MIB - 16, 16), [1; 16]);
    }
}

#[test]
fn every_source_marks_the_dirty_bitmap() {
    // The bitmap counts from the start of the region.
    const START: u64 = 64 * MIB;
    let region = MmapRegion::<AtomicBitmap>::new(16 << 20).unwrap();
    let region = GuestRegionMmap::new(region, GuestAddress(START)).unwrap();
    let memory = GuestMemoryMmap::from_regions(vec![region]).unwrap();
    let options = MappingOptions { from: PAGE, small_pages: true, signal: libc::SIGIO };
    drop(mapping(self::memory(MIB))); // ignores the signal
    let content = pattern(8 * MIB);
    let file = TempFile::new(&content);
    let range = file.range(0..8 * MIB);
    for engine in [Engine::new(memory.clone()), Engine::mapping(memory.clone(), options)] {
        for source in [
            Source::Bytes(&content[..100]),
            Source::Bytes(&content),
            Source::Zeros(8 * MIB),
            Source::File { file: &range, part: 0..8 * MIB },
            Source::File { file: &range, part: 1..5000 },
        ] {
            let bitmap = |at| memory.iter().next().unwrap().bitmap().dirty_at(at);
            memory.iter().next().unwrap().clean();
            let len = match &source {
                Source::Bytes(bytes) => bytes.len(),
                Source::Zeros(len) => usize::try_from(*len).unwrap(),
                Source::File { part, .. } => usize::try_from(part.end - part.start).unwrap(),
            };
            engine.transfer(source.clone(), GuestAddress(START + 2 * MIB)).unwrap();
            let (first, last) = (2 << 20, (2 << 20) + len - 1);
            assert!(bitmap(first) && bitmap(last) && bitmap(first + len / 2), "{len} bytes");
            assert!(!bitmap(first - 4096) && !bitmap(last + 4096), "{len} bytes");
        }
    }
}

/// Clears the bitmap.
trait Reset {
    fn clean(&self);
}

impl Reset for GuestRegionMmap<AtomicBitmap> {
    fn clean(&self) {
        (**self).bitmap().reset();
    }
}
