use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ossai::ErrorKind;
use ossai_facade::{
    CallId, Callbacks, Event, HostCallId, HostCallKind, HostFailure, HostResult, Op, Session,
};
use serde_json::value::RawValue;

use crate::support::Host;

type Asked = tokio::task::JoinHandle<ossai::Result<HostResult>>;

fn ask(runtime: &tokio::runtime::Runtime, session: &Session, host: &Host, ms: u64) -> Asked {
    let calls = Arc::clone(session.host_calls().expect("of this process"));
    let queue = host.queue.clone();
    runtime.spawn(async move {
        let input = RawValue::from_string(r#"{"path":"a"}"#.into()).expect("JSON");
        let timeout = Duration::from_millis(ms);
        calls
            .ask(
                &queue,
                CallId(7),
                HostCallKind::Tool,
                "read",
                "call_1",
                input,
                timeout,
            )
            .await
    })
}

fn asked(host: &Host, rest: &mut VecDeque<Event>) -> HostCallId {
    match host.next_one(rest) {
        Event::HostCall(call) => call.id,
        other => panic!("{other:?}"),
    }
}

fn setting() -> (tokio::runtime::Runtime, Session, Host) {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    (
        runtime,
        Session::open("{}", false).expect("session"),
        Host::new(),
    )
}

#[test]
fn the_host_s_answer_goes_back_to_who_asked() {
    let (runtime, session, host) = setting();
    let question = ask(&runtime, &session, &host, 60_000);
    let events = host.next();
    let json: serde_json::Value = serde_json::from_str(&events[0].to_json()).expect("JSON");
    let id = HostCallId(json["id"].as_u64().expect("an id"));
    let shape = serde_json::json!({
        "type": "host_call", "id": id.0, "call": 7, "kind": "tool", "name": "read",
        "tool_call_id": "call_1", "input": {"path": "a"}, "timeout_ms": 60_000,
    });
    assert_eq!(json, shape);
    assert!(
        session
            .complete_host_call(id, r#"{"ok": {"content": "x"}}"#)
            .expect("a document")
    );
    assert!(
        !session
            .complete_host_call(id, r#"{"ok": 1}"#)
            .expect("a document"),
        "once only"
    );
    let result = runtime
        .block_on(question)
        .expect("no panic")
        .expect("in time");
    assert_eq!(result.expect("ok").get(), r#"{"content": "x"}"#);
}

#[test]
fn a_host_that_failed_says_so_with_its_own_name_for_it() {
    let (runtime, session, host) = setting();
    let question = ask(&runtime, &session, &host, 60_000);
    let mut rest = VecDeque::new();
    let id = asked(&host, &mut rest);
    let wrong = session
        .complete_host_call(id, r#"{"fine": 1}"#)
        .expect_err("another document");
    assert_eq!(wrong.fields().field.as_deref(), Some("result"));
    let failed = r#"{"error": {"type": "ValueError", "message": "no such file"}}"#;
    assert!(session.complete_host_call(id, failed).expect("a document"));
    let result = runtime
        .block_on(question)
        .expect("no panic")
        .expect("in time");
    let failure = HostFailure {
        kind: "ValueError".into(),
        message: "no such file".into(),
    };
    assert_eq!(result.expect_err("failed"), failure);
}

#[test]
fn a_host_that_takes_too_long_is_told_to_stop_and_its_late_answer_is_ignored() {
    let (runtime, session, host) = setting();
    let question = ask(&runtime, &session, &host, 1);
    let mut rest = VecDeque::new();
    let id = asked(&host, &mut rest);
    let error = runtime
        .block_on(question)
        .expect("no panic")
        .expect_err("too late");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        matches!(host.next_one(&mut rest), Event::HostCallCancelled { id: other } if other == id)
    );
    assert!(
        !session
            .complete_host_call(id, r#"{"ok": 1}"#)
            .expect("a document")
    );
}

#[test]
fn a_question_nobody_waits_for_any_more_is_taken_back() {
    let (runtime, session, host) = setting();
    let question = ask(&runtime, &session, &host, 60_000);
    let mut rest = VecDeque::new();
    let id = asked(&host, &mut rest);
    question.abort();
    assert!(
        matches!(host.next_one(&mut rest), Event::HostCallCancelled { id: other } if other == id)
    );
}

#[test]
fn a_credential_comes_from_the_host_and_is_fetched_anew_after_a_401() {
    let refused = serde_json::json!({"status": 401, "body": {"openai_error": {}}});
    let answer = serde_json::json!({"body": {"openai_chat": {"text": "Hi"}}});
    let stage = crate::support::stage(serde_json::json!({"responses": [refused, answer]}));
    let (host, asked) = (Host::new(), Host::new());
    let config = serde_json::json!({"providers": {"openai": {
        "base_url": format!("{}/v1", stage.script.base_url), "api": "openai_chat",
    }}});
    let callbacks = Callbacks {
        queue: asked.queue.clone(),
        credentials: vec![("openai".into(), Some("me".into()))],
    };
    let session = Session::open_with(&config.to_string(), false, Some(callbacks)).expect("session");
    let request = crate::support::request("Hello").to_string();
    let id = crate::support::pending(session.begin(Op::Complete, &request, "", &host.queue));
    for credential in ["old", "new"] {
        let Event::HostCall(call) = asked.next().remove(0) else {
            panic!("another event")
        };
        assert_eq!(
            (call.kind, call.name.as_str()),
            (HostCallKind::Credential, "openai")
        );
        let result = format!(r#"{{"ok": "sk-{credential}-canary"}}"#);
        assert!(
            session
                .complete_host_call(call.id, &result)
                .expect("a document")
        );
    }
    assert_eq!(host.finish(id)[0]["ok"]["text"], "Hi");
    assert!(!format!("{session:?}").contains("canary"));

    let callbacks = Callbacks {
        queue: asked.queue.clone(),
        credentials: vec![("nobody".into(), None)],
    };
    Session::open_with("{}", false, Some(callbacks)).expect_err("no such provider");
}
