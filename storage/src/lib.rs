//! Files and disk images: directories of this host, disk images, partitions and file systems, all
//! read in place.
//!
//! | what | module |
//! |---|---|
//! | the trait of every file, files of this host, parts of files, a page cache | [`mod@file`] |
//! | the trait of everything with directories and files, and paths in it | [`FileTree`], [`TreePath`] |
//! | a directory of this host | [`Directory`] |
//! | what an image is, and all that is inside it | [`image`] |
//! | disks that guests read and write: raw files and block devices, with locks | [`disk`] |
//! | disk formats and partition tables, for reading | `disk_format` |
//! | file systems | `filesystem` |
//! | files in this host's memory | [`host_file`] |
//! | errors and their hints | [`FileError`], [`Failure`] |
//!
//! Every file and tree is `Send` and `Sync`. Whatever an image says about its own lengths is
//! checked before it is used: a reader never panics, never allocates without a bound and always
//! ends. Nothing here depends on servers, kernels or guests.

pub mod bytes;
mod directory;
pub mod disk;
mod disk_format;
mod error;
pub mod file;
mod filesystem;
pub mod host_file;
pub mod image;
#[cfg(test)]
mod making;
mod path;
pub mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tree;

pub use directory::{Directory, OpenFor, Opener};
pub use error::{Failure, FileError, hint_of};
pub use file::local::LocalFile;
pub use file::slice::Slice;
pub use file::{RandomAccess, Unread, copy_exactly, copy_to_memory, each_piece, head, read_whole};
pub use path::TreePath;
pub use tree::{Entry, FileTree, PartitionId, PartitionRole, PartitionTable, Skipped};
