//! The superblock: the numbers of a file system, checked before anything is computed from them.

use std::io;

use super::packing::Compression;
use crate::Failure;
use crate::bytes::{le16, le32, le64};
use crate::filesystem::files::DAMAGED;

/// Bytes of the superblock.
pub(super) const LEN: usize = 96;
/// Sizes of a block: `SQUASHFS_FILE_LOG` is from 12 to `SQUASHFS_FILE_MAX_LOG`.
const BLOCK_LOGS: std::ops::RangeInclusive<u16> = 12..=20;

/// The hint for a file system that can be made again in another way.
pub(crate) const REPACK: &str =
    "unpack and repack it: unsquashfs -d DIR IMAGE; mksquashfs DIR NEW -comp zstd";

/// What the superblock says about the file system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Superblock {
    /// Bytes of a block of a file: a power of two from 4 KiB to 1 MiB.
    pub block: u32,
    /// How blocks are compressed.
    pub compression: Compression,
    /// Where the root directory's inode is; see [`super::volume::Metadata::of`].
    pub root: u64,
    /// Bytes of the file system, which are all in the image.
    pub used: u64,
    /// Where the tables begin.
    pub inodes: u64,
    pub directories: u64,
    pub fragments: u64,
    /// Number of fragments.
    pub fragment_count: u32,
}

impl Superblock {
    /// Parses the superblock of an image with `image_len` bytes.
    ///
    /// # Errors
    /// It is of another version, its compression is not supported, or a number in it is impossible.
    pub fn parse(bytes: &[u8; LEN], image_len: u64) -> io::Result<Self> {
        let (major, minor) = (le16(bytes, 28), le16(bytes, 30));
        if major != 4 {
            let problem =
                format!("squashfs version {major}.{minor} is not supported, expected 4.0");
            return Err(Failure::new(problem, REPACK).into());
        }
        let compression = Compression::of(le16(bytes, 20))?;
        let (block, log, used) = (le32(bytes, 12), le16(bytes, 22), le64(bytes, 40));
        if !BLOCK_LOGS.contains(&log) || block != 1 << log {
            return Err(super::damaged(&format!("it claims blocks of {block} bytes")));
        }
        if used > image_len {
            let problem = format!(
                "the file system has {used} bytes, but the image ends after {image_len} bytes"
            );
            return Err(Failure::new(problem, DAMAGED).into());
        }
        Ok(Self {
            block,
            compression,
            root: le64(bytes, 32),
            used,
            inodes: le64(bytes, 64),
            directories: le64(bytes, 72),
            fragments: le64(bytes, 80),
            fragment_count: le32(bytes, 16),
        })
    }
}
