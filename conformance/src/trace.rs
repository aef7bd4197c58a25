//! What a case left behind: the form compared between languages, and promises that every call keeps.

use serde_json::{Map, Value, json};

/// Fields whose values differ from run to run; the comparable trace keeps only that they were there.
pub const VOLATILE: &[&str] = &[
    "request_id",
    "queue_us",
    "first_token_us",
    "total_us",
    "overhead_us",
    "duration_us",
    "latency_us",
    // Holds the address of a scripted upstream.
    "key",
    "at_us",
    "delay_ms",
    "wait_ms",
    "pace_ms",
    "age_ms",
    "elapsed_ms",
    "cancelled_at_unix_ms",
    "idempotency-key",
    "traceparent",
    "message",
    "retry_after_ms",
];

/// Replaces what differs from run to run or from language to language: values of [`VOLATILE`] fields by `"<name>"`, ports of
/// loopback addresses by `<port>` and script prefixes with them.
#[must_use]
pub fn normalise(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| {
                let value = match VOLATILE.contains(&key.as_str()) && !value.is_null() {
                    true => format!("<{key}>").into(),
                    false => normalise(value),
                };
                (key.clone(), value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(normalise).collect(),
        Value::String(text) => without_ports(text).into(),
        other => other.clone(),
    }
}

fn without_ports(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("127.0.0.1:") {
        let (before, after) = rest.split_at(at + "127.0.0.1:".len());
        out.push_str(before);
        out.push_str("<port>");
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        if let Some(prefix) = rest.strip_prefix("/s") {
            let digits = prefix.chars().take_while(char::is_ascii_digit).count();
            if digits > 0 {
                rest = &prefix[digits..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The pieces of text of a stream's events, in order; an empty one only opens a part and is left out.
#[must_use]
pub fn deltas(events: &[Value]) -> Value {
    let text = |event: &Value| match event.get("type").and_then(Value::as_str) {
        Some("text_delta") => event.get("text").filter(|text| *text != "").cloned(),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

/// Everything in which a call breaks a promise that holds for all: a stream's events fold to its answer, an answer
/// has an end, an unknown price is not an amount, no secret shows.
#[must_use]
pub fn broken_promises(call: &Value, secrets: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let (ok, error) = (call.get("ok"), call.get("error"));
    if ok.is_some() == error.is_some() {
        out.push("expected exactly one of `ok` and `error`".into());
    }
    if let (Some(events), Some(completion)) = (call.get("events").and_then(Value::as_array), ok) {
        check_stream(events, completion, &mut out);
    }
    if let Some(cost) = ok.and_then(|ok| ok.get("cost")) {
        let unknown = cost.get("status") == Some(&json!("unknown"));
        if unknown == cost.get("total").is_some_and(|total| !total.is_null()) {
            out.push(format!(
                "cost: a total exactly when the price is known, got {cost}"
            ));
        }
    }
    if let Some(error) = error {
        for field in ["kind", "message"] {
            if error
                .get(field)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                out.push(format!("error.{field}: expected a text"));
            }
        }
    }
    let text = call.to_string();
    for secret in secrets {
        if text.contains(secret.as_str()) {
            out.push("a secret of the configuration shows in the result".into());
        }
    }
    out
}

fn check_stream(events: &[Value], completion: &Value, out: &mut Vec<String>) {
    let kind = |event: &Value| {
        event
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let ends = events.iter().filter(|event| kind(event) == "end").count();
    if ends != 1 || events.last().is_none_or(|last| kind(last) != "end") {
        out.push(format!(
            "events: expected exactly one `end`, and it last; got {ends} of {}",
            events.len()
        ));
        return;
    }
    // The answer of a tool loop is its last turn's.
    let last_turn = events.iter().rposition(|event| kind(event) == "turn");
    let events = last_turn.and_then(|at| events.get(at..)).unwrap_or(events);
    let folded = fold(events);
    let parts = completion.get("parts").cloned().unwrap_or_default();
    if folded != parts {
        out.push(format!("events fold to {folded}, the answer has {parts}"));
    }
    let text = deltas(events)
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect::<String>();
    if completion.get("text").and_then(Value::as_str) != Some(&text) {
        out.push("the text of the events is not the text of the answer".into());
    }
    let finish = events
        .iter()
        .rev()
        .find(|event| kind(event) == "finish")
        .and_then(|event| event.get("reason"));
    if finish.is_some_and(|reason| Some(reason) != completion.get("finish_reason")) {
        out.push("the finish reason of the events is not that of the answer".into());
    }
}

/// The parts that a stream's events add up to.
#[must_use]
pub fn fold(events: &[Value]) -> Value {
    let mut parts: Vec<Value> = Vec::new();
    for event in events {
        let Some(index) = event
            .get("index")
            .and_then(Value::as_u64)
            .and_then(|i| usize::try_from(i).ok())
        else {
            continue;
        };
        if index > parts.len() {
            return json!("an index was left out");
        }
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = match text("type") {
            "text_delta" => "text",
            "refusal_delta" => "refusal",
            "reasoning_delta" => "reasoning",
            "tool_call_start" => {
                let mut part = json!({"type": "tool_call", "id": event.get("id"), "name": event.get("name"), "arguments": ""});
                add_extra(&mut part, event.get("extra"));
                parts.push(part);
                continue;
            }
            "tool_call_delta" => {
                append(parts.get_mut(index), "arguments", text("arguments"));
                continue;
            }
            "part" => {
                parts.push(event.get("part").cloned().unwrap_or_default());
                continue;
            }
            _ => continue,
        };
        if index == parts.len() {
            parts.push(json!({"type": kind, "text": ""}));
        }
        append(parts.get_mut(index), "text", text("text"));
        if let Some(part) = parts.get_mut(index) {
            for key in ["signature", "redacted"] {
                if let Some(value) = event.get(key).filter(|value| !value.is_null()) {
                    add_extra(part, Some(&json!({key: value})));
                }
            }
            add_extra(part, event.get("extra"));
        }
    }
    Value::Array(parts)
}

fn append(part: Option<&mut Value>, key: &str, more: &str) {
    if let Some(Value::String(text)) = part.and_then(|part| part.get_mut(key)) {
        text.push_str(more);
    }
}

fn add_extra(part: &mut Value, extra: Option<&Value>) {
    if let (Some(part), Some(Value::Object(extra))) = (part.as_object_mut(), extra) {
        part.extend(extra.clone());
    }
}

/// The secrets of a configuration: every `api_key` in it that is long enough to be recognised.
#[must_use]
pub fn secrets(config: &Value) -> Vec<String> {
    let mut out = Vec::new();
    collect_secrets(config, &mut out);
    out
}

fn collect_secrets(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "api_key" && text.len() >= 8 => {
                        out.push(text.clone())
                    }
                    _ => collect_secrets(value, out),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_secrets(item, out)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_two_runs_is_the_same_after_normalising() {
        let run = |port: u16, id: &str, us: u64| json!({"ok": {"request_id": id, "text": format!("see http://127.0.0.1:{port}/s{us}/v1"), "timing": {"total_us": us}}});
        assert_eq!(normalise(&run(4711, "a", 5)), normalise(&run(815, "b", 77)));
        assert_eq!(
            normalise(&run(1, "a", 5))["ok"]["text"],
            "see http://127.0.0.1:<port>/v1"
        );
    }

    #[test]
    fn a_stream_that_does_not_fold_to_its_answer_breaks_a_promise() {
        let answer = |text: &str| json!({"text": text, "parts": [{"type": "text", "text": text}], "finish_reason": "stop"});
        let call = |text: &str| {
            json!({"ok": answer(text), "events": [
                {"type": "start", "id": "x"}, {"type": "text_delta", "index": 0, "text": "He"},
                {"type": "text_delta", "index": 0, "text": "y"}, {"type": "finish", "reason": "stop"},
                {"type": "end", "completion": answer(text)},
            ]})
        };
        assert_eq!(broken_promises(&call("Hey"), &[]), Vec::<String>::new());
        assert!(!broken_promises(&call("Hi"), &[]).is_empty());
    }

    #[test]
    fn tool_calls_and_reasoning_fold_by_index() {
        let events = [
            json!({"type": "reasoning_delta", "index": 0, "text": "hm"}),
            json!({"type": "reasoning_delta", "index": 0, "text": "", "signature": "s"}),
            json!({"type": "tool_call_start", "index": 1, "id": "c", "name": "f"}),
            json!({"type": "tool_call_delta", "index": 1, "arguments": "{\"a\""}),
            json!({"type": "tool_call_delta", "index": 1, "arguments": ":1}"}),
        ];
        assert_eq!(
            fold(&events),
            json!([
                {"type": "reasoning", "text": "hm", "signature": "s"},
                {"type": "tool_call", "id": "c", "name": "f", "arguments": "{\"a\":1}"}
            ])
        );
    }

    #[test]
    fn a_secret_in_a_result_is_found() {
        let secrets = secrets(&json!({"providers": {"x": {"api_key": "sk-very-secret"}}}));
        assert!(
            !broken_promises(
                &json!({"error": {"kind": "x", "message": "bad key sk-very-secret"}}),
                &secrets
            )
            .is_empty()
        );
    }
}
