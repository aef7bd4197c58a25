//! What the official SDKs send is read without loss, and what we write they and our own decoder read back.
#![allow(clippy::unwrap_used)]

use ossai::cost::usage::usage_api;
use ossai::provider::{Api, ModelTraits, StreamDecoder, decode_completion, encode_completion};
use ossai::transport::sse::SseEvent;
use ossai::{
    Content, Error, Extra, FinishReason, Part, ResponseFormat, StreamEvent, Tool, ToolChoice,
};
use serde_json::{Map, Value, json};

use super::{chat, embedding, error, request, stream::Chunks};

/// Recorded from the packages named in it.
const REQUESTS: &str = include_str!("fixtures/requests.json");

fn recorded() -> Vec<(String, String, Value)> {
    let rows: Vec<Value> = serde_json::from_str(REQUESTS).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.into_iter()
        .map(|row| (text(&row, "sdk"), text(&row, "path"), row["body"].clone()))
        .collect()
}

/// A body as an upstream that speaks the same format gets it.
fn passed_on(body: &Value) -> Value {
    let call = request::read(body.clone()).unwrap();
    let traits = ModelTraits {
        uses_max_completion_tokens: Some(body.get("max_completion_tokens").is_some()),
        developer_role: Some(true),
        ..ModelTraits::default()
    };
    let wire = encode_completion(
        Api::OpenAiChat,
        &call.request,
        &call.request.model,
        &traits,
        call.stream,
    )
    .unwrap();
    assert!(wire.dropped_params.is_empty(), "{:?}", wire.dropped_params);
    serde_json::from_slice(&wire.body).unwrap()
}

/// What may differ without a loss: fields that say what is so without them, 0 for 0.0,
/// and one stop for a list of one.
fn plain(body: &Value) -> Value {
    let mut body = body.clone();
    let object = body.as_object_mut().unwrap();
    object.retain(|name, value| {
        !(value.is_null() || name == "n" && value == 1 || name == "stream" && value == false)
    });
    if object.get("stream") == Some(&json!(true)) {
        let options = object.entry("stream_options").or_insert_with(|| json!({}));
        options["include_usage"] = true.into();
    }
    if let Some(stop @ Value::String(_)) = object.get_mut("stop") {
        *stop = json!([stop]);
    }
    if let Some(temperature) = object.get_mut("temperature") {
        *temperature = temperature.as_f64().into();
    }
    body
}

#[test]
fn what_the_official_sdks_send_reaches_the_upstream_without_loss() {
    let mut seen = 0;
    for (sdk, path, body) in recorded() {
        if path == "/v1/chat/completions" {
            assert_eq!(passed_on(&body), plain(&body), "{sdk}");
            seen += 1;
        }
    }
    assert_eq!(seen, 10);
}

#[test]
fn embedding_requests_of_the_official_sdks_are_read() {
    let calls: Vec<_> = recorded()
        .into_iter()
        .filter(|(_, path, _)| path == "/v1/embeddings")
        .map(|(_, _, body)| embedding::read(body).unwrap())
        .collect();
    let lengths: Vec<_> = calls
        .iter()
        .map(|call| (call.base64, call.request.input.len()))
        .collect();
    assert_eq!(lengths, [(true, 2), (false, 2), (true, 1)]);
    assert!(calls.iter().all(|call| call.request.extra.is_empty()));
}

#[test]
fn known_fields_are_typed_so_that_every_provider_gets_them() {
    let body = json!({
        "model": "anthropic/claude", "max_completion_tokens": 9, "stop": "x", "reasoning_effort": "low", "top_k": 3,
        "tools": [{"type": "function", "function": {"name": "f", "strict": true}, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ]}],
    });
    let request = request::read(body).unwrap().request;
    assert_eq!(
        (request.max_tokens, request.top_k, request.stop.as_slice()),
        (Some(9), Some(3), &["x".to_owned()][..])
    );
    assert_eq!(request.reasoning_effort.unwrap().as_str(), "low");
    assert_eq!(request.tool_choice, Some(ToolChoice::Function("f".into())));
    assert!(
        matches!(&request.response_format, Some(ResponseFormat::JsonSchema { name, .. }) if name == "s")
    );
    let Tool::Function(tool) = &request.tools[0] else {
        panic!()
    };
    assert_eq!(
        (tool.strict, tool.extra.contains_key("cache_control")),
        (Some(true), true)
    );
    let Content::Parts(parts) = &request.messages[0].content else {
        panic!()
    };
    let kinds: Vec<_> = parts
        .iter()
        .map(|part| match part {
            Part::Image(part) => part.media_type.as_deref().unwrap(),
            Part::File(part) => part.media_type.as_deref().unwrap(),
            Part::Audio(part) => &part.format,
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["image/png", "application/pdf", "wav"]);
    assert!(request.extra.is_empty(), "{:?}", request.extra);
}

#[test]
fn forms_ours_cannot_hold_go_on_whole() {
    for (name, value) in [
        (
            "tool_choice",
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}),
        ),
        (
            "tool_choice",
            json!({"type": "custom", "custom": {"name": "x"}}),
        ),
        (
            "response_format",
            json!({"type": "grammar", "grammar": "x"}),
        ),
        (
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "x"}}),
        ),
        (
            "response_format",
            json!({"type": "json_object", "schema": {}}),
        ),
        ("reasoning_effort", json!("galactic")),
        ("thinking", json!({"type": "enabled"})),
        (
            "tools",
            json!([{"type": "web_search", "user_location": null}]),
        ),
    ] {
        let body =
            json!({ "model": "a/b", "messages": [{"role": "user", "content": "x"}], name: value });
        assert_eq!(passed_on(&body)[name], value);
    }
    for part in [
        json!({"type": "image_url", "image_url": {"url": "https://e/x", "fps": 1}}),
        json!({"type": "video_url", "video_url": {"url": "https://e/x"}}),
        json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}),
        json!({"type": "file", "file": {"file_data": "AAAA", "filename": "a.bin"}}),
    ] {
        let body = json!({ "model": "a/b", "messages": [{"role": "user", "content": [part]}] });
        assert_eq!(passed_on(&body)["messages"][0]["content"][0], part);
    }
}

#[test]
fn wrong_fields_are_refused_by_their_name_in_the_api() {
    let base = json!({ "model": "a/b", "messages": [{"role": "user", "content": "x"}] });
    for (field, change) in [
        ("model", json!({"model": null})),
        ("model", json!({"model": 4})),
        ("messages", json!({"messages": "x"})),
        ("messages", json!({"messages": null})),
        ("messages[0]", json!({"messages": ["x"]})),
        ("messages[0].role", json!({"messages": [{"content": "x"}]})),
        (
            "messages[0].role",
            json!({"messages": [{"role": "function", "name": "f", "content": "x"}]}),
        ),
        (
            "messages[0].content",
            json!({"messages": [{"role": "user"}]}),
        ),
        (
            "messages[0].content",
            json!({"messages": [{"role": "user", "content": 1}]}),
        ),
        (
            "messages[0].content[0].image_url.url",
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
        ),
        (
            "messages[0].content[0].image_url",
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}),
        ),
        (
            "messages[0].tool_calls[0].function.arguments",
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}]}]}),
        ),
        ("n", json!({"n": 2})),
        ("n", json!({"n": "1"})),
        ("stream", json!({"stream": "yes"})),
        (
            "stream_options",
            json!({"stream_options": {"include_usage": true}}),
        ),
        (
            "stream_options.include_usage",
            json!({"stream": true, "stream_options": {"include_usage": 1}}),
        ),
        ("max_tokens", json!({"max_tokens": -1})),
        (
            "max_tokens",
            json!({"max_tokens": 1, "max_completion_tokens": 2}),
        ),
        (
            "max_completion_tokens",
            json!({"max_completion_tokens": 1.5}),
        ),
        ("temperature", json!({"temperature": "warm"})),
        ("seed", json!({"seed": 1e99})),
        ("stop", json!({"stop": [1]})),
        ("tools", json!({"tools": {}})),
        ("tools[0].type", json!({"tools": [{}]})),
        (
            "tools[0].function.name",
            json!({"tools": [{"type": "function", "function": {}}]}),
        ),
        ("tool_choice", json!({"tool_choice": "maybe"})),
        (
            "tool_choice.function.name",
            json!({"tool_choice": {"type": "function", "function": {}}}),
        ),
        ("response_format.type", json!({"response_format": {}})),
        (
            "response_format.json_schema",
            json!({"response_format": {"type": "json_schema"}}),
        ),
        ("functions", json!({"functions": []})),
        ("api_base", json!({"api_base": "http://x"})),
        ("extra_headers", json!({"extra_headers": {}})),
        ("ossai.headers", json!({"ossai": {"headers": {"a": "b"}}})),
        ("ossai.prices", json!({"ossai": {"prices": {}}})),
        (
            "ossai.cache.no_cahe",
            json!({"ossai": {"cache": {"no_cahe": true}}}),
        ),
    ] {
        let mut body = base.clone();
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
fn errors_name_fields_as_the_api_does() {
    for (ours, theirs) in [
        ("tools[3].name", "tools[3].function.name"),
        ("tools[3].parameters", "tools[3].function.parameters"),
        (
            "messages[1].tool_calls[0].name",
            "messages[1].tool_calls[0].function.name",
        ),
        ("tool_choice.name", "tool_choice.function.name"),
        (
            "response_format.schema",
            "response_format.json_schema.schema",
        ),
        ("options.max_cost", "ossai.max_cost"),
        ("temperature", "temperature"),
    ] {
        assert_eq!(
            error::write(&Error::invalid(ours, "x"))["error"]["param"],
            theirs
        );
    }
}

fn answer_with_everything() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "logprobs": {"content": [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}], "refusal": null},
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": "Let me \"see\"\n…", "refusal": null, "reasoning_content": "hm",
                "annotations": [{"type": "url_citation", "url_citation": {"url": "https://e/x", "title": "t", "start_index": 0, "end_index": 1}}],
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                    {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}]}}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 1}},
        "service_tier": "default", "system_fingerprint": "fp_1",
    })
}

fn read_answer(body: &Value) -> ossai::Completion {
    let api = Api::OpenAiChat;
    decode_completion(
        api,
        usage_api("openai", api),
        &serde_json::to_vec(body).unwrap(),
    )
    .unwrap()
}

#[test]
fn an_answer_of_openai_comes_out_as_it_came_in() {
    let body = answer_with_everything();
    assert_eq!(chat::write(&read_answer(&body), 0), body);
}

#[test]
fn a_stream_of_openai_folds_to_the_same_on_both_sides() {
    let api = Api::OpenAiChat;
    let whole = read_answer(&answer_with_everything());
    let mut chunks = Chunks::new("id", "m", 1, true);
    let mut out = Vec::new();
    let events = events_of(&whole);
    for event in &events {
        chunks.push(event, &mut out);
    }
    chunks.push(
        &StreamEvent::End {
            completion: Box::new(whole.clone()),
        },
        &mut out,
    );
    assert_eq!(out[0]["choices"][0]["delta"]["role"], "assistant");
    let last = out.last().unwrap();
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(19))
    );
    assert!(
        out.iter()
            .rev()
            .skip(1)
            .all(|chunk| chunk["usage"].is_null())
    );

    let mut decoder = StreamDecoder::new(api, usage_api("openai", api));
    let mut again = Vec::new();
    let mut fold = ossai::call::Fold::new();
    for chunk in out
        .iter()
        .map(Value::to_string)
        .chain(["[DONE]".to_owned()])
    {
        let event = SseEvent {
            event: "message",
            data: &chunk,
            id: None,
        };
        decoder.push(&event, &mut again).unwrap();
    }
    for event in &again {
        fold.push(event).unwrap();
    }
    let mut folded = fold.finish();
    // The sum stands in every usage object OpenAI sends; ours has the words of the whole answer.
    assert_eq!(folded.usage, whole.usage);
    folded.raw_usage.clone_from(&whole.raw_usage);
    assert_eq!(folded, whole);
}

/// The answer's parts as the events of a stream, text in two pieces.
fn events_of(whole: &ossai::Completion) -> Vec<StreamEvent> {
    use ossai::OutputPart::*;
    let mut events = vec![StreamEvent::Start {
        id: whole.id.clone(),
        response_model: whole.response_model.clone(),
        created: whole.created,
    }];
    for (index, part) in (0..).zip(&whole.parts) {
        match part {
            Text { text } => {
                let (a, b) = text.split_at(3);
                for text in [a, b] {
                    events.push(StreamEvent::TextDelta {
                        index,
                        text: text.into(),
                    });
                }
            }
            Reasoning(part) => events.push(StreamEvent::ReasoningDelta {
                index,
                text: part.text.clone(),
                signature: None,
                redacted: None,
                extra: Extra::new(),
            }),
            ToolCall(call) => {
                events.push(StreamEvent::ToolCallStart {
                    index,
                    id: call.id.clone(),
                    name: call.name.clone(),
                    extra: Extra::new(),
                });
                events.push(StreamEvent::ToolCallDelta {
                    index,
                    arguments: call.arguments.clone(),
                });
            }
            other => panic!("{other:?}"),
        }
    }
    events.push(StreamEvent::Extra {
        fields: whole.extra.clone(),
    });
    events.push(StreamEvent::Finish {
        reason: whole.finish_reason.clone(),
        raw: None,
    });
    events
}

#[test]
fn an_answer_without_text_has_null_content_and_one_without_anything_the_empty_text() {
    let call =
        json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let with = |message: Value| {
        let body = json!({"id": "x", "created": 1, "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
        chat::write(&read_answer(&body), 0)["choices"][0]["message"].clone()
    };
    assert_eq!(
        with(json!({"role": "assistant", "content": null, "tool_calls": call}))["content"],
        Value::Null
    );
    assert_eq!(
        with(json!({"role": "assistant", "content": ""}))["content"],
        ""
    );
    let refusal = with(json!({"role": "assistant", "content": null, "refusal": "no"}));
    assert_eq!(
        (&refusal["content"], &refusal["refusal"]),
        (&Value::Null, &json!("no"))
    );
}

#[test]
fn finish_reasons_are_words_the_sdks_know() {
    for (reason, word) in [
        (FinishReason::Stop, "stop"),
        (FinishReason::Length, "length"),
        (FinishReason::ToolCalls, "tool_calls"),
        (FinishReason::ContentFilter, "content_filter"),
        (FinishReason::Refusal, "stop"),
        (FinishReason::Pause, "stop"),
    ] {
        assert_eq!(chat::finish_reason(&reason), word);
    }
}

#[test]
fn vectors_are_written_as_the_numbers_they_are() {
    let answer = ossai::EmbeddingResponse {
        embeddings: vec![ossai::Embedding {
            index: 0,
            vector: vec![0.1, -1.5, f32::MIN_POSITIVE],
        }],
        ..ossai::EmbeddingResponse::default()
    };
    let text = embedding::write(&answer, false)["data"][0]["embedding"].to_string();
    assert!(text.starts_with("[0.1,-1.5,"), "{text}");
    let numbers: Vec<f32> = serde_json::from_str(&text).unwrap();
    assert_eq!(numbers, answer.embeddings[0].vector);
    assert_eq!(
        embedding::write(&answer, true)["data"][0]["embedding"],
        "zczMPQAAwL8AAIAA"
    );
}

#[test]
fn fields_of_a_model_cannot_replace_ours() {
    let model = ossai::ModelInfo {
        id: "a/b".into(),
        extra: Map::from_iter([
            ("id".to_owned(), json!("x")),
            ("context".to_owned(), json!(5)),
        ]),
        ..ossai::ModelInfo::default()
    };
    let body = super::models::one(&model);
    assert_eq!(
        (&body["id"], &body["context"], &body["owned_by"]),
        (&json!("a/b"), &json!(5), &json!("a"))
    );
}
