//! QEMU's own locks on images (block/file-posix.c, `raw_check_lock_bytes`), so that QEMU, qemu-img,
//! libguestfs and chukka keep each other away.
//!
//! Each is a read lock of an open file description (fcntl(2), F_OFD_SETLK) on one byte: byte 100 +
//! n says "I use permission n", byte 200 + n says "I do not share permission n". After taking its
//! own bytes a process tests those that would contradict them. The bytes need not exist in the
//! file.
//!
//! The locks end with the last descriptor of the open file description. A process that this one
//! forks has such a descriptor until it calls exec(2), so [`Lock`] takes them away by name.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::DiskError;
use super::sys;

const USED: i64 = 100;
const NOT_SHARED: i64 = 200;
/// Permissions, by QEMU's numbers (include/block/block-common.h, `BLK_PERM_*`).
const CONSISTENT_READ: i64 = 0;
const WRITE: i64 = 1;

/// A process that has an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The locks on an image. Dropping it takes them away.
#[derive(Debug)]
pub(super) struct Lock(pub(super) File);

impl Drop for Lock {
    fn drop(&mut self) {
        // They end with the descriptor if this fails.
        let _ = sys::unlock(&self.0);
    }
}

/// Locks an image as QEMU does: readers share it, a writer has it alone. Returns why there are no
/// locks where the file system has none.
///
/// # Errors
/// Another process uses it.
pub(super) fn lock(
    file: &File,
    path: &Path,
    read_only: bool,
) -> Result<Result<Lock, io::Error>, DiskError> {
    let used: &[i64] = if read_only { &[CONSISTENT_READ] } else { &[CONSISTENT_READ, WRITE] };
    let failed = |source| DiskError::Lock { path: path.into(), source };
    let in_use = || DiskError::InUse { path: path.into(), read_only, holder: holder(file) };
    let lock = Lock(file.try_clone().map_err(failed)?);
    for byte in used.iter().map(|permission| USED + permission).chain([NOT_SHARED + WRITE]) {
        match sys::lock_shared(file, byte) {
            Ok(()) => {}
            // A lock on all of the file, as cloud-hypervisor takes it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                return Err(in_use());
            }
            Err(error) if has_no_locks(&error) => return Ok(Err(error)),
            Err(error) => return Err(failed(error)),
        }
    }
    for byte in used.iter().map(|permission| NOT_SHARED + permission).chain([USED + WRITE]) {
        if sys::is_locked_by_other(file, byte).map_err(failed)? {
            return Err(in_use());
        }
    }
    Ok(Ok(lock))
}

/// Whether the file system cannot lock; so it is with some network file systems.
fn has_no_locks(error: &io::Error) -> bool {
    let without = [libc::ENOLCK, libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL];
    error.raw_os_error().is_some_and(|errno| without.contains(&errno))
}

/// Which process has a lock on the file. The kernel does not tell of locks like these, but for each
/// open file of a process of the same user (proc(5), fdinfo).
fn holder(file: &File) -> Option<Holder> {
    let about = file.metadata().ok()?;
    let own = std::process::id();
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid = pids.filter(|pid| *pid != own).find(|pid| has_lock(*pid, &about))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    // It is what that process calls itself.
    let name = name.trim_end().chars().filter(|char| !char.is_control()).collect();
    Some(Holder { pid, name })
}

/// Whether a process has the file open with a lock on it.
fn has_lock(pid: u32, about: &fs::Metadata) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|entry| {
        let is_same = fs::metadata(entry.path())
            .is_ok_and(|other| (other.dev(), other.ino()) == (about.dev(), about.ino()));
        let info = || {
            let number = entry.file_name();
            fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy()))
        };
        is_same && info().is_ok_and(|info| info.lines().any(|line| line.starts_with("lock:")))
    })
}
