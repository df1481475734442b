//! Disks for guests: raw and qcow2 images in files and block devices of this host.
//!
//! What it promises:
//! - what was written to a raw image is in the host's page cache or on the medium when
//!   [`Disk::write`] returns: no write is lost when this process dies. In a qcow2 image that holds
//!   for what had space in the image already; new space is found again after the next flush;
//! - what was written before [`Disk::flush`] is on the medium when that returns without an error
//!   (except with [`CacheMode::Unsafe`]); once a flush has failed, all later ones fail;
//! - two processes never write to one image: the locks are QEMU's own;
//! - a file that becomes shorter gives errors, never zeros.
//!
//! Images are read and written by system calls only, never through a mapping: a read error is an
//! error and not a signal.

mod buffers;
mod error;
mod image;
mod lock;
mod manage;
mod medium;
mod open;
mod overlay;
mod probe;
mod qcow2;
mod raw;
mod sys;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use vm_memory::VolatileSlice;

use buffers::{Remaining, byte_count};
pub use error::DiskError;
use image::Image;
pub use lock::Holder;
use lock::Lock;
pub use manage::{DiskInfo, Qcow2Info, check, check_creation, create, info, resize};
use medium::write_zeros;
use overlay::Overlay;
pub use qcow2::CheckReport;

const SECTOR_BYTES: usize = 512;
/// Bytes of a sector: what sizes and requests are multiples of.
pub const SECTOR: u64 = SECTOR_BYTES as u64;

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

/// The format of an image (`-drive format=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// The guest's bytes, from the first to the last.
    Raw,
    /// QEMU's format, which takes only the space that the guest has written to.
    Qcow2,
}

impl DiskFormat {
    /// By QEMU's name.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "raw" => Some(Self::Raw),
            "qcow2" => Some(Self::Qcow2),
            _ => None,
        }
    }

    /// What a new image of this name is: qcow2 if it ends in `.qcow2`, otherwise raw.
    pub fn for_name(path: &Path) -> Self {
        let is_qcow2 = path.extension().is_some_and(|extension| extension == "qcow2");
        if is_qcow2 { Self::Qcow2 } else { Self::Raw }
    }

    /// QEMU's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
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
    /// What the user says that it is. `None`: what its first sector says.
    pub format: Option<DiskFormat>,
}

/// An image, open and locked.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    options: DiskOptions,
    image: Box<dyn Image>,
    /// Where the guest's writes go if the image is to stay as it is.
    overlay: Option<Overlay>,
    /// The locks, or why there are none: some file systems have no locks.
    lock: Result<Lock, io::Error>,
}

/// An image that was opened to see whether it can be used. It is locked until this is dropped.
#[derive(Debug)]
pub struct Examined {
    /// Its format.
    pub format: DiskFormat,
    /// Bytes that the guest would see.
    pub size: u64,
    _opened: open::Opened,
}

impl Disk {
    /// Opens and locks an image.
    ///
    /// # Errors
    /// It is not there, is not a disk image that can be used, or another process has it.
    pub fn open(path: &Path, options: DiskOptions) -> Result<Self, DiskError> {
        Self::open_over(path, options, None)
    }

    /// As [`Self::open`]. `backing` is used in place of the backing file that the image names, and
    /// may be in any directory.
    ///
    /// # Errors
    /// As of [`Self::open`]; the image has no backing file.
    pub fn open_over(
        path: &Path,
        options: DiskOptions,
        backing: Option<&Path>,
    ) -> Result<Self, DiskError> {
        let opened = open::image(path, options, backing, false)?;
        let overlay = options.snapshot.then(|| new_overlay(opened.image.len())).transpose()?;
        Ok(Self { path: path.into(), options, image: opened.image, overlay, lock: opened.lock })
    }

    /// Checks all that [`Self::open_over`] checks, and changes nothing. What is returned has the
    /// locks.
    ///
    /// # Errors
    /// As of [`Self::open_over`].
    pub fn examine(
        path: &Path,
        options: DiskOptions,
        backing: Option<&Path>,
    ) -> Result<Examined, DiskError> {
        let opened = open::image(path, options, backing, true)?;
        options.snapshot.then(|| new_overlay(opened.image.len())).transpose()?;
        Ok(Examined { format: opened.format, size: opened.image.len(), _opened: opened })
    }

    /// The name it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes, a multiple of [`SECTOR`] and not 0.
    #[expect(clippy::len_without_is_empty, reason = "a disk is never empty")]
    pub fn len(&self) -> u64 {
        self.image.len()
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
        let Some(overlay) = &self.overlay else { return self.image.read(to, offset) };
        let (mut at, end) = (offset, offset + byte_count(to) as u64);
        let mut rest = Remaining::new(to);
        while at < end {
            let (next, is_written) = overlay.run(&(at..end));
            let part = rest.next_bytes(next - at)?;
            if is_written {
                sys::read_at(overlay.file(), &part, at)?;
            } else {
                self.image.read(&part, at)?;
            }
            at = next;
        }
        Ok(())
    }

    /// Writes `from` from `offset` on.
    ///
    /// # Errors
    /// As of pwritev(2), `StorageFull` among them; `UnexpectedEof`: the file has become shorter;
    /// `PermissionDenied`: the image would look like one of another format.
    pub fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let Some(overlay) = &self.overlay else { return self.image.write(from, offset) };
        sys::write_at(overlay.file(), from, offset)?;
        overlay.mark(&(offset..offset + byte_count(from) as u64));
        Ok(())
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// As of fdatasync(2). Later calls fail as well.
    pub fn flush(&self) -> io::Result<()> {
        if self.options.read_only || self.overlay.is_some() {
            return Ok(());
        }
        self.image.flush()
    }

    /// Gives the space of `range` back to the host, if it was opened so and the file system can.
    ///
    /// # Errors
    /// As of fallocate(2).
    pub fn discard(&self, range: Range<u64>) -> io::Result<()> {
        if self.options.unmap && self.overlay.is_none() && !range.is_empty() {
            self.image.discard(&range)?;
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
        let Some(overlay) = &self.overlay else {
            return self.image.write_zeroes(&range, may_unmap && self.options.unmap);
        };
        write_zeros(overlay.file(), &range)?;
        overlay.mark(&range);
        Ok(())
    }
}

/// An overlay where QEMU has it too: in `$TMPDIR`, or in /var/tmp, which is not memory on most
/// hosts.
fn new_overlay(len: u64) -> Result<Overlay, DiskError> {
    let directory = std::env::var_os("TMPDIR").filter(|directory| !directory.is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    Overlay::new(&directory, len).map_err(|source| DiskError::Temporary { directory, source })
}

#[cfg(test)]
mod tests;
