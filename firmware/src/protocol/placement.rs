//! Locations of the kernel and its data in guest memory.

use std::ops::Range;

use crate::layout;

/// Guest-physical address ranges of the loaded data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The kernel, including the memory it needs to decompress itself.
    pub kernel: Range<u64>,
    /// The initrd.
    pub initrd: Option<Range<u64>>,
    /// The boot protocol's data below 1 MiB.
    pub low: LowMemory,
}

/// Guest-physical addresses below 1 MiB of data that the kernel reads at startup. [`layout`]
/// defines their usual locations, which are used unless the kernel itself is loaded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LowMemory {
    /// The GDT.
    pub gdt: u64,
    /// The page of PVH's start info, or of Multiboot 1's information.
    pub info: u64,
    /// The command line.
    pub cmdline: u64,
}

impl Default for LowMemory {
    fn default() -> Self {
        Self { gdt: layout::GDT, info: layout::PVH_START_INFO, cmdline: layout::CMDLINE }
    }
}

impl LowMemory {
    /// Finds locations that do not overlap `taken`, with room for a command line of `cmdline` bytes
    /// including its terminating NUL. `info` is the usual address of the boot information. Returns
    /// `None` if low memory is full.
    pub fn beside(taken: &[Range<u64>], info: u64, cmdline: u64) -> Option<Self> {
        let mut taken = taken.to_vec();
        let mut place = |usual: u64, size: u64| {
            let is_free = |start: u64| {
                let end = start + size;
                end <= layout::EBDA && taken.iter().all(|t| end <= t.start || t.end <= start)
            };
            let pages = (layout::LOW_PAGES..layout::EBDA).step_by(PAGE);
            let start = std::iter::once(usual).chain(pages).find(|start| is_free(*start))?;
            taken.push(start..start + size);
            Some(start)
        };
        let gdt = place(layout::GDT, layout::GDT_SIZE)?;
        let info = place(info, layout::PAGE_SIZE)?;
        Some(Self { gdt, info, cmdline: place(layout::CMDLINE, cmdline)? })
    }
}

const PAGE: usize = 0x1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_at_its_usual_address_with_a_kernel_above_1_mib() {
        let low = LowMemory::beside(
            std::slice::from_ref(&(0x10_0000..0x20_0000)),
            layout::PVH_START_INFO,
            100,
        );
        assert_eq!(low, Some(LowMemory::default()));
    }

    #[test]
    fn data_that_overlaps_the_kernel_is_moved() {
        let taken = [0x500..0x600, 0x6800..0x9000, 0x2_0fff..0x2_1000];
        let low = LowMemory::beside(&taken, layout::PVH_START_INFO, 0x1000).unwrap();
        assert_eq!((low.gdt, low.info, low.cmdline), (0x1000, 0x2000, 0x3000));
    }

    #[test]
    fn a_kernel_that_fills_low_memory_leaves_no_room() {
        assert_eq!(
            LowMemory::beside(std::slice::from_ref(&(0..layout::EBDA)), layout::PVH_START_INFO, 1),
            None
        );
    }
}
