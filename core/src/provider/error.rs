//! Reads vendors' errors into our kinds: by the body's code first, then by the status (behaviour §2.1, §2.15).

use serde_json::Value;

use super::redact::clean;
use super::{Api, read};
use crate::{Error, ErrorKind};

/// Most characters of a vendor's message that are passed on.
const MAX_MESSAGE: usize = 500;

/// Words that say more than any status.
const CODES: &[(ErrorKind, &[&str])] = &[
    (
        ErrorKind::QuotaExhausted,
        &[
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "billing_error",
            "billing_hard_limit_reached",
            "billing_not_active",
            "exceeded_current_quota_error",
            "insufficient_balance",
            "insufficient_credits",
            "payment_required",
            "quota_exhausted",
        ],
    ),
    (
        ErrorKind::ContextLengthExceeded,
        &[
            "context_length_exceeded",
            "context_window_exceeded",
            "exceed_context_size_error",
            "model_context_window_exceeded",
        ],
    ),
    (
        ErrorKind::ContentFiltered,
        &[
            "content_filter",
            "content_filtered",
            "content_policy_violation",
            "moderation_blocked",
            "responsibleaipolicyviolation",
            "bio_policy",
            "cyber_policy",
            "misalignment_policy_violation",
        ],
    ),
    (
        ErrorKind::Authentication,
        &[
            "invalid_api_key",
            "authentication_error",
            "invalid_authentication_error",
            "authenticationerror",
            "authentication",
            "unauthenticated",
            "incorrect_api_key",
            "missing_api_key",
        ],
    ),
    (
        ErrorKind::PermissionDenied,
        &[
            "permission_error",
            "permission_denied",
            "permissiondeniederror",
            "unsupported_country_region_territory",
            "access_denied",
            "data_residency_mismatch",
        ],
    ),
    (
        ErrorKind::NotFound,
        &[
            "model_not_found",
            "not_found_error",
            "not_found",
            "notfounderror",
            "deploymentnotfound",
        ],
    ),
    (
        ErrorKind::Overloaded,
        &[
            "overloaded_error",
            "overloaded",
            "engine_overloaded",
            "engine_overloaded_error",
            "server_overloaded",
            "model_overloaded",
            "slow_down",
            "unavailable",
            "unavailable_error",
            "capacity_exceeded",
            "server_is_overloaded",
        ],
    ),
    (
        ErrorKind::RateLimited,
        &[
            "rate_limit_error",
            "rate_limit_exceeded",
            "rate_limit_reached_error",
            "ratelimiterror",
            "rate_limited",
            "too_many_requests",
            "resource_exhausted",
        ],
    ),
    (ErrorKind::RequestTooLarge, &["request_too_large"]),
    (ErrorKind::Conflict, &["conflict_error", "conflict"]),
    (ErrorKind::BudgetExceeded, &["budget_exceeded"]),
    (ErrorKind::PriceUnknown, &["price_unknown"]),
    (ErrorKind::BudgetUnavailable, &["budget_unavailable"]),
    (ErrorKind::CircuitOpen, &["circuit_open"]),
    (ErrorKind::ShuttingDown, &["shutting_down"]),
    (ErrorKind::Unsupported, &["unsupported"]),
];

/// Words that only count where no status says more, as inside a stream.
const WEAK: &[(ErrorKind, &[&str])] = &[(
    ErrorKind::InvalidRequest,
    &[
        "invalid_request_error",
        "invalid_request",
        "badrequesterror",
        "invalid_argument",
        "validation_error",
        "invalid_prompt",
        "unprocessableentityerror",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_url",
        "invalid_base64_image",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "failed_to_download_image",
        "image_file_too_large",
        "empty_image_file",
        "image_file_not_found",
        "unsupported_image_media_type",
    ],
)];

/// How vendors say in prose that a prompt does not fit.
const CONTEXT: &[&str] = &[
    "maximum context length",
    "context length",
    "context window",
    "context limit",
    "context size",
    "prompt is too long",
    "input is too long",
    "maximum prompt length",
    "maximum model length",
    "model token limit",
    "reduce the length of the messages",
    "input token count",
];

/// What a body says, whatever its shape.
#[derive(Default)]
struct Said {
    message: String,
    code: Option<String>,
    kind: Option<String>,
    param: Option<String>,
    /// A status inside the body.
    status: Option<u16>,
    request_id: Option<String>,
}

/// Reads an answer that is no success.
///
/// The message is the vendor's, on one line, at most 500 characters, keys taken out; a body that is no JSON is described
/// and, where it is plain text, quoted. `retry_after` is left to the transport, which knows the clock.
#[must_use]
pub fn decode_error(
    api: Api,
    status: u16,
    header: &dyn Fn(&str) -> Option<String>,
    body: &[u8],
) -> Error {
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(value) => said(&value),
        Err(_) => Said {
            message: prose(body),
            ..Said::default()
        },
    };
    let ids = match api {
        Api::AnthropicMessages => ["request-id", "x-request-id"],
        _ => ["x-request-id", "request-id"],
    };
    let more = ["apim-request-id", "x-amzn-requestid", "x-amz-request-id"];
    let id = ids.into_iter().chain(more).find_map(header);
    let mut error = build(said, Some(status));
    if let Some(id) = id.filter(|id| id.bytes().all(|b| b.is_ascii_graphic())) {
        error.fields_mut().upstream_request_id = Some(id.chars().take(256).collect());
    }
    error
}

/// Reads an error that came inside a stream or a successful answer: the event's data, or the object holding `error`.
#[must_use]
pub fn decode_stream_error(api: Api, value: &Value) -> Error {
    let holder = match api {
        // `response.failed` carries the whole response.
        Api::OpenAiResponses => value.get("response").unwrap_or(value),
        _ => value,
    };
    build(said(holder), None)
}

fn build(said: Said, status: Option<u16>) -> Error {
    let real = status.filter(|status| *status >= 400);
    let (kind, detail) = classify(&said, real.or(said.status));
    let message = match (said.message.is_empty(), real) {
        (false, _) => said.message,
        (true, Some(status)) => format!("the provider answered with status {status}"),
        (true, None) => "the provider reported an error without saying which".to_owned(),
    };
    Error::new(kind, message).with(|fields| {
        fields.http_status = status;
        fields.detail = detail.map(str::to_owned);
        fields.provider_code = said.code.or(said.kind);
        fields.field = said.param;
        fields.upstream_request_id = said.request_id;
    })
}

fn classify(said: &Said, status: Option<u16>) -> (ErrorKind, Option<&'static str>) {
    let find = |table: &[(ErrorKind, &[&str])]| {
        [&said.code, &said.kind]
            .into_iter()
            .flatten()
            .find_map(|word| {
                let word = word.to_ascii_lowercase();
                table
                    .iter()
                    .find(|(_, words)| words.contains(&word.as_str()))
                    .map(|(kind, _)| *kind)
            })
    };
    if let Some(kind) = find(CODES) {
        return (kind, None);
    }
    let message = said.message.to_ascii_lowercase();
    if matches!(status, None | Some(400 | 413 | 422)) {
        if CONTEXT.iter().any(|words| message.contains(words)) {
            return (ErrorKind::ContextLengthExceeded, None);
        }
        if message.contains("credit balance is too low") {
            return (ErrorKind::QuotaExhausted, None);
        }
    }
    let timed_out = [&said.code, &said.kind]
        .into_iter()
        .flatten()
        .any(|word| word == "timeout_error");
    let kind = match status {
        Some(408 | 504) => return (ErrorKind::UpstreamError, Some("timeout")),
        _ if timed_out => return (ErrorKind::UpstreamError, Some("timeout")),
        None => find(WEAK).unwrap_or(ErrorKind::UpstreamError),
        Some(401) => ErrorKind::Authentication,
        Some(402) => ErrorKind::QuotaExhausted,
        Some(403) => ErrorKind::PermissionDenied,
        Some(404) => ErrorKind::NotFound,
        Some(409) => ErrorKind::Conflict,
        Some(413) => ErrorKind::RequestTooLarge,
        Some(429) => ErrorKind::RateLimited,
        // 498 is Groq's for no free capacity, 529 Anthropic's for too much load.
        Some(498 | 503 | 529) => ErrorKind::Overloaded,
        Some(425) => ErrorKind::UpstreamError,
        Some(501) => ErrorKind::Unsupported,
        Some(400..=499) => ErrorKind::InvalidRequest,
        Some(_) => ErrorKind::UpstreamError,
    };
    (kind, None)
}

fn said(value: &Value) -> Said {
    // Gemini wraps its error in a list.
    let root = value.get(0).unwrap_or(value);
    let error = match &root["error"] {
        Value::Null => root,
        // A status in `type` of the root, not of the error.
        error => error,
    };
    let word = |v: &Value, max| match v {
        Value::String(text) if !text.is_empty() => Some(clean(text, max)),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    };
    let message = match error {
        Value::String(text) => clean(text, MAX_MESSAGE),
        _ => [
            &error["message"],
            &error["detail"],
            &error["msg"],
            &root["message"],
        ]
        .into_iter()
        .find(|v| !v.is_null())
        .map(spoken)
        .unwrap_or_default(),
    };
    let number = [&error["code"], &error["status"], &root["code"]]
        .into_iter()
        .find_map(read::integer);
    let text_code = |v: &Value| v.as_str().and_then(|text| text.parse::<u64>().ok());
    let number = number.or_else(|| text_code(&error["code"]));
    let inner = &error["innererror"]["code"];
    // A number is a status, not a code, when another word is there.
    let codes = [&error["code"], inner, &error["status"], &root["code"]];
    let named = codes.into_iter().find(|v| {
        v.as_str()
            .is_some_and(|code| code.parse::<u64>().is_err() && !code.is_empty())
    });
    let kind = match &error["type"] {
        Value::String(kind) if kind != "error" => word(&error["type"], 100),
        _ => word(&root["error_type"], 100),
    };
    let numbered = codes
        .into_iter()
        .find(|v| v.is_number())
        .filter(|_| kind.is_none());
    Said {
        message,
        code: named.or(numbered).and_then(|code| word(code, 100)),
        kind,
        param: word(&error["param"], 200),
        status: number
            .and_then(|n| u16::try_from(n).ok())
            .filter(|n| (400..600).contains(n)),
        request_id: word(&root["request_id"], 256),
    }
}

/// A message that may be no string: FastAPI's `detail` is a list of places and sentences.
fn spoken(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text, MAX_MESSAGE),
        Value::Array(items) => {
            let sentences: Vec<String> = items.iter().take(5).filter_map(sentence).collect();
            clean(&sentences.join("; "), MAX_MESSAGE)
        }
        Value::Object(object) => object
            .get("detail")
            .or(object.get("message"))
            .map(spoken)
            .unwrap_or_default(),
        _ => String::new(),
    }
}

fn sentence(item: &Value) -> Option<String> {
    let message = item["msg"].as_str().or(item.as_str())?;
    let place: Vec<String> = item["loc"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| {
            step.as_str()
                .map_or_else(|| step.to_string(), str::to_owned)
        })
        .collect();
    Some(if place.is_empty() {
        message.to_owned()
    } else {
        format!("{}: {message}", place.join("."))
    })
}

/// A body that is no JSON: plain text is quoted, pages and bytes only described.
fn prose(body: &[u8]) -> String {
    let bytes = body.len();
    match std::str::from_utf8(body).map(str::trim) {
        Ok("") => String::new(),
        Ok(text) if text.starts_with('<') => {
            format!("the provider sent a page of {bytes} bytes instead of an error")
        }
        Ok(text) if !text.starts_with(['{', '[']) => clean(text, MAX_MESSAGE),
        _ => format!("the provider sent {bytes} unreadable bytes instead of an error"),
    }
}
