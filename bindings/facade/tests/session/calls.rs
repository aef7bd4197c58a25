use std::collections::HashSet;

use ossai::ErrorKind;
use ossai_facade::{Op, Session};
use serde_json::json;

use crate::support::{Host, pending, ready, request, stage};

#[test]
fn an_answer_comes_to_the_queue_and_the_same_question_is_then_answered_at_once() {
    let stage = stage(json!({"responses": [{"body": {"openai_chat": {"text": "Hi"}}}]}));
    let host = Host::new();
    let first = host.answer(stage.begin(&host, Op::Complete, &request("Hello")));
    assert_eq!(first["ok"]["text"], "Hi");
    let again = ready(stage.begin(&host, Op::Complete, &request("Hello"))).expect("a hit");
    assert_eq!(again["text"], "Hi");
    assert_eq!(again["cache"]["status"], "hit");
    assert_eq!(stage.session.calls_under_way(), 0);
}

#[test]
fn a_mistake_is_said_at_once_and_names_its_field() {
    let host = Host::new();
    let session = Session::open("{}", false).expect("session");
    for (op, request, options, field) in [
        (Op::Complete, r#"{"model": 1, "messages": []}"#, "", "model"),
        (Op::Complete, r#"{"model": "openai/x"}"#, "", "request"),
        (Op::Complete, "[", "", "request"),
        (
            Op::Complete,
            r#"{"model": "openai/x", "messages": []}"#,
            "",
            "messages",
        ),
        (
            Op::Complete,
            r#"{"model": "openai/x", "messages": [{"role": "user", "content": "x"}]}"#,
            r#"{"timeout": 1}"#,
            "options.timeout",
        ),
        (
            Op::Stream,
            r#"{"model": "openai/x", "messages": [{"role": "user", "content": "x"}]}"#,
            r#"{"credit": -1}"#,
            "options.credit",
        ),
        (
            Op::Split,
            r#"{"model": "openai/x", "text": "a", "max_tokens": 0}"#,
            "",
            "max_tokens",
        ),
        (Op::Stats, "", r#"{"timeout_ms": 1}"#, "options.timeout_ms"),
        (Op::Catalog, r#"{"sort": "x"}"#, "", "sort"),
    ] {
        let error = ready(session.begin(op, request, options, &host.queue)).expect_err(request);
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
        assert_eq!(error.fields().field.as_deref(), Some(field), "{error}");
    }
    assert!(host.queue.drain(1).is_empty());
}

#[test]
fn a_configuration_that_is_wrong_opens_nothing() {
    let error = Session::open(r#"{"retry": {"max_tries": 1}}"#, false).expect_err("unknown key");
    assert_eq!(
        error.fields().field.as_deref(),
        Some("config.retry.max_tries")
    );
}

#[test]
fn what_never_waits_is_answered_at_once() {
    let host = Host::new();
    let session = Session::open("{}", false).expect("session");
    let ask = |op, document: serde_json::Value| {
        ready(session.begin(op, &document.to_string(), "", &host.queue)).expect("an answer")
    };
    assert_eq!(ask(Op::Count, request("Hello"))["exact"], true);
    let text = json!({"model": "openai/gpt-4o", "text": "one two three"});
    assert_eq!(ask(Op::CountText, text)["tokens"], 3);
    let cut = ask(
        Op::Truncate,
        json!({"model": "openai/gpt-4o", "text": "one two three", "max_tokens": 2}),
    );
    assert_eq!(
        (&cut["text"], &cut["truncated"]),
        (&json!("one two"), &json!(true))
    );
    let parts = ask(
        Op::Split,
        json!({"model": "openai/gpt-4o", "text": "one two three", "max_tokens": 1}),
    );
    assert_eq!(parts["parts"], json!(["one", " two", " three"]));
    assert_eq!(ask(Op::Estimate, request("Hello"))["status"], "estimated");
    let entry = ask(Op::Price, json!({"model": "openai/gpt-4o-mini"}));
    assert_eq!(entry["id"], "openai/gpt-4o-mini");
    assert!(ask(Op::Price, json!({"model": "openai/no-such-model"})).is_null());
    let catalog = ask(
        Op::Catalog,
        json!({"provider": "anthropic", "caps": ["tools"]}),
    );
    assert!(
        catalog["models"]
            .as_array()
            .is_some_and(|models| !models.is_empty())
    );
    assert!(ask(Op::Lookup, request("Hello")).is_null());
    assert_eq!(
        ask(Op::Key, request("Hello"))["key"].as_str().map(str::len),
        Some(64)
    );
    assert_eq!(ask(Op::Stats, json!({}))["flights"], 0);
}

#[test]
fn clearing_the_cache_forgets_every_answer() {
    let stage = stage(json!({"default": {"body": {"openai_chat": {"text": "Hi"}}}}));
    let host = Host::new();
    host.answer(stage.begin(&host, Op::Complete, &request("Hello")));
    ready(stage.begin(&host, Op::ClearCache, &json!({}))).expect("cleared");
    let again = host.answer(stage.begin(&host, Op::Complete, &request("Hello")));
    assert_eq!(again["ok"]["cache"]["status"], "miss");
}

#[test]
fn an_upstream_s_error_comes_as_fields_with_every_attempt() {
    let stage = stage(json!({"default": {"status": 401, "body": {"openai_error": {}}}}));
    let host = Host::new();
    let answer = host.answer(stage.begin(&host, Op::Complete, &request("Hello")));
    assert_eq!(answer["error"]["kind"], "authentication");
    assert_eq!(answer["error"]["http_status"], 401);
    assert_eq!(
        answer["error"]["attempts"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn embeddings_models_and_health_come_to_the_queue() {
    let stage = stage(json!({"responses": [
        {"when": {"path": "/v1/embeddings"}, "body": {"openai_embeddings": {"vectors": [[0.5, 1.0]]}}},
        {"when": {"path": "/v1/models"}, "times": 2, "body": {"openai_models": {"ids": ["gpt-x"]}}},
    ]}));
    let host = Host::new();
    let embedding = json!({"model": "openai/text-embedding-3-small", "input": "Hello"});
    let answer = host.answer(stage.begin(&host, Op::Embed, &embedding));
    assert_eq!(answer["ok"]["embeddings"][0]["vector"], json!([0.5, 1.0]));
    let again = ready(stage.begin(&host, Op::Embed, &embedding)).expect("a hit");
    assert_eq!(again["cache"]["status"], "hit");
    let models = host.answer(stage.begin(&host, Op::Models, &json!({"provider": "openai"})));
    assert_eq!(models["ok"][0]["id"], "openai/gpt-x");
    let health = host.answer(stage.begin(&host, Op::Health, &json!({})));
    assert!(health["ok"].as_array().is_some_and(|all| {
        all.iter()
            .any(|one| one["upstream"] == "openai" && one["status"] == "serving")
    }));
}

#[test]
fn many_answers_come_in_few_batches_and_each_call_has_its_own() {
    let stage =
        stage(json!({"default": {"body": {"openai_chat": {"text": "Hi"}}, "delay_ms": 50}}));
    let host = Host::new();
    let mut open: HashSet<_> = (0..200)
        .map(|n| stage.begin(&host, Op::Complete, &request(&format!("Hello {n}"))))
        .map(|begun| pending(begun).0)
        .collect();
    while !open.is_empty() {
        for event in host.next() {
            let id = event.call().expect("an answer");
            assert!(open.remove(&id.0), "once for each call");
            assert!(event.to_json().contains("\"ok\""), "{}", event.to_json());
        }
    }
    assert_eq!(stage.session.calls_under_way(), 0);
}
