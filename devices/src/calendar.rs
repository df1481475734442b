//! Dates of the Gregorian calendar, relative to the Unix epoch. Leap seconds are not supported.
//!
//! The day arithmetic follows Howard Hinnant,
//! <https://howardhinnant.github.io/date_algorithms.html>: years start in March, so that the leap
//! day is the last day of its year.

const SECONDS_PER_DAY: i64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// A date and time of day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateTime {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl DateTime {
    /// The date and time `seconds` after the epoch.
    pub(crate) fn from_unix(seconds: i64) -> Self {
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        Self { year, month, day, hour, minute, second }
    }

    /// Converts to seconds since the epoch. A day past the end of its month rolls over into the
    /// next month.
    pub(crate) fn to_unix(self) -> i64 {
        let days = days_from_civil(self.year, self.month, self.day);
        days * SECONDS_PER_DAY + self.hour * 3600 + self.minute * 60 + self.second
    }

    /// The day of the week: 0 is Sunday.
    pub(crate) fn weekday(self) -> i64 {
        // 1970-01-01 was a Thursday.
        (days_from_civil(self.year, self.month, self.day) + 4).rem_euclid(7)
    }
}

/// Days from 1970-01-01 to the given date.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - EPOCH
}

/// The date (year, month, day) that is `days` after 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let leap_corrected =
        day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096;
    let year_of_era = leap_corrected / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> DateTime {
        DateTime { year, month, day, hour, minute, second }
    }

    /// Compared with `date -u -d @SECONDS`.
    #[test]
    fn converts_known_dates_both_ways() {
        let cases = [
            (0, at(1970, 1, 1, 0, 0, 0), 4),
            (-1, at(1969, 12, 31, 23, 59, 59), 3),
            (951_782_400, at(2000, 2, 29, 0, 0, 0), 2),
            (1_709_251_199, at(2024, 2, 29, 23, 59, 59), 4),
            (1_740_787_200, at(2025, 3, 1, 0, 0, 0), 6),
            (4_107_542_399, at(2100, 2, 28, 23, 59, 59), 0),
            (4_107_542_400, at(2100, 3, 1, 0, 0, 0), 1),
            (253_402_300_799, at(9999, 12, 31, 23, 59, 59), 5),
            (-62_167_219_200, at(0, 1, 1, 0, 0, 0), 6),
        ];
        for (seconds, date, weekday) in cases {
            assert_eq!(DateTime::from_unix(seconds), date);
            assert_eq!(date.to_unix(), seconds, "{date:?}");
            assert_eq!(date.weekday(), weekday, "{date:?}");
        }
    }

    #[test]
    fn is_continuous_day_by_day_over_four_centuries() {
        let mut days = days_from_civil(1900, 1, 1);
        for year in 1900..2300 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    assert_eq!(days_from_civil(year, month, day), days);
                    assert_eq!(civil_from_days(days), (year, month, day));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn day_past_the_end_of_the_month_rolls_over() {
        assert_eq!(at(2023, 2, 31, 0, 0, 0).to_unix(), at(2023, 3, 3, 0, 0, 0).to_unix());
    }
}
