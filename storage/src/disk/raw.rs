//! Raw images: the guest's bytes are the file's.

use std::io;
use std::ops::Range;

use vm_memory::VolatileSlice;

use super::buffers::{Remaining, byte_count, copy_front, zero_from};
use super::image::Image;
use super::medium::{Medium, shrunk};
use super::{SECTOR, SECTOR_BYTES, probe};

/// A raw image.
#[derive(Debug)]
pub(super) struct Raw {
    /// Where its bytes are.
    pub medium: Box<dyn Medium>,
    /// Bytes of the file, not rounded up.
    pub file_len: u64,
    /// The user says that it is raw: the guest may write a header of another format to it.
    pub is_raw: bool,
    /// Discarded space is given back to the host.
    pub unmap: bool,
}

impl Raw {
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
        self.medium.write(&[VolatileSlice::from(&mut head[..])], 0)?;
        let mut rest = Remaining::new(from);
        rest.next_bytes(SECTOR)?;
        self.medium.write(&rest.collect::<Vec<_>>(), SECTOR)
    }
}

impl Image for Raw {
    fn len(&self) -> u64 {
        self.file_len.next_multiple_of(SECTOR)
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let done = self.medium.read(to, offset)?;
        if done == byte_count(to) {
            return Ok(());
        }
        // Only the end of a read-only image whose last sector is not whole.
        if offset + done as u64 != self.file_len {
            return Err(shrunk());
        }
        zero_from(to, done);
        Ok(())
    }

    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        if offset < SECTOR && !self.is_raw {
            return self.write_head(from, offset);
        }
        self.medium.write(from, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.medium.sync()
    }

    fn discard(&self, range: &Range<u64>) -> io::Result<()> {
        if self.unmap && !range.is_empty() {
            self.medium.punch(range)?;
        }
        Ok(())
    }

    fn write_zeroes(&self, range: &Range<u64>, may_unmap: bool) -> io::Result<()> {
        if range.is_empty() || may_unmap && self.unmap && self.medium.punch(range)? {
            return Ok(());
        }
        self.medium.zero(range)
    }
}
