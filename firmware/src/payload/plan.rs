//! Decides where a payload goes in guest memory, and rejects what does not fit. Does not touch
//! memory.

use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

use super::error::{LoadError, Remedy, check_cmdline};
use super::{Module, Payload};
use crate::image::{BzImage, Elf, KernelKind, LinuxEntry, Multiboot, MultibootVersion, Segment};
use crate::layout;
use crate::protocol::multiboot::{Information, LoadedModule};
use crate::protocol::placement::{LowMemory, Placement};
use crate::source_file::SourceFile;
use crate::tables::memory_map::MemoryMap;

/// Maximum command line length for kernels that do not declare one: COMMAND_LINE_SIZE in Linux's
/// arch/x86/include/asm/setup.h, minus the terminating NUL.
pub(crate) const ELF_CMDLINE_SIZE: u64 = 2047;

/// The locations of everything in guest memory.
#[derive(Debug)]
pub(super) struct Plan {
    pub placement: Placement,
    /// Data for a multiboot kernel; `None` for other kernels.
    pub multiboot: Option<MultibootPlan>,
}

/// Data placed after a multiboot kernel: a block with lists and strings, or version 2's
/// information; then the modules.
#[derive(Debug)]
pub(crate) struct MultibootPlan {
    /// Guest-physical address of the block.
    pub block: u64,
    pub modules: Vec<LoadedModule>,
    /// The kernel's command line.
    pub cmdline: Vec<u8>,
}

impl Payload {
    /// Plans where everything goes.
    ///
    /// # Errors
    /// [`LoadError`]: the command line, the kernel or the initrd is too big, or an address is not
    /// available.
    pub(super) fn plan(&self, map: &MemoryMap) -> Result<Plan, LoadError> {
        match &self.kernel.kind {
            KernelKind::BzImage(image) => self.plan_bzimage(image, map),
            KernelKind::Elf(elf) => self.plan_elf(elf, map),
            KernelKind::Multiboot(kernel) => self.plan_multiboot_directly(kernel, map),
        }
    }

    fn plan_bzimage(&self, image: &BzImage, map: &MemoryMap) -> Result<Plan, LoadError> {
        let entry = image.direct_entry();
        entry.map_err(|reason| LoadError::Entry { kernel: self.kernel_path(), reason })?;
        let start = image.load_address();
        let kernel = start..start.saturating_add(image.room());
        check_cmdline(self.kernel.source.path(), &self.cmdline, image.cmdline_size())?;
        self.finish(kernel, image.initrd_limit(), LowMemory::default(), map)
    }

    fn plan_elf(&self, elf: &Elf, map: &MemoryMap) -> Result<Plan, LoadError> {
        check_cmdline(self.kernel.source.path(), &self.cmdline, ELF_CMDLINE_SIZE)?;
        let low = self.low_memory(&elf.segments, layout::PVH_START_INFO)?;
        let low_segment = elf.segments.iter().find(|segment| segment.addr < layout::HIGH_RAM);
        if let (None, Some(segment)) = (elf.pvh_entry, low_segment) {
            let (kernel, segment) = (self.kernel_path(), segment.range());
            let what = "below 1 MiB, where Linux finds its boot information";
            return Err(LoadError::SegmentTaken { kernel, segment, what });
        }
        // Linux reads PVH's start info with 32-bit addresses, so the initrd goes below 4 GiB.
        self.finish(start(&elf.segments)..elf.end(), 1 << 32, low, map)
    }

    fn finish(
        &self,
        kernel: Range<u64>,
        initrd_limit: u64,
        low: LowMemory,
        map: &MemoryMap,
    ) -> Result<Plan, LoadError> {
        self.check_kernel_end(kernel.end, map)?;
        let initrd = match &self.initrd {
            None => None,
            Some(file) => Some(place_initrd(file, map, kernel.end, initrd_limit)?),
        };
        Ok(Plan { placement: Placement { kernel, initrd, low }, multiboot: None })
    }

    fn plan_multiboot_directly(
        &self,
        kernel: &Multiboot,
        map: &MemoryMap,
    ) -> Result<Plan, LoadError> {
        let low = self.low_memory(&kernel.segments, layout::MULTIBOOT_MEMORY_MAP)?;
        let multiboot = Some(self.plan_multiboot(kernel, map)?);
        let kernel = start(&kernel.segments)..kernel.end();
        Ok(Plan { placement: Placement { kernel, initrd: None, low }, multiboot })
    }

    /// Modules follow the kernel, each page-aligned, as in QEMU.
    ///
    /// # Errors
    /// [`LoadError`]: the command line, the kernel or its modules are too big.
    pub(crate) fn plan_multiboot(
        &self,
        kernel: &Multiboot,
        map: &MemoryMap,
    ) -> Result<MultibootPlan, LoadError> {
        let version = kernel.version;
        let cmdline = match version {
            MultibootVersion::One => {
                let path = self.kernel.file().path().as_os_str().as_bytes();
                [path, b" ", &self.cmdline].concat()
            }
            MultibootVersion::Two => self.cmdline.clone(),
        };
        check_cmdline(self.kernel.source.path(), &cmdline, u64::MAX)?;
        self.check_kernel_end(kernel.end(), map)?;
        let modules = self.multiboot_modules(version);
        // The size of strings and lists does not depend on the modules' addresses.
        let of = |(_, text): &(_, Vec<u8>)| LoadedModule { range: 0..0, text: text.clone() };
        let unplaced: Vec<_> = modules.iter().map(of).collect();
        let information = Information {
            cmdline: &cmdline,
            modules: &unplaced,
            map,
            rsdp: &[0; super::RSDP_SIZE],
            load_base: Some(0),
        };
        let size = match version {
            MultibootVersion::One => information.version_1(0, 0).0.len(),
            MultibootVersion::Two => information.version_2().len(),
        };
        let block = behind(kernel.end(), size as u64);
        let mut end = block + size as u64;
        let mut placed = Vec::new();
        for (file, text) in modules {
            let start = behind(end, file.len());
            end = start.saturating_add(file.len());
            placed.push(LoadedModule { range: start..end, text });
        }
        if end > map.below_4g() {
            let (kernel, memory) = (self.kernel_path(), map.below_4g());
            return Err(LoadError::ModulesTooBig { kernel, needed: end, memory });
        }
        Ok(MultibootPlan { block, modules: placed, cmdline })
    }

    /// The files of a multiboot kernel's modules, and their strings. Version 1's strings include
    /// the path, as in QEMU; version 2's are only the arguments, as in GRUB.
    pub(crate) fn multiboot_modules(
        &self,
        version: MultibootVersion,
    ) -> Vec<(SourceFile, Vec<u8>)> {
        let initrd = self.initrd.clone().map(Module::of_initrd);
        let text = |module: &Module| match version {
            MultibootVersion::One => module.text.clone(),
            MultibootVersion::Two => module.arguments().to_vec(),
        };
        let modules = self.modules.iter().chain(&initrd);
        modules.map(|module| (module.file.clone(), text(module))).collect()
    }

    fn check_kernel_end(&self, needed: u64, map: &MemoryMap) -> Result<(), LoadError> {
        let memory = map.below_4g();
        if needed > memory {
            return Err(LoadError::KernelTooBig { kernel: self.kernel_path(), needed, memory });
        }
        Ok(())
    }

    /// Locations below 1 MiB that do not overlap the kernel's segments, which may be anywhere in
    /// RAM.
    fn low_memory(&self, segments: &[Segment], info: u64) -> Result<LowMemory, LoadError> {
        for segment in segments.iter().map(Segment::range) {
            let what = match segment {
                _ if segment.start < layout::GDT => "where the BIOS data area is",
                _ if segment.start < layout::HIGH_RAM && segment.end > layout::EBDA => {
                    "where no RAM is free: 0x9fc00-0xfffff has video memory and the machine's tables"
                }
                _ => continue,
            };
            return Err(LoadError::SegmentTaken { kernel: self.kernel_path(), segment, what });
        }
        let taken: Vec<_> = segments.iter().map(Segment::range).collect();
        let low = LowMemory::beside(&taken, info, self.cmdline.len() as u64 + 1);
        low.ok_or(LoadError::NoLowMemory { kernel: self.kernel_path() })
    }

    fn kernel_path(&self) -> std::path::PathBuf {
        self.kernel.source.path().into()
    }
}

fn start(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| segment.addr).min().unwrap_or(layout::HIGH_RAM)
}

/// The first page boundary after `end` from which `size` bytes are RAM below the hole.
fn behind(end: u64, size: u64) -> u64 {
    let start = end.next_multiple_of(layout::PAGE_SIZE);
    let reaches_hole = start < layout::HIGH_RAM && start.saturating_add(size) > layout::EBDA;
    if reaches_hole { layout::HIGH_RAM } else { start }
}

/// The initrd's location: as high as the kernel allows, but never overlapping the kernel and the
/// memory it needs to start.
fn place_initrd(
    file: &SourceFile,
    map: &MemoryMap,
    floor: u64,
    limit: u64,
) -> Result<Range<u64>, LoadError> {
    // Memory below 1 MiB is reserved for other data, even if the kernel ends there.
    let (size, floor) = (file.len(), floor.max(layout::HIGH_RAM));
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

/// Whether a bzImage is entered at 64 bits; the plan has checked that it can be entered.
pub(super) fn is_long(image: &BzImage) -> bool {
    image.direct_entry() == Ok(LinuxEntry::Long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_kernel_leaves_out_the_area_below_1_mib_that_is_no_ram() {
        let end = layout::EBDA;
        for (kernel, size, start) in [
            (0x9_0000, 0x8000, 0x9_0000),
            (0x9_0001, 0x8000, 0x9_1000),
            (0x9_f000, end - 0x9_f000, 0x9_f000),
            (0x9_f000, end - 0x9_f000 + 1, layout::HIGH_RAM),
            (0xa_0000, 1, layout::HIGH_RAM),
            (0x10_0000, 1 << 20, 0x10_0000),
        ] {
            assert_eq!(behind(kernel, size), start, "{kernel:#x} {size:#x}");
        }
    }
}
