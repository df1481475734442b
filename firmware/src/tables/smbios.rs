//! The SMBIOS tables, which describe the machine: built once and delivered in one of two ways.
//!
//! Direct boot places them where an OS without EFI looks for them ([`SmbiosTables::place`]);
//! firmware gets them as two fw_cfg files ([`SmbiosTables::publish`]). The version is 2.8 with the
//! 32-bit entry point, as on QEMU 7.2's PCs. The 64-bit entry point of version 3 would allow more
//! than 64 KiB of structures, but SeaBIOS 1.16.2 still stores their size in 16 bits (`qtables_len`,
//! src/fw/biostables.c).

mod structures;
mod types;

use fw_cfg::{Items, x86};
use thiserror::Error;

use crate::layout;
use crate::publish::error::PublishError;

use self::structures::Structures;

/// Version of the SMBIOS specification.
const VERSION: [u8; 2] = [2, 8];
/// Size of the entry point in bytes (SMBIOS 2.8, 5.2.1).
const ENTRY_SIZE: usize = 31;
/// Offset of the structures after the entry point in a direct boot: the next multiple of 16.
const ENTRY_ROOM: usize = 32;
/// Maximum size of the structures in bytes. It is stored in a u16, to which SeaBIOS adds the size
/// of its type 0, less than 128 bytes. In a direct boot, the structures must also fit between entry
/// point and reset vector.
const LIMIT: usize = 0xff00;
const _: () = {
    assert!(layout::SMBIOS.is_multiple_of(16) && ENTRY_SIZE <= ENTRY_ROOM);
    assert!(layout::SMBIOS + (ENTRY_ROOM + LIMIT) as u64 <= layout::SMBIOS_END);
    assert!(LIMIT + 128 < u16::MAX as usize);
};

/// The contents of the tables.
#[derive(Clone, Debug)]
pub struct SmbiosConfig {
    /// The machine's UUID, in the byte order of its text form.
    pub uuid: Option<[u8; 16]>,
    /// Size of RAM in bytes.
    pub memory: u64,
    /// Number of CPUs, all cores of one processor.
    pub cpus: u8,
    /// Strings for software in the guest: QEMU's `-smbios type=11,value=…` and systemd's
    /// credentials.
    pub oem_strings: Vec<Vec<u8>>,
    /// The strings that describe the machine.
    pub system: SystemStrings,
}

/// The strings of QEMU's `-smbios type=1`. Empty strings are omitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemStrings {
    /// Manufacturer.
    pub manufacturer: Vec<u8>,
    /// Product name.
    pub product: Vec<u8>,
    /// Version.
    pub version: Vec<u8>,
    /// Serial number.
    pub serial: Vec<u8>,
    /// SKU number.
    pub sku: Vec<u8>,
    /// Product family.
    pub family: Vec<u8>,
}

impl Default for SystemStrings {
    fn default() -> Self {
        Self {
            manufacturer: Maker::CHUKKA.name.into(),
            product: b"chukka virtual machine".to_vec(),
            version: Maker::CHUKKA.version.into(),
            serial: Vec::new(),
            sku: Vec::new(),
            family: Vec::new(),
        }
    }
}

/// The manufacturer strings that no option sets.
struct Maker {
    name: &'static str,
    version: &'static str,
}

impl Maker {
    const CHUKKA: Self = Self { name: "chukka", version: env!("CARGO_PKG_VERSION") };
}

/// Why the tables cannot be built.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SmbiosError {
    /// The strings are too many or too long.
    #[error("The SMBIOS tables have {found} bytes, expected {LIMIT} at most")]
    TooBig {
        /// Size the structures would have, in bytes.
        found: usize,
    },
    /// A NUL byte would terminate the string early.
    #[error("The SMBIOS string {what} '{}' has a zero byte", text.escape_ascii())]
    Nul {
        /// The string's option: "manufacturer", "value".
        what: &'static str,
        /// The string.
        text: Vec<u8>,
    },
    /// An empty string would terminate the structure early.
    #[error("The SMBIOS string {what} is empty")]
    Empty {
        /// The string's option.
        what: &'static str,
    },
}

impl SmbiosError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::TooBig { .. } => "give fewer or shorter -smbios type=11,value=… and --credential; what is long goes into a file \
                                    of -fw_cfg or of the initrd"
                .into(),
            Self::Nul { .. } => "encode binary values, for credentials as io.systemd.credential.binary".into(),
            Self::Empty { .. } => "leave out the option that gives it".into(),
        }
    }
}

/// A machine's SMBIOS tables.
#[derive(Clone, Debug)]
pub struct SmbiosTables {
    /// Type 0, which firmware provides itself: "optional, leave up to BIOS"
    /// (`smbios_build_type_0_table`, hw/smbios/smbios.c).
    bios: Structures,
    /// All other types.
    machine: Structures,
}

impl SmbiosTables {
    /// Builds the tables.
    ///
    /// # Errors
    /// [`SmbiosError`]: a string is invalid, or the strings are too long in total.
    pub fn build(config: &SmbiosConfig) -> Result<Self, SmbiosError> {
        Self::build_as(config, &Maker::CHUKKA)
    }

    fn build_as(config: &SmbiosConfig, maker: &Maker) -> Result<Self, SmbiosError> {
        let bios = types::firmware(maker);
        let machine = types::machine(config, maker)?;
        let found = bios.bytes().len() + machine.bytes().len();
        if found > LIMIT {
            return Err(SmbiosError::TooBig { found });
        }
        Ok(Self { bios, machine })
    }

    /// The bytes to place at guest-physical address `at`, a multiple of 16 in 0xf0000-0xfffff: the
    /// entry point, followed by all structures.
    pub fn place(&self, at: u64) -> Vec<u8> {
        let tables = [self.bios.bytes(), self.machine.bytes()].concat();
        let longest = self.bios.longest().max(self.machine.longest());
        let count = self.bios.count() + self.machine.count();
        let mut bytes = entry_point(tables.len(), longest, count).to_vec();
        // The address is below 1 MiB, so it fits into the low half.
        let address = (at + ENTRY_ROOM as u64).to_le_bytes();
        bytes[24..28].copy_from_slice(&address[..4]);
        bytes[21] = checksum(&bytes[16..]);
        bytes[4] = checksum(&bytes);
        bytes.resize(ENTRY_ROOM, 0);
        bytes.extend(tables);
        bytes
    }

    /// Publishes the tables for firmware: the entry point without address and checksums, and all
    /// structures except type 0, which firmware provides itself (SeaBIOS: `smbios_build_tables`,
    /// src/fw/biostables.c).
    ///
    /// # Errors
    /// One of the files already exists, or the directory is full.
    pub fn publish(&self, items: &mut Items) -> Result<(), PublishError> {
        let tables = self.machine.bytes();
        let entry = entry_point(tables.len(), self.machine.longest(), self.machine.count());
        items.add_file(x86::SMBIOS_ANCHOR_FILE, entry.to_vec())?;
        items.add_file(x86::SMBIOS_TABLES_FILE, tables.to_vec())?;
        Ok(())
    }
}

/// The entry point (SMBIOS 2.8, table 1), without the address at offset 24 and the checksums at 4
/// and 21.
fn entry_point(size: usize, longest: usize, count: usize) -> [u8; ENTRY_SIZE] {
    // All values are below LIMIT.
    let word = |value: usize| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
    let mut entry = [0; ENTRY_SIZE];
    entry[..4].copy_from_slice(b"_SM_");
    entry[5] = 31;
    entry[6..8].copy_from_slice(&VERSION);
    entry[8..10].copy_from_slice(&word(longest));
    entry[16..21].copy_from_slice(b"_DMI_");
    entry[22..24].copy_from_slice(&word(size));
    entry[28..30].copy_from_slice(&word(count));
    entry[30] = VERSION[0] << 4 | VERSION[1];
    entry
}

/// The checksum byte that makes the bytes sum up to 0, given that it is still 0 in `bytes`.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests;
