//! A target: one logical unit, with number 0, and what a target does itself.
//!
//! It answers REPORT LUNS, refuses commands for other logical units, and keeps the sense data of
//! the last command for REQUEST SENSE. Drivers get sense data along with a command's status;
//! SeaBIOS does not look at that, and asks for it (`scsi_is_ready`, src/hw/blockcmd.c).

use std::sync::{Mutex, MutexGuard, PoisonError};

use vm_memory::VolatileSlice;

use super::cdb::{Cdb, opcode};
use super::sense::Sense;
use super::{LogicalUnit, Reply};

/// Bytes of standard INQUIRY data.
const INQUIRY_SIZE: usize = 36;
/// The first byte of INQUIRY data for a logical unit that cannot be there: qualifier 3, and an
/// unknown type.
const NO_UNIT: u8 = 0x7f;

/// A target.
#[derive(Debug)]
pub struct Target {
    unit: Box<dyn LogicalUnit>,
    /// Why the last command failed.
    sense: Mutex<Option<Sense>>,
}

impl Target {
    /// A target with this logical unit.
    pub fn new(unit: Box<dyn LogicalUnit>) -> Self {
        Self { unit, sense: Mutex::new(None) }
    }

    /// Executes a command for logical unit `lun`.
    ///
    /// # Errors
    /// The status is CHECK CONDITION, for this reason.
    pub fn execute(&self, lun: u16, cdb: &Cdb) -> Result<Reply, Sense> {
        let before = self.sense().take();
        let reply = match cdb.opcode() {
            opcode::REPORT_LUNS if lun == 0 => report_luns(cdb),
            opcode::REQUEST_SENSE if lun == 0 => Ok(sense_data(cdb, before.unwrap_or_default())),
            _ if lun == 0 => self.unit.execute(cdb),
            opcode::REQUEST_SENSE => Ok(sense_data(cdb, Sense::NO_SUCH_UNIT)),
            opcode::INQUIRY if cdb.byte(1) & 1 == 0 && cdb.byte(2) == 0 => {
                let mut data = vec![0; INQUIRY_SIZE];
                data[0] = NO_UNIT;
                Ok(Reply::data(data, cdb.u16(3).into()))
            }
            _ => Err(Sense::NO_SUCH_UNIT),
        };
        self.keep(reply)
    }

    /// Fills `to` with bytes of the medium, from byte `start` on.
    ///
    /// # Errors
    /// The medium cannot be read.
    pub fn read(&self, to: &[VolatileSlice<'_>], start: u64) -> Result<(), Sense> {
        self.keep(self.unit.read(to, start))
    }

    /// The reset of the logical unit.
    pub fn reset(&self) {
        *self.sense() = None;
        self.unit.reset();
    }

    fn keep<T>(&self, result: Result<T, Sense>) -> Result<T, Sense> {
        result.inspect_err(|sense| *self.sense() = Some(*sense))
    }

    fn sense(&self) -> MutexGuard<'_, Option<Sense>> {
        self.sense.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The list of logical units: number 0 alone (SPC-4, 6.33).
fn report_luns(cdb: &Cdb) -> Result<Reply, Sense> {
    let (select, allocation) = (cdb.byte(2), cdb.u32(6));
    // SELECT REPORT: addressed units, well-known units, all. QEMU treats them alike.
    if select > 2 || allocation < 16 {
        return Err(Sense::INVALID_FIELD);
    }
    let mut data = vec![0; 16];
    data[3] = 8; // bytes of the list: one entry
    Ok(Reply::data(data, allocation))
}

fn sense_data(cdb: &Cdb, sense: Sense) -> Reply {
    let wants_descriptors = cdb.byte(1) & 1 != 0;
    let data = if wants_descriptors { sense.descriptor().to_vec() } else { sense.fixed().to_vec() };
    Reply::data(data, cdb.byte(4).into())
}

#[cfg(test)]
mod tests;
