//! Times as people write them on a command line, and days as tables show them.

use std::time::{SystemTime, UNIX_EPOCH};

use ossai::ledger::parse_time;

use crate::failure::Failure;

/// Now in whole seconds, as milliseconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).map_or(i64::MAX, |seconds| seconds.saturating_mul(1000))
}

/// Reads `7d` as so long ago, everything else as [`parse_time`] does; in milliseconds since 1970.
pub(super) fn time(argument: &str, text: &str) -> Result<i64, Failure> {
    let unit = match text.trim().chars().last() {
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        Some('w') => 7 * 86_400_000,
        _ => return Ok(parse_time(argument, text.trim())?),
    };
    let number = text.trim().trim_end_matches(['m', 'h', 'd', 'w']);
    let ago = number
        .parse::<u32>()
        .ok()
        .and_then(|number| i64::from(number).checked_mul(unit));
    let ago = ago
        .ok_or_else(|| Failure::usage(argument, "expected a number before the unit, such as 7d"))?;
    Ok(now().saturating_sub(ago).max(0))
}

/// The day in UTC of milliseconds since 1970, as `2026-11-21`.
#[must_use]
pub fn day(millis: i64) -> String {
    // The civil date of a day number in the proleptic Gregorian calendar, years beginning in March.
    let days = millis.div_euclid(86_400_000) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year_of_era + next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_agree() {
        for text in [
            "1970-01-01",
            "2000-02-29",
            "2024-12-31",
            "2026-11-21",
            "2100-03-01",
        ] {
            assert_eq!(day(time("--since", text).unwrap()), text);
        }
    }

    #[test]
    fn times_back_are_read_and_others_refused() {
        let now = time("--since", "0m").unwrap();
        let week = time("--since", "1w").unwrap();
        assert!((now - week - 7 * 86_400_000).abs() < 60_000);
        for bad in [
            "d",
            "-1d",
            "1.5h",
            "7dd0",
            "yesterday",
            "99999999999w",
            "dé",
        ] {
            assert!(time("--since", bad).is_err(), "{bad}");
        }
    }
}
