//! Files of the host that are moved into guest memory, and how changes to them are noticed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::host::status;

/// How the guest uses a file's bytes, which determines whether mapping them pays off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// It reads them at most once, like an initrd.
    #[default]
    Data,
    /// It executes and overwrites them, like a kernel. Never mapped.
    Code,
}

/// An open file of the host, its name for messages, and its version when it was opened.
#[derive(Debug)]
pub struct HostFile {
    file: File,
    name: PathBuf,
    version: Option<Version>,
}

/// Length and modification time. A change within one tick of the host's clock (at most 4 ms, less
/// on file systems with fine-grained timestamps) after the file was opened goes unnoticed.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Version {
    /// `None` if it is not a regular file: its length and times then do not describe its content.
    fn of(about: &libc::stat) -> Option<Self> {
        let is_file = about.st_mode & libc::S_IFMT == libc::S_IFREG;
        let len = u64::try_from(about.st_size).ok().filter(|_| is_file)?;
        Some(Self { len, modified: (about.st_mtime, about.st_mtime_nsec) })
    }
}

impl HostFile {
    /// Takes an open file. `name` is for messages. The descriptor must not be shared by dup(2):
    /// releasing a lease would release it for both. Open the file, or /proc/self/fd/N, again
    /// instead.
    pub fn new(file: File, name: impl Into<PathBuf>) -> Self {
        let version = status(&file).ok().as_ref().and_then(Version::of);
        Self { file, name: name.into(), version }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name, as passed to [`HostFile::new`].
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Its length in bytes when it was opened; 0 if it is not a regular file.
    #[expect(clippy::len_without_is_empty, reason = "no caller needs is_empty")]
    pub fn len(&self) -> u64 {
        self.version.as_ref().map_or(0, |version| version.len)
    }

    /// Its current length in bytes; `None` if it is not a regular file.
    pub(crate) fn len_now(&self) -> Option<u64> {
        Version::of(&status(&self.file).ok()?).map(|now| now.len)
    }

    /// Checks that the file is unchanged since it was opened. Call it after reading, so that new
    /// content is never taken for the original.
    ///
    /// # Errors
    /// The file now ends before byte `end`, or was modified.
    pub(crate) fn check(&self, end: u64) -> io::Result<()> {
        // The length of a file in procfs is 0 regardless of its content, so only trust a length
        // that covered `end` when the file was opened.
        let Some(version) = self.version.as_ref().filter(|version| version.len >= end) else {
            return Ok(());
        };
        let now = Version::of(&status(&self.file)?);
        match now {
            Some(now) if now == *version => Ok(()),
            Some(now) if now.len < end => {
                let what = format!("it now ends at byte {}, before byte {end}", now.len);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it was modified after it was opened",
            )),
        }
    }
}

/// A range of bytes of an open file, read only when it is moved into guest memory.
#[derive(Clone, Debug)]
pub struct FileRange {
    file: Arc<HostFile>,
    range: Range<u64>,
    content: Content,
}

impl FileRange {
    /// Bytes `range` of `file`, without a name for messages.
    pub fn new(file: File, range: Range<u64>) -> Self {
        Self::of(&Arc::new(HostFile::new(file, "")), range)
    }

    /// Bytes `range` of `file`.
    pub fn of(file: &Arc<HostFile>, range: Range<u64>) -> Self {
        let range = range.start..range.end.max(range.start);
        Self { file: Arc::clone(file), range, content: Content::default() }
    }

    /// The same range with another [`Content`].
    #[must_use]
    pub fn used_as(self, content: Content) -> Self {
        Self { content, ..self }
    }

    /// Its length in bytes, regardless of the file's length.
    #[expect(clippy::len_without_is_empty, reason = "no caller needs is_empty")]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The file it is a range of.
    pub fn file(&self) -> &Arc<HostFile> {
        &self.file
    }

    /// How the guest uses its bytes.
    pub(crate) fn content(&self) -> Content {
        self.content
    }

    /// The file offsets of `part`.
    pub(crate) fn in_file(&self, part: &Range<u64>) -> Range<u64> {
        self.range.start + part.start..self.range.start + part.end
    }

    /// Fills `to` with the bytes from `offset` in the range. The caller has checked that the range
    /// is long enough.
    ///
    /// # Errors
    /// The file cannot be read, is too short now, or was modified.
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let start = self.range.start + offset;
        self.file.file.read_exact_at(to, start)?;
        self.file.check(start + to.len() as u64)
    }
}
