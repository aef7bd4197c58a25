//! How long a call may take, and how much of that is left.
//!
//! All of it is kept on the monotonic clock of [`super::Clock`]; only durations travel, never moments.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::types::CallOptions;

/// Longer times count as this one: about a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);

/// The time limits of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The whole call: queueing, look-ups, attempts and the waits between them; of a stream up to its first event. 600 s.
    pub total: Duration,
    /// Each attempt; no limit of its own by default.
    pub attempt: Option<Duration>,
    /// Connecting, from the look-up of the name to the end of the TLS handshake: 5 s.
    pub connect: Duration,
    /// From sending an attempt to its response headers; no limit of its own by default.
    pub first_byte: Option<Duration>,
    /// Silence within a body: 20 s. Any byte is life, comments too; a slow consumer is not silence.
    pub stream_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(600),
            attempt: None,
            connect: Duration::from_secs(5),
            first_byte: None,
            stream_idle: Duration::from_secs(20),
        }
    }
}

impl Timeouts {
    /// These limits with those the call names in their place. Zero ends the call at once.
    #[must_use]
    pub fn for_call(&self, options: &CallOptions) -> Self {
        let named = |ms: Option<u64>| ms.map(Duration::from_millis);
        Self {
            total: named(options.timeout_ms).unwrap_or(self.total),
            attempt: named(options.attempt_timeout_ms).or(self.attempt),
            connect: self.connect,
            first_byte: named(options.first_byte_timeout_ms).or(self.first_byte),
            stream_idle: named(options.stream_idle_timeout_ms).unwrap_or(self.stream_idle),
        }
    }
}

/// The moment a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Duration);

/// What is left for one step, and whose limit ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLeft {
    /// Zero when it is over.
    pub left: Duration,
    /// `attempt` or `total`, for [`Error::timeout`].
    pub scope: &'static str,
}

impl Deadline {
    /// `total` after `now`; above about a hundred years it saturates.
    #[must_use]
    pub fn after(now: Duration, total: Duration) -> Self {
        Self(now.saturating_add(total.min(LONGEST)))
    }

    /// The time left; zero when it is over.
    #[must_use]
    pub fn left(self, now: Duration) -> Duration {
        self.0.saturating_sub(now)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(self, now: Duration) -> bool {
        self.left(now).is_zero()
    }

    /// What is left for a step of an attempt that began at `began` and has `limit` of its own. Where both limits end
    /// together it is the call's, which is not tried again.
    #[must_use]
    pub fn left_for(self, limit: Option<Duration>, began: Duration, now: Duration) -> TimeLeft {
        let total = self.left(now);
        let own = limit.map(|limit| Self::after(began, limit).left(now));
        match own.filter(|own| *own < total) {
            Some(left) => TimeLeft {
                left,
                scope: "attempt",
            },
            None => TimeLeft {
                left: total,
                scope: "total",
            },
        }
    }
}

const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60_000_000_000),
    ('H', 3_600_000_000_000),
];
const MOST: u128 = 99_999_999;

/// Writes the `grpc-timeout` header (gRPC over HTTP/2, "Timeout"): at most eight digits in the finest unit that holds
/// them, rounded up, so that the server never ends a call before its client.
#[must_use]
pub fn encode_grpc_timeout(left: Duration) -> String {
    let nanos = left.as_nanos();
    for (unit, size) in UNITS {
        let count = nanos.div_ceil(size);
        if count <= MOST {
            return format!("{count}{unit}");
        }
    }
    format!("{MOST}H")
}

/// Reads the `grpc-timeout` header: one to eight ASCII digits and a unit out of `HMSmun`.
///
/// # Errors
/// `invalid_request` for anything else.
pub fn parse_grpc_timeout(text: &str) -> Result<Duration> {
    let invalid = || {
        Error::invalid(
            "grpc-timeout",
            "expected one to eight digits and a unit out of H, M, S, m, u, n",
        )
    };
    let unit = text.chars().next_back().ok_or_else(invalid)?;
    let (_, size) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(invalid)?;
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let count: u128 = digits.parse().map_err(|_| invalid())?;
    let nanos = count * size;
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    Ok(Duration::new(
        seconds,
        u32::try_from(nanos).unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_limits_are_the_published_ones_unless_named() {
        let timeouts = Timeouts::default();
        assert_eq!(
            (timeouts.total, timeouts.connect, timeouts.stream_idle),
            (s(600), s(5), s(20))
        );
        assert_eq!((timeouts.attempt, timeouts.first_byte), (None, None));
        assert_eq!(timeouts.for_call(&CallOptions::default()), timeouts);
        let named = timeouts.for_call(&CallOptions {
            timeout_ms: Some(1000),
            attempt_timeout_ms: Some(2000),
            first_byte_timeout_ms: Some(3000),
            stream_idle_timeout_ms: Some(4000),
            ..CallOptions::default()
        });
        let expected = Timeouts {
            total: s(1),
            attempt: Some(s(2)),
            connect: s(5),
            first_byte: Some(s(3)),
            stream_idle: s(4),
        };
        assert_eq!(named, expected);
    }

    #[test]
    fn a_call_without_time_is_over_at_once() {
        let now = s(7);
        assert!(Deadline::after(now, Duration::ZERO).is_over(now));
        assert!(!Deadline::after(now, Duration::from_nanos(1)).is_over(now));
    }

    #[test]
    fn what_is_left_shrinks_to_zero_and_stays_there() {
        let deadline = Deadline::after(s(10), s(5));
        assert_eq!(
            [10, 12, 15, 99].map(|now| deadline.left(s(now))),
            [s(5), s(3), s(0), s(0)]
        );
    }

    #[test]
    fn times_above_a_hundred_years_saturate() {
        let endless = Deadline::after(s(1), Duration::MAX);
        assert_eq!(endless.left(s(1)), LONGEST);
        assert_eq!(
            Deadline::after(Duration::MAX, Duration::MAX).left(Duration::ZERO),
            Duration::MAX
        );
        assert_eq!(
            encode_grpc_timeout(endless.left(s(1))),
            "52596000M",
            "and still travel"
        );
    }

    #[test]
    fn the_shorter_limit_ends_a_step_and_says_whose_it_is() {
        let deadline = Deadline::after(s(0), s(10));
        let left = |limit, began, now| {
            let left = deadline.left_for(limit, s(began), s(now));
            (left.left.as_secs(), left.scope)
        };
        assert_eq!(left(None, 0, 4), (6, "total"));
        assert_eq!(left(Some(s(5)), 0, 4), (1, "attempt"));
        assert_eq!(left(Some(s(5)), 8, 8), (2, "total"));
        assert_eq!(left(Some(s(0)), 4, 4), (0, "attempt"));
        assert_eq!(left(Some(s(5)), 5, 10), (0, "total"), "both end together");
        assert_eq!(left(Some(Duration::MAX), 5, 5), (5, "total"));
    }

    #[test]
    fn grpc_timeouts_take_the_finest_unit_of_eight_digits_and_round_up() {
        for (nanos, expected) in [
            (0, "0n"),
            (1, "1n"),
            (99_999_999, "99999999n"),
            (100_000_000, "100000u"),
            (100_000_001, "100001u"),
            (99_999_999_000, "99999999u"),
            (99_999_999_001, "100000m"),
            (600_000_000_000, "600000m"),
            (99_999_999_000_000, "99999999m"),
            (99_999_999_000_001, "100000S"),
        ] {
            assert_eq!(
                encode_grpc_timeout(Duration::from_nanos(nanos)),
                expected,
                "{nanos}"
            );
        }
        assert_eq!(encode_grpc_timeout(s(100_000_000)), "1666667M");
        assert_eq!(encode_grpc_timeout(s(6_000_000_000)), "1666667H");
        assert_eq!(encode_grpc_timeout(Duration::MAX), "99999999H");
    }

    #[test]
    fn grpc_timeouts_are_read_in_every_unit() {
        for (text, expected) in [
            ("1H", s(3600)),
            ("2M", s(120)),
            ("3S", s(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("0S", s(0)),
            ("00000001S", s(1)),
            ("99999999H", s(99_999_999 * 3600)),
        ] {
            assert_eq!(parse_grpc_timeout(text).ok(), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_as_a_grpc_timeout_is_a_typed_error() {
        for text in [
            "",
            "S",
            "1",
            "1s",
            "1h",
            "-1S",
            "+1S",
            " 1S",
            "1S ",
            "1 S",
            "1.5S",
            "000000001S",
            "123456789n",
            "1é",
            "é",
            "\u{661}S",
            "1SS",
        ] {
            let error = parse_grpc_timeout(text).expect_err(text);
            assert_eq!(error.fields().field.as_deref(), Some("grpc-timeout"));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_never_shorter_and_hardly_longer(seconds in 0_u64..300_000_000_000, nanos in 0_u32..1_000_000_000) {
            let left = Duration::new(seconds, nanos);
            let text = encode_grpc_timeout(left);
            prop_assert!(text.len() <= 9);
            let read = parse_grpc_timeout(&text).expect("our own");
            prop_assert!(read >= left);
            // The next finer unit would have had nine digits; the widest step between units is a thousand.
            prop_assert!((read - left).as_nanos() * 100_000 <= left.as_nanos(), "{left:?} {text}");
        }

        #[test]
        fn no_text_panics(text in ".{0,12}") {
            let _ = parse_grpc_timeout(&text);
        }
    }
}
