//! The guest-physical memory map: every address chukka chooses, defined once, with an explanation.
//!
//! ```text
//! 0x0000_0000  real-mode interrupt vectors, BIOS data area at 0x400
//! 0x0000_0500  GDT of the boot CPU                      RAM, free for the kernel once it has its own
//! 0x0000_6000  PVH start info, module list, memory map  RAM
//! 0x0000_7000  zero page (struct boot_params)           RAM
//! 0x0000_9000  page tables: PML4, PDPT, 4 PDs; multiboot kernels: memory map, information  RAM
//! 0x0001_0000  real-mode set-up code, when firmware boots it  RAM
//! 0x0002_0000  kernel command line                      RAM
//! 0x0009_fc00  ── end of low RAM; EBDA and video hole: reserved in e820
//! 0x000c_0000  option ROMs, where there is firmware     reserved in e820
//! 0x000e_0000  RSDP and the other ACPI tables           reserved in e820
//! 0x000f_0000  SMBIOS entry point, then its structures  reserved in e820
//! 0x000f_ff53  handler of BIOS calls                 reserved in e820
//! 0x000f_fff0  reset vector: code that resets           reserved in e820
//! 0x0010_0000  RAM: kernel from its preferred address up, initrd as high as the kernel allows
//! 0xc000_0000  ── end of RAM below 4 GiB at the latest: the MMIO hole
//! 0xfeb0_0000  registers of virtio devices, on a machine without PCI
//! 0xfec0_0000  I/O APIC
//! 0xfee0_0000  local APIC
//! 0xfeff_c000  identity-map page, then the TSS (3 pages), which VMX without "unrestricted guest" needs
//! 0xffff_fff0  reset vector: the end of the firmware's ROM, where there is firmware
//! 0x1_0000_0000 RAM beyond what fits below the hole
//! ```

/// 4 KiB, the page size of x86.
pub const PAGE_SIZE: u64 = 0x1000;
/// 2 MiB, the huge page size of x86. Data mapped into guest memory starts at a huge page boundary
/// if there is room, so that huge pages can be used.
pub const HUGE_PAGE_SIZE: u64 = 0x20_0000;

/// Boot CPU's global descriptor table. Just above the BIOS data area (0x400-0x4ff), as with real
/// firmware.
pub const GDT: u64 = 0x500;
/// Its size in bytes: five descriptors, with room to spare.
pub const GDT_SIZE: u64 = 0x100;
/// First page to which boot information can be moved if the kernel is loaded over its usual
/// location. Page 0 contains the BIOS data area.
pub const LOW_PAGES: u64 = 0x1000;
/// `struct hvm_start_info` of the PVH boot protocol, followed by its module list.
pub const PVH_START_INFO: u64 = 0x6000;
/// The PVH memory map table, in the same page as the start info.
pub const PVH_MEMORY_MAP: u64 = 0x6100;
/// Multiboot 1's memory map, followed by its information at [`MULTIBOOT_INFO`], as in QEMU
/// (hw/i386/multiboot.c).
pub const MULTIBOOT_MEMORY_MAP: u64 = 0x9000;
/// Multiboot 1's information structure, in the same page.
pub const MULTIBOOT_INFO: u64 = 0x9500;
/// The same page for a kernel that firmware loads over it. SeaBIOS's stack ends here
/// (`BUILD_STACK_ADDR` in its src/config.h).
pub const MULTIBOOT_MEMORY_MAP_BELOW: u64 = 0x7000;
/// `struct boot_params`: one page. 0x7000 is where a boot sector's stack used to end, so no kernel
/// expects data here.
pub const ZERO_PAGE: u64 = 0x7000;
/// Page-map level 4, one page; the other tables follow it.
pub const PML4: u64 = 0x9000;
/// Page-directory-pointer table, one page.
pub const PDPT: u64 = 0xa000;
/// Four page directories of 2 MiB pages: the identity map of the first 4 GiB.
pub const PAGE_DIRECTORIES: u64 = 0xb000;
/// Number of page directories; each maps 1 GiB.
pub const PAGE_DIRECTORY_COUNT: u64 = 4;
/// A bzImage's real-mode setup code when booted by firmware, followed by its heap and stack up to
/// the command line. QEMU and qboot use the same address.
pub const SETUP: u64 = 0x1_0000;
/// The kernel's command line, NUL-terminated. QEMU and qboot use the same address
/// (`x86_load_linux`, hw/i386/x86-common.c).
pub const CMDLINE: u64 = 0x2_0000;
/// Maximum size of the command line in bytes, including its terminating NUL. Kernels accept 2 KiB
/// (`cmdline_size`, COMMAND_LINE_SIZE).
pub const CMDLINE_CAPACITY: u64 = 0x1_0000;
/// First byte after low RAM: the last KiB below 640 KiB is the extended BIOS data area on every PC.
pub const EBDA: u64 = 0x9_fc00;
/// Where firmware loads option ROMs, and the lowest address of its own copy below 1 MiB: the 128
/// KiB below are video memory. Unused by a direct boot.
pub const OPTION_ROMS: u64 = 0xc_0000;
/// ACPI tables, RSDP first: inside the range that an OS searches by default (ACPI 6.5, 5.2.5.1:
/// 0xe0000-0xfffff).
pub const ACPI_TABLES: u64 = 0xe_0000;
/// First byte after the area for ACPI tables.
pub const ACPI_TABLES_END: u64 = SMBIOS;
/// SMBIOS entry point, then the structures. Without EFI, an OS searches for it from here to 1 MiB,
/// at multiples of 16 (SMBIOS 3.6, 5.2.1; Linux: `dmi_scan_machine`, drivers/firmware/dmi_scan.c);
/// the first address is found soonest.
pub const SMBIOS: u64 = 0xf_0000;
/// First byte after the area for SMBIOS.
pub const SMBIOS_END: u64 = 0xf_ff50;
/// The handler of all BIOS calls where there is no BIOS; at this address, PCs have one that does
/// nothing (SeaBIOS, src/romlayout.S, `entry_iret_official`).
pub const BIOS_CALL: u64 = 0xf_ff53;
/// Where a PC's processor starts, F000:FFF0 in real mode. A kernel that reboots "by BIOS" jumps
/// there.
pub const RESET_VECTOR: u64 = 0xf_fff0;
/// Where the processor starts, in the last 16 bytes of the firmware's ROM (Intel SDM vol. 3,
/// 10.1.4).
pub const HIGH_RESET_VECTOR: u64 = 0xffff_fff0;
/// RAM above the legacy area.
pub const HIGH_RAM: u64 = 0x10_0000;
/// Highest possible end of RAM below 4 GiB; the rest of the first 4 GiB is for devices. QEMU's
/// microvm and pc do the same.
pub const MMIO_HOLE: u64 = 0xc000_0000;
/// First byte after the hole, where RAM continues.
pub const MMIO_HOLE_END: u64 = 0x1_0000_0000;
/// Registers of the first virtio device on a machine without PCI; the others follow. QEMU's microvm
/// uses the same address (include/hw/i386/microvm.h, `VIRTIO_MMIO_BASE`). Below 4 GiB, as SeaBIOS
/// requires.
pub const VIRTIO_MMIO: u32 = 0xfeb0_0000;
/// I/O APIC, at the address of KVM's in-kernel one (arch/x86/kvm/ioapic.h,
/// IOAPIC_DEFAULT_BASE_ADDRESS).
pub const IO_APIC: u32 = 0xfec0_0000;
/// Local APIC at reset (Intel SDM vol. 3, 11.4.1).
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// One page for KVM's identity map, as in QEMU (target/i386/kvm/kvm.c).
pub const KVM_IDENTITY_MAP: u64 = 0xfeff_c000;
/// Three pages for KVM's real-mode task state segment, after the identity map.
pub const KVM_TSS: u64 = 0xfeff_d000;

/// Bytes at the end of RAM below 4 GiB that are reserved for firmware. SeaBIOS stores ACPI and
/// SMBIOS tables there (128 KiB under QEMU, which itself reserves 160 KiB), and int 15h E801
/// reports the rest in units of 64 KiB.
pub const FIRMWARE_RAM: u64 = 256 << 10;
/// Low RAM that firmware leaves to a kernel begins here, after its stack and the page at
/// [`MULTIBOOT_MEMORY_MAP_BELOW`].
pub const FIRMWARE_LOW_RAM: u64 = 0x8000;
/// Low RAM that firmware leaves to a kernel ends here at the latest: SeaBIOS may have drivers' data
/// in the last 64 KiB below the extended BIOS data area.
pub const FIRMWARE_LOW_RAM_END: u64 = 0x9_0000;

const _: () = {
    assert!(GDT + GDT_SIZE <= LOW_PAGES && LOW_PAGES <= PVH_START_INFO);
    assert!(MULTIBOOT_MEMORY_MAP + 0x500 == MULTIBOOT_INFO);
    assert!(MULTIBOOT_MEMORY_MAP_BELOW + PAGE_SIZE <= FIRMWARE_LOW_RAM);
    assert!(PVH_MEMORY_MAP + 0xf00 <= ZERO_PAGE);
    assert!(ZERO_PAGE + PAGE_SIZE <= PML4);
    assert!(PML4 + PAGE_SIZE == PDPT && PDPT + PAGE_SIZE == PAGE_DIRECTORIES);
    assert!(PAGE_DIRECTORIES + PAGE_DIRECTORY_COUNT * PAGE_SIZE <= CMDLINE);
    assert!(SETUP + 0x1_0000 <= CMDLINE, "real mode reaches 64 KiB");
    assert!(CMDLINE + CMDLINE_CAPACITY <= EBDA);
    assert!(EBDA < OPTION_ROMS && OPTION_ROMS < ACPI_TABLES);
    assert!(ACPI_TABLES < ACPI_TABLES_END && ACPI_TABLES_END <= SMBIOS && SMBIOS < SMBIOS_END);
    assert!(SMBIOS.is_multiple_of(16) && SMBIOS_END <= BIOS_CALL && BIOS_CALL + 9 <= RESET_VECTOR);
    assert!(HIGH_RAM < MMIO_HOLE && MMIO_HOLE < IO_APIC as u64);
    assert!(KVM_IDENTITY_MAP + PAGE_SIZE == KVM_TSS);
    assert!((LOCAL_APIC as u64) < KVM_IDENTITY_MAP && KVM_TSS + 3 * PAGE_SIZE <= MMIO_HOLE_END);
    assert!(
        MMIO_HOLE.is_multiple_of(2 << 20),
        "RAM below the hole must be made of whole huge pages"
    );
};

#[cfg(test)]
mod tests {
    /// ARCHITECTURE.md draws the same map, with every address of this file.
    #[test]
    fn the_architecture_page_has_every_address() {
        let page = include_str!("../../ARCHITECTURE.md");
        let digits = |text: &str| text.replace('_', "");
        let addresses: Vec<String> = include_str!("layout.rs")
            .lines()
            .filter(|line| line.starts_with("pub const ") && line.contains("= 0x"))
            .filter(|line| !line.contains("PAGE_SIZE") && !line.contains("CAPACITY"))
            .filter(|line| !line.contains("FIRMWARE_LOW_RAM"))
            .filter(|line| !line.contains("GDT_SIZE") && !line.contains("LOW_PAGES"))
            .filter_map(|line| line.split("= 0x").nth(1)?.split(';').next().map(digits))
            .collect();
        assert!(addresses.len() >= 14, "found {addresses:?}");
        let drawn = digits(page);
        for address in addresses {
            let padded = if address.len() < 8 { format!("{address:0>8}") } else { address };
            assert!(
                drawn.contains(&format!("0x{padded}")),
                "0x{padded} is missing from ARCHITECTURE.md"
            );
        }
    }
}
