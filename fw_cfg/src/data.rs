//! The contents of an item: bytes, or part of an open file.

use std::borrow::Cow;
use std::io;

use guest_memory::{FileRange, Source};

/// The contents of an item.
#[derive(Debug)]
pub enum Data {
    /// These bytes.
    Bytes(Cow<'static, [u8]>),
    /// Part of a file, read when the guest asks for it, so that kernels and initrds are never on
    /// the heap.
    File(FileRange),
}

impl Data {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads all of it onto the heap. For small items and tests.
    ///
    /// # Errors
    /// It is part of a file that cannot be read or has changed.
    pub fn read_to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len()).map_err(io::Error::other)?];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `to` with the bytes from `offset`. The caller has checked that there are enough.
    ///
    /// # Errors
    /// It is part of a file that cannot be read or has changed.
    pub(crate) fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                let from = bytes.get(start..).and_then(|rest| rest.get(..to.len()));
                to.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File(file) => file.read_at(offset, to),
        }
    }

    /// `len` bytes from `offset`, to be moved into guest memory. The caller has checked that there
    /// are enough.
    pub(crate) fn part(&self, offset: u64, len: u64) -> Source<'_> {
        match self {
            Self::Bytes(bytes) => {
                let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let part = bytes.get(index(offset)..).and_then(|rest| rest.get(..index(len)));
                Source::Bytes(part.unwrap_or_default())
            }
            Self::File(file) => Source::File { file, part: offset..offset + len },
        }
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static [u8]> for Data {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<FileRange> for Data {
    fn from(file: FileRange) -> Self {
        Self::File(file)
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        /// Little-endian, like all integers of fw_cfg on x86 except those in the file directory and
        /// in DMA descriptors.
        impl From<$integer> for Data {
            fn from(value: $integer) -> Self {
                value.to_le_bytes().to_vec().into()
            }
        }
    )*};
}
from_integer!(u16, u32, u64);
