//! The contents of an item: bytes, part of an open file, or a sequence of both.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use guest_memory::{FileRange, Source};

/// The contents of an item.
#[derive(Debug)]
pub enum Data {
    /// These bytes.
    Bytes(Cow<'static, [u8]>),
    /// Part of a file, read when the guest asks for it, so that kernels and initrds are never on
    /// the heap.
    File(FileRange),
    /// A memory image composed of several files: its parts follow each other without gaps.
    Parts(Vec<Part>),
}

/// A piece of [`Data::Parts`].
#[derive(Debug)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Part of a file.
    File(FileRange),
    /// This many zero bytes.
    Zeros(u64),
}

impl Part {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.len(),
            Self::Zeros(count) => *count,
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => read_bytes(bytes, offset, to),
            Self::File(file) => file.read_at(offset, to),
            Self::Zeros(_) => {
                to.fill(0);
                Ok(())
            }
        }
    }

    fn source(&self, part: Range<u64>) -> Source<'_> {
        match self {
            Self::Bytes(bytes) => bytes_of(bytes, part),
            Self::File(file) => Source::File { file, part },
            Self::Zeros(_) => Source::Zeros(part.end - part.start),
        }
    }
}

impl Data {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.len(),
            Self::Parts(parts) => parts.iter().map(Part::len).sum(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The files it is read from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &FileRange> {
        let (file, parts) = match self {
            Self::Bytes(_) => (None, &[][..]),
            Self::File(file) => (Some(file), &[][..]),
            Self::Parts(parts) => (None, parts.as_slice()),
        };
        file.into_iter().chain(parts.iter().filter_map(|part| match part {
            Part::File(file) => Some(file),
            Part::Bytes(_) | Part::Zeros(_) => None,
        }))
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
            Self::Bytes(bytes) => read_bytes(bytes, offset, to),
            Self::File(file) => file.read_at(offset, to),
            Self::Parts(parts) => {
                let mut rest = to;
                for (part, range) in pieces(parts, offset..offset + rest.len() as u64) {
                    let count =
                        usize::try_from(range.end - range.start).map_err(io::Error::other)?;
                    let (to, after) = rest.split_at_mut(count);
                    part.read_at(range.start, to)?;
                    rest = after;
                }
                Ok(())
            }
        }
    }

    /// `len` bytes from `offset`, to be moved into guest memory one after the other, with their
    /// lengths. The caller has checked that there are enough. Allocates nothing.
    pub(crate) fn sources(&self, offset: u64, len: u64) -> impl Iterator<Item = (Source<'_>, u64)> {
        let range = offset..offset + len;
        let (whole, parts) = match self {
            Self::Bytes(bytes) => (Some(bytes_of(bytes, range.clone())), &[][..]),
            Self::File(file) => (Some(Source::File { file, part: range.clone() }), &[][..]),
            Self::Parts(parts) => (None, parts.as_slice()),
        };
        let pieces = pieces(parts, range).map(|(part, range)| {
            let len = range.end - range.start;
            (part.source(range), len)
        });
        whole.map(|source| (source, len)).into_iter().chain(pieces)
    }
}

/// What `range` of the whole takes from each of `parts`: the part, and which bytes of it.
fn pieces(parts: &[Part], range: Range<u64>) -> impl Iterator<Item = (&Part, Range<u64>)> {
    let mut start = 0;
    parts.iter().filter_map(move |part| {
        let (from, end) = (start, start + part.len());
        start = end;
        let piece = range.start.max(from)..range.end.min(end);
        (piece.start < piece.end).then(|| (part, piece.start - from..piece.end - from))
    })
}

fn read_bytes(bytes: &[u8], offset: u64, to: &mut [u8]) -> io::Result<()> {
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    let from = bytes.get(start..).and_then(|rest| rest.get(..to.len()));
    to.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(())
}

fn bytes_of(bytes: &[u8], range: Range<u64>) -> Source<'_> {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    Source::Bytes(bytes.get(index(range.start)..index(range.end)).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// "abc", three zeros, "\x7fELF" from a file, "xyz".
    fn parts() -> (Data, &'static [u8]) {
        let file = FileRange::new(File::open("/proc/self/exe").unwrap(), 0..4);
        let parts = [Part::Bytes(b"abc".into()), Part::Zeros(3), Part::Zeros(0), Part::File(file)];
        let parts: Vec<Part> = parts.into_iter().chain([Part::Bytes(b"xyz".into())]).collect();
        (Data::Parts(parts), b"abc\0\0\0\x7fELFxyz")
    }

    #[test]
    fn parts_are_read_as_one_item() {
        let (data, whole) = parts();
        assert_eq!((data.len(), data.is_empty(), data.files().count()), (13, false, 1));
        for (part, is_empty) in [(Part::Zeros(0), true), (Part::Bytes(vec![0]), false)] {
            assert_eq!(part.is_empty(), is_empty);
        }
        for start in 0..=whole.len() {
            for end in start..=whole.len() {
                let mut read = vec![0xcc; end - start];
                data.read_at(start as u64, &mut read).unwrap();
                assert_eq!(read, whole[start..end], "{start}..{end}");
                let pieces = data.sources(start as u64, (end - start) as u64);
                let pieces: Vec<_> = pieces.map(|(_, len)| len).collect();
                assert_eq!(pieces.iter().sum::<u64>(), (end - start) as u64);
                assert!(pieces.iter().all(|len| *len > 0), "{pieces:?}: an empty transfer");
            }
        }
        assert_eq!(data.read_to_vec().unwrap(), whole);
    }
}
