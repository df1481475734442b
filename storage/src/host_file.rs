//! Files in this host's memory, without a name.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};

/// An empty file in the host's memory, without a name in any directory.
pub fn in_memory() -> io::Result<File> {
    Ok(File::from(memfd_create("chukka", MemfdFlags::CLOEXEC)?))
}

/// The same file, for reading only: what somebody can write to cannot be mapped into the guest
/// (`F_SETLEASE`, fcntl(2)).
pub fn read_only(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
