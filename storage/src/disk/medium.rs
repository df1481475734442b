//! What an image's bytes are stored in: a file or block device of this host, or, in tests,
//! something that fails on purpose.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use vm_memory::VolatileSlice;

use super::buffers::byte_count;
use super::error::DiskError;
use super::sys;

/// How many zeros are written at once where the file system cannot zero a range.
const ZEROS: usize = 64 << 10;

/// The bytes of an image, as the image formats use them. Offsets and lengths are in bytes.
pub(super) trait Medium: Debug + Send + Sync {
    /// The current length.
    ///
    /// # Errors
    /// It cannot be read, or is shorter than it was: `UnexpectedEof`.
    fn len(&self) -> io::Result<u64>;

    /// Fills `to` from `offset` on, and returns how many bytes there were: fewer than wanted only
    /// at the end.
    ///
    /// # Errors
    /// As of preadv(2).
    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Writes all of `from` from `offset` on, beyond the end as well.
    ///
    /// # Errors
    /// As of pwritev(2); part of it may have been written.
    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes durable what was written.
    ///
    /// # Errors
    /// As of fdatasync(2).
    fn sync(&self) -> io::Result<()>;

    /// Whether it grows by writes beyond its end, and reads as zeros up to them.
    fn grows(&self) -> bool;

    /// Has `range`, which is not beyond the end, read as zeros.
    ///
    /// # Errors
    /// As of fallocate(2) and pwritev(2).
    fn zero(&self, range: &Range<u64>) -> io::Result<()>;

    /// Gives the space of `range` back, which then reads as zeros. False: that is not possible.
    ///
    /// # Errors
    /// As of fallocate(2).
    fn punch(&self, range: &Range<u64>) -> io::Result<bool>;
}

/// Fills a buffer of this process. What is beyond the end reads as zeros.
///
/// # Errors
/// As of [`Medium::read`]; the image has become shorter.
pub(super) fn read_bytes(medium: &dyn Medium, to: &mut [u8], offset: u64) -> io::Result<()> {
    let count = medium.read(&[VolatileSlice::from(&mut *to)], offset)?;
    if let Some(rest) = to.get_mut(count..).filter(|rest| !rest.is_empty()) {
        medium.len()?;
        rest.fill(0);
    }
    Ok(())
}

/// Writes a buffer of this process. It is mutable because a [`VolatileSlice`] is; nothing changes
/// it.
///
/// # Errors
/// As of [`Medium::write`].
pub(super) fn write_bytes(medium: &dyn Medium, from: &mut [u8], offset: u64) -> io::Result<()> {
    medium.write(&[VolatileSlice::from(from)], offset)
}

/// A file or a block device.
#[derive(Debug)]
pub(super) struct HostFile {
    file: File,
    /// The same file past the page cache.
    direct: Option<File>,
    is_block_device: bool,
    /// It never needs to be durable (`cache=unsafe`).
    is_unsafe: bool,
    /// How long it is at least, unless another program makes it shorter.
    known_len: AtomicU64,
    /// A sync has failed: what was written before is lost, and the kernel says so only once
    /// (fsync(2)).
    is_lost: AtomicBool,
}

impl HostFile {
    /// `file`, already open and locked. `is_direct`: reads and writes go past the page cache.
    pub(super) fn new(
        path: &Path,
        file: File,
        read_only: bool,
        is_direct: bool,
        is_unsafe: bool,
    ) -> Result<Self, DiskError> {
        let failed = |source: io::Error| DiskError::Open { path: path.into(), source };
        let is_block_device = is_block_device(&file).map_err(failed)?;
        let known_len = length(&file, is_block_device).map_err(failed)?.into();
        let direct = is_direct.then(|| open_direct(path, &file, read_only)).transpose()?;
        let is_lost = AtomicBool::default();
        Ok(Self { file, direct, is_block_device, is_unsafe, known_len, is_lost })
    }

    /// Makes a file longer, with zeros at the end.
    ///
    /// # Errors
    /// As of ftruncate(2).
    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.sync_all()
    }

    /// Reads or writes past the page cache, where the image was opened so. Buffers that are not
    /// aligned as the file system wants it go through the cache, which the kernel keeps coherent.
    fn past_cache<T>(&self, transfer: impl Fn(&File) -> io::Result<T>) -> io::Result<T> {
        if let Some(direct) = &self.direct {
            match transfer(direct) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                other => return other,
            }
        }
        transfer(&self.file)
    }

    /// fallocate(2). False: the file system cannot.
    fn allocate(&self, how: FallocateFlags, range: &Range<u64>) -> io::Result<bool> {
        loop {
            match rustix::fs::fallocate(&self.file, how, range.start, range.end - range.start) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                // INVAL: a device whose blocks are larger than the range.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Medium for HostFile {
    fn len(&self) -> io::Result<u64> {
        let known = self.known_len.load(Ordering::SeqCst);
        if self.is_block_device {
            return Ok(known);
        }
        let len = length(&self.file, false)?;
        if len < known {
            return Err(shrunk());
        }
        Ok(len)
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<usize> {
        self.past_cache(|file| sys::read_at(file, to, offset))
    }

    /// A write beyond the end of a file that was cut short would make it longer again, with zeros
    /// where data was.
    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.len()?;
        if byte_count(from) == 0 {
            return Ok(()); // which does not make a file longer, wherever it is
        }
        self.past_cache(|file| sys::write_at(file, from, offset))?;
        self.known_len.fetch_max(offset + byte_count(from) as u64, Ordering::SeqCst);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.is_unsafe {
            return Ok(());
        }
        if self.is_lost.load(Ordering::SeqCst) {
            return Err(io::Error::other("an earlier flush failed: data may be lost"));
        }
        self.file.sync_data().map_err(|error| {
            self.is_lost.store(true, Ordering::SeqCst);
            lost(&error)
        })
    }

    fn grows(&self) -> bool {
        !self.is_block_device
    }

    fn zero(&self, range: &Range<u64>) -> io::Result<()> {
        self.len()?;
        if self.allocate(FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE, range)? {
            return Ok(());
        }
        write_zeros(&self.file, range)
    }

    fn punch(&self, range: &Range<u64>) -> io::Result<bool> {
        self.len()?;
        self.allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, range)
    }
}

pub(super) fn write_zeros(file: &File, range: &Range<u64>) -> io::Result<()> {
    let mut zeros = vec![0; ZEROS];
    let mut at = range.start;
    while at < range.end {
        let count = usize::try_from(range.end - at).map_or(ZEROS, |rest| rest.min(ZEROS));
        sys::write_at(file, &[VolatileSlice::from(&mut zeros[..count])], at)?;
        at += count as u64;
    }
    Ok(())
}

/// The error of a sync that has failed. It is of no kind that could pass: data may be lost even if
/// a later sync succeeds.
fn lost(error: &io::Error) -> io::Error {
    io::Error::other(format!("{error}: data may be lost"))
}

pub(super) fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the image has become shorter")
}

pub(super) fn open(path: &Path, read_only: bool, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).write(!read_only).custom_flags(flags).open(path)
}

/// A name for an open file, whatever has become of its path.
pub(super) fn same_file(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

pub(super) fn is_block_device(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.file_type().is_block_device())
}

fn open_direct(path: &Path, file: &File, read_only: bool) -> Result<File, DiskError> {
    open(&same_file(file), read_only, libc::O_DIRECT).map_err(|source| {
        match source.raw_os_error() {
            Some(libc::EINVAL) => DiskError::NoDirect { path: path.into() },
            _ => DiskError::Open { path: path.into(), source },
        }
    })
}

/// Bytes of a file or a device.
fn length(file: &File, is_block_device: bool) -> io::Result<u64> {
    if is_block_device {
        return Ok(rustix::fs::seek(file, rustix::fs::SeekFrom::End(0))?);
    }
    let length = rustix::fs::fstat(file)?.st_size;
    u64::try_from(length).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Temp;

    #[test]
    fn once_a_sync_has_failed_all_later_ones_fail() {
        let temp = Temp::new();
        temp.file("disk", &[5; 512]);
        let path = temp.path().join("disk");
        let medium = |is_unsafe| {
            let file = open(&path, false, 0).unwrap();
            let medium = HostFile::new(&path, file, false, false, is_unsafe).unwrap();
            medium.is_lost.store(true, Ordering::SeqCst);
            medium
        };
        let error = medium(false).sync().unwrap_err();
        assert_eq!(error.to_string(), "an earlier flush failed: data may be lost");
        medium(true).sync().unwrap();
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(lost(&full).kind(), io::ErrorKind::Other);
    }
}
