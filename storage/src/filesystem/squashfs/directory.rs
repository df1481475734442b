//! Directories: groups of names whose inodes are in one block of metadata.

use std::io;

use super::damaged;
use super::inode::Directory;
use super::volume::{Metadata, Volume};
use crate::bytes::{le16, le32};

/// Longest directory that is read: 32 MiB.
const LONGEST: u32 = 32 << 20;
/// A directory claims so many bytes more than it has, for `.` and `..`.
const MORE: u32 = 3;
/// Most names of a group: `SQUASHFS_DIR_COUNT`.
const NAMES: u32 = 256;
/// Most bytes of a name: `SQUASHFS_NAME_LEN`.
const NAME: usize = 256;

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub name: &'a [u8],
    /// Place in the table of inodes.
    pub inode: u64,
    pub is_directory: bool,
}

/// Hands each name to `take`, until it returns `false`.
///
/// # Errors
/// The directory is damaged or too long, or the image cannot be read.
pub(super) fn each(
    volume: &Volume,
    directory: &Directory,
    mut take: impl FnMut(Name<'_>) -> bool,
) -> io::Result<()> {
    let mut left = directory.len.saturating_sub(MORE);
    if left > LONGEST {
        return Err(damaged(&format!("a directory has {left} bytes, expected at most {LONGEST}")));
    }
    if left == 0 {
        return Ok(());
    }
    let mut metadata = Metadata::of(volume, volume.superblock.directories, directory.place)?;
    let less = |left: u32, count: u32| {
        left.checked_sub(count).ok_or_else(|| damaged("a directory ends within a name"))
    };
    let mut name = [0; NAME];
    while left > 0 {
        left = less(left, 12)?;
        let group = metadata.array::<12>()?;
        let (count, block) = (le32(&group, 0), u64::from(le32(&group, 4)));
        if count >= NAMES {
            return Err(damaged(&format!("a directory has {count} names in a group")));
        }
        for _ in 0..=count {
            let entry = metadata.array::<8>()?;
            let (offset, kind, size) = (le16(&entry, 0), le16(&entry, 4), le16(&entry, 6));
            left = less(left, 8 + u32::from(size) + 1)?;
            let Some(name) = name.get_mut(..usize::from(size) + 1) else {
                return Err(damaged(&format!("a name has more than {NAME} bytes")));
            };
            metadata.read(name)?;
            let inode = block << 16 | u64::from(offset);
            if !take(Name { name, inode, is_directory: kind == 1 }) {
                return Ok(());
            }
        }
    }
    Ok(())
}
