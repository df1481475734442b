//! Guest memory as the engine sees it: in pieces that are contiguous in the host, and in whole pages that can be replaced.

use std::ops::Range;

use vm_memory::bitmap::Bitmap;
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryRegion, GuestRegionMmap, MemoryRegionAddress,
};

use super::{PAGE_SIZE, TransferError};

/// What the engine has to know of a region beyond [`GuestMemoryRegion`].
pub trait Region: GuestMemoryRegion {
    /// Whether its pages can be replaced, by a mapping of a file or by fresh memory, without anybody noticing: they are private to this
    /// process, anonymous, of the host's smallest size and writable. Memory shared with other processes (vhost-user), of a
    /// file, or of hugetlb is not, and is copied to.
    fn is_replaceable(&self) -> bool;
}

impl<B: Bitmap> Region for GuestRegionMmap<B> {
    fn is_replaceable(&self) -> bool {
        let wanted = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        self.flags() & (wanted | libc::MAP_HUGETLB) == wanted
            && self.prot() == writable
            && self.file_offset().is_none()
    }
}

/// Guest memory that the engine can work with.
pub trait Memory: GuestMemoryBackend<R: Region> + Sync {}

impl<M: GuestMemoryBackend<R: Region> + Sync> Memory for M {}

/// A piece of guest memory within one region.
#[derive(Debug)]
pub(crate) struct Piece<'a, M: Memory> {
    region: &'a M::R,
    /// Its first address.
    pub at: GuestAddress,
    /// How many bytes of the transfer come before it.
    pub done: u64,
    len: u64,
    host: usize,
}

impl<M: Memory> Piece<'_, M> {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Where the host has it.
    pub fn host(&self) -> usize {
        self.host
    }

    /// The guest addresses it has.
    pub fn range(&self) -> Range<u64> {
        self.at.0..self.at.0 + self.len
    }

    /// A part of it, counted from its start. `None` if it is not.
    pub fn part(&self, part: &Range<u64>) -> Option<Self> {
        let len = part.end.checked_sub(part.start).filter(|_| part.end <= self.len)?;
        Some(Self {
            region: self.region,
            at: GuestAddress(self.at.0 + part.start),
            done: self.done + part.start,
            len,
            host: self.host + usize::try_from(part.start).ok()?,
        })
    }

    /// The part that begins and ends at multiples of `size` in the host. `None`: it is empty.
    pub fn aligned(&self, size: u64) -> Option<Range<u64>> {
        let start = self.host as u64;
        let whole = start.next_multiple_of(size)..(start + self.len) / size * size;
        (whole.start < whole.end).then(|| whole.start - start..whole.end - start)
    }

    /// The whole pages, if bytes of a file from `offset` on lie in pages of it as they do in the host's memory.
    pub fn congruent_pages(&self, offset: u64) -> Option<Range<u64>> {
        let congruent = offset % PAGE_SIZE == self.host as u64 % PAGE_SIZE;
        self.aligned(PAGE_SIZE).filter(|_| congruent && self.region.is_replaceable())
    }

    /// Tells the region's bitmap, if it has one, that all of it was written.
    pub fn mark_dirty(&self) {
        let start = self.at.0 - self.region.start_addr().0;
        if let (Ok(start), Ok(len)) = (usize::try_from(start), usize::try_from(self.len)) {
            self.region.bitmap().mark_dirty(start, len);
        }
    }
}

/// `len` bytes of guest memory from `at` on, region by region. An error where there is no memory, and nothing after it.
pub(crate) fn pieces<M: Memory>(
    memory: &M,
    at: GuestAddress,
    len: u64,
) -> impl Iterator<Item = Result<Piece<'_, M>, TransferError>> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let piece = at.0.checked_add(done).and_then(|next| {
            let at = GuestAddress(next);
            let (region, start) = memory.to_region_addr(at)?;
            let len = (region.len() - start.0).min(len - done);
            let host = region.get_host_address(MemoryRegionAddress(start.0)).ok()?.addr();
            Some(Piece { region, at, done, len, host })
        });
        done = piece.as_ref().map_or(len, |piece| piece.done + piece.len);
        Some(piece.ok_or(TransferError::Guest))
    })
}

/// Whole pages of replaceable guest memory, which lasts as long as this does.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    start: *mut u8,
    len: usize,
    memory: std::marker::PhantomData<&'a ()>,
}

impl<'a> Pages<'a> {
    /// `None`: not replaceable, or not whole pages.
    pub fn of<M: Memory>(piece: &Piece<'a, M>) -> Option<Self> {
        let whole = piece.aligned(PAGE_SIZE)? == (0..piece.len) && piece.region.is_replaceable();
        let start = piece.at.0 - piece.region.start_addr().0;
        let start = piece.region.get_host_address(MemoryRegionAddress(start)).ok()?;
        let len = usize::try_from(piece.len).ok()?;
        whole.then_some(Self { start, len, memory: std::marker::PhantomData })
    }

    /// Their host address, at a page boundary.
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// Bytes, a multiple of the page size.
    pub fn len(&self) -> usize {
        self.len
    }
}
