//! Publishes a Multiboot 1 kernel for firmware to boot.
//!
//! Our option ROM ([`crate::option_rom::MULTIBOOT`]), or QEMU's multiboot_dma.bin or multiboot.bin,
//! or the built-in firmware, copies the items into guest memory, adds the BIOS's memory map to the
//! information and enters the kernel in protected mode. The items are those of `load_multiboot` in
//! QEMU's hw/i386/multiboot.c:
//!
//! | item | keys | address | content |
//! |---|---|---|---|
//! | entry point | 0x10 | | u32 |
//! | memory image | 0x07, 0x08, 0x11 | the kernel's | the kernel, zeros to the next page, module list and strings, zeros to the next page, the modules, each filled up to a page |
//! | information | 0x0a, 0x0b, 0x12 | [`layout::MULTIBOOT_INFO`] | 88 bytes, without what only the BIOS knows |
//!
//! Unlike QEMU's, lists and modules begin at page boundaries even if the kernel does not, and the
//! information is elsewhere if the kernel would overwrite it.
//!
//! There is no ROM for Multiboot 2.

use fw_cfg::{Data, Items, Part, key};
use guest_memory::Content;

use super::kernel_error::{KernelError, narrow};
use super::memory_image::MemoryImage;
use crate::image::{Multiboot, MultibootVersion};
use crate::layout::{self, FIRMWARE_RAM};
use crate::payload::{LoadError, Payload};
use crate::protocol::multiboot::Information;
use crate::tables::memory_map::MemoryMap;

/// Publishes `payload`, whose kernel is `kernel`, in `items`. The built-in firmware (`builtin`)
/// needs the memory below 1 MiB.
///
/// # Errors
/// [`KernelError`]: it is a Multiboot 2 kernel, does not fit into memory below 4 GiB, or is loaded
/// where the firmware is. `items` may then contain some of the keys.
pub(super) fn publish(
    items: &mut Items,
    payload: &Payload,
    kernel: &Multiboot,
    map: &MemoryMap,
    builtin: bool,
) -> Result<(), KernelError> {
    let source = &payload.kernel.source;
    let path = || source.path().into();
    if kernel.version != MultibootVersion::One {
        let kind = payload.kernel.kind.name();
        return Err(KernelError::NotForFirmware { kernel: path(), kind });
    }
    let plan = payload.plan_multiboot(kernel, map)?;
    let (cmdline, modules) = (plan.cmdline.as_slice(), plan.modules.as_slice());
    let information = Information { cmdline, modules, map, rsdp: &[], load_base: None };
    // The option ROM loads the kernel last.
    let usual = layout::MULTIBOOT_MEMORY_MAP;
    let overwrites = kernel.segments.iter().any(|part| part.addr < usual + layout::PAGE_SIZE);
    let page = if overwrites { layout::MULTIBOOT_MEMORY_MAP_BELOW } else { usual };
    let (list, info, info_at) = information.version_1_for_firmware(plan.block, page);

    let mut image = MemoryImage::of(source, &kernel.segments)?;
    image.fill_to(plan.block);
    image.add(Part::Bytes(list));
    let files = payload.multiboot_modules(kernel.version);
    for ((file, _), module) in files.iter().zip(&plan.modules) {
        image.fill_to(module.range.start);
        image.add(Part::File(file.range(0..file.len(), Content::Data)));
    }
    image.fill_to(image.end.next_multiple_of(layout::PAGE_SIZE));
    let range = image.start..image.end;
    let low = range.start >= layout::FIRMWARE_LOW_RAM && range.end <= layout::FIRMWARE_LOW_RAM_END;
    if range.start < layout::HIGH_RAM && (builtin || !low) {
        let expected = if builtin { "1 MiB or above" } else { "0x8000-0x8ffff, or from 1 MiB on" };
        return Err(KernelError::Taken { kernel: path(), range, expected });
    }
    let (needed, memory) = (range.end.saturating_add(FIRMWARE_RAM), map.below_4g());
    if needed > memory {
        return Err(LoadError::ModulesTooBig { kernel: path(), needed, memory }.into());
    }

    items.set(key::KERNEL_ENTRY, kernel.entry)?;
    items.set(key::KERNEL_ADDR, narrow("kernel", range.start)?)?;
    items.set(key::KERNEL_SIZE, narrow("kernel", range.end - range.start)?)?;
    items.set(key::KERNEL_DATA, Data::Parts(image.parts))?;
    items.set(key::INITRD_ADDR, narrow("information", info_at)?)?;
    items.set(key::INITRD_SIZE, narrow("information", info.len() as u64)?)?;
    items.set(key::INITRD_DATA, info)?;
    Ok(())
}

#[cfg(test)]
mod tests;
