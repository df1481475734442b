//! The SMBIOS tables: what kind of machine it is, in words, built once and delivered in two ways.
//!
//! Direct boot puts them where an OS without EFI looks ([`SmbiosTables::place`]); with firmware they are two fw_cfg files
//! ([`SmbiosTables::publish`]). The version is 2.8 with the 32-bit entry point, as of QEMU 7.2's PCs. The 64-bit one of version 3
//! would allow more than 64 KiB of structures, but SeaBIOS 1.16.2 counts them with 16 bits all the same (`qtables_len`,
//! src/fw/biostables.c).

mod structures;
mod types;

use fw_cfg::{Items, x86};
use thiserror::Error;

use crate::layout;
use crate::publish::error::PublishError;

use self::structures::Structures;

/// Version of the specification the tables follow.
const VERSION: [u8; 2] = [2, 8];
/// Bytes of the entry point (SMBIOS 2.8, 5.2.1).
const ENTRY_SIZE: usize = 31;
/// Where the structures start after the entry point in a direct boot: at the next multiple of 16.
const ENTRY_ROOM: usize = 32;
/// Most bytes of structures. Their size is a u16, to which SeaBIOS adds its type 0, less than 128 bytes; and in a direct boot
/// they are between entry point and reset vector.
const LIMIT: usize = 0xff00;
const _: () = {
    assert!(layout::SMBIOS.is_multiple_of(16) && ENTRY_SIZE <= ENTRY_ROOM);
    assert!(layout::SMBIOS + (ENTRY_ROOM + LIMIT) as u64 <= layout::SMBIOS_END);
    assert!(LIMIT + 128 < u16::MAX as usize);
};

/// What the tables say.
#[derive(Clone, Debug)]
pub struct SmbiosConfig {
    /// The machine's UUID, in the order it is written in.
    pub uuid: Option<[u8; 16]>,
    /// Bytes of RAM.
    pub memory: u64,
    /// CPUs, all cores of one processor.
    pub cpus: u8,
    /// What the host has to say to who reads it in the guest: QEMU's `-smbios type=11,value=…`, and systemd's credentials.
    pub oem_strings: Vec<Vec<u8>>,
    /// The words for the machine.
    pub system: SystemStrings,
}

/// QEMU's `-smbios type=1`. An empty string is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemStrings {
    /// Who made it.
    pub manufacturer: Vec<u8>,
    /// What it is called.
    pub product: Vec<u8>,
    /// Which of that name.
    pub version: Vec<u8>,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Its number in a catalogue.
    pub sku: Vec<u8>,
    /// What it is one of.
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

/// Who made the parts that no option is for.
struct Maker {
    name: &'static str,
    version: &'static str,
}

impl Maker {
    const CHUKKA: Self = Self { name: "chukka", version: env!("CARGO_PKG_VERSION") };
}

/// Why there are no such tables.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SmbiosError {
    /// Too many or too long strings.
    #[error("The SMBIOS tables have {found} bytes, expected {LIMIT} at most")]
    TooBig {
        /// Bytes they would have.
        found: usize,
    },
    /// A zero byte would end the string early.
    #[error("The SMBIOS string {what} '{}' has a zero byte", text.escape_ascii())]
    Nul {
        /// Which one: "manufacturer", "value".
        what: &'static str,
        /// The string.
        text: Vec<u8>,
    },
    /// An empty string would end the structure early.
    #[error("The SMBIOS string {what} is empty")]
    Empty {
        /// Which one.
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

/// The tables of a machine.
#[derive(Clone, Debug)]
pub struct SmbiosTables {
    /// Type 0, which is the firmware's own to say: "optional, leave up to BIOS" (`smbios_build_type_0_table`, hw/smbios/smbios.c).
    bios: Structures,
    /// All others.
    machine: Structures,
}

impl SmbiosTables {
    /// Builds the tables.
    ///
    /// # Errors
    /// [`SmbiosError`]: a string cannot be one, or all together are too long.
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

    /// The bytes to put at guest-physical address `at`, a multiple of 16 in 0xf0000-0xfffff: the entry point, then all structures.
    pub fn place(&self, at: u64) -> Vec<u8> {
        let tables = [self.bios.bytes(), self.machine.bytes()].concat();
        let longest = self.bios.longest().max(self.machine.longest());
        let count = self.bios.count() + self.machine.count();
        let mut bytes = entry_point(tables.len(), longest, count).to_vec();
        // Below 1 MiB, so the low half is all of it.
        let address = (at + ENTRY_ROOM as u64).to_le_bytes();
        bytes[24..28].copy_from_slice(&address[..4]);
        bytes[21] = checksum(&bytes[16..]);
        bytes[4] = checksum(&bytes);
        bytes.resize(ENTRY_ROOM, 0);
        bytes.extend(tables);
        bytes
    }

    /// Hands the tables to firmware: the entry point without address and checksums, and the structures but type 0, which the
    /// firmware has of its own (SeaBIOS: `smbios_build_tables`, src/fw/biostables.c).
    ///
    /// # Errors
    /// One of the files is there already, or the directory is full.
    pub fn publish(&self, items: &mut Items) -> Result<(), PublishError> {
        let tables = self.machine.bytes();
        let entry = entry_point(tables.len(), self.machine.longest(), self.machine.count());
        items.add_file(x86::SMBIOS_ANCHOR_FILE, entry.to_vec())?;
        items.add_file(x86::SMBIOS_TABLES_FILE, tables.to_vec())?;
        Ok(())
    }
}

/// The entry point (SMBIOS 2.8, table 1), with the address at 24 and the checksums at 4 and 21 left open.
fn entry_point(size: usize, longest: usize, count: usize) -> [u8; ENTRY_SIZE] {
    // All of them are below LIMIT.
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

/// What makes the bytes sum up to 0, if the checksum is still 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests;
