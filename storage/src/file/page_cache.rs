//! A page cache for readers of images, which read a few bytes here and there, often the same ones.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::file::{RandomAccess, fill};
use crate::sync::lock;

/// Bytes per page.
const PAGE: usize = 8 << 10;
/// Pages in the cache: 4 MiB.
const CAPACITY: usize = (4 << 20) / PAGE;
/// Most pages per read when reading sequentially: 1 MiB.
const AHEAD: usize = (1 << 20) / PAGE;

/// A file with some of its pages in memory.
#[derive(Debug)]
pub(crate) struct PageCache {
    file: Arc<dyn RandomAccess>,
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    /// By page number: the bytes, and the time of the last use.
    pages: HashMap<u64, (Box<[u8]>, u64)>,
    /// Counts uses.
    now: u64,
    /// The page after the last read.
    next: u64,
    /// Pages of the last read.
    run: usize,
}

impl PageCache {
    /// A cache for `file`.
    pub(crate) fn new(file: Arc<dyn RandomAccess>) -> Self {
        Self { file, state: Mutex::default() }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &Arc<dyn RandomAccess> {
        &self.file
    }

    /// As [`RandomAccess::read_at`], up to the end of a page.
    pub(crate) fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        if to.is_empty() || at >= self.file.len() {
            return Ok(0);
        }
        let mut state = lock(&self.state);
        let (number, within) = (at / PAGE as u64, at % PAGE as u64);
        if !state.pages.contains_key(&number) {
            state.read(&*self.file, number)?;
        }
        state.now += 1;
        let now = state.now;
        let Some((page, used)) = state.pages.get_mut(&number) else { return Ok(0) };
        *used = now;
        let rest = usize::try_from(within).ok().and_then(|within| page.get(within..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    /// Fills `to` with the bytes from `at` on.
    ///
    /// # Errors
    /// See [`RandomAccess::read_at`]; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    pub(crate) fn read_exact_at(&self, mut to: &mut [u8], mut at: u64) -> io::Result<()> {
        while !to.is_empty() {
            match self.read_at(to, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    to = &mut to[count..];
                    at += count as u64;
                }
            }
        }
        Ok(())
    }
}

impl CacheState {
    /// Reads page `first`, and more pages after it while reads are sequential.
    fn read(&mut self, file: &dyn RandomAccess, first: u64) -> io::Result<()> {
        self.run = if first == self.next { (self.run * 2).clamp(1, AHEAD) } else { 1 };
        let start = first * PAGE as u64;
        let most = usize::try_from(file.len() - start).unwrap_or(usize::MAX);
        let mut bytes = vec![0; most.min(self.run * PAGE)];
        let filled = fill(&mut bytes, |to, filled| file.read_at(to, start + filled as u64))?;
        self.next = first;
        for page in bytes[..filled].chunks(PAGE) {
            self.make_room();
            self.pages.insert(self.next, (page.into(), self.now));
            self.next += 1;
        }
        Ok(())
    }

    /// Drops the least recently used page.
    fn make_room(&mut self) {
        if self.pages.len() < CAPACITY {
            return;
        }
        let oldest = self.pages.iter().min_by_key(|(number, (_, used))| (*used, **number));
        if let Some(oldest) = oldest.map(|(number, _)| *number) {
            self.pages.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that differ from place to place, and which of them were asked for.
    #[derive(Debug)]
    struct Watched {
        len: u64,
        asked: Mutex<Vec<(u64, usize)>>,
    }

    impl Watched {
        fn of(len: u64) -> Arc<Self> {
            Arc::new(Self { len, asked: Mutex::default() })
        }
    }

    fn byte(at: u64) -> u8 {
        (at ^ at >> 8 ^ at >> 16).to_le_bytes()[0]
    }

    impl RandomAccess for Watched {
        fn name(&self) -> &'static str {
            "watched"
        }

        fn len(&self) -> u64 {
            self.len
        }

        fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
            lock(&self.asked).push((at, to.len()));
            for (to, at) in to.iter_mut().zip(at..self.len) {
                *to = byte(at);
            }
            Ok(to.len())
        }
    }

    #[test]
    fn what_is_read_is_what_is_there() {
        let len = 20_000;
        let pages = PageCache::new(Watched::of(len));
        for (at, count) in [(0, 1), (8190, 4), (19_999, 1), (5, 19_995), (3, 0)] {
            let mut bytes = vec![0; count];
            pages.read_exact_at(&mut bytes, at).unwrap();
            assert!(bytes.iter().zip(at..).all(|(found, at)| *found == byte(at)), "{at}");
        }
        let mut rest = [0; 4];
        assert_eq!((pages.read_at(&mut rest, len - 1).unwrap(), rest[0]), (1, byte(len - 1)));
        assert_eq!(pages.read_at(&mut rest, u64::MAX).unwrap(), 0);
        let short = pages.read_exact_at(&mut [0; 2], len - 1).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_page_is_asked_for_once_and_many_where_one_follows_the_other() {
        let file = Watched::of(64 << 20);
        let pages = PageCache::new(Arc::clone(&file) as _);
        for at in [1 << 20, (1 << 20) + 5, 9 << 20, 1 << 20] {
            pages.read_exact_at(&mut [0; 16], at).unwrap();
        }
        assert_eq!(std::mem::take(&mut *lock(&file.asked)), [(1 << 20, PAGE), (9 << 20, PAGE)]);
        pages.read_exact_at(&mut vec![0; 8 << 20], 32 << 20).unwrap();
        let asked = std::mem::take(&mut *lock(&file.asked));
        assert_eq!(
            asked[..3],
            [(32 << 20, PAGE), ((32 << 20) + 8192, 2 * PAGE), ((32 << 20) + 24_576, 4 * PAGE)]
        );
        assert!(asked.len() < 16 && asked.iter().all(|(_, count)| *count <= 1 << 20), "{asked:?}");
        // What was read long ago is forgotten.
        assert!(lock(&pages.state).pages.len() <= CAPACITY);
        pages.read_exact_at(&mut [0; 16], 1 << 20).unwrap();
        assert_eq!(std::mem::take(&mut *lock(&file.asked)), [(1 << 20, PAGE)]);
    }
}
