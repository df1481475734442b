//! A hard disk (ATA8-ACS), of sectors of 512 bytes.
//!
//! | | commands |
//! |---|---|
//! | reading and writing | by PIO and DMA, with 28- and 48-bit addresses or cylinders; queued (NCQ); through the cache (FUA) |
//! | durability | FLUSH CACHE (EXT), write cache on and off |
//! | space | DATA SET MANAGEMENT: TRIM |
//! | about the disk | IDENTIFY DEVICE, READ NATIVE MAX ADDRESS (EXT), READ LOG EXT: the queued command that failed |
//! | without an effect | RECALIBRATE, SEEK, READ VERIFY, power management, transfer modes |
//!
//! Everything else is aborted, SMART and security among it: IDENTIFY DEVICE says that they are not
//! there.

mod log;
mod transfer;
mod trim;

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::identify::{self, DiskIdentity};
use super::{
    AtaDevice, Command, Ended, HostBuffers, Outcome, Protocol, Registers, Reset, Signature, code,
    error,
};
use crate::disk::{Disk, Ending};
use log::QueuedError;
use transfer::{Addressing, Transfer};

/// Subcommands of SET FEATURES (ATA8-ACS, 7.45).
mod feature {
    pub const WRITE_CACHE_ON: u8 = 0x02;
    pub const TRANSFER_MODE: u8 = 0x03;
    pub const NO_READ_AHEAD: u8 = 0x55;
    /// A software reset does not revert settings to those after power-on; 0xcc: it does again.
    pub const KEEP_SETTINGS: u8 = 0x66;
    pub const WRITE_CACHE_OFF: u8 = 0x82;
    pub const READ_AHEAD: u8 = 0xaa;
    pub const REVERT_SETTINGS: u8 = 0xcc;
}

/// A hard disk.
#[derive(Debug)]
pub struct AtaDisk {
    disk: Arc<Disk>,
    /// The serial number, of which 20 bytes are shown.
    serial: String,
    /// Sectors of a block in READ MULTIPLE; 0: not set.
    multiple: AtomicU16,
    /// A software reset keeps what the host has set.
    keeps_settings: AtomicBool,
    /// The last queued command that failed.
    failed: Mutex<Option<QueuedError>>,
}

impl AtaDisk {
    /// A disk with these bytes. Its serial number is the disk's, or else `serial`.
    pub fn new(disk: Arc<Disk>, serial: String) -> Self {
        let own = disk.serial();
        let serial = if own.is_empty() { serial } else { own.to_owned() };
        Self {
            disk,
            serial,
            multiple: AtomicU16::new(0),
            keeps_settings: AtomicBool::new(false),
            failed: Mutex::new(None),
        }
    }

    fn identity(&self) -> DiskIdentity<'_> {
        DiskIdentity {
            serial: &self.serial,
            sectors: self.disk.sectors(),
            multiple: self.multiple.load(Ordering::SeqCst),
            write_cache: self.disk.write_cache(),
        }
    }

    /// Commands that read from the medium or write to it.
    fn transfer(&self, command: &Command) -> Option<Transfer> {
        use Addressing::{Bits28, Bits48, Queued};
        let (writes, addressing, is_pio) = match command.code {
            code::READ_SECTORS | code::READ_SECTORS_NO_RETRY | code::READ_MULTIPLE => {
                (false, Bits28, true)
            }
            code::READ_SECTORS_EXT | code::READ_MULTIPLE_EXT => (false, Bits48, true),
            code::READ_DMA | code::READ_DMA_NO_RETRY => (false, Bits28, false),
            code::READ_DMA_EXT => (false, Bits48, false),
            code::READ_FPDMA_QUEUED => (false, Queued, false),
            code::WRITE_SECTORS | code::WRITE_SECTORS_NO_RETRY | code::WRITE_MULTIPLE => {
                (true, Bits28, true)
            }
            code::WRITE_SECTORS_EXT | code::WRITE_MULTIPLE_EXT | code::WRITE_MULTIPLE_FUA_EXT => {
                (true, Bits48, true)
            }
            code::WRITE_DMA | code::WRITE_DMA_NO_RETRY => (true, Bits28, false),
            code::WRITE_DMA_EXT | code::WRITE_DMA_FUA_EXT => (true, Bits48, false),
            code::WRITE_FPDMA_QUEUED => (true, Queued, false),
            _ => return None,
        };
        Some(Transfer::new(command, writes, addressing, is_pio))
    }

    /// A command without data from or to the medium.
    fn execute_other(&self, command: &Command, host: &dyn HostBuffers) -> Outcome {
        let ended = match command.code {
            code::IDENTIFY_DEVICE => command.reply(&self.identity().bytes(), host),
            code::FLUSH_CACHE | code::FLUSH_CACHE_EXT => {
                return outcome(command, self.disk.flush(), error::ABORTED);
            }
            code::DATA_SET_MANAGEMENT => return trim::trim(&self.disk, command, host),
            code::READ_LOG_EXT => self.read_log(command, host),
            code::READ_LOG_DMA_EXT => {
                Ended { protocol: Protocol::Registers, ..self.read_log(command, host) }
            }
            code::SET_FEATURES => return self.set_features(command),
            code::SET_MULTIPLE_MODE => self.set_multiple(command),
            code::READ_NATIVE_MAX | code::READ_NATIVE_MAX_EXT => self.native_max(command),
            code::CHECK_POWER_MODE => with(command, |registers| registers.count = 0xff),
            code::EXECUTE_DEVICE_DIAGNOSTIC => with(command, |registers| {
                *registers = Registers::after_reset(Signature::DISK);
            }),
            code::READ_VERIFY | code::READ_VERIFY_NO_RETRY => {
                self.verify(Transfer::new(command, false, Addressing::Bits28, false), command)
            }
            code::READ_VERIFY_EXT => {
                self.verify(Transfer::new(command, false, Addressing::Bits48, false), command)
            }
            code::RECALIBRATE
            | code::SEEK
            | code::INITIALIZE_DEVICE_PARAMETERS
            | code::STANDBY_IMMEDIATE
            | code::IDLE_IMMEDIATE
            | code::STANDBY
            | code::IDLE
            | code::SLEEP => command.done(),
            _ => command.failed(error::ABORTED),
        };
        Outcome::Ended(ended)
    }

    fn read_log(&self, command: &Command, host: &dyn HostBuffers) -> Ended {
        match log::page(command, *self.failed()) {
            Some(page) => command.reply(&page, host),
            None => command.failed(error::ABORTED),
        }
    }

    fn failed(&self) -> MutexGuard<'_, Option<QueuedError>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// READ VERIFY SECTORS: whether there are such sectors.
    fn verify(&self, transfer: Transfer, command: &Command) -> Ended {
        match self.disk.range(transfer.sector, transfer.len().into()) {
            Some(_) => command.done(),
            None => command.failed(error::ID_NOT_FOUND),
        }
    }

    fn set_features(&self, command: &Command) -> Outcome {
        match command.features.to_le_bytes()[0] {
            feature::WRITE_CACHE_ON => self.disk.set_write_cache(true),
            // What is in it has to be durable before the host relies on that.
            feature::WRITE_CACHE_OFF => {
                self.disk.set_write_cache(false);
                return outcome(command, self.disk.flush(), error::ABORTED);
            }
            feature::KEEP_SETTINGS => self.keeps_settings.store(true, Ordering::SeqCst),
            feature::REVERT_SETTINGS => self.keeps_settings.store(false, Ordering::SeqCst),
            feature::TRANSFER_MODE | feature::READ_AHEAD | feature::NO_READ_AHEAD => {}
            _ => return Outcome::Ended(command.failed(error::ABORTED)),
        }
        Outcome::Ended(command.done())
    }

    fn set_multiple(&self, command: &Command) -> Ended {
        let count = command.count & 0xff;
        if count > identify::MAX_MULTIPLE || !(count == 0 || count.is_power_of_two()) {
            return command.failed(error::ABORTED);
        }
        self.multiple.store(count, Ordering::SeqCst);
        command.done()
    }

    /// The number of the last sector.
    fn native_max(&self, command: &Command) -> Ended {
        let last = self.disk.sectors().saturating_sub(1);
        with(command, |registers| {
            if command.code == code::READ_NATIVE_MAX_EXT {
                registers.lba = last;
                return;
            }
            let last = last.min(0x0fff_ffff);
            registers.lba = last & 0xff_ffff;
            let high = u8::try_from(last >> 24).unwrap_or(0x0f);
            registers.device = registers.device & 0xf0 | high;
        })
    }
}

/// Success, with other registers than the host's.
fn with(command: &Command, change: impl FnOnce(&mut Registers)) -> Ended {
    let mut ended = command.done();
    change(&mut ended.registers);
    ended
}

/// The end of a command without data that the disk has executed.
fn outcome(command: &Command, ending: Ending, error: u8) -> Outcome {
    match ending {
        Ending::Done => Outcome::Ended(command.done()),
        Ending::Failed => Outcome::Ended(command.failed(error)),
        Ending::Held => Outcome::Held,
    }
}

impl AtaDevice for AtaDisk {
    fn signature(&self) -> Signature {
        Signature::DISK
    }

    fn execute(&self, command: &Command, host: &dyn HostBuffers) -> Outcome {
        let outcome = match self.transfer(command) {
            Some(transfer) => transfer.run(&self.disk, command, host),
            None => self.execute_other(command, host),
        };
        if let Outcome::Ended(ended) = &outcome {
            if let Some(error) = QueuedError::of(ended) {
                *self.failed() = Some(error);
            }
            self.disk.answered();
        }
        outcome
    }

    fn cancel(&self) {
        self.disk.cancel();
    }

    fn reset(&self, reset: Reset) {
        *self.failed() = None;
        if reset == Reset::Software && self.keeps_settings.load(Ordering::SeqCst) {
            self.disk.cancel();
            return;
        }
        self.disk.reset();
        self.multiple.store(0, Ordering::SeqCst);
        self.keeps_settings.store(false, Ordering::SeqCst);
    }

    fn finish(&self) {
        self.disk.finish();
    }
}

#[cfg(test)]
mod tests;
