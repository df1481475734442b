//! A CD-ROM drive with a disc (SBC-3, MMC-6). What it tells of itself is in `inquiry`, what it
//! tells of the disc and the tray in `multimedia` and `mode`.
//!
//! It reads discs only: the blocks of 2048 bytes that are on every CD and DVD with data, no audio.
//! The guest can open and close the tray, and lock it. Nobody can put another disc in; so, as in
//! QEMU, closing the tray is no change of the disc (unit attention, or event), after which Linux
//! refuses to read until the next open.

mod inquiry;
mod mode;
mod multimedia;

use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vm_memory::VolatileSlice;

use super::cdb::{Cdb, opcode};
use super::sense::Sense;
use super::{LogicalUnit, Reply};

const BLOCK_BYTES: u16 = 2048;
/// Bytes of a block.
pub const BLOCK: u64 = BLOCK_BYTES as u64;

/// Where a disc's bytes are.
pub trait Disc: Debug + Send + Sync {
    /// Bytes. What is missing of the last block reads as zeros.
    fn len(&self) -> u64;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `to` with the bytes from `offset` on, all of which are within [`Disc::len`].
    ///
    /// # Errors
    /// Not all could be read.
    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;
}

/// What the guest can change.
#[derive(Debug, Default)]
struct State {
    is_open: bool,
    is_locked: bool,
}

/// A drive.
#[derive(Debug)]
pub struct CdRom {
    disc: Box<dyn Disc>,
    serial: String,
    state: Mutex<State>,
}

impl CdRom {
    /// A closed drive with this disc in it. At most 36 bytes of the serial number are shown.
    pub fn new(disc: Box<dyn Disc>, serial: String) -> Self {
        Self { disc, serial, state: Mutex::default() }
    }

    /// Bytes of the disc.
    pub fn size(&self) -> u64 {
        self.disc.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks of the disc, the last of which may be partly missing.
    fn blocks(&self) -> u64 {
        self.disc.len().div_ceil(BLOCK)
    }

    /// The number of the last block.
    fn last_block(&self) -> Result<u64, Sense> {
        self.blocks().checked_sub(1).ok_or(Sense::NO_MEDIUM)
    }

    /// READ CAPACITY(10) (SBC-3, 5.15).
    fn capacity_10(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        let is_partial = cdb.byte(8) & 1 != 0;
        if cdb.u32(2) != 0 && !is_partial {
            return Err(Sense::INVALID_FIELD);
        }
        let last = u32::try_from(self.last_block()?).unwrap_or(u32::MAX);
        Ok(Reply::Data([last.to_be_bytes(), block_size()].concat()))
    }

    /// READ CAPACITY(16) (SBC-3, 5.16).
    fn capacity_16(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        let (action, is_partial) = (cdb.byte(1) & 0x1f, cdb.byte(14) & 1 != 0);
        if action != 0x10 || (cdb.u64(2) != 0 && !is_partial) {
            return Err(Sense::INVALID_FIELD);
        }
        let mut data = [&self.last_block()?.to_be_bytes()[..], &block_size()].concat();
        data.resize(32, 0);
        Ok(Reply::data(data, cdb.u32(10)))
    }

    /// The bytes of `count` blocks from `first` on.
    fn blocks_at(&self, first: u64, count: u32) -> Result<Reply, Sense> {
        let end = first.checked_add(count.into()).ok_or(Sense::LBA_OUT_OF_RANGE)?;
        if end > self.blocks() {
            return Err(Sense::LBA_OUT_OF_RANGE);
        }
        // No overflow: the disc has at most 2⁶⁴ − 1 bytes, and the end is rounded up from there.
        Ok(Reply::Medium(first.saturating_mul(BLOCK)..end.saturating_mul(BLOCK)))
    }

    /// START STOP UNIT: opens and closes the tray (SBC-3, 5.25; MMC-6, 6.42).
    fn start_stop(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        let (has_power_condition, loads_or_ejects, starts) =
            (cdb.byte(4) & 0xf0 != 0, cdb.byte(4) & 2 != 0, cdb.byte(4) & 1 != 0);
        if has_power_condition || !loads_or_ejects {
            return Ok(Reply::NONE);
        }
        let mut state = self.state();
        if !starts && !state.is_open && state.is_locked {
            return Err(Sense::REMOVAL_PREVENTED);
        }
        state.is_open = !starts;
        Ok(Reply::NONE)
    }

    /// Commands that need no disc.
    fn execute_anyway(&self, cdb: &Cdb) -> Option<Result<Reply, Sense>> {
        Some(match cdb.opcode() {
            opcode::INQUIRY => inquiry::inquiry(cdb, &self.serial),
            opcode::GET_CONFIGURATION => Ok(self.configuration(cdb)),
            opcode::GET_EVENT_STATUS_NOTIFICATION => self.events(cdb),
            opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => self.mode_sense(cdb),
            opcode::MECHANISM_STATUS => Ok(self.mechanism_status(cdb)),
            opcode::START_STOP_UNIT => self.start_stop(cdb),
            opcode::PREVENT_ALLOW_MEDIUM_REMOVAL => {
                self.state().is_locked = cdb.byte(4) & 1 != 0;
                Ok(Reply::NONE)
            }
            _ => return None,
        })
    }

    /// Commands that need a disc.
    fn execute_on_disc(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        match cdb.opcode() {
            opcode::TEST_UNIT_READY
            | opcode::SYNCHRONIZE_CACHE_10
            | opcode::SYNCHRONIZE_CACHE_16 => Ok(Reply::NONE),
            opcode::READ_CAPACITY_10 => self.capacity_10(cdb),
            opcode::SERVICE_ACTION_IN_16 => self.capacity_16(cdb),
            opcode::READ_6 => {
                let count = match cdb.byte(4) {
                    0 => 256,
                    count => count.into(),
                };
                self.blocks_at((cdb.u32(0) & 0x1f_ffff).into(), count)
            }
            opcode::READ_10 => self.blocks_at(cdb.u32(2).into(), cdb.u16(7).into()),
            opcode::READ_12 => self.blocks_at(cdb.u32(2).into(), cdb.u32(6)),
            opcode::READ_16 => self.blocks_at(cdb.u64(2), cdb.u32(10)),
            opcode::READ_TOC => self.toc(cdb),
            opcode::READ_DISC_INFORMATION => multimedia::disc_information(cdb),
            opcode::WRITE_6 | opcode::WRITE_10 | opcode::WRITE_12 | opcode::WRITE_16 => {
                Err(Sense::WRITE_PROTECTED)
            }
            _ => Err(Sense::INVALID_OPCODE),
        }
    }
}

impl LogicalUnit for CdRom {
    fn execute(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        if let Some(reply) = self.execute_anyway(cdb) {
            return reply;
        }
        let is_open = self.state().is_open;
        if is_open { Err(Sense::TRAY_OPEN) } else { self.execute_on_disc(cdb) }
    }

    fn read(&self, to: &[VolatileSlice<'_>], start: u64) -> Result<(), Sense> {
        let (on_disc, beyond) =
            divide(to, self.disc.len().saturating_sub(start)).ok_or(Sense::READ_ERROR)?;
        if !on_disc.is_empty() {
            self.disc.read(&on_disc, start).map_err(|_| Sense::READ_ERROR)?;
        }
        // What the last block lacks.
        for slice in beyond {
            zero(&slice);
        }
        Ok(())
    }

    fn reset(&self) {
        *self.state() = State::default();
    }
}

/// Buffers with as much as there is on the disc, and those for the rest.
type Divided<'a> = (Vec<VolatileSlice<'a>>, Vec<VolatileSlice<'a>>);

fn divide<'a>(slices: &[VolatileSlice<'a>], first: u64) -> Option<Divided<'a>> {
    let mut left = usize::try_from(first).unwrap_or(usize::MAX);
    let (mut front, mut back) = (Vec::with_capacity(slices.len()), Vec::new());
    for slice in slices {
        let count = slice.len().min(left);
        left -= count;
        if count > 0 {
            front.push(slice.subslice(0, count).ok()?);
        }
        if count < slice.len() {
            back.push(slice.subslice(count, slice.len() - count).ok()?);
        }
    }
    Some((front, back))
}

fn zero(slice: &VolatileSlice<'_>) {
    const ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];
    let mut at = 0;
    while at < slice.len() {
        let count = ZEROS.len().min(slice.len() - at);
        let Ok(part) = slice.subslice(at, count) else { return };
        part.copy_from(&ZEROS[..count]);
        at += count;
    }
}

fn block_size() -> [u8; 4] {
    u32::from(BLOCK_BYTES).to_be_bytes()
}

#[cfg(test)]
mod tests;
