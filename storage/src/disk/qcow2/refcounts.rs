//! How often each cluster of an image is used, and which are free.
//!
//! Counts are in blocks of one cluster, which the refcount table names. A cluster of a range
//! without a block is free. A new block is the first cluster of its own range that is free.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::ops::Range;

use super::super::medium::{Medium, write_bytes};
use super::damaged;
use super::header::{Header, MAX_REFCOUNT_TABLE, REFCOUNT_TABLE_AT};
use super::table_io::{read_table, write_entries};
use super::tables::{Table, Tables};

/// The reference counts of an image.
#[derive(Debug)]
pub(super) struct Refcounts {
    cluster_bits: u32,
    order: u32,
    table_at: u64,
    table: Vec<u64>,
    /// Entries of the table that have to be written.
    dirty: BTreeSet<u64>,
    blocks: Tables,
    /// No cluster before this one is free.
    hint: u64,
    /// Clusters of tables: none of them can be free, whatever its count says.
    reserved: HashSet<u64>,
}

impl Refcounts {
    /// Reads the refcount table.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(medium: &dyn Medium, header: &Header) -> io::Result<Self> {
        let (table_at, len) = (header.refcount_table_at, header.refcount_table_len);
        let table = read_table(medium, table_at, len / 8)?;
        let cluster_bits = header.cluster_bits;
        let mut refcounts = Self {
            cluster_bits,
            order: header.refcount_order,
            table_at,
            table,
            dirty: BTreeSet::new(),
            blocks: Tables::new(1 << cluster_bits),
            hint: 0,
            reserved: HashSet::from([0]),
        };
        refcounts.reserve(&(table_at..table_at + len));
        let blocks: Vec<_> = refcounts.table.iter().filter(|at| **at != 0).copied().collect();
        blocks.into_iter().for_each(|at| refcounts.reserve(&(at..at.saturating_add(1))));
        refcounts.reserve(&(header.l1_at..header.l1_at + header.l1_entries * 8));
        Ok(refcounts)
    }

    /// Notes that tables are in these bytes.
    pub fn reserve(&mut self, bytes: &Range<u64>) {
        self.reserved.extend(self.clusters(bytes));
    }

    /// Notes that no tables are in these bytes any more.
    pub fn unreserve(&mut self, bytes: &Range<u64>) {
        for cluster in self.clusters(bytes) {
            self.reserved.remove(&cluster);
        }
    }

    /// The clusters that `bytes` are in.
    pub fn clusters(&self, bytes: &Range<u64>) -> Range<u64> {
        if bytes.is_empty() {
            return 0..0;
        }
        bytes.start >> self.cluster_bits..((bytes.end - 1) >> self.cluster_bits) + 1
    }

    /// Where the blocks are.
    pub fn blocks_at(&self) -> Vec<u64> {
        self.table.iter().copied().filter(|at| *at != 0).collect()
    }

    /// Forgets blocks that are not at a cluster of the image, which has this many, and returns
    /// where they would be.
    pub fn drop_bad_blocks(&mut self, clusters: u64) -> Vec<u64> {
        let cluster = 1u64 << self.cluster_bits;
        let is_bad = |at: &u64| !at.is_multiple_of(cluster) || *at / cluster >= clusters;
        let bad = self.table.iter_mut().filter(|at| is_bad(at));
        bad.map(std::mem::take).collect()
    }

    /// Whether the range of a cluster has a block.
    pub fn has_block(&self, cluster: u64) -> bool {
        let index = usize::try_from(self.place(cluster).0).ok();
        index.and_then(|index| self.table.get(index)).is_some_and(|at| *at != 0)
    }

    fn block_bits(&self) -> u32 {
        self.cluster_bits + 3 - self.order
    }

    /// The block of a cluster, and its place there.
    fn place(&self, cluster: u64) -> (u64, u64) {
        (cluster >> self.block_bits(), cluster & ((1 << self.block_bits()) - 1))
    }

    /// Where block `index` is; 0: nowhere.
    fn block_at(&self, index: u64) -> io::Result<u64> {
        let at = usize::try_from(index).ok().and_then(|index| self.table.get(index));
        let at = at.copied().unwrap_or_default();
        if at & ((1 << self.cluster_bits) - 1) != 0 {
            return Err(damaged(format!("a block of reference counts is at byte {at}")));
        }
        Ok(at)
    }

    /// How often a cluster is used.
    ///
    /// # Errors
    /// The block cannot be read.
    pub fn get(&mut self, medium: &dyn Medium, cluster: u64) -> io::Result<u64> {
        let (index, place) = self.place(cluster);
        let order = self.order;
        match self.block_at(index)? {
            0 => Ok(0),
            at => Ok(count(self.blocks.load(medium, index, at)?.bytes(), order, place)),
        }
    }

    /// Changes how often a cluster is used. Its range has to have a block.
    ///
    /// # Errors
    /// The block cannot be read, or there is none.
    pub fn set(&mut self, medium: &dyn Medium, cluster: u64, value: u64) -> io::Result<()> {
        let (index, place) = self.place(cluster);
        let at = self.block_at(index)?;
        if at == 0 {
            return Err(damaged(format!("cluster {cluster} has no reference count")));
        }
        let order = self.order;
        set_count(self.blocks.change(medium, index, at)?, order, place, value);
        if value == 0 {
            self.hint = self.hint.min(cluster);
        }
        Ok(())
    }

    /// Takes one use of a cluster away.
    ///
    /// # Errors
    /// It is not used, or the block cannot be read.
    pub fn release(&mut self, medium: &dyn Medium, cluster: u64) -> io::Result<u64> {
        let count = self.get(medium, cluster)?;
        let rest = count.checked_sub(1).ok_or_else(|| {
            damaged(format!("cluster {cluster} is in use, but has the reference count 0"))
        })?;
        self.set(medium, cluster, rest)?;
        Ok(rest)
    }

    /// Takes a free cluster.
    ///
    /// # Errors
    /// Blocks cannot be read or written; counts contradict tables.
    pub fn allocate(&mut self, medium: &dyn Medium) -> io::Result<u64> {
        loop {
            let cluster = self.hint;
            let (index, place) = self.place(cluster);
            if index >= self.table.len() as u64 {
                self.grow(medium, index)?;
                continue;
            }
            let at = match self.block_at(index)? {
                0 => self.new_block(index, cluster)?,
                at => at,
            };
            let order = self.order;
            let end = 1 << self.block_bits();
            let bytes = self.blocks.load(medium, index, at)?.bytes();
            let free = (place..end).find(|place| count(bytes, order, *place) == 0);
            let first = index << self.block_bits();
            let Some(free) = free else {
                self.hint = first + end;
                continue;
            };
            let cluster = first + free;
            self.check_free(cluster)?;
            self.set(medium, cluster, 1)?;
            self.hint = cluster + 1;
            return Ok(cluster);
        }
    }

    /// Takes `count` clusters in a row.
    ///
    /// # Errors
    /// As of [`Self::allocate`].
    pub fn allocate_run(&mut self, medium: &dyn Medium, count: u64) -> io::Result<u64> {
        // The first free cluster of each range becomes its block: a long run needs ranges without.
        if count > 1 << (self.block_bits() - 2) {
            let used = self.table.iter().rposition(|at| *at != 0).map_or(0, |last| last + 1) as u64;
            if used + self.blocks_for(count) > self.table.len() as u64 {
                self.grow(medium, used + self.blocks_for(count))?;
                return self.allocate_run(medium, count);
            }
            return Ok(self.new_range(used, count));
        }
        let hint = self.hint;
        let mut run = 0..0;
        while run.end - run.start < count {
            let cluster = self.allocate(medium)?;
            if cluster != run.end {
                for skipped in run {
                    self.set(medium, skipped, 0)?;
                }
                self.hint = cluster + 1;
                run = cluster..cluster;
            }
            run.end = cluster + 1;
        }
        self.hint = hint;
        Ok(run.start)
    }

    fn check_free(&self, cluster: u64) -> io::Result<()> {
        if self.reserved.contains(&cluster) {
            return Err(damaged(format!(
                "cluster {cluster} has a table, but the reference count 0"
            )));
        }
        Ok(())
    }

    /// Makes the free cluster `cluster` the block of its range.
    fn new_block(&mut self, index: u64, cluster: u64) -> io::Result<u64> {
        // Before the hint there may be clusters that are in use though they have no count.
        self.check_free(cluster)?;
        let at = cluster << self.cluster_bits;
        let mut block = Table::new(at, 1 << self.cluster_bits);
        set_count(&mut block, self.order, self.place(cluster).1, 1);
        self.name_block(index, block);
        Ok(at)
    }

    /// Replaces the refcount table by one that has an entry `index`. The old one is free once the
    /// header names the new one.
    fn grow(&mut self, medium: &dyn Medium, index: u64) -> io::Result<()> {
        let old_len = self.table.len();
        let done = self.replace_table(medium, index);
        if done.is_err() {
            for at in self.table.drain(old_len..) {
                self.reserved.remove(&(at >> self.cluster_bits));
            }
            self.dirty.retain(|index| *index < old_len as u64);
            self.blocks.forget_from(old_len as u64);
        }
        done
    }

    fn replace_table(&mut self, medium: &dyn Medium, index: u64) -> io::Result<()> {
        let per_cluster = 1 << (self.cluster_bits - 3);
        let old_len = self.table.len() as u64;
        let old = self.table_at..self.table_at + old_len * 8;
        // Half as much again, or what the new table and its blocks need.
        let mut wanted = (old_len + old_len / 2).max(index + 1).next_multiple_of(per_cluster);
        while wanted < index + self.blocks_for(wanted / per_cluster) {
            wanted += per_cluster;
        }
        if wanted * 8 > MAX_REFCOUNT_TABLE {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the image cannot become larger: its refcount table is full",
            ));
        }
        self.table.resize(usize::try_from(wanted).map_err(io::Error::other)?, 0);
        let at = self.new_range(index, wanted / per_cluster) << self.cluster_bits;
        self.blocks.write(medium)?;
        let mut bytes: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        write_bytes(medium, &mut bytes, at)?;
        medium.sync()?;
        let clusters = u32::try_from(wanted / per_cluster).map_err(io::Error::other)?;
        let mut field = [at.to_be_bytes().as_slice(), &clusters.to_be_bytes()].concat();
        write_bytes(medium, &mut field, REFCOUNT_TABLE_AT)?;
        medium.sync()?;
        self.dirty.clear();
        self.table_at = at;
        self.reserve(&(at..at + wanted * 8));
        self.unreserve(&old);
        for cluster in self.clusters(&old) {
            // If this fails its space is lost, and nothing else.
            let _ = self.release(medium, cluster);
        }
        Ok(())
    }

    /// How many blocks a run of `clusters` needs that begins a range, itself included.
    fn blocks_for(&self, clusters: u64) -> u64 {
        let mut blocks = 1;
        while blocks << self.block_bits() < clusters + blocks {
            blocks += 1;
        }
        blocks
    }

    /// Takes the first `count` clusters of the ranges from block `index` on, which have no blocks
    /// yet. Their blocks are in the clusters that follow.
    fn new_range(&mut self, index: u64, count: u64) -> u64 {
        let first = index << self.block_bits();
        let blocks = self.blocks_for(count);
        for number in 0..blocks {
            let cluster = first + count + number;
            let at = cluster << self.cluster_bits;
            let mut block = Table::new(at, 1 << self.cluster_bits);
            let start = number << self.block_bits();
            let used = (count + blocks - start).min(1 << self.block_bits());
            (0..used).for_each(|place| set_count(&mut block, self.order, place, 1));
            self.name_block(index + number, block);
        }
        first
    }

    /// Has the table name a new block.
    fn name_block(&mut self, index: u64, block: Table) {
        let entry = usize::try_from(index).ok().and_then(|index| self.table.get_mut(index));
        if let Some(entry) = entry {
            *entry = block.at;
        }
        self.dirty.insert(index);
        self.reserved.insert(block.at >> self.cluster_bits);
        self.blocks.add(index, block);
    }

    /// Whether something has to be written.
    pub fn is_dirty(&self) -> bool {
        self.blocks.is_dirty() || !self.dirty.is_empty()
    }

    /// Whether much has to be written.
    pub fn is_full(&self) -> bool {
        self.blocks.is_full()
    }

    /// Writes the blocks.
    ///
    /// # Errors
    /// As of [`Medium::write`].
    pub fn write_blocks(&mut self, medium: &dyn Medium) -> io::Result<()> {
        self.blocks.write(medium)
    }

    /// Writes the entries of the table that name new blocks, which have to be durable. Whether
    /// there were any.
    ///
    /// # Errors
    /// As of [`Medium::write`].
    pub fn write_table(&mut self, medium: &dyn Medium) -> io::Result<bool> {
        let is_dirty = !self.dirty.is_empty();
        write_entries(medium, self.table_at, &self.table, &mut self.dirty)?;
        Ok(is_dirty)
    }
}

/// The count at `place` in a block of counts of 2^`order` bits ("Host cluster management").
pub(super) fn count(block: &[u8], order: u32, place: u64) -> u64 {
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    if order < 3 {
        let per_byte = 8 >> order;
        let byte = block.get(place / per_byte).copied().unwrap_or_default();
        let mask = (1u16 << (1 << order)) - 1;
        return (u16::from(byte) >> ((place % per_byte) << order) & mask).into();
    }
    let len = 1 << (order - 3);
    let bytes = place.checked_mul(len).and_then(|at| block.get(at..at + len));
    bytes.unwrap_or_default().iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn set_count(block: &mut Table, order: u32, place: u64, value: u64) {
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    if order < 3 {
        let per_byte = 8 >> order;
        let shift = (place % per_byte) << order;
        let mask = ((1u16 << (1 << order)) - 1) << shift;
        let old = block.bytes().get(place / per_byte).copied().unwrap_or_default();
        let new = u16::from(old) & !mask | u16::from(value.to_le_bytes()[0]) << shift & mask;
        block.set(place / per_byte, &new.to_le_bytes()[..1]);
        return;
    }
    let len = 1 << (order - 3);
    block.set(place * len, &value.to_be_bytes()[8 - len..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_any_width() {
        for order in 0..=6 {
            let mut block = Table::new(0, 512);
            let places = 4096 >> order;
            let largest = u64::MAX >> (64 - (1 << order));
            set_count(&mut block, order, 1, largest);
            set_count(&mut block, order, places - 1, 1);
            set_count(&mut block, order, 2, 1);
            set_count(&mut block, order, 2, 0);
            let counts: Vec<_> = (0..places).map(|at| count(block.bytes(), order, at)).collect();
            assert_eq!(counts[..3], [0, largest, 0], "{order}");
            assert_eq!(counts.last(), Some(&1));
            assert_eq!(counts.iter().filter(|count| **count != 0).count(), 2);
        }
        let mut block = Table::new(0, 512);
        set_count(&mut block, 4, 1, 0x1234);
        assert_eq!(block.bytes()[..4], [0, 0, 0x12, 0x34]);
        let mut block = Table::new(0, 512);
        set_count(&mut block, 0, 9, 1);
        assert_eq!(block.bytes()[..2], [0, 2], "the least significant bits come first");
    }
}
