//! The fw_cfg DMA transfer: one READ of an item, by chukka's device and by the ways of its peers,
//! all on the same bytes and the same kind of guest memory.
//!
//! Rivals take turns: one each a round, in another order in each round, so that what else the
//! machine does and what the last one has left in the caches hits all of them alike. That is why
//! this is no criterion group, which would measure one rival after the other, minutes apart. Each
//! turn has a new guest memory, a new device and a new descriptor of the source's file; making them
//! is not measured.

mod case;
pub mod figures;
mod guest;
pub mod plot;
pub mod report;
mod source;

use std::time::{Duration, Instant};

pub use case::{Before, Case, DESTINATIONS, Origin, Pages};
pub use guest::{Guest, KEY, Slot, has_huge_pages};
pub use source::Source;

use crate::rivals::Rival;
use crate::stats::Summary;
use crate::{Error, material};

/// How long a case may go on for want of times that agree. There are 160 of them.
const MORE: Duration = Duration::from_secs(2);

/// How long one operation took.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// To its end, when the guest goes on.
    moved: Duration,
    /// From its beginning until every byte has been read once: what a way has put off is in it.
    read: Duration,
}

/// What one rival was measured at.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Who.
    pub rival: Rival,
    /// To the end of the operation.
    pub moved: Summary,
    /// Until every byte has been read.
    pub read: Summary,
}

/// A case with the times of all rivals.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What was done.
    pub case: Case,
    /// How many rounds there were.
    pub rounds: usize,
    /// How long it took each.
    pub times: Vec<Times>,
}

/// Which of the two times is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the end of the operation.
    Moved,
    /// Until every byte has been read.
    Read,
}

impl Measured {
    /// A rival's time, if it takes part: the fastest of all rounds. The work is the same in each;
    /// what else the machine does only adds to it.
    #[must_use]
    pub fn time(&self, rival: Rival, until: Until) -> Option<Duration> {
        let times = self.times.iter().find(|times| times.rival == rival)?;
        Some(match until {
            Until::Moved => times.moved.least,
            Until::Read => times.read.least,
        })
    }

    /// Bytes a nanosecond, which are GB a second.
    #[must_use]
    pub fn speed(&self, rival: Rival, until: Until) -> Option<f64> {
        let seconds = self.time(rival, until)?.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a speed for a person to read")]
        let bytes = self.case.size as f64;
        Some(bytes / seconds / 1e9)
    }

    /// How many times as fast as `other` chukka is.
    #[must_use]
    pub fn ratio(&self, other: Rival, until: Until) -> Option<f64> {
        Some(self.speed(Rival::Chukka, until)? / self.speed(other, until)?)
    }

    /// How many times as fast as the fastest of the peers chukka is, and which that is.
    #[must_use]
    pub fn ratio_to_best(&self, until: Until) -> Option<(f64, Rival)> {
        let ratios =
            Rival::PEERS.into_iter().filter_map(|peer| Some((self.ratio(peer, until)?, peer)));
        ratios.min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Measures a case, in as many rounds as are asked for at least; on a busy machine for some more
/// time, until each rival's two fastest times agree.
///
/// # Errors
/// There is no memory, a file cannot be read, or a way has not moved the right bytes.
pub fn measure(case: Case, source: &Source, rounds: usize) -> Result<Measured, Error> {
    let rivals = Rival::of(case.origin);
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); rivals.len()];
    let mut order: Vec<usize> = (0..rivals.len()).collect();
    let mut noise = material::words();
    // Not in between: it would leave the item in the caches for those who read it from the heap.
    let sum = source.sum(&case)?;
    let (mut done, begin) = (0, Instant::now());
    let unsettled =
        |samples: &[Vec<Sample>]| begin.elapsed() < MORE && !samples.iter().all(|of| settled(of));
    while done < rounds || unsettled(&samples) {
        done += 1;
        order.sort_by_cached_key(|_| noise.next());
        for &at in &order {
            samples[at].push(once(rivals[at], &case, source, sum)?);
        }
    }
    let times = rivals.iter().zip(samples).map(|(&rival, samples)| {
        let of = |time: fn(&Sample) -> Duration| {
            Summary::of(&samples.iter().map(time).collect::<Vec<_>>())
                .ok_or("no rounds, no numbers")
        };
        Ok(Times { rival, moved: of(|sample| sample.moved)?, read: of(|sample| sample.read)? })
    });
    Ok(Measured { case, rounds: done, times: times.collect::<Result<_, Error>>()? })
}

/// Whether the fastest times of a rival are no chance: the next ones are within 2 % of them.
fn settled(samples: &[Sample]) -> bool {
    let of = |time: fn(&Sample) -> Duration| {
        let mut times: Vec<Duration> = samples.iter().map(time).collect();
        times.sort_unstable();
        matches!(times[..], [first, second, ..] if second - first <= first / 50)
    };
    of(|sample| sample.moved) && of(|sample| sample.read)
}

/// One rival's turn: [`Case::count`] operations, each to memory of its own, all of which have to
/// give `expected`.
fn once(rival: Rival, case: &Case, source: &Source, expected: u64) -> Result<Sample, Error> {
    let guest = Guest::new(case)?;
    let mut way = rival.way(case, source, guest.memory())?;
    let start = Instant::now();
    for slot in guest.slots() {
        way(slot)?;
    }
    let moved = start.elapsed();
    let sum = guest.slots().iter().fold(0_u64, |sum, slot| sum.wrapping_add(slot.sum()));
    let read = start.elapsed();
    let count = u32::try_from(guest.slots().len())?;
    if sum != expected.wrapping_mul(count.into()) {
        return Err(format!("{rival}: {case}: not the item's bytes").into());
    }
    if rival != Rival::Memcpy && !guest.all_answered()? {
        return Err(format!("{rival}: {case}: the operation has not ended well").into());
    }
    Ok(Sample { moved: moved / count, read: read / count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fast_times_have_to_agree() {
        let samples = |times: &[u64]| -> Vec<Sample> {
            let sample = |&time| Sample {
                moved: Duration::from_nanos(time),
                read: Duration::from_nanos(2 * time),
            };
            times.iter().map(sample).collect()
        };
        assert!(settled(&samples(&[900, 102, 100])));
        assert!(!settled(&samples(&[102, 103, 100, 97])));
        assert!(!settled(&samples(&[100])));
    }

    #[test]
    fn every_way_moves_the_bytes_of_every_origin() {
        let source = Source::new(64 << 10).unwrap();
        for origin in Origin::ALL {
            for before in [Before::Untouched, Before::Touched] {
                for size in [16, 64 << 10] {
                    let case = Case { origin, pages: Pages::Small, before, size };
                    for &rival in Rival::of(origin) {
                        // It fails where sums differ.
                        let sample =
                            once(rival, &case, &source, source.sum(&case).unwrap()).unwrap();
                        assert!(sample.moved <= sample.read, "{rival}: {case}");
                    }
                }
            }
        }
    }
}
