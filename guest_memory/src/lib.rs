//! The transfer: bytes, parts of files and zeros into guest memory, each by the cheapest way there is.
//!
//! | what is moved | how |
//! |---|---|
//! | bytes | copied |
//! | a part of a file | read(2) into guest memory, without a buffer between; from 8 MiB on by a thread a CPU |
//! | whole pages of a file used as data, from [`MappingOptions::from`] bytes on, that agree with their place in memory below the page size | mapped privately over the guest's pages; what is beside whole pages is read, and so are [small pages](MappingOptions::small_pages) |
//! | zeros from 4 MiB on | whole huge pages are given back to the host, the rest is written |
//!
//! docs/decisions/0007-transfer.md has the measurements behind it.
//!
//! # Mapping, and why it is a copy all the same
//!
//! DMA copies: what the host does to the file afterwards is not seen by the guest. A private mapping keeps the guest's writes out
//! of the file, but shows the guest what others write to it, and takes its pages away when it is cut short. So the engine maps
//! only a file it holds a *read lease* on (`F_SETLEASE`, fcntl(2)): who wants to open it for writing, or to truncate it, is made to wait by
//! the kernel until the engine gives the lease back, and it does so [after having copied](Engine::detach) every mapped page, while the guest stands still. Where there is no lease
//! to be had (somebody has the file open for writing; it belongs to another user; the file system knows none), the bytes are read. So
//! a guest never sees other bytes than those the file had, whichever way they came.
//!
//! A lease can be broken by force: when it is not given back in time (/proc/sys/fs/lease-break-time, 45 s), as by a stopped
//! process. And a disk can fail under a mapped file. A guest that comes to such a page ends `KVM_RUN` with `EFAULT`; the host itself gets a
//! SIGBUS. [`Engine::cut_file`] and [`Engine::changed_file`] say which file it was, [`repair`] is for the handler of the signal.

mod bus_error;
mod discard;
mod file;
pub mod hint;
mod host;
mod mapped;
mod memory;
mod probe;
mod spare;

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, available_parallelism};

use thiserror::Error;
use vm_memory::bitmap::Bitmap;
use vm_memory::{Bytes, GuestAddress, GuestMemoryRegion};

use bus_error::Watch;
pub use bus_error::repair;
use discard::Discarder;
pub use file::{Content, FileRange, HostFile};
use mapped::{Mapped, MappedRanges};
pub use memory::{Memory, Region};
use memory::{Pages, Piece, pieces};

/// Bytes of x86's, and the host's, small page.
const PAGE_SIZE: u64 = 4096;
/// Bytes of a huge page.
const HUGE_PAGE: u64 = 2 << 20;
/// A copy is shared out to threads in parts of at least so many bytes: starting a thread costs as much as copying some 100 KiB.
const THREAD_FROM: u64 = 4 << 20;
/// Zeros of at least so many bytes are made by giving pages back.
const DROP_FROM: u64 = 4 << 20;
/// Before so many bytes are copied over mapped pages, these become plain memory again: else the kernel would first copy each
/// page of the file that is about to be overwritten.
const RENEW_FROM: u64 = 64 << 10;

/// What is to be moved.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A part of a range of a file.
    File {
        /// The range.
        file: &'a FileRange,
        /// Which bytes of the range.
        part: Range<u64>,
    },
    /// So many zeros.
    Zeros(u64),
}

/// Why a transfer failed. Some of the bytes may have been moved.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The guest's address is no memory, or not all along.
    #[error("the address is not memory all along")]
    Guest,
    /// The host's file cannot be read, ends too early, or has been written to.
    #[error(transparent)]
    Host(#[from] io::Error),
}

/// When pages of files are mapped.
#[derive(Clone, Copy, Debug)]
pub struct MappingOptions {
    /// From how many bytes on. Less is read as fast.
    pub from: u64,
    /// Whether to map what the host's page cache holds in small pages, too. Each of them costs the guest a page fault when it is
    /// first read: about a microsecond where the processor translates guest addresses by itself (EPT, NPT), thirty times
    /// that where KVM shadows page tables, and there reading the file into huge pages is much faster.
    pub small_pages: bool,
    /// The signal that tells this process, not one of its threads, that a lease is wanted back. It has to be blocked, or have a
    /// handler, before the first transfer: by default it kills. Upon it, [`Engine::detach`] is to be called.
    pub signal: i32,
}

/// Moves bytes into one guest's memory. Clones share what they know of it.
#[derive(Debug)]
pub struct Engine<M> {
    memory: M,
    mapping: Option<Arc<Mapping>>,
}

/// What an engine that maps has to know.
#[derive(Debug)]
struct Mapping {
    options: MappingOptions,
    state: Mutex<MappedRanges>,
    watch: Watch,
    discarder: Discarder,
}

impl<M: Clone> Clone for Engine<M> {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), mapping: self.mapping.clone() }
    }
}

impl<M: Memory> Engine<M> {
    /// An engine that copies whatever it moves.
    pub fn new(memory: M) -> Self {
        Self { memory, mapping: None }
    }

    /// An engine that maps pages of files over guest memory where that is faster and [possible](Region::is_replaceable). The
    /// process has to have a handler for SIGBUS that calls [`repair`], and be able to stop the guest for [`Engine::detach`].
    pub fn mapping(memory: M, options: MappingOptions) -> Self {
        let addresses =
            memory.iter().filter(|region| region.is_replaceable()).filter_map(|region| {
                let start = region.as_volatile_slice().ok()?.ptr_guard().as_ptr().addr();
                Some(start..start + usize::try_from(region.len()).ok()?)
            });
        let state = Mutex::default();
        let mapping = Watch::new(addresses).map(|watch| {
            Arc::new(Mapping { options, state, watch, discarder: Discarder::default() })
        });
        Self { memory, mapping }
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Makes guest memory from `at` on hold `source`: the one transfer function.
    ///
    /// # Errors
    /// [`TransferError`]. What comes before a hole in guest memory, or before the end of a file, may have been moved.
    pub fn transfer(&self, source: Source<'_>, at: GuestAddress) -> Result<(), TransferError> {
        match source {
            Source::Bytes(bytes) => self.copy(bytes, at),
            Source::File { file, part } => self.place(file, &part, at),
            Source::Zeros(len) => self.zero(len, at),
        }
    }

    fn copy(&self, bytes: &[u8], at: GuestAddress) -> Result<(), TransferError> {
        let len = bytes.len() as u64;
        if len < RENEW_FROM {
            return self.memory.write_slice(bytes, at).map_err(|_| TransferError::Guest);
        }
        for piece in pieces(&self.memory, at, len) {
            let piece = piece?;
            self.renew(&piece);
            let (at, done) = (piece.at, piece.done);
            in_parallel(piece.host(), piece.len(), |part| {
                let from = index(done + part.start)?..index(done + part.end)?;
                let (bytes, to) = (bytes.get(from).unwrap_or_default(), at.0 + part.start);
                self.memory.write_slice(bytes, GuestAddress(to)).map_err(|_| TransferError::Guest)
            })?;
        }
        Ok(())
    }

    fn place(
        &self,
        file: &FileRange,
        part: &Range<u64>,
        at: GuestAddress,
    ) -> Result<(), TransferError> {
        let range = file.in_file(part);
        let leased = self.lease(file, &range);
        if leased {
            // Nobody writes to the file from here on, so it is enough to look once.
            file.file().check(range.end)?;
        }
        let mut placed = pieces(&self.memory, at, range.end - range.start).map(|piece| {
            let piece = piece?;
            let start = range.start + piece.done;
            let pages = if leased { piece.congruent_pages(start) } else { None };
            match pages {
                Some(pages) => self.map(file, start, &piece, &pages),
                None => self.read(file, start, &piece),
            }
        });
        let placed = placed.try_for_each(|piece| piece);
        // That the file has changed says more than that it ended too early.
        if !leased && !matches!(placed, Err(TransferError::Guest)) {
            file.file().check(range.end)?;
        }
        if let Some(mapping) = self.mapping.as_ref().filter(|_| leased) {
            mapping.lock().give_back_unneeded();
        }
        placed
    }

    /// Whether bytes `range` of `file` may be mapped: it is worth it, they are there, and the file is leased to this process.
    fn lease(&self, file: &FileRange, range: &Range<u64>) -> bool {
        let Some(mapping) = &self.mapping else { return false };
        let enough = range.end - range.start >= mapping.options.from;
        if !enough || file.content() != Content::Data || file.file().len() < range.end {
            return false;
        }
        mapping.lock().lease(file.file(), mapping.options.signal)
    }

    /// Maps the whole pages of a piece, and reads what comes before and after them on pages that are shared with something else.
    fn map(
        &self,
        file: &FileRange,
        start: u64,
        piece: &Piece<'_, M>,
        pages: &Range<u64>,
    ) -> Result<(), TransferError> {
        let read = |part: &Range<u64>| {
            let piece = piece.part(part).ok_or(TransferError::Guest)?;
            if piece.len() == 0 { Ok(()) } else { self.read(file, start + part.start, &piece) }
        };
        read(&(0..pages.start))?;
        read(&(pages.end..piece.len()))?;
        let whole = piece.part(pages).ok_or(TransferError::Guest)?;
        let to_read = self.map_pages(file, start + pages.start, &whole);
        for part in &to_read {
            read(&(pages.start + part.start..pages.start + part.end))?;
        }
        // As long as pages are mapped the file is leased, and stays what it was.
        if to_read.is_empty() { Ok(()) } else { Ok(file.file().check(start + pages.end)?) }
    }

    /// Maps what is worth it of whole pages, and says which parts are to be read all the same.
    fn map_pages(&self, file: &FileRange, offset: u64, whole: &Piece<'_, M>) -> Vec<Range<u64>> {
        let all = || std::iter::once(0..whole.len()).collect();
        let (Some(mapping), Some(pages)) = (&self.mapping, Pages::of(whole)) else { return all() };
        let host_file = file.file().file();
        let huge = match mapping.options.small_pages {
            true => std::iter::once(0..whole.len()).collect(),
            false => probe::huge_pages(&pages, host_file, offset),
        };
        let mut state = mapping.lock();
        let mut to_read = Vec::new();
        let mut next = 0;
        for part in huge {
            // The lease may just have been given back; and the host may be out of mappings.
            let can = state.has_room() && state.is_leased(file.file());
            let piece = whole.part(&part).filter(|_| can);
            let mapped = piece.filter(|piece| {
                Pages::of(piece).is_some_and(|pages| {
                    mapping.discarder.discard(&pages);
                    host::map_file(&pages, host_file, offset + part.start).is_ok()
                })
            });
            let Some(piece) = mapped else { continue };
            let (at, offset) = (piece.range(), offset + part.start);
            state.insert(Mapped { at, file: Arc::clone(file.file()), offset });
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

    fn read(
        &self,
        file: &FileRange,
        start: u64,
        piece: &Piece<'_, M>,
    ) -> Result<(), TransferError> {
        self.renew(piece);
        let (host_file, at) = (file.file().file(), piece.at);
        in_parallel(piece.host(), piece.len(), |part| {
            let to = self
                .memory
                .get_slice(GuestAddress(at.0 + part.start), index(part.end - part.start)?)
                .map_err(|_| TransferError::Guest)?;
            host::read_at(host_file, &to, start + part.start)?;
            to.bitmap().mark_dirty(0, to.len());
            Ok(())
        })
    }

    fn zero(&self, len: u64, at: GuestAddress) -> Result<(), TransferError> {
        for piece in pieces(&self.memory, at, len) {
            let piece = piece?;
            self.renew(&piece);
            let huge = piece.aligned(HUGE_PAGE).filter(|_| piece.len() >= DROP_FROM);
            let dropped = huge.filter(|huge| {
                let pages = piece.part(huge).and_then(|whole| Pages::of(&whole));
                pages.is_some_and(|pages| host::drop_pages(&pages).is_ok())
            });
            let dropped = dropped.unwrap_or(0..0);
            self.write_zeros(&piece, 0..dropped.start)?;
            self.write_zeros(&piece, dropped.end..piece.len())?;
            piece.mark_dirty();
        }
        Ok(())
    }

    fn write_zeros(&self, piece: &Piece<'_, M>, part: Range<u64>) -> Result<(), TransferError> {
        /// Zeros to write from, so that a length the guest chose costs no memory.
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let (mut at, end) = (piece.at.0 + part.start, piece.at.0 + part.end);
        while at < end {
            let count = (end - at).min(ZEROS.len() as u64);
            let zeros = &ZEROS[..index(count)?];
            self.memory.write_slice(zeros, GuestAddress(at)).map_err(|_| TransferError::Guest)?;
            at += count;
        }
        Ok(())
    }

    /// Makes what is mapped within a piece plain memory again, before all of it is overwritten.
    fn renew(&self, piece: &Piece<'_, M>) {
        let Some(mapping) = &self.mapping else { return };
        if piece.len() < RENEW_FROM {
            return;
        }
        let mut state = mapping.lock();
        let Some(whole) = piece.aligned(PAGE_SIZE).and_then(|whole| piece.part(&whole)) else {
            return;
        };
        if !state.overlaps(&whole.range()) {
            return;
        }
        // All at once, so that the memory is of one piece again. If it fails, the pages are copied one by one.
        if Pages::of(&whole).is_some_and(|pages| host::renew(&pages).is_ok()) {
            state.remove(&whole.range());
        }
    }

    /// Copies every mapped page of files that somebody waits to write to, and lets them: to be called when the signal of
    /// [`MappingOptions`] comes. [`Leases::All`]: of every file, as before this process is stopped.
    ///
    /// Nobody may write to guest memory meanwhile: the vCPUs have to stand still, for some 0.5 s a GiB. (Private copies in the file's
    /// mapping, which could be made while they run, would not do: Linux drops those too when the file is truncated.)
    pub fn detach(&self, which: Leases) {
        if let Some(mapping) = &self.mapping {
            mapping.lock().detach(which, |at| self.copy_out(mapping, at));
        }
    }

    /// Puts plain memory with the same bytes in the place of mapped pages.
    fn copy_out(&self, mapping: &Mapping, at: Range<u64>) -> Result<(), TransferError> {
        let mut start = at.start;
        while start < at.end {
            // Up to a multiple of whole huge pages, so that the memory can be of such again.
            let end = (start + 1).next_multiple_of(2 * HUGE_PAGE).min(at.end);
            let mut bytes = vec![0; index(end - start)?];
            let at = GuestAddress(start);
            self.memory.read_slice(&mut bytes, at).map_err(|_| TransferError::Guest)?;
            if mapping.watch.is_lost() {
                return Err(TransferError::Guest);
            }
            for piece in pieces(&self.memory, at, end - start) {
                host::renew(&Pages::of(&piece?).ok_or(TransferError::Guest)?)?;
            }
            self.memory.write_slice(&bytes, at).map_err(|_| TransferError::Guest)?;
            start = end;
        }
        Ok(())
    }

    /// The first mapped file that is shorter now than what the guest was shown of it: its name, the length it had to keep, and
    /// the length it has. Its lease was broken by force.
    pub fn cut_file(&self) -> Option<(PathBuf, u64, u64)> {
        self.mapping.as_ref()?.lock().cut_file()
    }

    /// The first file whose lease was broken by force, and that was changed before its pages could be copied: the guest may have
    /// seen that.
    pub fn changed_file(&self) -> Option<PathBuf> {
        self.mapping.as_ref()?.lock().changed_file()
    }

    /// Gives all leases back without copying anything: the guest has ended, and nobody looks at its memory any more.
    pub fn release(&self) {
        if let Some(mapping) = &self.mapping {
            mapping.lock().release();
        }
    }

    /// How many bytes of guest memory are mapped pages of files.
    pub fn mapped_bytes(&self) -> u64 {
        self.mapping.as_ref().map_or(0, |mapping| mapping.lock().bytes())
    }

    /// Whether the host came to a page that is not to be had any more since this was last asked, and [`repair`] put zeros there.
    pub fn take_lost_page(&self) -> bool {
        self.mapping.as_ref().is_some_and(|mapping| mapping.watch.take_lost())
    }
}

/// Which leases are to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leases {
    /// Those that somebody waits for.
    Wanted,
    /// All.
    All,
}

impl Mapping {
    fn lock(&self) -> MutexGuard<'_, MappedRanges> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shares out `len` bytes of guest memory, from host address `host` on, to as many threads as are worth it. Parts meet at huge
/// pages, so that no two threads want the same one.
fn in_parallel(
    host: usize,
    len: u64,
    work: impl Fn(Range<u64>) -> Result<(), TransferError> + Sync,
) -> Result<(), TransferError> {
    if len < 2 * THREAD_FROM {
        return work(0..len);
    }
    let cpus = available_parallelism().map_or(1, |n| n.get() as u64);
    let threads = (len / THREAD_FROM).clamp(1, cpus);
    let base = host as u64 % HUGE_PAGE;
    let border = |i: u64| {
        let even = (base + len / threads * i).next_multiple_of(HUGE_PAGE);
        if i == 0 { 0 } else { (even - base).min(len) }
    };
    let part = |i: u64| border(i)..if i + 1 == threads { len } else { border(i + 1) };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = (1..threads)
            .map(|i| thread::Builder::new().spawn_scoped(scope, move || work(part(i))))
            .collect();
        let mut result = work(part(0));
        for (i, other) in (1..).zip(others) {
            let failed = || TransferError::Host(io::Error::other("a copying thread has failed"));
            let done = match other {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(failed())),
                // No thread to be had: it is done here.
                Err(_) => work(part(i)),
            };
            result = result.and(done);
        }
        result
    })
}

/// A length within guest memory, of which the host has an address for each byte.
fn index(value: u64) -> Result<usize, TransferError> {
    usize::try_from(value).map_err(|_| TransferError::Guest)
}
