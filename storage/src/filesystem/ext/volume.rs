//! The image as the file system sees it: blocks, with those that are still in the journal in place
//! of the old ones.

use std::collections::HashMap;
use std::io;

use super::superblock::{self, Superblock};
use crate::file::page_cache::PageCache;

/// `JBD2_MAGIC_NUMBER`, in front of each block of the journal's own.
pub(super) const JOURNAL_MAGIC: u32 = 0xc03b_3998;

/// Where the current bytes of a block are, if the journal has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Journaled {
    /// Byte offset in the image.
    pub at: u64,
    /// Whether the block's first four bytes are the journal's magic number, which the journal
    /// replaces by zeros.
    pub escaped: bool,
}

/// The bytes of a file system.
#[derive(Debug)]
pub(super) struct Volume {
    pub pages: PageCache,
    pub superblock: Superblock,
    /// By block number.
    pub journal: HashMap<u64, Journaled>,
}

impl Volume {
    /// Reads the superblock; the journal comes later.
    ///
    /// # Errors
    /// See [`Superblock::parse`]; or the image cannot be read.
    pub fn new(pages: PageCache) -> io::Result<Self> {
        let mut bytes = [0; superblock::LEN];
        pages.read_exact_at(&mut bytes, superblock::AT)?;
        let superblock = Superblock::parse(&bytes, pages.file().len())?;
        Ok(Self { pages, superblock, journal: HashMap::new() })
    }

    /// Reads through the journal's blocks from now on; the superblock may be one of them.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub fn replay(&mut self, journal: HashMap<u64, Journaled>) -> io::Result<()> {
        self.journal = journal;
        let mut bytes = [0; superblock::LEN];
        self.read_exact_at(&mut bytes, superblock::AT)?;
        self.superblock = Superblock::parse(&bytes, self.pages.file().len())?;
        Ok(())
    }

    /// Fills `to` from byte `at` of the file system.
    ///
    /// # Errors
    /// The image cannot be read, or ends before.
    pub fn read_exact_at(&self, mut to: &mut [u8], mut at: u64) -> io::Result<()> {
        if self.journal.is_empty() {
            return self.pages.read_exact_at(to, at);
        }
        let block = self.superblock.block;
        while !to.is_empty() {
            let within = at % block;
            let rest = usize::try_from(block - within).unwrap_or(usize::MAX);
            let (piece, behind) = to.split_at_mut(rest.min(to.len()));
            match self.journal.get(&(at / block)) {
                None => self.pages.read_exact_at(piece, at)?,
                Some(Journaled { at, escaped }) => {
                    self.pages.read_exact_at(piece, at + within)?;
                    if *escaped {
                        let magic = JOURNAL_MAGIC.to_be_bytes();
                        let from = usize::try_from(within).unwrap_or(usize::MAX).min(4);
                        for (to, byte) in piece.iter_mut().zip(&magic[from..]) {
                            *to = *byte;
                        }
                    }
                }
            }
            at += piece.len() as u64;
            to = behind;
        }
        Ok(())
    }

    /// One block.
    ///
    /// # Errors
    /// See [`Self::read_exact_at`].
    pub fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        let len = usize::try_from(self.superblock.block).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let at = number.checked_mul(self.superblock.block).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}
