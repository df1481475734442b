//! The journal of a file system that was not unmounted: which blocks it has newer bytes of. Nothing
//! is written; reads go through it.
//!
//! Layouts: Linux's Documentation/filesystems/ext4/journal.rst; rules: fs/jbd2/recovery.c. All
//! numbers are big-endian.

use std::collections::HashMap;
use std::io;

use super::checksum;
use super::fault::damaged;
use super::inode::Inode;
use super::volume::{JOURNAL_MAGIC as MAGIC, Journaled, Volume};
use crate::Failure;
use crate::bytes::{be16, be32, be64, le16, le32};
use crate::filesystem::files::DAMAGED;

/// Longest journal that is read. mke2fs makes none of more than 1 GiB by itself
/// (`figure_journal_size`).
const LONGEST: u64 = 1 << 30;
const MOUNT: &str =
    "mount the file system once, or run `e2fsck -fy` on it: that applies its journal";

/// Types of blocks.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;

/// Features: block numbers have 64 bits; checksums of version 2 and 3; fast commits.
const IS_64BIT: u32 = 0x2;
const CHECKSUM_V2: u32 = 0x8;
const CHECKSUM_V3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
/// Revoke blocks, 64 bits, commits without waiting, checksums of both versions, fast commits.
const READABLE: u32 = 0x1 | IS_64BIT | 0x4 | CHECKSUM_V2 | CHECKSUM_V3 | FAST_COMMIT;

/// Flags of a tag: the block begins with the magic number; it has no UUID; it is the last one.
const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const LAST: u32 = 8;

/// Blocks of fast commits, if the superblock says 0: `JBD2_DEFAULT_FAST_COMMIT_BLOCKS`.
const FAST_COMMIT_BLOCKS: u32 = 256;
/// Tag in front of a fast commit: `EXT4_FC_TAG_HEAD`.
const FAST_COMMIT_HEAD: u16 = 9;

/// The blocks that the journal of `volume` has newer bytes of.
///
/// # Errors
/// There is no journal in the file system, it is damaged or has unknown features, or the image
/// cannot be read.
pub(super) fn load(volume: &Volume) -> io::Result<HashMap<u64, Journaled>> {
    if volume.superblock.journal_inode == 0 {
        let problem = "it was not unmounted, and its journal is on another device";
        let hint = "mount the file system once where the other device is there, too";
        return Err(Failure::new(problem, hint).into());
    }
    let inode = Inode::read(volume, volume.superblock.journal_inode)?;
    if inode.len > LONGEST {
        return Err(damaged("a journal of an impossible length"));
    }
    let Some(log) = Log::open(volume, &inode)? else { return Ok(HashMap::new()) };
    let mut replay = Replay::default();
    let tid = log.scan(&mut replay)?;
    log.refuse_fast_commit(tid)?;
    Ok(replay.into_blocks())
}

/// The blocks of the transactions that were committed.
#[derive(Debug, Default)]
struct Replay {
    /// In order: block number, transaction, place.
    blocks: Vec<(u64, u32, Journaled)>,
    /// By block number, the last transaction that revoked it.
    revoked: HashMap<u64, u32>,
}

impl Replay {
    /// The newest bytes of each block. A copy is not used if the same or a later transaction
    /// revoked it.
    fn into_blocks(self) -> HashMap<u64, Journaled> {
        let is_current = |block: &u64, tid: u32| {
            self.revoked.get(block).is_none_or(|revoked| is_after(tid, *revoked))
        };
        let current = self.blocks.iter().filter(|(block, tid, _)| is_current(block, *tid));
        current.map(|(block, _, place)| (*block, *place)).collect()
    }
}

/// Whether transaction `a` is later than `b`; the numbers wrap around.
fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

/// A journal that is not empty.
struct Log<'a> {
    volume: &'a Volume,
    inode: &'a Inode,
    /// The blocks of the log, a ring: the first one, and the one behind the last.
    first: u32,
    end: u32,
    /// The block behind the last one of the journal.
    max: u32,
    /// Where the oldest transaction begins, and its number.
    start: u32,
    sequence: u32,
    features: u32,
    /// What each checksum begins with.
    seed: u32,
}

impl<'a> Log<'a> {
    /// Reads the journal's superblock; `None`: the journal is empty.
    fn open(volume: &'a Volume, inode: &'a Inode) -> io::Result<Option<Self>> {
        let place = inode.run(volume, 0)?.start.ok_or_else(broken)?;
        let bytes = volume.block(place)?;
        let kind = be32(&bytes, 4);
        if be32(&bytes, 0) != MAGIC || !(3..=4).contains(&kind) {
            return Err(broken());
        }
        // Version 1 has no features.
        let features = if kind == 4 { be32(&bytes, 0x28) } else { 0 };
        if features & !READABLE != 0 {
            let unknown = features & !READABLE;
            let problem = format!(
                "it was not unmounted, and its journal has unknown features (0x{unknown:x})"
            );
            return Err(Failure::new(problem, MOUNT).into());
        }
        let (max, first, start) = (be32(&bytes, 0x10), be32(&bytes, 0x14), be32(&bytes, 0x1c));
        let mut end = max;
        if features & FAST_COMMIT != 0 {
            let count = match be32(&bytes, 0x54) {
                0 => FAST_COMMIT_BLOCKS,
                count => count,
            };
            end = end.saturating_sub(count);
        }
        let held = inode.len / volume.superblock.block;
        let is_sound = u64::from(be32(&bytes, 0xc)) == volume.superblock.block
            && u64::from(max) <= held
            && (1..end).contains(&first)
            && (start == 0 || (first..end).contains(&start));
        if !is_sound {
            return Err(broken());
        }
        if start == 0 {
            return Ok(None);
        }
        let seed = checksum::of(!0, &[&bytes[0x30..0x40]]);
        let sequence = be32(&bytes, 0x18);
        Ok(Some(Self { volume, inode, first, end, max, start, sequence, features, seed }))
    }

    fn has(&self, feature: u32) -> bool {
        self.features & feature != 0
    }

    fn has_checksums(&self) -> bool {
        self.has(CHECKSUM_V2 | CHECKSUM_V3)
    }

    fn after(&self, block: u32) -> u32 {
        if block + 1 == self.end { self.first } else { block + 1 }
    }

    /// Byte offset of a block of the journal.
    fn place(&self, block: u32) -> io::Result<u64> {
        let run = self.inode.run(self.volume, u64::from(block))?;
        Ok(run.start.ok_or_else(broken)? * self.volume.superblock.block)
    }

    fn read(&self, block: u32) -> io::Result<Vec<u8>> {
        self.volume.block(self.place(block)? / self.volume.superblock.block)
    }

    /// Collects the transactions, up to the first one that is not whole; the number of that one.
    fn scan(&self, replay: &mut Replay) -> io::Result<u32> {
        let (mut block, mut tid) = (self.start, self.sequence);
        let mut open = Replay::default();
        // No block is part of two transactions.
        let mut left = self.end - self.first;
        while left > 0 {
            let bytes = self.read(block)?;
            if be32(&bytes, 0) != MAGIC || be32(&bytes, 8) != tid {
                break;
            }
            left -= 1;
            block = self.after(block);
            match be32(&bytes, 4) {
                DESCRIPTOR if self.has_right_tail(&bytes) => {
                    for tag in self.tags(&bytes) {
                        if left == 0 {
                            return Ok(tid);
                        }
                        let at = self.place(block)?;
                        if !self.has_right_data(&tag, block, tid)? {
                            return Ok(tid);
                        }
                        let escaped = tag.flags & ESCAPED != 0;
                        open.blocks.push((tag.block, tid, Journaled { at, escaped }));
                        left -= 1;
                        block = self.after(block);
                    }
                }
                REVOKE if self.has_right_tail(&bytes) => {
                    open.revoked.extend(self.revoked(&bytes).map(|block| (block, tid)));
                }
                COMMIT if self.has_right_commit(&bytes) => {
                    replay.blocks.append(&mut open.blocks);
                    replay.revoked.extend(open.revoked.drain());
                    tid = tid.wrapping_add(1);
                }
                _ => break,
            }
        }
        Ok(tid)
    }

    /// The tags of a descriptor block: which blocks follow it.
    fn tags(&self, bytes: &[u8]) -> Vec<Tag> {
        let len = match () {
            () if self.has(CHECKSUM_V3) => 16,
            // `journal_tag_bytes` in fs/jbd2/journal.c.
            () => {
                8 + if self.has(IS_64BIT) { 4 } else { 0 }
                    + if self.has(CHECKSUM_V2) { 2 } else { 0 }
            }
        };
        let end = bytes.len() - if self.has_checksums() { 4 } else { 0 };
        let mut rest = bytes.get(12..end).unwrap_or_default();
        let mut tags = Vec::new();
        while let Some(tag) = rest.get(..len) {
            let is_v3 = self.has(CHECKSUM_V3);
            let flags = if is_v3 { be32(tag, 4) } else { u32::from(be16(tag, 6)) };
            let high = if self.has(IS_64BIT) { u64::from(be32(tag, 8)) << 32 } else { 0 };
            let block = high | u64::from(be32(tag, 0));
            let checksum = if is_v3 { be32(tag, 12) } else { u32::from(be16(tag, 4)) };
            tags.push(Tag { block, flags, checksum });
            if flags & LAST != 0 {
                break;
            }
            let uuid = if flags & SAME_UUID != 0 { 0 } else { 16 };
            rest = rest.get(len + uuid..).unwrap_or_default();
        }
        tags
    }

    /// The blocks that a revoke block names.
    fn revoked(&self, bytes: &[u8]) -> impl Iterator<Item = u64> {
        let end = usize::try_from(be32(bytes, 12)).unwrap_or(usize::MAX).min(bytes.len());
        let len = if self.has(IS_64BIT) { 8 } else { 4 };
        let blocks = bytes.get(16..end).unwrap_or_default().chunks_exact(len);
        blocks.map(move |block| if len == 8 { be64(block, 0) } else { u64::from(be32(block, 0)) })
    }

    /// The checksum at the end of a descriptor or revoke block.
    fn has_right_tail(&self, bytes: &[u8]) -> bool {
        let (summed, tail) = bytes.split_at(bytes.len() - 4);
        !self.has_checksums() || checksum::of(self.seed, &[summed, &[0; 4]]) == be32(tail, 0)
    }

    fn has_right_commit(&self, bytes: &[u8]) -> bool {
        let summed = [&bytes[..16], &[0; 4], &bytes[20..]];
        !self.has_checksums() || checksum::of(self.seed, &summed) == be32(bytes, 16)
    }

    fn has_right_data(&self, tag: &Tag, block: u32, tid: u32) -> io::Result<bool> {
        if !self.has_checksums() {
            return Ok(true);
        }
        let sum = checksum::of(self.seed, &[&tid.to_be_bytes(), &self.read(block)?]);
        let sum = if self.has(CHECKSUM_V3) { sum } else { sum & 0xffff };
        Ok(sum == tag.checksum)
    }

    /// Refuses a journal with a fast commit behind transaction `tid` - 1: it has changes that are
    /// no blocks.
    fn refuse_fast_commit(&self, tid: u32) -> io::Result<()> {
        if !self.has(FAST_COMMIT) || self.end >= self.max {
            return Ok(());
        }
        let bytes = self.read(self.end)?;
        if le16(&bytes, 0) == FAST_COMMIT_HEAD && le32(&bytes, 8) == tid {
            let problem =
                "it was not unmounted, and its journal has fast commits, which are not supported";
            return Err(Failure::new(problem, MOUNT).into());
        }
        Ok(())
    }
}

/// A block that a transaction has.
struct Tag {
    /// Its number in the file system.
    block: u64,
    flags: u32,
    checksum: u32,
}

fn broken() -> io::Error {
    Failure::new("it was not unmounted, and its journal is damaged", DAMAGED).into()
}
