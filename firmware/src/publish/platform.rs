//! The fw_cfg items that describe the machine to firmware: well-known keys, memory map and boot
//! order.
//!
//! Widths are those of QEMU 7.2, all little-endian (`fw_cfg_arch_create`, hw/i386/fw_cfg.c;
//! `microvm_memory_init`, hw/i386/microvm.c; `fw_cfg_common_realize`, hw/nvram/fw_cfg.c). Bytes
//! beyond an item's end read as zeros, so to the guest an item of zeros is the same as a missing
//! item. A file is listed in the directory even if it is empty, and costs SeaBIOS one operation
//! (`qemu_cfg_init`, src/fw/paravirt.c). So, unlike in QEMU, files without content are omitted.

use fw_cfg::{Items, key, x86};

use super::error::PublishError;
use crate::layout;
use crate::roms::files::OptionRom;
use crate::tables::memory_map::{E820Type, MemoryMap};

/// The machine's description in fw_cfg. The rest is in the ACPI and SMBIOS tables.
#[derive(Clone, Debug)]
pub struct PlatformConfig {
    /// Number of CPUs, with local APIC IDs from 0. All of them are present at startup.
    pub cpus: u8,
    /// The layout of RAM.
    pub map: MemoryMap,
    /// The machine's UUID, in the byte order of its text form.
    pub uuid: Option<[u8; 16]>,
    /// Whether SeaBIOS should show its screen on COM1, unless `etc/sercon-port` exists. This costs
    /// an exit per character.
    pub nographic: bool,
    /// Boot options.
    pub boot: BootOptions,
    /// Firmware paths to boot from, in order of preference. [`x86::rom_path`] returns those of
    /// option ROMs.
    pub boot_order: Vec<String>,
}

/// QEMU's `-boot` options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootOptions {
    /// Offer a boot menu. SeaBIOS then waits for a key, for 2.5 seconds unless
    /// [`BootOptions::splash_time`] is set.
    pub menu: bool,
    /// How long to show the menu, in milliseconds.
    pub splash_time: Option<u16>,
    /// How long to wait before retrying if nothing is bootable, in milliseconds. `None` (QEMU's -1)
    /// means never.
    pub reboot_timeout: Option<u16>,
    /// Boot only from entries of the boot order.
    pub strict: bool,
}

impl PlatformConfig {
    /// Adds the items.
    ///
    /// | key or file | type | |
    /// |---|---|---|
    /// | `UUID` | 16 bytes | zeros if there is none; not byte-swapped as in SMBIOS |
    /// | `RAM_SIZE` | u64 | total RAM in bytes |
    /// | `NOGRAPHIC` | u16 | 0 or 1 |
    /// | `NB_CPUS` | u16 | SeaBIOS waits until that many have started |
    /// | `MAX_CPUS` | u16 | highest local APIC ID plus 1 |
    /// | `NUMA` | u64 each | 0 nodes, then the node of each CPU, 0 |
    /// | `BOOT_MENU` | u16 | 0 or 1 |
    /// | `ACPI_TABLES` | u16 | tables in the format that preceded `etc/acpi/tables`: 0, the item is
    /// empty |
    /// | `IRQ0_OVERRIDE` | u32 | 0: the timer is at input 0 of the I/O APIC, as the MADT says; in QEMU 1: input 2 |
    /// | `etc/e820` | 20 bytes each | [`firmware_e820`] |
    /// | `etc/boot-fail-wait` | u32 | milliseconds, all ones for never |
    /// | `etc/boot-menu-wait` | u16 | milliseconds; only if given |
    /// | `bootorder` | text | lines, NUL-terminated; only if there are any; `HALT` is last if
    /// strict |
    ///
    /// # Errors
    /// One of the items already exists, or the directory is full.
    pub fn publish(&self, items: &mut Items) -> Result<(), PublishError> {
        let cpus = u16::from(self.cpus);
        items.set(key::UUID, self.uuid.unwrap_or_default().to_vec())?;
        items.set(key::RAM_SIZE, self.map.size())?;
        items.set(key::NOGRAPHIC, u16::from(self.nographic))?;
        items.set(key::NB_CPUS, cpus)?;
        items.set(key::MAX_CPUS, cpus)?;
        items.set(key::NUMA, vec![0; size_of::<u64>() * (1 + usize::from(cpus))])?;
        items.set(key::BOOT_MENU, u16::from(self.boot.menu))?;
        items.set(key::ACPI_TABLES, Vec::new())?;
        items.set(key::IRQ0_OVERRIDE, 0u32)?;
        items.add_file(x86::E820_FILE, firmware_e820(&self.map))?;
        let retry = self.boot.reboot_timeout.map_or(x86::NEVER, u32::from);
        items.add_file(x86::BOOT_FAIL_WAIT_FILE, retry)?;
        if let Some(wait) = self.boot.splash_time {
            items.add_file(x86::BOOT_MENU_WAIT_FILE, wait)?;
        }
        if !self.boot_order.is_empty() {
            let paths = self.boot_order.iter().map(String::as_str);
            items.add_file(x86::BOOTORDER_FILE, x86::bootorder(paths, self.boot.strict))?;
        }
        Ok(())
    }
}

/// The memory map for firmware, as the bytes of `etc/e820`.
///
/// Firmware builds its own map from this one and its own reservations. So RAM is complete here,
/// including the legacy area. The four pages that KVM needs come first, as in QEMU with KVM
/// (`kvm_arch_init`, target/i386/kvm/kvm.c, runs before RAM is added).
pub fn firmware_e820(map: &MemoryMap) -> Vec<u8> {
    let end = layout::KVM_TSS + 3 * layout::PAGE_SIZE;
    let kvm = (layout::KVM_IDENTITY_MAP, end - layout::KVM_IDENTITY_MAP, E820Type::Reserved as u32);
    let ram = map.ram().map(|range| (range.start, range.end - range.start, E820Type::Ram as u32));
    x86::e820(std::iter::once(kvm).chain(ram))
}

impl OptionRom {
    /// Adds the ROM as a file.
    ///
    /// # Errors
    /// Its name is too long or already taken, or the directory is full.
    pub fn publish(&self, items: &mut Items) -> Result<(), PublishError> {
        items.add_file(&self.fw_cfg_name(), self.bytes().to_vec())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
