//! The disk's features and its configuration space, `struct virtio_blk_config` (virtio 1.2, 5.2.4),
//! little-endian, 60 bytes.

use virtio_bindings::virtio_blk as bindings;

use super::QUEUE_SIZE;
use crate::disk::SECTOR;
use crate::virtio::device::read_bytes;

/// Bytes of the configuration space, up to the fields of WRITE_ZEROES.
const SIZE: usize = 60;
/// Where the field `writeback` is, the only one that can be written.
pub(super) const WRITE_CACHE: u64 = 32;

/// Buffers of a request: all descriptors of a queue but those of header and status.
const SEG_MAX: u32 = QUEUE_SIZE as u32 - 2;
/// Bytes of a buffer. SeaBIOS multiplies it by `SEG_MAX` and keeps 16 bits of the sectors that
/// makes: here 65,024, so that each of its reads is one request; without the field they are cut to
/// 32 KiB (`virtio_blk_setup`).
const SIZE_MAX: u32 = 128 << 10;
/// Sectors that a request may discard or zero, as QEMU has it (`BDRV_REQUEST_MAX_SECTORS`).
pub(super) const MAX_RANGE: u32 = 0x3f_ffff;

/// The features the device offers.
pub(super) fn features(read_only: bool, queues: usize) -> u64 {
    let always = [
        bindings::VIRTIO_BLK_F_SIZE_MAX,
        bindings::VIRTIO_BLK_F_SEG_MAX,
        bindings::VIRTIO_BLK_F_BLK_SIZE,
        bindings::VIRTIO_BLK_F_FLUSH,
        bindings::VIRTIO_BLK_F_TOPOLOGY,
        bindings::VIRTIO_BLK_F_CONFIG_WCE,
    ];
    let writable = [bindings::VIRTIO_BLK_F_DISCARD, bindings::VIRTIO_BLK_F_WRITE_ZEROES];
    let mask = |bits: &[u32]| bits.iter().fold(0u64, |mask, bit| mask | 1 << bit);
    let access = if read_only { mask(&[bindings::VIRTIO_BLK_F_RO]) } else { mask(&writable) };
    let several = if queues > 1 { mask(&[bindings::VIRTIO_BLK_F_MQ]) } else { 0 };
    mask(&always) | access | several
}

/// The values for the configuration space.
pub(super) struct Config {
    pub sectors: u64,
    pub write_cache: bool,
    pub queues: usize,
}

impl Config {
    /// Reads part of it; all ones beyond its end.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&self.bytes(), offset, data);
    }

    fn bytes(&self) -> [u8; SIZE] {
        let block_size = u32::try_from(SECTOR).unwrap_or_default();
        let queues = u16::try_from(self.queues).unwrap_or(u16::MAX);
        let mut bytes = [0; SIZE];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &self.sectors.to_le_bytes());
        put(8, &SIZE_MAX.to_le_bytes());
        put(12, &SEG_MAX.to_le_bytes());
        // 16 to 19: the geometry, which is not offered.
        put(20, &block_size.to_le_bytes());
        // 24 to 31: the topology; all zero: a physical block is a logical one, and no size is
        // better than another.
        put(32, &[self.write_cache.into()]);
        put(34, &queues.to_le_bytes());
        put(36, &MAX_RANGE.to_le_bytes());
        put(40, &1u32.to_le_bytes()); // segments of a DISCARD
        put(44, &1u32.to_le_bytes()); // sectors that a discarded range is aligned to
        put(48, &MAX_RANGE.to_le_bytes());
        put(52, &1u32.to_le_bytes()); // segments of a WRITE_ZEROES
        put(56, &[1]); // WRITE_ZEROES may give space back
        bytes
    }
}
