//! Tables of an image that are in memory: second-level tables and blocks of reference counts. Each
//! is a cluster. Those that were changed stay until they are written.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::ops::Range;

use super::super::SECTOR_BYTES;
use super::super::medium::{Medium, read_bytes, write_bytes};

/// Bytes of memory for tables of one kind, if they are not larger than a quarter of it.
const BUDGET: usize = 8 << 20;
const FEWEST: usize = 4;

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// Where it is in the image.
    pub at: u64,
    bytes: Vec<u8>,
    /// The bytes that have to be written, by whole sectors; empty: none.
    dirty: Range<usize>,
    used: u64,
}

impl Table {
    /// A table of zeros that is not in the image yet.
    pub fn new(at: u64, len: usize) -> Self {
        Self { at, bytes: vec![0; len], dirty: 0..len, used: 0 }
    }

    fn read(medium: &dyn Medium, at: u64, len: usize) -> io::Result<Self> {
        let mut bytes = vec![0; len];
        read_bytes(medium, &mut bytes, at)?;
        Ok(Self { at, bytes, dirty: 0..0, used: 0 })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Changes the bytes from `at` on.
    pub fn set(&mut self, at: usize, value: &[u8]) {
        let end = at + value.len();
        if let Some(bytes) = self.bytes.get_mut(at..end) {
            bytes.copy_from_slice(value);
            let start = at - at % SECTOR_BYTES;
            let end = end.next_multiple_of(SECTOR_BYTES);
            self.dirty = match self.dirty.is_empty() {
                true => start..end,
                false => start.min(self.dirty.start)..end.max(self.dirty.end),
            };
        }
    }

    /// Has all of it written, to another place.
    pub fn move_to(&mut self, at: u64) {
        self.at = at;
        self.dirty = 0..self.bytes.len();
    }

    fn write(&mut self, medium: &dyn Medium) -> io::Result<()> {
        let range = self.dirty.clone();
        let at = self.at + range.start as u64;
        if let Some(bytes) = self.bytes.get_mut(range) {
            write_bytes(medium, bytes, at)?;
        }
        self.dirty = 0..0;
        Ok(())
    }
}

/// The tables of one kind, by their index in the table above.
#[derive(Debug)]
pub(super) struct Tables {
    /// Bytes of each.
    len: usize,
    limit: usize,
    tables: HashMap<u64, Table>,
    dirty: BTreeSet<u64>,
    now: u64,
}

impl Tables {
    /// None yet; each will have `len` bytes.
    pub fn new(len: usize) -> Self {
        let limit = (BUDGET / len).max(FEWEST);
        Self { len, limit, tables: HashMap::new(), dirty: BTreeSet::new(), now: 0 }
    }

    /// The table with this index, which is at byte `at` of the image.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(&mut self, medium: &dyn Medium, index: u64, at: u64) -> io::Result<&Table> {
        if !self.tables.contains_key(&index) {
            let table = Table::read(medium, at, self.len)?;
            self.insert(index, table);
        }
        self.now += 1;
        let table = self.tables.get_mut(&index).ok_or(io::ErrorKind::NotFound)?;
        table.used = self.now;
        Ok(table)
    }

    /// As [`Self::load`], for changing it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn change(&mut self, medium: &dyn Medium, index: u64, at: u64) -> io::Result<&mut Table> {
        self.load(medium, index, at)?;
        self.dirty.insert(index);
        Ok(self.tables.get_mut(&index).ok_or(io::ErrorKind::NotFound)?)
    }

    /// Adds a table that is not in the image yet.
    pub fn add(&mut self, index: u64, table: Table) {
        self.insert(index, table);
        self.dirty.insert(index);
    }

    fn insert(&mut self, index: u64, mut table: Table) {
        if self.tables.len() >= self.limit {
            self.drop_older_half();
        }
        table.used = self.now;
        self.tables.insert(index, table);
    }

    fn drop_older_half(&mut self) {
        let clean = self.tables.iter().filter(|(index, _)| !self.dirty.contains(index));
        let mut used: Vec<_> = clean.map(|(_, table)| table.used).collect();
        used.sort_unstable();
        let Some(middle) = used.get(used.len() / 2).copied() else { return };
        let dirty = &self.dirty;
        self.tables.retain(|index, table| dirty.contains(index) || table.used > middle);
    }

    /// Drops the tables from this index on, written or not.
    pub fn forget_from(&mut self, index: u64) {
        self.tables.retain(|other, _| *other < index);
        self.dirty.retain(|other| *other < index);
    }

    /// Whether something has to be written.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether so much has to be written that there is little room for others.
    pub fn is_full(&self) -> bool {
        self.dirty.len() * 2 >= self.limit
    }

    /// Writes what was changed.
    ///
    /// # Errors
    /// As of [`Medium::write`]. What was not written stays to be written.
    pub fn write(&mut self, medium: &dyn Medium) -> io::Result<()> {
        while let Some(index) = self.dirty.first().copied() {
            if let Some(table) = self.tables.get_mut(&index) {
                table.write(medium)?;
            }
            self.dirty.remove(&index);
        }
        Ok(())
    }
}
