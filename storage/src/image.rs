//! Images: file systems, and disks whose partitions contain them. Images are recognized by their
//! content and read in place.
//!
//! | what | module |
//! |---|---|
//! | what a file is, by its first bytes | `format` |
//! | disks in a format of their own | `qcow2` |
//! | disks with partitions | `partitions` |
//! | file systems | `iso`, `ext`, `fat`, `squashfs`, `xfs`, `btrfs` |
//! | all file systems of a disk as one place | `volumes` |
//! | pages of an image in memory, for those who read few bytes at a time | `pages` |

mod format;
mod volumes;

use std::fmt;
use std::sync::Arc;

use crate::disk_format::partitions::{self, Partition};
use crate::disk_format::qcow2;
use crate::filesystem::{btrfs, ext, fat, iso, squashfs, xfs};
use crate::{FileError, FileTree, PartitionId, RandomAccess, Skipped, Slice, head};
use format::{FileSystem, Format};
pub use volumes::Volume;
use volumes::{InPartition, Volumes};

/// The number of bytes at the beginning that identify an image.
pub const TELLING: usize = 68 << 10;
/// Maximum nesting depth, such as a file system in a partition in a partition in a qcow2.
const DEPTH: u32 = 4;
/// Maximum number of partitions read, including nested ones.
const PARTITIONS: usize = 256;

/// What a file is, by its first bytes, for messages: "an ISO 9660 image". `None` if it is not an
/// image.
pub fn kind(head: &[u8]) -> Option<&'static str> {
    format::of(head).map(Format::name)
}

/// Opens an image: disk formats, partitions and file systems, which can be nested. All file systems
/// of a disk form one tree: files in the active partition come first, then those of the others in
/// order.
///
/// # Errors
/// The format is unknown, or the image is damaged.
pub fn open(file: Arc<dyn RandomAccess>) -> Result<Box<dyn FileTree>, FileError> {
    let name = file.name().to_owned();
    let mut volumes = volumes(file)?;
    if volumes.len() == 1
        && let Some(volume) = volumes.pop()
    {
        return Ok(volume.source);
    }
    Ok(Box::new(Volumes::new(name, volumes)))
}

/// The file systems of an image, one by one; at least one. The first one tells of partitions that
/// cannot be read ([`FileTree::skipped`]).
///
/// # Errors
/// See [`open`].
pub fn volumes(file: Arc<dyn RandomAccess>) -> Result<Vec<Volume>, FileError> {
    let mut search = Search::default();
    search.look(file, 0)?;
    let Search { found, mut skipped, .. } = search;
    let place = |(Volume { name, source }, partition): (Volume, Vec<PartitionId>)| {
        if partition.is_empty() {
            return Volume { name, source };
        }
        let skipped = std::mem::take(&mut skipped);
        Volume { name, source: Box::new(InPartition { source, partition, skipped }) }
    };
    Ok(found.into_iter().map(place).collect())
}

/// Partitions that an error names.
const NAMED: usize = 8;

#[derive(Default)]
struct Search {
    /// The file systems, each with its partition.
    found: Vec<(Volume, Vec<PartitionId>)>,
    /// Partitions with something that cannot be read.
    skipped: Vec<Skipped>,
    /// Number of partitions read.
    partitions: usize,
    /// The partitions that the current image is in.
    within: Vec<PartitionId>,
}

impl Search {
    fn look(&mut self, file: Arc<dyn RandomAccess>, depth: u32) -> Result<(), FileError> {
        let name = file.name().to_owned();
        if depth > DEPTH {
            return Err(FileError::failure(
                name,
                format!("more than {DEPTH} nested images"),
                "extract the innermost image, and use that",
            ));
        }
        let head =
            head(&*file, TELLING).map_err(|source| FileError::Io { name: name.clone(), source })?;
        match format::of(&head).or_else(|| format::by_end(&*file)) {
            Some(Format::Qcow2) => self.look(qcow2::open(file)?, depth + 1),
            Some(Format::Partitions(_)) => self.look_into_partitions(&file, depth),
            Some(Format::FileSystem(system)) => {
                let source = open_file_system(system, file)?;
                self.found.push((Volume { name, source }, self.within.clone()));
                Ok(())
            }
            Some(Format::Foreign { name: what, hint }) => {
                Err(FileError::failure(name, format!("it is {what}"), hint))
            }
            None => {
                let expected = "an image with a file system, or a directory";
                Err(FileError::Kind { name, found: format::otherwise(&head), expected })
            }
        }
    }

    fn look_into_partitions(
        &mut self,
        disk: &Arc<dyn RandomAccess>,
        depth: u32,
    ) -> Result<(), FileError> {
        let mut partitions = partitions::list(disk)?;
        partitions.sort_by_key(|partition| !partition.active);
        let before = self.found.len();
        let (mut seen, mut more) = (Vec::new(), 0);
        for partition in partitions {
            self.partitions += 1;
            if self.partitions > PARTITIONS {
                seen.push(format!("partitions after the first {PARTITIONS} are ignored"));
                break;
            }
            let Partition { number, at, len, .. } = partition;
            let outer = self.within.len();
            self.within.extend(&partition.id);
            let found = self.look_into(disk, &partition, depth);
            self.within.truncate(outer);
            let Err(why) = found else { continue };
            if let Some(why) = why.of_content()
                && self.skipped.len() < NAMED
            {
                let name = format!("{}, partition {number}", disk.name());
                self.skipped.push(Skipped { name, why });
            }
            if !self.within.is_empty() || seen.len() >= NAMED {
                // What is in a partition of a partition would only hide the rest.
                more += 1;
            } else {
                seen.push(format!(
                    "partition {number} ({}, {} MiB at {} MiB): {why}",
                    partition.kind,
                    len >> 20,
                    at >> 20
                ));
            }
        }
        if self.found.len() > before {
            return Ok(());
        }
        if more > 0 {
            seen.push(format!("{}{more} without one", if seen.is_empty() { "" } else { "and " }));
        }
        let seen = if seen.is_empty() { "it has no partitions".into() } else { seen.join("; ") };
        Err(FileError::failure(
            disk.name(),
            format!("no partition has a supported file system: {seen}"),
            "supported are ext2, ext3, ext4, FAT, ISO 9660, squashfs and XFS; encrypted and logical volumes are not",
        ))
    }

    /// Why nothing was found in a partition.
    fn look_into(
        &mut self,
        disk: &Arc<dyn RandomAccess>,
        partition: &Partition,
        depth: u32,
    ) -> Result<(), Reason> {
        let Partition { number, at, len, .. } = *partition;
        if at >= disk.len() {
            return Err(Reason::Behind);
        }
        let name = format!("{}, partition {number}", disk.name());
        let part = Arc::new(Slice::new(Arc::clone(disk), at, len, name));
        self.look(part, depth + 1).map_err(Reason::Error)
    }
}

fn open_file_system(
    system: FileSystem,
    file: Arc<dyn RandomAccess>,
) -> Result<Box<dyn FileTree>, FileError> {
    match system {
        FileSystem::Iso => iso::open(file),
        FileSystem::Ext => ext::open(file),
        FileSystem::Fat => fat::open(file),
        FileSystem::Squashfs => squashfs::open(file),
        FileSystem::Xfs => xfs::open(file),
        FileSystem::Btrfs => btrfs::open(file),
    }
}

/// Why nothing was found in a partition, without the image's name as a prefix.
enum Reason {
    Behind,
    Error(FileError),
}

impl Reason {
    /// Why it cannot be read, if there is something in it where files could be.
    fn of_content(&self) -> Option<String> {
        match self {
            Self::Error(FileError::Io { source, .. }) => Some(source.to_string()),
            _ => None,
        }
        .filter(|why| !why.ends_with(format::SWAP))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind => f.write_str("it starts beyond the end of the disk"),
            Self::Error(FileError::Kind { found, .. }) => f.write_str(found),
            Self::Error(FileError::Io { source, .. }) => source.fmt(f),
            Self::Error(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
