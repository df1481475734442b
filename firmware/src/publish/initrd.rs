//! The initrd's published address.

use super::kernel_error::{KernelError, narrow};
use crate::layout::{self, FIRMWARE_RAM};
use crate::payload::{LoadError, Remedy};
use crate::source_file::SourceFile;
use crate::tables::memory_map::MemoryMap;

/// Where a kernel accepts an initrd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// First address after the kernel and the memory it needs to start.
    pub floor: u64,
    /// Last address that the initrd may occupy; `None` for anywhere below 4 GiB.
    pub last: Option<u64>,
    /// The highest address at which the initrd may end, for the remedy: `last`, or the limit of a
    /// direct boot.
    pub limit: u64,
}

/// The initrd's address by QEMU's formula (`x86_load_linux`). Rejects an initrd that does not fit
/// there, or that our option ROM could not place.
pub(super) fn address(
    file: &SourceFile,
    bounds: Bounds,
    map: &MemoryMap,
    reserved_for_acpi: u64,
) -> Result<u32, KernelError> {
    let (size, Bounds { floor, last, limit }) = (file.len(), bounds);
    let reserved = FIRMWARE_RAM.max(reserved_for_acpi + layout::PAGE_SIZE);
    let ram_end = map.below_4g().saturating_sub(reserved);
    let ceiling = last.map_or(ram_end, |last| ram_end.min(last));
    let fits = ceiling.checked_sub(size).is_some_and(|at| page_of(at) >= floor);
    if !fits {
        return Err(LoadError::InitrdTooBig {
            initrd: file.path().into(),
            size,
            floor,
            ceiling,
            reserved,
            above_4g: 0,
            remedy: Remedy::find(size, floor, limit, reserved),
        }
        .into());
    }
    let max = last.unwrap_or(u32::MAX.into()).min(map.below_4g() - reserved_for_acpi - 1);
    Ok(narrow("initrd", page_of(max - size))?)
}

/// The start of the page that contains `address`.
fn page_of(address: u64) -> u64 {
    address & !(layout::PAGE_SIZE - 1)
}
