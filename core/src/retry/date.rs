//! HTTP dates (RFC 9110 §5.6.7): what servers write, and the two forms of the past that have to be read still.
//!
//! The grammar is taken exactly, upper and lower case included, and days are checked against their month. The name of the
//! weekday has to be one, but it may be the wrong one: a server that miscounts its weekdays still means its date.

use std::time::{Duration, SystemTime};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Fifty years of the Gregorian calendar's mean length.
const FIFTY_YEARS: i64 = 50 * 146_097 * 86_400 / 400;

/// A moment as seconds since 1970, negative before.
pub(super) type UnixSeconds = i64;

/// Reads a date; `now` settles the century of a two-digit year.
pub(super) fn parse(text: &str, now: UnixSeconds) -> Option<UnixSeconds> {
    imf_fixdate(text)
        .or_else(|| rfc850(text, now))
        .or_else(|| asctime(text))
}

/// Reads an HTTP date as seconds since 1970; `wall` settles the century of a two-digit year.
pub(crate) fn http_date(text: &str, wall: SystemTime) -> Option<i64> {
    parse(text.trim(), unix_seconds(wall))
}

/// `SystemTime` as seconds since 1970, rounded down.
pub(super) fn unix_seconds(time: SystemTime) -> UnixSeconds {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let up = u64::from(before.subsec_nanos() > 0);
            i64::try_from(before.as_secs().saturating_add(up)).map_or(i64::MIN, |seconds| -seconds)
        }
    }
}

/// The time from `from` to `to`; `None` if `to` is not later.
pub(super) fn between(from: UnixSeconds, to: UnixSeconds) -> Option<Duration> {
    let seconds = u64::try_from(to.saturating_sub(from)).ok()?;
    (seconds > 0).then_some(Duration::from_secs(seconds))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &str) -> Option<UnixSeconds> {
    let (day_name, rest) = text.split_once(", ")?;
    DAYS.contains(&day_name).then_some(())?;
    let [day, month, year, time, "GMT"] = fields(rest, ' ')? else {
        return None;
    };
    seconds(digits(year, 4)?, month, digits(day, 2)?, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`. The year is the latest with these digits that is not over 50 years ahead.
fn rfc850(text: &str, now: UnixSeconds) -> Option<UnixSeconds> {
    let (day_name, rest) = text.split_once(", ")?;
    LONG_DAYS.contains(&day_name).then_some(())?;
    let [date, time, "GMT"] = fields(rest, ' ')? else {
        return None;
    };
    let [day, month, year] = fields(date, '-')?;
    let (day, year) = (digits(day, 2)?, digits(year, 2)?);
    // The greatest year with these digits that can be within fifty years.
    let latest = year_of(now) + 51;
    let year = latest - (latest - year).rem_euclid(100);
    seconds(year, month, day, time)
        .filter(|moment| moment.saturating_sub(now) <= FIFTY_YEARS)
        .or_else(|| seconds(year - 100, month, day, time))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &str) -> Option<UnixSeconds> {
    let (day_name, rest) = text.split_once(' ')?;
    DAYS.contains(&day_name).then_some(())?;
    let (month, rest) = rest.split_once(' ')?;
    let (day, rest) = rest.split_at_checked(2)?;
    let day = match day.strip_prefix(' ') {
        Some(digit) => digits(digit, 1)?,
        None => digits(day, 2)?,
    };
    let [time, year] = fields(rest.strip_prefix(' ')?, ' ')?;
    seconds(digits(year, 4)?, month, day, time)
}

fn fields<const N: usize>(text: &str, separator: char) -> Option<[&str; N]> {
    let mut fields = text.split(separator);
    let mut out = [""; N];
    for field in &mut out {
        *field = fields.next()?;
    }
    fields.next().is_none().then_some(out)
}

/// A number of exactly `length` ASCII digits.
fn digits(text: &str, length: usize) -> Option<i64> {
    let good = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

fn seconds(year: i64, month: &str, day: i64, time: &str) -> Option<UnixSeconds> {
    let month = MONTHS.iter().position(|name| *name == month)?;
    let lengths = [
        31,
        if is_leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let [hour, minute, second] = fields(time, ':')?;
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    let in_month = day >= 1 && day <= *lengths.get(month)?;
    // The grammar has second 60 for leap seconds; it is the next minute's first.
    if !in_month || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_before_year(year) + lengths.iter().take(month).sum::<i64>() + day - 1;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to the first of January of `year`, by the Gregorian calendar.
fn days_before_year(year: i64) -> i64 {
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    // 719,162 is the same sum for the year 1970.
    past * 365 + leap_days - 719_162
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The year of a moment.
fn year_of(moment: UnixSeconds) -> i64 {
    // Far beyond any date that can be written, and far from overflow.
    let days = moment
        .clamp(-100_000_000_000, 400_000_000_000)
        .div_euclid(86_400);
    // A guess by the mean length of a year is at most one off.
    let mut year = 1970 + (days * 400).div_euclid(146_097);
    while days_before_year(year) > days {
        year -= 1;
    }
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    year
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = 1_795_234_567; // 2026-11-21 04:16:07 by `date -u`

    #[test]
    fn the_three_forms_of_the_rfc_are_one_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text, NOW), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn dates_agree_with_the_calendar() {
        // Seconds by `date -u -d … +%s`.
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Sat, 21 Nov 2026 04:16:07 GMT", NOW),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
            ("Sat Nov 21 04:16:07 2026", NOW),
        ] {
            assert_eq!(parse(text, NOW), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_wrong_weekday_does_not_matter_but_a_wrong_word_does() {
        assert_eq!(
            parse("Mon, 06 Nov 1994 08:49:37 GMT", NOW),
            Some(784_111_777)
        );
        for text in [
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn what_the_grammar_or_the_calendar_does_not_have_is_refused() {
        for text in [
            "Tue, 30 Feb 2027 00:00:00 GMT",
            "Mon, 29 Feb 2027 00:00:00 GMT",
            "Mon, 29 Feb 2100 00:00:00 GMT",
            "Sat, 31 Apr 2027 00:00:00 GMT",
            "Sat, 00 Apr 2027 00:00:00 GMT",
            "Sat, 32 Jan 2027 00:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37 gmt",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun Nov  6 08:49:37 94",
            "Sun Nov é6 08:49:37 1994",
            "Sun, 06 Nov -994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, ٠٦ Nov 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
            "",
            ",",
            ", ",
            "Sun",
            "Sun,",
            "Sun, ",
            "Sun ",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn a_two_digit_year_is_the_latest_that_is_not_over_fifty_years_ahead() {
        let year = |text: &str, now| parse(text, now).map(year_of);
        assert_eq!(year("Saturday, 21-Nov-26 04:16:07 GMT", NOW), Some(2026));
        assert_eq!(year("Sunday, 06-Nov-94 08:49:37 GMT", NOW), Some(1994));
        assert_eq!(year("Friday, 01-Jan-27 00:00:00 GMT", NOW), Some(2027));
        assert_eq!(year("Sunday, 31-Dec-75 00:00:00 GMT", NOW), Some(2075));
        assert_eq!(
            year("Friday, 20-Nov-76 04:16:07 GMT", NOW),
            Some(2076),
            "a day less than fifty years ahead"
        );
        assert_eq!(
            year("Sunday, 22-Nov-76 04:16:07 GMT", NOW),
            Some(1976),
            "a day more"
        );
        assert_eq!(year("Saturday, 01-Jan-77 00:00:00 GMT", NOW), Some(1977));
        let end_of_century = seconds(2099, "Dec", 31, "23:59:59").expect("a date");
        assert_eq!(
            year("Friday, 01-Jan-00 00:00:00 GMT", end_of_century),
            Some(2100)
        );
        assert_eq!(
            year("Tuesday, 29-Feb-00 00:00:00 GMT", end_of_century),
            Some(2000),
            "2100 has no such day"
        );
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut expected = parse("Sat, 01 Jan 1700 00:00:00 GMT", NOW).expect("a date");
        for year in 1700..2100 {
            assert_eq!(year_of(expected), year);
            assert_eq!(year_of(expected - 1), year - 1);
            for month in MONTHS {
                for day in 1..=31 {
                    let text = format!("Sat, {day:02} {month} {year} 00:00:00 GMT");
                    if let Some(moment) = parse(&text, NOW) {
                        assert_eq!(moment, expected, "{text}");
                        expected += 86_400;
                    }
                }
            }
        }
        assert_eq!(Some(expected), parse("Sat, 01 Jan 2100 00:00:00 GMT", NOW));
    }

    #[test]
    fn extreme_clocks_do_not_overflow() {
        for now in [i64::MIN, i64::MAX, 0, -1] {
            let _ = parse("Sunday, 06-Nov-94 08:49:37 GMT", now);
            assert_eq!(between(now, now), None);
        }
        assert!(between(i64::MIN, i64::MAX).is_some());
        assert_eq!(
            unix_seconds(SystemTime::UNIX_EPOCH - Duration::from_millis(1)),
            -1
        );
    }
}
