//! What a stream means, as a table after the web-platform-tests for `EventSource` and the wire formats of the vendors;
//! each row is fed whole, byte by byte, at every split in two and, where short, at every split in three.

use super::{SseEvent, SseParser};
use crate::error::ErrorKind;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Type, data and id of each event.
    pub(super) events: Vec<(String, String, Option<String>)>,
    pub(super) last_id: Option<String>,
    pub(super) retry_ms: Option<u64>,
    pub(super) failed: Option<ErrorKind>,
}

/// Feeds the pieces to a fresh parser until it fails.
pub(super) fn seen<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut parser = SseParser::new(limit);
    let mut seen = Seen::default();
    for piece in pieces {
        let outcome = parser.feed(piece, |SseEvent { event, data, id }| {
            seen.events
                .push((event.into(), data.into(), id.map(Into::into)));
            Ok(())
        });
        if let Err(error) = outcome {
            seen.failed = Some(error.kind());
            break;
        }
    }
    seen.last_id = parser.last_event_id().map(Into::into);
    seen.retry_ms = parser
        .retry()
        .map(|retry| retry.as_millis().try_into().unwrap_or(u64::MAX));
    seen
}

/// Checks that every way to cut `input` gives `expected`.
pub(super) fn at_every_split(name: &str, limit: usize, input: &[u8], expected: &Seen) {
    assert_eq!(&seen(limit, [input]), expected, "{name}: whole");
    assert_eq!(
        &seen(limit, input.chunks(1)),
        expected,
        "{name}: byte by byte"
    );
    for first in 0..=input.len() {
        let (a, b) = input.split_at(first);
        assert_eq!(&seen(limit, [a, b]), expected, "{name}: split at {first}");
        assert_eq!(
            &seen(limit, [a, &[], b]),
            expected,
            "{name}: empty chunk at {first}"
        );
        if input.len() <= 100 {
            for second in 0..=b.len() {
                let (b, c) = b.split_at(second);
                let at = first + second;
                assert_eq!(
                    &seen(limit, [a, b, c]),
                    expected,
                    "{name}: split at {first} and {at}"
                );
            }
        }
    }
}

pub(super) type Event = (&'static str, &'static str, Option<&'static str>);

pub(super) fn check(
    name: &str,
    input: &[u8],
    events: &[Event],
    last_id: Option<&str>,
    retry_ms: Option<u64>,
) {
    let expected = Seen {
        events: events
            .iter()
            .map(|(event, data, id)| ((*event).into(), (*data).into(), id.map(Into::into)))
            .collect(),
        last_id: last_id.map(Into::into),
        retry_ms,
        failed: None,
    };
    at_every_split(name, 1 << 20, input, &expected);
}

pub(super) fn messages(name: &str, input: impl AsRef<[u8]>, data: &[&'static str]) {
    let events: Vec<Event> = data.iter().map(|data| ("message", *data, None)).collect();
    check(name, input.as_ref(), &events, None, None);
}

#[test]
fn a_line_ends_with_lf_cr_or_crlf_in_any_mix() {
    messages("LF", "data:a\n\ndata:b\n\n", &["a", "b"]);
    messages("CR", "data:a\r\rdata:b\r\r", &["a", "b"]);
    messages("CRLF", "data:a\r\n\r\ndata:b\r\n\r\n", &["a", "b"]);
    messages(
        "a lone CR at the very end dispatches at once",
        "data:a\n\r",
        &["a"],
    );
    messages("CR then CRLF are two ends", "data:a\r\r\n", &["a"]);
    messages("LF CR is two ends", "data:a\n\rdata:b\n\r", &["a", "b"]);
    messages(
        "LF CR LF is two ends",
        "data:a\n\r\ndata:b\n\r\n",
        &["a", "b"],
    );
    messages(
        "every mix in one block",
        "data:1\rdata:2\r\ndata:3\n\rdata:4\r\r",
        &["1\n2\n3", "4"],
    );
    messages(
        "WPT format-newlines",
        "data:test\r\ndata\ndata:test\r\n\r",
        &["test\n\ntest"],
    );
    messages("only ends", "\n\r\n\r\r\n\n", &[]);
    messages(
        "other line breaks of Unicode are data",
        "data:a\u{b}\u{c}\u{85}\u{2028}b\n\n",
        &["a\u{b}\u{c}\u{85}\u{2028}b"],
    );
}

#[test]
fn one_leading_byte_order_mark_is_left_out() {
    messages("one BOM", "\u{feff}data:1\n\n\ndata:2\n\n", &["1", "2"]);
    messages(
        "a second BOM makes an unknown field",
        "\u{feff}\u{feff}data:1\n\ndata:2\n\ndata:3\n\n",
        &["2", "3"],
    );
    messages(
        "a BOM later is part of the name",
        "data:1\n\n\u{feff}data:2\n\ndata:3\n\n",
        &["1", "3"],
    );
    messages(
        "a BOM in data is data",
        "data:\u{feff}a\u{feff}\n\n",
        &["\u{feff}a\u{feff}"],
    );
    messages("a BOM before an empty line", "\u{feff}\ndata:1\n\n", &["1"]);
    messages("a BOM before a CRLF", "\u{feff}\r\ndata:1\r\n\r\n", &["1"]);
    messages("only a BOM", "\u{feff}", &[]);
    messages(
        "one byte of a BOM spoils the first line only",
        b"\xEFdata:1\ndata:2\n\n",
        &["2"],
    );
    messages(
        "two bytes of a BOM spoil the first line only",
        b"\xEF\xBBdata:1\ndata:2\n\n",
        &["2"],
    );
    messages(
        "two bytes of a BOM and an end",
        b"\xEF\xBB\ndata:2\n\n",
        &["2"],
    );
}

#[test]
fn comments_and_unknown_fields_are_left_out() {
    messages(
        "WPT format-comments",
        "data:1\r:\0\n:\r\ndata:2\n:x\rdata:3\n:data:fail\r:\ndata:4\n\n",
        &["1\n2\n3\n4"],
    );
    messages("a comment dispatches nothing", ": keep-alive\n\n:\n\n", &[]);
    messages(
        "names are case sensitive",
        "Data:x\nDATA:x\n data:x\ndata :x\ndata:ok\n\n",
        &["ok"],
    );
    messages("near names", "dat:x\ndatas:x\ndata-x\nd\ndataset\n\n", &[]);
    messages(
        "WPT format-field-unknown",
        "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        &["test\n\ntest"],
    );
    messages("NUL in a name", "data:\0\n\0data:x\ndata\0:x\n\n", &["\0"]);
    messages(
        "an unknown field does not end a block",
        "data:a\nfoo\ndata:b\n\n",
        &["a\nb"],
    );
    messages(
        "a prefix of a name at the end of the stream",
        "data:a\n\ndat",
        &["a"],
    );
}

#[test]
fn data_lines_are_joined_with_lf_and_lose_one_leading_space() {
    messages(
        "WPT format-field-data",
        "data:\n\ndata\ndata\n\ndata:test\n\n",
        &["", "\n", "test"],
    );
    messages(
        "WPT format-leading-space",
        "data:\ttest\rdata: \ndata:test\n\n",
        &["\ttest\n\ntest"],
    );
    messages("one space of two", "data:  a \n\n", &[" a "]);
    messages("a name without colon", "data\n\n", &[""]);
    messages(
        "colons in data",
        "data:a:b: c\n\ndata::\n\n",
        &["a:b: c", ":"],
    );
    messages("only a space", "data: \n\n", &[""]);
    messages(
        "many lines",
        "data:a\ndata:\ndata: b\ndata\ndata:c\n\n",
        &["a\n\nb\n\nc"],
    );
    messages("WPT format-null-character", "data:\0\n\n\n\n", &["\0"]);
}

#[test]
fn an_unfinished_block_is_never_delivered() {
    messages("no end at all", "data:a", &[]);
    messages("no empty line", "data:a\n", &[]);
    messages("no empty line after CRLF", "data:a\r\n", &[]);
    messages(
        "WPT format-data-before-final-empty-line",
        "data:test1\n\nid:test\ndata:test2",
        &["test1"],
    );
    check(
        "its id is not used",
        b"id:1\ndata:a\n\nid:2\ndata:b\n",
        &[("message", "a", Some("1"))],
        Some("1"),
        None,
    );
}
