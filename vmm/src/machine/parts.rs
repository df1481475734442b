//! What a machine is built from.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use devices::virtio::block::Block;
use firmware::MemoryMap;
use firmware::smbios::SmbiosTables;

use crate::boot::Boot;
use crate::config::VmConfig;
use crate::host::notices::Notifier;
use crate::memory::Ram;

/// What a machine is built from.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// What the user asked for.
    pub config: &'a VmConfig,
    /// Where RAM is.
    pub map: &'a MemoryMap,
    /// The RAM, the target of fw_cfg's DMA.
    pub ram: &'a Ram,
    /// What is booted; fw_cfg passes it to the guest.
    pub boot: &'a Boot,
    /// The SMBIOS tables.
    pub smbios: &'a SmbiosTables,
    /// The guest's disks.
    pub disks: &'a [Arc<Block>],
    /// How devices notify the main thread.
    pub notifier: &'a Notifier,
    /// Once set, no device waits for the host any longer.
    pub stopping: &'a Arc<AtomicBool>,
}
