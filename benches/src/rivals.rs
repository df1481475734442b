//! Ways to answer a DMA read: chukka's device, and what three peers do today, each rewritten from
//! its source.
//!
//! A peer's way is its whole operation but for the VM exit: the descriptor is read, the bytes are
//! moved, `control` is written back. What a peer does besides that is left out, which can only make
//! it faster: QEMU's walk through its memory regions and dirty log, cloud-hypervisor's dirty
//! bitmap, alioth's lock.

mod alioth;
pub mod chukka;
mod cloud_hypervisor;
mod memcpy;
mod qemu;

use std::fmt;
use std::fs::File;
use std::io::{Seek, SeekFrom};

use fw_cfg::dma::{DESCRIPTOR_SIZE, Descriptor};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::Error;
use crate::transfer::{Case, Origin, Slot, Source};

/// One operation, made.
pub type Way = Box<dyn FnMut(&Slot) -> Result<(), Error>>;

/// Who moves the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// chukka's device.
    Chukka,
    /// QEMU's way.
    Qemu,
    /// cloud-hypervisor's way.
    CloudHypervisor,
    /// alioth's way.
    Alioth,
    /// Nothing but a memcpy, or memset, of memory that is there: what no copy is faster than.
    Memcpy,
}

impl Rival {
    /// The three peers.
    pub const PEERS: [Self; 3] = [Self::Qemu, Self::CloudHypervisor, Self::Alioth];

    /// Who takes part. cloud-hypervisor and alioth fill nothing where an item has no bytes.
    #[must_use]
    pub fn of(origin: Origin) -> &'static [Self] {
        match origin {
            Origin::Zeros => &[Self::Chukka, Self::Qemu, Self::Memcpy],
            _ => &[Self::Chukka, Self::Qemu, Self::CloudHypervisor, Self::Alioth, Self::Memcpy],
        }
    }

    /// Prepares a case, as a VMM does when it starts; this is not measured.
    ///
    /// # Errors
    /// The source cannot be had.
    pub fn way(self, case: &Case, source: &Source, memory: &GuestMemoryMmap) -> Result<Way, Error> {
        match self {
            Self::Chukka => chukka::way(case, source, memory),
            Self::Qemu => qemu::way(case, source, memory),
            Self::CloudHypervisor => cloud_hypervisor::way(case, source, memory),
            Self::Alioth => alioth::way(case, source, memory),
            Self::Memcpy => memcpy::way(case, source),
        }
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Chukka => "chukka",
            Self::Qemu => "QEMU's way",
            Self::CloudHypervisor => "cloud-hypervisor's way",
            Self::Alioth => "alioth's way",
            Self::Memcpy => "memcpy",
        })
    }
}

/// A peer's operation around its transfer.
fn operation(
    memory: &GuestMemoryMmap,
    at: GuestAddress,
    transfer: impl FnOnce(Descriptor) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut bytes = [0; DESCRIPTOR_SIZE];
    memory.read_slice(&mut bytes, at)?;
    transfer(Descriptor::from_bytes(bytes))?;
    memory.write_slice(&0_u32.to_be_bytes(), at)?;
    Ok(())
}

/// An item as cloud-hypervisor and alioth hold it (`FwCfgContent` of both).
#[derive(Debug)]
enum Content {
    Bytes(&'static [u8]),
    /// From this byte of it on.
    File(u64, File),
}

impl Content {
    fn new(case: &Case, source: &Source) -> Result<Self, Error> {
        Ok(match case.origin {
            Origin::Copied | Origin::Mapped => Self::File(case.origin.offset(), source.open()?),
            Origin::Memory | Origin::Zeros => Self::Bytes(source.bytes(case)?),
        })
    }

    /// As both ask for it in each operation: of a file, by fstat(2).
    fn size(&self) -> Result<u64, Error> {
        Ok(match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(offset, file) => file.metadata()?.len() - offset,
        })
    }

    /// Its first bytes, as many as fit (`FwCfgContentAccess::read`, by `read_exact`): of a file by
    /// lseek(2) and read(2).
    fn read_exact(&self, mut to: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Bytes(bytes) => std::io::Read::read_exact(&mut &**bytes, to)?,
            Self::File(offset, file) => {
                let mut at = *offset;
                while !to.is_empty() {
                    (&*file).seek(SeekFrom::Start(at))?;
                    let count = std::io::Read::read(&mut &*file, to)?;
                    if count == 0 {
                        return Err("the file is too short".into());
                    }
                    at += count as u64;
                    to = &mut to[count..];
                }
            }
        }
        Ok(())
    }
}
