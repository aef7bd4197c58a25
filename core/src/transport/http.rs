//! The direct road: HTTP requests whose every phase has a limit and whose every fault has a name.
//!
//! The HTTP stack below does no retries of its own but the transparent ones (a request that provably never reached the
//! server). Redirects are not followed across origins: a redirected request would carry the credential and the prompt
//! to a host nobody chose (behaviour §1, §2.14).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use rustls::crypto::CryptoProvider;

use super::proxy::Proxies;
use super::timer::IdleTimer;
use super::tls;
use crate::client::config::Config;
use crate::error::{Billed, Error, ErrorKind, Result};
use crate::retry::Clock;

/// Most bytes of an error body that are looked at (behaviour §2.14).
const MAX_ERROR_BODY: u64 = 64 * 1024;
/// Most bytes of response headers.
const MAX_HEADERS: usize = 64 * 1024;
/// Most redirects within one origin.
const MAX_REDIRECTS: usize = 5;

/// Where a try is, for the name of a time-out.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

impl Phase {
    const NAMES: [&'static str; 4] = ["queue", "first_byte", "body", "idle"];

    fn set(&self, phase: u8) {
        self.0.store(phase, Relaxed);
    }

    /// Something is on its way to the upstream.
    pub(crate) fn sent(&self) {
        self.set(1);
    }

    /// The phase's name in an error.
    pub(crate) fn name(&self) -> &'static str {
        Self::NAMES
            .get(usize::from(self.0.load(Relaxed)))
            .copied()
            .unwrap_or("body")
    }

    /// Whether the request may have reached the server.
    pub(crate) fn was_sent(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

/// Limits of one try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) first_byte: Option<Duration>,
    pub(crate) idle: Duration,
    pub(crate) max_body: u64,
}

/// One HTTP client: its pool of connections is shared by all calls of a [`crate::Client`].
pub(crate) struct Http {
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

/// A request, ready to send.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A response whose body is still to be read.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    inner: reqwest::Response,
    idle: IdleTimer,
    read: u64,
    max_body: u64,
}

impl Http {
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self> {
        // The stack asks for a process-wide provider and panics without one; an already installed one is as good.
        let _ = CryptoProvider::install_default(rustls::crypto::ring::default_provider());
        let scale = config.testing.time_scale.unwrap_or(1).max(1);
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(Duration::from_millis(config.timeouts.connect_ms) / scale)
            .pool_max_idle_per_host(1_000)
            .pool_idle_timeout(Duration::from_secs(55))
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(60))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .user_agent(concat!("ossai/", env!("CARGO_PKG_VERSION")));
        builder = match Proxies::new(config)? {
            // Otherwise the stack reads the environment itself, by rules of its own.
            None => builder.no_proxy(),
            Some(proxies) => builder.proxy(reqwest::Proxy::custom(move |url| {
                proxies.for_url(url).cloned()
            })),
        };
        let roots = tls::certificates(config)?;
        if !roots.is_empty() {
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Internal, "the HTTP client cannot be built").with_source(error)
        })?;
        Ok(Self { client, clock })
    }

    /// Sends a request and waits for the response headers.
    pub(crate) async fn send(
        &self,
        mut request: Request,
        limits: Limits,
        phase: &Phase,
    ) -> Result<Response> {
        for _ in 0..=MAX_REDIRECTS {
            phase.set(1);
            let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
            outgoing.headers_mut().clone_from(&request.headers);
            *outgoing.body_mut() = Some(request.body.clone().into());
            let mut sent = pin!(self.client.execute(outgoing));
            let mut timer = limits
                .first_byte
                .map(|limit| IdleTimer::new(Arc::clone(&self.clock), limit));
            let response = match &mut timer {
                Some(timer) => timer.limit(sent.as_mut()).await.ok_or_else(|| {
                    Error::timeout("first_byte", "attempt")
                        .with(|fields| fields.billed = Billed::Maybe)
                })?,
                None => sent.await,
            }
            .map_err(|error| transport_error(error, Stage::Headers))?;
            phase.set(2);
            let status = response.status();
            let header_bytes: usize = response
                .headers()
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + 4)
                .sum();
            if header_bytes > MAX_HEADERS {
                return Err(Error::new(
                    ErrorKind::ResponseTooLarge,
                    format!("the response headers are over {MAX_HEADERS} bytes"),
                ));
            }
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                request = redirected(request, status, response.headers())?;
                continue;
            }
            return Ok(Response {
                status,
                inner: response,
                idle: IdleTimer::new(Arc::clone(&self.clock), limits.idle),
                read: 0,
                max_body: limits.max_body,
            });
        }
        Err(Error::new(
            ErrorKind::RedirectBlocked,
            format!("more than {MAX_REDIRECTS} redirects"),
        ))
    }
}

/// The request to send after a redirect, if it stays within the origin and keeps its method and body.
fn redirected(mut request: Request, status: StatusCode, headers: &HeaderMap) -> Result<Request> {
    let blocked = |why: &str| {
        Error::new(
            ErrorKind::RedirectBlocked,
            format!("the server answered {} and {why}", status.as_u16()),
        )
        .with(|fields| fields.http_status = Some(status.as_u16()))
    };
    let target = headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| request.url.join(location).ok())
        .ok_or_else(|| blocked("names no address to go to"))?;
    if target.origin() != request.url.origin() {
        return Err(blocked(
            "points to another origin, where neither key nor prompt may go",
        ));
    }
    let keeps_method = matches!(
        status,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    if !keeps_method && request.method != Method::GET {
        return Err(blocked("would turn the request into a GET"));
    }
    request.url = target;
    Ok(request)
}

impl Response {
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The next piece of the decoded body.
    pub(crate) async fn chunk(&mut self, phase: &Phase) -> Result<Option<Bytes>> {
        phase.set(3);
        let chunk = self
            .idle
            .limit(pin!(self.inner.chunk()))
            .await
            .ok_or_else(|| {
                Error::timeout("idle", "attempt").with(|fields| fields.billed = Billed::Maybe)
            })?
            .map_err(|error| transport_error(error, Stage::Body))?;
        if let Some(chunk) = &chunk {
            self.read = self.read.saturating_add(chunk.len() as u64);
            if self.read > self.max_body {
                return Err(Error::new(
                    ErrorKind::ResponseTooLarge,
                    format!(
                        "the decoded answer is over {} bytes (`limits.max_response_bytes`)",
                        self.max_body
                    ),
                )
                .with(|fields| fields.billed = Billed::Yes));
            }
        }
        Ok(chunk)
    }

    /// The whole decoded body.
    pub(crate) async fn body(&mut self, phase: &Phase) -> Result<Bytes> {
        let Some(first) = self.chunk(phase).await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk(phase).await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(chunk) = self.chunk(phase).await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// As much of an error's body as is worth looking at; a broken one is as good as what came of it.
    pub(crate) async fn error_body(&mut self, phase: &Phase) -> Bytes {
        let mut whole = BytesMut::new();
        while let Ok(Some(chunk)) = self.chunk(phase).await {
            let room = (MAX_ERROR_BODY as usize).saturating_sub(whole.len());
            whole.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if whole.len() as u64 >= MAX_ERROR_BODY {
                break;
            }
        }
        whole.freeze()
    }

    /// The media type without its parameters, lower-cased; empty when there is none.
    pub(crate) fn media_type(&self) -> String {
        self.headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|value| value.trim().to_ascii_lowercase())
            .unwrap_or_default()
    }
}

/// The first value of a header, where it is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::to_str)?.ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Headers,
    Body,
}

/// Gives a fault of the HTTP stack its kind. Addresses are cut: a query may hold what nobody should read.
fn transport_error(error: reqwest::Error, stage: Stage) -> Error {
    let error = error.without_url();
    let find = |needle: &str| {
        chain(&error).any(|cause| cause.to_string().to_ascii_lowercase().contains(needle))
    };
    let io_kind = chain(&error).find_map(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind)
    });
    let is_tls = chain(&error).any(is_tls);
    let detail = deepest(&error);
    if error.is_connect() {
        let word = if is_tls {
            "tls"
        } else if error.is_timeout() {
            "timeout"
        } else if find("dns error") || find("failed to lookup address") {
            "dns"
        } else if io_kind == Some(std::io::ErrorKind::ConnectionRefused) {
            "refused"
        } else {
            "other"
        };
        return Error::new(
            ErrorKind::ConnectFailed,
            format!("no connection ({word}): {detail}"),
        )
        .with(|fields| {
            fields.detail = Some(word.into());
            // A certificate does not get better by asking again.
            fields.retriable = word != "tls";
            fields.phase = Some("connect".into());
        })
        .with_source(error);
    }
    // A body that the connection cut is wrapped like one that cannot be decompressed.
    let cut = chain(&error).any(|cause| cause.is::<hyper::Error>());
    if error.is_decode() && !cut {
        return Error::new(
            ErrorKind::DecodeError,
            format!("the body cannot be decompressed: {detail}"),
        )
        .with(|fields| fields.billed = Billed::Maybe)
        .with_source(error);
    }
    if stage == Stage::Headers
        && (find("invalid http") || find("parse error") || find("message head is too large"))
    {
        let kind = if find("too large") {
            ErrorKind::ResponseTooLarge
        } else {
            ErrorKind::DecodeError
        };
        return Error::new(
            kind,
            format!("the response is not HTTP as it should be: {detail}"),
        )
        .with(|fields| fields.billed = Billed::Maybe)
        .with_source(error);
    }
    let place = if stage == Stage::Headers {
        "before the response began"
    } else {
        "inside the body"
    };
    Error::new(
        ErrorKind::TransportInterrupted,
        format!("the connection broke {place}: {detail}"),
    )
    .with(|fields| {
        fields.billed = Billed::Maybe;
        fields.phase = Some(
            if stage == Stage::Headers {
                "first_byte"
            } else {
                "body"
            }
            .into(),
        );
    })
    .with_source(error)
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Whether a cause is the TLS stack's: an `io::Error` hides what it wraps from `source`, however often it is wrapped.
fn is_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = cause;
    while let Some(io) = cause.downcast_ref::<std::io::Error>() {
        let Some(inner) = io.get_ref() else {
            return false;
        };
        cause = inner;
    }
    cause.is::<rustls::Error>()
}

/// The innermost cause: the outer ones only say that something beneath failed.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
