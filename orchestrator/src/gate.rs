//! What every request passes before anything of it is read beyond its head: host, origin, key, rates, and room for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use ossai::transport::convert::status_from_error;
use ossai::{Error, ErrorKind, Result};

use crate::app::App;
use crate::call::{Caller, Place};
use crate::config::Auth;
use crate::guard::replay::MISMATCH;
use crate::http::{error, is_grpc, replay};
use crate::store::keyring::Identity;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// When there may be room again: nobody knows.
const ROOM_HINT: Duration = Duration::from_secs(1);
/// Longest header of a key looked at.
const MAX_KEY_HEADER: usize = 512;

/// A route's name in metrics, and whether it serves everybody.
struct Route {
    name: &'static str,
    open: bool,
}

fn route(path: &str) -> Route {
    let (name, open) = match path {
        "/livez" | "/readyz" | "/metrics" => ("health", true),
        "/v1/chat/completions" => ("chat_completions", false),
        "/v1/embeddings" => ("embeddings", false),
        "/v1/messages" => ("messages", false),
        "/v1/responses" => ("responses", false),
        "/v1/messages/count_tokens" => ("count_tokens", false),
        "/v1/responses/input_tokens" => ("input_tokens", false),
        "/v1/models" => ("models", false),
        _ if path.starts_with("/v1/models/") => ("models", false),
        _ if path.starts_with("/ossai/v1/") => ("ossai", false),
        _ if path.starts_with("/grpc.health.v1.Health/") => ("grpc_health", true),
        _ if path.starts_with("/ossai.orchestrator.v1.") => ("grpc", false),
        _ if path.starts_with("/grpc.reflection.") => ("grpc_reflection", false),
        _ => ("other", false),
    };
    Route { name, open }
}

/// Lets a request in with its [`Caller`], or answers it in the form its client reads.
pub(crate) async fn gate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let arrived = Instant::now();
    let route = route(request.uri().path());
    let anthropic = error::is_anthropic(request.uri().path(), request.headers());
    let id = request_id(request.headers());
    let is_grpc = is_grpc(request.headers());
    let admitted = admit(&app, &request, &route, &id, arrived);
    let mut response = match admitted {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            if is_grpc {
                // Its key is in the message, which the services read.
                next.run(request).await
            } else {
                replay::answer(&app, request, next).await
            }
        }
        Err(error) => {
            let reason = reason(&error);
            tracing::info!(request_id = %id, route = route.name, outcome = error.kind().name(), reason, "refused");
            app.metrics.refused(reason);
            if is_grpc {
                status_from_error(&error).into_http()
            } else {
                error::respond_as(anthropic, &error, &id)
            }
        }
    };
    app.metrics
        .responded(route.name, response.status().as_u16());
    if let Ok(id) = HeaderValue::from_str(&id) {
        if anthropic {
            // Anthropic's name for it.
            response.headers_mut().insert("request-id", id.clone());
        }
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn admit(
    app: &Arc<App>,
    request: &Request,
    route: &Route,
    id: &Arc<str>,
    arrived: Instant,
) -> Result<Option<Caller>> {
    check_host(app, request)?;
    check_origin(app, request.headers())?;
    if route.open {
        return Ok(None);
    }
    let identity = identify(app, request.headers())?;
    if app.is_closing() {
        return Err(Error::new(
            ErrorKind::ShuttingDown,
            "the server is shutting down",
        ));
    }
    let room = Arc::clone(&app.room).try_acquire_owned().map_err(|_| {
        Error::new(
            ErrorKind::Overloaded,
            "too many requests under way (`limits.concurrent_requests`)",
        )
        .with(|fields| fields.retry_after_ms = u64::try_from(ROOM_HINT.as_millis()).ok())
    })?;
    // A refusal gives the room back at once.
    let seat = app.limiter.admit(&identity, arrived)?;
    Ok(Some(Caller {
        identity,
        request_id: Arc::clone(id),
        arrived,
        place: Arc::new(Place::new(room, seat)),
    }))
}

/// Why a request was refused, as a label of metrics.
pub(crate) fn reason(error: &Error) -> &'static str {
    const KNOWN: &[&str] = &[
        "requests_per_minute",
        "tokens_per_minute",
        "concurrency",
        "host",
        "origin",
        "idempotency_running",
        MISMATCH,
    ];
    let detail = error.fields().detail.as_deref().unwrap_or_default();
    KNOWN
        .iter()
        .find(|known| **known == detail)
        .copied()
        .unwrap_or(error.kind().name())
}

/// A page in a browser can reach this machine by a name of its own (DNS rebinding), but not under our names.
fn check_host(app: &App, request: &Request) -> Result<()> {
    if !app.config.is_loopback() {
        return Ok(());
    }
    let header = request
        .headers()
        .get(HOST)
        .map(|value| value.to_str().unwrap_or_default());
    let Some(host) = request.uri().host().or_else(|| header.map(without_port)) else {
        return Ok(());
    };
    let name = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let is_address = name
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback());
    let is_local = name == "localhost" || name.ends_with(".localhost");
    if is_address
        || is_local
        || app
            .config
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&name))
    {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::PermissionDenied,
        "this server does not answer to that host name (`hosts` permits it)",
    )
    .with(|fields| fields.detail = Some("host".into())))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|b| b.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => authority,
    }
}

fn check_origin(app: &App, headers: &HeaderMap) -> Result<()> {
    let allowed = |origin: &HeaderValue| {
        app.config
            .origins
            .iter()
            .any(|known| known.as_bytes() == origin.as_bytes())
    };
    if headers.get_all(ORIGIN).iter().all(allowed) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::PermissionDenied,
        "requests from that origin are not allowed (`origins` permits them)",
    )
    .with(|fields| fields.detail = Some("origin".into())))
}

fn identify(app: &App, headers: &HeaderMap) -> Result<Identity> {
    if app.auth == Auth::Off {
        return Ok(app.nobody.clone());
    }
    let bearer = header(headers, &AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    // Anthropic's clients name it so.
    let presented = bearer.or_else(|| header(headers, &API_KEY));
    // A missing key takes the same way as a wrong one.
    app.keyring
        .check(presented.unwrap_or_default())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Authentication,
                "the API key is missing or not valid (`authorization: Bearer ossai_…` or `x-api-key: ossai_…`)",
            )
        })
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers
        .get(name)
        .filter(|value| value.len() <= MAX_KEY_HEADER)
        .and_then(|value| value.to_str().ok())
}

/// The caller's id if it is a sane one, else one of ours.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    if let Some(id) =
        given.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Arc::from(id);
    }
    let mut random = [0_u8; 16];
    if getrandom::fill(&mut random).is_err() {
        // Without randomness an id still tells requests of one process apart.
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        return Arc::from(format!("req_{next}"));
    }
    Arc::from(format!("req_{:032x}", u128::from_be_bytes(random)))
}
