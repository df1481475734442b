//! DATA SET MANAGEMENT with TRIM (ATA8-ACS, 7.5): ranges that the guest does not need any more.
//! Whether their space is given back is the choice of the disk's owner, and what they read as is
//! not defined.

use vm_memory::Permissions;

use crate::ata::identify::TRIM_BLOCKS;
use crate::ata::{Command, Ended, HostBuffers, Outcome, error};
use crate::disk::{Disk, Ending, SECTOR};

const BLOCK: u32 = 512;
/// Features: TRIM.
const TRIM: u16 = 1;

pub(super) fn trim(disk: &Disk, command: &Command, host: &dyn HostBuffers) -> Outcome {
    let abort = Outcome::Ended(command.failed(error::ABORTED));
    if command.features & TRIM == 0 || command.count == 0 || command.count > TRIM_BLOCKS {
        return abort;
    }
    let len = u32::from(command.count) * BLOCK;
    let Some(buffers) = host.find(len, Permissions::Read) else { return abort };
    let mut bytes = vec![0; buffers.len()];
    buffers.copy_to(&mut bytes);
    for entry in bytes.chunks_exact(8) {
        let mut range = [0; 8];
        range.copy_from_slice(entry);
        let range = u64::from_le_bytes(range);
        // Bits 63:48 are the number of sectors; 0 is an entry that is not used.
        let (sector, count) = (range & 0xffff_ffff_ffff, range >> 48);
        if count == 0 {
            continue;
        }
        let Some(range) = disk.range(sector, count * SECTOR) else {
            return Outcome::Ended(command.failed(error::ID_NOT_FOUND));
        };
        match disk.discard(range, disk.write_cache()) {
            Ending::Done => {}
            Ending::Failed => return abort,
            Ending::Held => return Outcome::Held,
        }
    }
    Outcome::Ended(Ended { transferred: len, ..command.done() })
}
