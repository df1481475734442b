//! A place with directories and files that can be read anywhere: what every kind of location is to the rest.

mod directory;
mod path;

use std::fmt::Debug;
use std::fs::File;
use std::io;

use thiserror::Error;

pub use directory::{Directory, LocalFile};
pub use path::TreePath;

/// A place that files are looked for in. No path leads out of it: `..` stops at its root, and so does a symbolic link.
pub trait Source: Debug {
    /// What messages call it: as the user named it, without a slash at the end.
    fn name(&self) -> &str;

    /// What is in a directory, sorted by name; what begins with a dot too, `.` and `..` not.
    ///
    /// # Errors
    /// It is not there, is no directory, or cannot be read.
    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, SourceError>;

    /// Opens a regular file. Never blocks on what is none.
    ///
    /// # Errors
    /// It is not there, is no regular file, or cannot be opened.
    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, SourceError>;
}

/// The bytes of a file in a [`Source`].
pub trait RandomAccess: Debug {
    /// What messages call it: the source's name and the path in it.
    fn name(&self) -> &str;

    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads from byte `at` on into `to`; how many bytes it read, 0 only at the end or for an empty `to`.
    ///
    /// # Errors
    /// As the place has it; never [`io::ErrorKind::Interrupted`].
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize>;

    /// The file of this host that has exactly these bytes, where there is one.
    ///
    /// # Errors
    /// There is none: itself.
    fn into_file(self: Box<Self>) -> Result<File, Box<dyn RandomAccess>>;
}

/// What a directory has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; what is not UTF-8 in it is replaced, and so cannot be opened by it.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// Why something in a place cannot be used.
#[derive(Debug, Error)]
pub enum SourceError {
    /// There is nothing of that name.
    #[error("'{0}' is not there")]
    Missing(String),
    /// It is something else.
    #[error("'{name}' is {found}, expected {expected}")]
    Kind {
        /// What it is called.
        name: String,
        /// What it is: "a directory", "a pipe".
        found: &'static str,
        /// What it was to be.
        expected: &'static str,
    },
    /// It is there and cannot be read.
    #[error("Cannot read '{name}'")]
    Io {
        /// What it is called.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl SourceError {
    /// Whether there just is nothing of that name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// Reads a whole file of at most `limit` bytes; `None`: it is longer.
///
/// # Errors
/// As of [`RandomAccess::read_at`].
pub fn read_whole(file: &dyn RandomAccess, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = head(file, limit.saturating_add(1))?;
    let fits = bytes.len() <= limit;
    bytes.truncate(limit);
    Ok(fits.then_some(bytes))
}

/// The first bytes of a file: as many as there are, `most` at most.
///
/// # Errors
/// As of [`RandomAccess::read_at`].
pub fn head(file: &dyn RandomAccess, most: usize) -> io::Result<Vec<u8>> {
    let most = usize::try_from(file.len()).map_or(most, |len| len.min(most));
    let mut bytes = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Hands all bytes of a file to `take`, in order and in pieces of 1 MiB at most; how many there were.
///
/// # Errors
/// As of [`RandomAccess::read_at`] and `take`.
pub fn each_piece(
    file: &dyn RandomAccess,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    const PIECE: usize = 1 << 20;
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(at),
            count => {
                take(&buffer[..count])?;
                at += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests;
