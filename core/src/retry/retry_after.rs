//! When the upstream wants to be asked again: `Retry-After` (RFC 9110 §10.2.3), the vendors' `retry-after-ms` and gRPC's
//! `grpc-retry-pushback-ms` (gRFC A6).
//!
//! A value that is not exactly one of the known forms is ignored, for a wait that was misread is worse than one computed.
//! Only the first of repeated values counts, valid or not.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::date;

/// How long the upstream asks to wait, at least.
///
/// `retry-after-ms` goes before `retry-after`. Dates are read against the answer's own `Date` where it has a valid one,
/// else against `wall_now`. `None` where there is no valid hint, or it is zero or past: then the wait is computed.
#[must_use]
pub fn hint(headers: &HeaderMap, wall_now: SystemTime) -> Option<Duration> {
    let hint = match first(headers, "retry-after-ms").and_then(|text| number(text, 1_000_000)) {
        Some(milliseconds) => milliseconds,
        None => {
            let text = first(headers, "retry-after")?;
            match number(text, 1_000_000_000) {
                Some(seconds) => seconds,
                None => until(text, headers, wall_now)?,
            }
        }
    };
    (!hint.is_zero()).then_some(hint)
}

/// What a gRPC server says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    /// Not before this time has passed; zero leaves the wait to the client.
    After(Duration),
    /// Not at all.
    Never,
}

/// Reads `grpc-retry-pushback-ms`: a negative or unreadable value forbids a retry (gRFC A6).
#[must_use]
pub fn pushback(metadata: &HeaderMap) -> Option<Pushback> {
    let value = metadata.get("grpc-retry-pushback-ms")?;
    let milliseconds = value.to_str().ok().map(trim).and_then(|text| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    });
    Some(milliseconds.map_or(Pushback::Never, |ms| {
        Pushback::After(Duration::from_millis(ms))
    }))
}

fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(trim)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn until(text: &str, headers: &HeaderMap, wall_now: SystemTime) -> Option<Duration> {
    let wall_now = date::unix_seconds(wall_now);
    let now = first(headers, "date")
        .and_then(|date| date::parse(date, wall_now))
        .unwrap_or(wall_now);
    date::between(now, date::parse(text, now)?)
}

/// `digits[.digits]` in units of `unit` nanoseconds, rounded up to a whole one; saturates.
fn number(text: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    if whole.is_empty()
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let (mut nanos, mut place) = (0, unit);
    for (index, digit) in fraction.bytes().enumerate() {
        if place == 1 {
            nanos += u64::from(fraction.bytes().skip(index).any(|digit| digit != b'0'));
            break;
        }
        place /= 10;
        nanos += u64::from(digit - b'0') * place;
    }
    let whole = match unit {
        1_000_000_000 => Duration::from_secs(whole),
        _ => Duration::from_millis(whole),
    };
    Some(whole.saturating_add(Duration::from_nanos(nanos)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn wall() -> SystemTime {
        // Sat, 21 Nov 2026 04:16:07 GMT and a half
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_234_567_500)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                *name,
                HeaderValue::from_bytes(value.as_bytes()).expect("a header value"),
            );
        }
        map
    }

    fn read(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        hint(&headers(pairs), wall())
    }

    fn after(value: &str) -> Option<Duration> {
        read(&[("retry-after", value)])
    }

    const fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn numbers_are_seconds_with_or_without_a_fraction() {
        for (value, expected) in [
            ("1", 1000),
            ("120", 120_000),
            ("007", 7000),
            ("0.5", 500),
            ("1.25", 1250),
            ("2.000", 2000),
            (" 3 ", 3000),
            ("\t3\t", 3000),
            ("0.001", 1),
        ] {
            assert_eq!(after(value), ms(expected), "{value:?}");
        }
    }

    #[test]
    fn parts_of_a_nanosecond_are_rounded_up() {
        assert_eq!(after("0.0000000001"), Some(Duration::from_nanos(1)));
        assert_eq!(after("1.9999999999"), Some(Duration::from_secs(2)));
        assert_eq!(after("1.0000000000"), Some(Duration::from_secs(1)));
        assert_eq!(
            read(&[("retry-after-ms", "0.0000001")]),
            Some(Duration::from_nanos(1))
        );
    }

    #[test]
    fn anything_else_that_looks_like_a_number_is_ignored() {
        for value in [
            "", " ", ".", "1.", ".5", "+1", "-1", "1e3", "1E3", "0x10", "1_000", "1,000", "1, 2",
            "1s", "1 s", "1 2", "1.2.3", "\u{661}", "1\u{661}", "１", "inf", "NaN", "1\u{a0}",
            "null", "true",
        ] {
            assert_eq!(after(value), None, "{value:?}");
            assert_eq!(read(&[("retry-after-ms", value)]), None, "{value:?}");
        }
    }

    #[test]
    fn numbers_without_end_saturate() {
        let endless = "9".repeat(10_000);
        assert!(after(&endless).is_some_and(|hint| hint >= Duration::from_secs(u64::MAX)));
        assert!(after(&format!("1.{endless}")).is_some_and(|hint| hint == Duration::from_secs(2)));
        assert!(
            read(&[("retry-after-ms", &endless)])
                .is_some_and(|hint| hint >= Duration::from_millis(u64::MAX))
        );
    }

    #[test]
    fn milliseconds_go_before_seconds() {
        assert_eq!(
            read(&[("retry-after", "7"), ("retry-after-ms", "250")]),
            ms(250)
        );
        assert_eq!(
            read(&[("retry-after-ms", "1.5")]),
            Some(Duration::from_micros(1500))
        );
        assert_eq!(
            read(&[("retry-after-ms", "soon"), ("retry-after", "7")]),
            ms(7000),
            "an invalid one is ignored"
        );
        assert_eq!(
            read(&[("retry-after-ms", "0"), ("retry-after", "7")]),
            None,
            "a valid zero is an answer"
        );
        assert_eq!(
            read(&[("retry-after-ms", "Sat, 21 Nov 2026 04:16:17 GMT")]),
            None,
            "it has no dates"
        );
    }

    #[test]
    fn dates_of_all_three_forms_are_read_against_the_answers_date() {
        for value in [
            "Sun, 06 Nov 1994 08:50:07 GMT",
            "Sunday, 06-Nov-94 08:50:07 GMT",
            "Sun Nov  6 08:50:07 1994",
        ] {
            for date in [
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "Sunday, 06-Nov-94 08:49:37 GMT",
                "Sun Nov  6 08:49:37 1994",
            ] {
                assert_eq!(
                    read(&[("retry-after", value), ("date", date)]),
                    ms(30_000),
                    "{value} at {date}"
                );
            }
        }
    }

    #[test]
    fn dates_are_read_against_the_wall_clock_where_the_answer_has_no_valid_date() {
        let value = "Sat, 21 Nov 2026 04:16:17 GMT";
        assert_eq!(after(value), ms(10_000));
        assert_eq!(
            read(&[("retry-after", value), ("date", "yesterday")]),
            ms(10_000)
        );
    }

    #[test]
    fn zero_and_past_leave_the_wait_to_the_backoff() {
        for value in [
            "0",
            "0.0",
            "000",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sat, 21 Nov 2026 04:16:07 GMT",
        ] {
            assert_eq!(after(value), None, "{value}");
        }
        assert_eq!(after("Tue, 30 Feb 2027 00:00:00 GMT"), None, "no such day");
    }

    #[test]
    fn the_first_of_repeated_values_counts() {
        assert_eq!(
            read(&[("retry-after", "1"), ("retry-after", "2")]),
            ms(1000)
        );
        assert_eq!(read(&[("retry-after", "x"), ("retry-after", "2")]), None);
        assert_eq!(
            read(&[("retry-after-ms", "5"), ("retry-after-ms", "6")]),
            ms(5)
        );
    }

    #[test]
    fn a_grpc_pushback_delays_or_forbids() {
        let read = |value| pushback(&headers(&[("grpc-retry-pushback-ms", value)]));
        assert_eq!(pushback(&HeaderMap::new()), None);
        assert_eq!(
            read("250"),
            Some(Pushback::After(Duration::from_millis(250)))
        );
        assert_eq!(read("0"), Some(Pushback::After(Duration::ZERO)));
        for value in ["-1", "", "soon", "1.5", "+1", "\u{661}"] {
            assert_eq!(read(value), Some(Pushback::Never), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_value_panics_or_gives_zero(
            bytes in proptest::collection::vec(prop_oneof![Just(b' '), Just(b'.'), b'0'..=b'9', 32_u8..127, 128_u8..], 0..60),
            ms in proptest::bool::ANY,
        ) {
            let mut map = HeaderMap::new();
            let name = if ms { "retry-after-ms" } else { "retry-after" };
            map.append(name, HeaderValue::from_bytes(&bytes).expect("visible"));
            let once = hint(&map, wall());
            prop_assert_eq!(once, hint(&map, wall()), "reading again changes nothing");
            prop_assert!(once.is_none_or(|hint| !hint.is_zero()));
        }

        #[test]
        fn no_date_panics(
            name in "(Sun|Sunday|Mon)", day in "[ 0-9]{1,2}", month in "(Jan|Feb|Nov|nov)", year in "[0-9]{2,4}",
            time in "[0-2][0-9]:[0-6][0-9]:[0-6][0-9]", form in 0..3, wall_ms in proptest::num::i64::ANY,
        ) {
            let text = match form {
                0 => format!("{name}, {day} {month} {year} {time} GMT"),
                1 => format!("{name}, {day}-{month}-{year} {time} GMT"),
                _ => format!("{name} {month} {day} {time} {year}"),
            };
            let offset = Duration::from_millis(wall_ms.unsigned_abs() / 1000);
            let wall = if wall_ms < 0 { SystemTime::UNIX_EPOCH - offset } else { SystemTime::UNIX_EPOCH + offset };
            let map = headers(&[("retry-after", &text)]);
            prop_assert!(hint(&map, wall).is_none_or(|hint| !hint.is_zero()));
        }

        #[test]
        fn a_hint_written_in_seconds_is_read_back(nanos in 1_u64..1_000_000_000_000_000_000) {
            let hint = Duration::from_nanos(nanos);
            let text = format!("{}.{:09}", hint.as_secs(), hint.subsec_nanos());
            prop_assert_eq!(after(&text), Some(hint));
        }
    }
}
