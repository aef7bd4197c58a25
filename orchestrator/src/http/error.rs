//! Errors as HTTP answers. Each says in `x-should-retry` whether trying again makes sense, because OpenAI's SDKs would
//! otherwise multiply the tries that were made here.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use ossai::{Error, ErrorKind};
use serde_json::Value;

use super::body::json;
use crate::dialect::openai;

/// The answer to a failed request.
pub(crate) fn respond(error: &Error) -> Response {
    respond_with(error, &openai::error::write(error))
}

/// The same with the body of another API.
pub(super) fn respond_with(error: &Error, body: &Value) -> Response {
    let status =
        StatusCode::from_u16(error.kind().row().http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
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
