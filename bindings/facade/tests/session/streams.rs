use ossai_facade::{Begin, Op};
use serde_json::{Value, json};

use crate::support::{Host, pending, ready, request, stage};

fn deltas(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .filter(|event| event["type"] == "text_delta")
        .filter_map(|event| event["text"].as_str().map(str::to_owned))
        .collect()
}

fn texts(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{n} ")).collect()
}

#[test]
fn a_stream_s_events_come_in_order_and_end_with_the_whole_answer() {
    let stage = stage(
        json!({"responses": [{"body": {"openai_chat_stream": {"deltas": texts(50)}}, "delay_ms": 50}]}),
    );
    let host = Host::new();
    let id = pending(stage.begin(&host, Op::Stream, &request("Hello")));
    let seen: Vec<Value> = host
        .finish(id)
        .into_iter()
        .flat_map(|batch| batch["events"].as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(deltas(&seen), texts(50));
    let end = seen.last().expect("an end");
    assert_eq!(end["type"], "end");
    assert_eq!(end["completion"]["text"], texts(50).concat());
    assert_eq!(stage.session.calls_under_way(), 0);

    // Kept: the whole of it at once, in the same pieces.
    let kept = ready(stage.begin(&host, Op::Stream, &request("Hello"))).expect("a hit");
    let kept = kept.as_array().expect("events");
    assert_eq!(deltas(kept), texts(50));
    assert_eq!(
        kept.last().map(|end| &end["completion"]["cache"]["status"]),
        Some(&json!("hit"))
    );
}

#[test]
fn no_more_events_come_than_were_granted() {
    let stage = stage(
        json!({"responses": [{"body": {"openai_chat_stream": {"deltas": texts(100)}}, "delay_ms": 50}]}),
    );
    let host = Host::new();
    let begun = stage.session.begin(
        Op::Stream,
        &request("Hello").to_string(),
        r#"{"credit": 3}"#,
        &host.queue,
    );
    let id = pending(begun);
    let (mut seen, mut granted) = (Vec::new(), 3);
    loop {
        for event in host.next() {
            let event: Value = serde_json::from_str(&event.to_json()).expect("JSON");
            seen.extend(event["events"].as_array().cloned().expect("events"));
        }
        assert!(seen.len() <= granted, "{} events for {granted}", seen.len());
        if seen.last().is_some_and(|event| event["type"] == "end") {
            break;
        }
        if seen.len() == granted {
            stage.session.grant(id, 7);
            granted += 7;
        }
    }
    assert_eq!(deltas(&seen), texts(100));
}

#[test]
fn an_error_comes_after_the_events_before_it() {
    let stage = stage(json!({"responses": [
        {"body": {"openai_chat_stream": {"deltas": ["a", "b"], "finish_reason": null, "usage": null, "done": false}}, "delay_ms": 50},
    ]}));
    let host = Host::new();
    let id = pending(stage.begin(&host, Op::Stream, &request("Hello")));
    let seen = host.finish(id);
    let (last, before) = seen.split_last().expect("some");
    let before: Vec<Value> = before
        .iter()
        .flat_map(|batch| batch["events"].as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(deltas(&before), ["a", "b"]);
    assert_eq!(last["error"]["kind"], "stream_interrupted");
    assert_eq!(last["error"]["partial"]["text"], "ab");
    assert_eq!(stage.session.calls_under_way(), 0);
}

#[test]
fn a_cancelled_stream_closes_its_connection_whether_or_not_it_has_credit() {
    for options in ["", r#"{"credit": 0}"#] {
        let stage = stage(json!({"responses": [
            {"body": {"openai_chat_stream": {"deltas": texts(5)}}, "stall_after": {"event": 3}},
        ]}));
        let host = Host::new();
        let begun = stage.session.begin(
            Op::Stream,
            &request("Hello").to_string(),
            options,
            &host.queue,
        );
        let Begin::Pending(id) = begun else {
            panic!("{begun:?}")
        };
        stage.reached(1);
        assert!(stage.session.cancel(id));
        assert!(!stage.session.cancel(id), "a second time is harmless");
        assert!(
            stage.outcomes()[0].starts_with("client_"),
            "{:?}",
            stage.outcomes()
        );
        assert_eq!(stage.session.calls_under_way(), 0);
    }
}
