use std::collections::VecDeque;

use ossai_facade::{CallId, Event, HostCall, HostCallKind, Op};
use serde_json::{Value, json};

use crate::support::{Host, Stage, pending, ready, request, stage};

fn weather() -> Value {
    json!({"specs": [{
        "id": "sky/weather", "name": "weather", "description": "The weather of a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "output_schema": {"type": "object", "properties": {"sky": {"type": "string"}}, "required": ["sky"]},
    }]})
}

fn with(tools: &Value) -> String {
    json!({ "tools": tools }).to_string()
}

fn asks(arguments: &str) -> Value {
    json!({"body": {"openai_chat": {"tool_calls": [{"id": "call_1", "name": "weather", "arguments": arguments}]}}, "delay_ms": 50})
}

fn says(text: &str) -> Value {
    json!({"body": {"openai_chat": {"text": text}}})
}

fn begin(stage: &Stage, host: &Host, op: Op, options: &str) -> CallId {
    let request = request("Umbrella?").to_string();
    pending(stage.session.begin(op, &request, options, &host.queue))
}

fn asked(host: &Host, rest: &mut VecDeque<Event>) -> HostCall {
    loop {
        match host.next_one(rest) {
            Event::HostCall(call) => return call,
            Event::Events { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn answer(stage: &Stage, call: &HostCall, result: &Value) {
    let waited = stage
        .session
        .complete_host_call(call.id, &result.to_string())
        .expect("a document");
    assert!(waited);
}

fn end(host: &Host, rest: &mut VecDeque<Event>) -> Value {
    loop {
        let event = host.next_one(rest);
        if event.is_last() {
            return serde_json::from_str(&event.to_json()).expect("JSON");
        }
    }
}

#[test]
fn a_tool_call_leaves_as_a_host_call_and_its_answer_goes_to_the_model() {
    let stage =
        stage(json!({"responses": [asks(r#"{"city": "Oslo", "n": 1.50}"#), says("Take one.")]}));
    let (host, mut rest) = (Host::new(), VecDeque::new());
    let id = begin(&stage, &host, Op::Complete, &with(&weather()));
    let call = asked(&host, &mut rest);
    assert_eq!((call.call, call.kind), (id, HostCallKind::Tool));
    assert_eq!(
        (call.name.as_str(), call.tool_call_id.as_str()),
        ("sky/weather", "call_1")
    );
    assert_eq!(
        call.input.get(),
        r#"{"city": "Oslo", "n": 1.50}"#,
        "to the digit"
    );
    assert_eq!(call.timeout_ms, 30_000);
    answer(&stage, &call, &json!({"ok": {"sky": "rain"}}));
    let done = end(&host, &mut rest);
    assert_eq!(done["ok"]["text"], "Take one.");
    let run = &done["ok"]["tool_run"];
    assert_eq!(run["turns"].as_array().map(Vec::len), Some(2));
    assert_eq!(run["calls"][0]["output"], json!({"sky": "rain"}));
    assert_eq!(run["calls"][0]["tool_id"], "sky/weather");
    assert_eq!(run["messages"].as_array().map(Vec::len), Some(3));
    assert_eq!(stage.session.calls_under_way(), 0);
}

#[test]
fn a_handler_is_asked_for_only_after_the_host_has_approved() {
    let stage = stage(
        json!({"responses": [asks(r#"{"city": "Oslo"}"#), asks(r#"{"city": "Bergen"}"#), says("As you like.")]}),
    );
    let (host, mut rest) = (Host::new(), VecDeque::new());
    let mut tools = weather();
    tools["approve"] = json!(true);
    begin(&stage, &host, Op::Complete, &with(&tools));
    let call = asked(&host, &mut rest);
    assert_eq!(call.kind, HostCallKind::Approval);
    answer(&stage, &call, &json!({"ok": "not there"}));
    let call = asked(&host, &mut rest);
    assert_eq!(call.kind, HostCallKind::Approval);
    answer(&stage, &call, &json!({"ok": true}));
    let call = asked(&host, &mut rest);
    assert_eq!(call.kind, HostCallKind::Tool);
    answer(&stage, &call, &json!({"ok": {"sky": "sun"}}));
    let done = end(&host, &mut rest);
    let outcomes: Vec<&Value> = done["ok"]["tool_run"]["calls"]
        .as_array()
        .expect("records")
        .iter()
        .map(|record| &record["outcome"])
        .collect();
    assert_eq!(outcomes, ["denied", "ok"]);
}

#[test]
fn a_handler_that_failed_is_told_to_the_model_or_ends_the_call() {
    for fails in [false, true] {
        let stage = stage(json!({"responses": [asks(r#"{"city": "Oslo"}"#), says("Never mind.")]}));
        let (host, mut rest) = (Host::new(), VecDeque::new());
        let mut tools = weather();
        if fails {
            tools["on_error"] = json!("fail");
        }
        begin(&stage, &host, Op::Complete, &with(&tools));
        let call = asked(&host, &mut rest);
        let failed = json!({"error": {"type": "KeyError", "message": "no such city"}});
        answer(&stage, &call, &failed);
        let done = end(&host, &mut rest);
        let run = if fails {
            assert_eq!(done["error"]["kind"], "callback_error");
            assert!(!done["error"]["message"].to_string().contains("city"));
            &done["error"]["partial"]["tool_run"]
        } else {
            &done["ok"]["tool_run"]
        };
        let said = json!({"type": "KeyError", "message": "no such city"});
        assert_eq!(run["calls"][0]["error"], said, "{done}");
    }
}

#[test]
fn cancelling_the_call_takes_its_handlers_back_and_their_late_answers_are_ignored() {
    let stage = stage(json!({"responses": [asks(r#"{"city": "Oslo"}"#), says("Too late.")]}));
    let (host, mut rest) = (Host::new(), VecDeque::new());
    let id = begin(&stage, &host, Op::Complete, &with(&weather()));
    let call = asked(&host, &mut rest);
    assert!(stage.session.cancel(id));
    assert!(matches!(host.next_one(&mut rest), Event::HostCallCancelled { id } if id == call.id));
    let late = stage.session.complete_host_call(call.id, r#"{"ok": 1}"#);
    assert!(!late.expect("a document"));
    assert_eq!(stage.session.calls_under_way(), 0);
}

#[test]
fn a_handler_that_hangs_is_taken_back_when_its_time_is_up() {
    let stage = stage(json!({"responses": [asks(r#"{"city": "Oslo"}"#), says("Without it.")]}));
    let (host, mut rest) = (Host::new(), VecDeque::new());
    let mut tools = weather();
    tools["timeout_ms"] = json!(30);
    begin(&stage, &host, Op::Complete, &with(&tools));
    let call = asked(&host, &mut rest);
    assert_eq!(call.timeout_ms, 30);
    assert!(matches!(host.next_one(&mut rest), Event::HostCallCancelled { id } if id == call.id));
    let done = end(&host, &mut rest);
    assert_eq!(done["ok"]["tool_run"]["calls"][0]["outcome"], "timeout");
    assert_eq!(done["ok"]["text"], "Without it.");
}

#[test]
fn a_stream_has_the_events_of_every_turn_and_of_the_calls() {
    let stage = stage(json!({"responses": [
        {"body": {"openai_chat_stream": {"tool_calls": [{"id": "call_1", "name": "weather", "arguments": "{\"city\":\"Oslo\"}"}]}}, "delay_ms": 50},
        {"body": {"openai_chat_stream": {"deltas": ["Take ", "one."]}}},
    ]}));
    let (host, mut rest) = (Host::new(), VecDeque::new());
    let id = begin(&stage, &host, Op::Stream, &with(&weather()));
    let (mut types, mut text) = (Vec::new(), String::new());
    loop {
        match host.next_one(&mut rest) {
            Event::HostCall(call) => answer(&stage, &call, &json!({"ok": {"sky": "rain"}})),
            event => {
                assert_eq!(event.call(), Some(id));
                let last = event.is_last();
                let batch: Value = serde_json::from_str(&event.to_json()).expect("JSON");
                for event in batch["events"].as_array().expect("events") {
                    types.push(event["type"].as_str().expect("a type").to_owned());
                    text.push_str(event["text"].as_str().unwrap_or_default());
                    if event["type"] == "end" {
                        let run = &event["completion"]["tool_run"];
                        assert_eq!(run["calls"][0]["outcome"], "ok");
                    }
                }
                if last {
                    break;
                }
            }
        }
    }
    assert_eq!(text, "Take one.");
    let at = |kind: &str| types.iter().position(|one| one == kind).expect(kind);
    assert!(at("tool_call_start") < at("tool_started"), "{types:?}");
    assert!(at("tool_started") < at("tool_result"), "{types:?}");
    assert!(at("tool_result") < at("turn"), "{types:?}");
    assert!(at("turn") < at("text_delta"), "{types:?}");
    assert_eq!(types.last().map(String::as_str), Some("end"));
}

#[test]
fn what_is_wrong_with_the_tools_is_said_at_once_with_its_path() {
    let stage = stage(json!({"responses": []}));
    let host = Host::new();
    for (tools, field) in [
        (json!({"max_turn": 3}), "options.tools.max_turn"),
        (json!({"max_turns": 0}), "options.tools.max_turns"),
        (json!({"approve": 1}), "options.tools.approve"),
        (
            json!({"specs": [{"nam": "x"}]}),
            "options.tools.specs[0].nam",
        ),
        (json!({"specs": [{"name": "a b"}]}), "tools[0].name"),
        (
            json!({"specs": [{"name": "a"}, {"name": "a"}]}),
            "tools[1].name",
        ),
        (
            json!({"specs": [{"name": "a", "input_schema": {"type": "objekt"}}]}),
            "tools[0].input_schema",
        ),
        (
            json!({"specs": [{"name": "a", "input_schema": {"$ref": "https://example.com/x"}}]}),
            "tools[0].input_schema",
        ),
    ] {
        let request = request("Hello").to_string();
        let begun = stage
            .session
            .begin(Op::Complete, &request, &with(&tools), &host.queue);
        let error = ready(begun).expect_err("a mistake");
        assert_eq!(error.fields().field.as_deref(), Some(field), "{error}");
    }
}
