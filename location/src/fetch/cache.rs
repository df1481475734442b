//! Where what was fetched is kept.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::checks::Checks;
use crate::checksum::sha256_of;

/// The user's: `$XDG_CACHE_HOME/chukka`, else `~/.cache/chukka` (XDG Base Directory Specification
/// 0.8, which has relative paths ignored). `None`: there is no home either.
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
    checks: Checks,
}

/// What the cache has of a file.
#[derive(Debug)]
pub(super) enum Kept {
    /// The file, whose bytes have the sum.
    Intact(File),
    /// It had other bytes, and is removed.
    Damaged,
    /// Nothing.
    Absent,
}

impl Cache {
    /// Opens it; makes it, for this user only, if it is not there.
    ///
    /// # Errors
    /// It cannot be made or written to, or others can write to it.
    pub fn open(root: PathBuf) -> io::Result<Self> {
        let checks = Checks::new(root.join("checked"));
        let cache = Self { root, checks };
        let below = [cache.contents(), cache.places(), cache.partials(), cache.checked()];
        for directory in below {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(|error| about(&directory, &error))?;
            private(&directory).map_err(|error| about(&directory, &error))?;
        }
        private(&cache.root).map_err(|error| about(&cache.root, &error))?;
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

    /// The directory of what was found intact.
    pub(super) fn checked(&self) -> PathBuf {
        self.root.join("checked")
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

    /// The file with this SHA-256 and length. Its bytes are read and compared with the sum, unless
    /// that was done since the host started and the file has not changed; a damaged one is removed.
    /// While the file is open nobody removes it: that would look to a guest as if it had been
    /// written to.
    pub(super) fn find(&self, sha256: &str, len: u64) -> Kept {
        let Some((file, path)) = self.open_content(sha256, len) else { return Kept::Absent };
        match self.checks.is_intact(&file, sha256) {
            Ok(true) => Kept::Intact(file),
            // Whoever has it open keeps it.
            Ok(false) | Err(_) => {
                let _ = fs::remove_file(path);
                Kept::Damaged
            }
        }
    }

    /// Whether there is a file with this name and length; its bytes are not read.
    pub(super) fn has(&self, sha256: &str, len: u64) -> bool {
        self.open_content(sha256, len).is_some()
    }

    fn open_content(&self, sha256: &str, len: u64) -> Option<(File, PathBuf)> {
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let path = self.content(sha256);
        let file = File::open(&path).ok()?;
        file.try_lock_shared().ok()?;
        let about = file.metadata().ok()?;
        (about.is_file() && about.len() == len && is_at(&file, &path)).then_some((file, path))
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

/// Refuses a directory that another user than this one and root can write to: what is in it could
/// be anything.
fn private(directory: &Path) -> io::Result<()> {
    let about = fs::metadata(directory)?;
    let (owner, own) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner != own && owner != 0 {
        return Err(io::Error::other(format!("it belongs to the user {owner}, expected {own}")));
    }
    if about.mode() & 0o022 != 0 {
        let mode = about.mode() & 0o7777;
        return Err(io::Error::other(format!(
            "others can write to it (mode {mode:o}, expected 700)"
        )));
    }
    Ok(())
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
