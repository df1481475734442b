//! A directory of this host.
//!
//! Every path is resolved by the kernel itself, with openat2(2) and `RESOLVE_IN_ROOT`: the directory is the root, for `..`, for absolute
//! paths and for what symbolic links say, as it would be after chroot(2), and nobody can win a race by exchanging a directory for a
//! link. Links that were made for the directory's place in another file system, as those on a mounted medium, mean what they meant
//! there. Checks of our own before each open could not do that. rustix has the call without `unsafe`; cap-std has no absolute links.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{self, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Entry, Failure, RandomAccess, Source, SourceError, TreePath};

/// As many entries of a directory are looked at.
const ENTRIES: usize = 1 << 16;

/// A directory of this host.
#[derive(Debug)]
pub struct Directory {
    root: OwnedFd,
    name: String,
}

impl Directory {
    /// Opens the directory `path`.
    ///
    /// # Errors
    /// It is not there, is none, or may not be entered.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let shown = path.display().to_string();
        let trimmed = shown.trim_end_matches('/');
        let name = if trimmed.is_empty() { "/" } else { trimmed }.to_owned();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(root) => Ok(Self { root, name }),
            Err(Errno::NOTDIR) => {
                let found = match fs::stat(path) {
                    Ok(about) => kind(FileType::from_raw_mode(about.st_mode)),
                    Err(_) => "a file",
                };
                Err(SourceError::Kind { name, found, expected: "a directory" })
            }
            Err(error) => Err(failure(name, error)),
        }
    }

    /// Nothing is ever waited for: what could be is looked at first, without opening it.
    fn resolve(&self, path: &TreePath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if *path == TreePath::root() { Path::new(".") } else { path.as_path() };
        let flags = flags | OFlags::CLOEXEC;
        loop {
            // EAGAIN: a directory on the way was moved meanwhile.
            match fs::openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return done,
            }
        }
    }

    fn shown(&self, path: &TreePath) -> String {
        if *path == TreePath::root() {
            return self.name.clone();
        }
        format!("{}/{path}", self.name.trim_end_matches('/'))
    }
}

impl Source for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, SourceError> {
        let fail = |error| failure(self.shown(directory), error);
        let opened = self.resolve(directory, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
        let mut entries = Vec::new();
        for entry in Dir::new(opened).map_err(fail)?.take(ENTRIES) {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                entries
                    .push(Entry { name, is_directory: entry.file_type() == FileType::Directory });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, SourceError> {
        let name = self.shown(path);
        let fail = |error| failure(name.clone(), error);
        // Opening a device can do something to it, and opening a pipe waits.
        let about = fs::fstat(self.resolve(path, OFlags::PATH).map_err(fail)?).map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let about = match FileType::from_raw_mode(about.st_mode) {
            FileType::RegularFile => {
                let file = self.resolve(path, flags).map_err(fail)?;
                // It may be another one by now.
                (fs::fstat(&file).map_err(fail)?, Some(file))
            }
            _ => (about, None),
        };
        match about {
            (about, Some(file)) if FileType::from_raw_mode(about.st_mode).is_file() => {
                let opened = LocalFile::new(file.into(), name.clone());
                Ok(Box::new(opened.map_err(|source| SourceError::Io { name, source })?))
            }
            (about, _) => {
                let found = kind(FileType::from_raw_mode(about.st_mode));
                Err(SourceError::Kind { name, found, expected: "a regular file" })
            }
        }
    }
}

/// An open regular file or block device of this host.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    name: String,
    len: u64,
    version: String,
    sha256: Option<String>,
}

impl LocalFile {
    /// Takes over a file that is open for reading; `name` is for messages.
    ///
    /// # Errors
    /// As of fstat(2) and lseek(2).
    pub fn new(mut file: File, name: impl Into<String>) -> io::Result<Self> {
        // A block device has its length nowhere else.
        let len = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let version = version_of(&file)?;
        Ok(Self { file, name: name.into(), len, version, sha256: None })
    }

    /// A copy of ours of a file that is elsewhere, whose place cannot tell one version of it from the next.
    ///
    /// # Errors
    /// As of lseek(2).
    pub fn of_copy(mut copy: File, name: impl Into<String>) -> io::Result<Self> {
        let len = copy.seek(SeekFrom::End(0))?;
        copy.rewind()?;
        Ok(Self { file: copy, name: name.into(), len, version: String::new(), sha256: None })
    }

    /// The same file, whose SHA-256 somebody has counted already.
    #[must_use]
    pub fn with_sha256(self, sha256: Option<String>) -> Self {
        Self { sha256, ..self }
    }

    /// Opens a regular file or a block device.
    ///
    /// # Errors
    /// It is not there, is something else, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let fail = |error| failure(name.clone(), error);
        let is_file = |about: &fs::Stat| {
            let of = FileType::from_raw_mode(about.st_mode);
            matches!(of, FileType::RegularFile | FileType::BlockDevice).then_some(()).ok_or(of)
        };
        // Opening another device can do something to it, and opening a pipe waits.
        if let Err(of) = is_file(&fs::stat(path).map_err(fail)?) {
            let expected = "a regular file or a block device";
            return Err(SourceError::Kind { name, found: kind(of), expected });
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = fs::openat(CWD, path, flags, Mode::empty()).map_err(fail)?;
        if let Err(of) = is_file(&fs::fstat(&file).map_err(fail)?) {
            let expected = "a regular file or a block device";
            return Err(SourceError::Kind { name, found: kind(of), expected });
        }
        Self::new(file.into(), name.clone()).map_err(|source| SourceError::Io { name, source })
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

    fn sha256(&self) -> io::Result<Option<String>> {
        Ok(self.sha256.clone())
    }

    fn into_file(self: Box<Self>) -> io::Result<File> {
        // What was checked in it is to be what is booted.
        if !self.version.is_empty() && version_of(&self.file)? != self.version {
            return Err(Failure::new(
                "it was changed while it was looked at",
                "wait until it is whole, and start again",
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

fn kind(of: FileType) -> &'static str {
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

fn failure(name: String, error: Errno) -> SourceError {
    match error {
        // ENOTDIR: a name on the way is a file's.
        Errno::NOENT | Errno::NOTDIR => SourceError::Missing(name),
        error => SourceError::Io { name, source: error.into() },
    }
}
