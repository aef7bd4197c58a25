//! Bodies in and out, as JSON within bounds.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use ossai::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::Value;

use crate::app::App;

/// Reads a request's body as JSON; `serde_json` bounds its depth at 128.
///
/// # Errors
/// `request_too_large`, and `invalid_request` for `body`.
pub(super) async fn read(app: &App, request: Request) -> Result<Value> {
    let (head, body) = request.into_parts();
    let bytes = collect(app, &head.headers, body).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::invalid("body", format_args!("expected JSON: {error}")))
}

/// Reads a request's body, within the bounds of size and time.
pub(super) async fn collect(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes> {
    let limit = app.config.limits.body_bytes;
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Error::invalid(
            "content-encoding",
            "expected none: compressed requests are not supported",
        ));
    }
    let too_large = || {
        Error::new(
            ErrorKind::RequestTooLarge,
            format!("body: expected at most {limit} bytes (`limits.body_bytes`)"),
        )
    };
    if http_body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(too_large());
    }
    let patience = Duration::from_secs(app.config.limits.body_seconds);
    let collected = tokio::time::timeout(patience, Limited::new(body, limit).collect())
        .await
        .map_err(|_| {
            Error::invalid(
                "body",
                format_args!("expected all of it within {} s", patience.as_secs()),
            )
        })?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Error::invalid("body", "it broke off")),
    }
}

/// An answer of JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // What is written here has string keys only and finite numbers or null: it cannot fail.
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
