//! ATA drives as a host sees them: a command's registers in, data and registers out. Nothing in
//! here knows what carries the commands; [`crate::ahci`] does.
//!
//! | part | module | specification |
//! |---|---|---|
//! | hard disk | [`disk`] | ATA8-ACS |
//! | CD drive: commands of [`crate::scsi`] in packets | [`packet`] | ATA8-ACS, MMC-6 |
//! | what the drives say of themselves | `identify` | ATA8-ACS, 7.16 and 7.17 |
//!
//! A host never decides how much is allocated: replies have a sector or a few hundred bytes, and
//! the sectors of a medium go straight into the guest's buffers.

pub mod disk;
mod identify;
pub mod packet;

use std::fmt::Debug;

use vm_memory::Permissions;

use crate::buffers::Buffers;

/// Bytes of a packet with a SCSI command. Drives use 12 of them.
pub const PACKET_SIZE: usize = 16;

/// Bits of the status register (ATA8-ACS, 6.1).
pub mod status {
    /// The last command failed.
    pub const ERROR: u8 = 0x01;
    /// Data is requested.
    pub const DATA_REQUEST: u8 = 0x08;
    /// Ready, and a bit that was once "seek complete" and that QEMU sets, too.
    pub const READY: u8 = 0x50;
    /// A command is in service.
    pub const BUSY: u8 = 0x80;
}

/// Bits of the error register (ATA8-ACS, 6.2).
pub mod error {
    /// The command is unknown, or a parameter is invalid.
    pub const ABORTED: u8 = 0x04;
    /// A sector beyond the end.
    pub const ID_NOT_FOUND: u8 = 0x10;
    /// A sector cannot be read.
    pub const UNCORRECTABLE: u8 = 0x40;
    /// After a reset: the drive is fine.
    pub const DIAGNOSTICS_PASSED: u8 = 0x01;
}

/// Command codes (ATA8-ACS, annex B).
pub mod code {
    #![allow(missing_docs, reason = "the names are those of the specification")]

    pub const DATA_SET_MANAGEMENT: u8 = 0x06;
    pub const DEVICE_RESET: u8 = 0x08;
    pub const RECALIBRATE: u8 = 0x10;
    pub const READ_SECTORS: u8 = 0x20;
    pub const READ_SECTORS_NO_RETRY: u8 = 0x21;
    pub const READ_SECTORS_EXT: u8 = 0x24;
    pub const READ_DMA_EXT: u8 = 0x25;
    pub const READ_NATIVE_MAX_EXT: u8 = 0x27;
    pub const READ_MULTIPLE_EXT: u8 = 0x29;
    pub const READ_LOG_EXT: u8 = 0x2f;
    pub const WRITE_SECTORS: u8 = 0x30;
    pub const WRITE_SECTORS_NO_RETRY: u8 = 0x31;
    pub const WRITE_SECTORS_EXT: u8 = 0x34;
    pub const WRITE_DMA_EXT: u8 = 0x35;
    pub const WRITE_MULTIPLE_EXT: u8 = 0x39;
    pub const WRITE_DMA_FUA_EXT: u8 = 0x3d;
    pub const READ_VERIFY: u8 = 0x40;
    pub const READ_VERIFY_NO_RETRY: u8 = 0x41;
    pub const READ_VERIFY_EXT: u8 = 0x42;
    pub const READ_LOG_DMA_EXT: u8 = 0x47;
    pub const READ_FPDMA_QUEUED: u8 = 0x60;
    pub const WRITE_FPDMA_QUEUED: u8 = 0x61;
    pub const SEEK: u8 = 0x70;
    pub const EXECUTE_DEVICE_DIAGNOSTIC: u8 = 0x90;
    pub const INITIALIZE_DEVICE_PARAMETERS: u8 = 0x91;
    pub const PACKET: u8 = 0xa0;
    pub const IDENTIFY_PACKET_DEVICE: u8 = 0xa1;
    pub const READ_MULTIPLE: u8 = 0xc4;
    pub const WRITE_MULTIPLE: u8 = 0xc5;
    pub const SET_MULTIPLE_MODE: u8 = 0xc6;
    pub const READ_DMA: u8 = 0xc8;
    pub const READ_DMA_NO_RETRY: u8 = 0xc9;
    pub const WRITE_DMA: u8 = 0xca;
    pub const WRITE_DMA_NO_RETRY: u8 = 0xcb;
    pub const WRITE_MULTIPLE_FUA_EXT: u8 = 0xce;
    pub const STANDBY_IMMEDIATE: u8 = 0xe0;
    pub const IDLE_IMMEDIATE: u8 = 0xe1;
    pub const STANDBY: u8 = 0xe2;
    pub const IDLE: u8 = 0xe3;
    pub const CHECK_POWER_MODE: u8 = 0xe5;
    pub const SLEEP: u8 = 0xe6;
    pub const FLUSH_CACHE: u8 = 0xe7;
    pub const FLUSH_CACHE_EXT: u8 = 0xea;
    pub const IDENTIFY_DEVICE: u8 = 0xec;
    pub const SET_FEATURES: u8 = 0xef;
    pub const READ_NATIVE_MAX: u8 = 0xf8;
}

/// The registers that a host sends with a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The command's code.
    pub code: u8,
    /// Features; commands with 28-bit addresses use the low 8 bits.
    pub features: u16,
    /// 48 bits. Of a 28-bit address the low 24; the others are in [`Self::device`].
    pub lba: u64,
    /// Device: bit 6, the address is an LBA; bits 3:0 of a 28-bit address are its highest.
    pub device: u8,
    /// Count; commands with 28-bit addresses use the low 8 bits.
    pub count: u16,
    /// The packet of a [`code::PACKET`] command.
    pub packet: [u8; PACKET_SIZE],
}

/// The registers that a drive returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Status.
    pub status: u8,
    /// Error.
    pub error: u8,
    /// 48 bits.
    pub lba: u64,
    /// Device.
    pub device: u8,
    /// Count.
    pub count: u16,
}

impl Registers {
    /// Those after a reset.
    pub const fn after_reset(signature: Signature) -> Self {
        let Signature { lba, count } = signature;
        Self { status: status::READY, error: error::DIAGNOSTICS_PASSED, lba, device: 0, count }
    }
}

/// How a drive says what it is after a reset (ATA8-ACS, table 184).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// LBA, bits 23:0.
    pub lba: u64,
    /// Count.
    pub count: u16,
}

impl Signature {
    /// A hard disk.
    pub const DISK: Self = Self { lba: 0x00_00_01, count: 1 };
    /// A drive that takes packets.
    pub const PACKET: Self = Self { lba: 0xeb_14_01, count: 1 };
}

/// How a command's end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// By the registers: commands without data, with data from the host, and by DMA.
    Registers,
    /// Data was sent to the host as its CPU would read it (PIO).
    PioIn,
    /// The same for a packet's data, where the registers follow.
    PacketPioIn,
    /// A queued command, by its tag: 0 to 31.
    Queued(u8),
}

/// A command that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How that is told.
    pub protocol: Protocol,
    /// The registers.
    pub registers: Registers,
    /// Bytes of data that were moved.
    pub transferred: u32,
    /// The host's buffers are smaller than the command's data.
    pub overflow: bool,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has ended.
    Ended(Ended),
    /// It does not end yet: it is to be tried again.
    Held,
}

impl Command {
    fn ended(&self, protocol: Protocol, status: u8, error: u8) -> Ended {
        let &Self { lba, device, count, .. } = self;
        let registers = Registers { status, error, lba, device, count };
        Ended { protocol, registers, transferred: 0, overflow: false }
    }

    /// The tag of a queued command: 0 to 31.
    pub fn tag(&self) -> u8 {
        self.count.to_le_bytes()[0] >> 3
    }

    /// Success, without data.
    pub(crate) fn done(&self) -> Ended {
        self.ended(Protocol::Registers, status::READY, 0)
    }

    /// Failure, with these bits of the error register.
    pub(crate) fn failed(&self, error: u8) -> Ended {
        self.ended(Protocol::Registers, status::READY | status::ERROR, error)
    }

    /// Success, after these bytes were given to the host by PIO, as many as it has room for. If
    /// some did not fit, that is an overflow.
    pub(crate) fn reply(&self, bytes: &[u8], host: &dyn HostBuffers) -> Ended {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = host.room();
        let Some(buffers) = host.find(len.min(room), Permissions::Write) else {
            return self.failed(error::ABORTED);
        };
        let count = buffers.copy_from(&bytes[..buffers.len().min(bytes.len())]);
        let done = self.ended(Protocol::PioIn, status::READY, 0);
        let transferred = u32::try_from(count).unwrap_or(u32::MAX);
        Ended { transferred, overflow: room < len, ..done }
    }
}

/// Where a command's data comes from or goes.
pub trait HostBuffers {
    /// Bytes that the host has room for.
    fn room(&self) -> u32;

    /// The first `len` bytes. `None`: there are fewer, or they are not in memory.
    fn find(&self, len: u32, access: Permissions) -> Option<Buffers<'_>>;
}

/// How a drive is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Power-on, the reset of the controller, or COMRESET. All settings are those after power-on:
    /// no drive has software settings preservation (SATA 2.6, 13.5).
    Hardware,
    /// By bit SRST of the device control register. SET FEATURES can disable that settings revert
    /// (ATA8-ACS, 7.45).
    Software,
}

/// A drive. Its methods are called by one thread at a time, [`AtaDevice::cancel`] and
/// [`AtaDevice::reset`] between commands.
pub trait AtaDevice: Debug + Send + Sync {
    /// What it is.
    fn signature(&self) -> Signature;

    /// Executes a command.
    fn execute(&self, command: &Command, host: &dyn HostBuffers) -> Outcome;

    /// The command that was held is not tried again.
    fn cancel(&self);

    /// A reset of the drive.
    fn reset(&self, reset: Reset);

    /// Makes durable what was written, at the end of the run.
    fn finish(&self);
}

#[cfg(test)]
pub(crate) mod testing;
