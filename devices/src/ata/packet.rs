//! A CD drive that takes SCSI commands in packets (ATAPI; ATA8-ACS, 7.18).

use std::sync::Arc;

use vm_memory::Permissions;

use super::{
    AtaDevice, Command, Ended, HostBuffers, Outcome, Protocol, Registers, Reset, Signature, code,
    error, identify,
};
use crate::scsi::Reply;
use crate::scsi::cdb::Cdb;
use crate::scsi::sense::Sense;
use crate::scsi::target::Target;

/// Bytes of a packet that hold a command.
const CDB_SIZE: usize = 12;
/// Features of PACKET: the data moves by DMA.
const DMA: u16 = 1;
/// Count after PACKET: the command is complete, and no more data follows (interrupt reason).
const COMPLETE: u16 = 0b11;
/// SET FEATURES: transfer mode.
const TRANSFER_MODE: u16 = 0x03;

/// A CD drive.
#[derive(Debug)]
pub struct AtaCd {
    target: Arc<Target>,
    serial: String,
}

impl AtaCd {
    /// A drive that passes commands to logical unit 0 of `target`. At most 20 bytes of the serial
    /// number are shown.
    pub fn new(target: Arc<Target>, serial: String) -> Self {
        Self { target, serial }
    }

    fn packet(&self, command: &Command, host: &dyn HostBuffers) -> Ended {
        let cdb = Cdb::new(&command.packet[..CDB_SIZE]);
        let mut overflow = false;
        let moved = match self.target.execute(0, &cdb) {
            Err(sense) => Err(sense),
            Ok(Reply::Data(data)) => {
                overflow = usize::try_from(host.room()).is_ok_and(|room| room < data.len());
                give(&data, host)
            }
            Ok(Reply::Medium(range)) => {
                let len = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
                if host.room() < len {
                    return Ended { overflow: true, ..command.failed(error::ABORTED) };
                }
                match host.find(len, Permissions::Write) {
                    Some(buffers) => self.target.read(buffers.slices(), range.start).map(|()| len),
                    None => return command.failed(error::ABORTED),
                }
            }
        };
        match moved {
            Ok(transferred) => {
                let mut ended = command.done();
                ended.registers.count = COMPLETE;
                ended.transferred = transferred;
                ended.overflow = overflow;
                if transferred > 0 && command.features & DMA == 0 {
                    ended.protocol = Protocol::PacketPioIn;
                }
                ended
            }
            Err(sense) => {
                let mut ended = command.failed(sense.key << 4);
                ended.registers.count = COMPLETE;
                ended
            }
        }
    }

    /// Aborted, with the signature in the registers: how hosts learn that this is no hard disk.
    fn is_not_a_disk(command: &Command) -> Ended {
        let mut ended = command.failed(error::ABORTED);
        ended.registers.lba = Signature::PACKET.lba;
        ended.registers.count = Signature::PACKET.count;
        ended
    }
}

/// Gives the host bytes, as many as it has room for, and returns how many.
fn give(data: &[u8], host: &dyn HostBuffers) -> Result<u32, Sense> {
    let count = u32::try_from(data.len()).unwrap_or(u32::MAX).min(host.room());
    let buffers = host.find(count, Permissions::Write).ok_or(Sense::INVALID_FIELD)?;
    let copied = buffers.copy_from(&data[..buffers.len().min(data.len())]);
    Ok(u32::try_from(copied).unwrap_or(count))
}

impl AtaDevice for AtaCd {
    fn signature(&self) -> Signature {
        Signature::PACKET
    }

    fn execute(&self, command: &Command, host: &dyn HostBuffers) -> Outcome {
        Outcome::Ended(match command.code {
            code::PACKET => self.packet(command, host),
            code::IDENTIFY_PACKET_DEVICE => {
                command.reply(&identify::packet_device(&self.serial), host)
            }
            code::DEVICE_RESET | code::EXECUTE_DEVICE_DIAGNOSTIC => {
                self.target.reset();
                let registers = Registers::after_reset(Signature::PACKET);
                Ended { registers, ..command.done() }
            }
            code::SET_FEATURES if command.features & 0xff == TRANSFER_MODE => command.done(),
            code::STANDBY_IMMEDIATE
            | code::IDLE_IMMEDIATE
            | code::STANDBY
            | code::IDLE
            | code::SLEEP => command.done(),
            code::CHECK_POWER_MODE => {
                let mut ended = command.done();
                ended.registers.count = 0xff;
                ended
            }
            code::READ_SECTORS | code::IDENTIFY_DEVICE => Self::is_not_a_disk(command),
            _ => command.failed(error::ABORTED),
        })
    }

    fn cancel(&self) {}

    fn reset(&self, _: Reset) {
        self.target.reset();
    }

    fn finish(&self) {}
}

#[cfg(test)]
mod tests;
