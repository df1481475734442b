//! Which pages of guest memory are pages of files at the moment, and which files are leased for that.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::host;
use super::{Leases, PAGE_SIZE, TransferError};
use crate::file::HostFile;

/// Most ranges at a time. A guest chooses where its transfers go, and each range is a mapping of the process, of which the
/// kernel allows some 65,000 (/proc/sys/vm/max_map_count) before nothing can be had any more, memory included.
const MOST_RANGES: usize = 256;

/// Pages of a file in guest memory.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    /// Guest addresses, whole pages.
    pub at: Range<u64>,
    /// The file they depend on.
    pub file: Arc<HostFile>,
    /// Where the first page is in the file.
    pub offset: u64,
}

impl Mapped {
    /// The part of it that is within `range`.
    fn within(&self, range: &Range<u64>) -> Option<Self> {
        let at = self.at.start.max(range.start)..self.at.end.min(range.end);
        let offset = self.offset + (at.start.checked_sub(self.at.start)?);
        (at.start < at.end).then(|| Self { at, file: Arc::clone(&self.file), offset })
    }
}

/// All of them, none over another.
#[derive(Debug, Default)]
pub(crate) struct MappedRanges {
    ranges: Vec<Mapped>,
    leased: Vec<Arc<HostFile>>,
    /// The first file that was not what it had been when the guest's copy of it was made, its lease broken by force.
    changed: Option<PathBuf>,
}

impl MappedRanges {
    /// Whether one more can be mapped. It may cut another in two.
    pub fn has_room(&self) -> bool {
        self.ranges.len() + 2 <= MOST_RANGES
    }

    /// Whether any is within `at`.
    pub fn overlaps(&self, at: &Range<u64>) -> bool {
        self.ranges.iter().any(|range| range.within(at).is_some())
    }

    /// Bytes that depend on files.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.at.end - range.at.start).sum()
    }

    /// Notes that `mapped` has taken the place of what was there.
    pub fn insert(&mut self, mapped: Mapped) {
        self.cut_out(&mapped.at);
        self.ranges.push(mapped);
    }

    /// Notes that nothing is mapped in `at` any more.
    pub fn remove(&mut self, at: &Range<u64>) {
        self.cut_out(at);
        self.give_back_unneeded();
    }

    fn cut_out(&mut self, at: &Range<u64>) {
        let touched = |range: &mut Mapped| range.within(at).is_some();
        let parts: Vec<_> = self.ranges.extract_if(.., touched).collect();
        for range in parts {
            self.ranges.extend(range.within(&(0..at.start)));
            self.ranges.extend(range.within(&(at.end..u64::MAX)));
        }
    }

    /// Files that nothing is mapped of any more need no lease.
    pub fn give_back_unneeded(&mut self) {
        let Self { ranges, leased, .. } = self;
        leased.retain(|file| {
            let needed = ranges.iter().any(|range| range.is_of(file));
            if !needed {
                host::give_back(file.file());
            }
            needed
        });
    }

    /// Whether this process holds a lease on `file`.
    pub fn is_leased(&self, file: &Arc<HostFile>) -> bool {
        self.leased.iter().any(|leased| Arc::ptr_eq(leased, file))
    }

    /// Takes a lease on `file`, if there is none yet.
    pub fn lease(&mut self, file: &Arc<HostFile>, signal: i32) -> bool {
        if self.is_leased(file) {
            return true;
        }
        let leased = host::lease(file.file(), signal).is_ok();
        if leased {
            self.leased.push(Arc::clone(file));
        }
        leased
    }

    /// Gives leases back, after `copy` has made private copies of the pages at the guest addresses it is given. Pages it cannot
    /// copy go on depending on their file.
    pub fn detach(
        &mut self,
        which: Leases,
        copy: impl Fn(Range<u64>) -> Result<(), TransferError>,
    ) {
        let Self { ranges, leased, changed } = self;
        leased.retain(|file| {
            if which == Leases::Wanted && !host::is_wanted(file.file()) {
                return true;
            }
            ranges.retain(|range| !range.is_of(file) || copy(range.at.clone()).is_err());
            // Whoever waited may have had enough of it, and written before or while the pages were copied.
            let in_time = host::give_back(file.file());
            if !in_time && file.check(file.len()).is_err() {
                changed.get_or_insert_with(|| file.name().into());
            }
            false
        });
    }

    /// Gives all leases back, as nobody will look at guest memory any more.
    pub fn release(&mut self) {
        self.leased.drain(..).for_each(|file| {
            host::give_back(file.file());
        });
    }

    /// The first file of which the guest may have seen other bytes than those it had.
    pub fn changed_file(&self) -> Option<PathBuf> {
        self.changed.clone()
    }

    /// The first file that does not have all the mapped bytes any more: name, length wanted, length found.
    pub fn cut_file(&self) -> Option<(PathBuf, u64, u64)> {
        self.ranges.iter().find_map(|range| {
            let file = &range.file;
            let now = file.len_now()?;
            let end = range.offset + (range.at.end - range.at.start);
            // Of the last page there is as much as the file had.
            let needed = end.min(file.len().max(end - (PAGE_SIZE - 1)));
            (now < needed).then(|| (file.name().into(), file.len(), now))
        })
    }
}

impl Mapped {
    fn is_of(&self, file: &Arc<HostFile>) -> bool {
        Arc::ptr_eq(&self.file, file)
    }
}
