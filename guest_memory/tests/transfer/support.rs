//! Memory, files and engines for the tests.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use guest_memory::{Content, Engine, MappingOptions, Source, TransferError};
use guest_memory::{FileRange, HostFile};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

pub const PAGE: u64 = 4096;
pub const MIB: u64 = 1 << 20;

/// A temporary file, deleted when dropped.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(bytes: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("chukka-transfer-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        File::create(&path).unwrap().write_all(bytes).unwrap();
        Self(path)
    }

    /// Bytes `range` of it, used as data.
    pub fn range(&self, range: Range<u64>) -> FileRange {
        let file = File::open(&self.0).unwrap();
        FileRange::of(&Arc::new(HostFile::new(file, &self.0)), range)
    }

    /// All of it, used as code.
    pub fn code(&self) -> FileRange {
        let len = std::fs::metadata(&self.0).unwrap().len();
        self.range(0..len).used_as(Content::Code)
    }

    /// Opens it for writing.
    pub fn write(&self) -> File {
        File::options().write(true).open(&self.0).unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Bytes of which no two pages are the same.
pub fn pattern(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + (i >> 12) * 31 + (i >> 20)).to_le_bytes()[0]).collect()
}

/// Memory of one region at address 0.
pub fn memory(len: u64) -> GuestMemoryMmap {
    regions(&[(0, len)])
}

pub fn regions(ranges: &[(u64, u64)]) -> GuestMemoryMmap {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|(start, len)| (GuestAddress(*start), usize::try_from(*len).unwrap()))
        .collect();
    GuestMemoryMmap::from_ranges(&ranges).unwrap()
}

/// An engine that maps ranges of one page and more.
pub fn mapping(memory: GuestMemoryMmap) -> Engine<GuestMemoryMmap> {
    static BLOCKED: Once = Once::new();
    BLOCKED.call_once(|| {
        // SAFETY: only changes the signal's disposition in this process, to ignore it.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    });
    Engine::mapping(memory, MappingOptions { from: PAGE, small_pages: true, signal: libc::SIGIO })
}

/// Moves all of `file` to `at`.
pub fn place(
    engine: &Engine<GuestMemoryMmap>,
    file: &FileRange,
    at: u64,
) -> Result<(), TransferError> {
    engine.transfer(Source::File { file, part: 0..file.len() }, GuestAddress(at))
}

/// Reads guest memory.
pub fn bytes<M: GuestMemoryBackend>(memory: &M, at: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap()];
    memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
    bytes
}

/// Fills guest memory.
pub fn fill(memory: &GuestMemoryMmap, at: u64, len: u64, byte: u8) {
    let bytes = vec![byte; usize::try_from(len).unwrap()];
    memory.write_slice(&bytes, GuestAddress(at)).unwrap();
}

/// Asserts that memory holds `expected` at `at`, between bytes that are still `around`.
pub fn assert_placed(memory: &GuestMemoryMmap, at: u64, expected: &[u8], around: u8) {
    let len = expected.len() as u64;
    assert!(bytes(memory, at, len) == expected, "other bytes at {at:#x}");
    assert_eq!(bytes(memory, at + len, 64), [around; 64], "bytes after the range have changed");
    if let Some(before) = at.checked_sub(64) {
        assert_eq!(bytes(memory, before, 64), [around; 64], "bytes before the range have changed");
    }
}
