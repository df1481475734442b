//! What is read or runs before the kernel: the guest-physical map, kernel images, boot protocols, ACPI tables.
//!
//! Nothing here knows KVM. A loader takes guest memory and files, puts bytes into the one from the other, and hands back a
//! [`BootState`]: the registers the boot CPU has to start with.
//!
//! | module | what it owns |
//! |---|---|
//! | [`layout`] | every guest-physical address, each with its reason |
//! | [`memory_map`] | where RAM is, and the e820 map that tells the guest |
//! | [`image`] | what kind of kernel a file holds, found before anything is loaded |
//! | [`direct`] | the direct boot: kernel, initrd, command line and tables into memory |
//! | [`linux`] | the Linux/x86 boot protocol: load address, zero page, 64-bit entry |
//! | [`pvh`] | the PVH start info and 32-bit entry |
//! | [`linuxboot`] | kernel, initrd and command line, published in fw_cfg for a firmware to boot |
//! | [`builtin`] | our own firmware, which does nothing but boot Linux from fw_cfg |
//! | [`option_rom`] | our option ROM, which has SeaBIOS boot Linux from fw_cfg |
//! | [`acpi`] | RSDP, XSDT, FADT, MADT and DSDT: put into memory, or handed to firmware with a script |
//! | [`publish`] | what firmware is told by fw_cfg: well-known keys, memory map, boot order |
//! | [`rom`] | BIOS images and option ROMs: where they are found, what is refused, where they go |
//! | [`source_file`] | files as the user names them: opened once, never blocking, with a clear error |
//! | [`smbios`] | what kind of machine it is, in words: put into memory, or handed to firmware |
//! | [`boot_state`] | registers, as plain data |
#![forbid(unsafe_code)]

pub mod acpi;
pub mod boot_state;
pub mod builtin;
mod hint;
pub mod image;
pub mod layout;
pub mod linux;
pub mod linuxboot;
pub mod memory_map;
pub mod option_rom;
pub mod payload;
pub mod publish;
pub mod pvh;
pub mod rom;
pub mod smbios;
pub mod source_file;
#[cfg(test)]
mod testing;

pub use boot_state::BootState;
pub use image::KernelImage;
pub use memory_map::MemoryMap;
pub use publish::{BootOptions, PlatformConfig, PublishError};
pub use rom::{BiosImage, OptionRom};
pub use smbios::{SmbiosConfig, SmbiosTables};
pub use source_file::SourceFile;
