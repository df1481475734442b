//! Files that are loaded into guest memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest_memory::Content;
use guest_memory::{FileRange, HostFile};
use thiserror::Error;

/// A regular file opened for reading, with its name and its length when it was opened.
#[derive(Clone, Debug)]
pub struct SourceFile {
    file: Arc<HostFile>,
}

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It could not be opened.
    #[error("Cannot open the {role} '{}'", path.display())]
    Open {
        /// The file's role: "kernel", "initrd".
        role: &'static str,
        /// Its name.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// It exists, but is not a regular file.
    #[error("The {role} '{}' is {found}, expected a regular file", path.display())]
    Kind {
        /// The file's role.
        role: &'static str,
        /// Its name.
        path: PathBuf,
        /// Its kind: "a directory", "a pipe".
        found: &'static str,
    },
    /// The file is empty.
    #[error("The {role} '{}' is empty (0 bytes)", path.display())]
    Empty {
        /// The file's role.
        role: &'static str,
        /// Its name.
        path: PathBuf,
    },
}

impl SourceError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Open { role, source, .. } => match source.kind() {
                io::ErrorKind::NotFound => format!("check the path given to -{role}; a relative one starts at the current directory"),
                io::ErrorKind::PermissionDenied => {
                    "make sure that you may read it: many distributions let only root read /boot/vmlinuz-*; use a readable copy".into()
                }
                _ => format!("check the file given to -{role}"),
            },
            Self::Kind { role, found, .. } => match *found {
                "a directory" => format!("-{role} takes one file; name the file inside the directory"),
                _ => "write it to a file first".into(),
            },
            Self::Empty { role, .. } => match *role {
                "initrd" => "leave out -initrd, or build the archive again".into(),
                _ => "the download or copy may be incomplete".into(),
            },
        }
    }
}

impl SourceFile {
    /// Opens `path`; messages refer to it by `role` ("kernel", "initrd"). Never blocks, even on a
    /// pipe.
    ///
    /// # Errors
    /// [`SourceError`]: cannot be opened, not a regular file, or empty.
    pub fn open(path: &Path, role: &'static str) -> Result<Self, SourceError> {
        const O_NONBLOCK: i32 = 0o4000; // so that opening a FIFO returns at once (open(2)); no effect on regular files
        let open_error = |source| SourceError::Open { role, path: path.into(), source };
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(path)
            .map_err(open_error)?;
        Self::opened(file, path, role)
    }

    /// Takes ownership of a file that is already open for reading. `name` is used in messages and
    /// need not exist as a path.
    ///
    /// # Errors
    /// [`SourceError`]: not a regular file, or empty.
    pub fn opened(
        file: File,
        name: impl Into<PathBuf>,
        role: &'static str,
    ) -> Result<Self, SourceError> {
        let path = name.into();
        let metadata = match file.metadata() {
            Ok(metadata) => metadata,
            Err(source) => return Err(SourceError::Open { role, path, source }),
        };
        let kind = metadata.file_type();
        if !kind.is_file() {
            let found = match () {
                () if kind.is_dir() => "a directory",
                () if kind.is_fifo() => "a pipe",
                () if kind.is_block_device() => "a block device",
                () if kind.is_char_device() => "a character device",
                () => "a special file",
            };
            return Err(SourceError::Kind { role, path, found });
        }
        if metadata.len() == 0 {
            return Err(SourceError::Empty { role, path });
        }
        Ok(Self { file: Arc::new(HostFile::new(file, path)) })
    }

    /// Its name, as given.
    pub fn path(&self) -> &Path {
        self.file.name()
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// Bytes `range` of the file, which the guest will use as `content`.
    pub fn range(&self, range: Range<u64>, content: Content) -> FileRange {
        FileRange::of(&self.file, range).used_as(content)
    }

    /// Length in bytes when the file was opened.
    pub fn len(&self) -> u64 {
        self.file.len()
    }

    /// Whether the file was empty when opened. Never true, because [`SourceFile::open`] rejects
    /// empty files.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `N` bytes of the file, or all of them if it is shorter.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn head<const N: usize>(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; N];
        let mut filled = 0;
        while filled < N {
            match self.file().read_at(&mut head[filled..], filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        head.truncate(filled);
        Ok(head)
    }
}

#[cfg(test)]
mod tests;
