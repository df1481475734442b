//! Splits large copies over threads.

use std::io;
use std::ops::Range;
use std::thread::{self, available_parallelism};

use crate::error::TransferError;
use crate::pages::HUGE_PAGE;

/// Smallest share of a thread, in bytes. Starting a thread costs as much as copying about 100 KiB.
const MIN_SHARE: u64 = 4 << 20;

/// Runs `work` on parts of `0..len`, on as many threads as pay off. `host` is the host address of
/// byte 0: parts meet at huge page boundaries, so that no two threads touch the same page.
///
/// # Errors
/// The error of the first part, in order of offset, that failed.
pub(crate) fn in_parallel(
    host: usize,
    len: u64,
    work: impl Fn(Range<u64>) -> Result<(), TransferError> + Sync,
) -> Result<(), TransferError> {
    if len < 2 * MIN_SHARE {
        return work(0..len);
    }
    let cpus = available_parallelism().map_or(1, |n| n.get() as u64);
    let threads = (len / MIN_SHARE).clamp(1, cpus);
    let base = host as u64 % HUGE_PAGE;
    let border = |i: u64| {
        let even = (base + len / threads * i).next_multiple_of(HUGE_PAGE);
        if i == 0 { 0 } else { (even - base).min(len) }
    };
    let part = |i: u64| border(i)..if i + 1 == threads { len } else { border(i + 1) };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = (1..threads)
            .map(|i| thread::Builder::new().spawn_scoped(scope, move || work(part(i))))
            .collect();
        let mut result = work(part(0));
        for (i, other) in (1..).zip(others) {
            let failed = || TransferError::Host(io::Error::other("a copying thread panicked"));
            let done = match other {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(failed())),
                // The thread could not be started: do its share here.
                Err(_) => work(part(i)),
            };
            result = result.and(done);
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn parts_cover_everything_and_meet_at_huge_page_boundaries() {
        let cpus = available_parallelism().map_or(1, |n| n.get() as u64);
        for host in [0x7f00_0000_0000, 0x7f00_0000_1000, 0x7f00_0020_0003] {
            for len in [1, 2 * MIN_SHARE - 1, 2 * MIN_SHARE, 3 * MIN_SHARE + 5, 64 << 20] {
                let parts = Mutex::new(Vec::new());
                in_parallel(host, len, |part| {
                    parts.lock().unwrap().push(part);
                    Ok(())
                })
                .unwrap();
                let mut parts = parts.into_inner().unwrap();
                parts.sort_by_key(|part| part.start);
                assert_eq!(parts.len() as u64, (len / MIN_SHARE).clamp(1, cpus), "{len}");
                assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, len));
                for pair in parts.windows(2) {
                    assert_eq!(pair[0].end, pair[1].start, "{parts:?}");
                    assert_eq!((host as u64 + pair[1].start) % HUGE_PAGE, 0, "{parts:?}");
                }
                // A boundary moves by less than a huge page.
                let even = len / parts.len() as u64;
                assert!(
                    parts.iter().all(|part| part.end - part.start < even + HUGE_PAGE),
                    "{parts:?}"
                );
            }
        }
    }

    #[test]
    fn the_error_is_that_of_the_first_part_that_failed() {
        let failing = |part: Range<u64>| match part.start {
            0 => Err(TransferError::Guest),
            _ => Err(TransferError::Host(io::Error::other("later"))),
        };
        assert!(matches!(in_parallel(0, 64 << 20, failing), Err(TransferError::Guest)));
        let last = |part: Range<u64>| match part.end == 64 << 20 {
            true => Err(TransferError::Guest),
            false => Ok(()),
        };
        assert!(matches!(in_parallel(0, 64 << 20, last), Err(TransferError::Guest)));
    }
}
