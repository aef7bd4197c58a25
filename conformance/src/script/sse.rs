//! Server-sent events from their parts.

use serde_json::Value;

/// The bytes of one event: a string or an object's `data` is the data line, `event`, `id`, `retry` and `comment` add
/// their lines, `raw` is sent as it is.
///
/// # Errors
/// When the event has another shape.
pub fn event_text(event: &Value) -> Result<String, String> {
    let object = match event {
        Value::String(data) => return Ok(format!("data: {data}\n\n")),
        Value::Object(object) => object,
        _ => return Err("expected an SSE event: a string or an object".into()),
    };
    let mut out = String::new();
    for (key, value) in object {
        if !matches!(
            key.as_str(),
            "data" | "event" | "id" | "retry" | "comment" | "raw"
        ) {
            return Err(format!(
                "`{key}`: expected data, event, id, retry, comment or raw"
            ));
        }
        if key != "data" && !value.is_string() {
            return Err(format!("`{key}`: expected a string"));
        }
    }
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    if let Some(raw) = text("raw") {
        return Ok(raw.to_owned());
    }
    if let Some(comment) = text("comment") {
        out.push_str(&format!(": {comment}\n"));
    }
    for key in ["event", "id", "retry"] {
        if let Some(value) = text(key) {
            out.push_str(&format!("{key}: {value}\n"));
        }
    }
    match object.get("data") {
        None => {}
        Some(Value::String(data)) => {
            for line in data.split('\n') {
                out.push_str(&format!("data: {line}\n"));
            }
        }
        Some(json) => out.push_str(&format!("data: {json}\n")),
    }
    out.push('\n');
    Ok(out)
}

/// `data: <json>` with no event name, as OpenAI's chat endpoint sends it.
pub(super) fn data(json: &Value) -> String {
    format!("data: {json}\n\n")
}

/// `event: <type>` and `data: <json>`, the name being the payload's `type`.
pub(super) fn typed(json: &Value) -> String {
    let name = json
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("message");
    format!("event: {name}\ndata: {json}\n\n")
}
