//! The inputs from which a machine is built.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use devices::disk::Disk;
use devices::virtio::scsi::Scsi;
use firmware::MemoryMap;
use firmware::smbios::SmbiosTables;

use crate::boot::Boot;
use crate::config::VmConfig;
use crate::host::notices::Notifier;
use crate::machine::ahci::AhciDrive;
use crate::machine::cards::CardConfig;
use crate::memory::Ram;

/// The inputs from which a machine is built.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The user's configuration.
    pub config: &'a VmConfig,
    /// The layout of RAM.
    pub map: &'a MemoryMap,
    /// The RAM, which fw_cfg's DMA accesses.
    pub ram: &'a Ram,
    /// What to boot; fw_cfg passes it to the guest.
    pub boot: &'a Boot,
    /// The SMBIOS tables.
    pub smbios: &'a SmbiosTables,
    /// The guest's disks.
    pub disks: &'a [Arc<Disk>],
    /// The controller of its CD drives.
    pub cd_drives: Option<&'a Arc<Scsi>>,
    /// The drives of its SATA controller; `None` without one.
    pub ahci: Option<&'a [AhciDrive]>,
    /// The guest's network cards.
    pub cards: &'a [CardConfig],
    /// Whether KVM can collect writes to consoles, and may.
    pub coalesce: bool,
    /// How devices notify the main thread.
    pub notifier: &'a Notifier,
    /// Once set, devices must not block on the host any longer.
    pub stopping: &'a Arc<AtomicBool>,
}
