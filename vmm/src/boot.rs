//! What is booted: a kernel that chukka loads itself, or firmware, which fetches a kernel through
//! fw_cfg.

use std::path::Path;

use firmware::acpi::AcpiTables;
use firmware::payload::Payload;
use firmware::rom::{BiosImage, OptionRom};
use firmware::smbios::SmbiosTables;
use firmware::{BootState, MemoryMap, builtin, layout, linuxboot, option_rom};
use fw_cfg::Items;
use fw_cfg::x86::rom_path;
use vm_memory::{Bytes, GuestAddress};

use crate::config::{FirmwareConfig, MachineKind, VmConfig};
use crate::error::BootError;
use crate::memory::Ram;
use crate::memory::rom::Rom;

/// What is booted, with all its files open.
#[derive(Debug)]
pub enum Boot {
    /// chukka loads the kernel and enters it.
    Direct(Payload),
    /// Firmware starts at the reset vector.
    Firmware(FirmwareBoot),
}

/// Firmware, and what it boots.
#[derive(Debug)]
pub struct FirmwareBoot {
    bios: BiosImage,
    rom: Rom,
    /// The kernel that an option ROM loads, or our own firmware itself.
    kernel: Option<Payload>,
    /// Whether that is ours.
    own_option_rom: bool,
    /// The user's option ROMs and their places in the boot order.
    option_roms: Vec<(OptionRom, Option<i32>)>,
}

impl Boot {
    /// Opens the firmware that `config` names, if any, to boot `kernel`. Nothing is loaded yet.
    /// What the user should know is added to `warnings`.
    ///
    /// # Errors
    /// The firmware cannot be opened, or is not a firmware image.
    pub fn open(
        config: &VmConfig,
        kernel: Option<Payload>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, BootError> {
        match (&config.firmware, kernel) {
            (Some(firmware), kernel) => {
                FirmwareBoot::open(firmware, kernel, warnings).map(Self::Firmware)
            }
            (None, Some(kernel)) => Ok(Self::Direct(kernel)),
            (None, None) => Err(BootError::Nothing),
        }
    }

    /// Whether everything fits into the machine.
    ///
    /// # Errors
    /// Something does not.
    pub fn check(&self, map: &MemoryMap, machine: MachineKind) -> Result<(), BootError> {
        match self {
            Self::Direct(boot) => Ok(boot.check(map)?),
            Self::Firmware(boot) => boot.publish(&mut Items::new(), map, machine).map(drop),
        }
    }

    /// The firmware's ROM, if there is firmware.
    pub fn rom(&self) -> Option<&Rom> {
        match self {
            Self::Direct(_) => None,
            Self::Firmware(boot) => Some(&boot.rom),
        }
    }

    /// Whether the firmware is to show what it does where the user sees it: there is nothing yet
    /// that would.
    pub fn firmware_talks(&self) -> bool {
        matches!(self, Self::Firmware(boot) if boot.kernel.is_none())
    }

    /// Whether firmware readies CPU `cpu` for the kernel: its MTRRs and its local APIC. Our own
    /// wakes none but the first.
    pub fn firmware_readies(&self, cpu: u8) -> bool {
        match self {
            Self::Direct(_) => false,
            Self::Firmware(boot) => cpu == 0 || !boot.bios.is_builtin(),
        }
    }

    /// Whether the firmware is our own, which says by a file of fw_cfg what keeps it from booting.
    pub fn is_builtin(&self) -> bool {
        matches!(self, Self::Firmware(boot) if boot.bios.is_builtin())
    }

    /// Adds the kernel and the option ROMs to `items`, and says in which order to boot from them.
    ///
    /// # Errors
    /// Something does not fit, or has the name of something else.
    pub fn publish(
        &self,
        items: &mut Items,
        map: &MemoryMap,
        machine: MachineKind,
    ) -> Result<Vec<String>, BootError> {
        match self {
            Self::Direct(_) => Ok(Vec::new()),
            Self::Firmware(boot) => boot.publish(items, map, machine),
        }
    }

    /// Loads what the first instruction needs, and says how the boot CPU starts. Can be run again:
    /// that is a reboot.
    ///
    /// # Errors
    /// A file can no longer be read.
    pub fn load(
        &self,
        ram: &Ram,
        map: &MemoryMap,
        acpi: &AcpiTables,
        smbios: &SmbiosTables,
    ) -> Result<BootState, BootError> {
        match self {
            Self::Direct(boot) => Ok(boot.load(ram.engine(), map, acpi, smbios)?),
            Self::Firmware(boot) => {
                boot.rom.fill(boot.bios.bytes()).map_err(BootError::Rom)?;
                boot.bios.place_low(ram.memory()).map_err(BootError::Rom)?;
                // Linux reboots "by BIOS" where ACPI is hardware-reduced and there is no EFI: it
                // jumps to the low reset vector.
                if !boot.bios.restarts_below_1_mib() {
                    let at = GuestAddress(layout::RESET_VECTOR);
                    let written = ram.memory().write_slice(&acpi.reset_code(), at);
                    written.map_err(BootError::Rom)?;
                }
                Ok(BootState::reset_vector())
            }
        }
    }
}

impl FirmwareBoot {
    fn open(
        config: &FirmwareConfig,
        kernel: Option<Payload>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, BootError> {
        let bios = BiosImage::open(&config.bios, &config.search)?;
        if bios.is_builtin() && !config.option_roms.is_empty() {
            warnings.push(format!("-bios {} runs no option ROMs", builtin::NAME));
        }
        let rom =
            Rom::new(bios.high_address(), bios.bytes().len()).map_err(BootError::RomMemory)?;
        let open = |path: &Path| OptionRom::open(path.as_os_str(), &config.search);
        let mut option_roms = Vec::new();
        for wanted in &config.option_roms {
            let opened = open(&wanted.path)?;
            warnings.extend(opened.warning());
            option_roms.push((opened, wanted.bootindex));
        }
        let own_option_rom = config.own_option_rom;
        Ok(Self { bios, rom, kernel, own_option_rom, option_roms })
    }

    fn publish(
        &self,
        items: &mut Items,
        map: &MemoryMap,
        machine: MachineKind,
    ) -> Result<Vec<String>, BootError> {
        let mut order = Vec::new();
        if let Some(boot) = &self.kernel {
            let (initrd, reserved) = (boot.initrd.as_ref(), reserved_for_acpi(machine));
            linuxboot::publish(items, &boot.kernel, initrd, &boot.cmdline, map, reserved)?;
        }
        if self.kernel.is_some() && self.own_option_rom && !self.bios.is_builtin() {
            items.add_file(option_rom::NAME, option_rom::IMAGE)?;
            order.push(rom_path(option_rom::NAME));
        }
        let mut indexed = Vec::new();
        for (rom, index) in &self.option_roms {
            rom.publish(items)?;
            indexed.extend(index.map(|index| (index, rom_path(&rom.fw_cfg_name()))));
        }
        indexed.sort_by_key(|(index, _)| *index);
        order.extend(indexed.into_iter().map(|(_, path)| path));
        Ok(order)
    }
}

/// Bytes at the end of RAM below 4 GiB that QEMU keeps the initrd away from, for its firmware's
/// ACPI tables: `acpi_data_size` of `pc_i440fx_machine_options` (hw/i386/pc.c), none on microvm.
/// Our option ROM moves the initrd anyway; others may not.
fn reserved_for_acpi(machine: MachineKind) -> u64 {
    match machine {
        MachineKind::Microvm => 0,
        MachineKind::Pc => 0x2_8000,
    }
}
