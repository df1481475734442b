//! The firmware's ROM at the top of 4 GiB: memory of its own, which neither the guest nor a device
//! can write to.

use vm_memory::mmap::MmapRegionError;
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryRegion, GuestRegionMmap, MemoryRegionAddress, MmapRegion,
};

/// A ROM. It lives as long as the process does.
#[derive(Debug)]
pub struct Rom {
    region: GuestRegionMmap,
}

impl Rom {
    /// A ROM at guest-physical address `at`, still empty, for `size` bytes: whole pages.
    ///
    /// # Errors
    /// The host has no memory for it.
    pub fn new(at: u64, size: usize) -> Result<Self, MmapRegionError> {
        let region = GuestRegionMmap::new(MmapRegion::new(size)?, GuestAddress(at));
        region.map(|region| Self { region }).ok_or(MmapRegionError::InvalidOffsetLength)
    }

    /// Puts its contents in place, again after a guest may have written to it: a host whose KVM has
    /// no read-only memory lets it.
    ///
    /// # Errors
    /// There are more bytes than the ROM has.
    pub fn fill(&self, bytes: &[u8]) -> Result<(), vm_memory::GuestMemoryError> {
        self.region.write_slice(bytes, MemoryRegionAddress(0))
    }

    /// The memslot: guest-physical address, size in bytes, host address.
    pub fn slot(&self) -> (u64, u64, u64) {
        (self.region.start_addr().0, self.region.len(), self.region.as_ptr() as u64)
    }
}
