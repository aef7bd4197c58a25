//! Liveness, readiness and metrics.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::app::App;

fn text(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// The process answers.
pub(super) async fn live() -> Response {
    text(StatusCode::OK, "ok\n")
}

/// New calls are welcome. It says nothing of providers: one that is down is no reason to send calls elsewhere.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_leaving() {
        text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
    } else {
        text(StatusCode::OK, "ok\n")
    }
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut response = text(StatusCode::OK, app.metrics.render(app.in_flight()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
