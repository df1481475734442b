//! What is measured: where the bytes come from, where they go, and how many.

use std::fmt;

use crate::table::bytes;

/// Bytes of a page.
pub const PAGE: usize = 4 << 10;
/// Bytes of a huge page.
pub const HUGE_PAGE: usize = 2 << 20;

/// Where an item's bytes are. Files are in the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// On the heap.
    Memory,
    /// In a file, from byte 512 on, as a kernel's behind its set-up part: its pages do not fit the
    /// guest's.
    Copied,
    /// In a file, from its first byte on, to a page of the guest's, as an initrd.
    Mapped,
    /// Nowhere: an item that is not there reads as zeros.
    Zeros,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Copied, Self::Mapped, Self::Zeros];

    /// The first byte in the file.
    #[must_use]
    pub fn offset(self) -> u64 {
        if self == Self::Copied { 512 } else { 0 }
    }

    /// Its word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "--memory",
            Self::Copied => "--copied",
            Self::Mapped => "--mapped",
            Self::Zeros => "--zeros",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "item in memory",
            Self::Copied => "item in a file, pages not congruent",
            Self::Mapped => "item in a file, pages congruent",
            Self::Zeros => "no item: zeros",
        })
    }
}

/// The pages that the guest's memory is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Of 4 KiB.
    Small,
    /// Of 2 MiB, where the kernel finds them: `MADV_HUGEPAGE`.
    Huge,
}

/// What the guest's memory was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Never touched: the host has no pages for it yet.
    Untouched,
    /// Written to.
    Touched,
}

/// The four kinds of destinations.
pub const DESTINATIONS: [(Pages, Before); 4] = [
    (Pages::Small, Before::Untouched),
    (Pages::Small, Before::Touched),
    (Pages::Huge, Before::Untouched),
    (Pages::Huge, Before::Touched),
];

/// What a destination is called in a table or a plot.
#[must_use]
pub fn destination(pages: Pages, before: Before) -> &'static str {
    match (pages, before) {
        (Pages::Small, Before::Untouched) => "4 KiB, untouched",
        (Pages::Small, Before::Touched) => "4 KiB, touched",
        (Pages::Huge, Before::Untouched) => "2 MiB, untouched",
        (Pages::Huge, Before::Touched) => "2 MiB, touched",
    }
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Where the bytes are.
    pub origin: Origin,
    /// What they go to.
    pub pages: Pages,
    /// What that was before.
    pub before: Before,
    /// How many bytes one operation moves; a multiple of 8.
    pub size: usize,
}

impl Case {
    /// Operations a turn. The small ones are over before a clock could tell.
    #[must_use]
    pub fn count(&self) -> usize {
        match (self.size, self.pages) {
            (..0x10_0000, Pages::Small) => 64,
            // Each has a huge page of its own, which the first access clears.
            (..0x10_0000, Pages::Huge) => 16,
            _ => 1,
        }
    }

    /// From one operation's memory to the next one's.
    #[must_use]
    pub fn stride(&self) -> usize {
        let page = match self.pages {
            Pages::Small => PAGE,
            Pages::Huge => HUGE_PAGE,
        };
        self.size.next_multiple_of(page)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = destination(self.pages, self.before);
        write!(f, "{} of {} to {to}", bytes(self.size), self.origin)
    }
}
