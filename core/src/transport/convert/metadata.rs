//! What travels beside the messages: the time left and the protocol's version.

use std::time::Duration;

use ossai_proto::{PROTOCOL_KEY, PROTOCOL_VERSION};
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::error::{Error, ErrorKind};

const TIMEOUT_KEY: &str = "grpc-timeout";

/// The units of `grpc-timeout` with their length in nanoseconds, finest first.
const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60_000_000_000),
    ('H', 3_600_000_000_000),
];

/// The value of `grpc-timeout` for this time: the finest unit that needs at most 8 digits, rounded up, so that the
/// server never gives up first. Longer than 99,999,999 hours becomes that.
#[must_use]
pub fn timeout_value(time: Duration) -> String {
    let nanos = time.as_nanos();
    for (letter, unit) in UNITS {
        let count = nanos.div_ceil(unit);
        if count <= 99_999_999 {
            return format!("{count}{letter}");
        }
    }
    "99999999H".into()
}

/// The time the caller still gives, from `grpc-timeout`.
///
/// # Errors
/// `invalid_request` for `grpc-timeout` when it is not 1 to 8 digits and a unit.
pub fn time_left(metadata: &MetadataMap) -> Result<Option<Duration>, Error> {
    let Some(value) = metadata.get(TIMEOUT_KEY) else {
        return Ok(None);
    };
    let read = || {
        let (digits, letter) = value
            .to_str()
            .ok()?
            .split_at_checked(value.len().checked_sub(1)?)?;
        let (_, unit) = UNITS.into_iter().find(|(l, _)| letter.chars().eq([*l]))?;
        let count = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let nanos = digits.parse::<u128>().ok().filter(|_| count)? * unit;
        let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
        let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
        Some(Duration::new(seconds, rest))
    };
    let expected = "expected 1 to 8 digits and one of H, M, S, m, u, n";
    read()
        .map(Some)
        .ok_or_else(|| Error::invalid(TIMEOUT_KEY, expected))
}

/// Names the protocol version we speak.
pub fn stamp_protocol(metadata: &mut MetadataMap) {
    metadata.insert(PROTOCOL_KEY, MetadataValue::from(PROTOCOL_VERSION));
}

/// Checks the version the peer speaks; one that names none speaks version 1.
///
/// # Errors
/// `version_incompatible`.
pub fn check_protocol(metadata: &MetadataMap) -> Result<(), Error> {
    let theirs = metadata
        .get(PROTOCOL_KEY)
        .map_or("1", |value| value.to_str().unwrap_or("?"));
    if theirs == PROTOCOL_VERSION.to_string() {
        return Ok(());
    }
    // Ours is not their text to repeat in full.
    let theirs: String = theirs.chars().take(16).collect();
    Err(Error::new(
        ErrorKind::VersionIncompatible,
        format!("the peer speaks protocol version {theirs}, this side {PROTOCOL_VERSION}"),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn metadata(key: &'static str, value: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(key, value.parse().unwrap());
        metadata
    }

    #[test]
    fn the_time_left_is_rounded_up_to_eight_digits() {
        for (time, value) in [
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_001), "100001u"),
            (Duration::from_secs(99), "99000000u"),
            (Duration::from_nanos(100_000_000_001), "100001m"),
            (Duration::from_secs(600), "600000m"),
            (Duration::from_secs(100_001), "100001S"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(timeout_value(time), value);
        }
    }

    #[test]
    fn the_time_left_reads_back_never_shorter() {
        for nanos in [0, 1, 99_999_999, 100_000_001, 5_000_000_000, u64::MAX] {
            let time = Duration::from_nanos(nanos);
            let left = time_left(&metadata(TIMEOUT_KEY, &timeout_value(time)))
                .unwrap()
                .unwrap();
            assert!(left >= time && left.as_nanos() <= time.as_nanos() + time.as_nanos() / 1000);
        }
        assert_eq!(time_left(&MetadataMap::new()).unwrap(), None);
    }

    #[test]
    fn a_malformed_timeout_is_refused_by_name() {
        for value in [
            "",
            "S",
            "1",
            "1s",
            "123456789S",
            "-1S",
            "+1S",
            "1.5S",
            "1 S",
        ] {
            let error = time_left(&metadata(TIMEOUT_KEY, value)).unwrap_err();
            assert_eq!(
                error.fields().field.as_deref(),
                Some("grpc-timeout"),
                "{value:?}"
            );
        }
    }

    #[test]
    fn another_protocol_version_is_incompatible_and_none_is_the_first() {
        assert!(check_protocol(&MetadataMap::new()).is_ok());
        let mut ours = MetadataMap::new();
        stamp_protocol(&mut ours);
        assert!(check_protocol(&ours).is_ok());
        for theirs in ["0", "2", "01", "", "x"] {
            let error = check_protocol(&metadata(PROTOCOL_KEY, theirs)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::VersionIncompatible);
        }
    }
}
