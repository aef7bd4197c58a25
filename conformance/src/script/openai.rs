//! OpenAI's Chat Completions, Embeddings, Models and error bodies, as the vendor sends them in November 2026.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::body::{add_extra, known, number, usage};
use super::sse::data;

const MODEL: &str = "gpt-4o-mini-2024-07-18";

fn chat_usage(short: &Value) -> Value {
    let (input, output) = (number(short, "input", 11), number(short, "output", 7));
    json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {
            "cached_tokens": number(short, "cache_read", 0), "cache_write_tokens": number(short, "cache_write", 0),
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": number(short, "reasoning", 0), "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn tool_calls(spec: &Value) -> Vec<Value> {
    let calls = spec
        .get("tool_calls")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let call = |call: &Value| {
        json!({
            "id": call.get("id"), "type": "function",
            "function": {"name": call.get("name"), "arguments": call.get("arguments")},
        })
    };
    calls.iter().map(call).collect()
}

fn finish_reason(spec: &Value) -> Value {
    match spec.get("finish_reason") {
        Some(reason) => reason.clone(),
        None if spec.get("tool_calls").is_some() => json!("tool_calls"),
        None => json!("stop"),
    }
}

fn id_and_model(spec: &Value) -> (Value, Value) {
    (
        spec.get("id")
            .cloned()
            .unwrap_or_else(|| json!("chatcmpl-1")),
        spec.get("model").cloned().unwrap_or_else(|| json!(MODEL)),
    )
}

/// `{text, refusal, reasoning, tool_calls, finish_reason, usage, id, model, message, extra}`.
pub(super) fn chat(spec: &Value) -> Result<Value, String> {
    known(
        spec,
        &[
            "text",
            "refusal",
            "reasoning",
            "tool_calls",
            "finish_reason",
            "usage",
            "id",
            "model",
            "message",
            "extra",
        ],
    )?;
    let (id, model) = id_and_model(spec);
    let mut message = Map::new();
    message.insert("role".into(), json!("assistant"));
    message.insert(
        "content".into(),
        spec.get("text").cloned().unwrap_or(Value::Null),
    );
    message.insert(
        "refusal".into(),
        spec.get("refusal").cloned().unwrap_or(Value::Null),
    );
    if let Some(reasoning) = spec.get("reasoning") {
        message.insert("reasoning_content".into(), reasoning.clone());
    }
    let calls = tool_calls(spec);
    if !calls.is_empty() {
        message.insert("tool_calls".into(), json!(calls));
    }
    if let Some(more) = spec.get("message").and_then(Value::as_object) {
        message.extend(more.clone());
    }
    let mut answer = json!({
        "id": id, "object": "chat.completion", "created": 1_790_000_000, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(spec)}],
    });
    if let Some(usage) = usage(spec, chat_usage)? {
        add_extra(&mut answer, &json!({"extra": {"usage": usage}}));
    }
    add_extra(&mut answer, spec);
    Ok(answer)
}

/// `{deltas, tool_calls, finish_reason, usage, done, id, model, extra}`; a delta is text, or an object that is the
/// choice's `delta`. A tool call may name the `pieces` its arguments come in.
pub(super) fn chat_stream(spec: &Value) -> Result<Vec<String>, String> {
    known(
        spec,
        &[
            "deltas",
            "tool_calls",
            "finish_reason",
            "usage",
            "done",
            "id",
            "model",
            "extra",
        ],
    )?;
    let (id, model) = id_and_model(spec);
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": 1_790_000_000, "model": model,
            "choices": choices, "usage": usage,
        });
        add_extra(&mut chunk, spec);
        data(&chunk)
    };
    let delta = |delta: Value, finish: Value| {
        chunk(
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]),
            Value::Null,
        )
    };
    let mut events = vec![delta(
        json!({"role": "assistant", "content": "", "refusal": null}),
        Value::Null,
    )];
    for piece in spec
        .get("deltas")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        match piece {
            Value::String(text) => events.push(delta(json!({"content": text}), Value::Null)),
            Value::Object(_) => events.push(delta(piece.clone(), Value::Null)),
            _ => return Err("deltas: expected strings and objects".into()),
        }
    }
    for (index, call) in spec
        .get("tool_calls")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let start = json!({"tool_calls": [{
            "index": index, "id": call.get("id"), "type": "function",
            "function": {"name": call.get("name"), "arguments": ""},
        }]});
        events.push(delta(start, Value::Null));
        for piece in pieces(call) {
            let more = json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
            events.push(delta(more, Value::Null));
        }
    }
    let finish = finish_reason(spec);
    if !finish.is_null() {
        events.push(delta(json!({}), finish));
    }
    if let Some(usage) = usage(spec, chat_usage)? {
        events.push(chunk(json!([]), usage));
    }
    if spec.get("done").and_then(Value::as_bool).unwrap_or(true) {
        events.push("data: [DONE]\n\n".into());
    }
    Ok(events)
}

/// The pieces a tool call's arguments come in: its `pieces`, or all of `arguments` at once.
pub(super) fn pieces(call: &Value) -> Vec<Value> {
    match call.get("pieces").and_then(Value::as_array) {
        Some(pieces) => pieces.clone(),
        None => call.get("arguments").cloned().into_iter().collect(),
    }
}

/// `{vectors}` as they are, or `{auto: dims}`: one vector per input, made of the input's length in bytes (or tokens),
/// the number in its digits, and halves. Base64 or floats as the request asked, unless `format` says which.
pub(super) fn embeddings(spec: &Value, request: &Value) -> Result<Value, String> {
    known(
        spec,
        &[
            "vectors", "auto", "format", "usage", "model", "reverse", "extra",
        ],
    )?;
    let vectors = match (
        spec.get("vectors"),
        spec.get("auto").and_then(Value::as_u64),
    ) {
        (Some(vectors), None) => serde_json::from_value::<Vec<Vec<f32>>>(vectors.clone())
            .map_err(|_| "vectors: expected lists of numbers")?,
        (None, Some(dims)) => inputs(request)
            .iter()
            .map(|input| auto(input, dims))
            .collect(),
        _ => return Err("expected `vectors` or `auto`".into()),
    };
    let format = spec
        .get("format")
        .or_else(|| request.get("encoding_format"))
        .and_then(Value::as_str);
    let mut data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = match format {
                Some("base64") => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                    json!(STANDARD.encode(bytes))
                }
                _ => json!(vector),
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    if spec.get("reverse").and_then(Value::as_bool) == Some(true) {
        data.reverse();
    }
    let tokens = vectors.len() as u64;
    let mut answer = json!({
        "object": "list", "data": data,
        "model": spec.get("model").cloned().unwrap_or_else(|| json!("text-embedding-3-small")),
    });
    let shape = |short: &Value| {
        let input = number(short, "input", tokens);
        json!({"prompt_tokens": input, "total_tokens": input})
    };
    if let Some(usage) = usage(spec, shape)? {
        add_extra(&mut answer, &json!({"extra": {"usage": usage}}));
    }
    add_extra(&mut answer, spec);
    Ok(answer)
}

fn inputs(request: &Value) -> Vec<Value> {
    match request.get("input") {
        Some(Value::Array(items)) if items.first().is_some_and(Value::is_number) => {
            vec![json!(items)]
        }
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

#[allow(clippy::cast_precision_loss)]
fn auto(input: &Value, dims: u64) -> Vec<f32> {
    let (length, number) = match input {
        Value::String(text) => {
            let digits: String = text.chars().filter(char::is_ascii_digit).take(7).collect();
            (text.len(), digits.parse::<u32>().unwrap_or(0))
        }
        Value::Array(tokens) => (tokens.len(), 0),
        _ => (0, 0),
    };
    (0..dims)
        .map(|i| match i {
            0 => length as f32,
            1 => number as f32,
            _ => 0.5,
        })
        .collect()
}

/// `{ids, extra}`.
pub(super) fn models(spec: &Value) -> Result<Value, String> {
    known(spec, &["ids", "extra"])?;
    let ids = spec
        .get("ids")
        .and_then(Value::as_array)
        .ok_or("expected `ids`")?;
    let data: Vec<Value> = ids
        .iter()
        .map(|id| json!({"id": id, "object": "model", "created": 1_721_172_741, "owned_by": "system"}))
        .collect();
    let mut answer = json!({"object": "list", "data": data});
    add_extra(&mut answer, spec);
    Ok(answer)
}

/// `{message, type, param, code}`.
pub(super) fn error(spec: &Value) -> Result<Value, String> {
    known(spec, &["message", "type", "param", "code"])?;
    Ok(json!({"error": {
        "message": spec.get("message").cloned().unwrap_or_else(|| json!("The server had an error.")),
        "type": spec.get("type").cloned().unwrap_or_else(|| json!("server_error")),
        "param": spec.get("param"), "code": spec.get("code"),
    }}))
}
