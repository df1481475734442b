//! Guest memory as the engine sees it: pieces that are contiguous in the host, and whole pages that
//! can be replaced.

use std::ops::Range;

use vm_memory::bitmap::Bitmap;
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryRegion, GuestRegionMmap, MemoryRegionAddress,
};

use crate::error::TransferError;
use crate::pages::PAGE_SIZE;

/// The engine's requirements on a memory region beyond [`GuestMemoryRegion`].
pub trait Region: GuestMemoryRegion {
    /// Whether its pages can be replaced by a mapping of a file or by fresh memory: they are
    /// private to this process, anonymous, writable, and of the host's smallest page size. Memory
    /// that is shared with other processes (vhost-user), file-backed, or made of hugetlb pages is
    /// not replaceable, and the engine copies to it.
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

/// Guest memory that the engine can write to.
pub trait Memory: GuestMemoryBackend<R: Region> + Sync {}

impl<M: GuestMemoryBackend<R: Region> + Sync> Memory for M {}

/// A piece of guest memory within one region.
#[derive(Debug)]
pub(crate) struct Piece<'a, M: Memory> {
    region: &'a M::R,
    /// Its first address.
    pub at: GuestAddress,
    /// Number of bytes of the transfer that precede it.
    pub done: u64,
    len: u64,
    host: usize,
}

impl<M: Memory> Piece<'_, M> {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Its host address.
    pub fn host(&self) -> usize {
        self.host
    }

    /// Its guest-physical addresses.
    pub fn range(&self) -> Range<u64> {
        self.at.0..self.at.0 + self.len
    }

    /// A part of it, counted from its start. `None` if the range is not within it.
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

    /// The part whose start and end are multiples of `size` in the host. `None` if there is none.
    pub fn aligned(&self, size: u64) -> Option<Range<u64>> {
        let start = self.host as u64;
        let whole = start.next_multiple_of(size)..(start + self.len) / size * size;
        (whole.start < whole.end).then(|| whole.start - start..whole.end - start)
    }

    /// The whole pages, if file offset `offset` and the host address agree modulo the page size,
    /// and the pages can be replaced.
    pub fn congruent_pages(&self, offset: u64) -> Option<Range<u64>> {
        let congruent = offset % PAGE_SIZE == self.host as u64 % PAGE_SIZE;
        self.aligned(PAGE_SIZE).filter(|_| congruent && self.region.is_replaceable())
    }

    /// Marks all of it as written in the region's dirty bitmap, if it has one.
    pub fn mark_dirty(&self) {
        let start = self.at.0 - self.region.start_addr().0;
        if let (Ok(start), Ok(len)) = (usize::try_from(start), usize::try_from(self.len)) {
            self.region.bitmap().mark_dirty(start, len);
        }
    }
}

/// Iterates over `len` bytes of guest memory from `at`, region by region. At a hole, yields an
/// error and ends.
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

/// Whole pages of replaceable guest memory, which stays mapped for `'a`.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    start: *mut u8,
    len: usize,
    memory: std::marker::PhantomData<&'a ()>,
}

impl<'a> Pages<'a> {
    /// `None` if the piece is not replaceable or does not consist of whole pages.
    pub fn of<M: Memory>(piece: &Piece<'a, M>) -> Option<Self> {
        let whole = piece.aligned(PAGE_SIZE)? == (0..piece.len) && piece.region.is_replaceable();
        let start = piece.at.0 - piece.region.start_addr().0;
        let start = piece.region.get_host_address(MemoryRegionAddress(start)).ok()?;
        let len = usize::try_from(piece.len).ok()?;
        whole.then_some(Self { start, len, memory: std::marker::PhantomData })
    }

    /// Their host address, a multiple of the page size.
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// Their length in bytes, a multiple of the page size.
    pub fn len(&self) -> usize {
        self.len
    }
}

/// Converts the length of a part of guest memory, all of which has host addresses.
///
/// # Errors
/// Only on hosts whose addresses are narrower than 64 bits.
pub(crate) fn host_len(value: u64) -> Result<usize, TransferError> {
    usize::try_from(value).map_err(|_| TransferError::Guest)
}
