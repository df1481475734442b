//! Where what was fetched is kept.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

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
        in_private(&cache.root)?;
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
        let file = open(&path).ok()?;
        file.try_lock_shared().ok()?;
        (file.metadata().ok()?.len() == len && is_at(&file, &path)).then_some((file, path))
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

/// Refuses a directory below a world-writable one without the sticky bit: any user could replace
/// it. OpenSSH does the same (`safe_path` in misc.c), but here groups are trusted, because many
/// users have a group of their own.
fn in_private(directory: &Path) -> io::Result<()> {
    const STICKY: u32 = 0o1000;
    for above in directory.canonicalize()?.ancestors().skip(1) {
        let mode = fs::metadata(above)?.mode();
        if mode & 0o002 != 0 && mode & STICKY == 0 {
            let problem = format!(
                "any user can replace files in it (mode {:o}, expected {:o} or stricter)",
                mode & 0o7777,
                mode & 0o7775
            );
            return Err(about(above, &io::Error::other(problem)));
        }
    }
    Ok(())
}

/// Opening a pipe does not wait, and links lead nowhere.
const FLAGS: OFlags = OFlags::NONBLOCK.union(OFlags::NOFOLLOW);

/// Opens a regular file for reading.
///
/// # Errors
/// See open(2); or it is of another type.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(flags()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The content of a regular file, which is at most `limit` bytes of it.
///
/// # Errors
/// See [`open`] and read(2).
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file for reading and writing; an empty one, for this user only, if there is none.
///
/// # Errors
/// See open(2).
pub(super) fn writable(path: &Path) -> io::Result<File> {
    clear(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(flags()).open(path)
}

/// Removes whatever has the name of a file of the cache and is none, such as a directory.
///
/// # Errors
/// See unlink(2) and rmdir(2).
pub(super) fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(about) if !about.is_file() => fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn flags() -> i32 {
    i32::try_from(FLAGS.bits()).unwrap_or_default()
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
