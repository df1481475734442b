//! Directories, read from the first entry to the last; hash trees are made so that this works.
//! Layout: Linux's Documentation/filesystems/ext4/directory.rst.

use std::io;

use super::checksum;
use super::fault::damaged;
use super::inode::Inode;
use super::volume::Volume;
use crate::bytes::{le16, le32};

/// Longest directory that is read: 64 MiB.
const LONGEST: u64 = 64 << 20;
/// Bytes of the entry at a block's end that holds its checksum.
const TAIL: usize = 12;
/// File type of that entry.
const TAIL_TYPE: u8 = 0xde;

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub inode: u32,
    pub name: &'a [u8],
    /// `None`: the file system does not keep types in directories.
    pub is_directory: Option<bool>,
}

/// Hands each name to `take`, until it returns `false`.
///
/// # Errors
/// The directory is damaged, encrypted or too long, or the image cannot be read.
pub(super) fn each(
    volume: &Volume,
    directory: &Inode,
    mut take: impl FnMut(Name<'_>) -> bool,
) -> io::Result<()> {
    if directory.is_encrypted() {
        return Err(super::fault::encrypted("the directory"));
    }
    if directory.len > LONGEST {
        return Err(damaged(&format!("a directory of {} bytes", directory.len)));
    }
    if let Some((first, rest)) = directory.inline() {
        // In front of the entries is the number of the parent's inode.
        return Ok(
            _ = entries(volume, &first[4..], &mut take)? && entries(volume, rest, &mut take)?
        );
    }
    for logical in 0..directory.len.div_ceil(volume.superblock.block) {
        let Some(number) = directory.run(volume, logical)?.start else { continue };
        let block = volume.block(number)?;
        if let Some(seed) = directory.checksum_seed {
            check(&block, seed, directory.is_indexed(), number)?;
        }
        if !entries(volume, &block, &mut take)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Checks the checksum of a block with entries; inner blocks of a hash tree have another one, which
/// is not needed here.
fn check(block: &[u8], seed: u32, is_indexed: bool, number: u64) -> io::Result<()> {
    let (summed, tail) = block.split_at(block.len() - TAIL);
    let is_tail = le32(tail, 0) == 0 && le16(tail, 4) == 12 && tail[6] == 0 && tail[7] == TAIL_TYPE;
    let is_right =
        if is_tail { checksum::of(seed, &[summed]) == le32(tail, 8) } else { is_indexed };
    if is_right {
        return Ok(());
    }
    Err(damaged(&format!("the directory block {number} has a wrong checksum")))
}

/// The entries in one block, or in the part of one; `false`: `take` wants no more.
fn entries(
    volume: &Volume,
    mut rest: &[u8],
    take: &mut impl FnMut(Name<'_>) -> bool,
) -> io::Result<bool> {
    while rest.len() >= 8 {
        let len = record_len(le16(rest, 4), rest.len());
        let name_len = usize::from(rest[6]);
        if len < 8 + name_len || !len.is_multiple_of(4) || len > rest.len() {
            return Err(damaged(&format!("a directory entry of {len} bytes")));
        }
        let inode = le32(rest, 0);
        let name = &rest[8..8 + name_len];
        if inode != 0 && name_len != 0 {
            // The upper bits belong to Lustre.
            let is_directory = volume.superblock.has_file_types.then(|| rest[7] & 0x0f == 2);
            if !take(Name { inode, name, is_directory }) {
                return Ok(false);
            }
        }
        rest = &rest[len..];
    }
    Ok(true)
}

/// `ext4_rec_len_from_disk` in Linux's fs/ext4/ext4.h: a block of 64 KiB has lengths that need more
/// than 16 bits.
fn record_len(len: u16, rest: usize) -> usize {
    match usize::from(len) {
        0 | 0xffff if rest >= 0x1_0000 => rest,
        len if rest >= 0xffff => len & 0xfffc | (len & 3) << 16,
        len => len,
    }
}
