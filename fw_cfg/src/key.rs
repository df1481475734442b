//! Keys: the 16-bit selectors of items.
//!
//! Source: docs/specs/fw_cfg.rst and include/standard-headers/linux/qemu_fw_cfg.h in QEMU. Integers
//! are little-endian unless stated otherwise.

/// "QEMU", 4 bytes.
pub const SIGNATURE: u16 = 0x00;
/// u32: feature bits, [`FEATURE_TRADITIONAL`] and [`FEATURE_DMA`].
pub const ID: u16 = 0x01;
/// The machine's UUID: 16 bytes, in the order of its textual form.
pub const UUID: u16 = 0x02;
/// u64: total RAM in bytes.
pub const RAM_SIZE: u16 = 0x03;
/// u16: not 0 if there is no screen. SeaBIOS then uses COM1.
pub const NOGRAPHIC: u16 = 0x04;
/// u16: number of CPUs at power-on. SeaBIOS waits until it has counted as many.
pub const NB_CPUS: u16 = 0x05;
/// Not used on x86.
pub const MACHINE_ID: u16 = 0x06;
/// u32: load address of the protected-mode kernel.
pub const KERNEL_ADDR: u16 = 0x07;
/// u32: length of [`KERNEL_DATA`] in bytes.
pub const KERNEL_SIZE: u16 = 0x08;
/// Not used on x86.
pub const KERNEL_CMDLINE: u16 = 0x09;
/// u32: load address of the initrd.
pub const INITRD_ADDR: u16 = 0x0a;
/// u32: length of [`INITRD_DATA`] in bytes.
pub const INITRD_SIZE: u16 = 0x0b;
/// Not used on x86.
pub const BOOT_DEVICE: u16 = 0x0c;
/// u64s: number of NUMA nodes, node of each CPU, bytes of memory of each node.
pub const NUMA: u16 = 0x0d;
/// u16: not 0 if the firmware should show its boot menu.
pub const BOOT_MENU: u16 = 0x0e;
/// u16: the highest possible local APIC ID plus one.
pub const MAX_CPUS: u16 = 0x0f;
/// u32: entry point of a PVH or multiboot kernel.
pub const KERNEL_ENTRY: u16 = 0x10;
/// The protected-mode kernel.
pub const KERNEL_DATA: u16 = 0x11;
/// The initrd.
pub const INITRD_DATA: u16 = 0x12;
/// u32: load address of the command line.
pub const CMDLINE_ADDR: u16 = 0x13;
/// u32: length of [`CMDLINE_DATA`] in bytes, including the terminator.
pub const CMDLINE_SIZE: u16 = 0x14;
/// The command line, zero-terminated.
pub const CMDLINE_DATA: u16 = 0x15;
/// u32: load address of the real-mode setup code.
pub const SETUP_ADDR: u16 = 0x16;
/// u32: length of [`SETUP_DATA`] in bytes.
pub const SETUP_SIZE: u16 = 0x17;
/// The real-mode setup code, with the setup header filled in.
pub const SETUP_DATA: u16 = 0x18;
/// The file directory, big-endian. [`crate::Items`] builds it.
pub const FILE_DIR: u16 = 0x19;
/// The key of the first file.
pub const FILE_FIRST: u16 = 0x20;

/// Key bit that once requested a write by port. Ignored.
pub const WRITE_CHANNEL: u16 = 0x4000;
/// Key bit of the architecture's own table.
pub const ARCH_LOCAL: u16 = 0x8000;
/// The bits that index an item in its table.
pub const ENTRY_MASK: u16 = !(WRITE_CHANNEL | ARCH_LOCAL);

/// x86: u16 count, then {u16 length, table} each: ACPI tables supplied by the user.
pub const ACPI_TABLES: u16 = ARCH_LOCAL;
/// x86: u16 count, then entries: SMBIOS fields and tables in the format before QEMU 2.1.
pub const SMBIOS_ENTRIES: u16 = ARCH_LOCAL | 1;
/// x86: u32: 1 if ISA interrupt 0 is wired to input 2 of the I/O APIC.
pub const IRQ0_OVERRIDE: u16 = ARCH_LOCAL | 2;
/// x86: u32 count, then entries: reserved ranges, from before `etc/e820`.
pub const E820_TABLE: u16 = ARCH_LOCAL | 3;
/// x86: the machine's HPETs.
pub const HPET: u16 = ARCH_LOCAL | 4;

/// Bit of [`ID`]: selector and data register. Always set.
pub const FEATURE_TRADITIONAL: u32 = 1;
/// Bit of [`ID`]: the DMA interface.
pub const FEATURE_DMA: u32 = 2;

/// QEMU's name for a well-known key, without the prefix `FW_CFG_`. `None` if it has no name.
pub fn name(key: u16) -> Option<&'static str> {
    Some(match key & !WRITE_CHANNEL {
        SIGNATURE => "SIGNATURE",
        ID => "ID",
        UUID => "UUID",
        RAM_SIZE => "RAM_SIZE",
        NOGRAPHIC => "NOGRAPHIC",
        NB_CPUS => "NB_CPUS",
        MACHINE_ID => "MACHINE_ID",
        KERNEL_ADDR => "KERNEL_ADDR",
        KERNEL_SIZE => "KERNEL_SIZE",
        KERNEL_CMDLINE => "KERNEL_CMDLINE",
        INITRD_ADDR => "INITRD_ADDR",
        INITRD_SIZE => "INITRD_SIZE",
        BOOT_DEVICE => "BOOT_DEVICE",
        NUMA => "NUMA",
        BOOT_MENU => "BOOT_MENU",
        MAX_CPUS => "MAX_CPUS",
        KERNEL_ENTRY => "KERNEL_ENTRY",
        KERNEL_DATA => "KERNEL_DATA",
        INITRD_DATA => "INITRD_DATA",
        CMDLINE_ADDR => "CMDLINE_ADDR",
        CMDLINE_SIZE => "CMDLINE_SIZE",
        CMDLINE_DATA => "CMDLINE_DATA",
        SETUP_ADDR => "SETUP_ADDR",
        SETUP_SIZE => "SETUP_SIZE",
        SETUP_DATA => "SETUP_DATA",
        FILE_DIR => "FILE_DIR",
        ACPI_TABLES => "ACPI_TABLES",
        SMBIOS_ENTRIES => "SMBIOS_ENTRIES",
        IRQ0_OVERRIDE => "IRQ0_OVERRIDE",
        E820_TABLE => "E820_TABLE",
        HPET => "HPET",
        _ => return None,
    })
}
