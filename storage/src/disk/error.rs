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
    #[error("The disk {} is {format}, not a raw image", path.display())]
    Format {
        /// The image.
        path: PathBuf,
        /// What it is.
        format: &'static str,
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
                format!("to create a disk of 20 GiB: truncate -s 20G {}", path.display())
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
                format!("to make it a disk of 20 GiB: truncate -s 20G {}", path.display())
            }
            Self::OddSize { path, .. } => {
                format!("to fill up the last sector: truncate -s %512 {}", path.display())
            }
            Self::Format { path, .. } => format!(
                "convert it: qemu-img convert -O raw {} DISK.raw; or, if it is raw, say format=raw",
                path.display()
            ),
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
            Self::Open { .. } | Self::Kind { .. } | Self::Lock { .. } => return None,
        })
    }
}
