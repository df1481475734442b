//! Temporary directories and a clock, for tests of whatever reads files.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::Directory;

/// Processor time of this thread since it started. Tests bound work by it: on a busy host, or one
/// that was suspended, the time on the wall says little.
pub fn cpu_time() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().unwrap()
}

/// A directory that is gone when dropped.
#[derive(Debug)]
pub struct Temp(PathBuf);

impl Temp {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("chukka-location-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// One with these files; each holds its own path.
    pub fn of(paths: &[&str]) -> Self {
        let temp = Self::new();
        for path in paths {
            temp.file(path, path.as_bytes());
        }
        temp
    }

    /// Adds a file, and the directories above it.
    pub fn file(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// As a place to look into.
    pub fn source(&self) -> Directory {
        Directory::open(&self.0).unwrap()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
