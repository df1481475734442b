//! Disks for guests: raw files and block devices of this host.
//!
//! What it promises:
//! - what was written is in the host's page cache or on the medium when [`Disk::write`] returns: no
//!   write is lost when this process dies;
//! - what was written before [`Disk::flush`] is on the medium when that returns without an error
//!   (except with [`CacheMode::Unsafe`]); once a flush has failed, all later ones fail;
//! - two processes never write to one image: the locks are QEMU's own;
//! - a file that becomes shorter gives errors, never zeros.
//!
//! Images are read and written by system calls only, never through a mapping: a read error is an
//! error and not a signal.

mod buffers;
mod error;
mod lock;
mod overlay;
mod probe;
mod sys;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use vm_memory::VolatileSlice;

use buffers::{byte_count, copy_front, part_of, without_front, zero_from};
pub use error::DiskError;
pub use lock::Holder;
use lock::Lock;
use overlay::Overlay;

const SECTOR_BYTES: usize = 512;
/// Bytes of a sector: what sizes and requests are multiples of.
pub const SECTOR: u64 = SECTOR_BYTES as u64;
/// How many zeros are written at once where the file system cannot zero a range.
const ZEROS: usize = 64 << 10;

/// How the host caches a disk, by QEMU's names (`-drive cache=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Through the page cache; durable when the guest flushes.
    #[default]
    Writeback,
    /// Past the page cache; durable when the guest flushes.
    None,
    /// Through the page cache; each write is durable.
    Writethrough,
    /// Past the page cache; each write is durable.
    Directsync,
    /// Through the page cache; never flushed. After a crash of the host the image may be lost.
    Unsafe,
}

impl CacheMode {
    /// By QEMU's name.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "writeback" => Self::Writeback,
            "none" => Self::None,
            "writethrough" => Self::Writethrough,
            "directsync" => Self::Directsync,
            "unsafe" => Self::Unsafe,
            _ => return None,
        })
    }

    /// Whether the guest is shown a write cache, which it flushes itself.
    pub fn has_write_cache(self) -> bool {
        !matches!(self, Self::Writethrough | Self::Directsync)
    }

    fn is_direct(self) -> bool {
        matches!(self, Self::None | Self::Directsync)
    }
}

/// How a disk is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskOptions {
    /// The guest may not write to it.
    pub read_only: bool,
    /// How the host caches it.
    pub cache: CacheMode,
    /// Space that the guest discards is given back to the host (`discard=unmap`).
    pub unmap: bool,
    /// The guest may write, and the image stays as it is: what it writes is gone with this process
    /// (`snapshot=on`).
    pub snapshot: bool,
    /// The user says that it is a raw image (`format=raw`). Otherwise an image of another format is
    /// refused, and so is a write that would make it look like one.
    pub is_raw: bool,
}

/// A raw image, open and locked.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    file: File,
    /// The same file past the page cache.
    direct: Option<File>,
    options: DiskOptions,
    /// Bytes that the guest sees: `file_len` rounded up to whole sectors.
    len: u64,
    file_len: u64,
    is_block_device: bool,
    /// Where the guest's writes go if the image is to stay as it is.
    overlay: Option<Overlay>,
    /// A flush has failed: what was written before is lost, and the kernel says so only once
    /// (fsync(2)).
    is_flush_lost: AtomicBool,
    /// The locks, or why there are none: some file systems have no locks.
    lock: Result<Lock, io::Error>,
}

impl Disk {
    /// Opens and locks an image.
    ///
    /// # Errors
    /// It is not there, is not a disk image that can be used, or another process has it.
    pub fn open(path: &Path, options: DiskOptions) -> Result<Self, DiskError> {
        let read_only = options.read_only || options.snapshot;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::IsADirectory => {
                DiskError::Kind { path: path.into(), is_directory: true }
            }
            _ => DiskError::Open { path: path.into(), source },
        };
        let file = open(path, read_only, libc::O_NONBLOCK).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        let is_block_device = kind.is_block_device();
        if !kind.is_file() && !is_block_device {
            return Err(DiskError::Kind { path: path.into(), is_directory: kind.is_dir() });
        }
        // A device that is mounted is in use (open(2), O_EXCL).
        let file = match is_block_device && !read_only {
            true => open(&same_file(&file), false, libc::O_EXCL).map_err(failed)?,
            false => file,
        };
        let lock = lock::lock(&file, path, read_only)?;
        let file_len = length(&file, is_block_device).map_err(failed)?;
        if !options.is_raw {
            refuse_other_formats(path, &file)?;
        }
        let len = check_length(path, file_len, read_only)?;
        let direct = match options.cache.is_direct() {
            true => Some(open_direct(path, &file, read_only)?),
            false => None,
        };
        let overlay = options.snapshot.then(|| new_overlay(len)).transpose()?;
        Ok(Self {
            path: path.into(),
            file,
            direct,
            options,
            len,
            file_len,
            is_block_device,
            overlay,
            is_flush_lost: AtomicBool::new(false),
            lock,
        })
    }

    /// The name it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes, a multiple of [`SECTOR`] and not 0.
    #[expect(clippy::len_without_is_empty, reason = "a disk is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// How it was opened.
    pub fn options(&self) -> DiskOptions {
        self.options
    }

    /// Why other processes are not kept away from it: its file system has no locks.
    pub fn unlocked(&self) -> Option<&io::Error> {
        self.lock.as_ref().err()
    }

    /// Fills `to` with the bytes from `offset` on. The part of the last sector that the file does
    /// not have is zeros.
    ///
    /// # Errors
    /// As of preadv(2); `UnexpectedEof`: the file has become shorter.
    pub fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let Some(overlay) = &self.overlay else { return self.read_image(to, offset) };
        let (mut at, end) = (offset, offset + byte_count(to) as u64);
        while at < end {
            let (next, is_written) = overlay.run(&(at..end));
            let part = part_of(to, at - offset..next - offset)?;
            if is_written {
                sys::read_at(overlay.file(), &part, at)?;
            } else {
                self.read_image(&part, at)?;
            }
            at = next;
        }
        Ok(())
    }

    /// Reads the image itself.
    fn read_image(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let wanted = byte_count(to);
        let done = self.past_cache(|file| sys::read_at(file, to, offset))?;
        if done == wanted {
            return Ok(());
        }
        // Only the end of a read-only image whose last sector is not whole.
        if offset + done as u64 != self.file_len {
            return Err(shrunk());
        }
        zero_from(to, done);
        Ok(())
    }

    /// Writes `from` from `offset` on.
    ///
    /// # Errors
    /// As of pwritev(2), `StorageFull` among them; `UnexpectedEof`: the file has become shorter;
    /// `PermissionDenied`: the image would look like one of another format.
    pub fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        if let Some(overlay) = &self.overlay {
            sys::write_at(overlay.file(), from, offset)?;
            overlay.mark(&(offset..offset + byte_count(from) as u64));
            return Ok(());
        }
        self.check_not_shrunk()?;
        if offset < SECTOR && !self.options.is_raw {
            return self.write_head(from, offset);
        }
        self.past_cache(|file| sys::write_at(file, from, offset))
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// As of fdatasync(2). Later calls fail as well.
    pub fn flush(&self) -> io::Result<()> {
        let is_lost_anyway = self.options.cache == CacheMode::Unsafe || self.overlay.is_some();
        if self.options.read_only || is_lost_anyway {
            return Ok(());
        }
        if self.is_flush_lost.load(Ordering::SeqCst) {
            return Err(io::Error::other("an earlier flush failed: data may be lost"));
        }
        self.file.sync_data().inspect_err(|_| self.is_flush_lost.store(true, Ordering::SeqCst))
    }

    /// Gives the space of `range` back to the host, if it was opened so and the file system can.
    ///
    /// # Errors
    /// As of fallocate(2).
    pub fn discard(&self, range: Range<u64>) -> io::Result<()> {
        if self.options.unmap && self.overlay.is_none() && !range.is_empty() {
            self.check_not_shrunk()?;
            self.allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, &range)?;
        }
        Ok(())
    }

    /// Has `range` read as zeros. With `may_unmap` its space is given back as by [`Self::discard`].
    ///
    /// # Errors
    /// As of fallocate(2) and pwritev(2).
    pub fn write_zeroes(&self, range: Range<u64>, may_unmap: bool) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        if let Some(overlay) = &self.overlay {
            write_zeros(overlay.file(), &range)?;
            overlay.mark(&range);
            return Ok(());
        }
        self.check_not_shrunk()?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if may_unmap && self.options.unmap && self.allocate(hole, &range)? {
            return Ok(());
        }
        if self.allocate(FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE, &range)? {
            return Ok(());
        }
        write_zeros(&self.file, &range)
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

    /// A write to the first sector of an image that was not called raw. It is checked in a copy:
    /// the guest can change its memory meanwhile.
    fn write_head(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let mut head = [0; SECTOR_BYTES];
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let count = copy_front(from, &mut head[start..]);
        if count == 0 {
            return Ok(());
        }
        if start != 0 || count != head.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "part of the first sector"));
        }
        if let Some(format) = probe::image_format(&head) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the image would look like {format}; with format=raw it may"),
            ));
        }
        sys::write_at(&self.file, &[VolatileSlice::from(&mut head[..])], 0)?;
        let rest = without_front(from, count).map_err(io::Error::other)?;
        self.past_cache(|file| sys::write_at(file, &rest, SECTOR))
    }

    /// A write beyond the end of a file that was cut short would make it longer again, with zeros
    /// where data was.
    fn check_not_shrunk(&self) -> io::Result<()> {
        if self.is_block_device || length(&self.file, false)? >= self.file_len {
            return Ok(());
        }
        Err(shrunk())
    }
}

fn write_zeros(file: &File, range: &Range<u64>) -> io::Result<()> {
    let mut zeros = vec![0; ZEROS];
    let mut at = range.start;
    while at < range.end {
        let count = usize::try_from(range.end - at).map_or(ZEROS, |rest| rest.min(ZEROS));
        sys::write_at(file, &[VolatileSlice::from(&mut zeros[..count])], at)?;
        at += count as u64;
    }
    Ok(())
}

/// An overlay where QEMU has it too: in `$TMPDIR`, or in /var/tmp, which is not memory on most
/// hosts.
fn new_overlay(len: u64) -> Result<Overlay, DiskError> {
    let directory = std::env::var_os("TMPDIR").filter(|directory| !directory.is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    Overlay::new(&directory, len).map_err(|source| DiskError::Temporary { directory, source })
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the image has become shorter")
}

fn open(path: &Path, read_only: bool, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).write(!read_only).custom_flags(flags).open(path)
}

/// A name for an open file, whatever has become of its path.
fn same_file(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
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

/// Bytes for the guest: whole sectors. The last one of a read-only image may be partly missing;
/// that of a writable one may not, as writing it would change the length of the file.
fn check_length(path: &Path, len: u64, read_only: bool) -> Result<u64, DiskError> {
    if len == 0 {
        return Err(DiskError::Empty { path: path.into() });
    }
    if !len.is_multiple_of(SECTOR) && !read_only {
        return Err(DiskError::OddSize { path: path.into(), len });
    }
    Ok(len.next_multiple_of(SECTOR))
}

fn refuse_other_formats(path: &Path, file: &File) -> Result<(), DiskError> {
    let mut head = [0; SECTOR_BYTES];
    let slice = [VolatileSlice::from(&mut head[..])];
    sys::read_at(file, &slice, 0)
        .map_err(|source| DiskError::Open { path: path.into(), source })?;
    match probe::image_format(&head) {
        Some(format) => Err(DiskError::Format { path: path.into(), format }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
