//! Which files of the cache were compared with their sums since the host started.
//!
//! A cached file can be damaged: by the disk, by a crash of the host, or by a program that writes
//! to it. So its bytes are read and summed before they are used, once for as long as the host runs
//! and the file does not change. What identifies an unchanged file is its inode with length and
//! times; the change time (ctime) cannot be set by a program. After a restart everything is read
//! again, as what a crash left unwritten looks unchanged.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cache;
use crate::checksum;
use storage::LocalFile;
use storage::sync::lock;

/// A file that was changed more recently than this is read again by the next process: a later
/// change could have the same time, as a file system's clock is coarse.
const SETTLED: Duration = Duration::from_secs(2);

/// The files that are known to be intact.
#[derive(Clone, Debug)]
pub(super) struct Checks {
    /// A directory with a file for each of them, which says what it was.
    directory: PathBuf,
    /// Those that this process has checked.
    done: Arc<Mutex<HashSet<String>>>,
}

impl Checks {
    /// Kept in this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, done: Arc::default() }
    }

    /// Whether the bytes of a file have this SHA-256.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn is_intact(&self, file: &File, sha256: &str) -> io::Result<bool> {
        let about = file.metadata()?;
        let state = format!(
            "{} {} {} {}.{:09} {}.{:09} {}",
            about.dev(),
            about.ino(),
            about.len(),
            about.ctime(),
            about.ctime_nsec(),
            about.mtime(),
            about.mtime_nsec(),
            fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim()
        );
        let done = format!("{sha256} {state}");
        let record = self.directory.join(format!("sha256-{sha256}"));
        let most = state.len() as u64 + 1;
        let is_known = || cache::read(&record, most).is_ok_and(|text| text == state.as_bytes());
        if lock(&self.done).contains(&done) || is_known() {
            return Ok(true);
        }
        let bytes = LocalFile::new(file.try_clone()?, "the cache")?;
        if checksum::sha256(&bytes)? != sha256 {
            let _ = fs::remove_file(record);
            return Ok(false);
        }
        lock(&self.done).insert(done);
        let changed = Duration::from_secs(u64::try_from(about.ctime()).unwrap_or(u64::MAX));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if now.checked_sub(changed).is_some_and(|age| age > SETTLED) {
            // Without the record the next process reads the file again.
            let _ = write(&record, &state);
        }
        Ok(true)
    }
}

fn write(record: &std::path::Path, state: &str) -> io::Result<()> {
    cache::clear(record)?;
    let new = record.with_extension(format!("{}", std::process::id()));
    fs::write(&new, state)?;
    fs::rename(&new, record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Temp;

    /// What was written down is believed: the bytes are not read a second time.
    #[test]
    fn a_file_that_was_checked_by_another_process_is_not_read_again() {
        let temp = Temp::new();
        let checks = || Checks::new(temp.path().into());
        // A file that was not changed just now.
        let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        let all = LocalFile::new(file.try_clone().unwrap(), "Cargo.toml").unwrap();
        let (sum, other) = (checksum::sha256(&all).unwrap(), "0".repeat(64));
        assert!(checks().is_intact(&file, &sum).unwrap());
        assert!(!checks().is_intact(&file, &other).unwrap());
        let record = |sum: &str| temp.path().join(format!("sha256-{sum}"));
        fs::copy(record(&sum), record(&other)).unwrap();
        assert!(checks().is_intact(&file, &other).unwrap());
    }
}
