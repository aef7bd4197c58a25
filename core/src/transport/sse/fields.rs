//! Types, ids, reconnection times, encodings, vendors' streams and limits: more rows of [`super::vectors`].

use super::SseParser;
use super::vectors::{Seen, at_every_split, check, messages};
use crate::error::ErrorKind;

#[test]
fn an_event_has_the_type_its_own_block_names() {
    check(
        "WPT format-field-event",
        b"event:test\ndata:x\n\ndata:x\n\n",
        &[("test", "x", None), ("message", "x", None)],
        None,
        None,
    );
    check(
        "WPT format-field-event-empty",
        b"event: \ndata:data\n\n",
        &[("message", "data", None)],
        None,
        None,
    );
    check(
        "the last one counts",
        b"event:a\nevent:b\ndata\n\n",
        &[("b", "", None)],
        None,
        None,
    );
    check(
        "an empty one resets",
        b"event:a\nevent\ndata\n\n",
        &[("message", "", None)],
        None,
        None,
    );
    check(
        "a block without data forgets its type",
        b"event:a\n\ndata:x\n\n",
        &[("message", "x", None)],
        None,
        None,
    );
    check(
        "after the data too",
        b"data:x\nevent: ping \n\n",
        &[("ping ", "x", None)],
        None,
        None,
    );
}

#[test]
fn an_id_lasts_until_the_next_one() {
    check(
        "it lasts",
        b"id:1\ndata:a\n\ndata:b\n\nid:2\ndata:c\n\n",
        &[
            ("message", "a", Some("1")),
            ("message", "b", Some("1")),
            ("message", "c", Some("2")),
        ],
        Some("2"),
        None,
    );
    check(
        "a block without data sets it",
        b"id:7\n\n",
        &[],
        Some("7"),
        None,
    );
    check(
        "WPT format-field-id-2: an empty one resets",
        b"id:1\ndata:a\n\nid\ndata:b\n\n",
        &[("message", "a", Some("1")), ("message", "b", None)],
        None,
        None,
    );
    check(
        "WPT format-field-id-null: one with NUL is ignored",
        b"id:1\ndata:a\n\nid:2\0\ndata:b\n\n",
        &[("message", "a", Some("1")), ("message", "b", Some("1"))],
        Some("1"),
        None,
    );
    check(
        "one with NUL leaves the one before it in the block",
        b"id:1\nid:\0\ndata:a\n\n",
        &[("message", "a", Some("1"))],
        Some("1"),
        None,
    );
    check(
        "the last one of a block counts",
        "id:1\nid: ü 2\ndata:a\n\n".as_bytes(),
        &[("message", "a", Some("ü 2"))],
        Some("ü 2"),
        None,
    );
}

#[test]
fn a_reconnection_time_is_ascii_digits() {
    check(
        "WPT format-field-retry",
        b"retry:03000\ndata:x\n\n",
        &[("message", "x", None)],
        None,
        Some(3000),
    );
    check("it counts at once", b"retry: 5\n", &[], None, Some(5));
    for bogus in [
        "retry:3000x",
        "retry: -1",
        "retry:+1",
        "retry:1.5",
        "retry:1e3",
        "retry:",
        "retry",
        "retry:  1",
        "retry:\u{663}",
        "retry:0x1",
    ] {
        check(
            "WPT format-field-retry-bogus",
            format!("retry:8\n{bogus}\n").as_bytes(),
            &[],
            None,
            Some(8),
        );
    }
    check(
        "it saturates",
        b"retry:99999999999999999999999\n",
        &[],
        None,
        Some(u64::MAX),
    );
}

#[test]
fn bytes_that_are_not_utf8_become_replacement_characters() {
    messages("WPT format-utf-8", "data:ok…\n\n", &["ok…"]);
    messages("every width", "data:aéह😀\n\n", &["aéह😀"]);
    messages(
        "a lone continuation byte",
        b"data:a\x80b\n\n",
        &["a\u{fffd}b"],
    );
    messages(
        "bytes no sequence has",
        b"data:\xFF\xC0\xAF\n\n",
        &["\u{fffd}\u{fffd}\u{fffd}"],
    );
    messages(
        "a maximal cut sequence is one",
        b"data:\xF0\x9F\x98a\n\n",
        &["\u{fffd}a"],
    );
    messages(
        "a surrogate is three",
        b"data:\xED\xA0\x80\n\n",
        &["\u{fffd}\u{fffd}\u{fffd}"],
    );
    messages(
        "a line end inside a sequence",
        b"data:\xE2\x80\ndata:\xA6\n\n",
        &["\u{fffd}\n\u{fffd}"],
    );
    messages(
        "a sequence cut by a CR",
        b"data:\xE2\x80\r\r",
        &["\u{fffd}"],
    );
    messages("in a name", b"da\xC3ta:x\ndata:y\n\n", &["y"]);
    check(
        "in a type and an id",
        b"event:\xFFe\nid:\xFEi\ndata:x\n\n",
        &[("\u{fffd}e", "x", Some("\u{fffd}i"))],
        Some("\u{fffd}i"),
        None,
    );
}

#[test]
fn the_parsing_order_of_the_standard_is_kept() {
    // WPT format-field-parsing: names need their exact spelling, values lose one space, NUL is data.
    messages(
        "WPT format-field-parsing",
        "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
        &["\0\n 2\n1\n3\n\n4"],
    );
}

#[test]
fn the_vendors_streams_are_read() {
    messages(
        "OpenAI chat",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n: OPENROUTER PROCESSING\n\ndata: [DONE]\n\n",
        &["{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}", "[DONE]"],
    );
    check(
        "Anthropic",
        b"event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: message_stop\ndata: {}\n\n",
        &[("message_start", "{\"type\":\"message_start\"}", None), ("ping", "{\"type\": \"ping\"}", None), ("message_stop", "{}", None)],
        None,
        None,
    );
    check(
        "a numbered stream",
        b"id: 1\nevent: delta\ndata: {}\n\nid: 2\nevent: delta\ndata: {}\n\n",
        &[("delta", "{}", Some("1")), ("delta", "{}", Some("2"))],
        Some("2"),
        None,
    );
}

#[test]
fn an_event_at_the_limit_arrives_and_one_byte_more_fails_at_every_split() {
    // "data: " and ten bytes are sixteen.
    let at = Seen {
        events: vec![("message".into(), "0123456789".into(), None)],
        ..Seen::default()
    };
    at_every_split("at the limit", 16, b"data: 0123456789\n\n", &at);
    let after = Seen {
        failed: Some(ErrorKind::ResponseTooLarge),
        ..at.clone()
    };
    at_every_split(
        "above it",
        16,
        b"data: 0123456789\n\ndata: 0123456789a\n\ndata:b\n\n",
        &after,
    );
    at_every_split(
        "above it without an end",
        16,
        b"data: 0123456789\n\ndata: 0123456789a",
        &after,
    );
    at_every_split(
        "summed over lines",
        16,
        b"data: 0123456789\n\ndata:123\nevent:1\nid:1\n\n",
        &after,
    );
    at_every_split(
        "comments do not count",
        16,
        b":0123456789012345678901234567890\ndata: 0123456789\n\n",
        &at,
    );
    at_every_split(
        "nor unknown fields",
        16,
        b"dates: 0123456789012345678901234567890\ndata: 0123456789\n\n",
        &at,
    );
    let fail = Seen {
        failed: Some(ErrorKind::ResponseTooLarge),
        ..Seen::default()
    };
    at_every_split(
        "replacement characters count",
        16,
        b"data:\xFF\xFF\xFF\xFF\xFF\xFF\n\n",
        &fail,
    );
    at_every_split("a limit below any name", 3, b"da\ndata\n\n", &fail);
    at_every_split("no room at all", 0, b"x:1\n\ndata:\n\n", &fail);
}

#[test]
fn a_failed_parser_stays_failed() {
    let mut parser = SseParser::new(16);
    let first = parser
        .feed(b"data: 0123456789abc", |_| Ok(()))
        .expect_err("too large");
    assert_eq!(first.kind(), ErrorKind::ResponseTooLarge);
    assert!(
        !first.to_string().contains("0123"),
        "the payload is not in the message"
    );
    let again = parser.feed(b"\n\ndata: a\n\n", |_| panic!("no event after a failure"));
    assert_eq!(
        again.expect_err("still failed").kind(),
        ErrorKind::ResponseTooLarge
    );

    let mut parser = SseParser::default();
    let stop = || crate::Error::new(ErrorKind::Cancelled, "enough");
    let mut count = 0;
    let outcome = parser.feed(b"data:a\n\ndata:b\n\n", |_| {
        count += 1;
        Err(stop())
    });
    assert_eq!(
        outcome.expect_err("the callback's").kind(),
        ErrorKind::Cancelled
    );
    assert_eq!(
        parser
            .feed(b"data:c\n\n", |_| Ok(()))
            .expect_err("kept")
            .kind(),
        ErrorKind::Cancelled
    );
    assert_eq!(count, 1, "nothing follows a refused event");
}

#[test]
fn data_inside_one_chunk_is_not_copied() {
    let chunk = b": hello\nevent: e\ndata: 12345\nid: 4\n\n".as_slice();
    let mut parser = SseParser::default();
    let mut where_it_lies = None;
    parser
        .feed(chunk, |event| {
            where_it_lies = Some(event.data.as_ptr());
            Ok(())
        })
        .expect("a good stream");
    assert_eq!(where_it_lies, Some(chunk[chunk.len() - 13..].as_ptr()));
}
