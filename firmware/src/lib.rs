//! Everything that runs or is read before a kernel: kernel files, boot protocols, tables for the
//! guest, firmware ROMs.
//!
//! This crate does not depend on KVM. It writes bytes into guest memory, or publishes them in
//! fw_cfg for firmware to read, and returns a [`BootState`]: the registers the boot CPU starts
//! with.
//!
//! | module | contents |
//! |---|---|
//! | [`image`] | recognizes kernel files before anything is loaded: bzImage, ELF, multiboot |
//! | [`protocol`] | how a kernel is entered: Linux at 64 or 32 bits, PVH, multiboot; the registers
//! |
//! | [`tables`] | the machine's description: ACPI, SMBIOS, the memory map, the BIOS data area |
//! | [`roms`] | firmware: our option ROMs and built-in ROM; finding BIOS images |
//! | [`payload`] | direct boot: loads kernel, initrd, command line and tables into guest memory |
//! | [`publish`] | boot through firmware: publishes the same, and the machine's description, in
//! fw_cfg |
//! | [`layout`] | all guest-physical addresses, with explanations |
//! | [`source_file`] | files that are loaded into guest memory |
//!
//! Data flows from `image` through `payload` or `publish` to `protocol`. `layout` and `source_file`
//! are the lowest layer and import nothing from this crate.
//!
//! # Example
//!
//! ```
//! use firmware::{BootState, MemoryMap, layout};
//!
//! let map = MemoryMap::new(4 << 30);
//! assert_eq!(map.below_4g(), layout::MMIO_HOLE);
//! assert_eq!(map.above_4g(), 1 << 30);
//!
//! // A kernel that is entered by PVH at 1 MiB: 32-bit protected mode, EBX at the start info.
//! let state = BootState::pvh(0x10_0000, layout::PVH_START_INFO);
//! assert_eq!((state.rip, state.rbx, state.efer), (0x10_0000, layout::PVH_START_INFO, 0));
//! ```
#![forbid(unsafe_code)]

mod hint;
pub mod image;
pub mod layout;
pub mod payload;
pub mod protocol;
pub mod publish;
pub mod roms;
pub mod source_file;
pub mod tables;
#[cfg(test)]
mod testing;

pub use image::KernelImage;
pub use protocol::boot_state::{self, BootState};
pub use publish::error::PublishError;
pub use publish::kernel::{self as kernel_items, Firmware, FirmwareKind};
pub use publish::kernel_error::KernelError;
pub use publish::platform::{BootOptions, PlatformConfig};
pub use roms::files::{self as rom, BiosImage, OptionRom};
pub use roms::network_rom::{self, NetworkRom};
pub use roms::{builtin, flash, option_rom};
pub use source_file::SourceFile;
pub use tables::memory_map::MemoryMap;
pub use tables::smbios::{SmbiosConfig, SmbiosTables};
pub use tables::{acpi, bios_data, smbios};
