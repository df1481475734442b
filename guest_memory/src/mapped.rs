//! Which pages of guest memory are currently mapped files, and which files are leased for that.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::TransferError;
use crate::file::HostFile;
use crate::host;

/// Maximum number of ranges mapped at a time. The guest chooses where its transfers go, and each
/// range is a mapping of the process. The kernel allows about 65,000 (/proc/sys/vm/max_map_count);
/// beyond that, even memory allocations fail.
const MAX_RANGES: usize = 256;

/// Which leases to release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leases {
    /// Those that another process waits for.
    Wanted,
    /// All of them.
    All,
}

/// Pages of a file in guest memory.
#[derive(Clone, Debug)]
pub(crate) struct MappedRange {
    /// Guest-physical addresses, whole pages.
    pub at: Range<u64>,
    /// The file they depend on.
    pub file: Arc<HostFile>,
    /// File offset of the first page.
    pub offset: u64,
}

impl MappedRange {
    /// The part of it that is within `range`.
    fn within(&self, range: &Range<u64>) -> Option<Self> {
        let at = self.at.start.max(range.start)..self.at.end.min(range.end);
        let offset = self.offset + (at.start.checked_sub(self.at.start)?);
        (at.start < at.end).then(|| Self { at, file: Arc::clone(&self.file), offset })
    }

    fn is_of(&self, file: &Arc<HostFile>) -> bool {
        Arc::ptr_eq(&self.file, file)
    }
}

/// All mapped ranges. They do not overlap.
#[derive(Debug, Default)]
pub(crate) struct MappedRanges {
    ranges: Vec<MappedRange>,
    leased: Vec<Arc<HostFile>>,
    /// The first file that had been modified by the time its pages were copied, because the kernel
    /// broke its lease.
    changed: Option<PathBuf>,
}

impl MappedRanges {
    /// Whether one more range can be mapped. It may split another one in two.
    pub fn has_room(&self) -> bool {
        self.ranges.len() + 2 <= MAX_RANGES
    }

    /// Whether any range overlaps `at`.
    pub fn overlaps(&self, at: &Range<u64>) -> bool {
        self.ranges.iter().any(|range| range.within(at).is_some())
    }

    /// Number of mapped bytes.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.at.end - range.at.start).sum()
    }

    /// Records that `mapped` has replaced what was there.
    pub fn insert(&mut self, mapped: MappedRange) {
        self.cut_out(&mapped.at);
        self.ranges.push(mapped);
    }

    /// Records that nothing is mapped at `at` any more.
    pub fn remove(&mut self, at: &Range<u64>) {
        self.cut_out(at);
        self.release_unneeded();
    }

    fn cut_out(&mut self, at: &Range<u64>) {
        let touched = |range: &mut MappedRange| range.within(at).is_some();
        let parts: Vec<_> = self.ranges.extract_if(.., touched).collect();
        for range in parts {
            self.ranges.extend(range.within(&(0..at.start)));
            self.ranges.extend(range.within(&(at.end..u64::MAX)));
        }
    }

    /// Releases the leases on files of which nothing is mapped any more.
    pub fn release_unneeded(&mut self) {
        let Self { ranges, leased, .. } = self;
        leased.retain(|file| {
            let needed = ranges.iter().any(|range| range.is_of(file));
            if !needed {
                host::release(file.file());
            }
            needed
        });
    }

    /// Whether this process holds a lease on `file`.
    pub fn is_leased(&self, file: &Arc<HostFile>) -> bool {
        self.leased.iter().any(|leased| Arc::ptr_eq(leased, file))
    }

    /// Takes a lease on `file`, unless there is one already. Returns whether there is one now.
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

    /// Calls `copy` with the guest addresses of mapped pages, to replace them by copies, and then
    /// releases the leases. Pages that cannot be copied stay mapped.
    pub fn detach(
        &mut self,
        which: Leases,
        copy: impl Fn(Range<u64>) -> Result<(), TransferError>,
    ) {
        let Self { ranges, leased, changed } = self;
        leased.retain(|file| {
            if which == Leases::Wanted && !host::is_breaking(file.file()) {
                return true;
            }
            ranges.retain(|range| !range.is_of(file) || copy(range.at.clone()).is_err());
            // If the lease was broken, the file may have been modified before its pages were
            // copied.
            let in_time = host::release(file.file());
            if !in_time && file.check(file.len()).is_err() {
                changed.get_or_insert_with(|| file.name().into());
            }
            false
        });
    }

    /// Releases all leases without copying.
    pub fn release(&mut self) {
        self.leased.drain(..).for_each(|file| {
            host::release(file.file());
        });
    }

    /// See [`Engine::changed_file`](crate::Engine::changed_file).
    pub fn changed_file(&self) -> Option<PathBuf> {
        self.changed.clone()
    }

    /// See [`Engine::cut_file`](crate::Engine::cut_file).
    pub fn cut_file(&self) -> Option<(PathBuf, u64, u64)> {
        self.ranges.iter().find_map(|range| {
            let file = &range.file;
            let now = file.len_now()?;
            // Only whole pages within the file are mapped.
            let end = range.offset + (range.at.end - range.at.start);
            (now < end).then(|| (file.name().into(), file.len(), now))
        })
    }
}
