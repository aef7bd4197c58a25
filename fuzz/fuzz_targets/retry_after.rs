//! No header makes the reader of hints panic, and no hint is zero.
#![no_main]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &[u8], &[u8], &[u8])| {
    let (now, after_ms, after, date) = input;
    let mut headers = HeaderMap::new();
    for (name, bytes) in [("retry-after-ms", after_ms), ("retry-after", after), ("date", date)] {
        if let Ok(value) = HeaderValue::from_bytes(bytes) {
            headers.append(name, value);
        }
    }
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(now.into());
    assert!(ossai::retry::hint(&headers, wall).is_none_or(|hint| !hint.is_zero()));
});
