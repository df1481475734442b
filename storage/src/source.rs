//! A place with directories and files that can be read anywhere: what every kind of location is to the rest.

mod directory;
mod error;
mod path;
mod slice;

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

use crate::host_file;

pub use directory::{Directory, LocalFile};
pub use error::{Failure, SourceError, hint_of};
pub use path::TreePath;
pub use slice::{Slice, Unread};

/// A place that files are looked for in. No path leads out of it: `..` stops at its root, and so does a symbolic link.
pub trait Source: Debug + Send + Sync {
    /// What messages call it: as the user named it, without a slash at the end.
    fn name(&self) -> &str;

    /// The name that a medium or a file system has given itself, by which Linux finds it (`hd:LABEL=`).
    fn label(&self) -> Option<&str> {
        None
    }

    /// What is in a directory, sorted by name; what begins with a dot too, `.` and `..` not.
    ///
    /// # Errors
    /// It is not there, is no directory, or cannot be read; [`SourceError::Unlisted`]: the place does not tell what it has.
    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, SourceError>;

    /// Opens a regular file. Never blocks on what is none. The root may be one: a URL or path that is a file itself.
    ///
    /// # Errors
    /// It is not there, is no regular file, or cannot be opened.
    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, SourceError>;
}

/// The bytes of a file in a [`Source`].
pub trait RandomAccess: Debug + Send + Sync {
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

    /// All bytes from `from` on, in one go. A place that is far away has them sent without a question for each piece.
    ///
    /// # Errors
    /// As of [`Self::read_at`]; so has what is read from it.
    fn stream(&self, from: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Unread::of(self, from)))
    }

    /// The bytes of `range` as [`Self::stream`] has them, and no byte behind them is asked for.
    ///
    /// # Errors
    /// As of [`Self::stream`].
    fn stream_range(&self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        let count = range.end.saturating_sub(range.start);
        Ok(Box::new(self.stream(range.start)?.take(count)))
    }

    /// The SHA-256 of all its bytes, in hexadecimal, where it comes with getting them; what is far away and kept here is got by this. `None`:
    /// nobody has counted it in this run.
    ///
    /// # Errors
    /// As of [`Self::read_at`].
    fn sha256(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    /// Whether it can only be read from its beginning at a reasonable price: images in it are copied before they are looked into.
    fn is_sequential(&self) -> bool {
        false
    }

    /// Something that differs when the bytes do, as far as the place can tell: an HTTP `ETag`, a time of change. Empty: it cannot.
    fn version(&self) -> String {
        String::new()
    }

    /// A file of this host that has exactly these bytes: its own where it is one, else a copy in the host's memory.
    ///
    /// # Errors
    /// It cannot be read, it is another one by now, or there is no memory.
    fn into_file(self: Box<Self>) -> io::Result<File> {
        host_file::copy_of(&*self)
    }
}

/// What a directory has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; what is not UTF-8 in it is replaced, and so cannot be opened by it.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
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
    file: &(impl RandomAccess + ?Sized),
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    const PIECE: usize = 1 << 20;
    let mut buffer = vec![0; PIECE];
    let mut stream = file.stream(0)?;
    let mut at = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(at),
            Ok(count) => {
                take(&buffer[..count])?;
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
