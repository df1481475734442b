//! The tables of an open image: where the disk's clusters are, and the order in which changes of
//! that become durable.
//!
//! Everything that a durable entry refers to is durable before it, and counted.
//! [`Metadata::commit`] writes in this order, with a sync between each two: data and reference
//! counts; the refcount table; second-level tables; the first-level table. Clusters are only free
//! once no durable entry refers to them. Entries that are overwritten are in one sector each, which
//! is written whole or not at all. So after a power cut at any point an image has clusters that are
//! counted and not used, at worst.

use std::collections::BTreeSet;
use std::io;

use super::super::medium::{Medium, write_bytes};
use super::damaged;
use super::header::{AUTOCLEAR_AT, DIRTY, Header, INCOMPATIBLE_AT};
use super::refcounts::Refcounts;
use super::table_io::{read_table, write_entries};
use super::tables::{Table, Tables};

/// The bits of an entry, in either table, with the cluster's offset.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The cluster is used once: it can be written in place.
pub(super) const COPIED: u64 = 1 << 63;
/// The cluster is compressed.
pub(super) const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeros, whether it has a place or not.
pub(super) const ZERO: u64 = 1;

/// Where a cluster of the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// Nowhere: it is as in the backing file.
    Hole,
    /// It is zeros. If it has a place that only it uses, this is it.
    Zeros(Option<u64>),
    /// At this byte of the image, and whether nothing else uses that.
    Data { at: u64, is_own: bool },
    /// In the compressed cluster that has this entry.
    Compressed(u64),
}

/// A cluster of the image that the disk is about to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub at: u64,
    /// Nothing was ever written there: it reads as zeros.
    pub is_fresh: bool,
    /// It was free before.
    pub is_new: bool,
}

/// The tables.
#[derive(Debug)]
pub(super) struct Metadata {
    pub header: Header,
    l1: Vec<u64>,
    l1_dirty: BTreeSet<u64>,
    l2: Tables,
    pub refcounts: Refcounts,
    /// Clusters that lose a use once no durable entry refers to them.
    unused: Vec<u64>,
    /// Nothing was ever written from this byte on.
    fresh_from: u64,
    /// Space of clusters that become free is given back.
    unmap: bool,
}

impl Metadata {
    /// Reads the tables that are always in memory.
    ///
    /// # Errors
    /// As of [`Medium::read`].
    pub fn read(medium: &dyn Medium, header: Header, unmap: bool) -> io::Result<Self> {
        let l1 = read_table(medium, header.l1_at, header.l1_entries)?;
        let mut refcounts = Refcounts::read(medium, &header)?;
        for entry in l1.iter().map(|entry| entry & OFFSET).filter(|at| *at != 0) {
            refcounts.reserve(&(entry..entry + 1));
        }
        let fresh_from = match medium.grows() {
            true => medium.len()?.next_multiple_of(header.cluster()),
            false => u64::MAX,
        };
        let l2 = Tables::new(1 << header.cluster_bits);
        let (l1_dirty, unused) = (BTreeSet::new(), Vec::new());
        Ok(Self { header, l1, l1_dirty, l2, refcounts, unused, fresh_from, unmap })
    }

    /// Has the header say what holds while this program writes to the image: features that it does
    /// not know are off.
    ///
    /// # Errors
    /// As of [`Medium::write`].
    pub fn claim(&mut self, medium: &dyn Medium) -> io::Result<()> {
        if self.header.has_autoclear {
            write_bytes(medium, &mut [0; 8], AUTOCLEAR_AT)?;
            medium.sync()?;
            self.header.has_autoclear = false;
        }
        Ok(())
    }

    /// Has the header say that the reference counts are right.
    ///
    /// # Errors
    /// As of [`Medium::write`].
    pub fn clear_dirty(&mut self, medium: &dyn Medium) -> io::Result<()> {
        let mut features = read_table(medium, INCOMPATIBLE_AT, 1)?;
        let bits = features.first_mut().map_or(0, |bits| *bits & !DIRTY);
        write_bytes(medium, &mut bits.to_be_bytes(), INCOMPATIBLE_AT)?;
        self.header.is_dirty = false;
        medium.sync()
    }

    /// The first-level entry of a cluster of the disk, and its place in the second-level table.
    fn place(&self, cluster: u64) -> (u64, usize) {
        let bits = self.header.l2_bits();
        let within = usize::try_from(cluster & ((1 << bits) - 1)).unwrap_or_default();
        (cluster >> bits, within * 8)
    }

    /// Where the second-level table `index` is (0: nowhere), and whether nothing else uses it.
    fn l2_at(&self, index: u64) -> io::Result<(u64, bool)> {
        let entry = usize::try_from(index).ok().and_then(|index| self.l1.get(index)).copied();
        let entry = entry.ok_or(io::ErrorKind::UnexpectedEof)?;
        let at = entry & OFFSET;
        self.check(at, "an L2 table")?;
        Ok((at, entry & COPIED != 0))
    }

    fn check(&self, at: u64, what: &str) -> io::Result<()> {
        if !self.header.is_aligned(at) || at >= self.fresh_from {
            return Err(damaged(format!(
                "{what} is at byte {at}, which is unaligned or behind the end"
            )));
        }
        Ok(())
    }

    /// How many clusters from `cluster` on have no second-level table.
    pub fn without_table(&self, cluster: u64) -> io::Result<u64> {
        let (index, _) = self.place(cluster);
        let table = 1 << self.header.l2_bits();
        Ok(if self.l2_at(index)?.0 == 0 { table - cluster % table } else { 0 })
    }

    /// The second-level entry of a cluster of the disk.
    fn entry(&mut self, medium: &dyn Medium, cluster: u64) -> io::Result<u64> {
        let (index, within) = self.place(cluster);
        let (at, _) = self.l2_at(index)?;
        if at == 0 {
            return Ok(0);
        }
        Ok(crate::bytes::be64(self.l2.load(medium, index, at)?.bytes(), within))
    }

    /// Where a cluster of the disk is.
    ///
    /// # Errors
    /// A table cannot be read, or is damaged.
    pub fn mapping(&mut self, medium: &dyn Medium, cluster: u64) -> io::Result<Mapping> {
        let entry = self.entry(medium, cluster)?;
        if entry & COMPRESSED != 0 {
            return Ok(Mapping::Compressed(entry));
        }
        let (at, is_own) = (entry & OFFSET, entry & COPIED != 0);
        self.check(at, "a cluster")?;
        Ok(match (at, entry & ZERO != 0) {
            (_, true) => Mapping::Zeros(Some(at).filter(|at| *at != 0 && is_own)),
            (0, false) => Mapping::Hole,
            (_, false) => Mapping::Data { at, is_own },
        })
    }

    /// Commits if there is little room for more changes. To be called before each.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub fn make_room(&mut self, medium: &dyn Medium) -> io::Result<()> {
        if self.l2.is_full() || self.refcounts.is_full() {
            self.commit(medium)?;
        }
        Ok(())
    }

    /// Takes a free cluster.
    ///
    /// # Errors
    /// As of [`Refcounts::allocate`].
    pub fn allocate(&mut self, medium: &dyn Medium) -> io::Result<Place> {
        let at = self.refcounts.allocate(medium)? << self.header.cluster_bits;
        if at & !OFFSET != 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let is_fresh = at >= self.fresh_from;
        self.fresh_from = self.fresh_from.max(at.saturating_add(self.header.cluster()));
        Ok(Place { at, is_fresh, is_new: true })
    }

    /// Gives a cluster back that was allocated and that no entry refers to.
    ///
    /// # Errors
    /// As of [`Refcounts::release`].
    pub fn give_back(&mut self, medium: &dyn Medium, at: u64) -> io::Result<()> {
        self.refcounts.release(medium, at >> self.header.cluster_bits).map(drop)
    }

    /// Changes the entry of a cluster of the disk. What only the old one refers to becomes free
    /// with the next commit.
    ///
    /// # Errors
    /// A table cannot be read, or there is no place for a new one. Nothing has changed then.
    pub fn set_entry(&mut self, medium: &dyn Medium, cluster: u64, entry: u64) -> io::Result<()> {
        let (index, within) = self.place(cluster);
        let at = self.own_table(medium, index)?;
        let table = self.l2.change(medium, index, at)?;
        let old = crate::bytes::be64(table.bytes(), within);
        table.set(within, &entry.to_be_bytes());
        let kept = entry & OFFSET;
        if old & COMPRESSED != 0 {
            let (at, len) = compressed(&self.header, old);
            self.unused.extend(self.refcounts.clusters(&(at..at + len)));
        } else if old & OFFSET != 0 && old & OFFSET != kept {
            self.unused.push((old & OFFSET) >> self.header.cluster_bits);
        }
        Ok(())
    }

    /// Where second-level table `index` is, which nothing else uses: a new one if there is none, a
    /// copy if a snapshot uses it as well.
    fn own_table(&mut self, medium: &dyn Medium, index: u64) -> io::Result<u64> {
        let (at, is_own) = self.l2_at(index)?;
        if at != 0 && is_own {
            return Ok(at);
        }
        if at != 0 {
            self.l2.load(medium, index, at)?;
        }
        let new = self.allocate(medium)?.at;
        if at == 0 {
            self.l2.add(index, Table::new(new, 1 << self.header.cluster_bits));
        } else {
            self.l2.change(medium, index, at)?.move_to(new);
            self.unused.push(at >> self.header.cluster_bits);
        }
        let l1 = usize::try_from(index).ok().and_then(|index| self.l1.get_mut(index));
        *l1.ok_or(io::ErrorKind::UnexpectedEof)? = new | COPIED;
        self.l1_dirty.insert(index);
        self.refcounts.reserve(&(new..new + 1));
        Ok(new)
    }

    /// Writes and syncs all changes, data before them as well. See the module.
    ///
    /// # Errors
    /// As of [`Medium::write`] and [`Medium::sync`]. What was not written is written next time.
    pub fn commit(&mut self, medium: &dyn Medium) -> io::Result<()> {
        self.refcounts.write_blocks(medium)?;
        if self.refcounts.is_dirty() || self.l2.is_dirty() || !self.l1_dirty.is_empty() {
            medium.sync()?;
        }
        if self.refcounts.write_table(medium)? {
            medium.sync()?;
        }
        if !self.l1_dirty.is_empty() {
            self.l2.write(medium)?;
            medium.sync()?;
        }
        self.l2.write(medium)?;
        write_entries(medium, self.header.l1_at, &self.l1, &mut self.l1_dirty)?;
        medium.sync()?;
        for cluster in std::mem::take(&mut self.unused) {
            self.free(medium, cluster)?;
        }
        // If this is lost, so is the space of some clusters, and nothing else.
        self.refcounts.write_blocks(medium)
    }

    /// Writes a copy of the first-level table that has this many entries. Nothing is to be
    /// committed.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub fn new_l1(&mut self, medium: &dyn Medium, entries: u64) -> io::Result<u64> {
        let bits = self.header.cluster_bits;
        let clusters = (entries * 8).div_ceil(self.header.cluster());
        let at = self.refcounts.allocate_run(medium, clusters)? << bits;
        let mut bytes: Vec<u8> = self.l1.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        bytes.resize(usize::try_from(clusters << bits).map_err(io::Error::other)?, 0);
        write_bytes(medium, &mut bytes, at)?;
        self.fresh_from = self.fresh_from.max(at + (clusters << bits));
        self.commit(medium)?;
        Ok(at)
    }

    /// Uses the table that [`Self::new_l1`] has written, which the header names now.
    ///
    /// # Errors
    /// As of [`Refcounts::release`].
    pub fn use_l1(&mut self, medium: &dyn Medium, at: u64, entries: u64) -> io::Result<()> {
        let old = self.header.l1_at..self.header.l1_at + self.header.l1_entries * 8;
        self.l1.resize(usize::try_from(entries).map_err(io::Error::other)?, 0);
        (self.header.l1_at, self.header.l1_entries) = (at, entries);
        self.refcounts.unreserve(&old);
        self.refcounts.reserve(&(at..at + entries * 8));
        for cluster in self.refcounts.clusters(&old) {
            self.refcounts.release(medium, cluster)?;
        }
        self.refcounts.write_blocks(medium)
    }

    fn free(&mut self, medium: &dyn Medium, cluster: u64) -> io::Result<()> {
        if self.refcounts.release(medium, cluster)? > 0 {
            return Ok(());
        }
        let at = cluster << self.header.cluster_bits;
        self.refcounts.unreserve(&(at..at + 1));
        if self.unmap {
            let end = (at + self.header.cluster()).min(medium.len()?);
            if at < end {
                medium.punch(&(at..end))?;
            }
        }
        Ok(())
    }
}

/// Where a compressed cluster is, and its bytes: whole sectors.
pub(super) fn compressed(header: &Header, entry: u64) -> (u64, u64) {
    let bits = 62 - (header.cluster_bits - 8);
    let at = entry & ((1 << bits) - 1);
    let sectors = (entry & (COMPRESSED - 1)) >> bits;
    (at, (sectors + 1) * 512 - (at & 511))
}
