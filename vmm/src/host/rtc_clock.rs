//! The initial time of the guest's real-time clock: `-rtc base=`.
#![expect(unsafe_code, reason = "localtime_r(3) has no safe form in std")]

use devices::clock::{Clock, SystemClock};

use crate::config::RtcBase;

const NANOS: i128 = 1_000_000_000;

/// The host's clock with an offset.
#[derive(Clone, Copy, Debug)]
pub struct RtcClock {
    shift: i128,
}

impl RtcClock {
    /// Creates a clock that shows `base` now and runs with the host's clock.
    pub fn new(base: RtcBase) -> Self {
        let now = SystemClock.unix_nanos();
        let shift = match base {
            RtcBase::Utc => 0,
            RtcBase::Localtime => i128::from(utc_offset(now)) * NANOS,
            RtcBase::Fixed(seconds) => i128::from(seconds) * NANOS - now,
        };
        Self { shift }
    }
}

impl Clock for RtcClock {
    fn unix_nanos(&self) -> i128 {
        SystemClock.unix_nanos() + self.shift
    }
}

/// Offset of the host's time zone from UTC, in seconds.
fn utc_offset(now: i128) -> i64 {
    let Ok(seconds) = libc::time_t::try_from(now / NANOS) else { return 0 };
    // SAFETY: localtime_r(3) reads the time and fills in the struct; all zero is a valid value for
    // it.
    unsafe {
        let mut local = std::mem::zeroed::<libc::tm>();
        if libc::localtime_r(&raw const seconds, &raw mut local).is_null() {
            0
        } else {
            local.tm_gmtoff
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_base_is_shown_from_now_on() {
        let clock = RtcClock::new(RtcBase::Fixed(1_000_000));
        let ahead = clock.unix_nanos() - 1_000_000 * NANOS;
        assert!((0..60 * NANOS).contains(&ahead), "{ahead}");
    }

    /// The time zone is read from the environment once, so a process of its own shows it.
    #[test]
    fn localtime_is_ahead_of_utc_by_the_time_zone() {
        const ZONE: &str = "CHUKKA_TEST_ZONE";
        if let Some(seconds) = std::env::var_os(ZONE) {
            let seconds: i128 = seconds.to_str().unwrap().parse().unwrap();
            let clock = RtcClock::new(RtcBase::Localtime);
            assert_eq!(clock.shift, seconds * NANOS);
            return;
        }
        // POSIX has hours west of Greenwich.
        for (zone, seconds) in [("XYZ-05:45", 20_700), ("XYZ+8", -28_800), ("UTC0", 0)] {
            let name = "host::rtc_clock::tests::localtime_is_ahead_of_utc_by_the_time_zone";
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", name]).env("TZ", zone).env(ZONE, seconds.to_string());
            let output = child.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{zone}: {output:?}");
        }
    }

    /// A time zone with summer time, from March to October.
    #[test]
    fn the_time_zone_is_that_of_the_time() {
        const CHILD: &str = "CHUKKA_TEST_SUMMER";
        if std::env::var_os(CHILD).is_some() {
            // 2024-01-15 and 2024-07-15.
            assert_eq!(utc_offset(1_705_276_800 * NANOS), 3600);
            assert_eq!(utc_offset(1_721_001_600 * NANOS), 7200);
            return;
        }
        let name = "host::rtc_clock::tests::the_time_zone_is_that_of_the_time";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name]).env("TZ", "AAA-1BBB,M3.5.0,M10.5.0").env(CHILD, "1");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    }

    #[test]
    fn utc_base_is_the_host_time() {
        let ahead = RtcClock::new(RtcBase::Utc).unix_nanos() - SystemClock.unix_nanos();
        assert!(ahead.abs() < 60 * NANOS);
    }
}
