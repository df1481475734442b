//! The linker-loader script, by which firmware places tables that point at each other.
//!
//! The script is the file [`FILE_NAME`]. It consists of commands of 128 bytes, little-endian: a u32
//! command number and 124 bytes of arguments. Firmware runs them in order. It loads files at
//! addresses of its choice, adds the address of one file to a field of another, and updates
//! checksums.
//!
//! Source: hw/acpi/bios-linker-loader.c in QEMU, src/fw/romfile_loader.c in SeaBIOS.

use thiserror::Error;

use crate::items::MAX_NAME;

/// Name of the script's file.
pub const FILE_NAME: &str = "etc/table-loader";

/// Length of a command in bytes.
const COMMAND: usize = 128;

const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;
const WRITE_POINTER: u32 = 4;

/// Where firmware loads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Zone {
    /// Anywhere. SeaBIOS uses the top of RAM below 4 GiB.
    High = 1,
    /// The segment at 0xf0000, where operating systems look for an RSDP.
    FSeg = 2,
}

/// Why a command cannot be encoded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ScriptError {
    /// The field for a name is 56 bytes wide.
    #[error("The name '{name}' in a linker-loader script has {} bytes, expected 1 to {MAX_NAME}", name.len())]
    Name {
        /// The name.
        name: String,
    },
    /// The name has a zero byte, which would end it: firmware would read another name.
    #[error("The name '{}' in a linker-loader script has a zero byte", name.escape_default())]
    NameNul {
        /// The name.
        name: String,
    },
    /// Fields are 1, 2, 4 or 8 bytes wide.
    #[error("A pointer in a linker-loader script has {size} bytes, expected 1, 2, 4 or 8")]
    PointerSize {
        /// The requested width in bytes.
        size: u8,
    },
    /// Alignments are powers of two.
    #[error("An alignment in a linker-loader script is {align}, expected a power of two")]
    Alignment {
        /// The requested alignment in bytes.
        align: u32,
    },
}

/// Builds a script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    bytes: Vec<u8>,
}

impl Script {
    /// An empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads a file into memory, aligned to `align` bytes. Must come before other commands that
    /// name the file.
    ///
    /// # Errors
    /// The name is empty, too long or has a zero byte, or `align` is not a power of two.
    pub fn allocate(&mut self, file: &str, align: u32, zone: Zone) -> Result<(), ScriptError> {
        if !align.is_power_of_two() {
            return Err(ScriptError::Alignment { align });
        }
        self.command(ALLOCATE, &[&name(file)?, &align.to_le_bytes(), &[zone as u8]]);
        Ok(())
    }

    /// Adds the address of file `source` to the little-endian field of `size` bytes at `offset` in
    /// file `dest`. The field initially holds the target's offset within `source`.
    ///
    /// # Errors
    /// A name is empty, too long or has a zero byte, or `size` is not 1, 2, 4 or 8.
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

    /// Subtracts the sum of the `length` bytes from `start` in `file` from the byte at `at`. If
    /// that byte is among them and initially 0, the bytes then sum up to 0.
    ///
    /// # Errors
    /// The name is empty, too long or has a zero byte.
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

    /// Writes the address of file `source`, plus `source_offset`, to the field of `size` bytes at
    /// `offset` in the device's writable file `dest`. This tells the host where the file was
    /// loaded.
    ///
    /// # Errors
    /// A name is empty, too long or has a zero byte, or `size` is not 1, 2, 4 or 8.
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

    /// The contents of the script's file.
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

/// Encodes a name as a field of a command.
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
    fn commands_match_the_structs_in_seabios() {
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
    fn invalid_commands_are_refused() {
        let mut script = Script::new();
        let long = "x".repeat(56);
        assert!(script.allocate(&long, 16, Zone::High).is_err());
        assert!(script.allocate("", 16, Zone::High).is_err());
        assert!(script.allocate("a", 3, Zone::High).is_err());
        assert!(script.add_pointer("a", "b", 0, 3).is_err());
        assert!(script.write_pointer("a", &long, 0, 0, 4).is_err());
        assert!(script.into_bytes().is_empty());
    }

    #[test]
    fn a_name_of_55_bytes_fits_into_its_field() {
        let mut script = Script::new();
        let longest = "x".repeat(MAX_NAME);
        script.allocate(&longest, 16, Zone::High).unwrap();
        assert_eq!(script.into_bytes()[4..60], *format!("{longest}\0").as_bytes());
    }

    // Found by the fuzz target `loader_script`: firmware reads "a\0b" as "a", another file.
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
