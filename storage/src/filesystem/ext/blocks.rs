//! Where the blocks of a file are: by extents (ext4), or by the block map of ext2 and ext3.
//! Layouts: Linux's Documentation/filesystems/ext4/ifork.rst.

use std::io;

use super::checksum;
use super::fault::damaged;
use super::volume::Volume;
use crate::bytes::{le16, le32};

/// `eh_magic`.
const EXTENT_MAGIC: u16 = 0xf30a;
/// Levels of an extent tree: `EXT4_MAX_EXTENT_DEPTH`.
const DEPTH: u16 = 5;
/// Longest extent with data; longer ones are allocated and read as zeros.
const INITIALIZED: u64 = 0x8000;
/// Block numbers of a file have 32 bits.
const MOST_BLOCKS: u64 = 1 << 32;

/// Blocks of a file that follow each other on the disk, or a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first block; `None`: they read as zeros.
    pub start: Option<u64>,
    /// Number of blocks, at least 1.
    pub count: u64,
}

impl Run {
    /// Refuses blocks that the file system does not have.
    fn checked(self, volume: &Volume) -> io::Result<Self> {
        let end = self.start.map(|start| start.saturating_add(self.count));
        match end {
            Some(end) if end > volume.superblock.blocks => {
                Err(damaged(&format!("a file has the block {}", end - 1)))
            }
            _ => Ok(self),
        }
    }
}

/// Looks `logical` up in an extent tree, whose root is in the inode.
pub(super) fn by_extents(
    volume: &Volume,
    root: &[u8],
    seed: Option<u32>,
    logical: u64,
) -> io::Result<Run> {
    let mut node = root.to_vec();
    let mut expected_depth = None;
    // The first block behind the subtree that is searched.
    let mut end = MOST_BLOCKS;
    loop {
        let (entries, depth) = entries(&node, expected_depth)?;
        let before = entries.iter().take_while(|entry| u64::from(le32(*entry, 0)) <= logical);
        let index = before.count();
        if let Some(next) = entries.get(index) {
            end = end.min(u64::from(le32(next, 0)));
        }
        let hole = Run { start: None, count: end.saturating_sub(logical).max(1) };
        let Some(entry) = index.checked_sub(1).and_then(|index| entries.get(index)) else {
            return Ok(hole);
        };
        if depth == 0 {
            let (first, len) = (u64::from(le32(entry, 0)), u64::from(le16(entry, 4)));
            let is_initialized = len <= INITIALIZED;
            let len = if is_initialized { len } else { len - INITIALIZED };
            let within = logical - first;
            if within >= len {
                return Ok(hole);
            }
            let start = u64::from(le32(entry, 8)) | u64::from(le16(entry, 6)) << 32;
            let start = is_initialized.then_some(start + within);
            return Run { start, count: len - within }.checked(volume);
        }
        let child = u64::from(le32(entry, 4)) | u64::from(le16(entry, 8)) << 32;
        expected_depth = Some(depth - 1);
        node = volume.block(child)?;
        if let Some(seed) = seed {
            let tail = 12 + 12 * usize::from(le16(&node, 4));
            let sum = node.get(..tail).map(|summed| checksum::of(seed, &[summed]));
            if sum != Some(le32(&node, tail)) {
                return Err(damaged(&format!(
                    "the extents in block {child} have a wrong checksum"
                )));
            }
        }
    }
}

/// The entries of a node, and how many levels are below it.
fn entries(node: &[u8], expected_depth: Option<u16>) -> io::Result<(&[[u8; 12]], u16)> {
    let (count, depth) = (usize::from(le16(node, 2)), le16(node, 6));
    let entries = node.get(12..).unwrap_or_default().as_chunks::<12>().0.get(..count);
    match entries {
        Some(entries)
            if le16(node, 0) == EXTENT_MAGIC
                && depth <= DEPTH
                && expected_depth.is_none_or(|expected| expected == depth) =>
        {
            Ok((entries, depth))
        }
        _ => Err(damaged("an extent tree is damaged")),
    }
}

/// Looks `logical` up in a block map: 12 blocks, and trees of one, two and three levels.
pub(super) fn by_map(volume: &Volume, map: &[u8], logical: u64) -> io::Result<Run> {
    let per_block = volume.superblock.block / 4;
    let one = |block: u32| {
        let start = Some(u64::from(block)).filter(|start| *start != 0);
        Run { start, count: 1 }.checked(volume)
    };
    let slot = |index: u64| le32(map, usize::try_from(index * 4).unwrap_or(usize::MAX));
    if logical < 12 {
        return one(slot(logical));
    }
    let mut rest = logical - 12;
    for levels in 1..=3 {
        let covered = per_block.pow(levels);
        if rest >= covered {
            rest -= covered;
            continue;
        }
        let mut block = slot(11 + u64::from(levels));
        for level in (0..levels).rev() {
            let below = per_block.pow(level);
            if block == 0 {
                // Everything below a missing table is a hole.
                let covered = below * per_block;
                return Ok(Run { start: None, count: covered - rest % covered });
            }
            let mut entry = [0; 4];
            let at = u64::from(block) * volume.superblock.block + rest / below % per_block * 4;
            volume.read_exact_at(&mut entry, at)?;
            block = u32::from_le_bytes(entry);
        }
        return one(block);
    }
    Err(damaged(&format!("a file has a block number {logical}")))
}
