//! Mapping pages of files over guest memory, and undoing it.

use std::iter::once;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vm_memory::{Bytes, GuestAddress, GuestMemoryRegion};

use crate::discard::Discarder;
use crate::error::TransferError;
use crate::file::{Content, FileRange};
use crate::host;
use crate::mapped::{Leases, MappedRange, MappedRanges};
use crate::memory::{Memory, Pages, Piece, Region, host_len, pieces};
use crate::page_cache;
use crate::pages::{HUGE_PAGE, PAGE_SIZE};
use crate::sigbus::Watch;

/// Before this many bytes are copied over mapped pages, the pages become plain memory again.
/// Otherwise the kernel would first copy each page of the file that is about to be overwritten.
pub(crate) const RENEW_FROM: u64 = 64 << 10;

/// When pages of files are mapped.
#[derive(Clone, Copy, Debug)]
pub struct MappingOptions {
    /// Shortest transfer to map, in bytes. Reading is as fast below it.
    pub from: u64,
    /// Whether to map small pages of the host's page cache as well. Each of them costs the guest a
    /// page fault on first access: about 1 µs where the processor translates guest addresses (EPT,
    /// NPT), but thirty times that where KVM shadows page tables. There, reading the file into huge
    /// pages is much faster.
    pub small_pages: bool,
    /// The signal that tells this process that another one waits for a lease. It is sent to the
    /// process, not to one of its threads. It must be blocked, or have a handler, before the first
    /// transfer: its default action may end the process. When it arrives, call
    /// [`Engine::detach`](crate::Engine::detach).
    pub signal: i32,
}

/// What an engine that maps needs.
#[derive(Debug)]
pub(crate) struct Mapping {
    options: MappingOptions,
    state: Mutex<MappedRanges>,
    watch: Watch,
    discarder: Discarder,
}

impl Mapping {
    /// `None` if this process already watches as many memory regions as it can.
    pub fn new<M: Memory>(memory: &M, options: MappingOptions) -> Option<Self> {
        let addresses =
            memory.iter().filter(|region| region.is_replaceable()).filter_map(|region| {
                let start = region.as_volatile_slice().ok()?.ptr_guard().as_ptr().addr();
                Some(start..start + usize::try_from(region.len()).ok()?)
            });
        let watch = Watch::new(addresses)?;
        let (state, discarder) = (Mutex::default(), Discarder::default());
        Some(Self { options, state, watch, discarder })
    }

    fn lock(&self) -> MutexGuard<'_, MappedRanges> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether bytes `range` of `file` may be mapped: there are enough of them, they exist, and
    /// this process holds a lease on the file.
    pub fn lease(&self, file: &FileRange, range: &Range<u64>) -> bool {
        let enough = range.end - range.start >= self.options.from;
        if !enough || file.content() != Content::Data || file.file().len() < range.end {
            return false;
        }
        self.lock().lease(file.file(), self.options.signal)
    }

    /// Releases the leases on files of which nothing is mapped any more.
    pub fn release_unneeded(&self) {
        self.lock().release_unneeded();
    }

    /// Maps those parts of `whole`, which consists of whole pages, for which mapping pays off.
    /// Returns the parts that must be read instead, relative to its start. `offset` is the file
    /// offset of its first byte.
    pub fn map_pages<M: Memory>(
        &self,
        file: &FileRange,
        offset: u64,
        whole: &Piece<'_, M>,
    ) -> Vec<Range<u64>> {
        let all = || once(0..whole.len()).collect();
        let Some(pages) = Pages::of(whole) else { return all() };
        let host_file = file.file().file();
        let candidates = match self.options.small_pages {
            true => all(),
            false => page_cache::huge_pages(&pages, host_file, offset),
        };
        let mut state = self.lock();
        let mut to_read = Vec::new();
        let mut next = 0;
        for part in candidates {
            // The lease may just have been released, and the process may be out of mappings.
            let can = state.has_room() && state.is_leased(file.file());
            let piece = whole.part(&part).filter(|_| can);
            let mapped = piece.filter(|piece| {
                Pages::of(piece).is_some_and(|pages| {
                    self.discarder.discard(&pages);
                    host::map_file(&pages, host_file, offset + part.start).is_ok()
                })
            });
            let Some(piece) = mapped else { continue };
            let (at, offset) = (piece.range(), offset + part.start);
            state.insert(MappedRange { at, file: Arc::clone(file.file()), offset });
            piece.mark_dirty();
            if next < part.start {
                to_read.push(next..part.start);
            }
            next = part.end;
        }
        if next < whole.len() {
            to_read.push(next..whole.len());
        }
        to_read
    }

    /// Turns mapped pages of a piece back into plain memory before all of it is overwritten.
    pub fn renew<M: Memory>(&self, piece: &Piece<'_, M>) {
        if piece.len() < RENEW_FROM {
            return;
        }
        let mut state = self.lock();
        let Some(whole) = piece.aligned(PAGE_SIZE).and_then(|whole| piece.part(&whole)) else {
            return;
        };
        if !state.overlaps(&whole.range()) {
            return;
        }
        // All at once, so that it is a single host mapping again. If this fails, the pages are
        // copied one by one.
        if Pages::of(&whole).is_some_and(|pages| host::renew(&pages).is_ok()) {
            state.remove(&whole.range());
        }
    }

    /// See [`Engine::detach`](crate::Engine::detach).
    pub fn detach<M: Memory>(&self, memory: &M, which: Leases) {
        self.lock().detach(which, |at| self.copy_out(memory, at));
    }

    /// Replaces mapped pages at guest addresses `at` by plain memory with the same bytes.
    fn copy_out<M: Memory>(&self, memory: &M, at: Range<u64>) -> Result<(), TransferError> {
        let mut start = at.start;
        while start < at.end {
            // Up to a multiple of whole huge pages, so that the memory can consist of them again.
            let end = (start + 1).next_multiple_of(2 * HUGE_PAGE).min(at.end);
            let mut bytes = vec![0; host_len(end - start)?];
            let at = GuestAddress(start);
            memory.read_slice(&mut bytes, at).map_err(|_| TransferError::Guest)?;
            if self.watch.is_lost() {
                return Err(TransferError::Guest);
            }
            for piece in pieces(memory, at, end - start) {
                host::renew(&Pages::of(&piece?).ok_or(TransferError::Guest)?)?;
            }
            memory.write_slice(&bytes, at).map_err(|_| TransferError::Guest)?;
            start = end;
        }
        Ok(())
    }

    /// See [`Engine::cut_file`](crate::Engine::cut_file).
    pub fn cut_file(&self) -> Option<(PathBuf, u64, u64)> {
        self.lock().cut_file()
    }

    /// See [`Engine::changed_file`](crate::Engine::changed_file).
    pub fn changed_file(&self) -> Option<PathBuf> {
        self.lock().changed_file()
    }

    /// See [`Engine::release`](crate::Engine::release).
    pub fn release(&self) {
        self.lock().release();
    }

    /// Number of bytes of guest memory that are mapped file pages.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// See [`Engine::take_lost_page`](crate::Engine::take_lost_page).
    pub fn take_lost_page(&self) -> bool {
        self.watch.take_lost()
    }
}
