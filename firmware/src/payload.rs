//! Direct boot: loads kernel, initrd, command line and tables into guest memory; the boot CPU
//! starts in the kernel.

mod error;
mod module;
mod plan;

use std::ops::Range;

use guest_memory::{Content, Engine, Memory, Source, TransferError};
use vm_memory::{Bytes, GuestAddress};

pub(crate) use error::check_cmdline;
pub use error::{LoadError, Remedy};
pub use module::Module;
pub(crate) use plan::ELF_CMDLINE_SIZE;
use plan::{MultibootPlan, Plan};

use crate::image::{BzImage, Elf, KernelImage, KernelKind, Multiboot, MultibootVersion, Segment};
use crate::layout;
use crate::protocol::boot_state::BootState;
use crate::protocol::multiboot::{Information, LOADER_MAGIC_1, LOADER_MAGIC_2};
use crate::protocol::placement::Placement;
use crate::protocol::{linux, pvh};
use crate::source_file::SourceFile;
use crate::tables::acpi::AcpiTables;
use crate::tables::bios_data;
use crate::tables::memory_map::MemoryMap;
use crate::tables::smbios::SmbiosTables;

/// Size of a revision 2 RSDP in bytes (ACPI 6.5, 5.2.5.3).
const RSDP_SIZE: usize = 36;

/// What to boot.
#[derive(Debug)]
pub struct Payload {
    /// The kernel.
    pub kernel: KernelImage,
    /// The initrd, if any. Passed to a multiboot kernel as its last module.
    pub initrd: Option<SourceFile>,
    /// The modules of a multiboot kernel; empty for other kernels.
    pub modules: Vec<Module>,
    /// The kernel's command line, without a terminating NUL.
    pub cmdline: Vec<u8>,
}

impl Payload {
    /// Loads everything into the guest memory of `engine`, whose layout is `map`, and returns the
    /// boot CPU's initial state. Can be repeated on the same memory, regardless of its contents, to
    /// reboot the guest.
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
        let Plan { placement, multiboot } = self.plan(map)?;
        let low = placement.low;
        let acpi_tables = acpi.relocate(layout::ACPI_TABLES);
        let state = match &self.kernel.kind {
            KernelKind::BzImage(image) => self.load_bzimage(engine, image, &placement, map)?,
            KernelKind::Elf(elf) => self.load_elf(engine, elf, &placement, map)?,
            KernelKind::Multiboot(kernel) => {
                let rsdp = acpi_tables.get(..RSDP_SIZE).unwrap_or_default();
                let plan = multiboot.as_ref().map(|plan| (plan, rsdp));
                self.load_multiboot(engine, kernel, &placement, plan, map)?
            }
        };
        let state = state.with_gdt_at(low.gdt);
        if let (Some(initrd), Some(at)) = (&self.initrd, &placement.initrd) {
            place(engine, initrd, 0..initrd.len(), at.start, Content::Data)?;
        }
        if multiboot.is_none() {
            let cmdline = [self.cmdline.as_slice(), &[0]].concat();
            memory.write_slice(&cmdline, GuestAddress(low.cmdline))?;
        }
        bios_data::write(memory)?;
        memory.write_slice(&acpi.reset_code(), GuestAddress(layout::RESET_VECTOR))?;
        memory.write_slice(&acpi_tables, GuestAddress(layout::ACPI_TABLES))?;
        memory.write_slice(&smbios.place(layout::SMBIOS), GuestAddress(layout::SMBIOS))?;
        state.write_tables(memory)?;
        Ok(state)
    }

    /// Checks that everything fits, without touching memory.
    ///
    /// # Errors
    /// [`LoadError`]: the kernel has no entry point for a direct boot, or the command line, the
    /// kernel or the initrd is too big.
    pub fn check(&self, map: &MemoryMap) -> Result<(), LoadError> {
        self.plan(map).map(|_| ())
    }

    /// Loads the segments of an ELF kernel and nothing else, for firmware that expects them in
    /// memory.
    ///
    /// # Errors
    /// [`LoadError`]: there is no RAM, or the file cannot be read.
    pub fn load_segments<M: Memory>(&self, engine: &Engine<M>) -> Result<(), LoadError> {
        match &self.kernel.kind {
            KernelKind::Elf(elf) => self.place_segments(engine, &elf.segments),
            KernelKind::BzImage(_) | KernelKind::Multiboot(_) => Ok(()),
        }
    }

    fn load_bzimage<M: Memory>(
        &self,
        engine: &Engine<M>,
        image: &BzImage,
        placement: &Placement,
        map: &MemoryMap,
    ) -> Result<BootState, LoadError> {
        let (start, at) = (image.payload_offset(), placement.kernel.start);
        let payload = start..start + image.payload_len();
        place(engine, &self.kernel.source, payload, at, Content::Code)?;
        linux::write_zero_page(engine.memory(), image.header(), placement, map)?;
        Ok(match plan::is_long(image) {
            true => BootState::linux64(at + crate::image::ENTRY_64, layout::ZERO_PAGE),
            false => BootState::linux32(at, layout::ZERO_PAGE),
        })
    }

    fn load_elf<M: Memory>(
        &self,
        engine: &Engine<M>,
        elf: &Elf,
        placement: &Placement,
        map: &MemoryMap,
    ) -> Result<BootState, LoadError> {
        self.place_segments(engine, &elf.segments)?;
        let memory = engine.memory();
        if let Some(entry) = elf.pvh_entry {
            pvh::write_start_info(memory, placement, map)?;
            return Ok(BootState::pvh(entry, placement.low.info));
        }
        linux::write_zero_page(memory, linux::header_for_elf(), placement, map)?;
        Ok(BootState::linux64(elf.entry, layout::ZERO_PAGE))
    }

    /// `plan` is paired with the bytes of the RSDP.
    fn load_multiboot<M: Memory>(
        &self,
        engine: &Engine<M>,
        kernel: &Multiboot,
        placement: &Placement,
        plan: Option<(&MultibootPlan, &[u8])>,
        map: &MemoryMap,
    ) -> Result<BootState, LoadError> {
        self.place_segments(engine, &kernel.segments)?;
        let (entry, memory) = (kernel.entry, engine.memory());
        let Some((plan, rsdp)) = plan else {
            return Ok(BootState::multiboot(entry, LOADER_MAGIC_1, placement.low.info));
        };
        let files = self.multiboot_modules(kernel.version);
        for ((file, _), module) in files.iter().zip(&plan.modules) {
            place(engine, file, 0..file.len(), module.range.start, Content::Data)?;
        }
        let (cmdline, modules) = (plan.cmdline.as_slice(), plan.modules.as_slice());
        let load_base = kernel.relocatable.then_some(placement.kernel.start);
        let information = Information { cmdline, modules, map, rsdp, load_base };
        match kernel.version {
            MultibootVersion::One => {
                let page = placement.low.info;
                let (block, bytes, info) = information.version_1(plan.block, page);
                memory.write_slice(&block, GuestAddress(plan.block))?;
                memory.write_slice(&bytes, GuestAddress(page))?;
                Ok(BootState::multiboot(entry, LOADER_MAGIC_1, info))
            }
            MultibootVersion::Two => {
                memory.write_slice(&information.version_2(), GuestAddress(plan.block))?;
                Ok(BootState::multiboot(entry, LOADER_MAGIC_2, plan.block))
            }
        }
    }

    fn place_segments<M: Memory>(
        &self,
        engine: &Engine<M>,
        segments: &[Segment],
    ) -> Result<(), LoadError> {
        let kernel = &self.kernel.source;
        for s in segments {
            place(engine, kernel, s.offset..s.offset + s.file_size, s.addr, Content::Code)?;
            let zeros = Source::Zeros(s.mem_size - s.file_size);
            let placed = engine.transfer(zeros, GuestAddress(s.addr + s.file_size));
            placed.map_err(|source| place_error(kernel, source))?;
        }
        Ok(())
    }
}

/// Loads bytes `range` of a file at guest-physical address `at`.
fn place<M: Memory>(
    engine: &Engine<M>,
    source: &SourceFile,
    range: Range<u64>,
    at: u64,
    content: Content,
) -> Result<(), LoadError> {
    let (part, file) = (0..range.end - range.start, source.range(range, content));
    let placed = engine.transfer(Source::File { file: &file, part }, GuestAddress(at));
    placed.map_err(|error| place_error(source, error))
}

fn place_error(file: &SourceFile, source: TransferError) -> LoadError {
    LoadError::Place { path: file.path().into(), source }
}

#[cfg(test)]
mod tests;
