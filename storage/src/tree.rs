//! Trees of directories and files: the trait that directories, file systems, media and servers
//! share.

use std::fmt::Debug;

use crate::error::FileError;
use crate::file::RandomAccess;
use crate::path::TreePath;

/// A tree of directories and files. No path leads out of it: `..` and symbolic links stop at its
/// root.
pub trait FileTree: Debug + Send + Sync {
    /// Its name in messages: as the user wrote it, without a slash at the end.
    fn name(&self) -> &str;

    /// The label of the medium or file system, by which Linux finds it (`hd:LABEL=`).
    fn label(&self) -> Option<&str> {
        None
    }

    /// The label of the file system, by which boot loaders find it.
    fn volume_label(&self) -> Option<&str> {
        self.label()
    }

    /// The parts of it that cannot be read, for the error if nothing is found in the others.
    fn skipped(&self) -> &[Skipped] {
        &[]
    }

    /// The UUID of the file system, or its serial number (`1A2B-3C4D`), by which boot loaders find
    /// it; empty if it has none. `None` if it is not known, as that of a directory.
    fn volume_uuid(&self) -> Option<&str> {
        None
    }

    /// The partition that the file system is in, behind those which that one is in. Empty if it is
    /// in none, or is no file system.
    fn partition(&self) -> &[PartitionId] {
        &[]
    }

    /// The file systems of a disk that it joins, in their order; none if it is one file system.
    fn volumes(&self) -> Vec<&dyn FileTree> {
        Vec::new()
    }

    /// Lists a directory, sorted by name, with hidden files and without `.` and `..`.
    ///
    /// # Errors
    /// The directory does not exist, is not a directory, or cannot be read; [`FileError::Unlisted`]
    /// if the tree has no listings.
    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError>;

    /// Opens a regular file. Never blocks on a pipe or device. The root may be a file: a URL that
    /// names a file.
    ///
    /// # Errors
    /// It does not exist, is not a regular file, or cannot be opened.
    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError>;

    /// The same for a file that is of no use if it has more than `most` bytes, such as a text. A
    /// server that does not announce the length of a longer one is not asked for all of it: the
    /// file then is cut ([`RandomAccess::is_cut`]), and has `most` + 1 bytes.
    ///
    /// # Errors
    /// See [`Self::open`].
    fn open_short(&self, path: &TreePath, most: u64) -> Result<Box<dyn RandomAccess>, FileError> {
        let _ = most;
        self.open(path)
    }

    /// Opens a file by [`Self::open_short`], or all of it if there is no `most`.
    ///
    /// # Errors
    /// See [`Self::open`].
    fn open_up_to(
        &self,
        path: &TreePath,
        most: Option<u64>,
    ) -> Result<Box<dyn RandomAccess>, FileError> {
        most.map_or_else(|| self.open(path), |most| self.open_short(path, most))
    }
}

/// Which partition of a disk, or of a partition, it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionId {
    /// The table that has it.
    pub table: PartitionTable,
    /// Its number in the table, from 1; that of the first logical partition is 5.
    pub number: u32,
    /// What the table says it is for.
    pub role: PartitionRole,
}

/// The kind of a partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartitionTable {
    /// The UEFI specification's.
    Gpt,
    /// The table in a disk's first sector, with logical partitions.
    Mbr,
    /// Solaris' slices of a partition (VTOC).
    Solaris,
}

/// What a partition is for, as far as boot loaders ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartitionRole {
    /// The EFI system partition.
    EfiSystem,
    /// The extended boot partition (XBOOTLDR) of the Boot Loader Specification (UAPI.1).
    ExtendedBoot,
    /// Anything else.
    Other,
}

/// A part of a disk that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its name in messages: "disk.img, partition 2".
    pub name: String,
    /// What is in the way: "it is an LVM physical volume".
    pub why: String,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name. Invalid UTF-8 is replaced, so such a file cannot be opened by this name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
}
