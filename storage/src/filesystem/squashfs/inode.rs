//! Inodes, and the blocks of files.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::damaged;
use super::volume::{Metadata, Volume, usize_of};
use crate::bytes::{le16, le32, le64};
use crate::filesystem::files::LINK_LEN;

/// Most blocks of a file: 8 GiB of the smallest ones, 256 GiB of those of 128 KiB.
const MOST_BLOCKS: u64 = 1 << 21;
/// `SQUASHFS_INVALID_FRAG`: a file without a fragment.
const NO_FRAGMENT: u32 = u32::MAX;

/// What an inode says about its file.
#[derive(Debug)]
pub(super) struct Inode {
    pub kind: Kind,
}

/// By type.
#[derive(Debug)]
pub(super) enum Kind {
    Directory(Directory),
    File(File),
    /// A symbolic link, with its target.
    Link(PathBuf),
    /// Something else: "a pipe".
    Special(&'static str),
}

/// Where a directory's names are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    /// The place in the table of directories; see [`Metadata::of`].
    pub place: u64,
    /// Bytes of it.
    pub len: u32,
}

/// A regular file.
#[derive(Debug)]
pub(super) struct File {
    len: u64,
    /// Where its first block is.
    start: u64,
    /// The number of the fragment that has its end, and the offset in it.
    fragment: u32,
    fragment_offset: u32,
    /// Where the inode is, in the table of inodes; the list of its blocks is behind it.
    list: u64,
    /// Bytes of the inode, up to the list.
    head: usize,
}

impl Inode {
    /// Reads the inode at this place in the table.
    ///
    /// # Errors
    /// It is damaged, or the image cannot be read.
    pub fn read(volume: &Volume, reference: u64) -> io::Result<Self> {
        let mut metadata = Metadata::of(volume, volume.superblock.inodes, reference)?;
        let kind = le16(&metadata.array::<16>()?, 0);
        // The offsets are those behind the common part.
        let kind = match kind {
            1 => {
                let raw = metadata.array::<16>()?;
                Kind::Directory(Directory {
                    place: u64::from(le32(&raw, 0)) << 16 | u64::from(le16(&raw, 10)),
                    len: u32::from(le16(&raw, 8)),
                })
            }
            8 => {
                let raw = metadata.array::<24>()?;
                Kind::Directory(Directory {
                    place: u64::from(le32(&raw, 8)) << 16 | u64::from(le16(&raw, 18)),
                    len: le32(&raw, 4),
                })
            }
            2 => {
                let raw = metadata.array::<16>()?;
                Kind::File(File {
                    start: u64::from(le32(&raw, 0)),
                    fragment: le32(&raw, 4),
                    fragment_offset: le32(&raw, 8),
                    len: u64::from(le32(&raw, 12)),
                    list: reference,
                    head: 32,
                })
            }
            9 => {
                let raw = metadata.array::<40>()?;
                Kind::File(File {
                    start: le64(&raw, 0),
                    len: le64(&raw, 8),
                    fragment: le32(&raw, 28),
                    fragment_offset: le32(&raw, 32),
                    list: reference,
                    head: 56,
                })
            }
            3 | 10 => {
                let len = u64::from(le32(&metadata.array::<8>()?, 4));
                if len > LINK_LEN {
                    return Err(damaged(&format!(
                        "a symbolic link has {len} bytes, expected at most {LINK_LEN}"
                    )));
                }
                let mut to = vec![0; usize::try_from(len).map_err(io::Error::other)?];
                metadata.read(&mut to)?;
                Kind::Link(OsString::from_vec(to).into())
            }
            4 | 11 => Kind::Special("a block device"),
            5 | 12 => Kind::Special("a character device"),
            6 | 13 => Kind::Special("a pipe"),
            7 | 14 => Kind::Special("a socket"),
            other => return Err(damaged(&format!("an inode has the type {other}"))),
        };
        Ok(Self { kind })
    }
}

impl File {
    /// Where the blocks are, by the list behind the inode.
    ///
    /// # Errors
    /// There are too many, or the image cannot be read.
    pub fn blocks(&self, volume: &Volume) -> io::Result<Blocks> {
        let block = u64::from(volume.superblock.block);
        let has_fragment = self.fragment != NO_FRAGMENT;
        let count = if has_fragment { self.len / block } else { self.len.div_ceil(block) };
        if count > MOST_BLOCKS {
            return Err(damaged(&format!(
                "a file of {count} blocks, expected at most {MOST_BLOCKS}"
            )));
        }
        let mut metadata = Metadata::of(volume, volume.superblock.inodes, self.list)?;
        metadata.read(&mut vec![0; self.head])?;
        let (mut blocks, mut at) = (Vec::new(), self.start);
        for _ in 0..count {
            let size = le32(&metadata.array::<4>()?, 0);
            blocks.push((at, size));
            at = at.saturating_add(u64::from(size & 0xff_ffff));
        }
        let fragment = match has_fragment && !self.len.is_multiple_of(block) {
            true => Some((volume.fragment(self.fragment)?, usize_of(self.fragment_offset))),
            false => None,
        };
        Ok(Blocks { len: self.len, blocks, fragment })
    }
}

/// Where the bytes of a file are.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Bytes of the file.
    pub len: u64,
    /// Offset and size of each block; a size of 0: it reads as zeros.
    blocks: Vec<(u64, u32)>,
    /// The block that has the file's end, and the offset in it.
    fragment: Option<((u64, u32), usize)>,
}

impl Blocks {
    /// Reads from byte `at` on, up to the end of a block; how many bytes it read.
    ///
    /// # Errors
    /// A block is damaged, or the image cannot be read.
    pub fn read_at(&self, volume: &Volume, to: &mut [u8], at: u64) -> io::Result<usize> {
        if to.is_empty() || at >= self.len {
            return Ok(0);
        }
        let block = u64::from(volume.superblock.block);
        let (index, within) = (at / block, at % block);
        // Both are at most the size of a block.
        let fits = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let (within, held) = (fits(within), fits(block.min(self.len - index * block)));
        let count = to.len().min(held - within);
        let to = &mut to[..count];
        let mut copy = |bytes: &[u8]| match bytes.get(within..within + count) {
            Some(from) => {
                to.copy_from_slice(from);
                Ok(count)
            }
            None => Err(damaged("a block of a file is shorter than expected")),
        };
        match usize::try_from(index).ok().and_then(|index| self.blocks.get(index)) {
            Some((_, 0)) => {
                to.fill(0);
                Ok(count)
            }
            Some((place, size)) => volume.data(*place, *size, copy)?,
            None => {
                let Some(((place, size), offset)) = self.fragment else {
                    return Err(damaged("a file has no fragment for its end"));
                };
                volume.data(place, size, |bytes| copy(bytes.get(offset..).unwrap_or_default()))?
            }
        }
    }
}
