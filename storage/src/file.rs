//! Files: the trait that every file has, and what can be done with any of them.

pub mod local;
pub mod page_cache;
pub mod slice;

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;

use crate::error::Failure;
use crate::host_file;

/// The bytes of a file, wherever they are. Threads may share it.
pub trait RandomAccess: Debug + Send + Sync {
    /// Its name in messages: the tree's name and the path in it.
    fn name(&self) -> &str;

    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether the file is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads into `to` from byte `at`. Returns the number of bytes read; 0 only at the end of the
    /// file or for an empty `to`.
    ///
    /// # Errors
    /// Whatever the underlying file or server reports; never [`io::ErrorKind::Interrupted`].
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize>;

    /// Streams all bytes from `from`. A server sends them in one response instead of one for each
    /// piece.
    ///
    /// # Errors
    /// See [`Self::read_at`]; reads from the stream fail likewise.
    fn stream(&self, from: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Unread::of(self, from)))
    }

    /// Streams the bytes of `range`, and requests none beyond them.
    ///
    /// # Errors
    /// See [`Self::stream`].
    fn stream_range(&self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        let count = range.end.saturating_sub(range.start);
        Ok(Box::new(self.stream(range.start)?.take(count)))
    }

    /// The SHA-256 of the whole file in hexadecimal, if fetching the file computes it; a file that
    /// is cached is fetched by this. `None`: it was not computed in this run.
    ///
    /// # Errors
    /// See [`Self::read_at`].
    fn sha256(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    /// Whether random access is expensive because the file can only be read from its beginning.
    /// Such an image is copied before it is opened.
    fn is_sequential(&self) -> bool {
        false
    }

    /// Whether these are only the first bytes of a longer file, of which [`FileTree::open_short`]
    /// takes no more.
    ///
    /// [`FileTree::open_short`]: crate::FileTree::open_short
    fn is_cut(&self) -> bool {
        false
    }

    /// A version that changes with the content: an HTTP `ETag`, a modification time. Empty if there
    /// is none.
    fn version(&self) -> String {
        String::new()
    }

    /// Whether it is a file of this host that not everyone may read: then nobody else may read a
    /// copy of it.
    fn is_private(&self) -> bool {
        false
    }

    /// A file of this host with exactly these bytes: the file itself if it is local, otherwise a
    /// copy in memory.
    ///
    /// # Errors
    /// It cannot be read, it has changed, or there is not enough memory.
    fn into_file(self: Box<Self>) -> io::Result<File> {
        copy_to_memory(&*self)
    }
}

/// Reads a whole file of at most `limit` bytes. `None` if it is longer. A remote file is cached.
///
/// # Errors
/// See [`RandomAccess::stream`].
pub fn read_whole(file: &dyn RandomAccess, limit: usize) -> io::Result<Option<Vec<u8>>> {
    // What is not used is not fetched either.
    if file.len() > limit as u64 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.stream(0)?.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// The first bytes of a file, at most `most`.
///
/// # Errors
/// See [`RandomAccess::read_at`].
pub fn head(file: &dyn RandomAccess, most: usize) -> io::Result<Vec<u8>> {
    let most = usize::try_from(file.len()).map_or(most, |len| len.min(most));
    let mut bytes = vec![0; most];
    let filled = fill(&mut bytes, |to, filled| file.read_at(to, filled as u64))?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Calls `read` until `to` is full or `read` returns 0; returns the number of bytes read. `read`
/// gets what is left of `to`, and how many bytes are filled already.
///
/// # Errors
/// See `read`.
pub fn fill<E>(
    to: &mut [u8],
    mut read: impl FnMut(&mut [u8], usize) -> Result<usize, E>,
) -> Result<usize, E> {
    let mut filled = 0;
    while filled < to.len() {
        match read(&mut to[filled..], filled)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Passes all bytes of a file to `take`, in order and in pieces of at most 1 MiB. Returns the
/// number of bytes.
///
/// # Errors
/// See [`RandomAccess::read_at`] and `take`.
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

/// Writes all bytes of a file to `to`, and no more than the length it reported.
///
/// # Errors
/// It cannot be read or written, or does not have the length it reported.
pub fn copy_exactly(
    bytes: &(impl RandomAccess + ?Sized),
    to: &mut (impl Write + ?Sized),
) -> io::Result<()> {
    let len = bytes.len();
    let changed = |how: String| Failure::new(how, "was it changed while it was read? try again");
    let mut left = len;
    each_piece(bytes, |piece| {
        let longer = || changed(format!("the file is longer than the {len} bytes it had"));
        left = left.checked_sub(piece.len() as u64).ok_or_else(longer)?;
        to.write_all(piece)
    })?;
    if left > 0 {
        let problem = format!("the file ended after {} bytes, expected {len}", len - left);
        return Err(changed(problem).into());
    }
    Ok(())
}

/// A read-only copy of `bytes` in this host's memory, without a name.
///
/// # Errors
/// It cannot be read, does not have the length it reported, or there is not enough memory.
pub fn copy_to_memory(bytes: &(impl RandomAccess + ?Sized)) -> io::Result<File> {
    let mut memory = host_file::in_memory()?;
    copy_exactly(bytes, &mut memory)?;
    host_file::read_only(&memory)
}

/// A stream over [`RandomAccess::read_at`].
#[derive(Debug)]
pub struct Unread<'a, F: RandomAccess + ?Sized> {
    file: &'a F,
    at: u64,
}

impl<'a, F: RandomAccess + ?Sized> Unread<'a, F> {
    /// Starts at byte `at`.
    pub fn of(file: &'a F, at: u64) -> Self {
        Self { file, at }
    }
}

impl<F: RandomAccess + ?Sized> Read for Unread<'_, F> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(to, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Temp;
    use crate::{FileTree, TreePath};

    /// A file that comes over a network.
    #[derive(Debug)]
    struct Elsewhere(Vec<u8>);

    impl RandomAccess for Elsewhere {
        fn name(&self) -> &str {
            "elsewhere"
        }

        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
            // Seven bytes at a time at most.
            let rest = self.0.iter().skip(usize::try_from(at).unwrap());
            Ok(to.iter_mut().take(7).zip(rest).map(|(to, from)| *to = *from).count())
        }
    }

    fn whole(mut file: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// A file whose length is another one than it reports.
    #[derive(Debug)]
    struct Changed {
        reported: u64,
        bytes: Vec<u8>,
    }

    impl RandomAccess for Changed {
        fn name(&self) -> &str {
            "changed"
        }

        fn len(&self) -> u64 {
            self.reported
        }

        fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
            let rest = &self.bytes[usize::try_from(at).unwrap().min(self.bytes.len())..];
            let count = rest.len().min(to.len());
            to[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
    }

    #[test]
    fn exactly_the_reported_length_is_copied() {
        for (reported, expected) in [
            (3, Ok(())),
            (2, Err("the file is longer than the 2 bytes it had")),
            (4, Err("the file ended after 3 bytes, expected 4")),
        ] {
            let mut copy = Vec::new();
            let copied = copy_exactly(&Changed { reported, bytes: b"abc".into() }, &mut copy);
            assert_eq!(copied.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
            assert!(copy.len() as u64 <= reported, "{reported}: {copy:?}");
        }
    }

    /// A server sends a file that can only be read from its beginning as a whole.
    #[test]
    fn nothing_is_read_of_a_file_that_is_longer_than_the_limit() {
        #[derive(Debug)]
        struct Unreadable;
        impl RandomAccess for Unreadable {
            fn name(&self) -> &str {
                "unreadable"
            }
            fn len(&self) -> u64 {
                11
            }
            fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
                Err(io::Error::other("read"))
            }
        }
        assert_eq!(read_whole(&Unreadable, 10).unwrap(), None);
        assert_eq!(read_whole(&Unreadable, 11).unwrap_err().to_string(), "read");
    }

    #[test]
    fn remote_files_are_copied_and_local_ones_are_not() {
        let bytes: Vec<u8> = (0..100).collect();
        assert_eq!(whole(Box::new(Elsewhere(bytes.clone())).into_file().unwrap()), bytes);
        let temp = Temp::of(&["here"]);
        let mut file = temp.source().open(&TreePath::new("here")).unwrap().into_file().unwrap();
        temp.file("here", b"changed");
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "changed", "it is the file itself");
    }
}
