//! However a stream is cut, its events and its end are the same, and none is above the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ossai::transport::sse::SseParser;

const LIMIT: usize = 256;

#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<(String, String, Option<String>)>,
    last_id: Option<String>,
    failed: bool,
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut parser = SseParser::new(LIMIT);
    let mut seen = Seen::default();
    for piece in pieces {
        let outcome = parser.feed(piece, |event| {
            assert!(event.data.len() <= LIMIT);
            let id = event.id.map(Into::into);
            seen.events.push((event.event.into(), event.data.into(), id));
            Ok(())
        });
        seen.failed = outcome.is_err();
        if seen.failed {
            break;
        }
    }
    seen.last_id = parser.last_event_id().map(Into::into);
    seen
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, stream) = input;
    let whole = read(std::iter::once(stream));
    assert_eq!(whole, read(stream.chunks(1)));
    assert_eq!(whole, read(stream.chunks(usize::from(size).max(1))));
});
