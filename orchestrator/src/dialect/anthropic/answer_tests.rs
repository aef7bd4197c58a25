//! Answers, streams and errors come out as Anthropic's API gives them.
#![allow(clippy::unwrap_used)]

use ossai::cost::usage::usage_api;
use ossai::provider::{Api, StreamDecoder, decode_completion};
use ossai::transport::sse::SseEvent;
use ossai::{Answer, Completion, Error, ErrorKind, Extra, FinishReason, StreamEvent, Usage};
use serde_json::{Value, json};

use super::{error, message, stream::Events};

fn answer_with_everything() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "b3BhcXVl"},
            {"type": "text", "text": "Let me see."},
            {"type": "text", "text": "It is blue.", "citations": [
                {"type": "char_location", "cited_text": "blue", "document_index": 0, "document_title": null,
                 "start_char_index": 0, "end_char_index": 4},
            ]},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, 2.5, null]}, "caller": {"type": "direct"}},
            {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {
            "input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 40,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15},
            "output_tokens_details": {"thinking_tokens": 9}, "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
            "service_tier": "standard", "inference_geo": "eu",
        },
        "container": {"id": "c-1", "expires_at": "2026-11-21T00:00:00Z"},
    })
}

fn read_answer(body: &Value) -> Completion {
    let api = Api::AnthropicMessages;
    decode_completion(
        api,
        usage_api("anthropic", api),
        &serde_json::to_vec(body).unwrap(),
    )
    .unwrap()
}

#[test]
fn an_answer_of_anthropic_comes_out_as_it_came_in() {
    let mut body = answer_with_everything();
    assert_eq!(message::write(&read_answer(&body)), body);
    for (reason, sequence) in [
        ("end_turn", json!(null)),
        ("stop_sequence", json!("###")),
        ("max_tokens", json!(null)),
        ("model_context_window_exceeded", json!(null)),
        ("pause_turn", json!(null)),
        ("refusal", json!(null)),
        ("a_new_one", json!(null)),
    ] {
        body["stop_reason"] = reason.into();
        body["stop_sequence"] = sequence;
        assert_eq!(message::write(&read_answer(&body)), body);
    }
}

/// What the vendor's own events become on their way through the core.
fn through(theirs: &[Value]) -> Vec<Value> {
    let api = Api::AnthropicMessages;
    let mut decoder = StreamDecoder::new(api, usage_api("anthropic", api));
    let mut events = Vec::new();
    for event in theirs {
        let event = SseEvent {
            event: event["type"].as_str().unwrap(),
            data: &event.to_string(),
            id: None,
        };
        decoder.push(&event, &mut events).unwrap();
    }
    ours(events)
}

/// The events with their end, as they go out.
fn ours(mut events: Vec<StreamEvent>) -> Vec<Value> {
    let mut fold = ossai::call::Fold::new();
    for event in &events {
        fold.push(event).unwrap();
    }
    events.push(StreamEvent::End {
        completion: Box::new(fold.finish()),
    });
    let mut written = Events::new("req_1", "anthropic/claude");
    let mut out = Vec::new();
    for event in &events {
        written.push(event, || None, &mut out);
    }
    out
}

#[test]
fn a_stream_of_anthropic_comes_out_event_by_event_as_it_came_in() {
    let usage = |input: u64, output: u64| {
        json!({
            "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 7, "output_tokens": output,
            "service_tier": "standard",
        })
    };
    let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let theirs = [
        json!({"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage(3, 1),
        }}),
        json!({"type": "ping"}),
        start(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(0, json!({"type": "thinking_delta", "thinking": "H"})),
        delta(0, json!({"type": "thinking_delta", "thinking": "m."})),
        delta(0, json!({"type": "signature_delta", "signature": "c2ln"})),
        stop(0),
        start(1, json!({"type": "redacted_thinking", "data": "b3BhcXVl"})),
        stop(1),
        start(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "Let me "})),
        delta(
            2,
            json!({"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x", "document_index": 0}}),
        ),
        delta(2, json!({"type": "text_delta", "text": "see.\r\n"})),
        delta(
            2,
            json!({"type": "citations_delta", "citation": {"type": "web_search_result_location", "url": "https://e/x"}}),
        ),
        stop(2),
        start(
            3,
            json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
        ),
        stop(3),
        start(
            4,
            json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}),
        ),
        delta(
            4,
            json!({"type": "input_json_delta", "partial_json": "{\"a\": "}),
        ),
        delta(4, json!({"type": "input_json_delta", "partial_json": "1}"})),
        stop(4),
        start(
            5,
            json!({"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}),
        ),
        delta(5, json!({"type": "input_json_delta", "partial_json": "{}"})),
        stop(5),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null, "container": {"id": "c-1"}},
               "usage": usage(3, 40)}),
        json!({"type": "message_stop"}),
    ];
    assert_eq!(through(&theirs), theirs);
}

fn call(index: u32) -> StreamEvent {
    StreamEvent::ToolCallStart {
        index,
        id: format!("toolu_{index}"),
        name: "f".into(),
        extra: Extra::new(),
    }
}

fn piece(index: u32, arguments: &str) -> StreamEvent {
    StreamEvent::ToolCallDelta {
        index,
        arguments: arguments.into(),
    }
}

#[test]
fn tool_calls_whose_pieces_alternate_come_one_after_the_other() {
    let text = |index, text: &str| StreamEvent::TextDelta {
        index,
        text: text.into(),
    };
    for events in [
        vec![
            call(0),
            call(1),
            piece(0, "{\"a\":"),
            piece(1, "{\"b\":"),
            piece(0, "1}"),
            piece(1, "2}"),
            text(2, "x"),
        ],
        vec![
            call(0),
            call(1),
            piece(1, "{\"b\":2"),
            piece(1, "}"),
            text(2, "x"),
            piece(0, "{\"a\":"),
            piece(0, "1}"),
        ],
        vec![
            call(0),
            piece(0, "{\"a\":1}"),
            call(1),
            piece(1, "{\"b\":2}"),
            piece(0, " "),
            text(2, "x"),
        ],
    ] {
        let out = ours(events);
        let mut open: Option<(u64, String)> = None;
        let mut blocks = Vec::new();
        for event in &out {
            match (event["type"].as_str().unwrap(), open.as_mut()) {
                ("content_block_start", None) => {
                    open = Some((event["index"].as_u64().unwrap(), String::new()))
                }
                ("content_block_delta", Some((index, text))) => {
                    assert_eq!(event["index"], *index);
                    let delta = &event["delta"];
                    text.push_str(
                        delta["partial_json"]
                            .as_str()
                            .or(delta["text"].as_str())
                            .unwrap(),
                    );
                }
                ("content_block_stop", Some(_)) => blocks.extend(open.take()),
                ("message_start" | "ping" | "message_delta" | "message_stop", None) => {}
                (kind, open) => panic!("{kind} with {open:?} open"),
            }
        }
        let blocks: Vec<_> = blocks
            .iter()
            .map(|(index, text)| (*index, text.trim()))
            .collect();
        assert_eq!(blocks, [(0, "{\"a\":1}"), (1, "{\"b\":2}"), (2, "x")]);
    }
}

#[test]
fn brackets_in_strings_do_not_end_a_calls_arguments() {
    let events = vec![
        call(0),
        call(1),
        piece(0, "{\"a\": \"}\\\"}"),
        piece(1, "{}"),
        piece(0, "\"}"),
    ];
    let places: Vec<_> = ours(events)
        .iter()
        .filter(|event| event["type"] == "content_block_delta")
        .map(|event| event["index"].as_u64().unwrap())
        .collect();
    assert_eq!(places, [0, 0, 1]);
}

#[test]
fn arguments_cut_off_by_a_limit_are_not_lost_and_end_their_block() {
    let out = ours(vec![call(0), piece(0, "{\"a\":")]);
    let kinds: Vec<_> = out
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds[3..6],
        ["content_block_delta", "content_block_stop", "message_delta"]
    );
    let call = ossai::ToolCall {
        arguments: "{\"a\":".into(),
        ..ossai::ToolCall::default()
    };
    let answer = Answer {
        parts: vec![ossai::OutputPart::ToolCall(call)],
        ..Answer::default()
    };
    assert_eq!(
        message::write(&Completion::from(answer))["content"][0]["input"],
        "{\"a\":"
    );
}

#[test]
fn every_reason_to_stop_has_its_word() {
    for (reason, raw, word) in [
        (FinishReason::Stop, None, "end_turn"),
        (FinishReason::Stop, Some("STOP"), "end_turn"),
        (FinishReason::Stop, Some("stop_sequence"), "stop_sequence"),
        (FinishReason::Length, None, "max_tokens"),
        (FinishReason::ToolCalls, None, "tool_use"),
        (FinishReason::ContentFilter, Some("SAFETY"), "refusal"),
        (FinishReason::Refusal, None, "refusal"),
        (FinishReason::Pause, None, "pause_turn"),
        (FinishReason::Other("eof".into()), None, "eof"),
    ] {
        let answer = Answer {
            finish_reason: reason,
            raw_finish_reason: raw.map(str::to_owned),
            ..Answer::default()
        };
        assert_eq!(
            message::write(&Completion::from(answer))["stop_reason"],
            word
        );
    }
}

#[test]
fn usage_of_other_vendors_is_split_as_anthropic_splits_it() {
    let raw = json!({"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109});
    let answer = Answer {
        usage: Usage {
            input_tokens: 100,
            output_tokens: 9,
            cache_read_tokens: 60,
            cache_write_tokens: 30,
            cache_write_1h_tokens: 10,
            reasoning_tokens: 4,
            ..Usage::default()
        },
        raw_usage: Some(raw.into()),
        ..Answer::default()
    };
    assert_eq!(
        message::write(&Completion::from(answer))["usage"],
        json!({
            "input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 60, "output_tokens": 9,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
            "output_tokens_details": {"thinking_tokens": 4},
        })
    );
}

#[test]
fn errors_have_anthropics_status_and_type() {
    for (kind, status, word) in [
        (ErrorKind::InvalidRequest, 400, "invalid_request_error"),
        (
            ErrorKind::ContextLengthExceeded,
            400,
            "invalid_request_error",
        ),
        (ErrorKind::Unsupported, 400, "invalid_request_error"),
        (ErrorKind::Authentication, 401, "authentication_error"),
        (ErrorKind::QuotaExhausted, 402, "billing_error"),
        (ErrorKind::PermissionDenied, 403, "permission_error"),
        (ErrorKind::NotFound, 404, "not_found_error"),
        (ErrorKind::Conflict, 409, "conflict_error"),
        (ErrorKind::RequestTooLarge, 413, "request_too_large"),
        (ErrorKind::RateLimited, 429, "rate_limit_error"),
        (ErrorKind::Internal, 500, "api_error"),
        (ErrorKind::UpstreamError, 502, "api_error"),
        (ErrorKind::Timeout, 504, "timeout_error"),
        (ErrorKind::Overloaded, 529, "overloaded_error"),
        (ErrorKind::CircuitOpen, 529, "overloaded_error"),
    ] {
        let error = Error::new(kind, "it broke");
        assert_eq!(error::status(&error), status);
        assert_eq!(
            error::write(&error, "req_1"),
            json!({"type": "error", "error": {"type": word, "message": "it broke"}, "request_id": "req_1"})
        );
    }
}
