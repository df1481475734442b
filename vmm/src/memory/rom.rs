//! The firmware's ROM or flash chip just below 4 GiB: separate memory that the guest cannot write.

use vm_memory::mmap::MmapRegionError;
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryRegion, GuestRegionMmap, MemoryRegionAddress, MmapRegion,
};

/// A ROM. It exists as long as the process does.
#[derive(Debug)]
pub struct Rom {
    region: GuestRegionMmap,
}

impl Rom {
    /// Creates an empty ROM of `size` bytes, a multiple of the page size, at guest-physical address
    /// `at`.
    ///
    /// # Errors
    /// The host cannot allocate the memory.
    pub fn new(at: u64, size: usize) -> Result<Self, MmapRegionError> {
        let region = GuestRegionMmap::new(MmapRegion::new(size)?, GuestAddress(at));
        region.map(|region| Self { region }).ok_or(MmapRegionError::InvalidOffsetLength)
    }

    /// Writes the ROM's contents. Repeated on each boot, because a guest can overwrite them if the
    /// host's KVM lacks read-only memory.
    ///
    /// # Errors
    /// `bytes` is larger than the ROM.
    pub fn fill(&self, bytes: &[u8]) -> Result<(), vm_memory::GuestMemoryError> {
        self.region.write_slice(bytes, MemoryRegionAddress(0))
    }

    /// Copies bytes from `offset` on into `data`. Bytes beyond the end are left unchanged.
    pub fn read_at(&self, offset: u64, data: &mut [u8]) {
        // It fails only beyond the end.
        let _ = self.region.read_slice(data, MemoryRegionAddress(offset));
    }

    /// Replaces bytes from `offset` on. Bytes beyond the end are dropped.
    pub fn write_at(&self, offset: u64, data: &[u8]) {
        let _ = self.region.write_slice(data, MemoryRegionAddress(offset)); // as in `read_at`
    }

    /// The memslot: guest-physical address, size in bytes, host address.
    pub fn slot(&self) -> (u64, u64, u64) {
        (self.region.start_addr().0, self.region.len(), self.region.as_ptr() as u64)
    }
}
