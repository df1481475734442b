//! Guest memory in pieces: the arithmetic of a disk's requests.

use std::io;
use std::slice::Iter;

use vm_memory::VolatileSlice;

use super::SECTOR_BYTES;

/// How many bytes the slices have together.
pub(super) fn byte_count(slices: &[VolatileSlice<'_>]) -> usize {
    slices.iter().map(VolatileSlice::len).sum()
}

/// Zeros after the first `done` bytes.
pub(super) fn zero_from(to: &[VolatileSlice<'_>], done: usize) {
    let mut skipped = 0;
    for slice in to {
        let mut at = (done - skipped).min(slice.len());
        skipped += at;
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

/// Slices that are used from front to back, in parts. A request that is in many places takes each
/// slice once, and not once for every place: a guest decides how many there are of both.
#[derive(Debug)]
pub(super) struct Remaining<'s, 'a> {
    slices: Iter<'s, VolatileSlice<'a>>,
    /// What the last part left of a slice.
    front: Option<VolatileSlice<'a>>,
}

impl<'s, 'a> Remaining<'s, 'a> {
    pub fn new(slices: &'s [VolatileSlice<'a>]) -> Self {
        Self { slices: slices.iter(), front: None }
    }

    /// The next `len` bytes, or all that remain if there are fewer.
    ///
    /// # Errors
    /// `len` does not fit in memory.
    pub fn next_bytes(&mut self, len: u64) -> io::Result<Vec<VolatileSlice<'a>>> {
        let mut left = usize::try_from(len).map_err(io::Error::other)?;
        let mut part = Vec::new();
        while left > 0
            && let Some(slice) = self.next()
        {
            if slice.len() > left {
                let (head, tail) = slice.split_at(left).map_err(io::Error::other)?;
                self.front = Some(tail);
                part.push(head);
                break;
            }
            left -= slice.len();
            if !slice.is_empty() {
                part.push(slice);
            }
        }
        Ok(part)
    }
}

impl<'a> Iterator for Remaining<'_, 'a> {
    type Item = VolatileSlice<'a>;

    /// The next slice, or what remains of it.
    fn next(&mut self) -> Option<VolatileSlice<'a>> {
        #[cfg(test)]
        counting::count();
        self.front.take().or_else(|| self.slices.next().copied())
    }
}

/// Counts the slices that a test's thread visits.
#[cfg(test)]
pub(super) mod counting {
    use std::cell::Cell;

    thread_local! {
        static VISITED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        VISITED.set(VISITED.get() + 1);
    }

    /// How many slices `run` visits.
    pub fn visited(run: impl FnOnce()) -> usize {
        VISITED.set(0);
        run();
        VISITED.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(part: &[VolatileSlice<'_>]) -> Vec<usize> {
        part.iter().map(VolatileSlice::len).collect()
    }

    #[test]
    fn parts_follow_each_other() {
        let mut bytes = *b"abcdefgh";
        let whole = VolatileSlice::from(&mut bytes[..]);
        let slice = |at, len| whole.subslice(at, len).unwrap();
        let slices = [slice(0, 3), slice(3, 0), slice(3, 1), slice(4, 4)];
        let mut rest = Remaining::new(&slices);
        let mut seen = Vec::new();
        for (len, expected) in
            [(2, &[2][..]), (0, &[]), (1, &[1]), (3, &[1, 2]), (9, &[2]), (1, &[])]
        {
            let part = rest.next_bytes(len).unwrap();
            assert_eq!(lengths(&part), expected);
            let mut copy = [0; 8];
            let count = copy_front(&part, &mut copy);
            seen.extend_from_slice(&copy[..count]);
        }
        assert_eq!(seen, b"abcdefgh");
    }

    #[test]
    fn a_part_visits_only_the_slices_it_needs() {
        let mut bytes = [0; 1000];
        let slices: Vec<_> = bytes.chunks_mut(1).map(VolatileSlice::from).collect();
        let mut rest = Remaining::new(&slices);
        assert_eq!(counting::visited(|| assert_eq!(rest.next_bytes(3).unwrap().len(), 3)), 3);
        assert_eq!(counting::visited(|| assert_eq!(rest.next_bytes(2).unwrap().len(), 2)), 2);
    }
}
