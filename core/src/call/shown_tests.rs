use proptest::prelude::*;

use super::*;

fn text(index: u32, text: &str) -> StreamEvent {
    StreamEvent::TextDelta {
        index,
        text: text.into(),
    }
}

fn reasoning(text: &str, signature: Option<&str>) -> StreamEvent {
    StreamEvent::ReasoningDelta {
        index: 0,
        text: text.into(),
        signature: signature.map(Into::into),
        redacted: None,
        extra: Default::default(),
    }
}

fn call(id: &str) -> StreamEvent {
    StreamEvent::ToolCallStart {
        index: 2,
        id: id.into(),
        name: "f".into(),
        extra: Default::default(),
    }
}

fn arguments(arguments: &str) -> StreamEvent {
    StreamEvent::ToolCallDelta {
        index: 2,
        arguments: arguments.into(),
    }
}

fn start(id: &str) -> StreamEvent {
    StreamEvent::Start {
        id: id.into(),
        response_model: None,
        created: None,
    }
}

fn shown(events: &[StreamEvent]) -> Shown {
    let mut shown = Shown::default();
    for event in events {
        shown.push(event).unwrap();
    }
    shown
}

/// What is shown of a copy after `before` was.
fn rest(before: &[StreamEvent], copy: &[StreamEvent]) -> Result<Vec<StreamEvent>> {
    let mut skip = shown(before).skip();
    let mut events = copy.to_vec();
    skip.pass(&mut events)?;
    skip.end()?;
    Ok(events)
}

#[test]
fn a_copy_goes_on_where_the_other_one_broke_off_however_either_is_cut() {
    let before = [start("a"), text(0, "one "), text(0, "two th")];
    let copy = [
        start("b"),
        text(0, "one two "),
        text(0, "three"),
        text(0, " four"),
    ];
    assert_eq!(
        rest(&before, &copy).unwrap(),
        [text(0, "ree"), text(0, " four")]
    );
}

#[test]
fn a_copy_with_other_words_breaks_with_what_was_shown() {
    let error = rest(&[text(0, "one two")], &[text(0, "one too")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StreamInterrupted);
    assert_eq!(error.fields().detail.as_deref(), Some("differs"));
    assert_eq!(error.fields().partial.as_ref().unwrap().text, "one two");
}

#[test]
fn a_copy_that_ends_sooner_breaks() {
    let error = rest(&[text(0, "one two")], &[text(0, "one")]).unwrap_err();
    assert_eq!(error.fields().detail.as_deref(), Some("differs"));
}

#[test]
fn parts_calls_and_signatures_must_be_the_same() {
    let before = [
        reasoning("hm", None),
        reasoning("", Some("s")),
        text(1, "a"),
        call("c"),
        arguments("{\"x\""),
    ];
    // The signature may come with the text.
    let copy = [
        reasoning("hm", Some("s")),
        text(1, "a"),
        call("c"),
        arguments("{\"x\": 1}"),
    ];
    assert_eq!(rest(&before, &copy).unwrap(), [arguments(": 1}")]);
    for copy in [
        [
            reasoning("hm", Some("t")),
            text(1, "a"),
            call("c"),
            arguments("{\"x\": 1}"),
        ],
        [
            reasoning("hm", Some("s")),
            text(1, "a"),
            call("d"),
            arguments("{\"x\": 1}"),
        ],
        [
            reasoning("hm", Some("s")),
            text(1, "ab"),
            call("c"),
            arguments("{\"x\": 1}"),
        ],
        [
            reasoning("hm", Some("s")),
            text(3, "a"),
            call("c"),
            arguments("{\"x\": 1}"),
        ],
        [
            text(1, "a"),
            reasoning("hm", Some("s")),
            call("c"),
            arguments("{\"x\": 1}"),
        ],
    ] {
        assert!(rest(&before, &copy).is_err(), "{copy:?}");
    }
}

#[test]
fn where_nothing_was_shown_everything_is() {
    let copy = [start("b"), text(0, "one")];
    assert_eq!(rest(&[], &copy).unwrap(), copy);
}

#[test]
fn an_error_after_something_was_shown_is_an_interrupted_stream_with_it() {
    let shown = shown(&[text(0, "one")]);
    let error = shown.broken(Error::new(ErrorKind::Overloaded, "busy"));
    assert_eq!(error.kind(), ErrorKind::StreamInterrupted);
    assert!(!error.is_retriable());
    assert_eq!(error.fields().detail.as_deref(), Some("overloaded"));
    assert_eq!(error.fields().partial.as_ref().unwrap().text, "one");
    // It says more already.
    assert_eq!(
        shown.broken(error).fields().detail.as_deref(),
        Some("overloaded")
    );
}

/// The same parts, cut into pieces at these places.
fn cut(parts: &[(u32, String)], at: &[usize]) -> Vec<StreamEvent> {
    let mut places = at.iter().copied().cycle();
    let mut events = Vec::new();
    for (index, whole) in parts {
        let mut rest = whole.as_str();
        while !rest.is_empty() {
            let mut end = places.next().unwrap_or(1).clamp(1, rest.len());
            while !rest.is_char_boundary(end) {
                end += 1;
            }
            let (head, tail) = rest.split_at(end);
            events.push(text(*index, head));
            rest = tail;
        }
    }
    events
}

proptest! {
    #[test]
    fn what_was_shown_and_what_is_left_are_the_whole_answer(
        texts in prop::collection::vec("[aé€😀 ]{1,12}", 1..5),
        first in prop::collection::vec(1_usize..6, 1..6),
        second in prop::collection::vec(1_usize..6, 1..6),
        upto in 0_usize..40,
    ) {
        let parts: Vec<(u32, String)> = (0..).zip(texts).collect();
        let (mut before, copy) = (cut(&parts, &first), cut(&parts, &second));
        before.truncate(upto);
        let left = rest(&before, &copy).unwrap();
        let whole = shown(&[before, left].concat()).partial();
        prop_assert_eq!(whole.answer.parts.clone(), shown(&copy).partial().answer.parts.clone());
    }
}
