//! Guest memory in pieces: the arithmetic of a disk's requests.

use std::io;
use std::ops::Range;

use vm_memory::VolatileSlice;

use super::SECTOR_BYTES;

/// How many bytes the slices have together.
pub(super) fn byte_count(slices: &[VolatileSlice<'_>]) -> usize {
    slices.iter().map(VolatileSlice::len).sum()
}

/// Zeros after the first `done` bytes.
pub(super) fn zero_from(to: &[VolatileSlice<'_>], done: usize) {
    for slice in without_front(to, done).unwrap_or_default() {
        let mut at = 0;
        while at < slice.len() {
            let count = (slice.len() - at).min(SECTOR_BYTES);
            if let Ok(part) = slice.subslice(at, count) {
                part.copy_from(&[0u8; SECTOR_BYTES][..count]);
            }
            at += count;
        }
    }
}

/// Copies as many bytes as `to` has room for, and returns how many.
pub(super) fn copy_front(from: &[VolatileSlice<'_>], to: &mut [u8]) -> usize {
    let mut done = 0;
    for slice in from {
        done += slice.copy_to(&mut to[done..]);
    }
    done
}

/// Bytes `range` of the slices together.
pub(super) fn part_of<'a>(
    slices: &[VolatileSlice<'a>],
    range: Range<u64>,
) -> io::Result<Vec<VolatileSlice<'a>>> {
    let start = usize::try_from(range.start).map_err(io::Error::other)?;
    let mut left = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut part = Vec::new();
    for slice in without_front(slices, start).map_err(io::Error::other)? {
        let count = slice.len().min(left);
        if count > 0 {
            part.push(slice.subslice(0, count).map_err(io::Error::other)?);
        }
        left -= count;
    }
    Ok(part)
}

/// What comes after the first `count` bytes.
pub(super) fn without_front<'a>(
    slices: &[VolatileSlice<'a>],
    mut count: usize,
) -> Result<Vec<VolatileSlice<'a>>, vm_memory::VolatileMemoryError> {
    let mut rest = Vec::with_capacity(slices.len());
    for slice in slices {
        let skipped = count.min(slice.len());
        count -= skipped;
        if skipped < slice.len() {
            rest.push(slice.offset(skipped)?);
        }
    }
    Ok(rest)
}
