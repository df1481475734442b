//! Guest memory: anonymous, huge-page-aligned, private.
#![expect(unsafe_code, reason = "mmap(2), munmap(2) and madvise(2) have no safe form")]

mod paging;
pub mod peek;
pub mod rom;

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::ptr::{null_mut, without_provenance_mut};

use firmware::MemoryMap;
use guest_memory::hint::Hint;
use guest_memory::{Engine, MappingOptions};
use thiserror::Error;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
    MmapRegion,
};

use crate::config::{MapInitrd, TooMuchMemory, check_memory};
use crate::host::signals;

/// Size of an x86 huge page. KVM can map guest memory with huge pages only if host and guest
/// addresses are equal modulo this size.
const HUGE_PAGE: usize = 2 << 20;

/// Data of at least this size in bytes is mapped instead of read (docs/decisions/0007-transfer.md).
pub const MAP_FROM: u64 = 16 << 20;

/// Why guest memory cannot be allocated.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// More than the host has, RAM and swap together.
    #[error(transparent)]
    BeyondHost(#[from] TooMuchMemory),
    /// The host refused the allocation.
    #[error("Cannot allocate {} MiB of guest memory", size >> 20)]
    Map {
        /// The requested size in bytes.
        size: u64,
        /// The operating system's error.
        source: io::Error,
    },
    /// vm-memory rejected the mapping.
    #[error("Cannot describe guest memory")]
    Region(#[from] MmapRegionError),
    /// The regions overlap or are out of order.
    #[error("Cannot assemble guest memory")]
    Collection(#[from] vm_memory::GuestRegionCollectionError),
}

impl Hint for MemoryError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::BeyondHost(error) => error.hint(),
            _ => Some("give the guest less memory with -m, or check ulimit -v".into()),
        }
    }
}

/// The guest's RAM. It exists as long as the process does and survives guest reboots.
#[derive(Debug)]
pub struct Ram {
    engine: Engine<GuestMemoryMmap>,
}

impl Ram {
    /// Allocates memory for `map` without touching it. `mapping` determines whether files may be
    /// mapped over it.
    ///
    /// # Errors
    /// [`MemoryError`] if `map` needs more than the host has, or the host refuses the allocation.
    pub fn new(map: &MemoryMap, mapping: MapInitrd) -> Result<Self, MemoryError> {
        check_memory(map.size(), host_memory())?;
        let regions = map.ram().map(region).collect::<Result<Vec<_>, _>>()?;
        let memory = GuestMemoryMmap::from_regions(regions)?;
        let small_pages = match mapping {
            MapInitrd::Off => return Ok(Self { engine: Engine::new(memory) }),
            MapInitrd::On => true,
            MapInitrd::Auto => paging::is_two_dimensional(),
        };
        let options = MappingOptions { from: MAP_FROM, small_pages, signal: signals::LEASE };
        Ok(Self { engine: Engine::mapping(memory, options) })
    }

    /// The memory itself, for small reads and writes.
    pub fn memory(&self) -> &GuestMemoryMmap {
        self.engine.memory()
    }

    /// The engine that loads files into guest memory.
    pub fn engine(&self) -> &Engine<GuestMemoryMmap> {
        &self.engine
    }

    /// The memslots: guest-physical address, size in bytes, host address.
    pub fn slots(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        self.memory().iter().map(|r| (r.start_addr().0, r.len(), r.as_ptr() as u64))
    }
}

/// Makes KVM discard its translations of the 4 KiB page that contains guest-physical address `at`,
/// as if the host had moved the page. Does nothing if `at` is not RAM.
///
/// Any change of the page's protection makes the host's kernel call KVM's MMU notifier
/// (`change_pmd_range`, mm/mprotect.c). QEMU's pc-testdev takes all access away for a moment;
/// adding and removing the permission to execute never makes an access by chukka itself fail.
pub fn discard_translations(memory: &GuestMemoryMmap, at: u64) {
    const PAGE: usize = 4096;
    let Ok(page) = memory.get_slice(GuestAddress(at & !(PAGE as u64 - 1)), PAGE) else { return };
    let start = page.ptr_guard_mut().as_ptr().cast();
    let data = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the page is guest memory, which is mapped for reading and writing as long as the
    // process exists, and it stays so: its contents do not change. A failure, for example under
    // SELinux without execmem, leaves everything as it is.
    unsafe {
        libc::mprotect(start, PAGE, data | libc::PROT_EXEC);
        libc::mprotect(start, PAGE, data);
    }
}

/// Allocates anonymous memory for a range of guest-physical addresses, at a host address that is
/// equal to the guest address modulo 2 MiB.
fn region(range: Range<u64>) -> Result<GuestRegionMmap, MemoryError> {
    let map_error = |source| MemoryError::Map { size: range.end - range.start, source };
    let too_big = || map_error(io::Error::from_raw_os_error(libc::ENOMEM));
    let size = usize::try_from(range.end - range.start).map_err(|_| too_big())?;
    let reserved = size.checked_add(HUGE_PAGE).ok_or_else(too_big)?;
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    // SAFETY: a new mapping at an address chosen by the kernel; it overlaps no other.
    let start = unsafe { libc::mmap(null_mut(), reserved, prot, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(map_error(io::Error::last_os_error()));
    }
    let aligned = (start as usize).next_multiple_of(HUGE_PAGE);
    let pointer: *mut u8 = start.cast::<u8>().wrapping_add(aligned - start as usize);
    let (head, tail) = (aligned - start as usize, start as usize + reserved - aligned - size);
    // SAFETY: head and tail are parts of the new mapping that nothing else refers to. MADV_HUGEPAGE
    // is only a hint. Failures here cost speed or address space, nothing else.
    unsafe {
        if head > 0 {
            libc::munmap(start, head);
        }
        if tail > 0 {
            libc::munmap(without_provenance_mut(aligned + size), tail);
        }
        libc::madvise(pointer.cast(), size, libc::MADV_HUGEPAGE);
    }
    // SAFETY: `pointer` is the start of `size` mapped bytes that are never unmapped.
    let mmap = unsafe { MmapRegion::build_raw(pointer, size, prot, flags) }?;
    GuestRegionMmap::new(mmap, GuestAddress(range.start)).ok_or_else(too_big)
}

/// RAM and swap of the host, in bytes.
fn host_memory() -> u64 {
    // SAFETY: sysinfo(2) fills in the struct it is given; all zero is a valid one.
    let info = unsafe {
        let mut info = std::mem::zeroed::<libc::sysinfo>();
        if libc::sysinfo(&raw mut info) != 0 {
            return u64::MAX;
        }
        info
    };
    (info.totalram + info.totalswap).saturating_mul(info.mem_unit.into())
}

#[cfg(test)]
mod tests;
