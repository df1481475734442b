//! Inodes, and what is stored inside them. Layout: Linux's
//! Documentation/filesystems/ext4/inodes.rst.

use std::io;

use super::fault::damaged;
use super::volume::Volume;
use super::{blocks, checksum};
use crate::bytes::{le16, le32};

/// Flags of an inode: its content is encrypted.
const ENCRYPTED: u32 = 0x800;
/// The directory has a hash tree, whose inner nodes have no checksum of a leaf.
const INDEXED: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const INLINE_DATA: u32 = 0x1000_0000;
/// The directory's names are found in any case.
const CASEFOLD: u32 = 0x4000_0000;
/// Bytes of `i_block`.
const BLOCK_MAP: usize = 60;
/// `EXT4_XATTR_MAGIC`, in front of the attributes behind an inode.
const ATTRIBUTES: u32 = 0xea02_0000;
/// The attribute that continues inline data: `system.` is name index 7.
const SYSTEM: u8 = 7;

/// What an inode says about its file.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    /// Type and permissions: `st_mode`.
    pub mode: u16,
    /// Bytes of the file.
    pub len: u64,
    /// What the checksums of its other metadata begin with.
    pub checksum_seed: Option<u32>,
    flags: u32,
    map: [u8; BLOCK_MAP],
    /// The value of the attribute `system.data`.
    inline: Vec<u8>,
}

impl Inode {
    /// Reads inode `number`.
    ///
    /// # Errors
    /// There is no such inode, its checksum is wrong, or the image cannot be read.
    pub fn read(volume: &Volume, number: u32) -> io::Result<Self> {
        let superblock = &volume.superblock;
        let (group, index) = superblock
            .group_of(number)
            .ok_or_else(|| damaged(&format!("there is no inode {number}")))?;
        let table = table(volume, group)?;
        let at = table.checked_mul(superblock.block);
        let at = at.and_then(|at| at.checked_add(index * superblock.inode_len));
        let mut raw = vec![0; usize::try_from(superblock.inode_len).map_err(io::Error::other)?];
        volume.read_exact_at(&mut raw, at.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        let checksum_seed = superblock
            .checksum_seed
            .map(|seed| checksum::of(seed, &[&number.to_le_bytes(), &raw[0x64..0x68]]));
        if checksum_seed.is_some_and(|seed| !has_right_checksum(seed, &raw)) {
            return Err(damaged(&format!("inode {number} has a wrong checksum")));
        }
        let flags = le32(&raw, 0x20);
        let mut map = [0; BLOCK_MAP];
        map.copy_from_slice(&raw[0x28..0x28 + BLOCK_MAP]);
        let inline = if flags & INLINE_DATA != 0 { inline(&raw)? } else { Vec::new() };
        let len = u64::from(le32(&raw, 4)) | u64::from(le32(&raw, 0x6c)) << 32;
        Ok(Self { mode: le16(&raw, 0), len, checksum_seed, flags, map, inline })
    }

    pub fn is_directory(&self) -> bool {
        self.mode & 0xf000 == 0x4000
    }

    pub fn is_indexed(&self) -> bool {
        self.flags & INDEXED != 0
    }

    pub fn ignores_case(&self) -> bool {
        self.flags & CASEFOLD != 0
    }

    pub fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }

    /// The content, where it is inside the inode: the part in place of the block map, and the rest.
    pub fn inline(&self) -> Option<(&[u8], &[u8])> {
        let is_short_link = self.mode & 0xf000 == 0xa000 && self.len < BLOCK_MAP as u64;
        (self.flags & INLINE_DATA != 0 || is_short_link).then_some((&self.map, &self.inline))
    }

    /// Reads from byte `at` on; how many bytes it read, 0 only at the end.
    ///
    /// # Errors
    /// The map of its blocks is damaged, or the image cannot be read.
    pub fn read_at(&self, volume: &Volume, to: &mut [u8], at: u64) -> io::Result<usize> {
        let most = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let most = most.min(to.len());
        let to = &mut to[..most];
        if to.is_empty() {
            return Ok(0);
        }
        if let Some((first, rest)) = self.inline() {
            let bytes = first.iter().chain(rest).skip(usize::try_from(at).unwrap_or(usize::MAX));
            let count = to.iter_mut().zip(bytes).map(|(to, byte)| *to = *byte).count();
            return match count {
                0 => Err(damaged("inline data ends early")),
                count => Ok(count),
            };
        }
        let block = volume.superblock.block;
        let run = self.run(volume, at / block)?;
        let within = at % block;
        let count = usize::try_from(run.count.saturating_mul(block) - within).unwrap_or(usize::MAX);
        let count = count.min(to.len());
        match run.start {
            None => to[..count].fill(0),
            Some(start) => volume.read_exact_at(&mut to[..count], start * block + within)?,
        }
        Ok(count)
    }

    /// Where the block `logical` of the file is, and how many blocks follow it in one piece.
    ///
    /// # Errors
    /// The map is damaged, or the image cannot be read.
    pub fn run(&self, volume: &Volume, logical: u64) -> io::Result<blocks::Run> {
        if self.flags & EXTENTS != 0 {
            blocks::by_extents(volume, &self.map, self.checksum_seed, logical)
        } else {
            blocks::by_map(volume, &self.map, logical)
        }
    }
}

/// The block where a group's inodes begin.
fn table(volume: &Volume, group: u64) -> io::Result<u64> {
    let (at, len) = volume.superblock.descriptor(group);
    let mut descriptor = vec![0; len];
    volume.read_exact_at(&mut descriptor, at)?;
    if let Some(seed) = volume.superblock.checksum_seed {
        let number = u32::try_from(group).map_err(io::Error::other)?.to_le_bytes();
        let parts = [&number, &descriptor[..0x1e], &[0, 0], &descriptor[0x20..]];
        if checksum::of(seed, &parts) & 0xffff != u32::from(le16(&descriptor, 0x1e)) {
            return Err(damaged(&format!("the descriptor of group {group} has a wrong checksum")));
        }
    }
    Ok(u64::from(le32(&descriptor, 8)) | u64::from(le32(&descriptor, 0x28)) << 32)
}

/// `ext4_inode_csum` in Linux's fs/ext4/inode.c: the two halves of the checksum count as zeros.
fn has_right_checksum(seed: u32, raw: &[u8]) -> bool {
    // The upper half is behind the first 128 bytes, if the inode has a field for it.
    let has_high = raw.len() > 128 && le16(raw, 0x80) >= 4;
    let low = u32::from(le16(raw, 0x7c));
    let mut summed = raw.to_vec();
    summed[0x7c..0x7e].fill(0);
    if has_high {
        summed[0x82..0x84].fill(0);
        checksum::of(seed, &[&summed]) == low | u32::from(le16(raw, 0x82)) << 16
    } else {
        checksum::of(seed, &[&summed]) & 0xffff == low
    }
}

/// The value of the attribute `system.data`, which is in the inode itself. Layout: Linux's
/// Documentation/filesystems/ext4/attributes.rst.
fn inline(raw: &[u8]) -> io::Result<Vec<u8>> {
    let header = 128 + usize::from(le16(raw, 0x80));
    if raw.len() <= 128 || le32(raw, header) != ATTRIBUTES {
        return Ok(Vec::new());
    }
    let first = raw.get(header + 4..).unwrap_or_default();
    let mut entry = first;
    while let [name_len, index, _, _, ..] = *entry
        && le32(entry, 0) != 0
    {
        let name_len = usize::from(name_len);
        if index == SYSTEM && entry.get(16..16 + name_len) == Some(b"data") {
            let (at, len) = (usize::from(le16(entry, 2)), le32(entry, 8));
            let value =
                usize::try_from(len).ok().and_then(|len| first.get(at..at.checked_add(len)?));
            return value
                .map(<[u8]>::to_vec)
                .ok_or_else(|| damaged("inline data reaches beyond its inode"));
        }
        entry = entry.get((16 + name_len).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Vec::new())
}
