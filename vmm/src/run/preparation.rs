//! Before a run: what the user wants is checked and opened, first of the user's files, then of the
//! host.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use devices::disk::Disk;
use devices::virtio::scsi::Scsi;
use firmware::MemoryMap;
use firmware::payload::Payload;
use firmware::smbios::SmbiosTables;

use super::{Remote, Vm};
use crate::boot::{Boot, FlashDrive};
use crate::config::{MachineKind, VmConfig};
use crate::error::{BootError, HostError, StartError};
use crate::host::listener::SocketChecks;
use crate::host::notices::Notifier;
use crate::kvm::cpuid::Cpuid;
use crate::kvm::{self, KvmError};
use crate::machine::ahci::AhciDrive;
use crate::machine::cards::CardConfig;
use crate::machine::outputs::Consoles;
use crate::machine::parts::Parts;
use crate::machine::{Devices, items, virtio};
use crate::memory::Ram;
use crate::monitor::Monitors;
use crate::sandbox::{HostUser, Sandbox};
use crate::timeline::Timeline;

/// The KVM device.
const KVM_DEVICE: &str = "/dev/kvm";

/// What is known before KVM is opened: the user's files are open, everything fits, and the machine
/// can be built.
struct Checked {
    boot: Boot,
    map: MemoryMap,
    smbios: SmbiosTables,
    ram: Arc<Ram>,
    notifier: Notifier,
    /// Warnings for the user, one line each.
    warnings: Vec<String>,
}

impl Checked {
    fn new(
        config: &VmConfig,
        kernel: Option<Payload>,
        flash: Vec<FlashDrive>,
    ) -> Result<Self, StartError> {
        let mut warnings = Vec::new();
        let boot = Boot::open(config, kernel, flash, &mut warnings)?;
        let map = MemoryMap::new(config.memory);
        boot.check(&map, config.machine)?;
        check_address_bits(config, &map)?;
        let smbios =
            SmbiosTables::build(&items::smbios_config(config)?).map_err(BootError::from)?;
        let ram = Arc::new(Ram::new(&map, config.map_initrd)?);
        let notifier = Notifier::new().map_err(HostError::descriptors)?;
        let checked = Self { boot, map, smbios, ram, notifier, warnings };
        checked.build_machine(config)?;
        Ok(checked)
    }

    /// Builds the machine, but for disks and cards, without what it is connected to: the ports of
    /// its devices and the items of fw_cfg are checked by that.
    fn build_machine(&self, config: &VmConfig) -> Result<Devices, StartError> {
        let parts = Parts {
            config,
            map: &self.map,
            ram: &self.ram,
            boot: &self.boot,
            smbios: &self.smbios,
            disks: &[],
            cd_drives: None,
            ahci: None,
            cards: &[],
            coalesce: false,
            notifier: &self.notifier,
            stopping: &Arc::default(),
        };
        Devices::new(&parts, Consoles::check(config, &mut SocketChecks::default())?)
    }
}

/// Checks everything that does not require KVM: that the firmware can be opened, that everything
/// fits into guest memory, that the host has this memory, and that the machine can be built. What is
/// returned are warnings.
///
/// # Errors
/// Anything that would prevent the guest from starting.
pub fn check(
    config: &VmConfig,
    kernel: Option<Payload>,
    flash: Vec<FlashDrive>,
) -> Result<Vec<String>, StartError> {
    Ok(Checked::new(config, kernel, flash)?.warnings)
}

/// Checks that the files and sockets for consoles, gdb and monitors can be opened. Creates nothing
/// and connects to nobody, so that what is refused leaves no trace.
///
/// # Errors
/// Those of the run.
pub fn check_outputs(config: &VmConfig, sockets: &mut SocketChecks) -> Result<(), StartError> {
    Consoles::check(config, sockets)?;
    if let Some(gdb) = &config.gdb {
        sockets.server(&gdb.address).map_err(StartError::gdb(gdb))?;
    }
    Monitors::check(&config.monitors, sockets).map_err(StartError::monitor)
}

/// Checks that the machine has places for these devices, which [`Vm::run`] gives them. `others` are
/// a controller of CD drives, a source of random numbers and virtio-serial devices.
///
/// # Errors
/// It has too few.
pub fn check_places(
    machine: MachineKind,
    disks: usize,
    others: usize,
    cards: usize,
) -> Result<(), StartError> {
    Ok(virtio::check_room(machine, disks, others, cards)?)
}

/// Checks that the guest's CPU can address all of its memory.
fn check_address_bits(config: &VmConfig, map: &MemoryMap) -> Result<(), StartError> {
    let end = map.ram().map(|range| range.end).max().unwrap_or(0);
    let needed = 64 - end.saturating_sub(1).leading_zeros();
    match config.cpu.identity.address_bits.required() {
        Some(bits) if needed > bits.into() => Err(StartError::AddressBits { bits, end, needed }),
        _ => Ok(()),
    }
}

impl<'a> Vm<'a> {
    /// Prepares a guest that boots `kernel`, if any, by the firmware in `flash` if `config` says
    /// so. Checks the user's files first, then the host; changes nothing until everything is known
    /// to fit.
    ///
    /// # Errors
    /// The guest cannot be started.
    pub fn new(
        config: &'a VmConfig,
        kernel: Option<Payload>,
        flash: Vec<FlashDrive>,
    ) -> Result<Self, StartError> {
        let Checked { boot, map, smbios, ram, notifier, mut warnings } =
            Checked::new(config, kernel, flash)?;
        let kvm = kvm::open(Path::new(KVM_DEVICE), config.cpus)?;
        if !boot.flash_chips().is_empty() && !kvm::has_read_only_memory(&kvm) {
            return Err(KvmError::Capability("KVM_CAP_READONLY_MEM").into());
        }
        let cpuid = Cpuid::new(&kvm, &config.cpu, config.cpus)?;
        warnings.extend_from_slice(cpuid.warnings());
        let stop = Arc::default();
        let (disks, cards) = (Vec::new(), Vec::new());
        Ok(Self {
            config,
            boot,
            map,
            smbios,
            kvm,
            ram,
            cpuid,
            stop,
            notifier,
            warnings,
            disks,
            cards,
            cd_drives: None,
            ahci: None,
            sandbox: None,
            user: None,
            advice: None,
            warning: None,
            core_file: None,
        })
    }

    /// Gives the guest disks, in this order.
    #[must_use]
    pub fn with_disks(self, disks: Vec<Arc<Disk>>) -> Self {
        Self { disks, ..self }
    }

    /// Gives the guest network cards, in this order.
    #[must_use]
    pub fn with_cards(self, cards: Vec<CardConfig>) -> Self {
        Self { cards, ..self }
    }

    /// Prints this advice if the guest has printed nothing three seconds after its start.
    #[must_use]
    pub fn with_advice(self, advice: Option<String>) -> Self {
        Self { advice, ..self }
    }

    /// Prints this warning once nothing can prevent the guest from starting.
    #[must_use]
    pub fn with_warning(self, warning: Option<String>) -> Self {
        Self { warning, ..self }
    }

    /// Has the phases of the run recorded. Its exits have to be recorded, too:
    /// [`VmConfig::record_exits`].
    #[must_use]
    pub fn with_timeline(self, timeline: Option<Timeline>) -> Self {
        Self { notifier: self.notifier.with_timeline(timeline), ..self }
    }

    /// Has the guest's memory and registers written to an empty file if the run ends badly.
    #[must_use]
    pub fn with_core_file(self, core_file: Option<File>) -> Self {
        Self { core_file, ..self }
    }

    /// Gives the guest CD drives, as the targets of a controller.
    #[must_use]
    pub fn with_cd_drives(self, cd_drives: Option<Arc<Scsi>>) -> Self {
        Self { cd_drives, ..self }
    }

    /// Gives the guest a SATA controller with these drives.
    #[must_use]
    pub fn with_ahci(self, ahci: Option<Vec<AhciDrive>>) -> Self {
        Self { ahci, ..self }
    }

    /// What another thread can use to end the run.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote(self.notifier.clone())
    }

    /// Confines the process before the guest's first instruction.
    #[must_use]
    pub fn with_sandbox(self, sandbox: Option<Sandbox>) -> Self {
        Self { sandbox, ..self }
    }

    /// Runs the guest as another user of the host.
    #[must_use]
    pub fn with_user(self, user: Option<HostUser>) -> Self {
        Self { user, ..self }
    }

    /// Warnings for the user before the run, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::cpu_model::identity::AddressBits;
    use crate::tests::config;

    #[test]
    fn a_cpu_has_to_address_all_memory() {
        let check = |bits, memory: u64| {
            let mut config = config(MachineKind::Pc);
            config.cpu.identity.address_bits = bits;
            check_address_bits(&config, &MemoryMap::new(memory)).is_ok()
        };
        // RAM from 3 GiB on continues at 4 GiB.
        for (bits, memory, fits) in [
            (32, 3 << 30, true),
            (32, (3 << 30) + 4096, false),
            (33, 7 << 30, true),
            (33, (7 << 30) + 4096, false),
            (36, 7 << 30, true),
        ] {
            assert_eq!(check(AddressBits::Exactly(bits), memory), fits, "{bits} {memory:#x}");
        }
        assert!(check(AddressBits::Host, 8 << 30));
    }
}
