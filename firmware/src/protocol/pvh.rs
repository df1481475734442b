//! The PVH boot protocol: the start info for a kernel entered in 32-bit mode.
//!
//! Source: docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h in Xen.

use linux_loader::start_info::{hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryError};

use super::placement::Placement;
use crate::layout;
use crate::tables::memory_map::MemoryMap;

/// `XEN_HVM_START_MAGIC_VALUE`: "xEn3" with the top bit of the E set.
const MAGIC: u32 = 0x336e_c578;
/// Version 1: the first with a memory map.
const VERSION: u32 = 1;
/// The module list follows the start info; the memory map is in the same page. Offsets from the
/// start info.
const MODULES: u64 = size_of::<hvm_start_info>() as u64;
const MEMORY_MAP: u64 = layout::PVH_MEMORY_MAP - layout::PVH_START_INFO;

/// Writes start info, module list and memory map into the page at `placement.low.info`.
///
/// # Errors
/// There is no RAM there.
pub(crate) fn write_start_info<M: GuestMemoryBackend>(
    memory: &M,
    placement: &Placement,
    map: &MemoryMap,
) -> Result<(), GuestMemoryError> {
    let (info_at, entries) = (placement.low.info, map.e820());
    for (i, entry) in entries.iter().enumerate() {
        let row = hvm_memmap_table_entry {
            addr: entry.addr,
            size: entry.size,
            type_: entry.kind as u32,
            reserved: 0,
        };
        let at = info_at + MEMORY_MAP + (i * size_of::<hvm_memmap_table_entry>()) as u64;
        memory.write_obj(row, GuestAddress(at))?;
    }
    let mut info = hvm_start_info {
        magic: MAGIC,
        version: VERSION,
        cmdline_paddr: placement.low.cmdline,
        rsdp_paddr: layout::ACPI_TABLES,
        memmap_paddr: info_at + MEMORY_MAP,
        memmap_entries: u32::try_from(entries.len()).unwrap_or_default(),
        ..Default::default()
    };
    if let Some(initrd) = &placement.initrd {
        let module = hvm_modlist_entry {
            paddr: initrd.start,
            size: initrd.end - initrd.start,
            ..Default::default()
        };
        memory.write_obj(module, GuestAddress(info_at + MODULES))?;
        (info.nr_modules, info.modlist_paddr) = (1, info_at + MODULES);
    }
    memory.write_obj(info, GuestAddress(info_at))
}

const _: () = assert!(MODULES + size_of::<hvm_modlist_entry>() as u64 <= MEMORY_MAP);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::placement::LowMemory;
    use crate::testing::TestRam;

    #[test]
    fn start_info_fields_are_where_start_info_h_puts_them() {
        let map = MemoryMap::new(128 << 20);
        let ram = TestRam::new(&map);
        let loaded = Placement {
            kernel: 0x100_0000..0x200_0000,
            initrd: Some(0x700_0000..0x700_1234),
            low: LowMemory::default(),
        };
        write_start_info(ram.memory(), &loaded, &map).unwrap();
        let page = ram.bytes(layout::PVH_START_INFO, 4096);
        let long = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
        assert_eq!(page[..16], [0x78, 0xc5, 0x6e, 0x33, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            (long(16), long(24), long(32), long(40)),
            (
                layout::PVH_START_INFO + MODULES,
                layout::CMDLINE,
                layout::ACPI_TABLES,
                layout::PVH_MEMORY_MAP
            )
        );
        assert_eq!(page[48], 3, "memmap_entries");
        assert_eq!((long(56), long(64)), (0x700_0000, 0x1234), "the module list's only entry");
        assert_eq!(
            (long(0x100), long(0x108), page[0x110]),
            (0, layout::EBDA, 1),
            "the map's first entry"
        );
        assert_eq!((long(0x118), page[0x128]), (layout::EBDA, 2), "its second entry");
    }
}
