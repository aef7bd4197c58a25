//! The routes of the one port: OpenAI's API, Anthropic's, our own, health and metrics, and beside them the gRPC services.

mod beta;
mod body;
mod chat;
mod embeddings;
pub(crate) mod error;
mod health;
mod messages;
mod models;
mod own;
pub(crate) mod replay;
mod responses;
mod sse;
mod usage;

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use ossai::transport::convert::status_from_error;
use ossai::{CallOptions, Error, ErrorKind, Result};

use crate::app::App;
use crate::call::{Caller, Trailer};
use crate::gate::gate;

pub(crate) use chat::check_messages;
pub(crate) use models::ModelLists;
pub(crate) use own::off_thread;
pub(crate) use usage::{lately, page_size, page_token, usage_page, watch};

/// Everything served on the main port.
pub(crate) fn router(app: &Arc<App>, grpc: Router<Arc<App>>, metrics: bool) -> Router {
    let mut router = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/responses/input_tokens", post(responses::count))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::retrieve))
        .route("/ossai/v1/usage", get(usage::sums))
        .route("/ossai/v1/usage/records", get(usage::records))
        .route("/ossai/v1/usage/trend", get(usage::trend))
        .route("/ossai/v1/usage/anomalies", get(usage::anomalies))
        .route("/ossai/v1/budgets", get(own::budgets))
        .route("/ossai/v1/count", post(own::count))
        .route("/ossai/v1/estimate", post(own::estimate));
    if metrics {
        router = router.route("/metrics", get(health::metrics));
    }
    router
        .merge(grpc)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(app), gate))
        .with_state(Arc::clone(app))
}

/// What is served on a port of its own for metrics.
pub(crate) fn metrics_router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .fallback(no_route)
        .with_state(Arc::clone(app))
}

async fn no_route(uri: Uri, headers: HeaderMap, caller: Option<Extension<Caller>>) -> Response {
    if is_grpc(&headers) {
        let error = Error::new(ErrorKind::Unsupported, "there is no such service here");
        return status_from_error(&error).into_http();
    }
    let hint = if uri.path() == "/metrics" {
        " (it is served on `metrics_bind`)"
    } else {
        ""
    };
    let error = Error::new(
        ErrorKind::NotFound,
        format!("there is nothing at this address{hint}"),
    );
    error::respond_as(
        error::is_anthropic(uri.path(), &headers),
        &error,
        id(caller.as_ref()),
    )
}

fn id(caller: Option<&Extension<Caller>>) -> &str {
    caller.map_or("", |Extension(caller)| &caller.request_id)
}

/// Whether a request's client reads gRPC statuses.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    content_type.starts_with(b"application/grpc")
}

async fn wrong_method(uri: Uri, headers: HeaderMap, caller: Option<Extension<Caller>>) -> Response {
    let error = Error::invalid("method", "expected another one for this address");
    let mut response = error::respond_as(
        error::is_anthropic(uri.path(), &headers),
        &error,
        id(caller.as_ref()),
    );
    *response.status_mut() = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// What a call's headers say of its options, over what its body says.
fn header_options(
    headers: &HeaderMap,
    caller: &Caller,
    mut options: CallOptions,
) -> Result<CallOptions> {
    let text = |name: &'static str| {
        headers
            .get(name)
            .map(|value| {
                value
                    .to_str()
                    .map_err(|_| Error::invalid(name, "expected visible ASCII characters"))
            })
            .transpose()
    };
    match text("x-ossai-cache")? {
        None => {}
        Some("no-cache") => options.cache.no_cache = true,
        Some("refresh") => options.cache.refresh = true,
        Some(_) => {
            return Err(Error::invalid(
                "x-ossai-cache",
                "expected `no-cache` or `refresh`",
            ));
        }
    }
    if let Some(trace) = text("traceparent")? {
        options.traceparent = Some(trace.to_owned());
    }
    if let Some(key) = text("idempotency-key")?.or(options.idempotency_key.as_deref()) {
        let key = valid_idempotency_key("idempotency-key", key)?;
        options.idempotency_key = Some(scoped_key(&caller.identity.tenant, key));
    }
    Ok(options)
}

/// A caller's idempotency key, if it is one.
pub(crate) fn valid_idempotency_key<'a>(field: &str, key: &'a str) -> Result<&'a str> {
    if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(key);
    }
    Err(Error::invalid(
        field,
        "expected 1 to 255 visible ASCII characters",
    ))
}

/// A caller's idempotency key as the provider sees it: two tenants with one key must not get each other's answers where
/// both use the same credential.
pub(crate) fn scoped_key(tenant: &str, key: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 idempotency key v1");
    hasher.update(&(tenant.len() as u64).to_le_bytes());
    hasher.update(tenant.as_bytes());
    hasher.update(key.as_bytes());
    format!("ossai-{}", hasher.finalize().to_hex())
}

/// The headers of an answered call.
fn trailer_headers(headers: &mut HeaderMap, trailer: &Trailer) {
    let mut put = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if let Some(cost) = trailer.cost {
        put(
            "x-ossai-cost-usd",
            cost.to_string().trim_start_matches('$').to_owned(),
        );
    }
    put("x-ossai-cache", trailer.cache.to_owned());
    put("x-ossai-provider", trailer.provider().to_owned());
    put("x-ossai-model", trailer.model.clone());
    put("x-ossai-attempts", trailer.attempts.to_string());
    let micros = trailer.overhead.as_micros();
    put(
        "x-ossai-overhead-ms",
        format!("{}.{:03}", micros / 1000, micros % 1000),
    );
}
