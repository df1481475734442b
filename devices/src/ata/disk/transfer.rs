//! Reading sectors and writing them, however the command counts and addresses them.

use vm_memory::Permissions;

use crate::ata::identify::{HEADS, TRACK_SECTORS};
use crate::ata::{Command, Ended, HostBuffers, Outcome, Protocol, code, error};
use crate::disk::{Disk, Ending, SECTOR};

/// Device: the address is an LBA. A queued write with bit 7 bypasses the cache.
const DEVICE_LBA: u8 = 1 << 6;
const DEVICE_FUA: u8 = 1 << 7;

/// How a command says which sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressing {
    /// By 28 bits, or by cylinder, head and sector; 8 bits of count.
    Bits28,
    /// By 48 bits; 16 bits of count.
    Bits48,
    /// The same, with the count in the features, and a tag in the count.
    Queued,
}

/// A command that moves sectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub sector: u64,
    /// Sectors: 1 to 65,536.
    count: u32,
    writes: bool,
    /// A write is answered once it is durable.
    is_through: bool,
    protocol: Protocol,
}

impl Transfer {
    pub fn new(command: &Command, writes: bool, addressing: Addressing, is_pio: bool) -> Self {
        let (sector, count, most) = match addressing {
            Addressing::Bits28 => (address_28(command), command.count & 0xff, 1 << 8),
            Addressing::Bits48 => (command.lba, command.count, 1 << 16),
            Addressing::Queued => (command.lba, command.features, 1 << 16),
        };
        let is_through = match command.code {
            code::WRITE_DMA_FUA_EXT | code::WRITE_MULTIPLE_FUA_EXT => true,
            _ => addressing == Addressing::Queued && command.device & DEVICE_FUA != 0,
        };
        let protocol = if addressing == Addressing::Queued {
            Protocol::Queued(command.tag())
        } else if is_pio && !writes {
            Protocol::PioIn
        } else {
            Protocol::Registers
        };
        let count = if count == 0 { most } else { count.into() };
        Self { sector, count, writes, is_through, protocol }
    }

    /// Bytes: at most 32 MiB.
    pub fn len(self) -> u32 {
        self.count * u32::try_from(SECTOR).unwrap_or(0)
    }

    pub fn run(self, disk: &Disk, command: &Command, host: &dyn HostBuffers) -> Outcome {
        let Some(range) = disk.range(self.sector, self.len().into()) else {
            return Outcome::Ended(self.failed(command, error::ID_NOT_FOUND));
        };
        if host.room() < self.len() {
            let failed = self.failed(command, error::ABORTED);
            return Outcome::Ended(Ended { overflow: true, ..failed });
        }
        let access = if self.writes { Permissions::Read } else { Permissions::Write };
        let Some(buffers) = host.find(self.len(), access) else {
            return Outcome::Ended(self.failed(command, error::ABORTED));
        };
        let ending = if self.writes {
            let write_back = disk.write_cache() && !self.is_through;
            disk.write(buffers.slices(), range.start, write_back)
        } else {
            disk.read(buffers.slices(), range.start)
        };
        Outcome::Ended(match ending {
            Ending::Held => return Outcome::Held,
            Ending::Failed if self.writes => self.failed(command, error::ABORTED),
            Ending::Failed => self.failed(command, error::UNCORRECTABLE),
            Ending::Done => {
                let (protocol, transferred) = (self.protocol, self.len());
                Ended { protocol, transferred, ..command.done() }
            }
        })
    }

    /// PIO data that was not sent has no setup: the registers show the failure.
    fn failed(self, command: &Command, error: u8) -> Ended {
        let protocol = match self.protocol {
            Protocol::Queued(tag) => Protocol::Queued(tag),
            _ => Protocol::Registers,
        };
        Ended { protocol, ..command.failed(error) }
    }
}

/// The sector that a command with a 28-bit address, or one by cylinders, names. One by cylinders
/// whose sector is 0 names none.
fn address_28(command: &Command) -> u64 {
    let [low, middle, high, ..] = command.lba.to_le_bytes();
    let head = u64::from(command.device & 0x0f);
    if command.device & DEVICE_LBA != 0 {
        return head << 24 | command.lba & 0xff_ffff;
    }
    let cylinder = u64::from(u16::from_le_bytes([middle, high]));
    let Some(sector) = u64::from(low).checked_sub(1) else { return u64::MAX };
    (cylinder * u64::from(HEADS) + head) * u64::from(TRACK_SECTORS) + sector
}
