//! Where what was fetched is kept.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::checksum::sha256_of;

/// The user's: `$XDG_CACHE_HOME/chukka`, else `~/.cache/chukka` (XDG Base Directory Specification 0.8, which has relative
/// paths ignored). `None`: there is no home either.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("chukka"))
}

/// A cache directory.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens it; makes it, for this user only, if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or not be written to.
    pub fn open(root: PathBuf) -> io::Result<Self> {
        let cache = Self { root };
        for directory in [cache.contents(), cache.places(), cache.partials()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(|error| about(&directory, &error))?;
        }
        drop(cache.open_lock()?);
        Ok(cache)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of files that are whole, by their checksums.
    pub(super) fn contents(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The directory of what places said.
    pub(super) fn places(&self) -> PathBuf {
        self.root.join("places")
    }

    /// The directory of files that are not whole.
    pub(super) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Where the file with this SHA-256 is, if it is there at all.
    #[must_use]
    pub fn content(&self, sha256: &str) -> PathBuf {
        self.contents().join(format!("sha256-{sha256}"))
    }

    /// The file with this SHA-256 and length, if it is there. While it is open nobody removes it: that would look to a guest as if it
    /// had been written to.
    pub(super) fn find(&self, sha256: &str, len: u64) -> Option<File> {
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let path = self.content(sha256);
        let file = File::open(&path).ok()?;
        file.try_lock_shared().ok()?;
        let about = file.metadata().ok()?;
        (about.is_file() && about.len() == len && is_at(&file, &path)).then_some(file)
    }

    /// Keeps everybody else from changing what places said, as long as the file is open.
    pub(super) fn lock(&self) -> io::Result<File> {
        let file = self.open_lock()?;
        file.lock()?;
        Ok(file)
    }

    fn open_lock(&self) -> io::Result<File> {
        let path = self.root.join("lock");
        writable(&path).map_err(|error| about(&path, &error))
    }
}

/// Opens a file for reading and writing; an empty one, for this user only, if there is none.
pub(super) fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Whether a file still has this name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let id = |about: fs::Metadata| (about.dev(), about.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(path)) => id(file) == id(path),
        _ => false,
    }
}

/// The SHA-256 of a name, for a file that is about what has it.
pub(super) fn name_of(text: &str) -> String {
    sha256_of(text.as_bytes())
}

/// The same error, with the name of what it is about.
pub(super) fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("'{}': {error}", path.display()))
}
