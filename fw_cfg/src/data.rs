//! What an item holds: bytes, or a part of an open file.

use std::borrow::Cow;
use std::io;

use guest_memory::{FileRange, Source};

/// What an item holds.
#[derive(Debug)]
pub enum Data {
    /// These bytes.
    Bytes(Cow<'static, [u8]>),
    /// A part of a file, read when the guest asks for it: a kernel or an initrd is never on the heap.
    File(FileRange),
}

impl Data {
    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, on the heap: for small items and for tests.
    ///
    /// # Errors
    /// It is of a file that cannot be read or has changed.
    pub fn read_to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len()).map_err(io::Error::other)?];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `to` from `offset` on. The caller has checked that it has as many bytes.
    ///
    /// # Errors
    /// It is of a file that cannot be read or has changed.
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

    /// `len` bytes from `offset` on, to be moved into guest memory. The caller has checked that it has as many.
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
        /// Little-endian, as all of fw_cfg's integers on x86 but those of the file directory and DMA.
        impl From<$integer> for Data {
            fn from(value: $integer) -> Self {
                value.to_le_bytes().to_vec().into()
            }
        }
    )*};
}
from_integer!(u16, u32, u64);
