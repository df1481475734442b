//! Files of the host that items are made of, and how it is known that they stay as they were.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::host::status;

/// What the guest does with a file's bytes once it has them. It decides whether they are worth being mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// It reads them once, or not at all: an initrd.
    #[default]
    Data,
    /// It runs in them and writes over them: a kernel.
    Code,
}

/// An open file of the host, its name for messages, and what it was like when it was opened.
#[derive(Debug)]
pub struct HostFile {
    file: File,
    name: PathBuf,
    version: Option<Version>,
}

/// What changes when a file's content does. A file that is rewritten within one tick of the host's clock (4 ms at most, and none
/// on file systems with fine-grained times) after it was opened is not told from one that is not.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Version {
    /// `None`: not a regular file, whose length and times say nothing about its content.
    fn of(about: &libc::stat) -> Option<Self> {
        let is_file = about.st_mode & libc::S_IFMT == libc::S_IFREG;
        let len = u64::try_from(about.st_size).ok().filter(|_| is_file)?;
        Some(Self { len, modified: (about.st_mtime, about.st_mtime_nsec) })
    }
}

impl HostFile {
    /// Takes an open file over. `name` is for messages. Nobody else may have the same descriptor by dup(2): a lease on it would be given
    /// back for both; one of its own comes from opening the file, or /proc/self/fd/N.
    pub fn new(file: File, name: impl Into<PathBuf>) -> Self {
        let version = status(&file).ok().as_ref().and_then(Version::of);
        Self { file, name: name.into(), version }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name, as given.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Its length in bytes when it was taken over; 0 for what is no regular file.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        self.version.as_ref().map_or(0, |version| version.len)
    }

    /// How many bytes it has now; `None` for what is no regular file.
    pub(crate) fn len_now(&self) -> Option<u64> {
        Version::of(&status(&self.file).ok()?).map(|now| now.len)
    }

    /// Whether it still is what it was when it was taken over. It is asked after the bytes have been read, so that no other
    /// content is ever taken for the first.
    ///
    /// # Errors
    /// It ends before `end` now, or has been written to.
    pub(crate) fn check(&self, end: u64) -> io::Result<()> {
        // What had fewer bytes than are asked of it from the start, as files of procfs have, tells nothing by its length.
        let Some(version) = self.version.as_ref().filter(|version| version.len >= end) else {
            return Ok(());
        };
        let now = Version::of(&status(&self.file)?);
        match now {
            Some(now) if now == *version => Ok(()),
            Some(now) if now.len < end => {
                let what = format!("it ends at byte {}, {end} were expected", now.len);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it has been written to since it was opened",
            )),
        }
    }
}

/// A range of bytes of a file, which is read when the guest asks for it.
#[derive(Clone, Debug)]
pub struct FileRange {
    file: Arc<HostFile>,
    range: Range<u64>,
    content: Content,
}

impl FileRange {
    /// Bytes `range` of `file`, which has no name.
    pub fn new(file: File, range: Range<u64>) -> Self {
        Self::of(&Arc::new(HostFile::new(file, "")), range)
    }

    /// Bytes `range` of `file`.
    pub fn of(file: &Arc<HostFile>, range: Range<u64>) -> Self {
        let range = range.start..range.end.max(range.start);
        Self { file: Arc::clone(file), range, content: Content::default() }
    }

    /// The same, to be used as `content`.
    #[must_use]
    pub fn used_as(self, content: Content) -> Self {
        Self { content, ..self }
    }

    /// How many bytes there were when it was made.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The file it is a range of.
    pub fn file(&self) -> &Arc<HostFile> {
        &self.file
    }

    /// What the guest does with it.
    pub(crate) fn content(&self) -> Content {
        self.content
    }

    /// Where `part` of it is in the file.
    pub(crate) fn in_file(&self, part: &Range<u64>) -> Range<u64> {
        self.range.start + part.start..self.range.start + part.end
    }

    /// Fills `to` from byte `offset` of the range on. The caller has checked that there are as many.
    ///
    /// # Errors
    /// It cannot be read, has become shorter, or has been written to.
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let start = self.range.start + offset;
        self.file.file.read_exact_at(to, start)?;
        self.file.check(start + to.len() as u64)
    }
}
