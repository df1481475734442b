//! What every image format can do.

use std::fmt::Debug;
use std::io;
use std::ops::Range;

use vm_memory::VolatileSlice;

/// A disk in an image of some format. Offsets and lengths are in bytes and multiples of a sector;
/// ranges end at [`Self::len`] at the latest.
pub(super) trait Image: Debug + Send + Sync {
    /// Bytes that the guest sees, a multiple of a sector.
    fn len(&self) -> u64;

    /// Fills `to` with the bytes from `offset` on.
    ///
    /// # Errors
    /// As of preadv(2); the image is damaged, or has become shorter.
    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Writes `from` from `offset` on.
    ///
    /// # Errors
    /// As of pwritev(2); the image is damaged, or has become shorter.
    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes durable what was written.
    ///
    /// # Errors
    /// As of fdatasync(2) and pwritev(2).
    fn flush(&self) -> io::Result<()>;

    /// Gives space back, if the image was opened so. What is read there afterwards is not defined.
    ///
    /// # Errors
    /// As of fallocate(2) and pwritev(2).
    fn discard(&self, range: &Range<u64>) -> io::Result<()>;

    /// Has `range` read as zeros. With `may_unmap` its space may be given back as by
    /// [`Self::discard`].
    ///
    /// # Errors
    /// As of fallocate(2) and pwritev(2).
    fn write_zeroes(&self, range: &Range<u64>, may_unmap: bool) -> io::Result<()>;
}
