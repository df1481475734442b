//! Files and what is in them: directories of this host, disk images, partitions and file systems, read in place; and disks that guests write to.
//!
//! | what | module |
//! |---|---|
//! | the traits every file and every place has, and this host's own files | [`source`] |
//! | disks for guests: raw files and block devices, with locks | [`disk`] |
//! | disk formats, partition tables and file systems, one inside the other | [`image`] |
//! | bytes from anywhere as an open file of this host | [`host_file`] |
//!
//! Knows nothing of servers, kernels or guests.

pub mod disk;
pub mod host_file;
pub mod image;
pub mod source;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use source::{RandomAccess, Source, SourceError, TreePath};
