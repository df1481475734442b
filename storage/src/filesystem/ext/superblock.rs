//! The superblock: the numbers of a file system, checked before anything is computed from them.
//!
//! Layout: Linux's Documentation/filesystems/ext4/super.rst.

use std::io;

use super::checksum;
use crate::Failure;
use crate::bytes::{le16, le32};
use crate::filesystem::files::DAMAGED;

/// Byte offset of the superblock.
pub(super) const AT: u64 = 1024;
/// Bytes of the superblock.
pub(super) const LEN: usize = 1024;

/// `s_feature_incompat`: `RECOVER`, the file system was not unmounted.
const RECOVER: u32 = 0x4;
/// `META_BG`: group descriptors are in the groups they describe.
const META_BG: u32 = 0x10;
const IS_64BIT: u32 = 0x80;
/// `CSUM_SEED`: the superblock holds the checksum seed.
const CHECKSUM_SEED: u32 = 0x2000;
/// `FILETYPE`: directory entries have a type.
const FILE_TYPE: u32 = 0x2;
/// The bits of `s_feature_incompat` that this reader handles, or that do not matter for reading
/// files: `FILETYPE`, `RECOVER`, `META_BG`, `EXTENTS`, `64BIT`, `MMP`, `FLEX_BG`, `EA_INODE`,
/// `DIRDATA`, `CSUM_SEED`, `LARGEDIR`, `INLINE_DATA`, `ENCRYPT` (encrypted files are refused one by
/// one) and `CASEFOLD`.
const READABLE: u32 = 0x2
    | 0x4
    | 0x10
    | 0x40
    | 0x80
    | 0x100
    | 0x200
    | 0x400
    | 0x1000
    | 0x2000
    | 0x4000
    | 0x8000
    | 0x1_0000
    | 0x2_0000;
/// `s_feature_ro_compat`: `METADATA_CSUM`.
const METADATA_CHECKSUMS: u32 = 0x400;
/// `SPARSE_SUPER`: few groups have a backup of the superblock.
const SPARSE_SUPER: u32 = 0x1;
/// `s_feature_compat`: `SPARSE_SUPER2`: two groups at most have one.
const SPARSE_SUPER_2: u32 = 0x200;

/// What the superblock says about the file system.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    /// Bytes of a block: a power of two from 1 KiB to 64 KiB.
    pub block: u64,
    /// Blocks of the file system; they fit in the image.
    pub blocks: u64,
    /// Highest inode number.
    pub inodes: u32,
    /// Bytes of an inode: a power of two from 128 up to a block.
    pub inode_len: u64,
    /// Number of the journal's inode; 0: there is no journal in this file system.
    pub journal_inode: u32,
    /// Whether directory entries have a file type.
    pub has_file_types: bool,
    /// Whether changes are waiting in the journal.
    pub needs_recovery: bool,
    /// The checksum of what every metadata checksum begins with; `None`: there are no checksums.
    pub checksum_seed: Option<u32>,
    inodes_per_group: u32,
    blocks_per_group: u64,
    first_data_block: u64,
    descriptor_len: u64,
    first_meta_group: Option<u64>,
    compatible: u32,
    read_only: u32,
    backup_groups: [u32; 2],
}

impl Superblock {
    /// Parses the superblock of an image with `image_len` bytes.
    ///
    /// # Errors
    /// A number in it is impossible, its checksum is wrong, or a feature is unknown.
    pub fn parse(bytes: &[u8; LEN], image_len: u64) -> io::Result<Self> {
        let damaged =
            |what: &str| Err(Failure::new(format!("the file system has {what}"), DAMAGED).into());
        let (log_size, incompatible) = (le32(bytes, 0x18), le32(bytes, 0x60));
        refuse_unknown(incompatible)?;
        let read_only = le32(bytes, 0x64);
        let has_checksums = read_only & METADATA_CHECKSUMS != 0;
        if has_checksums && checksum::of(!0, &[&bytes[..0x3fc]]) != le32(bytes, 0x3fc) {
            return damaged("a superblock with a wrong checksum");
        }
        let is_64bit = incompatible & IS_64BIT != 0;
        if log_size > 6 {
            return damaged("blocks of more than 64 KiB");
        }
        let block = 1024 << log_size;
        let high = if is_64bit { u64::from(le32(bytes, 0x150)) << 32 } else { 0 };
        let blocks = u64::from(le32(bytes, 4)) | high;
        if blocks.checked_mul(block).is_none_or(|len| len > image_len) {
            let problem = format!(
                "the file system has {blocks} blocks of {block} bytes, but the image ends after {image_len} bytes"
            );
            return Err(Failure::new(problem, DAMAGED).into());
        }
        let (blocks_per_group, inodes_per_group) = (le32(bytes, 0x20), le32(bytes, 0x28));
        if blocks_per_group == 0 || inodes_per_group == 0 {
            return damaged("groups without blocks or inodes");
        }
        // Revision 0 has inodes of 128 bytes, and no field for it.
        let inode_len = if le32(bytes, 0x4c) == 0 { 128 } else { u64::from(le16(bytes, 0x58)) };
        if !inode_len.is_power_of_two() || inode_len < 128 || inode_len > block {
            return damaged("inodes of an impossible length");
        }
        let descriptor_len = if is_64bit { u64::from(le16(bytes, 0xfe)) } else { 32 };
        if !(32..=1024).contains(&descriptor_len) || !descriptor_len.is_power_of_two() {
            return damaged("group descriptors of an impossible length");
        }
        let checksum_seed = has_checksums.then(|| match incompatible & CHECKSUM_SEED {
            0 => checksum::of(!0, &[&bytes[0x68..0x78]]),
            _ => le32(bytes, 0x270),
        });
        Ok(Self {
            block,
            blocks,
            inodes: le32(bytes, 0),
            inode_len,
            journal_inode: le32(bytes, 0xe0),
            has_file_types: incompatible & FILE_TYPE != 0,
            needs_recovery: incompatible & RECOVER != 0,
            checksum_seed,
            inodes_per_group,
            blocks_per_group: u64::from(blocks_per_group),
            first_data_block: u64::from(le32(bytes, 0x14)),
            descriptor_len,
            first_meta_group: (incompatible & META_BG != 0).then(|| u64::from(le32(bytes, 0x104))),
            compatible: le32(bytes, 0x5c),
            read_only,
            backup_groups: [le32(bytes, 0x24c), le32(bytes, 0x250)],
        })
    }

    /// The group of an inode, and the inode's index in it; `None`: there is no such inode.
    pub fn group_of(&self, inode: u32) -> Option<(u64, u64)> {
        let index = inode.checked_sub(1).filter(|_| inode <= self.inodes)?;
        Some((u64::from(index / self.inodes_per_group), u64::from(index % self.inodes_per_group)))
    }

    /// Byte offset and length of a group's descriptor, by `descriptor_loc` in Linux's
    /// fs/ext4/super.c.
    pub fn descriptor(&self, group: u64) -> (u64, usize) {
        let per_block = self.block / self.descriptor_len;
        let (table_block, within) = (group / per_block, group % per_block * self.descriptor_len);
        let block = match self.first_meta_group {
            Some(first) if table_block >= first => {
                let group = table_block * per_block;
                let is_behind_boot_block =
                    self.block == 1024 && table_block == 0 && self.first_data_block == 0;
                group * self.blocks_per_group
                    + self.first_data_block
                    + u64::from(self.has_backup(group))
                    + u64::from(is_behind_boot_block)
            }
            _ => AT / self.block + 1 + table_block,
        };
        let len = if self.descriptor_len < 64 { 32 } else { self.descriptor_len };
        (
            block.saturating_mul(self.block).saturating_add(within),
            usize::try_from(len).unwrap_or(32),
        )
    }

    /// Whether a group begins with a superblock: `ext4_bg_has_super` in Linux's fs/ext4/balloc.c.
    fn has_backup(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.compatible & SPARSE_SUPER_2 != 0 {
            return self.backup_groups.iter().any(|backup| u64::from(*backup) == group);
        }
        if group == 1 || self.read_only & SPARSE_SUPER == 0 {
            return true;
        }
        let is_power = |base: u64| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        [3, 5, 7].into_iter().any(is_power)
    }
}

fn refuse_unknown(incompatible: u32) -> io::Result<()> {
    const HINT: &str = "`debugfs -R 'dump FILE TO' IMAGE` extracts a file";
    let unknown = incompatible & !READABLE;
    let problem = match unknown {
        0 => return Ok(()),
        _ if unknown & 0x8 != 0 => "it is the external journal of another file system".into(),
        _ => format!("the file system has unsupported features (incompat 0x{unknown:x})"),
    };
    Err(Failure::new(problem, HINT).into())
}
