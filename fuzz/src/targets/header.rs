//! Headers of vendors and of whoever stands between.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Four bytes of time, then `name: value` lines.
fn read(input: &[u8]) -> Option<(SystemTime, HeaderMap)> {
    let (now, lines) = input.split_first_chunk::<4>()?;
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(u32::from_be_bytes(*now).into());
    let mut headers = HeaderMap::new();
    for line in lines.split(|b| *b == b'\n').take(32) {
        let at = line.iter().position(|b| *b == b':')?;
        let (name, value) = (HeaderName::from_bytes(&line[..at]), &line[at + 1..]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    Some((wall, headers))
}

/// No header makes the readers of hints panic, and no hint is zero.
pub fn hint(input: &[u8]) {
    let Some((wall, headers)) = read(input) else {
        return;
    };
    assert!(ossai::retry::hint(&headers, wall).is_none_or(|hint| !hint.is_zero()));
    let _ = ossai::retry::pushback(&headers);
}

/// What is said of limits is read or passed over.
pub fn limits(input: &[u8]) {
    if let Some((wall, headers)) = read(input) {
        ossai::fuzzing::limits(&headers, wall);
    }
}
