//! However a stream is cut, its events and its end are the same, and none is above the limit.

use ossai::transport::sse::SseParser;

const LIMIT: usize = 256;
/// Up to this length a stream is cut at every place.
const SHORT: usize = 192;

#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<(String, String, Option<String>)>,
    last_id: Option<String>,
    failed: bool,
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut parser = SseParser::new(LIMIT);
    let mut seen = Seen::default();
    for piece in pieces {
        let outcome = parser.feed(piece, |event| {
            assert!(event.data.len() <= LIMIT);
            let id = event.id.map(Into::into);
            seen.events
                .push((event.event.into(), event.data.into(), id));
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

pub fn stream(input: &[u8]) {
    let Some((size, stream)) = super::choose(input, 255) else {
        return;
    };
    let whole = read([stream]);
    assert_eq!(whole, read(stream.chunks(1)));
    assert_eq!(whole, read(stream.chunks(size + 1)));
    if stream.len() <= SHORT {
        for at in 0..=stream.len() {
            let (start, end) = stream.split_at(at);
            assert_eq!(whole, read([start, end]), "cut at {at}");
        }
    }
}
