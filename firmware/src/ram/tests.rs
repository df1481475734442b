//! Guest memory for unit tests, and the tests of [`SourceFile`].
#![expect(clippy::cast_possible_truncation, reason = "test sizes are small")]

use vm_memory::{Bytes, GuestMemoryMmap};

use super::*;

/// Plain guest memory that copies whatever is placed.
pub(crate) struct TestRam(pub GuestMemoryMmap);

impl TestRam {
    /// RAM of the given map.
    pub fn new(map: &crate::MemoryMap) -> Self {
        let ranges: Vec<_> =
            map.ram().map(|r| (GuestAddress(r.start), (r.end - r.start) as usize)).collect();
        Self(GuestMemoryMmap::from_ranges(&ranges).unwrap())
    }

    /// `len` bytes of guest memory.
    pub fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }
}

impl GuestRam for TestRam {
    type Memory = GuestMemoryMmap;

    fn memory(&self) -> &GuestMemoryMmap {
        &self.0
    }

    fn place(
        &self,
        source: &SourceFile,
        range: Range<u64>,
        at: GuestAddress,
        _: Content,
    ) -> io::Result<()> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        source.file().read_exact_at(&mut bytes, range.start)?;
        self.0.write_slice(&bytes, at).map_err(io::Error::other)
    }

    fn zero(&self, at: GuestAddress, size: u64) -> io::Result<()> {
        self.0.write_slice(&vec![0; size as usize], at).map_err(io::Error::other)
    }
}

/// A file under the system's temporary directory that is gone when dropped.
pub(crate) struct TempFile(pub PathBuf);

impl TempFile {
    /// A file of the given bytes.
    pub fn new(bytes: &[u8]) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "chukka-firmware-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn open_refuses_what_is_no_regular_file() {
    for (path, expected) in [("/", "is a directory"), ("/dev/null", "is a character device")] {
        let error = SourceFile::open(Path::new(path), "kernel").unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn open_names_role_and_path_when_the_file_is_missing() {
    let error = SourceFile::open(Path::new("/nonexistent/vmlinuz"), "kernel").unwrap_err();
    assert_eq!(error.to_string(), "Cannot open the kernel '/nonexistent/vmlinuz'");
    assert!(error.hint().contains("-kernel"));
}

#[test]
fn open_refuses_an_empty_file() {
    let file = TempFile::new(b"");
    let error = SourceFile::open(&file.0, "initrd").unwrap_err();
    assert!(error.to_string().contains("is empty (0 bytes)"), "{error}");
}

#[test]
fn head_is_short_when_the_file_is() {
    let file = TempFile::new(b"abc");
    let source = SourceFile::open(&file.0, "kernel").unwrap();
    assert_eq!(source.head::<8>().unwrap(), b"abc");
    assert_eq!(source.head::<2>().unwrap(), b"ab");
    assert_eq!(source.len(), 3);
}
