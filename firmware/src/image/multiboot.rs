//! Multiboot kernels: the version 1 or 2 header, what to load, and the entry point.
//!
//! Sources: the Multiboot Specification 0.6.96 and the Multiboot2 Specification 2.0; for the
//! behavior of loaders, hw/i386/multiboot.c in QEMU and grub-core/loader/multiboot*.c in GRUB. All
//! integers are little-endian; addresses are guest-physical.

mod v1;
mod v2;

use thiserror::Error;

use super::elf::{self, Segment};

/// Number of bytes searched for a header: version 2's limit. Version 1's is 8 KiB.
pub(super) const SEARCHED: usize = 32 << 10;

/// The protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Magic 0x1BADB002.
    One,
    /// Magic 0xE85250D6.
    Two,
}

/// A kernel that a multiboot loader starts in 32-bit protected mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiboot {
    /// The protocol version.
    pub version: Version,
    /// 32-bit physical entry point.
    pub entry: u32,
    /// What to load, in file order.
    pub segments: Vec<Segment>,
    /// Version 2: the kernel can be relocated, and is told its load address.
    pub relocatable: bool,
}

impl Multiboot {
    /// First address after the kernel in memory.
    pub fn end(&self) -> u64 {
        elf::end(&self.segments)
    }
}

/// A header, before it is interpreted.
#[derive(Clone, Debug)]
pub(super) struct Header {
    version: Version,
    /// Load addresses that override ELF's.
    addresses: Option<Addresses>,
    /// An entry point that overrides ELF's.
    entry: Option<u32>,
    relocatable: bool,
}

/// Load addresses for a file that is not ELF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Addresses {
    /// File offset of the header.
    offset: u64,
    /// Address of the header in memory.
    header: u32,
    /// First address; in version 2, all ones stand for the start of the file.
    load: u32,
    /// End of the loaded data; 0 for the end of the file.
    load_end: u32,
    /// End of the zeroed memory; 0 for none.
    bss_end: u32,
}

/// Why a file with a multiboot header cannot be booted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MultibootError {
    /// A feature that chukka does not support.
    #[error("has a multiboot{} header that requires {feature}", version_suffix(*version))]
    Unsupported {
        /// The protocol version.
        version: Version,
        /// The required feature.
        feature: String,
    },
    /// It is for another architecture.
    #[error("has a multiboot2 header for architecture {0} (expected 0, i386)")]
    Architecture(u32),
    /// It has no load addresses.
    #[error("has a multiboot{} header without load addresses, and is not an ELF file", version_suffix(*.0))]
    NoAddresses(Version),
    /// An address is inconsistent with another, or with the file.
    #[error("has a multiboot header with an invalid field: {field} is {value:#x}")]
    Nonsense {
        /// The field's name in the specification.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

fn version_suffix(version: Version) -> &'static str {
    match version {
        Version::One => "",
        Version::Two => "2",
    }
}

impl MultibootError {
    /// What the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => {
                "build it without that requirement, or boot a disk image with its boot loader: -bios seabios"
            }
            Self::Architecture(_) => "use the x86 build",
            Self::NoAddresses(_) => "link it as ELF, or set flag 16 and the address fields",
            Self::Nonsense { .. } => "the file is damaged or wrongly linked; build it again",
        }
    }
}

type Found<T> = Option<Result<T, MultibootError>>;

impl Header {
    /// Searches the first [`SEARCHED`] bytes of a file for a header. Version 1 is preferred, as in
    /// QEMU. Returns `None` if there is no header, which is not an error.
    pub fn find(head: &[u8]) -> Found<Self> {
        v1::find(head).or_else(|| v2::find(head))
    }

    /// Whether the header gives the load addresses, regardless of the file's format.
    pub fn has_addresses(&self) -> bool {
        self.addresses.is_some()
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The kernel in a file that is not ELF, or whose header overrides ELF's load addresses.
    pub fn flat(&self, file_len: u64) -> Result<Multiboot, MultibootError> {
        let addresses = self.addresses.ok_or(MultibootError::NoAddresses(self.version))?;
        let segment = addresses.segment(file_len)?;
        let nowhere = MultibootError::Nonsense { field: "entry_addr", value: 0 };
        self.kernel(self.entry.ok_or(nowhere)?.into(), vec![segment])
    }

    /// The kernel in an ELF file. As in GRUB, its entry point is 32-bit code regardless of the ELF
    /// class.
    pub fn elf(&self, entry: u64, segments: Vec<Segment>) -> Result<Multiboot, MultibootError> {
        self.kernel(self.entry.map_or(entry, Into::into), segments)
    }

    fn kernel(&self, entry: u64, segments: Vec<Segment>) -> Result<Multiboot, MultibootError> {
        let inside = segments.iter().any(|segment| segment.range().contains(&entry));
        let address = u32::try_from(entry).ok().filter(|_| inside);
        let entry =
            address.ok_or(MultibootError::Nonsense { field: "the entry address", value: entry })?;
        let (version, relocatable) = (self.version, self.relocatable);
        Ok(Multiboot { version, entry, segments, relocatable })
    }
}

impl Addresses {
    /// What to load. The checks are QEMU's, added for CVE-2018-7550 and similar vulnerabilities.
    fn segment(self, file_len: u64) -> Result<Segment, MultibootError> {
        let wrong = |field, value: u32| MultibootError::Nonsense { field, value: value.into() };
        let load = match self.load {
            u32::MAX => u64::from(self.header).checked_sub(self.offset),
            load => Some(load.into()),
        };
        let load = load.ok_or(wrong("header_addr", self.header))?;
        let before_header = u64::from(self.header).checked_sub(load);
        let offset = before_header.and_then(|before| self.offset.checked_sub(before));
        let offset = offset.ok_or(wrong("load_addr", self.load))?;
        let rest = file_len.saturating_sub(offset);
        let file_size = match self.load_end {
            0 => rest,
            end => u64::from(end).checked_sub(load).ok_or(wrong("load_end_addr", end))?,
        };
        if file_size > rest || file_size == 0 {
            return Err(wrong("load_end_addr", self.load_end));
        }
        let mem_size = match self.bss_end {
            0 => file_size,
            end => u64::from(end).checked_sub(load).ok_or(wrong("bss_end_addr", end))?,
        };
        if mem_size < file_size {
            return Err(wrong("bss_end_addr", self.bss_end));
        }
        Ok(Segment { offset, addr: load, file_size, mem_size })
    }
}

#[cfg(test)]
pub(crate) mod tests;
