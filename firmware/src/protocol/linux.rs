//! The Linux/x86 boot protocol: the zero page, which tells the kernel what was loaded where.
//!
//! Source: Documentation/arch/x86/boot.rst and zero-page.rst in Linux.

use linux_loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryError};

use super::placement::Placement;
use crate::layout;
use crate::tables::memory_map::MemoryMap;

/// `type_of_loader`: 0xff is "undefined", for loaders without an assigned number (boot.rst).
const LOADER_UNDEFINED: u8 = 0xff;
/// `LOADED_HIGH`, the only `loadflags` bit required by a kernel without its own header.
const LOADED_HIGH: u8 = 1;

/// The setup header for a kernel that has none (vmlinux): the fields that the kernel's early code
/// reads.
pub(crate) fn header_for_elf() -> setup_header {
    setup_header {
        boot_flag: 0xaa55,
        header: u32::from_le_bytes(*b"HdrS"),
        version: 0x20f,
        loadflags: LOADED_HIGH,
        kernel_alignment: 0x100_0000,
        ..Default::default()
    }
}

/// Writes the zero page at [`layout::ZERO_PAGE`]: `header` from the kernel file, completed with the
/// locations of the loaded data.
///
/// # Errors
/// There is no RAM at the zero page.
pub(crate) fn write_zero_page<M: GuestMemoryBackend>(
    memory: &M,
    header: setup_header,
    placement: &Placement,
    map: &MemoryMap,
) -> Result<(), GuestMemoryError> {
    let mut params =
        boot_params { hdr: header, acpi_rsdp_addr: layout::ACPI_TABLES, ..Default::default() };
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.code32_start = low(placement.kernel.start);
    params.hdr.cmd_line_ptr = low(placement.low.cmdline);
    if let Some(initrd) = &placement.initrd {
        params.hdr.ramdisk_image = low(initrd.start);
        params.ext_ramdisk_image = high(initrd.start);
        params.hdr.ramdisk_size = low(initrd.end - initrd.start);
        params.ext_ramdisk_size = high(initrd.end - initrd.start);
    }
    for (slot, entry) in params.e820_table.iter_mut().zip(map.e820()) {
        *slot = boot_e820_entry { addr: entry.addr, size: entry.size, r#type: entry.kind as u32 };
        params.e820_entries += 1;
    }
    memory.write_obj(params, GuestAddress(layout::ZERO_PAGE))
}

/// Bits 0 to 31.
#[expect(clippy::cast_possible_truncation, reason = "the other half goes into the ext_ field")]
fn low(value: u64) -> u32 {
    value as u32
}

/// Bits 32 to 63.
fn high(value: u64) -> u32 {
    low(value >> 32)
}

const _: () = assert!(size_of::<boot_params>() as u64 == layout::PAGE_SIZE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::placement::LowMemory;
    use crate::testing::TestRam;

    #[test]
    fn zero_page_fields_are_where_zero_page_rst_puts_them() {
        let map = MemoryMap::new(128 << 20);
        let ram = TestRam::new(&map);
        let placement = Placement {
            kernel: 0x100_0000..0x200_0000,
            initrd: Some(0x1_2345_6000..0x3_2345_7001),
            low: LowMemory::default(),
        };
        write_zero_page(ram.memory(), header_for_elf(), &placement, &map).unwrap();
        let page = ram.bytes(layout::ZERO_PAGE, 4096);
        let word = |at: usize| u32::from_le_bytes(page[at..at + 4].try_into().unwrap());
        assert_eq!(word(0x70), u32::try_from(layout::ACPI_TABLES).unwrap(), "acpi_rsdp_addr");
        assert_eq!((word(0xc0), word(0xc4)), (1, 2), "ext_ramdisk_image, ext_ramdisk_size");
        assert_eq!(page[0x1e8], 3, "e820_entries");
        assert_eq!(page[0x1ef], 0, "sentinel: the kernel distrusts the page unless this is 0");
        assert_eq!(&page[0x202..0x206], b"HdrS");
        assert_eq!(page[0x210], 0xff, "type_of_loader");
        assert_eq!(
            (word(0x218), word(0x21c)),
            (0x2345_6000, 0x1001),
            "ramdisk_image, ramdisk_size"
        );
        assert_eq!(word(0x228), u32::try_from(layout::CMDLINE).unwrap(), "cmd_line_ptr");
        // First e820 entry, 20 bytes packed: 0..0x9fc00, RAM.
        assert_eq!(
            page[0x2d0..0x2e4],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfc, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0]
        );
    }
}
