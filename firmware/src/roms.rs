//! Firmware: our own ROMs, and the placement of others' BIOS images and option ROMs.

pub mod builtin;
pub mod files;
pub mod flash;
pub mod network_rom;
pub mod option_rom;
