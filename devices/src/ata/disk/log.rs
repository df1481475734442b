//! Logs (ATA8-ACS, 7.29 and annex A): the directory, and the queued command that failed, which
//! drivers read to find out which one it was (`ata_eh_read_log_10h`, drivers/ata/libata-sata.c in
//! Linux).

use crate::ata::{Command, Ended, Protocol, Registers, status};

const SIZE: usize = 512;
/// Log addresses.
const DIRECTORY: u8 = 0x00;
const QUEUED_ERROR: u8 = 0x10;
/// First byte of the log of a queued error: no queued command has failed.
const NOT_QUEUED: u8 = 0x80;

/// A queued command that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueuedError {
    tag: u8,
    registers: Registers,
}

impl QueuedError {
    /// `None`: it did not fail, or was not queued.
    pub fn of(ended: &Ended) -> Option<Self> {
        let Protocol::Queued(tag) = ended.protocol else { return None };
        let registers = ended.registers;
        (registers.status & status::ERROR != 0).then_some(Self { tag, registers })
    }
}

/// The first page of the log that a command names; `None` if there is no such log.
pub(super) fn page(command: &Command, failed: Option<QueuedError>) -> Option<[u8; SIZE]> {
    let mut page = [0; SIZE];
    match command.lba.to_le_bytes()[0] {
        DIRECTORY => {
            page[0] = 1; // version
            page[2 * usize::from(QUEUED_ERROR)] = 1; // pages
        }
        QUEUED_ERROR => {
            page[0] = NOT_QUEUED;
            if let Some(QueuedError { tag, registers }) = failed {
                let Registers { status, error, device, .. } = registers;
                let [lba0, lba1, lba2, lba3, lba4, lba5, ..] = registers.lba.to_le_bytes();
                page[0] = tag;
                page[2..8].copy_from_slice(&[status, error, lba0, lba1, lba2, device]);
                page[8..11].copy_from_slice(&[lba3, lba4, lba5]);
                page[12..14].copy_from_slice(&registers.count.to_le_bytes());
            }
            // All bytes add up to 0.
            page[SIZE - 1] = page.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        }
        _ => return None,
    }
    Some(page)
}
