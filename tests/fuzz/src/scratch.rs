//! Files without a name, in memory.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// A file that is filled anew for each input.
#[derive(Debug)]
pub struct Scratch(File);

impl Scratch {
    /// An empty one, on tmpfs.
    pub fn new() -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_TMPFILE);
        options.open("/dev/shm").or_else(|_| options.open(std::env::temp_dir())).map(Self)
    }

    /// One that holds these bytes, and that nobody can write to.
    pub fn of(bytes: &[u8]) -> Result<File> {
        let mut file = Self::new()?;
        file.0.write_all(bytes)?;
        File::open(file.path())
    }

    /// Gives it these bytes and, after them, zeros up to a length of `len`.
    pub fn fill(&self, bytes: &[u8], len: u64) -> Result<()> {
        self.0.set_len(0)?;
        self.0.set_len(len.max(bytes.len() as u64))?;
        self.0.write_all_at(bytes, 0)
    }

    /// A name by which it can be opened once more.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
