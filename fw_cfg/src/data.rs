//! What an item holds: bytes, or a part of an open file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use vm_memory::bitmap::BitmapSlice;
use vm_memory::io::ReadVolatile;
use vm_memory::volatile_memory::Error as VolatileMemoryError;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, VolatileSlice};

/// What an item holds.
#[derive(Debug)]
pub enum Data {
    /// These bytes.
    Bytes(Cow<'static, [u8]>),
    /// A part of a file, read when the guest asks for it: a kernel or an initrd is never on the heap.
    File(FileRange),
}

/// A range of bytes of an open file.
#[derive(Debug)]
pub struct FileRange {
    /// Nobody else may move its cursor.
    file: File,
    range: Range<u64>,
}

impl FileRange {
    /// Bytes `range` of `file`. The file's cursor is moved, so it must not be shared by `dup` with who counts on it.
    pub fn new(file: File, range: Range<u64>) -> Self {
        let range = range.start..range.end.max(range.start);
        Self { file, range }
    }

    /// How many bytes there were when it was made.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
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
    /// It is of a file that cannot be read or has become shorter.
    pub fn read_to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len()).map_err(io::Error::other)?];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `to` from `offset` on. The caller has checked that it has as many bytes.
    ///
    /// # Errors
    /// It is of a file that cannot be read or has become shorter.
    pub(crate) fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                let from = bytes.get(start..).and_then(|rest| rest.get(..to.len()));
                to.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File(file) => file.file.read_exact_at(to, file.range.start + offset),
        }
    }

    /// Copies `len` bytes from `offset` on into guest memory. The caller has checked that it has as many bytes.
    pub(crate) fn copy_to_guest<M: GuestMemoryBackend>(
        &self,
        offset: u64,
        memory: &M,
        to: GuestAddress,
        len: usize,
    ) -> Result<(), CopyError> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let from = bytes.get(start..).and_then(|rest| rest.get(..len)).unwrap_or_default();
                memory.write_slice(from, to).map_err(|_| CopyError::Guest)
            }
            Self::File(file) => {
                let mut reader = Reader { file: &file.file, failed: None };
                reader.seek(file.range.start + offset)?;
                match memory.read_exact_volatile_from(to, &mut reader, len) {
                    Ok(()) => Ok(()),
                    Err(_) => Err(reader.failed.map_or(CopyError::Guest, CopyError::Host)),
                }
            }
        }
    }
}

/// Why a copy between an item and guest memory came to nothing.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// The guest's address is no memory.
    Guest,
    /// The host's file cannot be read, or ends too early.
    Host(io::Error),
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

/// Reads a file straight into guest memory, and remembers why it could not: vm-memory's error does not tell the file's
/// failure from the guest's.
struct Reader<'a> {
    file: &'a File,
    failed: Option<io::Error>,
}

impl Reader<'_> {
    fn seek(&mut self, to: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(to)).map(drop)
    }
}

impl ReadVolatile for Reader<'_> {
    fn read_volatile<B: BitmapSlice>(
        &mut self,
        to: &mut VolatileSlice<'_, B>,
    ) -> Result<usize, VolatileMemoryError> {
        // All of it: one read(2) may give less, of a file of 2 GiB or of one that is no plain file, and vm-memory would go on
        // with its next region as if it had not.
        match self.file.read_exact_volatile(to) {
            Ok(()) => Ok(to.len()),
            Err(error) => {
                if let VolatileMemoryError::IOError(error) = &error {
                    self.failed = Some(io::Error::new(error.kind(), error.to_string()));
                }
                Err(error)
            }
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
