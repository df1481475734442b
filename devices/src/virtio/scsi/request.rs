//! The request queue: a command and its data (virtio 1.2, 5.6.6.1).

use std::sync::atomic::{AtomicU32, Ordering};

use vm_memory::{GuestMemoryMmap, Permissions};

use super::{Response, Scsi};
use crate::buffers::Buffers;
use crate::scsi::Reply;
use crate::scsi::cdb::Cdb;
use crate::scsi::sense::Sense;
use crate::scsi::target::Target;
use crate::virtio::chain::Chain;

/// Bytes of `struct virtio_scsi_req_cmd` before the command: address and tag, 64 bits each, and
/// attribute, priority and CRN, 8 bits each.
const HEADER_SIZE: usize = 19;
/// Bytes of `struct virtio_scsi_resp_cmd` before the sense data: their length and the residual
/// count, 32 bits each, the status qualifier, 16 bits, status and response, 8 bits each.
const RESPONSE_SIZE: usize = 12;
/// Statuses of a command (SAM-5, 5.3.1).
const GOOD: u8 = 0;
const CHECK_CONDITION: u8 = 2;

/// What becomes of a command.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// GOOD, with as many bytes of data.
    Good(usize),
    /// CHECK CONDITION.
    Failed(Sense),
    /// It did not reach a logical unit.
    Undelivered(Response),
}

impl Scsi {
    /// Serves a request, and returns how many bytes it wrote. `None`: it has no whole header or no
    /// room for a response, or is not in memory. Drivers may divide the bytes among buffers as they
    /// like (VIRTIO_F_ANY_LAYOUT is part of version 1).
    pub(super) fn request(&self, memory: &GuestMemoryMmap, chain: &Chain) -> Option<usize> {
        let size = |field: &AtomicU32| usize::try_from(field.load(Ordering::SeqCst)).ok();
        let (cdb_size, sense_size) = (size(&self.cdb_size)?, size(&self.sense_size)?);
        let mut header = Buffers::new(memory, chain.readable(), Permissions::Read)?;
        let from_driver = header.split_off(HEADER_SIZE + cdb_size)?;
        let mut response = Buffers::new(memory, chain.writable(), Permissions::Write)?;
        let to_driver = response.split_off(RESPONSE_SIZE + sense_size)?;
        let room = to_driver.len();

        let mut bytes = [0; HEADER_SIZE + crate::scsi::cdb::SIZE];
        let count = header.copy_to(&mut bytes);
        let (fields, cdb) = bytes[..count].split_at(HEADER_SIZE);
        let [a0, a1, a2, a3, a4, a5, a6, a7, ..] = *fields else { return None };
        let ended = match self.find([a0, a1, a2, a3, a4, a5, a6, a7]) {
            // The feature is not offered.
            _ if !from_driver.is_empty() && room > 0 => Ended::Undelivered(Response::Failure),
            None => Ended::Undelivered(Response::BadTarget),
            Some((target, lun)) => execute(target, lun, &Cdb::new(cdb), to_driver),
        };
        Some(answer(ended, &response, room))
    }
}

/// Executes a command, with its data in `to_driver`.
fn execute(target: &Target, lun: u16, cdb: &Cdb, mut to_driver: Buffers<'_>) -> Ended {
    match target.execute(lun, cdb) {
        Err(sense) => Ended::Failed(sense),
        Ok(Reply::Data(data)) => {
            let count = data.len().min(to_driver.len());
            Ended::Good(to_driver.copy_from(&data[..count]))
        }
        Ok(Reply::Medium(range)) => {
            let wanted = usize::try_from(range.end - range.start);
            let Some(wanted) = wanted.ok().filter(|wanted| *wanted <= to_driver.len()) else {
                return Ended::Undelivered(Response::Overrun);
            };
            to_driver.split_off(wanted);
            match target.read(to_driver.slices(), range.start) {
                Ok(()) => Ended::Good(wanted),
                Err(sense) => Ended::Failed(sense),
            }
        }
    }
}

/// Writes the response, and returns how many bytes of it and of the data were written. There is
/// room for `room` bytes of data.
fn answer(ended: Ended, response: &Buffers<'_>, room: usize) -> usize {
    let (count, status, code, sense) = match ended {
        Ended::Good(count) => (count, GOOD, Response::Ok, None),
        Ended::Failed(sense) => (0, CHECK_CONDITION, Response::Ok, Some(sense.fixed())),
        Ended::Undelivered(code) => (0, GOOD, code, None),
    };
    // The room for sense data is filled, as the data follows it: at most 64 KiB.
    let mut bytes = vec![0; response.len()];
    let residual = u32::try_from(room - count).unwrap_or(u32::MAX);
    bytes[4..8].copy_from_slice(&residual.to_le_bytes());
    bytes[10..12].copy_from_slice(&[status, code.code()]);
    if let Some(sense) = sense {
        let kept = sense.len().min(response.len() - RESPONSE_SIZE);
        bytes[0..4].copy_from_slice(&u32::try_from(kept).unwrap_or_default().to_le_bytes());
        bytes[RESPONSE_SIZE..RESPONSE_SIZE + kept].copy_from_slice(&sense[..kept]);
    }
    response.copy_from(&bytes) + count
}
