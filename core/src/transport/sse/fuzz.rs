//! The parser against a reference that reads the whole input at once, on seeded random streams and random cuts; and the
//! proof that its work and its memory are bounded, by counting bytes instead of seconds.

use super::vectors::{Seen, seen};
use super::{KEPT_CAPACITY, SseParser};
use crate::retry::{Random, SeededRandom};

/// The standard's text, word by word, with no thought for speed or chunks.
fn reference(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input).into_owned();
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut data, mut event, mut id) = (String::new(), String::new(), String::new());
    let mut seen = Seen::default();
    let mut last_id = String::new();
    for line in lines {
        if line.is_empty() {
            last_id.clone_from(&id);
            if !data.is_empty() {
                data.pop();
                let name = if event.is_empty() {
                    "message".into()
                } else {
                    event.clone()
                };
                let id = Some(last_id.clone()).filter(|id| !id.is_empty());
                seen.events.push((name, data.clone(), id));
            }
            data.clear();
            event.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => event = value.into(),
            "data" => data = data + value + "\n",
            "id" if !value.contains('\0') => id = value.into(),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                seen.retry_ms = Some(value.parse().unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }
    seen.last_id = Some(last_id).filter(|id| !id.is_empty());
    seen
}

fn below(random: &SeededRandom, end: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let value = (random.next_f64() * end as f64) as usize;
    value
}

fn random_stream(random: &SeededRandom) -> Vec<u8> {
    const WORDS: &[&[u8]] = &[
        b"\n",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"data",
        b"data:",
        b"data: ",
        b"event:",
        b"event",
        b"id:",
        b"id",
        b"retry:",
        b":",
        b" ",
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xBB",
        b"\xF0\x9F\x98\x80",
        b"\xF0\x9F",
        b"\xFF",
        b"\xC3",
        b"\xA9",
        b"1",
        b"23",
        b"x",
        b"da",
        b"ta",
        b"message",
        b"a longer piece of text, as a delta has it",
        b"\ndata: a",
        b"\rdata:b\r\n",
        b"\nevent: e",
        b"\r\nid: 4",
        b"\ndata\n\n",
    ];
    let mut stream = Vec::new();
    for _ in 0..below(random, 40) {
        stream.extend_from_slice(WORDS[below(random, WORDS.len())]);
    }
    stream
}

#[test]
fn random_streams_in_random_pieces_mean_what_the_standard_says() {
    let random = SeededRandom::new(0x055A1);
    let mut events = 0;
    for round in 0..10_000 {
        let stream = random_stream(&random);
        let expected = reference(&stream);
        events += expected.events.len();
        assert_eq!(
            seen(1 << 20, [stream.as_slice()]),
            expected,
            "round {round}: {stream:?}"
        );
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(below(&random, rest.len().min(12) + 1));
            pieces.push(piece);
            rest = tail;
        }
        assert_eq!(
            seen(1 << 20, pieces.iter().copied()),
            expected,
            "round {round}: {pieces:?}"
        );
    }
    assert!(events > 10_000, "the streams have events in them: {events}");
}

/// The parser's work on `input` in pieces of `size`, and its events.
fn work(input: &[u8], size: usize) -> (usize, usize) {
    let mut parser = SseParser::default();
    let mut events = 0;
    for piece in input.chunks(size) {
        let outcome = parser.feed(piece, |_| {
            events += 1;
            Ok(())
        });
        assert!(outcome.is_ok());
    }
    (parser.work, events)
}

#[test]
fn work_is_linear_in_the_bytes_however_they_are_cut() {
    let long_line = [b"data: ".as_slice(), &b"x".repeat(200_000), b"\n\n"].concat();
    let many_lines = [b"data: xxxxxxxx\n".repeat(14_000).as_slice(), b"\n"].concat();
    let many_events = b"event: e\nid: 1\ndata: xxxxxxxx\n\n".repeat(6_000);
    let comment = [b": ".as_slice(), &b"x".repeat(200_000), b"\n\n"].concat();
    for (name, input) in [
        ("line", long_line),
        ("lines", many_lines),
        ("events", many_events),
        ("comment", comment),
    ] {
        for size in [1, 2, 3, 7, 16, 4096, input.len()] {
            let (work, events) = work(&input, size);
            assert!(
                work <= 6 * input.len(),
                "{name} in pieces of {size}: {work} for {}",
                input.len()
            );
            assert!(events > 0 || name == "comment");
        }
    }
}

#[test]
fn nothing_is_kept_of_comments_unknown_fields_and_past_events() {
    let mut parser = SseParser::default();
    let mut feed = |chunk: &[u8]| {
        assert!(parser.feed(chunk, |_| Ok(())).is_ok());
        parser.line.capacity() + parser.data.capacity() + parser.event.capacity()
    };
    for start in [b":".as_slice(), b"unknown:", b"datas", b"d:"] {
        feed(start);
        for _ in 0..1000 {
            assert!(
                feed(&[b'x'; 4096]) <= 64,
                "after {}",
                String::from_utf8_lossy(start)
            );
        }
        feed(b"\n");
    }
    feed(b"data:");
    for _ in 0..1000 {
        feed(&[b'x'; 4096]);
    }
    assert!(feed(b"\n\n") <= KEPT_CAPACITY);
}
