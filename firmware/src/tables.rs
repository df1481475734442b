//! Tables that describe the machine to firmware and kernel.

pub mod acpi;
pub mod bios_data;
pub mod memory_map;
pub mod smbios;
