//! Wall-clock time and monotonic time, injected so that tests can control them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time.
pub trait Clock: Send {
    /// Nanoseconds since 1970-01-01 00:00:00 UTC; negative before that. Leap seconds are not
    /// counted, as in POSIX. The time may jump, even backwards.
    fn unix_nanos(&self) -> i128;
}

/// The host's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_nanos(&self) -> i128 {
        let nanos = |duration: Duration| i128::try_from(duration.as_nanos());
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => nanos(after).unwrap_or(i128::MAX),
            Err(before) => nanos(before.duration()).map_or(i128::MIN, |nanos| -nanos),
        }
    }
}

/// A source of monotonic time.
pub trait MonotonicClock: Send {
    /// The time since the clock was started.
    fn elapsed(&self) -> Duration;
}

/// The host's monotonic time since this clock was created. Copies share their start, so their times
/// can be compared.
#[derive(Clone, Copy, Debug)]
pub struct HostStopwatch(Instant);

impl HostStopwatch {
    /// Starts the clock now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl MonotonicClock for HostStopwatch {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A stopwatch that only advances when set. Clones share the time.
    #[derive(Clone, Default)]
    pub(crate) struct TestStopwatch(Arc<AtomicU64>);

    impl TestStopwatch {
        pub(crate) fn set(&self, elapsed: Duration) {
            let nanos = u64::try_from(elapsed.as_nanos()).unwrap();
            self.0.store(nanos, Ordering::SeqCst);
        }
    }

    impl MonotonicClock for TestStopwatch {
        fn elapsed(&self) -> Duration {
            Duration::from_nanos(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn copies_share_their_start() {
        let stopwatch = HostStopwatch::start();
        let copy = stopwatch;
        let first = stopwatch.elapsed();
        assert!(copy.elapsed() >= first);
        assert!(first < Duration::from_secs(60));
    }

    #[test]
    fn host_clock_returns_a_plausible_time() {
        let year_2020 = 1_577_836_800 * 1_000_000_000;
        assert!(SystemClock.unix_nanos() > year_2020);
    }
}
