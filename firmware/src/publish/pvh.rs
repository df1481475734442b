//! Publishes an ELF kernel for firmware to boot by PVH.
//!
//! Our option ROM ([`crate::option_rom::PVH`]) or the built-in firmware copies the items into guest
//! memory, builds the start info from the BIOS's memory map and enters the kernel in protected
//! mode. QEMU's pvh.bin and qboot do the same, but expect the kernel's segments in memory when the
//! machine starts ([`Payload::load_segments`]). The items are those of `x86_load_linux` in QEMU's
//! hw/i386/x86-common.c, and two that are ours:
//!
//! | item | keys | address | content |
//! |---|---|---|---|
//! | entry point | 0x10 | | u32 |
//! | memory image | 0x07, 0x08, 0x11 | the kernel's | the segments, with zeros between them; QEMU lacks the content |
//! | command line | 0x13-0x15 | [`layout::CMDLINE`] | with its terminating NUL; QEMU lacks the address |
//! | file header | 0x17, 0x18 | | the first 8 KiB of the file; qboot recognizes an ELF file by it |
//! | initrd | 0x0a, 0x0b, 0x12 | below the end of RAM below 4 GiB | the file |

use fw_cfg::{Data, Items, key};
use guest_memory::Content;

use super::initrd::{self, Bounds};
use super::kernel_error::{KernelError, narrow, read_error};
use super::memory_image::MemoryImage;
use crate::image::Elf;
use crate::layout::{self, FIRMWARE_RAM};
use crate::payload::{ELF_CMDLINE_SIZE, LoadError, Payload, check_cmdline};
use crate::tables::memory_map::MemoryMap;

/// Bytes at the end of RAM below 4 GiB that SeaBIOS uses while it runs (`malloc_preinit`,
/// src/malloc.c): a kernel that is in memory when it starts must not be there.
const FIRMWARE_WORK_RAM: u64 = 16 << 20;
/// Size of QEMU's copy of the file's beginning.
const HEADER: usize = 8192;

/// Publishes `payload`, whose kernel is `elf`, in `items`. `reserved_for_acpi` is as for
/// [`super::linux::publish`]. With `preloaded`, the segments are in memory when the firmware starts.
///
/// # Errors
/// [`KernelError`]: it has no PVH entry point; the command line is too long for Linux; a segment is
/// below 1 MiB; or something does not fit. `items` may then contain some of the keys.
pub(super) fn publish(
    items: &mut Items,
    payload: &Payload,
    elf: &Elf,
    map: &MemoryMap,
    reserved_for_acpi: u64,
    preloaded: bool,
) -> Result<(), KernelError> {
    let source = &payload.kernel.source;
    let path = || source.path().into();
    let Some(entry) = elf.pvh_entry else {
        let kind = payload.kernel.kind.name();
        return Err(KernelError::NotForFirmware { kernel: path(), kind });
    };
    check_cmdline(source.path(), &payload.cmdline, ELF_CMDLINE_SIZE)?;
    let image = MemoryImage::of(source, &elf.segments)?;
    let range = image.start..image.end;
    if range.start < layout::HIGH_RAM {
        let expected = "1 MiB or above";
        return Err(KernelError::Taken { kernel: path(), range, expected });
    }
    let reserved = FIRMWARE_RAM + if preloaded { FIRMWARE_WORK_RAM } else { 0 };
    let (needed, memory) = (range.end.saturating_add(reserved), map.below_4g());
    if needed > memory {
        return Err(LoadError::KernelTooBig { kernel: path(), needed, memory }.into());
    }
    if let Some(file) = &payload.initrd {
        let bounds = Bounds { floor: range.end, last: None, limit: layout::MMIO_HOLE_END };
        let address = initrd::address(file, bounds, map, reserved_for_acpi)?;
        items.set(key::INITRD_ADDR, address)?;
        items.set(key::INITRD_SIZE, narrow("initrd", file.len())?)?;
        items.set(key::INITRD_DATA, file.range(0..file.len(), Content::Data))?;
    }
    let mut header = source.head::<HEADER>().map_err(|error| read_error(source, error))?;
    header.resize(HEADER, 0);
    let cmdline = [payload.cmdline.as_slice(), &[0]].concat();
    items.set(key::KERNEL_ENTRY, entry)?;
    items.set(key::KERNEL_ADDR, narrow("kernel", range.start)?)?;
    items.set(key::KERNEL_SIZE, narrow("kernel", range.end - range.start)?)?;
    items.set(key::KERNEL_DATA, Data::Parts(image.parts))?;
    items.set(key::CMDLINE_ADDR, narrow("command line", layout::CMDLINE)?)?;
    items.set(key::CMDLINE_SIZE, narrow("command line", cmdline.len() as u64)?)?;
    items.set(key::CMDLINE_DATA, cmdline)?;
    items.set(key::SETUP_SIZE, narrow("header", header.len() as u64)?)?;
    items.set(key::SETUP_DATA, header)?;
    Ok(())
}

#[cfg(test)]
mod tests;
