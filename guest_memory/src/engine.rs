//! The engine: one transfer function, by copying or, through [`Mapping`], by mapping.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use vm_memory::bitmap::Bitmap;
use vm_memory::{Bytes, GuestAddress};

use crate::error::TransferError;
use crate::file::FileRange;
use crate::host;
use crate::mapped::Leases;
use crate::mapping::{Mapping, MappingOptions, RENEW_FROM};
use crate::memory::{Memory, Pages, Piece, host_len, pieces};
use crate::pages::HUGE_PAGE;
use crate::parallel::in_parallel;
use crate::source::Source;

/// Minimum length in bytes from which zeros are created by returning pages to the host.
const DROP_FROM: u64 = 4 << 20;

/// Moves bytes into the memory of one guest. Clones share their mappings and leases.
#[derive(Debug)]
pub struct Engine<M> {
    memory: M,
    mapping: Option<Arc<Mapping>>,
}

impl<M: Clone> Clone for Engine<M> {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), mapping: self.mapping.clone() }
    }
}

impl<M: Memory> Engine<M> {
    /// Creates an engine that always copies.
    pub fn new(memory: M) -> Self {
        Self { memory, mapping: None }
    }

    /// Creates an engine that maps pages of files over guest memory where that is faster and
    /// [possible](crate::Region::is_replaceable). The process must have a SIGBUS handler that calls
    /// [`repair`](crate::repair), and must be able to stop the guest for [`Engine::detach`].
    pub fn mapping(memory: M, options: MappingOptions) -> Self {
        let mapping = Mapping::new(&memory, options).map(Arc::new);
        Self { memory, mapping }
    }

    /// The guest's memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Moves `source` to guest memory, starting at guest-physical address `at`.
    ///
    /// # Errors
    /// [`TransferError`]. What precedes a hole in guest memory, or the end of a file, may have been
    /// moved.
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
                let from = host_len(done + part.start)?..host_len(done + part.end)?;
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
        let mapping = self.mapping.as_deref().filter(|mapping| mapping.lease(file, &range));
        if mapping.is_some() {
            // Nobody can write to the file from here on, so one check is enough.
            file.file().check(range.end)?;
        }
        let mut placed = pieces(&self.memory, at, range.end - range.start).map(|piece| {
            let piece = piece?;
            let start = range.start + piece.done;
            match mapping.and_then(|mapping| Some((mapping, piece.congruent_pages(start)?))) {
                Some((mapping, pages)) => self.map(mapping, file, start, &piece, &pages),
                None => self.read(file, start, &piece),
            }
        });
        let placed = placed.try_for_each(|piece| piece);
        match mapping {
            Some(mapping) => mapping.release_unneeded(),
            // "Modified" is a better explanation than "ended too early", so check even then.
            None if !matches!(placed, Err(TransferError::Guest)) => file.file().check(range.end)?,
            None => {}
        }
        placed
    }

    /// Maps `pages` of a piece. Reads the bytes before and after them, whose pages also hold other
    /// data.
    fn map(
        &self,
        mapping: &Mapping,
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
        let to_read = mapping.map_pages(file, start + pages.start, &whole);
        for part in &to_read {
            read(&(pages.start + part.start..pages.start + part.end))?;
        }
        // While pages are mapped, the lease keeps the file unchanged. Read pages need a check.
        if to_read.is_empty() { Ok(()) } else { Ok(file.file().check(start + pages.end)?) }
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
                .get_slice(GuestAddress(at.0 + part.start), host_len(part.end - part.start)?)
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
        /// Zeros to copy from: the length is the guest's choice, so it must not be allocated.
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let (mut at, end) = (piece.at.0 + part.start, piece.at.0 + part.end);
        while at < end {
            let count = (end - at).min(ZEROS.len() as u64);
            let zeros = &ZEROS[..host_len(count)?];
            self.memory.write_slice(zeros, GuestAddress(at)).map_err(|_| TransferError::Guest)?;
            at += count;
        }
        Ok(())
    }

    /// Turns mapped pages of a piece back into plain memory before all of it is overwritten.
    fn renew(&self, piece: &Piece<'_, M>) {
        if let Some(mapping) = &self.mapping {
            mapping.renew(piece);
        }
    }

    /// Copies every mapped page of the files that another process waits to write to, and releases
    /// their leases. Call it when the signal of [`MappingOptions`] arrives; with [`Leases::All`],
    /// before this process is stopped.
    ///
    /// Nobody may write to guest memory meanwhile: the vCPUs must be stopped, for about 0.5 s per
    /// GiB. (Private copies within the file's mapping could be made while they run, but Linux drops
    /// those as well when the file is truncated.)
    pub fn detach(&self, which: Leases) {
        if let Some(mapping) = &self.mapping {
            mapping.detach(&self.memory, which);
        }
    }

    /// The first mapped file that is now shorter than the part the guest was given: its name, its
    /// length at that time, and its current length, in bytes. The kernel must have broken its
    /// lease.
    pub fn cut_file(&self) -> Option<(PathBuf, u64, u64)> {
        self.mapping.as_ref()?.cut_file()
    }

    /// The first file that was modified before its pages could be copied, because the kernel broke
    /// its lease. The guest may have seen the change.
    pub fn changed_file(&self) -> Option<PathBuf> {
        self.mapping.as_ref()?.changed_file()
    }

    /// Releases all leases without copying anything. For the end of the guest, when nothing but its
    /// last output is read from its memory any more.
    pub fn release(&self) {
        if let Some(mapping) = &self.mapping {
            mapping.release();
        }
    }

    /// Number of bytes of guest memory that are mapped file pages.
    pub fn mapped_bytes(&self) -> u64 {
        self.mapping.as_ref().map_or(0, |mapping| mapping.bytes())
    }

    /// Whether the host touched a lost page since the last call, and [`repair`](crate::repair) put
    /// a page of zeros there.
    pub fn take_lost_page(&self) -> bool {
        self.mapping.as_ref().is_some_and(|mapping| mapping.take_lost_page())
    }
}
