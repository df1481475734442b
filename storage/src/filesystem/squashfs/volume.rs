//! The blocks of the image. Each is decompressed once while it is being read, and some are kept.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::damaged;
use super::superblock::{self, Superblock};
use crate::bytes::{le16, le32, le64};
use crate::file::page_cache::PageCache;
use crate::sync::lock;

/// Most bytes of a block of metadata, compressed or not: `SQUASHFS_METADATA_SIZE`.
const METADATA: usize = 8192;
/// The flags of a block that is not compressed: `SQUASHFS_COMPRESSED_BIT` of metadata, and
/// `SQUASHFS_COMPRESSED_BIT_BLOCK` of data.
const PLAIN_METADATA: u16 = 1 << 15;
const PLAIN_DATA: u32 = 1 << 24;
/// Fragments whose places are in one block of metadata.
const FRAGMENTS: u32 = 512;

/// Blocks of metadata that are kept: 1 MiB.
const KEPT_METADATA: usize = 128;
/// Blocks of data that are kept: one of a file, one of fragments, and what a second reader has.
const KEPT_DATA: usize = 4;

/// The bytes of a file system.
#[derive(Debug)]
pub(super) struct Volume {
    pub pages: PageCache,
    pub superblock: Superblock,
    metadata: Mutex<Kept>,
    data: Mutex<Kept>,
}

/// A decompressed block, and where the next one begins.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    next: u64,
}

/// The blocks that were used last, by their offset in the image and their size as the image states
/// it; the latest is in front.
#[derive(Debug)]
struct Kept {
    most: usize,
    blocks: VecDeque<((u64, u32), Arc<Block>)>,
}

impl Kept {
    fn new(most: usize) -> Mutex<Self> {
        Mutex::new(Self { most, blocks: VecDeque::new() })
    }

    fn get(&mut self, at: (u64, u32)) -> Option<Arc<Block>> {
        let index = self.blocks.iter().position(|(place, _)| *place == at)?;
        let found = self.blocks.remove(index)?;
        let block = Arc::clone(&found.1);
        self.blocks.push_front(found);
        Some(block)
    }

    fn put(&mut self, at: (u64, u32), block: &Arc<Block>) {
        self.blocks.truncate(self.most - 1);
        self.blocks.push_front((at, Arc::clone(block)));
    }
}

impl Volume {
    /// Reads the superblock.
    ///
    /// # Errors
    /// See [`Superblock::parse`]; or the image cannot be read.
    pub fn new(pages: PageCache) -> io::Result<Self> {
        let mut bytes = [0; superblock::LEN];
        pages.read_exact_at(&mut bytes, 0)?;
        let superblock = Superblock::parse(&bytes, pages.file().len())?;
        let (metadata, data) = (Kept::new(KEPT_METADATA), Kept::new(KEPT_DATA));
        Ok(Self { pages, superblock, metadata, data })
    }

    fn packed(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        if at.checked_add(len as u64).is_none_or(|end| end > self.superblock.used) {
            return Err(damaged(&format!("a block at byte {at} is beyond its end")));
        }
        let mut bytes = vec![0; len];
        self.pages.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    fn unpacked(&self, at: u64, packed: Vec<u8>, is_plain: bool, most: usize) -> io::Result<Block> {
        let next = at + packed.len() as u64;
        let bytes = if is_plain {
            packed
        } else {
            let unpacked = self.superblock.compression.unpack(&packed, most);
            unpacked.map_err(|error| {
                damaged(&format!("the block at byte {at} cannot be decompressed: {error}"))
            })?
        };
        Ok(Block { bytes, next })
    }

    /// The block of metadata at this offset, which begins with its length.
    fn metadata(&self, at: u64) -> io::Result<Arc<Block>> {
        if let Some(block) = lock(&self.metadata).get((at, 0)) {
            return Ok(block);
        }
        let head = le16(&self.packed(at, 2)?, 0);
        let len = usize::from(head & !PLAIN_METADATA);
        if len == 0 || len > METADATA {
            return Err(damaged(&format!(
                "a metadata block has {len} bytes, expected 1 to {METADATA}"
            )));
        }
        let packed = self.packed(at + 2, len)?;
        let block = self.unpacked(at + 2, packed, head & PLAIN_METADATA != 0, METADATA)?;
        let block = Arc::new(block);
        lock(&self.metadata).put((at, 0), &block);
        Ok(block)
    }

    /// Hands the bytes of a block of data to `take`; `size` is its length with the flag.
    ///
    /// # Errors
    /// It is damaged, or the image cannot be read.
    pub fn data<T>(&self, at: u64, size: u32, take: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        if let Some(block) = lock(&self.data).get((at, size)) {
            return Ok(take(&block.bytes));
        }
        let (len, block) = (size & !PLAIN_DATA, self.superblock.block);
        if len > block {
            return Err(damaged(&format!("a block has {len} bytes, expected at most {block}")));
        }
        let (len, block) = (usize_of(len), usize_of(block));
        let packed = self.packed(at, len)?;
        let block = Arc::new(self.unpacked(at, packed, size & PLAIN_DATA != 0, block)?);
        lock(&self.data).put((at, size), &block);
        Ok(take(&block.bytes))
    }

    /// Where a block of fragments is, and its length with the flag.
    ///
    /// # Errors
    /// There is none of this number, or the image cannot be read.
    pub fn fragment(&self, index: u32) -> io::Result<(u64, u32)> {
        let superblock = &self.superblock;
        let at = u64::from(index / FRAGMENTS) * 8;
        let at = superblock.fragments.checked_add(at).filter(|_| index < superblock.fragment_count);
        let at = at.ok_or_else(|| damaged(&format!("there is no fragment {index}")))?;
        let block = le64(&self.packed(at, 8)?, 0);
        let within = u16::try_from(index % FRAGMENTS * 16).unwrap_or(u16::MAX);
        let entry: [u8; 16] = Metadata::at(self, block, within)?.array()?;
        Ok((le64(&entry, 0), le32(&entry, 8)))
    }
}

/// Reads metadata from a place on, from one block to the next.
pub(super) struct Metadata<'a> {
    volume: &'a Volume,
    block: Arc<Block>,
    within: usize,
}

impl<'a> Metadata<'a> {
    /// From byte `within` of the block at offset `at`.
    ///
    /// # Errors
    /// The block is damaged, or the image cannot be read.
    pub fn at(volume: &'a Volume, at: u64, within: u16) -> io::Result<Self> {
        Ok(Self { volume, block: volume.metadata(at)?, within: usize::from(within) })
    }

    /// From a place in the table that begins at `table`: the block's offset in the table, and in
    /// the lower 16 bits the offset in the block.
    ///
    /// # Errors
    /// See [`Self::at`].
    pub fn of(volume: &'a Volume, table: u64, reference: u64) -> io::Result<Self> {
        let within = u16::try_from(reference & 0xffff).unwrap_or(u16::MAX);
        let at = table.checked_add(reference >> 16);
        Self::at(volume, at.ok_or_else(|| damaged("a table is beyond its end"))?, within)
    }

    /// Fills `to`.
    ///
    /// # Errors
    /// See [`Self::at`].
    pub fn read(&mut self, mut to: &mut [u8]) -> io::Result<()> {
        while !to.is_empty() {
            let rest = self.block.bytes.get(self.within..).unwrap_or_default();
            if rest.is_empty() {
                let beyond = self.within.saturating_sub(self.block.bytes.len());
                if beyond != 0 || self.block.bytes.is_empty() {
                    return Err(damaged("a metadata block is shorter than expected"));
                }
                (self.block, self.within) = (self.volume.metadata(self.block.next)?, 0);
                continue;
            }
            let count = rest.len().min(to.len());
            to[..count].copy_from_slice(&rest[..count]);
            self.within += count;
            to = &mut to[count..];
        }
        Ok(())
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// See [`Self::at`].
    pub fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }
}

/// Sizes of blocks fit.
pub(super) fn usize_of(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
