//! The linker-loader script: how a host has the firmware place tables that point at each other.
//!
//! The script is the file [`FILE_NAME`]: commands of 128 bytes, a u32 of what to do and 124 bytes of arguments, little-endian.
//! The firmware runs them in order: it puts files into memory of its choice, adds the address of one file to a field of another,
//! and makes checksums right. Source: hw/acpi/bios-linker-loader.c in QEMU, src/fw/romfile_loader.c in SeaBIOS.

use thiserror::Error;

use crate::items::MAX_NAME;

/// Where firmware looks for the script.
pub const FILE_NAME: &str = "etc/table-loader";

/// Bytes of a command.
const COMMAND: usize = 128;

const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;
const WRITE_POINTER: u32 = 4;

/// Where a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Zone {
    /// Anywhere; in SeaBIOS near the top of RAM below 4 GiB.
    High = 1,
    /// The segment at 0xf0000, where an RSDP is looked for.
    FSeg = 2,
}

/// A command that cannot be written down.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ScriptError {
    /// The field for a name is 56 bytes wide.
    #[error("The name '{name}' in a linker-loader script has {} bytes, expected 1 to {MAX_NAME}", name.len())]
    Name {
        /// The name.
        name: String,
    },
    /// The name has a byte that would end it early: firmware would take it for another file's.
    #[error("The name '{}' in a linker-loader script has a zero byte", name.escape_default())]
    NameNul {
        /// The name.
        name: String,
    },
    /// Fields are 1, 2, 4 or 8 bytes wide.
    #[error("A pointer in a linker-loader script has {size} bytes, expected 1, 2, 4 or 8")]
    PointerSize {
        /// The width asked for, in bytes.
        size: u8,
    },
    /// Alignments are powers of two.
    #[error("An alignment in a linker-loader script is {align}, expected a power of two")]
    Alignment {
        /// The alignment asked for, in bytes.
        align: u32,
    },
}

/// A script in the making.
#[derive(Clone, Debug, Default)]
pub struct Script {
    bytes: Vec<u8>,
}

impl Script {
    /// A script that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file into memory, at a multiple of `align` bytes. Comes before all that names the file.
    ///
    /// # Errors
    /// The name is too long or has a zero byte, or `align` is no power of two.
    pub fn allocate(&mut self, file: &str, align: u32, zone: Zone) -> Result<(), ScriptError> {
        if !align.is_power_of_two() {
            return Err(ScriptError::Alignment { align });
        }
        self.command(ALLOCATE, &[&name(file)?, &align.to_le_bytes(), &[zone as u8]]);
        Ok(())
    }

    /// Adds the address of file `source` to the little-endian field of `size` bytes at `offset` in file `dest`. What the field
    /// holds before is the offset within `source` that it is to point at.
    ///
    /// # Errors
    /// A name is too long or has a zero byte, or there is no field of that size.
    pub fn add_pointer(
        &mut self,
        dest: &str,
        source: &str,
        offset: u32,
        size: u8,
    ) -> Result<(), ScriptError> {
        check_pointer(size)?;
        let arguments: [&[u8]; 4] = [&name(dest)?, &name(source)?, &offset.to_le_bytes(), &[size]];
        self.command(ADD_POINTER, &arguments);
        Ok(())
    }

    /// Takes the sum of `length` bytes from `start` on in `file` away from the byte at `at`, so that with that byte, 0 before,
    /// they sum up to 0.
    ///
    /// # Errors
    /// The name is too long or has a zero byte.
    pub fn add_checksum(
        &mut self,
        file: &str,
        at: u32,
        start: u32,
        length: u32,
    ) -> Result<(), ScriptError> {
        let arguments: [&[u8]; 4] =
            [&name(file)?, &at.to_le_bytes(), &start.to_le_bytes(), &length.to_le_bytes()];
        self.command(ADD_CHECKSUM, &arguments);
        Ok(())
    }

    /// Writes the address of file `source`, plus `source_offset`, to the field of `size` bytes at `offset` in the writable
    /// item `dest` of the device: so the host learns where the file went.
    ///
    /// # Errors
    /// A name is too long or has a zero byte, or there is no field of that size.
    pub fn write_pointer(
        &mut self,
        dest: &str,
        source: &str,
        offset: u32,
        source_offset: u32,
        size: u8,
    ) -> Result<(), ScriptError> {
        check_pointer(size)?;
        let arguments: [&[u8]; 5] = [
            &name(dest)?,
            &name(source)?,
            &offset.to_le_bytes(),
            &source_offset.to_le_bytes(),
            &[size],
        ];
        self.command(WRITE_POINTER, &arguments);
        Ok(())
    }

    /// The script as the item's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn command(&mut self, command: u32, arguments: &[&[u8]]) {
        let end = self.bytes.len() + COMMAND;
        self.bytes.extend(command.to_le_bytes());
        arguments.iter().for_each(|argument| self.bytes.extend(*argument));
        self.bytes.resize(end, 0);
    }
}

/// A name as the scripts' fields hold it.
fn name(name: &str) -> Result<[u8; MAX_NAME + 1], ScriptError> {
    let mut field = [0; MAX_NAME + 1];
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(ScriptError::Name { name: name.into() });
    }
    if name.contains('\0') {
        return Err(ScriptError::NameNul { name: name.into() });
    }
    field[..name.len()].copy_from_slice(name.as_bytes());
    Ok(field)
}

fn check_pointer(size: u8) -> Result<(), ScriptError> {
    if matches!(size, 1 | 2 | 4 | 8) { Ok(()) } else { Err(ScriptError::PointerSize { size }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_as_the_structs_of_seabios_have_them() {
        let mut script = Script::new();
        script.allocate("etc/acpi/rsdp", 16, Zone::FSeg).unwrap();
        script.add_pointer("etc/acpi/rsdp", "etc/acpi/tables", 24, 8).unwrap();
        script.add_checksum("etc/acpi/rsdp", 32, 0, 36).unwrap();
        script.write_pointer("etc/vmgenid_addr", "etc/vmgenid_guid", 0, 40, 8).unwrap();
        let bytes = script.into_bytes();
        assert_eq!(bytes.len(), 4 * 128);
        let [allocate, pointer, checksum, write] =
            [&bytes[..128], &bytes[128..256], &bytes[256..384], &bytes[384..]];

        assert_eq!(allocate[..18], *b"\x01\0\0\0etc/acpi/rsdp\0");
        assert_eq!(allocate[60..66], [16, 0, 0, 0, 2, 0]);

        assert_eq!(pointer[..8], *b"\x02\0\0\0etc/");
        assert_eq!(pointer[60..75], *b"etc/acpi/tables");
        assert_eq!(pointer[116..121], [24, 0, 0, 0, 8]);

        assert_eq!(checksum[..4], [3, 0, 0, 0]);
        assert_eq!(checksum[60..72], [32, 0, 0, 0, 0, 0, 0, 0, 36, 0, 0, 0]);

        assert_eq!(write[..4], [4, 0, 0, 0]);
        assert_eq!(write[116..125], [0, 0, 0, 0, 40, 0, 0, 0, 8]);
    }

    #[test]
    fn what_no_firmware_would_run_is_refused() {
        let mut script = Script::new();
        let long = "x".repeat(56);
        assert!(script.allocate(&long, 16, Zone::High).is_err());
        assert!(script.allocate("", 16, Zone::High).is_err());
        assert!(script.allocate("a", 3, Zone::High).is_err());
        assert!(script.add_pointer("a", "b", 0, 3).is_err());
        assert!(script.write_pointer("a", &long, 0, 0, 4).is_err());
        assert!(script.into_bytes().is_empty());
    }

    // Found by the fuzz target `loader_script`: what firmware reads of "a\0b" is "a", another file.
    #[test]
    fn a_name_that_firmware_would_read_as_another_is_refused() {
        let mut script = Script::new();
        for name in ["a\0b", "a\0", "\0"] {
            let error = Err(ScriptError::NameNul { name: name.into() });
            assert_eq!(script.allocate(name, 16, Zone::High), error);
            assert_eq!(script.add_pointer("a", name, 0, 8), error);
            assert_eq!(script.add_checksum(name, 0, 0, 1), error);
            assert_eq!(script.write_pointer(name, "a", 0, 0, 8), error);
        }
        assert!(script.into_bytes().is_empty());
    }
}
