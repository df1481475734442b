//! `-rtc [base=]…,clock=…,driftfix=…`

use super::error::ArgsError;
use super::value::{Pair, pairs};
use vmm::config::{RtcBase, RtcConfig};

/// `-rtc`, as QEMU's `configure_rtc` (system/rtc.c) reads it.
pub(super) fn rtc(values: &[&str]) -> Result<RtcConfig, ArgsError> {
    let mut rtc = RtcConfig::default();
    // QEMU has no key for the first value: `-rtc utc` is an error there, and so here.
    for pair in values.iter().flat_map(|text| pairs(text, "")) {
        match (pair.key.as_str(), pair.value.as_deref().unwrap_or_default()) {
            ("base", "utc") => rtc.base = RtcBase::Utc,
            ("base", "localtime") => rtc.base = RtcBase::Localtime,
            ("base", date) => rtc.base = RtcBase::Fixed(fixed(&pair, date)?),
            // The host's clock always moves the guest's; rt differs where the host's clock is set.
            ("clock", "host" | "rt") | ("driftfix", "none" | "slew") => {}
            ("clock", "vm") => {
                let why = "chukka's clock does not stop with the guest";
                return Err(ArgsError::unsupported(pair.shown("rtc"), why, "use clock=host"));
            }
            ("clock", _) => {
                return Err(ArgsError::bad(pair.shown("rtc"), "clock=host or clock=rt"));
            }
            ("driftfix", _) => {
                return Err(ArgsError::bad(pair.shown("rtc"), "driftfix=none or driftfix=slew"));
            }
            ("", value) => {
                let hint = format!("did you mean -rtc base={value}?");
                return Err(ArgsError::bad(format!("-rtc {value}"), "base=, clock= or driftfix=")
                    .with_hint(hint));
            }
            _ => return Err(ArgsError::bad(pair.shown("rtc"), "base=, clock= or driftfix=")),
        }
    }
    Ok(rtc)
}

fn fixed(pair: &Pair, text: &str) -> Result<i64, ArgsError> {
    let expected = "utc, localtime, 2006-06-17 or 2006-06-17T16:01:21";
    moment(text).ok_or_else(|| ArgsError::bad(pair.shown("rtc"), expected))
}

/// Seconds since 1970-01-01T00:00:00 of `2006-06-17[T16:01:21]`. The RTC has two digits of century
/// and two of year: years 1 to 9999 (it is the guest that does not like most of them).
fn moment(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T').unwrap_or((text, "0:0:0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let right = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    right.then(|| (days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second)
}

/// Three decimal numbers of at most four digits.
fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits =
            (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<i64>().ok() } else { None }
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the day
/// that comes and goes is a year's last: in such a year day 0 of month m is (153 m + 2) / 5.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    before_year + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds are those of `date -u -d … +%s`.
    #[test]
    fn moments_are_counted_from_1970() {
        for (text, seconds) in [
            ("1970-01-01", Some(0)),
            ("1970-01-01T00:00:01", Some(1)),
            ("1969-12-31T23:59:59", Some(-1)),
            ("2006-06-17", Some(1_150_502_400)),
            ("2006-06-17T16:01:21", Some(1_150_560_081)),
            ("2006-6-7", Some(1_149_638_400)),
            ("2000-02-29", Some(951_782_400)),
            ("2024-12-31T23:59:59", Some(1_735_689_599)),
            ("2100-03-01", Some(4_107_542_400)),
            ("1900-02-29", None),
            ("2006-13-17", None),
            ("2006-02-31", None),
            ("2006-00-01", None),
            ("2006-06", None),
            ("2006-06-17-1", None),
            ("2006-06-17T", None),
            ("2006-06-17T24:00:00", None),
            ("2006-06-17 16:01:21", None),
            ("+006-06-17", None),
            ("now", None),
            ("", None),
        ] {
            assert_eq!(moment(text), seconds, "{text:?}");
        }
    }
}
