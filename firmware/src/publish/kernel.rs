//! Publishes a kernel of any kind for firmware to boot.

use fw_cfg::Items;

use super::kernel_error::KernelError;
use super::{linux, multiboot, pvh};
use crate::image::KernelKind;
use crate::payload::Payload;
use crate::tables::memory_map::MemoryMap;

/// Kinds of firmware, by how they boot what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareKind {
    /// [`crate::builtin`].
    Builtin,
    /// A BIOS that runs option ROMs, such as SeaBIOS.
    Bios,
    /// It reads fw_cfg itself, such as qboot.
    WithoutOptionRoms,
    /// It starts the kernel as an EFI program, such as OVMF.
    Uefi,
}

/// What the host knows about the firmware that boots a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Firmware {
    /// Bytes at the end of RAM below 4 GiB from which published addresses stay clear: 0x28000 in
    /// QEMU on pc, 0 on microvm. Our option ROMs choose their own addresses, at least
    /// [`crate::layout::FIRMWARE_RAM`] below that end.
    pub reserved_for_acpi: u64,
    /// What it does with a kernel.
    pub kind: FirmwareKind,
    /// The segments of a PVH kernel are in memory when it starts.
    pub preloaded: bool,
}

/// Publishes `payload` in `items`. [`linux`] describes the items of a bzImage; the private modules
/// for PVH and Multiboot describe theirs.
///
/// # Errors
/// [`KernelError`]: the firmware cannot boot this kernel, or something does not fit. `items` may
/// then contain some of the keys.
pub fn publish(
    items: &mut Items,
    payload: &Payload,
    map: &MemoryMap,
    firmware: Firmware,
) -> Result<(), KernelError> {
    let Payload { kernel, initrd, cmdline, .. } = payload;
    let Firmware { reserved_for_acpi, kind, preloaded } = firmware;
    let builtin = kind == FirmwareKind::Builtin;
    let unfit = |expected, why| {
        let (kernel, kind) = (kernel.source.path().into(), kernel.kind.name());
        Err(KernelError::NotForThisFirmware { kernel, kind, expected, why })
    };
    match &kernel.kind {
        KernelKind::BzImage(image) => {
            if builtin {
                linux::check_builtin(kernel, image)?;
            }
            linux::publish(items, kernel, image, initrd.as_ref(), cmdline, map, reserved_for_acpi)
        }
        _ if kind == FirmwareKind::Uefi => {
            unfit("a bzImage", "UEFI firmware starts only EFI programs")
        }
        KernelKind::Multiboot(_) if kind == FirmwareKind::WithoutOptionRoms => {
            unfit("a bzImage or a PVH kernel", "this firmware runs no option ROMs")
        }
        KernelKind::Elf(elf) => {
            pvh::publish(items, payload, elf, map, reserved_for_acpi, preloaded)
        }
        KernelKind::Multiboot(kernel) => multiboot::publish(items, payload, kernel, map, builtin),
    }
}
