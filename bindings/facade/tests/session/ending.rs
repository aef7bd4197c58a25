use ossai::ErrorKind;
use ossai_facade::{Op, Session};
use serde_json::json;

use crate::support::{Host, Stage, pending, ready, request, stage};

fn hanging() -> Stage {
    stage(
        json!({"default": {"body": {"openai_chat": {"text": "Hi"}}, "stall_after": {"head": 10}}}),
    )
}

#[test]
fn a_cancelled_call_closes_its_connection_and_its_host_hears_nothing_more() {
    let stage = hanging();
    let host = Host::new();
    let id = pending(stage.begin(&host, Op::Complete, &request("Hello")));
    stage.reached(1);
    assert!(stage.session.cancel(id));
    assert!(
        stage.outcomes()[0].starts_with("client_"),
        "{:?}",
        stage.outcomes()
    );
    assert!(host.queue.drain(10).is_empty());
    assert_eq!(stage.session.calls_under_way(), 0);
}

#[test]
fn cancelling_one_of_two_who_share_a_call_leaves_the_other_its_answer() {
    let stage =
        stage(json!({"responses": [{"body": {"openai_chat": {"text": "Hi"}}, "delay_ms": 100}]}));
    let host = Host::new();
    let first = pending(stage.begin(&host, Op::Complete, &request("Hello")));
    let second = pending(stage.begin(&host, Op::Complete, &request("Hello")));
    stage.reached(1);
    stage.session.cancel(first);
    assert_eq!(host.finish(second)[0]["ok"]["text"], "Hi");
    assert_eq!(stage.outcomes(), ["sent"]);
}

#[test]
fn closing_ends_what_is_under_way_and_refuses_what_comes() {
    let stage = hanging();
    let host = Host::new();
    let id = pending(stage.begin(&host, Op::Complete, &request("Hello")));
    stage.reached(1);
    stage.session.close();
    assert_eq!(host.finish(id)[0]["error"]["kind"], "cancelled");
    let error = ready(stage.begin(&host, Op::Complete, &request("Hello"))).expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(stage.outcomes()[0].starts_with("client_"));
    stage.session.close();
}

#[test]
fn closing_with_patience_lets_calls_finish() {
    let stage =
        stage(json!({"responses": [{"body": {"openai_chat": {"text": "Hi"}}, "delay_ms": 100}]}));
    let host = Host::new();
    let call = pending(stage.begin(&host, Op::Complete, &request("Hello")));
    stage.reached(1);
    let close = pending(stage.begin(&host, Op::Close, &json!({"patience_ms": 10_000})));
    let (mut answer, mut closed) = (None, None);
    while answer.is_none() || closed.is_none() {
        for event in host.next() {
            let json: serde_json::Value = serde_json::from_str(&event.to_json()).expect("JSON");
            match event.call() {
                Some(id) if id == call => answer = Some(json),
                Some(id) if id == close => closed = Some(json),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(answer.expect("an answer")["ok"]["text"], "Hi");
    assert_eq!(closed.expect("closed")["ok"], json!({"drained": true}));
}

#[test]
fn closing_a_session_that_never_called_needs_no_runtime() {
    let session = Session::open("{}", false).expect("session");
    session.close();
    let host = Host::new();
    let error = ready(session.begin(Op::Health, "", "", &host.queue)).expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
}

#[test]
fn dropping_a_session_ends_its_calls() {
    let stage = hanging();
    let host = Host::new();
    let id = pending(stage.begin(&host, Op::Complete, &request("Hello")));
    stage.reached(1);
    let Stage {
        session,
        upstream,
        script,
        runtime,
    } = stage;
    drop(session);
    assert_eq!(host.finish(id)[0]["error"]["kind"], "cancelled");
    let log = runtime
        .block_on(upstream.settled_log(&script.id, 10_000))
        .expect("log");
    let log = serde_json::to_value(log).expect("JSON");
    assert!(
        log["requests"][0]["outcome"]
            .as_str()
            .is_some_and(|o| o.starts_with("client_"))
    );
}

#[test]
fn a_closed_queue_takes_nothing_and_calls_end_all_the_same() {
    let stage =
        stage(json!({"default": {"body": {"openai_chat": {"text": "Hi"}}, "delay_ms": 50}}));
    let (gone, host) = (Host::new(), Host::new());
    gone.queue.close();
    let id = pending(stage.begin(&gone, Op::Complete, &request("Hello")));
    let joined = stage.begin(&host, Op::Complete, &request("Hello"));
    let joined = pending(joined);
    assert_eq!(host.finish(joined)[0]["ok"]["text"], "Hi");
    assert!(gone.queue.drain(10).is_empty());
    stage.session.cancel(id);
    assert_eq!(stage.session.calls_under_way(), 0);
}
