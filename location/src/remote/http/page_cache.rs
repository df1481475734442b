//! The pages of a file that were read, and how far to read ahead.

use std::collections::BTreeMap;

/// The bytes of a page; the last page of a file has fewer.
pub(super) const PAGE: u64 = 64 << 10;

/// Number of pages in the cache: 16 MiB.
const KEPT: usize = 256;

/// As many pages are asked for at once: 4 MiB.
const MOST: u64 = 64;

/// PageCache that were read, by their numbers.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    kept: BTreeMap<u64, Page>,
    /// Counts uses.
    now: u64,
    /// The page behind those that were read last.
    behind: u64,
    /// As many were read then.
    ahead: u64,
}

#[derive(Debug)]
struct Page {
    bytes: Vec<u8>,
    used: u64,
}

impl PageCache {
    /// Copies from a page that is kept; `None`: it is not.
    pub fn read(&mut self, to: &mut [u8], at: u64) -> Option<usize> {
        self.now += 1;
        let page = self.kept.get_mut(&(at / PAGE))?;
        page.used = self.now;
        let from = page.bytes.get(usize::try_from(at % PAGE).ok()?..)?;
        let count = from.len().min(to.len());
        to[..count].copy_from_slice(&from[..count]);
        Some(count)
    }

    /// Which pages to ask for, as first and one behind the last, when `count` bytes at `at` are
    /// wanted: what is wanted, and the more ahead of it the longer the reader goes straight on.
    /// What is kept already is not asked for.
    pub fn wanted(&mut self, at: u64, count: usize) -> (u64, u64) {
        let first = at / PAGE;
        let end = at.saturating_add(count as u64).div_ceil(PAGE);
        let ahead = if first == self.behind { self.ahead * 2 } else { 1 };
        let end = end.max(first.saturating_add(ahead)).min(first.saturating_add(MOST));
        let end =
            self.kept.range(first + 1..end.max(first + 1)).next().map_or(end, |(page, _)| *page);
        (first, end.max(first + 1))
    }

    /// Keeps pages, from `first` on; drops those that were not used for longest.
    pub fn keep(&mut self, first: u64, bytes: &[u8]) {
        let size = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut number = first;
        for bytes in bytes.chunks(size) {
            self.now += 1;
            self.kept.insert(number, Page { bytes: bytes.into(), used: self.now });
            number += 1;
        }
        (self.behind, self.ahead) = (number, number - first);
        while self.kept.len() > KEPT {
            let oldest = self.kept.iter().min_by_key(|(_, page)| page.used).map(|(page, _)| *page);
            oldest.map(|page| self.kept.remove(&page));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_straight_on_reads_ahead_and_jumping_does_not() {
        let mut pages = PageCache::default();
        let mut at = 100;
        let mut counts = Vec::new();
        for _ in 0..9 {
            let (first, end) = pages.wanted(at * PAGE + 7, 10);
            assert_eq!(first, at);
            pages.keep(first, &vec![0; usize::try_from((end - first) * PAGE).unwrap()]);
            counts.push(end - first);
            at = end;
        }
        assert_eq!(counts, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert!(pages.kept.len() <= KEPT);
        assert_eq!(pages.wanted(7 * PAGE, 10), (7, 8));
        assert_eq!(pages.wanted(7 * PAGE - 1, 2), (6, 8), "all that is wanted");
        assert_eq!(pages.wanted(7 * PAGE, usize::MAX), (7, 71), "a bounded request");
        assert_eq!(pages.wanted((at - 70) * PAGE, 1 << 30).0, at - 70);
        pages.keep(3, b"three");
        assert_eq!(pages.wanted(PAGE, 1 << 20), (1, 3), "3 is there");
        let mut two = [0; 2];
        assert_eq!(pages.read(&mut two, 3 * PAGE + 1), Some(2));
        assert_eq!(&two, b"hr");
        assert_eq!(pages.read(&mut two, 3 * PAGE + 5), Some(0));
        assert_eq!(pages.read(&mut two, 3 * PAGE + 6), None);
    }

    /// The bytes that are wanted end within a page, at its end, or one byte behind it.
    #[test]
    fn pages_are_asked_for_up_to_the_last_byte_that_is_wanted() {
        let mut pages = PageCache::default();
        let page = usize::try_from(PAGE).unwrap();
        for (at, count, expected) in [
            (2 * PAGE, 1, (2, 3)),
            (2 * PAGE, page, (2, 3)),
            (2 * PAGE, page + 1, (2, 4)),
            (3 * PAGE - 1, 1, (2, 3)),
            (2 * PAGE + 1, 3 * page - 1, (2, 5)),
            (u64::MAX, usize::MAX, (u64::MAX / PAGE, u64::MAX / PAGE + 1)),
        ] {
            assert_eq!(pages.wanted(at, count), expected, "{count} bytes at {at}");
        }
        pages.keep(3, b"three");
        assert_eq!(pages.wanted(2 * PAGE, 3 * page), (2, 3), "the next page is kept");
        assert_eq!(pages.wanted(3 * PAGE, page), (3, 4), "the page itself is asked for anew");
    }

    #[test]
    fn the_page_that_was_not_used_for_longest_is_dropped() {
        let mut pages = PageCache::default();
        let kept = KEPT as u64;
        // The last one first.
        for number in (0..kept).rev() {
            pages.keep(number, b"x");
        }
        let has = |pages: &PageCache, number: u64| pages.kept.contains_key(&number);
        assert_eq!(pages.read(&mut [0], (kept - 1) * PAGE), Some(1));
        pages.keep(kept, b"x");
        assert!(has(&pages, kept - 1) && !has(&pages, kept - 2));
        assert_eq!(pages.read(&mut [0], (kept - 3) * PAGE), Some(1));
        pages.keep(kept + 1, b"x");
        assert!(has(&pages, kept - 3) && !has(&pages, kept - 4));
        assert_eq!(pages.kept.len(), KEPT);
        // Several at once.
        let size = usize::try_from(PAGE).unwrap();
        pages.keep(2 * kept, &vec![0; 10 * size]);
        assert_eq!(pages.kept.len(), KEPT);
    }
}
