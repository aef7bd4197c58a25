//! Errors in Anthropic's form: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

use ossai::{Error, ErrorKind};
use serde_json::{Value, json};

/// An error's body; `request_id` is that of the response's header.
pub(crate) fn write(error: &Error, request_id: &str) -> Value {
    json!({
        "type": "error",
        "error": { "type": words(error).1, "message": error.fields().message },
        "request_id": request_id,
    })
}

/// The status this API has for it.
pub(crate) fn status(error: &Error) -> u16 {
    words(error).0
}

/// Status and type (Anthropic, "Errors"): its own for what it knows, `api_error` with our status for all else.
fn words(error: &Error) -> (u16, &'static str) {
    let status = error.kind().row().http;
    match error.kind() {
        ErrorKind::InvalidRequest
        | ErrorKind::ContextLengthExceeded
        | ErrorKind::ContentFiltered
        | ErrorKind::Unsupported => (400, "invalid_request_error"),
        ErrorKind::Authentication => (status, "authentication_error"),
        ErrorKind::QuotaExhausted | ErrorKind::BudgetExceeded | ErrorKind::PriceUnknown => {
            (status, "billing_error")
        }
        ErrorKind::PermissionDenied => (status, "permission_error"),
        ErrorKind::NotFound => (status, "not_found_error"),
        ErrorKind::Conflict => (status, "conflict_error"),
        ErrorKind::RequestTooLarge => (status, "request_too_large"),
        ErrorKind::RateLimited => (status, "rate_limit_error"),
        ErrorKind::Timeout => (status, "timeout_error"),
        ErrorKind::Overloaded
        | ErrorKind::CircuitOpen
        | ErrorKind::ShuttingDown
        | ErrorKind::BudgetUnavailable => (529, "overloaded_error"),
        _ => (status, "api_error"),
    }
}
