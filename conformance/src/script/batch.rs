//! The vendors' batch APIs: batches, lists of them and results, which repeat what the requests before them said.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::body::{RequestView, known};
use super::date::rfc3339;
use super::render;

/// A request that made a batch, or brought its file.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// The path, without the script's prefix.
    pub path: String,
    /// The body as it is logged.
    pub body: Value,
}

impl Submission {
    /// Whether a request is one.
    #[must_use]
    pub fn is_one(method: &str, path: &str) -> bool {
        method == "POST" && (path.ends_with("/files") || path.ends_with("/batches"))
    }

    /// The requests in it, each with its id and as text.
    fn requests(&self) -> Vec<(String, String)> {
        let one = |request: Value| {
            let id = request.get("custom_id")?.as_str()?.to_owned();
            Some((id, request.to_string()))
        };
        match (
            &self.body,
            self.body.get("requests").and_then(Value::as_array),
        ) {
            (Value::String(form), _) => form
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .filter_map(one)
                .collect(),
            (_, Some(requests)) => requests.iter().cloned().filter_map(one).collect(),
            _ => Vec::new(),
        }
    }
}

fn text<'a>(spec: &'a Value, name: &str, default: &'a str) -> &'a str {
    spec.get(name).and_then(Value::as_str).unwrap_or(default)
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// OpenAI's batch: `id`, `status`, `output` and `errors_in` (files' ids), `errors` (why it failed), `metadata` (that of the
/// last one made, unless said otherwise).
pub(super) fn openai(spec: &Value, request: &RequestView) -> Result<Value, String> {
    known(
        spec,
        &["id", "status", "output", "errors_in", "errors", "metadata"],
    )?;
    let made = request.earlier.iter().rev();
    let made = made.filter(|sent| sent.path.ends_with("/batches"));
    let own = Submission {
        path: String::new(),
        body: request.body.clone(),
    };
    let metadata = std::iter::once(&own)
        .chain(made)
        .find_map(|sent| sent.body.get("metadata").cloned());
    Ok(json!({
        "id": text(spec, "id", "batch_1"),
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "errors": spec.get("errors").map(|list| json!({"object": "list", "data": list})),
        "input_file_id": "file-in",
        "completion_window": "24h",
        "status": text(spec, "status", "in_progress"),
        "output_file_id": spec.get("output"),
        "error_file_id": spec.get("errors_in"),
        "created_at": seconds_since_1970(),
        "metadata": spec.get("metadata").cloned().or(metadata),
    }))
}

/// Anthropic's: `id`, `status`, `results_url` (its own, unless said otherwise), `requests` (how many; those of the last one made).
pub(super) fn anthropic(spec: &Value, request: &RequestView) -> Result<Value, String> {
    known(spec, &["id", "status", "results_url", "requests"])?;
    let id = text(spec, "id", "msgbatch_1");
    let status = text(spec, "status", "in_progress");
    let ended = status == "ended";
    let own = format!("{}/v1/messages/batches/{id}/results", request.base);
    let url = spec
        .get("results_url")
        .cloned()
        .unwrap_or_else(|| own.into());
    let own = request
        .body
        .get("requests")
        .and_then(Value::as_array)
        .map(Vec::len);
    let last = || {
        request
            .earlier
            .iter()
            .rev()
            .map(|sent| sent.requests().len())
            .find(|n| *n > 0)
    };
    let given = spec.get("requests").and_then(Value::as_u64);
    let count = given
        .or_else(|| own.or_else(last).map(|n| n as u64))
        .unwrap_or(0);
    let (processing, succeeded) = if ended { (0, count) } else { (count, 0) };
    Ok(json!({
        "id": id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {"processing": processing, "succeeded": succeeded, "errored": 0, "canceled": 0, "expired": 0},
        "ended_at": null,
        "created_at": rfc3339(SystemTime::now()),
        "results_url": if ended { url } else { Value::Null },
    }))
}

/// A list of either's: `batches`, `has_more`.
pub(super) fn list(
    spec: &Value,
    request: &RequestView,
    one: fn(&Value, &RequestView) -> Result<Value, String>,
) -> Result<Value, String> {
    known(spec, &["batches", "has_more"])?;
    let batches = spec.get("batches").and_then(Value::as_array);
    let batches = batches.ok_or("expected `batches`")?;
    let batches: Vec<_> = batches
        .iter()
        .map(|batch| one(batch, request))
        .collect::<Result<_, _>>()?;
    let more = spec.get("has_more").cloned().unwrap_or(json!(false));
    let last = batches.last().and_then(|last| last.get("id")).cloned();
    Ok(json!({"object": "list", "data": batches, "has_more": more, "last_id": last}))
}

/// The id of the request sent before whose text holds `of`, or `id` as it is; none where there is no such request.
fn id_of(spec: &Value, request: &RequestView) -> Result<Option<String>, String> {
    if let Some(id) = spec.get("id").and_then(Value::as_str) {
        return Ok(Some(id.to_owned()));
    }
    let of = spec.get("of").and_then(Value::as_str);
    let of = of.ok_or("expected `of` or `id`")?;
    if request.number == 0 {
        // A script that is read has no requests yet.
        return Ok(Some(String::new()));
    }
    let sent = request.earlier.iter().rev();
    let mut found = sent.flat_map(Submission::requests);
    Ok(found.find_map(|(id, text)| text.contains(of).then_some(id)))
}

fn rendered(spec: &Value, request: &RequestView) -> Result<Value, String> {
    let body = spec.get("body").cloned().unwrap_or_default();
    let bytes = render(&body, request)?.bytes;
    serde_json::from_slice(&bytes).map_err(|error| format!("body: {error}"))
}

fn lines(
    spec: &Value,
    one: impl Fn(&Value) -> Result<Option<Value>, String>,
) -> Result<Vec<u8>, String> {
    let list = spec.as_array().ok_or("expected a list of results")?;
    let mut out = Vec::new();
    for spec in list {
        match spec.as_str() {
            // As it is.
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => match one(spec)? {
                Some(line) => out.extend_from_slice(line.to_string().as_bytes()),
                None => continue,
            },
        }
        out.push(b'\n');
    }
    Ok(out)
}

/// The lines of a file of OpenAI's results: each `of` a request, with `body` and `status`, or `error`.
pub(super) fn openai_results(spec: &Value, request: &RequestView) -> Result<Vec<u8>, String> {
    lines(spec, |spec| {
        known(spec, &["of", "id", "body", "status", "error"])?;
        let response = match spec.get("body") {
            None => Value::Null,
            Some(_) => json!({
                "status_code": spec.get("status").cloned().unwrap_or(json!(200)),
                "request_id": "req_batched",
                "body": rendered(spec, request)?,
            }),
        };
        let line = |id| json!({"id": "batch_req_1", "custom_id": id, "response": response, "error": spec.get("error")});
        Ok(id_of(spec, request)?.map(line))
    })
}

/// The lines of Anthropic's: each `of` a request, with `body` (a message), or `error`, or another `type`.
pub(super) fn anthropic_results(spec: &Value, request: &RequestView) -> Result<Vec<u8>, String> {
    lines(spec, |spec| {
        known(spec, &["of", "id", "body", "type", "error"])?;
        let result = if spec.get("body").is_some() {
            json!({"type": "succeeded", "message": rendered(spec, request)?})
        } else if let Some(error) = spec.get("error") {
            json!({"type": "errored", "error": {"type": "error", "error": error, "request_id": "req_batched"}})
        } else {
            json!({"type": text(spec, "type", "expired")})
        };
        let line = |id| json!({"custom_id": id, "result": result});
        Ok(id_of(spec, request)?.map(line))
    })
}
