//! Multiboot kernels: the header of version 1 or 2, what to load, and where to enter.
//!
//! Sources: the Multiboot Specification 0.6.96 and the Multiboot2 Specification 2.0; hw/i386/multiboot.c in QEMU and
//! grub-core/loader/multiboot*.c in GRUB for what loaders make of them. All integers are little-endian; addresses are
//! guest-physical.

mod v1;
mod v2;

use thiserror::Error;

use super::elf::{self, Segment};

/// Bytes of a file in which a header is searched: version 2's limit. Version 1's is 8 KiB.
pub(super) const SEARCHED: usize = 32 << 10;

/// Which version of the protocol.
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
    /// The protocol.
    pub version: Version,
    /// 32-bit physical entry point.
    pub entry: u32,
    /// What to load, in the order of the file.
    pub segments: Vec<Segment>,
    /// Version 2: the kernel may be moved, and so is told where it is.
    pub relocatable: bool,
}

impl Multiboot {
    /// First address after the kernel in memory.
    pub fn end(&self) -> u64 {
        elf::end(&self.segments)
    }
}

/// A header that was found, before anything is made of it.
#[derive(Clone, Debug)]
pub(super) struct Header {
    version: Version,
    /// The load addresses it gives, instead of ELF's.
    addresses: Option<Addresses>,
    /// An entry point that overrules ELF's.
    entry: Option<u32>,
    relocatable: bool,
}

/// Where a file is loaded that is not ELF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Addresses {
    /// File offset of the header.
    offset: u64,
    /// Where the header is in memory.
    header: u32,
    /// First address; of version 2, all ones for the file's start.
    load: u32,
    /// End of what is loaded; 0 for the file's end.
    load_end: u32,
    /// End of what is zeroed; 0 for nothing.
    bss_end: u32,
}

/// Why a file with a multiboot header cannot be booted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MultibootError {
    /// A feature that chukka does not have.
    #[error("has a multiboot{} header that requires {feature}", version_suffix(*version))]
    Unsupported {
        /// The protocol.
        version: Version,
        /// What is required.
        feature: String,
    },
    /// It is for another processor.
    #[error("has a multiboot2 header for architecture {0} (expected 0, i386)")]
    Architecture(u32),
    /// Nothing says where to load it.
    #[error("has a multiboot{} header without load addresses, and is not an ELF file", version_suffix(*.0))]
    NoAddresses(Version),
    /// An address contradicts another, or the file.
    #[error("has a multiboot header that makes no sense: {field} is {value:#x}")]
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
            Self::Architecture(_) => "take the build for x86",
            Self::NoAddresses(_) => "link it as ELF, or set flag 16 and the address fields",
            Self::Nonsense { .. } => "the file is damaged or wrongly linked; build it again",
        }
    }
}

type Found<T> = Option<Result<T, MultibootError>>;

impl Header {
    /// Searches the first [`SEARCHED`] bytes of a file for a header; version 1 is preferred, as in QEMU. `None`: there is
    /// no header, nothing of which is wrong with the file.
    pub fn find(head: &[u8]) -> Found<Self> {
        v1::find(head).or_else(|| v2::find(head))
    }

    /// Whether the header gives the load addresses, whatever the file is.
    pub fn has_addresses(&self) -> bool {
        self.addresses.is_some()
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The kernel in a file that is not ELF, or whose load addresses overrule ELF's.
    pub fn flat(&self, file_len: u64) -> Result<Multiboot, MultibootError> {
        let addresses = self.addresses.ok_or(MultibootError::NoAddresses(self.version))?;
        let segment = addresses.segment(file_len)?;
        let nowhere = MultibootError::Nonsense { field: "entry_addr", value: 0 };
        self.kernel(self.entry.ok_or(nowhere)?.into(), vec![segment])
    }

    /// The kernel in an ELF file: 32-bit code at its entry point, whatever the file's class, as GRUB takes it.
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
    /// What to load. The checks are QEMU's, which came with CVE-2018-7550 and its like.
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
