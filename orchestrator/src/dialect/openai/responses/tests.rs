//! What a caller sends reaches an upstream of the same API without loss, and the client core reads our answers and
//! streams back to what they were.
#![allow(clippy::unwrap_used)]

use ossai::call::Fold;
use ossai::cost::usage::usage_api;
use ossai::provider::{Api, ModelTraits, StreamDecoder, decode_completion, encode_completion};
use ossai::transport::sse::SseEvent;
use ossai::{Completion, Error, FinishReason, OutputPart, ReasoningPart, StreamEvent, ToolCall};
use serde_json::{Map, Value, json};

use super::echo::Echo;
use super::names::Names;
use super::stream::Events;
use super::{items, request, response};

const API: Api = Api::OpenAiResponses;
const REQUEST: &str =
    include_str!("../../../../../core/tests/golden/requests/responses_everything.json");
const ANSWER: &str =
    include_str!("../../../../../core/tests/golden/answers/responses_all_items.json");

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn passed_on(api: Api, body: &Value) -> Value {
    let call = request::read(body.clone()).unwrap();
    let model = call.request.model.clone();
    let traits = ModelTraits::default();
    let wire = encode_completion(api, &call.request, &model, &traits, call.stream).unwrap();
    serde_json::from_slice(&wire.body).unwrap()
}

fn completion(body: &Value) -> Completion {
    let bytes = serde_json::to_vec(body).unwrap();
    decode_completion(API, usage_api("openai", API), &bytes).unwrap()
}

fn decoded<'a>(events: impl Iterator<Item = &'a Value>) -> ossai::Result<Vec<StreamEvent>> {
    let mut decoder = StreamDecoder::new(API, usage_api("openai", API));
    let mut out = Vec::new();
    for event in events {
        let data = event.to_string();
        let event = SseEvent {
            event: event["type"].as_str().unwrap(),
            data: &data,
            id: None,
        };
        decoder.push(&event, &mut out)?;
    }
    decoder.end(&mut out)?;
    Ok(out)
}

fn folded(events: &[StreamEvent]) -> Completion {
    let mut fold = Fold::new();
    for event in events {
        fold.push(event).unwrap();
    }
    fold.finish()
}

fn echo() -> Echo {
    Echo::of(&Map::new())
}

fn streamed(events: &[StreamEvent], answer: &Completion) -> Vec<Value> {
    let mut stream = Events::new("req_1", "m", 1, echo(), Names::default());
    let mut out = Vec::new();
    for event in events {
        stream.push(event, 2, &mut out);
    }
    let completion = Box::new(answer.clone());
    stream.push(&StreamEvent::End { completion }, 2, &mut out);
    out
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kind = |event: &'_ Value| event["type"].as_str().unwrap().to_owned();
    for (i, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], i, "{}", kind(event));
    }
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[test]
fn everything_the_core_writes_is_read_back_without_loss() {
    let body = golden(REQUEST)["body"].clone();
    assert_eq!(passed_on(API, &body), body);
}

#[test]
fn forms_of_a_request_reach_the_same_api_without_loss() {
    let user = json!({"type": "message", "role": "user", "content": "Hi"});
    for (given, sent) in [
        (json!({"input": "Hi"}), json!({"input": [user]})),
        (
            json!({"input": [{"role": "user", "content": "Hi"}], "instructions": "Be brief"}),
            json!({"input": [{"type": "message", "role": "system", "content": "Be brief"}, user]}),
        ),
        (
            json!({"input": [user], "store": true, "previous_response_id": null, "background": false, "unknown": {"a": [1, null]}}),
            json!({"input": [user], "unknown": {"a": [1, null]}}),
        ),
        (
            json!({"input": [user], "text": {"verbosity": "low"}, "reasoning": {"effort": "unheard", "summary": "auto"}}),
            json!({"input": [user], "text": {"verbosity": "low"}, "reasoning": {"effort": "unheard", "summary": "auto"}}),
        ),
        (
            json!({"input": [user], "text": {"format": {"type": "grammar", "g": 1}, "verbosity": "high"}, "temperature": 0.5, "metadata": {"a": "b"}}),
            json!({"input": [user], "text": {"format": {"type": "grammar", "g": 1}, "verbosity": "high"}, "temperature": 0.5, "metadata": {"a": "b"}}),
        ),
        (
            json!({"input": [user], "tool_choice": {"type": "function", "name": "f"}, "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true, "defer_loading": true}]}),
            json!({"input": [user], "tool_choice": {"type": "function", "name": "f"}, "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true, "defer_loading": true}]}),
        ),
        (
            json!({"input": [user], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}, "include": ["web_search_call.results"], "max_tool_calls": 3}),
            json!({"input": [user], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}, "include": ["web_search_call.results"], "max_tool_calls": 3}),
        ),
    ] {
        let mut body = given.clone();
        body["model"] = "gpt-4o".into();
        let mut sent = sent;
        sent["model"] = "gpt-4o".into();
        sent["store"] = false.into();
        assert_eq!(passed_on(API, &body), sent, "{given}");
    }
}

#[test]
fn items_reach_the_same_api_in_their_order() {
    let summaries =
        json!([{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]);
    let said = |text: &str| json!({"type": "message", "role": "assistant", "content": text});
    let call =
        |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let result = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "1"});
    let mut commentary = said("Well.");
    commentary["phase"] = "commentary".into();
    let reasoning = |id: &str| json!({"type": "reasoning", "id": id, "encrypted_content": "g", "summary": summaries});
    let input = json!([
        {"type": "message", "role": "user", "content": [{"type": "input_image", "file_id": "file_1", "detail": "low"}]},
        reasoning("rs_1"), commentary, said("So."), call("1"), call("2"), reasoning("rs_2"), call("3"),
        result("1"), result("2"), result("3"),
        {"type": "custom_tool_call", "call_id": "4", "name": "c", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "4", "output": "y"},
        said("Done."),
    ]);
    let body = json!({"model": "gpt-5", "input": input});
    assert_eq!(passed_on(API, &body)["input"], input);
}

#[test]
fn a_tool_loop_is_one_turn_of_an_assistant_elsewhere() {
    let body = json!({"model": "m", "instructions": "Be brief", "max_output_tokens": 9, "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "truncation": "auto", "store": false, "text": {"verbosity": "low"}, "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "What?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "g"},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "phase": "commentary",
            "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "18C"}]},
    ]});
    let sent = passed_on(Api::OpenAiChat, &body);
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": [{"type": "text", "text": "What?"}]},
            {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "18C"}]},
        ])
    );
    assert_eq!(
        (
            &sent["max_tokens"],
            &sent["reasoning_effort"],
            &sent["verbosity"]
        ),
        (&json!(9), &json!("low"), &json!("low"))
    );
    for name in ["include", "truncation", "store", "reasoning", "text"] {
        assert!(sent.get(name).is_none(), "{name}");
    }
    let sent = passed_on(Api::AnthropicMessages, &body);
    assert_eq!(sent["messages"].as_array().unwrap().len(), 3);
    for name in ["include", "truncation", "store", "reasoning", "text"] {
        assert!(sent.get(name).is_none(), "{name}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_its_name() {
    for (field, change) in [
        ("model", json!({"model": null})),
        ("input", json!({"input": null})),
        ("input", json!({"input": 1})),
        ("input[0]", json!({"input": ["x"]})),
        ("input[0].type", json!({"input": [{}]})),
        ("input[0].type", json!({"input": [{"type": 1}]})),
        (
            "input[0].type",
            json!({"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ),
        (
            "input[0].role",
            json!({"input": [{"role": "tool", "content": "x"}]}),
        ),
        ("input[0].content", json!({"input": [{"role": "user"}]})),
        (
            "input[0].content[0].text",
            json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}),
        ),
        (
            "input[0].content[0].image_url",
            json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
        ),
        (
            "input[0].content[0]",
            json!({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}),
        ),
        (
            "input[0].content[0].type",
            json!({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}),
        ),
        (
            "input[0].call_id",
            json!({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}),
        ),
        (
            "input[0].arguments",
            json!({"input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": {}}]}),
        ),
        (
            "input[0].output",
            json!({"input": [{"type": "function_call_output", "call_id": "1"}]}),
        ),
        (
            "input[0].encrypted_content",
            json!({"input": [{"type": "reasoning", "summary": [], "encrypted_content": 1}]}),
        ),
        ("instructions", json!({"instructions": []})),
        (
            "previous_response_id",
            json!({"previous_response_id": "resp_1"}),
        ),
        ("conversation", json!({"conversation": {"id": "conv_1"}})),
        ("prompt", json!({"prompt": {"id": "pmpt_1"}})),
        ("background", json!({"background": true})),
        ("store", json!({"store": "yes"})),
        ("messages", json!({"messages": []})),
        ("max_tokens", json!({"max_tokens": 1})),
        ("response_format", json!({"response_format": {}})),
        ("max_output_tokens", json!({"max_output_tokens": -1})),
        ("temperature", json!({"temperature": "warm"})),
        ("tools[0].name", json!({"tools": [{"type": "function"}]})),
        (
            "tools[0].parameters",
            json!({"tools": [{"type": "function", "name": "f", "parameters": 1}]}),
        ),
        ("tool_choice", json!({"tool_choice": "maybe"})),
        (
            "tool_choice.name",
            json!({"tool_choice": {"type": "function", "function": {}}}),
        ),
        ("text.format.type", json!({"text": {"format": {}}})),
        (
            "text.format.schema",
            json!({"text": {"format": {"type": "json_schema", "name": "s"}}}),
        ),
        ("reasoning.effort", json!({"reasoning": {"effort": 1}})),
        ("stream_options", json!({"stream_options": {}})),
        ("api_base", json!({"api_base": "http://x"})),
        ("ossai.headers", json!({"ossai": {"headers": {"a": "b"}}})),
    ] {
        let mut body = json!({"model": "m", "input": "Hi"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let error = request::read(body).unwrap_err();
        assert_eq!(
            error.fields().field.as_deref(),
            Some(field),
            "{change}: {error}"
        );
    }
    assert!(request::read(json!([])).is_err());
}

#[test]
fn errors_of_the_core_name_the_item_they_are_about() {
    let call = request::read(json!({"model": "m", "instructions": "x", "input": [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "1"},
    ]}))
    .unwrap();
    for (ours, theirs) in [
        ("messages", "input"),
        ("messages[0].content", "instructions"),
        ("messages[1].content[0]", "input[0].content[0]"),
        ("messages[2].tool_calls[1].name", "input[2].name"),
        ("messages[3].tool_call_id", "input[3].call_id"),
        ("max_tokens", "max_output_tokens"),
        ("response_format.schema", "text.format.schema"),
        ("temperature", "temperature"),
    ] {
        let error = call.names.rename(Error::invalid(ours, "expected x"));
        assert_eq!(error.fields().field.as_deref(), Some(theirs));
        assert!(error.fields().message.starts_with(theirs), "{error}");
    }
}

#[test]
fn an_answer_of_the_api_comes_out_as_it_came_in() {
    let answer = completion(&golden(ANSWER)["body"]);
    let body = response::write(&answer, &echo(), 2);
    assert_eq!(completion(&body), answer);
    assert_eq!(
        (&body["status"], &body["store"], &body["object"]),
        (&json!("completed"), &json!(false), &json!("response"))
    );
}

#[test]
fn a_stream_of_the_api_is_read_back_to_the_same_answer() {
    let golden = golden(ANSWER);
    let theirs = golden["events"].as_array().unwrap();
    let events = decoded(theirs.iter().map(|event| &event["data"])).unwrap();
    let answer = folded(&events);
    let ours = streamed(&events, &answer);
    assert_eq!(folded(&decoded(ours.iter()).unwrap()), answer);
    let last = ours.last().unwrap();
    assert_eq!(completion(&last["response"]), answer);
}

#[test]
fn the_answer_says_back_what_was_asked() {
    let call = request::read(
        json!({"model": "m", "input": "Hi", "instructions": "Be brief", "temperature": 0.5,
        "reasoning": {"effort": "low"}, "metadata": {"a": "b"}, "store": true}),
    )
    .unwrap();
    let body = response::write(&Completion::default(), &call.echo, 2);
    assert_eq!(
        (&body["instructions"], &body["temperature"], &body["store"]),
        (&json!("Be brief"), &json!(0.5), &json!(false))
    );
    assert_eq!(body["reasoning"], json!({"effort": "low", "summary": null}));
    assert_eq!(body["metadata"], json!({"a": "b"}));
    assert_eq!(
        (&body["tool_choice"], &body["tools"]),
        (&json!("auto"), &json!([]))
    );
}

fn text(index: u32, text: &str) -> StreamEvent {
    let text = text.into();
    StreamEvent::TextDelta { index, text }
}

fn call(index: u32) -> StreamEvent {
    StreamEvent::ToolCallStart {
        index,
        id: format!("call_{index}"),
        name: "f".into(),
        extra: Map::new(),
    }
}

fn arguments(index: u32, arguments: &str) -> StreamEvent {
    let arguments = arguments.into();
    StreamEvent::ToolCallDelta { index, arguments }
}

fn start() -> StreamEvent {
    StreamEvent::Start {
        id: "resp_1".into(),
        response_model: Some("m-1".into()),
        created: Some(7),
    }
}

#[test]
fn events_come_in_the_vendors_order() {
    let reasoning = StreamEvent::ReasoningDelta {
        index: 0,
        text: "hm".into(),
        signature: None,
        redacted: None,
        extra: Map::new(),
    };
    let mut events = vec![start(), reasoning, text(1, "Hel"), text(1, "lo"), call(2)];
    events.extend([
        arguments(2, "{\"a\""),
        arguments(2, ":1}"),
        call(3),
        arguments(3, "{}"),
    ]);
    let refusal = "No.".to_owned();
    events.push(StreamEvent::RefusalDelta {
        index: 4,
        text: refusal,
    });
    let answer = folded(&events);
    let out = streamed(&events, &answer);
    assert_eq!(
        kinds(&out)[..out.len() - 1],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.refusal.delta",
            "response.refusal.done",
            "response.content_part.done",
            "response.output_item.done",
        ]
    );
    let created = &out[0]["response"];
    assert_eq!(
        (
            &created["id"],
            &created["status"],
            &created["created_at"],
            &created["output"]
        ),
        (
            &json!("resp_1"),
            &json!("in_progress"),
            &json!(7),
            &json!([])
        )
    );
    // What an item was done as is what the whole answer has.
    let last = &out.last().unwrap()["response"];
    let done: Vec<&Value> = out
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| &event["item"])
        .collect();
    assert_eq!(json!(done), last["output"]);
    assert!(done.iter().zip(0..).all(|(item, _)| item["id"].is_string()));
}

#[test]
fn a_note_on_a_text_comes_while_the_text_is_open_and_stands_in_the_whole_answer() {
    let note = |index: u32, url: &str| StreamEvent::Annotation {
        index,
        field: "annotations".into(),
        annotation: json!({"type": "url_citation", "url": url, "start_index": 0, "end_index": 1}),
    };
    let events = [
        start(),
        text(0, "a"),
        note(0, "https://e/1"),
        text(0, "b"),
        note(0, "https://e/2"),
        text(1, "c"),
        note(0, "https://e/late"),
        note(1, "https://e/3"),
    ];
    let out = streamed(&events, &folded(&events));
    let added = |event: &Value| {
        let name = ["output_index", "annotation_index"].map(|name| event[name].as_u64().unwrap());
        (
            name,
            event["annotation"]["url"].as_str().unwrap().to_owned(),
        )
    };
    let told: Vec<_> = out
        .iter()
        .filter(|event| event["type"] == "response.output_text.annotation.added")
        .map(added)
        .collect();
    let url = |number: &str| format!("https://e/{number}");
    assert_eq!(
        told,
        [([0, 0], url("1")), ([0, 1], url("2")), ([1, 0], url("3"))]
    );
    let place = |kind: &str| kinds(&out).iter().position(|k| *k == kind).unwrap();
    assert!(
        place("response.output_text.annotation.added") < place("response.output_text.done"),
        "at once"
    );
    let whole = &out.last().unwrap()["response"]["output"];
    let urls = |item: usize| -> Vec<&str> {
        let notes = whole[item]["content"][0]["annotations"].as_array().unwrap();
        notes.iter().map(|n| n["url"].as_str().unwrap()).collect()
    };
    assert_eq!(
        (urls(0), urls(1)),
        (
            vec!["https://e/1", "https://e/2", "https://e/late"],
            vec!["https://e/3"]
        )
    );
}

#[test]
fn pieces_of_mixed_parts_lose_nothing() {
    let mut events = vec![
        start(),
        text(0, "a"),
        call(1),
        arguments(1, "{\"x\""),
        call(2),
    ];
    events.extend([
        arguments(2, "{\"y\":"),
        arguments(1, ":1}"),
        arguments(2, "2}"),
        text(0, "b"),
    ]);
    events.push(StreamEvent::Finish {
        reason: FinishReason::ToolCalls,
        raw: None,
    });
    let out = streamed(&events, &folded(&events));
    kinds(&out);
    let again = folded(&decoded(out.iter()).unwrap());
    assert_eq!(again.text, "ab");
    let calls: Vec<_> = again
        .tool_calls()
        .map(|call| call.arguments.as_str())
        .collect();
    assert_eq!(calls, ["{\"x\":1}", "{\"y\":2}"]);
    assert_eq!(again.finish_reason, FinishReason::ToolCalls);
}

#[test]
fn why_an_answer_ended_is_said_in_the_apis_words() {
    for (reason, status, details, again) in [
        (
            FinishReason::Stop,
            "completed",
            Value::Null,
            FinishReason::Stop,
        ),
        (
            FinishReason::Length,
            "incomplete",
            json!({"reason": "max_output_tokens"}),
            FinishReason::Length,
        ),
        (
            FinishReason::ContentFilter,
            "incomplete",
            json!({"reason": "content_filter"}),
            FinishReason::ContentFilter,
        ),
        (
            FinishReason::Refusal,
            "incomplete",
            json!({"reason": "content_filter"}),
            FinishReason::ContentFilter,
        ),
        (
            FinishReason::Pause,
            "incomplete",
            json!({"reason": "pause"}),
            FinishReason::Other("pause".into()),
        ),
    ] {
        let mut answer = Completion::from(ossai::Answer {
            parts: vec![OutputPart::Text { text: "a".into() }],
            ..ossai::Answer::default()
        });
        answer.finish_reason = reason;
        let body = response::write(&answer, &echo(), 2);
        assert_eq!(
            (&body["status"], &body["incomplete_details"]),
            (&json!(status), &details)
        );
        assert_eq!(completion(&body).finish_reason, again);
        let last = streamed(&[start(), text(0, "a")], &answer);
        assert_eq!(last.last().unwrap()["type"], format!("response.{status}"));
    }
}

#[test]
fn other_vendors_reasoning_comes_back_as_it_went_out() {
    let reasoning = |signature: Option<&str>, redacted: Option<&str>| ReasoningPart {
        text: "hm".into(),
        signature: signature.map(str::to_owned),
        redacted: redacted.map(str::to_owned),
        extra: Map::new(),
    };
    for part in [
        reasoning(None, None),
        reasoning(Some("sig"), None),
        reasoning(None, Some("hidden")),
    ] {
        let Value::Object(item) = items::reasoning(&items::item_id("rs", "a", 0), &part) else {
            panic!()
        };
        assert_eq!(items::read_reasoning(item, "input[0]").unwrap(), part);
    }
    let input = json!([{"role": "user", "content": "Hi"},
        items::reasoning(&items::item_id("rs", "a", 0), &reasoning(Some("sig"), None)),
        items::function_call("fc_1", "completed", &ToolCall { id: "1".into(), name: "f".into(), arguments: "{}".into(), extra: Map::new() }),
        {"type": "function_call_output", "call_id": "1", "output": "1"}]);
    let sent = passed_on(
        Api::AnthropicMessages,
        &json!({"model": "m", "input": input}),
    );
    assert_eq!(
        sent["messages"][1]["content"][0],
        json!({"type": "thinking", "thinking": "hm", "signature": "sig"})
    );
}

#[test]
fn a_failed_stream_says_so_in_its_last_event() {
    let mut stream = Events::new("req_1", "m", 1, echo(), Names::default());
    let mut out = Vec::new();
    stream.fail(Error::invalid("messages", "expected x"), &mut out);
    assert_eq!(out[0]["type"], "error");
    assert_eq!(
        (&out[0]["param"], &out[0]["sequence_number"]),
        (&json!("input"), &json!(0))
    );
    assert!(decoded(out.iter()).is_err());

    let mut stream = Events::new("req_1", "m", 1, echo(), Names::default());
    let mut out = Vec::new();
    stream.push(&start(), 2, &mut out);
    stream.push(&text(0, "a"), 2, &mut out);
    let error = Error::new(ossai::ErrorKind::RateLimited, "too many");
    stream.fail(error, &mut out);
    assert_eq!(kinds(&out).last(), Some(&"response.failed"));
    let response = &out.last().unwrap()["response"];
    assert_eq!(
        (&response["status"], &response["error"]["code"]),
        (&json!("failed"), &json!("rate_limit_exceeded"))
    );
    let error = decoded(out.iter()).unwrap_err();
    assert_eq!(error.kind(), ossai::ErrorKind::RateLimited);
}
