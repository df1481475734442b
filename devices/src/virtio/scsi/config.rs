//! The controller's configuration space, `struct virtio_scsi_config` (virtio 1.2, 5.6.4),
//! little-endian, 36 bytes.

use super::{MAX_TARGETS, QUEUE_SIZE};
use crate::virtio::device::read_bytes;

const SIZE: usize = 36;
/// Where the fields are that can be written.
pub(super) const SENSE_SIZE_AT: u64 = 20;
pub(super) const CDB_SIZE_AT: u64 = 24;
/// Their defaults, which are also what drivers write.
pub(super) const SENSE_SIZE: u32 = 96;
pub(super) const CDB_SIZE: u32 = 32;
/// The largest values that are taken, as in QEMU.
pub(super) const MAX_SENSE_SIZE: u32 = 0xffff;
pub(super) const MAX_CDB_SIZE: u32 = 0xff;

/// Buffers of data in a request: all descriptors of a queue but those of header and response.
const SEG_MAX: u32 = QUEUE_SIZE as u32 - 2;
/// Sectors of 512 bytes that a command may transfer, as in QEMU.
const MAX_SECTORS: u32 = 0xffff;
/// Commands that may be under way for a logical unit, as in QEMU.
const COMMANDS_PER_UNIT: u32 = 128;
/// Bytes of an event.
const EVENT_SIZE: u32 = 16;

/// The values for the configuration space.
pub(super) struct Config {
    pub sense_size: u32,
    pub cdb_size: u32,
    pub targets: usize,
}

impl Config {
    /// Reads part of it; all ones beyond its end.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&self.bytes(), offset, data);
    }

    fn bytes(&self) -> [u8; SIZE] {
        // The last target and the last unit that a driver looks for.
        let last_target = self.targets.clamp(1, MAX_TARGETS) - 1;
        let mut bytes = [0; SIZE];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &1u32.to_le_bytes()); // queues for requests
        put(4, &SEG_MAX.to_le_bytes());
        put(8, &MAX_SECTORS.to_le_bytes());
        put(12, &COMMANDS_PER_UNIT.to_le_bytes());
        put(16, &EVENT_SIZE.to_le_bytes());
        put(20, &self.sense_size.to_le_bytes());
        put(24, &self.cdb_size.to_le_bytes());
        // 28: the last channel, 0.
        put(30, &u16::try_from(last_target).unwrap_or_default().to_le_bytes());
        // 32: the last logical unit, 0.
        bytes
    }
}
