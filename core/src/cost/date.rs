//! Days, hours and weekdays in UTC: prices start on a date and some change with the hour.

use std::fmt;

use serde::{Serialize, Serializer};

const DAY: i64 = 86_400;

/// A day in UTC, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

impl Date {
    /// Reads `YYYY-MM-DD` between 1970 and 9999; a day that does not exist is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (y, m, d) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || y.len() != 4 || m.len() != 2 || d.len() != 2 {
            return None;
        }
        let number = |s: &str| {
            s.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| s.parse().ok())?
        };
        let (y, m, d): (i32, i32, i32) = (number(y)?, number(m)?, number(d)?);
        if y < 1970 || !(1..=12).contains(&m) || d < 1 {
            return None;
        }
        let date = Self(days_from_civil(y, m, d));
        // A day past the month's end lands in the next month.
        (date.civil() == (y, m, d)).then_some(date)
    }

    /// The day that holds a moment, in seconds since 1970.
    #[must_use]
    pub fn of_unix(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY);
        Self(i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }))
    }

    /// The day's first moment, in seconds since 1970.
    #[must_use]
    pub fn start(self) -> i64 {
        i64::from(self.0) * DAY
    }

    /// Days from `earlier` to `self`; negative if `self` is before it.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> i64 {
        i64::from(self.0) - i64::from(earlier.0)
    }

    /// The first moments of its month and of the next one, in seconds since 1970.
    pub(crate) fn month(self) -> (i64, i64) {
        let (year, month, _) = self.civil();
        let (next_year, next) = if month == 12 {
            (year.saturating_add(1), 1)
        } else {
            (year, month + 1)
        };
        let start = |year, month| i64::from(days_from_civil(year, month, 1)) * DAY;
        (start(year, month), start(next_year, next))
    }

    /// Year, month and day (H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
    fn civil(self) -> (i32, i32, i32) {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        (year as i32, month as i32, day as i32)
    }
}

/// The same source's `days_from_civil`.
fn days_from_civil(y: i32, m: i32, d: i32) -> i32 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = self.civil();
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Hours of the day on certain weekdays, in UTC.
///
/// Each span is half-open: its first minute belongs to it, its last does not. A span that ends before it begins runs
/// over midnight, and its part after midnight belongs to the weekday it began on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Minutes of the day, from and to (to at most 1440).
    pub(super) hours: Vec<(u16, u16)>,
    /// Bit 0 is Monday.
    pub(super) days: u8,
}

impl Window {
    /// Whether the moment, in seconds since 1970, lies in the window.
    #[must_use]
    pub fn contains(&self, seconds: i64) -> bool {
        let minute = (seconds.rem_euclid(DAY) / 60) as u16;
        // 1970-01-01 was a Thursday, the fourth day from Monday.
        let weekday = (seconds.div_euclid(DAY) + 3).rem_euclid(7) as u8;
        let on = |day: u8| self.days & (1 << day) != 0;
        self.hours.iter().any(|&(from, to)| {
            if from < to {
                on(weekday) && from <= minute && minute < to
            } else {
                (on(weekday) && minute >= from) || (on((weekday + 6) % 7) && minute < to)
            }
        })
    }

    /// Reads `HH:MM-HH:MM`; the end may be `24:00`, and the two may not be equal.
    pub(super) fn parse_hours(text: &str) -> Option<(u16, u16)> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        (from < 1440 && from != to && to != 0).then_some((from, to))
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (h, m) = text.split_once(':')?;
    if h.len() != 2 || m.len() != 2 || !h.bytes().chain(m.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (h, m): (u16, u16) = (h.parse().ok()?, m.parse().ok()?);
    (m < 60 && h * 60 + m <= 1440).then_some(h * 60 + m)
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let clock = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        let hours: Vec<String> = self
            .hours
            .iter()
            .map(|&(a, b)| format!("{}-{}", clock(a), clock(b)))
            .collect();
        let days: Vec<u8> = (1..=7)
            .filter(|day| self.days & (1 << (day - 1)) != 0)
            .collect();
        let mut out = serializer.serialize_struct("Window", 2)?;
        out.serialize_field("hours", &hours)?;
        out.serialize_field("days", &days)?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_and_print_alike_and_impossible_days_are_refused() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11_016),
            ("2026-11-20", 20_777),
            ("2026-12-31", 20_818),
        ] {
            let date = Date::parse(text);
            assert_eq!(date.map(|d| d.0), Some(days), "{text}");
            assert_eq!(date.map(|d| d.to_string()).as_deref(), Some(text));
        }
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-1-01",
            "26-01-01",
            "2026-01-01-",
            "2026-04-31",
            "+026-01-01",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
        assert_eq!(Date::of_unix(-1).to_string(), "1969-12-31");
        let _ = Date::of_unix(i64::MIN).to_string();
        let _ = Date::of_unix(i64::MAX).to_string();
    }

    #[test]
    fn a_span_holds_its_first_minute_but_not_its_last() {
        let monday = Date::parse("2026-11-16").map_or(0, Date::start);
        let window = Window {
            hours: vec![(60, 240)],
            days: 1,
        };
        let at = |h: i64, m: i64, s: i64| window.contains(monday + h * 3600 + m * 60 + s);
        assert!(!at(0, 59, 59));
        assert!(at(1, 0, 0));
        assert!(at(3, 59, 59));
        assert!(!at(4, 0, 0));
        assert!(
            !window.contains(monday + DAY + 3600),
            "Tuesday is no Monday"
        );
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_it_began_on() {
        let friday = Date::parse("2026-11-20").map_or(0, Date::start);
        let window = Window {
            hours: vec![(22 * 60, 2 * 60)],
            days: 1 << 4,
        };
        assert!(window.contains(friday + 22 * 3600));
        assert!(
            window.contains(friday + DAY + 3600),
            "Saturday 01:00 began on Friday"
        );
        assert!(!window.contains(friday + DAY + 2 * 3600));
        assert!(
            !window.contains(friday + 3600),
            "Friday 01:00 began on Thursday"
        );
        assert!(!window.contains(friday + DAY + 22 * 3600));
    }

    #[test]
    fn only_clear_hours_are_read() {
        assert_eq!(Window::parse_hours("00:00-24:00"), Some((0, 1440)));
        assert_eq!(Window::parse_hours("22:00-02:30"), Some((1320, 150)));
        for text in [
            "00:00-00:00",
            "5:00-06:00",
            "24:00-01:00",
            "10:00-00:00",
            "01:60-02:00",
            "25:00-26:00",
            "01:00",
            "",
        ] {
            assert_eq!(Window::parse_hours(text), None, "{text}");
        }
    }
}
