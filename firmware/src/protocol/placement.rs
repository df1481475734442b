//! Where a kernel and what comes with it are in guest memory.

use std::ops::Range;

use crate::layout;

/// Guest-physical ranges of what was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The kernel, with the memory it needs to unpack itself.
    pub kernel: Range<u64>,
    /// The initrd.
    pub initrd: Option<Range<u64>>,
    /// What the boot protocol needs below 1 MiB.
    pub low: LowMemory,
}

/// Guest-physical addresses below 1 MiB of what a kernel reads when it starts. Each has its usual place in
/// [`layout`], unless the kernel itself is loaded there.
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
    /// Places that are clear of `taken`, with room for a command line of `cmdline` bytes, terminator included. `info` is
    /// the usual address of the information. `None`: low memory is full.
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
    fn everything_has_its_usual_place_beside_a_kernel_above_1_mib() {
        let low = LowMemory::beside(
            std::slice::from_ref(&(0x10_0000..0x20_0000)),
            layout::PVH_START_INFO,
            100,
        );
        assert_eq!(low, Some(LowMemory::default()));
    }

    #[test]
    fn what_is_in_the_kernel_s_way_moves() {
        let taken = [0x500..0x600, 0x6800..0x9000, 0x2_0fff..0x2_1000];
        let low = LowMemory::beside(&taken, layout::PVH_START_INFO, 0x1000).unwrap();
        assert_eq!((low.gdt, low.info, low.cmdline), (0x1000, 0x2000, 0x3000));
    }

    #[test]
    fn a_kernel_that_fills_low_memory_leaves_no_place() {
        assert_eq!(
            LowMemory::beside(std::slice::from_ref(&(0..layout::EBDA)), layout::PVH_START_INFO, 1),
            None
        );
    }
}
