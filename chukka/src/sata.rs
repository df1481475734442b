//! The drives of the guest's SATA controller: its disks and CDs as ATA devices.

use std::sync::Arc;

use devices::ata::AtaDevice;
use devices::ata::disk::AtaDisk;
use devices::ata::packet::AtaCd;
use devices::disk::Disk;
use vmm::machine::ahci::AhciDrive;

use crate::cdrom::{self, CdError};
use crate::request::{DiskConfig, Request};

/// The drives, with the disks of the request that are open already. `None`: there is to be no
/// controller.
///
/// # Errors
/// A CD cannot be used, or a process writes to it.
pub fn drives(request: &Request, disks: &[Arc<Disk>]) -> Result<Option<Vec<AhciDrive>>, CdError> {
    let Some(cds) = &request.sata_cds else { return Ok(None) };
    let targets = cdrom::open(Some(cds), &request.cd_net)?.unwrap_or_default();
    let disks = request.disks.iter().zip(disks).filter_map(|(config, disk)| {
        drive(config, |serial| Arc::new(AtaDisk::new(Arc::clone(disk), serial)))
    });
    let cds = cds.iter().zip(targets).filter_map(|(config, target)| {
        drive(config, |serial| Arc::new(AtaCd::new(target, serial)))
    });
    Ok(Some(disks.chain(cds).collect()))
}

/// The disks that are not on the controller.
#[must_use]
pub fn virtio_disks(request: &Request, disks: &[Arc<Disk>]) -> Vec<Arc<Disk>> {
    let all = request.disks.iter().zip(disks);
    let virtio = all.filter(|(config, _)| config.sata_port.is_none());
    virtio.map(|(_, disk)| Arc::clone(disk)).collect()
}

/// A drive with a serial number: the user's, or the one that QEMU's q35 gives a drive at its port.
fn drive(
    config: &DiskConfig,
    device: impl FnOnce(String) -> Arc<dyn AtaDevice>,
) -> Option<AhciDrive> {
    let port = config.sata_port?;
    let serial = match &*config.serial {
        "" => format!("QM{:05}", 2 * u32::from(port) + 1),
        serial => serial.to_owned(),
    };
    Some(AhciDrive { port, device: device(serial), boot_index: config.boot_index })
}
