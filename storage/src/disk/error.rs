//! Why a disk cannot be opened.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::lock::Holder;

/// Why a disk cannot be opened.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The system refused.
    #[error("Cannot open the disk {}", path.display())]
    Open {
        /// The image.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither a file nor a block device.
    #[error("The disk {} is {}", path.display(), if *is_directory { "a directory" } else { "not a file or block device" })]
    Kind {
        /// The image.
        path: PathBuf,
        /// Whether it is a directory.
        is_directory: bool,
    },
    /// No bytes.
    #[error("The disk {} is empty", path.display())]
    Empty {
        /// The image.
        path: PathBuf,
    },
    /// A writable image that does not end at a sector.
    #[error("The disk {} has {len} bytes, which is not a multiple of 512", path.display())]
    OddSize {
        /// The image.
        path: PathBuf,
        /// Its bytes.
        len: u64,
    },
    /// It has the header of another format.
    #[error("The disk {} is {format}, expected a raw or qcow2 image", path.display())]
    Format {
        /// The image.
        path: PathBuf,
        /// What it is.
        format: &'static str,
    },
    /// It is called qcow2, and is not.
    #[error("The disk {} is not a qcow2 image", path.display())]
    NotQcow2 {
        /// The image.
        path: PathBuf,
    },
    /// A qcow2 image that cannot be used.
    #[error("The qcow2 image {} {problem}", path.display())]
    Qcow2 {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What the user can do about it.
        hint: &'static str,
    },
    /// The size of a new disk, or the new size of a disk, cannot be had.
    #[error("The disk {} cannot have {size} bytes: {problem}", path.display())]
    Size {
        /// The image.
        path: PathBuf,
        /// The size that was asked for.
        size: u64,
        /// Why not.
        problem: String,
        /// What the user can do about it.
        hint: &'static str,
    },
    /// It could not be written to.
    #[error("Cannot write to the disk {}", path.display())]
    Write {
        /// The image.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It needs another file that cannot be used.
    #[error("Cannot use the backing file of {}", path.display())]
    Backing {
        /// The image.
        path: PathBuf,
        /// Why not.
        source: Box<DiskError>,
    },
    /// Its file system cannot bypass the page cache.
    #[error("The file system of {} has no direct I/O", path.display())]
    NoDirect {
        /// The image.
        path: PathBuf,
    },
    /// There is no place for what the guest writes.
    #[error("Cannot create a temporary file in {} for snapshot=on", directory.display())]
    Temporary {
        /// Where it would be.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("The disk {} is in use{}", path.display(), holder.as_ref().map_or_else(String::new, |holder| format!(" by {holder}")))]
    InUse {
        /// The image.
        path: PathBuf,
        /// Whether this process only wants to read it.
        read_only: bool,
        /// Which process has it, if this user may know.
        holder: Option<Holder>,
    },
    /// It could not be locked.
    #[error("Cannot lock the disk {}", path.display())]
    Lock {
        /// The image.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DiskError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Open { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!(
                    "to create it: chukka disk create {0} 20G, or -drive file={0},if=virtio,size=20G",
                    path.display()
                )
            }
            Self::Open { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                "to let the guest read it only, add readonly=on".into()
            }
            Self::Open { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                "unmount it first, or add readonly=on".into()
            }
            Self::Empty { path } => {
                format!("to make it a disk of 20 GiB: chukka disk resize {} 20G", path.display())
            }
            Self::OddSize { path, .. } => {
                format!("to fill up the last sector: truncate -s %512 {}", path.display())
            }
            Self::Format { path, .. } => format!(
                "convert it: qemu-img convert -O qcow2 {} DISK.qcow2; or, if it is raw, say format=raw",
                path.display()
            ),
            Self::NotQcow2 { .. } => "leave out format=qcow2, or say format=raw".into(),
            Self::Qcow2 { hint, .. } | Self::Size { hint, .. } => (*hint).into(),
            Self::Backing { source, .. } => return source.hint(),
            Self::Temporary { .. } => {
                "set TMPDIR to a directory that can be written to, on a file system with room"
                    .into()
            }
            Self::NoDirect { .. } => "use cache=writeback".into(),
            Self::InUse { read_only: true, .. } => {
                "wait until it no longer writes to the disk".into()
            }
            Self::InUse { .. } => {
                "while one process or -drive writes to a disk, no other can open it".into()
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                "choose another name, or delete it".into()
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "create the directory first".into()
            }
            Self::Write { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                "make room, or choose a directory on another file system".into()
            }
            Self::Write { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                "choose a directory that you can write to".into()
            }
            Self::Kind { .. } => "name a file or a block device".into(),
            Self::Open { .. } | Self::Lock { .. } | Self::Write { .. } => {
                return None;
            }
        })
    }
}
