//! The direct boot: kernel, initrd, command line and tables go into guest memory, and the boot CPU starts in the kernel.

use std::ops::Range;
use std::path::{Path, PathBuf};

use guest_memory::{Content, Engine, Memory, Source, TransferError};
use thiserror::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

use crate::image::{BzImage, Elf, KernelImage, KernelKind};
use crate::layout;
use crate::protocol::boot_state::BootState;
use crate::protocol::placement::Placement;
use crate::protocol::{linux, pvh};
use crate::source_file::SourceFile;
use crate::tables::acpi::AcpiTables;
use crate::tables::memory_map::MemoryMap;
use crate::tables::smbios::SmbiosTables;

/// Longest command line of a kernel that does not say: COMMAND_LINE_SIZE in Linux's arch/x86/include/asm/setup.h, less the
/// terminator.
const ELF_CMDLINE_SIZE: u64 = 2047;

/// What to boot.
#[derive(Debug)]
pub struct Payload {
    /// The kernel.
    pub kernel: KernelImage,
    /// The initrd, if any.
    pub initrd: Option<SourceFile>,
    /// The kernel's command line, without terminator.
    pub cmdline: Vec<u8>,
}

/// Why what was asked for cannot be loaded. Sizes count bytes.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The command line is too long for the kernel.
    #[error("The kernel command line has {found} bytes, the kernel '{}' takes {limit} at most", kernel.display())]
    CmdlineTooLong {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Bytes there are.
        found: u64,
        /// Bytes there may be.
        limit: u64,
    },
    /// The kernel does not fit into the guest's RAM.
    #[error("The kernel '{}' needs {} of guest memory to start, the guest has {}", kernel.display(), mib(*needed), mib(*memory))]
    KernelTooBig {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Least RAM it needs.
        needed: u64,
        /// RAM there is below 4 GiB.
        memory: u64,
    },
    /// The initrd does not fit beside the kernel.
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
        /// First address it may not reach.
        ceiling: u64,
        /// Bytes between that and the end of RAM that are left to a firmware; 0 without one.
        reserved: u64,
        /// Bytes of RAM from 4 GiB on, where they count: there it has to lie whole.
        above_4g: u64,
        /// What helps, beside a smaller one.
        remedy: Remedy,
    },
    /// A file could not be brought into memory.
    #[error("Cannot load '{}' into guest memory", path.display())]
    Place {
        /// Its name.
        path: PathBuf,
        /// What went wrong.
        source: TransferError,
    },
    /// The tables could not be written.
    #[error("Cannot write the boot tables into guest memory")]
    Tables(#[from] GuestMemoryError),
}

/// How an initrd that does not fit could be booted as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// With so many bytes of memory.
    Memory(u64),
    /// Not by firmware, which reaches what is below 4 GiB; but directly, with so many bytes of memory.
    Payload(u64),
    /// Not by this kernel, whose limit the ceiling is.
    None,
}

impl Remedy {
    /// For an initrd of `size` bytes above `floor`, of which the kernel takes what ends at `limit`; `reserved`: as in
    /// [`LoadError::InitrdTooBig`].
    pub(crate) fn find(size: u64, floor: u64, limit: u64, reserved: u64) -> Self {
        let needed = floor.saturating_add(size).next_multiple_of(layout::PAGE_SIZE);
        // One page more, as it begins at a page's start and may end where it wants to.
        let below = needed.saturating_add(layout::PAGE_SIZE).saturating_add(reserved);
        // RAM from 4 GiB on is what there is beyond the hole's start.
        let above = size.saturating_add(layout::MMIO_HOLE + layout::PAGE_SIZE);
        match reserved {
            _ if needed < limit && below <= layout::MMIO_HOLE => Self::Memory(below),
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
                "shorten -append; settings can also go into a file of the initrd".into()
            }
            Self::KernelTooBig { needed, .. } if *needed <= layout::MMIO_HOLE => {
                format!("give the guest more memory: -m {}M or more", needed.div_ceil(1 << 20))
            }
            Self::KernelTooBig { .. } => "the kernel has to fit below 3 GiB".into(),
            Self::InitrdTooBig { remedy: Remedy::Memory(needed), .. } => {
                format!("give the guest more memory: -m {}M or more", needed.div_ceil(1 << 20))
            }
            Self::InitrdTooBig { remedy: Remedy::Payload(needed), .. } => format!(
                "firmware reaches no more than 3 GiB; boot it directly, without -bios, with -m {}M or more, or make \
                 the initrd smaller",
                needed.div_ceil(1 << 20)
            ),
            Self::InitrdTooBig { remedy: Remedy::None, .. } => {
                "this kernel cannot take an initrd above that address; make the initrd smaller"
                    .into()
            }
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

/// Words on RAM that nothing may be loaded to.
fn for_firmware(reserved: u64) -> String {
    match reserved {
        0 => String::new(),
        _ => format!(" ({} are left to the firmware)", mib(reserved)),
    }
}

/// Words on RAM from 4 GiB on.
fn beyond_4_gib(size: u64) -> String {
    match size {
        0 => String::new(),
        _ => format!(", and from 4 GiB on {}", mib(size)),
    }
}

impl Payload {
    /// Loads everything into the memory that `engine` reaches, laid out by `map`, and says how the boot CPU has to start. Can be run again on the same
    /// memory, whatever a guest has left in it: that is a reboot.
    ///
    /// # Errors
    /// [`LoadError`]: something does not fit, or a file cannot be read.
    pub fn load<M: Memory>(
        &self,
        engine: &Engine<M>,
        map: &MemoryMap,
        acpi: &AcpiTables,
        smbios: &SmbiosTables,
    ) -> Result<BootState, LoadError> {
        let memory = engine.memory();
        let loaded = self.plan(map)?;
        let kernel_path = self.kernel.source.path();
        let kernel_error = |source| LoadError::Place { path: kernel_path.into(), source };
        let state = match &self.kernel.kind {
            KernelKind::BzImage(image) => {
                place_bzimage(engine, &self.kernel.source, image).map_err(kernel_error)?;
                linux::write_zero_page(memory, image.header(), &loaded, map)?;
                BootState::linux64(loaded.kernel.start + crate::image::ENTRY_64, layout::ZERO_PAGE)
            }
            KernelKind::Elf(elf) => {
                place_elf(engine, &self.kernel.source, elf).map_err(kernel_error)?;
                match elf.pvh_entry {
                    Some(entry) => {
                        pvh::write_start_info(memory, &loaded, map)?;
                        BootState::pvh(entry, layout::PVH_START_INFO)
                    }
                    None => {
                        linux::write_zero_page(memory, linux::header_for_elf(), &loaded, map)?;
                        BootState::linux64(elf.entry, layout::ZERO_PAGE)
                    }
                }
            }
        };
        if let (Some(initrd), Some(at)) = (&self.initrd, &loaded.initrd) {
            let error = |source| LoadError::Place { path: initrd.path().into(), source };
            place(engine, initrd, 0..initrd.len(), at.start, Content::Data).map_err(error)?;
        }
        memory.write_slice(
            &[self.cmdline.as_slice(), &[0]].concat(),
            GuestAddress(layout::CMDLINE),
        )?;
        memory.write_slice(&acpi.reset_code(), GuestAddress(layout::RESET_VECTOR))?;
        memory
            .write_slice(&acpi.relocate(layout::ACPI_TABLES), GuestAddress(layout::ACPI_TABLES))?;
        memory.write_slice(&smbios.place(layout::SMBIOS), GuestAddress(layout::SMBIOS))?;
        state.write_tables(memory)?;
        Ok(state)
    }

    /// Whether everything fits, without touching memory.
    ///
    /// # Errors
    /// [`LoadError`]: the command line, the kernel or the initrd is too big.
    pub fn check(&self, map: &MemoryMap) -> Result<(), LoadError> {
        self.plan(map).map(|_| ())
    }

    /// Decides where everything goes, and refuses what does not fit. Touches no memory.
    ///
    /// # Errors
    /// [`LoadError`]: the command line, the kernel or the initrd is too big.
    fn plan(&self, map: &MemoryMap) -> Result<Placement, LoadError> {
        // A header-less kernel gets its initrd below 4 GiB: PVH's start info is read with 32 bits by Linux.
        let (span, cmdline_limit, initrd_limit) = match &self.kernel.kind {
            KernelKind::BzImage(image) => {
                let start = image.pref_address();
                (start..start + image.init_size(), image.cmdline_size(), image.initrd_limit())
            }
            KernelKind::Elf(elf) => {
                let start = elf.segments.iter().map(|s| s.addr).min().unwrap_or(layout::HIGH_RAM);
                (start..elf.end(), ELF_CMDLINE_SIZE, 1 << 32)
            }
        };
        check_cmdline(self.kernel.source.path(), &self.cmdline, cmdline_limit)?;
        if span.end > map.below_4g() {
            return Err(LoadError::KernelTooBig {
                kernel: self.kernel.source.path().into(),
                needed: span.end,
                memory: map.below_4g(),
            });
        }
        let initrd = match &self.initrd {
            None => None,
            Some(file) => Some(self.place_initrd(file, map, span.end, initrd_limit)?),
        };
        Ok(Placement { kernel: span, initrd })
    }

    /// The initrd's place: as high as the kernel allows, and never over the kernel and the room it needs to start.
    fn place_initrd(
        &self,
        file: &SourceFile,
        map: &MemoryMap,
        floor: u64,
        limit: u64,
    ) -> Result<Range<u64>, LoadError> {
        let size = file.len();
        let start = map.highest_fit(size, floor, limit).ok_or_else(|| {
            let ceiling = map.below_4g().min(limit);
            let beyond = limit > layout::MMIO_HOLE_END;
            LoadError::InitrdTooBig {
                initrd: file.path().into(),
                size,
                floor,
                ceiling,
                reserved: 0,
                above_4g: if beyond { map.above_4g() } else { 0 },
                remedy: Remedy::find(size, floor, limit, 0),
            }
        })?;
        Ok(start..start + size)
    }
}

/// Whether a command line, without terminator, is one that the kernel takes: `limit` bytes, and what there is room for.
pub(crate) fn check_cmdline(kernel: &Path, cmdline: &[u8], limit: u64) -> Result<(), LoadError> {
    let limit = limit.min(layout::CMDLINE_CAPACITY - 1);
    let found = cmdline.len() as u64;
    if found > limit {
        return Err(LoadError::CmdlineTooLong { kernel: kernel.into(), found, limit });
    }
    Ok(())
}

/// Brings bytes `range` of a file to guest-physical address `at`.
fn place<M: Memory>(
    engine: &Engine<M>,
    source: &SourceFile,
    range: Range<u64>,
    at: u64,
    content: Content,
) -> Result<(), TransferError> {
    let (part, file) = (0..range.end - range.start, source.range(range, content));
    engine.transfer(Source::File { file: &file, part }, GuestAddress(at))
}

fn place_bzimage<M: Memory>(
    engine: &Engine<M>,
    source: &SourceFile,
    image: &BzImage,
) -> Result<(), TransferError> {
    let start = image.payload_offset();
    let payload = start..start + image.payload_len();
    place(engine, source, payload, image.pref_address(), Content::Code)
}

fn place_elf<M: Memory>(
    engine: &Engine<M>,
    source: &SourceFile,
    elf: &Elf,
) -> Result<(), TransferError> {
    for s in &elf.segments {
        place(engine, source, s.offset..s.offset + s.file_size, s.addr, Content::Code)?;
        let zeros = Source::Zeros(s.mem_size - s.file_size);
        engine.transfer(zeros, GuestAddress(s.addr + s.file_size))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
