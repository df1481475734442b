//! Guest memory and files for unit tests.
#![expect(clippy::cast_possible_truncation, reason = "test sizes are small")]

use std::path::PathBuf;

use guest_memory::Engine;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Guest memory with an engine that always copies.
pub(crate) struct TestRam {
    /// The engine that loads data into it.
    pub engine: Engine<GuestMemoryMmap>,
}

impl TestRam {
    /// RAM of the given map.
    pub fn new(map: &crate::MemoryMap) -> Self {
        let ranges: Vec<_> =
            map.ram().map(|r| (GuestAddress(r.start), (r.end - r.start) as usize)).collect();
        Self { engine: Engine::new(GuestMemoryMmap::from_ranges(&ranges).unwrap()) }
    }

    /// The memory itself.
    pub fn memory(&self) -> &GuestMemoryMmap {
        self.engine.memory()
    }

    /// `len` bytes of guest memory.
    pub fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory().read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }
}

/// A file in the system's temporary directory, deleted when dropped.
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
