//! Why a payload cannot be loaded, and suggested remedies.

use std::ops::Range;
use std::path::{Path, PathBuf};

use guest_memory::TransferError;
use thiserror::Error;
use vm_memory::GuestMemoryError;

use crate::image::BzImageError;
use crate::layout;

/// Why a payload cannot be loaded. Sizes are in bytes.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The command line is too long for the kernel.
    #[error("The kernel command line has {found} bytes; the kernel '{}' accepts at most {limit}", kernel.display())]
    CmdlineTooLong {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Actual length in bytes.
        found: u64,
        /// Maximum length in bytes.
        limit: u64,
    },
    /// The kernel does not fit into the guest's RAM.
    #[error("The kernel '{}' needs {} of guest memory to start; the guest has {}", kernel.display(), mib(*needed), mib(*memory))]
    KernelTooBig {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Minimum RAM it needs.
        needed: u64,
        /// RAM below 4 GiB.
        memory: u64,
    },
    /// The initrd does not fit next to the kernel.
    #[error(
        "The initrd '{}' ({}) does not fit: between the kernel's end at {floor:#x} and {ceiling:#x} there are {}{}{}",
        initrd.display(), mib(*size), mib(ceiling.saturating_sub(*floor)), for_firmware(*reserved), beyond_4_gib(*above_4g)
    )]
    InitrdTooBig {
        /// The initrd's file name.
        initrd: PathBuf,
        /// Its size.
        size: u64,
        /// First address after the kernel.
        floor: u64,
        /// First address the initrd must not reach.
        ceiling: u64,
        /// Bytes between `ceiling` and the end of RAM that are reserved for firmware; 0 without
        /// firmware.
        reserved: u64,
        /// Bytes of RAM above 4 GiB, if the kernel accepts an initrd there.
        above_4g: u64,
        /// The remedy, besides a smaller initrd.
        remedy: Remedy,
    },
    /// A file could not be loaded into memory.
    #[error("Cannot load '{}' into guest memory", path.display())]
    Place {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: TransferError,
    },
    /// It has no entry point for a direct boot.
    #[error("The kernel '{}' {reason}", kernel.display())]
    Entry {
        /// The kernel's file name.
        kernel: PathBuf,
        /// The reason.
        reason: BzImageError,
    },
    /// A part of the kernel is linked to an address where there is no free RAM.
    #[error("The kernel '{}' has a segment at {:#x}-{:#x}, {what}", kernel.display(), segment.start, segment.end - 1)]
    SegmentTaken {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Guest-physical addresses.
        segment: Range<u64>,
        /// What occupies the address range.
        what: &'static str,
    },
    /// The kernel leaves no room below 640 KiB for its boot information.
    #[error("The kernel '{}' fills the memory below 640 KiB, which leaves no room for its boot information", kernel.display())]
    NoLowMemory {
        /// The kernel's file name.
        kernel: PathBuf,
    },
    /// The modules of a multiboot kernel do not fit after it.
    #[error("The modules of the kernel '{}' need {} of guest memory; the guest has {} below 4 GiB", kernel.display(), mib(*needed), mib(*memory))]
    ModulesTooBig {
        /// The kernel's file name.
        kernel: PathBuf,
        /// First address after the last module.
        needed: u64,
        /// RAM below 4 GiB.
        memory: u64,
    },
    /// The tables could not be written.
    #[error("Cannot write the boot tables into guest memory")]
    Tables(#[from] GuestMemoryError),
}

/// How to boot an initrd that does not fit, without changing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Give the guest this many bytes of memory.
    Memory(u64),
    /// Use a direct boot with this many bytes of memory: firmware can only access memory below 4
    /// GiB.
    Payload(u64),
    /// This kernel cannot boot it: the ceiling is the kernel's own limit.
    None,
}

impl Remedy {
    /// Finds a remedy for an initrd of `size` bytes above `floor`, if the kernel accepts initrds
    /// that end at or below `limit`. `reserved` is as in [`LoadError::InitrdTooBig`].
    pub(crate) fn find(size: u64, floor: u64, limit: u64, reserved: u64) -> Self {
        let needed = floor.saturating_add(size).next_multiple_of(layout::PAGE_SIZE);
        // Add one page, because the initrd starts at a page boundary but can end anywhere.
        let below = needed.saturating_add(layout::PAGE_SIZE).saturating_add(reserved);
        // RAM beyond the start of the hole is moved above 4 GiB.
        let above = size.saturating_add(layout::MMIO_HOLE + layout::PAGE_SIZE);
        match reserved {
            _ if needed <= limit && below <= layout::MMIO_HOLE => Self::Memory(below),
            _ if limit <= layout::MMIO_HOLE_END => Self::None,
            0 => Self::Memory(above),
            _ => Self::Payload(above),
        }
    }
}

impl LoadError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::CmdlineTooLong { .. } => {
                "shorten -append; or put settings into a file in the initrd".into()
            }
            Self::KernelTooBig { needed, .. } if *needed <= layout::MMIO_HOLE => {
                format!("give the guest more memory: -m {}M or more", needed.div_ceil(1 << 20))
            }
            Self::KernelTooBig { .. } => "the kernel must fit below 3 GiB".into(),
            Self::InitrdTooBig { remedy: Remedy::Memory(needed), .. } => {
                format!("give the guest more memory: -m {}M or more", needed.div_ceil(1 << 20))
            }
            Self::InitrdTooBig { remedy: Remedy::Payload(needed), .. } => format!(
                "firmware can only use memory below 3 GiB; boot it directly, without -bios, with -m {}M or more, or make \
                 the initrd smaller",
                needed.div_ceil(1 << 20)
            ),
            Self::InitrdTooBig { remedy: Remedy::None, .. } => {
                "this kernel cannot use an initrd above that address; make the initrd smaller"
                    .into()
            }
            Self::Entry { reason, .. } => reason.hint().into(),
            Self::SegmentTaken { .. } | Self::NoLowMemory { .. } => {
                "link the kernel at 1 MiB or above; small parts, such as code for other CPUs, may be below 636 KiB".into()
            }
            Self::ModulesTooBig { needed, .. } if *needed <= layout::MMIO_HOLE => {
                format!("give the guest more memory: -m {}M or more", needed.div_ceil(1 << 20))
            }
            Self::ModulesTooBig { .. } => "the kernel and its modules must fit below 3 GiB".into(),
            Self::Place { .. } => "did the file change while it was being loaded?".into(),
            Self::Tables(_) => "give the guest at least 1 MiB of memory".into(),
        }
    }
}

fn mib(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

/// A note about RAM reserved for firmware.
fn for_firmware(reserved: u64) -> String {
    match reserved {
        0 => String::new(),
        _ => format!(" ({} are reserved for the firmware)", mib(reserved)),
    }
}

/// A note about RAM above 4 GiB.
fn beyond_4_gib(size: u64) -> String {
    match size {
        0 => String::new(),
        _ => format!(", and from 4 GiB on {}", mib(size)),
    }
}

/// Checks that the kernel accepts the command line (without a terminating NUL): at most `limit`
/// bytes, and no more than fit.
pub(crate) fn check_cmdline(kernel: &Path, cmdline: &[u8], limit: u64) -> Result<(), LoadError> {
    let limit = limit.min(layout::CMDLINE_CAPACITY - 1);
    let found = cmdline.len() as u64;
    if found > limit {
        return Err(LoadError::CmdlineTooLong { kernel: kernel.into(), found, limit });
    }
    Ok(())
}
