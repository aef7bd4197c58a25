//! Bodies: literal bytes, JSON, events, generated bulk, and the vendors' usual answers from a few words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{MAX_BODY, Submission, anthropic, batch, event_text, grpc, openai, responses};

/// What a body may depend on.
#[derive(Clone, Debug, Default)]
pub struct RequestView {
    /// The number of the request at its script, the first being 1.
    pub number: u64,
    /// The request's body, if it was JSON.
    pub body: Value,
    /// The script's own address as the client named it, without a path of its own.
    pub base: String,
    /// What made batches before.
    pub earlier: Vec<Submission>,
}

/// A body ready to send.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its usual content type.
    pub content_type: Option<&'static str>,
    /// Headers its vendor sends with it.
    pub headers: Vec<(String, String)>,
    /// Where each SSE event ends.
    pub event_ends: Vec<usize>,
}

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream; charset=utf-8";

/// Renders a body: a string, or an object with exactly one of `json`, `base64`, `sse`, `repeat`, `concat`, `grpc`, `openai_chat`,
/// `openai_chat_stream`, `openai_responses`, `openai_responses_stream`, `openai_embeddings`, `openai_models`,
/// `openai_error`, `anthropic`, `anthropic_stream`, `anthropic_models`, `anthropic_error`, `openai_batch`, `openai_batches`,
/// `openai_batch_results`, `anthropic_batch`, `anthropic_batches`, `anthropic_batch_results`.
///
/// # Errors
/// When it has another shape or is larger than [`MAX_BODY`].
pub fn render(body: &Value, request: &RequestView) -> Result<Rendered, String> {
    let object = match body {
        Value::Null => return Ok(Rendered::default()),
        Value::String(text) => {
            return Ok(plain(
                text.clone().into_bytes(),
                Some("text/plain; charset=utf-8"),
            ));
        }
        Value::Object(object) => object,
        _ => return Err("body: expected a string or an object".into()),
    };
    let mut entries = object.iter();
    let (Some((kind, spec)), None) = (entries.next(), entries.next()) else {
        return Err("body: expected exactly one key".into());
    };
    let rendered = match kind.as_str() {
        "json" => Ok(plain(spec.to_string().into_bytes(), Some(JSON))),
        "base64" => spec
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok())
            .map(|bytes| plain(bytes, Some("application/octet-stream")))
            .ok_or_else(|| "expected base64".to_owned()),
        "sse" => spec
            .as_array()
            .ok_or_else(|| "expected a list of events".to_owned())
            .and_then(|events| events.iter().map(event_text).collect::<Result<Vec<_>, _>>())
            .map(stream),
        "repeat" => repeat(spec),
        "grpc" => grpc::answer(spec).map(|bytes| plain(bytes, Some("application/grpc"))),
        "concat" => concat(spec, request),
        "openai_chat" => openai::chat(spec).map(|v| vendor(&v, "x-request-id", request)),
        "openai_chat_stream" => {
            openai::chat_stream(spec).map(|e| vendor_stream(e, "x-request-id", request))
        }
        "openai_responses" => responses::whole(spec).map(|v| vendor(&v, "x-request-id", request)),
        "openai_responses_stream" => {
            responses::stream(spec).map(|e| vendor_stream(e, "x-request-id", request))
        }
        "openai_embeddings" => {
            openai::embeddings(spec, &request.body).map(|v| vendor(&v, "x-request-id", request))
        }
        "openai_models" => openai::models(spec).map(|v| vendor(&v, "x-request-id", request)),
        "openai_error" => openai::error(spec).map(|v| vendor(&v, "x-request-id", request)),
        "anthropic" => anthropic::whole(spec).map(|v| vendor(&v, "request-id", request)),
        "anthropic_stream" => {
            anthropic::stream(spec).map(|e| vendor_stream(e, "request-id", request))
        }
        "anthropic_models" => anthropic::models(spec).map(|v| vendor(&v, "request-id", request)),
        "anthropic_error" => {
            anthropic::error(spec, request.number).map(|v| vendor(&v, "request-id", request))
        }
        "openai_batch" => batch::openai(spec, request).map(|v| vendor(&v, "x-request-id", request)),
        "openai_batches" => {
            batch::list(spec, request, batch::openai).map(|v| vendor(&v, "x-request-id", request))
        }
        "openai_batch_results" => batch::openai_results(spec, request)
            .map(|bytes| plain(bytes, Some("application/octet-stream"))),
        "anthropic_batch" => {
            batch::anthropic(spec, request).map(|v| vendor(&v, "request-id", request))
        }
        "anthropic_batches" => {
            batch::list(spec, request, batch::anthropic).map(|v| vendor(&v, "request-id", request))
        }
        "anthropic_batch_results" => batch::anthropic_results(spec, request)
            .map(|bytes| plain(bytes, Some("application/x-jsonl"))),
        _ => Err("unknown kind of body".to_owned()),
    };
    let rendered = rendered.map_err(|e| format!("body.{kind}: {e}"))?;
    if rendered.bytes.len() > MAX_BODY {
        return Err(format!("body.{kind}: larger than {MAX_BODY} bytes"));
    }
    Ok(rendered)
}

fn plain(bytes: Vec<u8>, content_type: Option<&'static str>) -> Rendered {
    Rendered {
        bytes,
        content_type,
        ..Rendered::default()
    }
}

fn stream(events: Vec<String>) -> Rendered {
    let mut out = plain(Vec::new(), Some(SSE));
    for event in events {
        out.bytes.extend_from_slice(event.as_bytes());
        out.event_ends.push(out.bytes.len());
    }
    out
}

fn vendor(value: &Value, id_header: &str, request: &RequestView) -> Rendered {
    let mut out = plain(value.to_string().into_bytes(), Some(JSON));
    out.headers
        .push((id_header.into(), format!("req_{}", request.number)));
    out
}

fn vendor_stream(events: Vec<String>, id_header: &str, request: &RequestView) -> Rendered {
    let mut out = stream(events);
    out.headers
        .push((id_header.into(), format!("req_{}", request.number)));
    out
}

fn repeat(spec: &Value) -> Result<Rendered, String> {
    let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default();
    let (Some(unit), Some(count)) = (
        spec.get("text").and_then(Value::as_str),
        spec.get("count").and_then(Value::as_u64),
    ) else {
        return Err(
            "expected `text` and `count`, and if wanted `prefix`, `suffix`, `content_type`".into(),
        );
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if unit.len().saturating_mul(count) > MAX_BODY {
        return Err(format!("larger than {MAX_BODY} bytes"));
    }
    let bytes = [text("prefix"), &unit.repeat(count), text("suffix")]
        .concat()
        .into_bytes();
    let content_type = match text("content_type") {
        "" | "json" => JSON,
        "sse" => SSE,
        _ => return Err("content_type: expected `json` or `sse`".into()),
    };
    Ok(plain(bytes, Some(content_type)))
}

fn concat(spec: &Value, request: &RequestView) -> Result<Rendered, String> {
    let parts = spec.as_array().ok_or("expected a list of bodies")?;
    let mut out = Rendered::default();
    for part in parts {
        let part = render(part, request)?;
        let offset = out.bytes.len();
        out.bytes.extend_from_slice(&part.bytes);
        if part.event_ends.is_empty() && !part.bytes.is_empty() {
            out.event_ends.push(out.bytes.len());
        }
        out.event_ends
            .extend(part.event_ends.iter().map(|end| end + offset));
        if out.content_type.is_none() {
            out.content_type = part.content_type;
            out.headers = part.headers;
        }
    }
    Ok(out)
}

/// The fields a vendor helper takes, so that a misspelt one is found.
pub(super) fn known(spec: &Value, fields: &[&str]) -> Result<(), String> {
    let object = spec.as_object().ok_or("expected an object")?;
    match object.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(format!("`{key}`: expected one of {}", fields.join(", "))),
        None => Ok(()),
    }
}

/// Adds the fields of `spec.extra` to an answer.
pub(super) fn add_extra(answer: &mut Value, spec: &Value) {
    if let (Some(answer), Some(extra)) = (
        answer.as_object_mut(),
        spec.get("extra").and_then(Value::as_object),
    ) {
        answer.extend(extra.clone());
    }
}

/// A usage number in the helpers' short form.
pub(super) fn number(usage: &Value, key: &str, default: u64) -> u64 {
    usage.get(key).and_then(Value::as_u64).unwrap_or(default)
}

/// The usage a spec asks for: `None` for an explicit null, the vendor's own object under `raw`, else what `shape` makes of
/// the short form `{input, output, cache_read, cache_write, cache_write_1h, reasoning}`.
pub(super) fn usage(
    spec: &Value,
    shape: impl Fn(&Value) -> Value,
) -> Result<Option<Value>, String> {
    let usage = match spec.get("usage") {
        Some(Value::Null) => return Ok(None),
        Some(usage) => usage.clone(),
        None => json!({}),
    };
    known(
        &usage,
        &[
            "input",
            "output",
            "cache_read",
            "cache_write",
            "cache_write_1h",
            "reasoning",
            "raw",
        ],
    )
    .map_err(|e| format!("usage: {e}"))?;
    Ok(Some(
        usage.get("raw").cloned().unwrap_or_else(|| shape(&usage)),
    ))
}
