//! What vendors say of their limits beside an answer.
//!
//! `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` with the reset as a duration (`6ms`, `1m2s`), and
//! `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` with it as an RFC 3339 time.
//! What cannot be read is left out; so is a limit without a reset (Azure sends `-1` and `0` without one).

use std::time::{Duration, SystemTime};

use http::header::HeaderMap;

use super::DIMENSIONS;
use super::bucket::Window;
use crate::cost::Date;

/// Names of one limit's three headers.
struct Names {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
}

macro_rules! openai {
    ($what:literal) => {
        Names {
            limit: concat!("x-ratelimit-limit-", $what),
            remaining: concat!("x-ratelimit-remaining-", $what),
            reset: concat!("x-ratelimit-reset-", $what),
        }
    };
}
macro_rules! anthropic {
    ($what:literal) => {
        Names {
            limit: concat!("anthropic-ratelimit-", $what, "-limit"),
            remaining: concat!("anthropic-ratelimit-", $what, "-remaining"),
            reset: concat!("anthropic-ratelimit-", $what, "-reset"),
        }
    };
}

const OPENAI: [Names; 2] = [openai!("requests"), openai!("tokens")];
const ANTHROPIC: [Names; DIMENSIONS] = [
    anthropic!("requests"),
    anthropic!("tokens"),
    anthropic!("input-tokens"),
    anthropic!("output-tokens"),
];

/// The limits an answer speaks of, by dimension; `None` when it speaks of none.
pub(crate) fn read(headers: &HeaderMap, wall: SystemTime) -> Option<[Option<Window>; DIMENSIONS]> {
    // Most answers of most servers speak of none.
    if !headers
        .keys()
        .any(|name| name.as_str().contains("ratelimit-"))
    {
        return None;
    }
    let names: &[Names] = if OPENAI.iter().any(|n| headers.contains_key(n.remaining)) {
        &OPENAI
    } else if ANTHROPIC.iter().any(|n| headers.contains_key(n.remaining)) {
        &ANTHROPIC
    } else {
        return None;
    };
    let mut windows = [None; DIMENSIONS];
    for (window, names) in windows.iter_mut().zip(names) {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name: &str| whole(text(name)?);
        *window = number(names.remaining)
            .zip(text(names.reset).and_then(|reset| until(reset, headers, wall)))
            .map(|(remaining, reset)| Window {
                limit: number(names.limit),
                remaining,
                reset,
            });
    }
    windows.iter().any(Option::is_some).then_some(windows)
}

fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// The time until a reset; longer ones than a day are no pacing but a quota.
fn until(text: &str, headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    let wait = duration(text).or_else(|| {
        let then = rfc3339(text)?;
        // By the server's own clock where it shows it.
        let now = headers
            .get("date")
            .and_then(|date| date.to_str().ok())
            .and_then(|date| crate::retry::http_date(date, wall))
            .map_or_else(|| unix(wall), |seconds| seconds as f64);
        Duration::try_from_secs_f64((then - now).max(0.0)).ok()
    })?;
    (wait <= Duration::from_secs(86_400)).then_some(wait)
}

fn unix(wall: SystemTime) -> f64 {
    wall.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

/// `6ms`, `1m2s`, `1h`, `7.66s`, `2m59.56s`; a bare number is seconds.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 5] = [
        ("ms", 1e-3),
        ("h", 3600.0),
        ("m", 60.0),
        ("s", 1.0),
        ("d", 86_400.0),
    ];
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if !number.starts_with(|c: char| c.is_ascii_digit()) || number.len() > 12 {
            return None;
        }
        let number: f64 = number.parse().ok()?;
        let (length, unit) = if after.is_empty() && end == text.len() {
            (0, 1.0)
        } else {
            let (unit, factor) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
            (unit.len(), *factor)
        };
        seconds += number * unit;
        rest = after.get(length..)?;
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

/// `2026-11-20T10:00:00Z`, with or without a fraction, or with an offset (RFC 3339); seconds since 1970.
fn rfc3339(text: &str) -> Option<f64> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let day = Date::parse(date)?.start();
    let (time, offset) = match rest.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let at = rest.rfind(['+', '-'])?;
            let (time, offset) = rest.split_at(at);
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let seconds = two(hours, 23)? * 3600 + two(minutes, 59)? * 60;
            (
                time,
                if offset.starts_with('-') {
                    -seconds
                } else {
                    seconds
                },
            )
        }
    };
    let (whole_part, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = whole_part.split(':');
    let (h, m, s) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || fraction.is_empty() || fraction.len() > 12 {
        return None;
    }
    whole(fraction)?;
    let seconds = two(h, 23)? * 3600 + two(m, 59)? * 60 + two(s, 60)?;
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    Some((day + seconds - offset) as f64 + fraction)
}

fn two(text: &str, most: i64) -> Option<i64> {
    let number = i64::try_from(whole(text)?).ok()?;
    (text.len() == 2 && number <= most).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn resets_are_durations_as_openai_and_groq_write_them() {
        for (text, millis) in [
            ("6ms", Some(6)),
            ("1m2s", Some(62_000)),
            ("1h0m0s", Some(3_600_000)),
            ("7.66s", Some(7_660)),
            ("2m59.56s", Some(179_560)),
            ("0s", Some(0)),
            ("12", Some(12_000)),
            ("", None),
            ("-1s", None),
            ("s", None),
            ("1m2", None),
            ("1y", None),
            ("1e3s", None),
            (".5s", None),
        ] {
            let found = duration(text).map(|d| d.as_millis());
            assert_eq!(found, millis, "{text:?}");
        }
    }

    #[test]
    fn resets_are_rfc_3339_times_as_anthropic_writes_them_read_by_the_servers_clock() {
        let found = read(
            &headers(&[
                ("date", "Fri, 20 Nov 2026 10:00:00 GMT"),
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2026-11-20T10:00:30Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "1000"),
                (
                    "anthropic-ratelimit-input-tokens-reset",
                    "2026-11-20T12:00:01.5+02:00",
                ),
                ("anthropic-ratelimit-output-tokens-remaining", "5"),
                ("anthropic-ratelimit-output-tokens-reset", "tomorrow"),
            ]),
            SystemTime::UNIX_EPOCH,
        )
        .unwrap();
        assert_eq!(
            found,
            [
                Some(Window {
                    limit: Some(50),
                    remaining: 0,
                    reset: Duration::from_secs(30)
                }),
                None,
                Some(Window {
                    limit: None,
                    remaining: 1000,
                    reset: Duration::from_millis(1500)
                }),
                None,
            ]
        );
    }

    #[test]
    fn a_limit_without_a_reset_or_below_zero_is_left_out_as_azure_sends_them() {
        for pairs in [
            &[("x-ratelimit-remaining-requests", "0")][..],
            &[
                ("x-ratelimit-remaining-requests", "-1"),
                ("x-ratelimit-reset-requests", "1s"),
            ],
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "100000000"),
            ],
            &[("retry-after", "3")],
        ] {
            assert_eq!(read(&headers(pairs), SystemTime::now()), None, "{pairs:?}");
        }
    }
}
