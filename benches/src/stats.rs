//! Numbers of many rounds, summed up without being led astray by the odd slow one.

use std::time::Duration;

/// The middle and the spread of a list of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The fastest.
    pub least: Duration,
    /// A quarter was faster.
    pub lower: Duration,
    /// Half were faster.
    pub median: Duration,
    /// A quarter was slower.
    pub upper: Duration,
    /// The slowest.
    pub most: Duration,
}

impl Summary {
    /// Sums up times, in any order; nothing if there are none.
    #[must_use]
    pub fn of(times: &[Duration]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let at = |quarter: usize| sorted.get((sorted.len().checked_sub(1)? * quarter + 2) / 4);
        Some(Self {
            least: *at(0)?,
            lower: *at(1)?,
            median: *at(2)?,
            upper: *at(3)?,
            most: *at(4)?,
        })
    }
}

/// The middle of a list of counts, in any order; nothing if there are none.
#[must_use]
pub fn median(counts: &[u64]) -> Option<u64> {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

/// Milliseconds with two digits after the point.
#[must_use]
pub fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

/// One time as a multiple of another.
#[must_use]
pub fn ratio(of: Duration, to: Duration) -> String {
    if to.is_zero() {
        return "-".into();
    }
    format!("{:.3}", of.as_secs_f64() / to.as_secs_f64())
}

/// One count as a multiple of another.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a ratio for a person to read")]
pub fn count_ratio(of: u64, to: u64) -> String {
    if to == 0 { "-".into() } else { format!("{:.3}", of as f64 / to as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_an_odd_number_are_members() {
        let times = [5, 1, 4, 2, 3].map(Duration::from_millis);
        let summary = Summary::of(&times).unwrap();
        let all = [summary.least, summary.lower, summary.median, summary.upper, summary.most];
        assert_eq!(all, [1, 2, 3, 4, 5].map(Duration::from_millis));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_single_time_is_its_own_summary() {
        let summary = Summary::of(&[Duration::from_millis(7)]).unwrap();
        assert_eq!((summary.least, summary.most), (summary.median, summary.median));
    }

    #[test]
    fn the_median_of_counts_is_one_of_them() {
        assert_eq!(median(&[9, 1, 5]), Some(5));
        assert_eq!(median(&[9, 1]), Some(9));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_and_times_are_short() {
        let (one, two) = (Duration::from_millis(1), Duration::from_millis(2));
        assert_eq!((ratio(one, two).as_str(), ratio(one, Duration::ZERO).as_str()), ("0.500", "-"));
        assert_eq!((count_ratio(1, 8).as_str(), count_ratio(1, 0).as_str()), ("0.125", "-"));
        assert_eq!(ms(Duration::from_micros(1234)), "1.23");
    }
}
