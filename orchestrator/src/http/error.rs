//! Errors as HTTP answers. Each says in `x-should-retry` whether trying again makes sense, because the vendors' SDKs
//! would otherwise multiply the tries that were made here.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use ossai::{Error, ErrorKind};
use serde_json::Value;

use super::body::json;
use crate::dialect::{anthropic, openai};
use crate::guard::replay::MISMATCH;

/// The answer to a failed request.
pub(crate) fn respond(error: &Error) -> Response {
    write(error, error.kind().row().http, &openai::error::write(error))
}

/// The same as Anthropic's API has it, or OpenAI's.
pub(crate) fn respond_as(anthropic: bool, error: &Error, request_id: &str) -> Response {
    if anthropic {
        let status = anthropic::error::status(error);
        write(error, status, &anthropic::error::write(error, request_id))
    } else {
        respond(error)
    }
}

/// Whether a request is one of Anthropic's API: by its path, or where both vendors have it, by the header that only
/// Anthropic's clients send.
pub(crate) fn is_anthropic(path: &str, headers: &HeaderMap) -> bool {
    let at = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    at("/v1/messages") || (at("/v1/models") && headers.contains_key("anthropic-version"))
}

/// The same as the Responses API has it: its fields are flatter than those of Chat Completions.
pub(super) fn respond_flat(error: &Error) -> Response {
    write(
        error,
        error.kind().row().http,
        &openai::error::write_flat(error),
    )
}

fn write(error: &Error, status: u16, body: &Value) -> Response {
    let status = if error.fields().detail.as_deref() == Some(MISMATCH) {
        // As the Idempotency-Key draft (draft-ietf-httpapi-idempotency-key-header) says of another request's key.
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let mut response = json(status, body);
    let headers = response.headers_mut();
    let retry = if should_retry(error) { "true" } else { "false" };
    headers.insert("x-should-retry", HeaderValue::from_static(retry));
    if let Some(millis) = error.fields().retry_after_ms {
        headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
        headers.insert("retry-after-ms", HeaderValue::from(millis));
    }
    response
}

/// Only what was refused here, for a reason that passes; an upstream's failure has been tried again already.
pub(crate) fn should_retry(error: &Error) -> bool {
    error.is_retriable()
        && error.fields().attempts.is_empty()
        && error.kind() != ErrorKind::CircuitOpen
}
