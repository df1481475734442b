//! A disk's bytes in memory, for the fuzz targets of controllers.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use devices::disk::BlockBackend;
use vm_memory::VolatileSlice;

/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;
/// Sectors of the disk.
pub(crate) const SECTORS: u64 = 64;

/// The disk's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Medium {
    pub bytes: Arc<Mutex<Vec<u8>>>,
    pub read_only: bool,
}

impl Medium {
    /// A disk whose sectors differ from each other.
    pub fn new(read_only: bool) -> Self {
        let bytes = (0..SECTORS * SECTOR).map(|at| (at / SECTOR) as u8 ^ 0x5a).collect();
        Self { bytes: Arc::new(Mutex::new(bytes)), read_only }
    }

    /// The bytes of an access, which the device has checked.
    pub fn with<R>(&self, offset: u64, len: u64, access: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(offset.is_multiple_of(SECTOR) && len.is_multiple_of(SECTOR), "not whole sectors");
        let mut bytes = self.bytes.lock().unwrap();
        access(&mut bytes[offset as usize..(offset + len) as usize])
    }
}

fn total(slices: &[VolatileSlice<'_>]) -> u64 {
    slices.iter().map(|slice| slice.len() as u64).sum()
}

impl BlockBackend for Medium {
    fn len(&self) -> u64 {
        SECTORS * SECTOR
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.with(offset, total(to), |mut bytes| {
            for slice in to {
                let (now, rest) = bytes.split_at_mut(slice.len());
                slice.copy_from(now);
                bytes = rest;
            }
        });
        Ok(())
    }

    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        assert!(!self.read_only, "a disk that can only be read is written to");
        self.with(offset, total(from), |mut bytes| {
            for slice in from {
                let (now, rest) = bytes.split_at_mut(slice.len());
                slice.copy_to(now);
                bytes = rest;
            }
        });
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        self.write_zeroes(range, true)
    }

    fn write_zeroes(&self, range: Range<u64>, _: bool) -> io::Result<()> {
        assert!(!self.read_only, "a disk that can only be read is written to");
        self.with(range.start, range.end - range.start, |bytes| bytes.fill(0));
        Ok(())
    }
}
