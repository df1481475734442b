//! Buffers in guest memory, as devices get them from drivers: an address and a length each, to be
//! found in the memory of this process.

use vm_memory::{
    ByteValued, Bytes, GuestAddress, GuestMemory, GuestMemoryBackend, GuestMemoryMmap, Permissions,
    VolatileSlice,
};

/// A buffer: guest-physical address and length in bytes. It need not be in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub at: GuestAddress,
    /// Bytes.
    pub len: u32,
}

/// A buffer where the host has it. `None`: it is not in memory, or extends beyond a region of it.
/// [`GuestMemory::get_slices`] finds those that do, and takes several times as long.
pub(crate) fn slice(
    memory: &GuestMemoryMmap,
    at: GuestAddress,
    len: u32,
) -> Option<VolatileSlice<'_>> {
    GuestMemoryBackend::get_slice(memory, at, usize::try_from(len).ok()?).ok()
}

/// Writes a value to memory. `None`: part of it is not in memory.
pub(crate) fn put<T: ByteValued>(
    memory: &GuestMemoryMmap,
    at: GuestAddress,
    value: T,
) -> Option<()> {
    let len = u32::try_from(size_of::<T>()).ok()?;
    match slice(memory, at, len) {
        Some(slice) => slice.write_obj(value, 0).ok(),
        None => memory.write_obj(value, at).ok(),
    }
}

/// Buffers where the host has them.
#[derive(Debug, Default)]
pub struct Buffers<'a> {
    slices: Vec<VolatileSlice<'a>>,
    len: usize,
}

impl<'a> Buffers<'a> {
    /// Finds buffers in memory, for reading or writing. `None`: part of them is not in memory.
    pub fn new(
        memory: &'a GuestMemoryMmap,
        segments: &[Segment],
        access: Permissions,
    ) -> Option<Self> {
        let mut buffers = Self { slices: Vec::with_capacity(segments.len()), len: 0 };
        for segment in segments {
            let len = usize::try_from(segment.len).ok()?;
            if let Some(slice) = slice(memory, segment.at, segment.len) {
                buffers.len = buffers.len.checked_add(len)?;
                buffers.slices.push(slice);
                continue;
            }
            for slice in GuestMemory::get_slices(memory, segment.at, len, access).ok()? {
                let slice = slice.ok()?;
                buffers.len = buffers.len.checked_add(slice.len())?;
                buffers.slices.push(slice);
            }
        }
        Some(buffers)
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, in order.
    pub fn slices(&self) -> &[VolatileSlice<'a>] {
        &self.slices
    }

    /// Keeps the first `at` bytes, and returns the rest. `None`: there are fewer; nothing has
    /// changed.
    pub fn split_off(&mut self, at: usize) -> Option<Self> {
        let rest_len = self.len.checked_sub(at)?;
        let (mut keep, mut index) = (at, 0);
        while let Some(slice) = self.slices.get(index).filter(|slice| slice.len() <= keep) {
            keep -= slice.len();
            index += 1;
        }
        let mut rest = self.slices.split_off(index);
        if keep > 0
            && let Some(first) = rest.first_mut()
        {
            let (head, tail) = first.split_at(keep).ok()?;
            self.slices.push(head);
            *first = tail;
        }
        self.len = at;
        Some(Self { slices: rest, len: rest_len })
    }

    /// Copies bytes out, as many as both have, and returns how many.
    pub fn copy_to(&self, to: &mut [u8]) -> usize {
        let mut done = 0;
        for slice in &self.slices {
            done += slice.copy_to(&mut to[done..]);
        }
        done
    }

    /// Copies bytes in, as many as both have, and returns how many.
    pub fn copy_from(&self, from: &[u8]) -> usize {
        let mut done = 0;
        for slice in &self.slices {
            let count = slice.len().min(from.len() - done);
            slice.copy_from(&from[done..done + count]);
            done += count;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: u64 = 1 << 20;

    fn memory() -> GuestMemoryMmap {
        let size = usize::try_from(RAM).unwrap();
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size)]).unwrap()
    }

    fn buffers<'a>(memory: &'a GuestMemoryMmap, places: &[(u64, u32)]) -> Option<Buffers<'a>> {
        let segment = |&(at, len): &(u64, u32)| Segment { at: GuestAddress(at), len };
        let segments: Vec<_> = places.iter().map(segment).collect();
        Buffers::new(memory, &segments, Permissions::ReadWrite)
    }

    #[test]
    fn buffers_that_are_not_in_memory_are_refused() {
        let memory = memory();
        for (at, len) in [(1 << 40, 1), (RAM - 1, 2), (u64::MAX, 2)] {
            assert!(buffers(&memory, &[(0, 4), (at, len)]).is_none(), "{at:#x}");
        }
    }

    #[test]
    fn buffers_are_divided_anywhere() {
        let memory = memory();
        memory.write_slice(b"abcdefgh", GuestAddress(0)).unwrap();
        for at in 0..=8 {
            let mut front = buffers(&memory, &[(0, 3), (3, 1), (4, 4)]).unwrap();
            let back = front.split_off(at).unwrap();
            let (mut head, mut tail) = ([0; 8], [0; 8]);
            assert_eq!((front.len(), back.len()), (at, 8 - at));
            assert_eq!((front.copy_to(&mut head), back.copy_to(&mut tail)), (at, 8 - at));
            assert_eq!([&head[..at], &tail[..8 - at]].concat(), b"abcdefgh");
        }
        assert!(buffers(&memory, &[(0, 3)]).unwrap().split_off(4).is_none());
    }

    #[test]
    fn no_more_is_copied_than_there_is() {
        let memory = memory();
        let two = buffers(&memory, &[(0, 2), (8, 2)]).unwrap();
        assert_eq!(two.copy_from(b"123456"), 4);
        assert_eq!(two.copy_from(b"x"), 1);
        let mut bytes = [0; 3];
        assert_eq!(two.copy_to(&mut bytes), 3);
        assert_eq!(&bytes, b"x23");
        assert_eq!(memory.read_obj::<[u8; 2]>(GuestAddress(8)).unwrap(), *b"34");
    }
}
