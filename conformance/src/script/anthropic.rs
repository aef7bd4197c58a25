//! Anthropic's Messages, Models and error bodies.

use serde_json::{Value, json};

use super::body::{add_extra, known, number, usage};
use super::openai::pieces;
use super::sse::typed;

const FIELDS: &[&str] = &[
    "text",
    "deltas",
    "thinking",
    "redacted_thinking",
    "tool_calls",
    "content",
    "stop_reason",
    "stop_sequence",
    "usage",
    "ping",
    "done",
    "id",
    "model",
    "extra",
];

fn short_usage(short: &Value) -> Value {
    let (all, hour) = (
        number(short, "cache_write", 0),
        number(short, "cache_write_1h", 0),
    );
    let mut usage = json!({
        "input_tokens": number(short, "input", 11), "output_tokens": number(short, "output", 7),
        "cache_creation_input_tokens": all, "cache_read_input_tokens": number(short, "cache_read", 0),
        "cache_creation": {
            "ephemeral_5m_input_tokens": all.saturating_sub(hour), "ephemeral_1h_input_tokens": hour,
        },
        "service_tier": "standard",
    });
    if let Some(thinking) = short.get("reasoning") {
        add_extra(
            &mut usage,
            &json!({"extra": {"output_tokens_details": {"thinking_tokens": thinking}}}),
        );
    }
    usage
}

fn text_of(spec: &Value) -> Option<String> {
    if let Some(text) = spec.get("text").and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    let deltas = spec.get("deltas")?.as_array()?;
    Some(deltas.iter().filter_map(Value::as_str).collect())
}

fn arguments(call: &Value) -> Value {
    let text = call
        .get("arguments")
        .and_then(Value::as_str)
        .unwrap_or("{}");
    serde_json::from_str(text).unwrap_or_else(|_| json!({}))
}

/// Blocks, each with the deltas that stream it.
fn blocks(spec: &Value) -> Vec<(Value, Value, Vec<Value>)> {
    let mut out = Vec::new();
    if let Some(thinking) = spec.get("thinking") {
        let (text, signature) = (thinking.get("text"), thinking.get("signature"));
        out.push((
            json!({"type": "thinking", "thinking": text, "signature": signature}),
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            vec![
                json!({"type": "thinking_delta", "thinking": text}),
                json!({"type": "signature_delta", "signature": signature}),
            ],
        ));
    }
    if let Some(data) = spec.get("redacted_thinking") {
        let block = json!({"type": "redacted_thinking", "data": data});
        out.push((block.clone(), block, Vec::new()));
    }
    if let Some(text) = text_of(spec) {
        let whole = json!([text]);
        let deltas = spec.get("deltas").unwrap_or(&whole).as_array();
        let deltas = deltas
            .into_iter()
            .flatten()
            .map(|text| json!({"type": "text_delta", "text": text}));
        let deltas = deltas.collect();
        out.push((
            json!({"type": "text", "text": text}),
            json!({"type": "text", "text": ""}),
            deltas,
        ));
    }
    for call in spec
        .get("tool_calls")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let block = |input: Value| json!({"type": "tool_use", "id": call.get("id"), "name": call.get("name"), "input": input});
        let deltas = pieces(call)
            .into_iter()
            .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
        out.push((block(arguments(call)), block(json!({})), deltas.collect()));
    }
    for block in spec
        .get("content")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        out.push((block.clone(), block.clone(), Vec::new()));
    }
    out
}

fn stop_reason(spec: &Value) -> Value {
    match spec.get("stop_reason") {
        Some(reason) => reason.clone(),
        None if spec.get("tool_calls").is_some() => json!("tool_use"),
        None => json!("end_turn"),
    }
}

fn envelope(spec: &Value, content: Vec<Value>, stop_reason: Value, usage: Option<Value>) -> Value {
    let mut answer = json!({
        "id": spec.get("id").cloned().unwrap_or_else(|| json!("msg_01")), "type": "message", "role": "assistant",
        "model": spec.get("model").cloned().unwrap_or_else(|| json!("claude-sonnet-4-5-20250929")),
        "content": content, "stop_reason": stop_reason, "stop_sequence": null,
    });
    if let Some(usage) = usage {
        add_extra(&mut answer, &json!({"extra": {"usage": usage}}));
    }
    add_extra(&mut answer, spec);
    answer
}

/// `{text | deltas, thinking: {text, signature}, redacted_thinking, tool_calls, content, stop_reason, usage, id, model,
/// extra}`; `content` holds further blocks as they are.
pub(super) fn whole(spec: &Value) -> Result<Value, String> {
    known(spec, FIELDS)?;
    let content = blocks(spec).into_iter().map(|(block, ..)| block).collect();
    let mut answer = envelope(spec, content, stop_reason(spec), usage(spec, short_usage)?);
    if let Some(sequence) = spec.get("stop_sequence") {
        add_extra(&mut answer, &json!({"extra": {"stop_sequence": sequence}}));
    }
    Ok(answer)
}

/// The same answer as events. `done: false` leaves out `message_stop`, `stop_reason: null` also `message_delta`.
pub(super) fn stream(spec: &Value) -> Result<Vec<String>, String> {
    known(spec, FIELDS)?;
    let usage = usage(spec, short_usage)?;
    let mut first = usage.clone();
    if let Some(first) = first.as_mut().and_then(Value::as_object_mut) {
        first.insert("output_tokens".into(), json!(1));
        first.remove("output_tokens_details");
    }
    let message = envelope(spec, Vec::new(), Value::Null, first);
    let mut events = vec![json!({"type": "message_start", "message": message})];
    for (index, (_, begun, deltas)) in blocks(spec).into_iter().enumerate() {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": begun}));
        if index == 0 && spec.get("ping").and_then(Value::as_bool).unwrap_or(true) {
            events.push(json!({"type": "ping"}));
        }
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let stop = stop_reason(spec);
    if !stop.is_null() {
        let delta = json!({"stop_reason": stop, "stop_sequence": spec.get("stop_sequence")});
        let mut event = json!({"type": "message_delta", "delta": delta});
        if let Some(usage) = usage {
            add_extra(&mut event, &json!({"extra": {"usage": usage}}));
        }
        events.push(event);
    }
    if spec.get("done").and_then(Value::as_bool).unwrap_or(true) {
        events.push(json!({"type": "message_stop"}));
    }
    Ok(events.iter().map(typed).collect())
}

/// `{ids, has_more}`: one page of the models list.
pub(super) fn models(spec: &Value) -> Result<Value, String> {
    known(spec, &["ids", "has_more"])?;
    let ids = spec
        .get("ids")
        .and_then(Value::as_array)
        .ok_or("expected `ids`")?;
    let data: Vec<Value> = ids
        .iter()
        .map(|id| {
            json!({
                "id": id, "type": "model", "display_name": id, "created_at": "2025-09-29T00:00:00Z",
                "lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000,
            })
        })
        .collect();
    let more = spec
        .get("has_more")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    Ok(json!({"data": data, "has_more": more, "first_id": ids.first(), "last_id": ids.last()}))
}

/// `{type, message}`.
pub(super) fn error(spec: &Value, number: u64) -> Result<Value, String> {
    known(spec, &["type", "message"])?;
    Ok(json!({
        "type": "error",
        "error": {
            "type": spec.get("type").cloned().unwrap_or_else(|| json!("api_error")),
            "message": spec.get("message").cloned().unwrap_or_else(|| json!("Internal server error")),
        },
        "request_id": format!("req_{number}"),
    }))
}
