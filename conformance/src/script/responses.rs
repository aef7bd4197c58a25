//! OpenAI's Responses bodies and events.

use serde_json::{Value, json};

use super::body::{add_extra, known, number, usage};
use super::openai::pieces;
use super::sse::typed;

const FIELDS: &[&str] = &[
    "text",
    "deltas",
    "refusal",
    "reasoning",
    "tool_calls",
    "status",
    "incomplete_reason",
    "error",
    "usage",
    "id",
    "model",
    "extra",
];

fn short_usage(short: &Value) -> Value {
    let (input, output) = (number(short, "input", 11), number(short, "output", 7));
    json!({
        "input_tokens": input, "output_tokens": output, "total_tokens": input + output,
        "input_tokens_details": {
            "cached_tokens": number(short, "cache_read", 0), "cache_write_tokens": number(short, "cache_write", 0),
        },
        "output_tokens_details": {"reasoning_tokens": number(short, "reasoning", 0)},
    })
}

fn text_of(spec: &Value) -> Option<String> {
    if let Some(text) = spec.get("text").and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    let deltas = spec.get("deltas")?.as_array()?;
    Some(deltas.iter().filter_map(Value::as_str).collect())
}

fn message_part(spec: &Value) -> Option<Value> {
    match spec.get("refusal") {
        Some(refusal) => Some(json!({"type": "refusal", "refusal": refusal})),
        None => text_of(spec).map(
            |text| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
        ),
    }
}

fn output(spec: &Value) -> Vec<Value> {
    let mut items = Vec::new();
    if let Some(reasoning) = spec.get("reasoning") {
        items.push(json!({
            "id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": reasoning}],
        }));
    }
    if let Some(part) = message_part(spec) {
        items.push(json!({
            "id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part],
        }));
    }
    for (i, call) in spec
        .get("tool_calls")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        items.push(json!({
            "id": format!("fc_{}", i + 1), "type": "function_call", "status": "completed", "call_id": call.get("id"),
            "name": call.get("name"), "arguments": call.get("arguments"),
        }));
    }
    items
}

fn envelope(spec: &Value, status: &Value, output: Vec<Value>, usage: Value) -> Value {
    let mut answer = json!({
        "id": spec.get("id").cloned().unwrap_or_else(|| json!("resp_1")), "object": "response",
        "created_at": 1_790_000_000, "status": status, "error": spec.get("error"),
        "incomplete_details": spec.get("incomplete_reason").map(|reason| json!({"reason": reason})),
        "model": spec.get("model").cloned().unwrap_or_else(|| json!("gpt-4o-mini-2024-07-18")),
        "output": output, "parallel_tool_calls": true, "usage": usage,
    });
    add_extra(&mut answer, spec);
    answer
}

fn status(spec: &Value) -> Value {
    let default = match (spec.get("error"), spec.get("incomplete_reason")) {
        (Some(_), _) => "failed",
        (_, Some(_)) => "incomplete",
        _ => "completed",
    };
    spec.get("status")
        .cloned()
        .unwrap_or_else(|| json!(default))
}

/// `{text | deltas, refusal, reasoning, tool_calls, status, incomplete_reason, error, usage, id, model, extra}`.
pub(super) fn whole(spec: &Value) -> Result<Value, String> {
    known(spec, FIELDS)?;
    let usage = usage(spec, short_usage)?.unwrap_or(Value::Null);
    Ok(envelope(spec, &status(spec), output(spec), usage))
}

/// The same answer as events; `status: null` leaves out the last one.
pub(super) fn stream(spec: &Value) -> Result<Vec<String>, String> {
    known(spec, FIELDS)?;
    let mut events: Vec<Value> = Vec::new();
    let running = envelope(spec, &json!("in_progress"), Vec::new(), Value::Null);
    events.push(json!({"type": "response.created", "response": running}));
    events.push(json!({"type": "response.in_progress", "response": running}));
    for (index, item) in output(spec).into_iter().enumerate() {
        item_events(spec, index, &item, &mut events);
    }
    let status = status(spec);
    if let Some(name) = status.as_str() {
        let usage = usage(spec, short_usage)?.unwrap_or(Value::Null);
        let response = envelope(spec, &status, output(spec), usage);
        events.push(json!({"type": format!("response.{name}"), "response": response}));
    }
    for (number, event) in events.iter_mut().enumerate() {
        if let Some(event) = event.as_object_mut() {
            event.insert("sequence_number".into(), json!(number));
        }
    }
    Ok(events.iter().map(typed).collect())
}

fn item_events(spec: &Value, index: usize, item: &Value, events: &mut Vec<Value>) {
    let id = item.get("id").cloned().unwrap_or(Value::Null);
    let kind = item.get("type").and_then(Value::as_str).unwrap_or_default();
    let mut begun = item.clone();
    if let Some(begun) = begun.as_object_mut() {
        begun.insert("status".into(), json!("in_progress"));
        for (key, empty) in [
            ("content", json!([])),
            ("summary", json!([])),
            ("arguments", json!("")),
        ] {
            if begun.contains_key(key) {
                begun.insert(key.into(), empty);
            }
        }
    }
    events
        .push(json!({"type": "response.output_item.added", "output_index": index, "item": begun}));
    let at = |extra: Value| {
        let mut event = json!({"item_id": id, "output_index": index});
        add_extra(&mut event, &json!({"extra": extra}));
        event
    };
    match kind {
        "message" => message_events(spec, &at, events),
        "reasoning" => {
            let text = spec.get("reasoning").cloned().unwrap_or(Value::Null);
            let part = |text: &Value| json!({"type": "summary_text", "text": text});
            let mut push = |kind: &str, extra: Value| {
                let mut event = at(extra);
                add_extra(
                    &mut event,
                    &json!({"extra": {"type": kind, "summary_index": 0}}),
                );
                events.push(event);
            };
            push(
                "response.reasoning_summary_part.added",
                json!({"part": part(&json!(""))}),
            );
            push(
                "response.reasoning_summary_text.delta",
                json!({"delta": text}),
            );
            push(
                "response.reasoning_summary_text.done",
                json!({"text": text}),
            );
            push(
                "response.reasoning_summary_part.done",
                json!({"part": part(&text)}),
            );
        }
        _ => {
            let calls = spec.get("tool_calls").and_then(Value::as_array);
            let call_id = item.get("call_id");
            let call = calls
                .into_iter()
                .flatten()
                .find(|call| call.get("id") == call_id);
            for piece in call.map(pieces).unwrap_or_default() {
                events.push(at(
                    json!({"type": "response.function_call_arguments.delta", "delta": piece}),
                ));
            }
            events.push(at(json!({
                "type": "response.function_call_arguments.done", "arguments": item.get("arguments"),
            })));
        }
    }
    events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
}

fn message_events(spec: &Value, at: &dyn Fn(Value) -> Value, events: &mut Vec<Value>) {
    let Some(part) = message_part(spec) else {
        return;
    };
    let refusal = spec.get("refusal").is_some();
    let empty = if refusal {
        json!({"type": "refusal", "refusal": ""})
    } else {
        json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
    };
    let mut push = |kind: &str, extra: Value| {
        let mut event = at(extra);
        add_extra(
            &mut event,
            &json!({"extra": {"type": kind, "content_index": 0}}),
        );
        events.push(event);
    };
    push("response.content_part.added", json!({"part": empty}));
    if refusal {
        push(
            "response.refusal.delta",
            json!({"delta": spec.get("refusal")}),
        );
        push(
            "response.refusal.done",
            json!({"refusal": spec.get("refusal")}),
        );
    } else {
        let whole = json!([text_of(spec)]);
        let deltas = spec.get("deltas").unwrap_or(&whole).as_array();
        for delta in deltas.into_iter().flatten() {
            push(
                "response.output_text.delta",
                json!({"delta": delta, "logprobs": []}),
            );
        }
        push(
            "response.output_text.done",
            json!({"text": text_of(spec), "logprobs": []}),
        );
    }
    push("response.content_part.done", json!({"part": part}));
}
