//! File systems, read in place; one format a module.
//!
//! | what | module |
//! |---|---|
//! | names, symbolic links and messages that they share | `files` |
//! | ext2, ext3, ext4 | `ext` |
//! | FAT12, FAT16, FAT32 | `fat` |
//! | ISO 9660 with Rock Ridge and Joliet | `iso` |
//! | squashfs | `squashfs` |
//! | XFS | `xfs` |
//! | btrfs, refused by its name | `btrfs` |

pub(crate) mod btrfs;
pub(crate) mod ext;
pub(crate) mod fat;
mod files;
pub(crate) mod iso;
pub(crate) mod squashfs;
pub(crate) mod xfs;
