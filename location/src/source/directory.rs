//! A directory of this host.
//!
//! Every path is resolved by the kernel itself, with openat2(2) and `RESOLVE_IN_ROOT`: the directory is the root, for `..`, for absolute
//! paths and for what symbolic links say, as it would be after chroot(2), and nobody can win a race by exchanging a directory for a
//! link. Links that were made for the directory's place in another file system, as those on a mounted medium, mean what they meant
//! there. Checks of our own before each open could not do that. rustix has the call without `unsafe`; cap-std has no absolute links.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{self, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Entry, RandomAccess, Source, SourceError, TreePath};

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
                let len = u64::try_from(about.st_size).unwrap_or(0);
                Ok(Box::new(LocalFile { file: file.into(), name, len }))
            }
            (about, _) => {
                let found = kind(FileType::from_raw_mode(about.st_mode));
                Err(SourceError::Kind { name, found, expected: "a regular file" })
            }
        }
    }
}

/// An open regular file of this host.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    name: String,
    len: u64,
}

impl LocalFile {
    /// Takes over a file that is open for reading; `name` is for messages.
    ///
    /// # Errors
    /// As of fstat(2).
    pub fn new(file: File, name: impl Into<String>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, name: name.into(), len })
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

    fn into_file(self: Box<Self>) -> Result<File, Box<dyn RandomAccess>> {
        Ok(self.file)
    }
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
