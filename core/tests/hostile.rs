//! Whatever an upstream sends, no decoder panics, and what it lets through folds.

#![allow(clippy::unwrap_used)]

use ossai::call::Fold;
use ossai::cost::usage::{UsageApi, normalise};
use ossai::provider::{
    Api, Progress, StreamDecoder, decode_completion, decode_embedding, decode_error, decode_models,
    decode_stream_error,
};
use ossai::transport::sse::SseEvent;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const APIS: [Api; 3] = [
    Api::OpenAiChat,
    Api::OpenAiResponses,
    Api::AnthropicMessages,
];

const USAGES: [UsageApi; 11] = [
    UsageApi::OpenAiChat,
    UsageApi::OpenAiResponses,
    UsageApi::Anthropic,
    UsageApi::Bedrock,
    UsageApi::Gemini,
    UsageApi::XaiChat,
    UsageApi::XaiResponses,
    UsageApi::Perplexity,
    UsageApi::Cohere,
    UsageApi::OpenAiCompatible,
    UsageApi::OpenAiEmbedding,
];

/// Names and words that mean something to a decoder, so that arbitrary JSON gets past the first look.
const NAMES: &[&str] = &[
    "id",
    "type",
    "index",
    "object",
    "choices",
    "delta",
    "message",
    "content",
    "text",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "finish_reason",
    "usage",
    "error",
    "code",
    "param",
    "data",
    "embedding",
    "output",
    "output_index",
    "content_index",
    "summary_index",
    "item",
    "response",
    "status",
    "content_block",
    "partial_json",
    "thinking",
    "signature",
    "citation",
    "stop_reason",
    "reasoning",
    "reasoning_content",
    "refusal",
    "logprobs",
    "annotations",
    "audio",
    "input",
    "iterations",
    "cache_creation",
    "prompt_tokens",
    "input_tokens",
    "output_tokens",
    "summary",
    "encrypted_content",
    "billed_units",
    "prompt_tokens_details",
    "promptTokensDetails",
    "detail",
    "msg",
    "loc",
    "call_id",
    "function_call",
    "incomplete_details",
    "annotation",
    "has_more",
    "last_id",
    "created_at",
    "innererror",
];
const WORDS: &[&str] = &[
    "",
    "stop",
    "tool_calls",
    "text",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "server_tool_use",
    "text_delta",
    "input_json_delta",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_start",
    "message_delta",
    "message_stop",
    "message",
    "reasoning",
    "function_call",
    "output_text",
    "refusal",
    "completed",
    "failed",
    "incomplete",
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.completed",
    "error",
    "ä\u{0}",
    "2026-01-01T00:00:00Z",
    "AACAPw==",
];

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(0), Just(1), Just(2), any::<i64>()].prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(NAMES), inner), 0..8).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ]
    })
}

/// Arbitrary JSON in a frame that each API looks into.
fn frames(value: &Value, word: &str) -> Vec<Value> {
    vec![
        value.clone(),
        json!({"choices": [{"delta": value, "message": value, "finish_reason": value}], "usage": value}),
        json!({"choices": [{"delta": {"tool_calls": [value, value]}}]}),
        json!({"output": [value, {"type": "message", "content": [value]}], "status": word, "usage": value}),
        json!({"type": word, "index": 0, "output_index": 0, "item": value, "delta": value, "content_block": value,
            "message": value, "response": {"output": [value], "usage": value, "status": word}, "usage": value}),
        json!({"content": [value, {"type": word, "input": value}], "usage": value, "stop_reason": word}),
        json!({"error": value}),
        json!({"data": [value, {"index": 0, "embedding": value}]}),
    ]
}

fn feed(api: Api, texts: &[(String, String)]) -> Result<(), TestCaseError> {
    let mut decoder = StreamDecoder::new(api, UsageApi::OpenAiCompatible);
    let mut fold = Fold::new();
    for (event, data) in texts {
        let mut out = Vec::new();
        let progress = decoder.push(
            &SseEvent {
                event,
                data,
                id: None,
            },
            &mut out,
        );
        for event in &out {
            prop_assert!(
                fold.push(event).is_ok(),
                "the decoder's own events must fold"
            );
        }
        match progress {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => return Ok(()),
            Err(error) => {
                prop_assert!(error.fields().message.chars().count() <= 501);
                return Ok(());
            }
        }
    }
    let mut out = Vec::new();
    let _ = decoder.end(&mut out);
    for event in &out {
        prop_assert!(fold.push(event).is_ok());
    }
    let _ = fold.finish();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_whole_answer_makes_a_decoder_panic(value in json_value(), word in prop::sample::select(WORDS), status in any::<u16>()) {
        for frame in frames(&value, word) {
            let text = frame.to_string();
            for api in APIS {
                let _ = decode_completion(api, UsageApi::Anthropic, text.as_bytes());
                let _ = decode_stream_error(api, &frame);
                let error = decode_error(api, status, &|_| Some(text.clone()), text.as_bytes());
                prop_assert!(error.fields().message.chars().count() <= 501);
            }
            let _ = decode_embedding(text.as_bytes(), 2);
            let _ = decode_models(text.as_bytes());
        }
    }

    #[test]
    fn no_stream_makes_a_decoder_panic_and_its_events_fold(
        values in prop::collection::vec((json_value(), prop::sample::select(WORDS)), 1..6),
    ) {
        for api in APIS {
            for kind in 0..8 {
                let texts: Vec<_> = values
                    .iter()
                    .filter_map(|(value, word)| {
                        let frame = frames(value, word).into_iter().nth(kind)?;
                        Some((word.to_string(), frame.to_string()))
                    })
                    .collect();
                feed(api, &texts)?;
            }
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for api in APIS {
            let _ = decode_completion(api, UsageApi::Gemini, &bytes);
            let _ = decode_error(api, 500, &|_| None, &bytes);
            feed(api, &[(String::new(), String::from_utf8_lossy(&bytes).into_owned())])?;
        }
        let _ = decode_embedding(&bytes, 1);
        let _ = decode_models(&bytes);
    }

    #[test]
    fn no_usage_object_gives_a_part_larger_than_its_whole(value in json_value()) {
        for api in USAGES {
            let u = normalise(api, &value);
            prop_assert!(u.cache_read_tokens.checked_add(u.cache_write_tokens).is_some_and(|n| n <= u.input_tokens));
            prop_assert!(u.cache_write_1h_tokens.checked_add(u.cache_write_12h_tokens).is_some_and(|n| n <= u.cache_write_tokens));
            prop_assert!(u.audio_input_tokens.checked_add(u.image_input_tokens).is_some_and(|n| n <= u.input_tokens));
            prop_assert!(u.reasoning_tokens.checked_add(u.citation_tokens).is_some_and(|n| n <= u.output_tokens));
            prop_assert!(u.audio_output_tokens <= u.output_tokens);
        }
    }
}

#[test]
fn more_tool_calls_than_any_answer_has_are_refused() {
    let mut decoder = StreamDecoder::new(Api::OpenAiChat, UsageApi::OpenAiChat);
    let mut out = Vec::new();
    let mut failed = None;
    for i in 0..5000 {
        let data = json!({"choices": [{"delta": {"tool_calls": [{"index": i, "id": format!("c{i}"), "function": {"name": "f"}}]}}]});
        if let Err(error) = decoder.push(
            &SseEvent {
                event: "",
                data: &data.to_string(),
                id: None,
            },
            &mut out,
        ) {
            failed = Some((i, error));
            break;
        }
    }
    let (at, error) = failed.unwrap();
    assert_eq!((at, error.kind()), (4096, ossai::ErrorKind::DecodeError));
}
