//! Time of day, injected so that tests can stop it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the time of day.
pub trait Clock: Send {
    /// Nanoseconds since 1970-01-01 00:00:00 UTC; negative before. Leap seconds are not counted, as on a POSIX system. It may
    /// jump, backwards too.
    fn unix_nanos(&self) -> i128;
}

/// The host's time of day.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_nanos(&self) -> i128 {
        let nanos = |duration: std::time::Duration| i128::try_from(duration.as_nanos());
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => nanos(after).unwrap_or(i128::MAX),
            Err(before) => nanos(before.duration()).map_or(i128::MIN, |nanos| -nanos),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_plausible_time_when_asked_for_the_host_time() {
        let year_2020 = 1_577_836_800 * 1_000_000_000;
        assert!(SystemClock.unix_nanos() > year_2020);
    }
}
