//! Files and block devices of the host.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{self, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Failure, FileError};
use crate::file::RandomAccess;

/// An open regular file or block device of the host.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    name: String,
    len: u64,
    version: String,
    sha256: Option<String>,
    is_private: bool,
    is_cut: bool,
}

impl LocalFile {
    /// Wraps a file that is open for reading; `name` is for messages.
    ///
    /// # Errors
    /// As of fstat(2) and lseek(2).
    pub fn new(mut file: File, name: impl Into<String>) -> io::Result<Self> {
        // fstat(2) does not report a block device's length.
        let len = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let version = version_of(&file)?;
        let is_private = !Mode::from_raw_mode(fs::fstat(&file)?.st_mode).contains(Mode::ROTH);
        let (name, sha256, is_cut) = (name.into(), None, false);
        Ok(Self { file, name, len, version, sha256, is_private, is_cut })
    }

    /// Wraps our own copy of a remote file whose source cannot tell versions apart; `is_cut`:
    /// [`RandomAccess::is_cut`].
    ///
    /// # Errors
    /// See lseek(2).
    pub fn of_copy(mut copy: File, name: impl Into<String>, is_cut: bool) -> io::Result<Self> {
        let len = copy.seek(SeekFrom::End(0))?;
        copy.rewind()?;
        let (name, version) = (name.into(), String::new());
        Ok(Self { file: copy, name, len, version, sha256: None, is_private: false, is_cut })
    }

    /// The same file once more, by a descriptor of its own.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        let (name, version, sha256) =
            (self.name.clone(), self.version.clone(), self.sha256.clone());
        let (file, len) = (self.file.try_clone()?, self.len);
        let (is_private, is_cut) = (self.is_private, self.is_cut);
        Ok(Self { file, name, len, version, sha256, is_private, is_cut })
    }

    /// The same file, which is a copy of one that is private or not.
    #[must_use]
    pub fn with_privacy(self, is_private: bool) -> Self {
        Self { is_private, ..self }
    }

    /// The same file with a known SHA-256.
    #[must_use]
    pub fn with_sha256(self, sha256: Option<String>) -> Self {
        Self { sha256, ..self }
    }

    /// Opens a regular file or a block device.
    ///
    /// # Errors
    /// It does not exist, is of another type, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let name = path.display().to_string();
        let fail = |error| failure(name.clone(), error);
        let is_file = |about: &fs::Stat| {
            let of = FileType::from_raw_mode(about.st_mode);
            matches!(of, FileType::RegularFile | FileType::BlockDevice).then_some(()).ok_or(of)
        };
        // Opening other devices can have side effects, and opening a pipe blocks.
        if let Err(of) = is_file(&fs::stat(path).map_err(fail)?) {
            let expected = "a regular file or a block device";
            return Err(FileError::Kind { name, found: kind(of), expected });
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = fs::openat(CWD, path, flags, Mode::empty()).map_err(fail)?;
        if let Err(of) = is_file(&fs::fstat(&file).map_err(fail)?) {
            let expected = "a regular file or a block device";
            return Err(FileError::Kind { name, found: kind(of), expected });
        }
        Self::new(file.into(), name.clone()).map_err(|source| FileError::Io { name, source })
    }
}

impl RandomAccess for LocalFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(to, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn is_private(&self) -> bool {
        self.is_private
    }

    fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn sha256(&self) -> io::Result<Option<String>> {
        Ok(self.sha256.clone())
    }

    fn into_file(self: Box<Self>) -> io::Result<File> {
        // The file that boots must be the file that was checked.
        if !self.version.is_empty() && version_of(&self.file)? != self.version {
            return Err(Failure::new(
                "the file changed while chukka was reading it",
                "wait until it is complete, and try again",
            )
            .into());
        }
        Ok(self.file)
    }
}

/// What tells a file from what it was before: as `HostFile` of `fw_cfg` has it.
fn version_of(file: &File) -> io::Result<String> {
    let about = fs::fstat(file)?;
    let times = [about.st_mtime, about.st_ctime];
    let parts = [about.st_mtime_nsec, about.st_ctime_nsec];
    Ok(format!("{:x}-{:x}-{:x}-{times:x?}-{parts:x?}", about.st_dev, about.st_ino, about.st_size))
}

/// The name of this file type in messages.
pub(crate) fn kind(of: FileType) -> &'static str {
    match of {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Fifo => "a pipe",
        FileType::BlockDevice => "a block device",
        FileType::CharacterDevice => "a character device",
        FileType::Socket => "a socket",
        _ => "a special file",
    }
}

/// The error for `name` after a failed system call.
pub(crate) fn failure(name: String, error: Errno) -> FileError {
    match error {
        // ENOTDIR: a component of the path is a file.
        Errno::NOENT | Errno::NOTDIR => FileError::Missing(name),
        error => FileError::Io { name, source: error.into() },
    }
}
