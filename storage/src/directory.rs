//! A directory of this host.
//!
//! Every path is resolved by the kernel itself, with openat2(2) and `RESOLVE_IN_ROOT`: the
//! directory is the root, for `..`, for absolute paths and for what symbolic links say, as it would
//! be after chroot(2), and nobody can win a race by exchanging a directory for a link. Links that
//! were made for the directory's place in another file system, as those on a mounted medium, mean
//! what they meant there. Checks of our own before each open could not do that. rustix has the call
//! without `unsafe`; cap-std has no absolute links.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self, CWD, Dir, FileType, FsWord, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::file::local::{LocalFile, failure, kind};
use crate::{Entry, FileError, FileTree, RandomAccess, TreePath};

/// Maximum number of directory entries read.
const ENTRIES: usize = 1 << 16;

/// File systems whose files are the kernel's own state, such as memory and logs, or act when they
/// are read: procfs, sysfs, debugfs, tracefs, securityfs, SELinux's, control groups 1 and 2, BPF's,
/// EFI variables, crash logs, and message queues (Linux, include/uapi/linux/magic.h and
/// ipc/mqueue.c).
const OF_KERNEL: [FsWord; 12] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xf97c_ff8c,
    0x0027_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0xde5e_81e4,
    0x6165_676c,
    0x1980_0202,
];

/// A directory of this host.
#[derive(Clone, Debug)]
pub struct Directory {
    root: Arc<OwnedFd>,
    name: String,
    opener: Option<Arc<dyn Opener>>,
}

/// What a path in a directory is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenFor {
    /// What kind of file it is.
    Kind,
    /// The entries of a directory.
    Entries,
    /// The bytes of a regular file.
    Bytes,
}

impl OpenFor {
    fn flags(self) -> OFlags {
        match self {
            Self::Kind => OFlags::PATH,
            Self::Entries => OFlags::RDONLY | OFlags::DIRECTORY,
            Self::Bytes => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        }
    }
}

/// Opens files on behalf of a process that may not open them itself.
pub trait Opener: fmt::Debug + Send + Sync {
    /// Opens a path of one directory, as [`Directory::open_for`] does.
    ///
    /// # Errors
    /// An error of the system.
    fn open(&self, path: &TreePath, wanted: OpenFor) -> io::Result<OwnedFd>;
}

impl Directory {
    /// Opens the directory `path`.
    ///
    /// # Errors
    /// It is not there, is none, or may not be entered.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let shown = path.display().to_string();
        let trimmed = shown.trim_end_matches('/');
        let name = if trimmed.is_empty() { "/" } else { trimmed }.to_owned();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(root) => Ok(Self { root: Arc::new(root), name, opener: None }),
            Err(Errno::NOTDIR) => {
                let found = match fs::stat(path) {
                    Ok(about) => kind(FileType::from_raw_mode(about.st_mode)),
                    Err(_) => "a file",
                };
                Err(FileError::Kind { name, found, expected: "a directory" })
            }
            Err(error) => Err(failure(name, error)),
        }
    }

    /// The same directory, with somebody who is asked to open what this process may not.
    #[must_use]
    pub fn with_opener(self, opener: Arc<dyn Opener>) -> Self {
        Self { opener: Some(opener), ..self }
    }

    /// Opens a path on behalf of a process that may not do so, and that an attacker may have taken
    /// over: only a regular file is opened for its bytes, and nothing is opened in a file system of
    /// the kernel, such as procfs. For its kind, a file of any type gets a descriptor that neither
    /// reads nor writes (`O_PATH`).
    ///
    /// # Errors
    /// As of openat2(2); permission is denied for other files.
    pub fn open_for(&self, path: &TreePath, wanted: OpenFor) -> io::Result<OwnedFd> {
        let directory = wanted.flags() & OFlags::DIRECTORY;
        let found = self.resolve(path, OpenFor::Kind.flags() | directory)?;
        if wanted == OpenFor::Kind {
            return Ok(found);
        }
        let kind = FileType::from_raw_mode(fs::fstat(&found)?.st_mode);
        let system = fs::fstatfs(&found)?.f_type;
        if !(kind.is_file() || kind.is_dir() && wanted == OpenFor::Entries)
            || OF_KERNEL.contains(&system)
        {
            return Err(Errno::ACCESS.into());
        }
        // Exactly the file that was checked: its path may lead to another one by now.
        let checked = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok(fs::open(checked, wanted.flags() | OFlags::CLOEXEC, Mode::empty())?)
    }

    fn reach(&self, path: &TreePath, wanted: OpenFor) -> Result<OwnedFd, Errno> {
        match (self.resolve(path, wanted.flags()), &self.opener) {
            (Err(Errno::ACCESS), Some(opener)) => opener
                .open(path, wanted)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS)),
            (done, _) => done,
        }
    }

    fn resolve(&self, path: &TreePath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if *path == TreePath::root() { Path::new(".") } else { path.as_path() };
        let flags = flags | OFlags::CLOEXEC;
        loop {
            // EAGAIN: a directory on the way was moved meanwhile.
            match fs::openat2(&*self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
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

impl FileTree for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        let fail = |error| failure(self.shown(directory), error);
        let opened = self.reach(directory, OpenFor::Entries).map_err(fail)?;
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

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let name = self.shown(path);
        let fail = |error| failure(name.clone(), error);
        // Opening a device can do something to it, and opening a pipe waits.
        let about = fs::fstat(self.reach(path, OpenFor::Kind).map_err(fail)?).map_err(fail)?;
        let about = match FileType::from_raw_mode(about.st_mode) {
            FileType::RegularFile => {
                let file = self.reach(path, OpenFor::Bytes).map_err(fail)?;
                // It may be another one by now.
                (fs::fstat(&file).map_err(fail)?, Some(file))
            }
            _ => (about, None),
        };
        match about {
            (about, Some(file)) if FileType::from_raw_mode(about.st_mode).is_file() => {
                let opened = LocalFile::new(file.into(), name.clone());
                Ok(Box::new(opened.map_err(|source| FileError::Io { name, source })?))
            }
            (about, _) => {
                let found = kind(FileType::from_raw_mode(about.st_mode));
                Err(FileError::Kind { name, found, expected: "a regular file" })
            }
        }
    }
}
