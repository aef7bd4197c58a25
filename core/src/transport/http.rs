//! The direct road: HTTP requests whose every phase has a limit and whose every fault has a name.
//!
//! The HTTP stack below does no retries of its own but the transparent ones (a request that provably never reached the
//! server). Redirects are not followed across origins: a redirected request would carry the credential and the prompt
//! to a host nobody chose (behaviour §1, §2.14).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_http::decompression::Decompression;
use tower_service::Service;
use url::Url;

use super::connect::{ConnectFault, Connector, Names};
use super::egress::Egress;
use super::proxy::Proxies;
use super::timer::IdleTimer;
use super::tls;
use crate::cassette::{Begun, Cut, Deck, Play, Playback, Tape};
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
pub(crate) struct Phase {
    at: AtomicU8,
    /// How many requests have gone out.
    sends: AtomicU32,
}

impl Phase {
    const NAMES: [&'static str; 4] = ["queue", "first_byte", "body", "idle"];

    fn set(&self, phase: u8) {
        self.at.store(phase, Relaxed);
    }

    /// Something is on its way to the upstream.
    pub(crate) fn sent(&self) {
        self.set(1);
        self.sends.fetch_add(1, Relaxed);
    }

    /// How many requests may have reached a server so far.
    pub(crate) fn sends(&self) -> u32 {
        self.sends.load(Relaxed)
    }

    /// The phase's name in an error.
    pub(crate) fn name(&self) -> &'static str {
        Self::NAMES
            .get(usize::from(self.at.load(Relaxed)))
            .copied()
            .unwrap_or("body")
    }

    /// Whether the request may have reached the server.
    pub(crate) fn was_sent(&self) -> bool {
        self.at.load(Relaxed) > 0
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
    client: Client<Connector, Full<Bytes>>,
    connector: Connector,
    clock: Arc<dyn Clock>,
    /// Where answers are recorded, or come from.
    cassette: Option<Arc<Deck>>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

/// A request, ready to send.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A response whose body is still to be read.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Body,
    idle: IdleTimer,
    read: u64,
    max_body: u64,
    tape: Option<Box<Tape>>,
}

impl Http {
    pub(crate) fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        cassette: Option<Arc<Deck>>,
    ) -> Result<Self> {
        let scale = config.testing.time_scale.unwrap_or(1).max(1);
        let connector = Connector::by_scheme(
            tls::lazily(config)?,
            Proxies::new(config)?,
            Names {
                egress: Egress::new(config),
                hanging: config.testing.hanging_hosts.clone().into(),
            },
            Duration::from_millis(config.timeouts.connect_ms) / scale,
        );
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1_000)
            .pool_idle_timeout(Duration::from_secs(55))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(connector.clone());
        Ok(Self {
            client,
            connector,
            clock,
            cassette,
        })
    }

    fn outgoing(&self, request: &Request) -> http::Request<Full<Bytes>> {
        const AGENT: HeaderValue =
            HeaderValue::from_static(concat!("ossai/", env!("CARGO_PKG_VERSION")));
        let mut outgoing = http::Request::new(Full::new(request.body.clone()));
        *outgoing.method_mut() = request.method.clone();
        *outgoing.uri_mut() = request.uri.clone();
        let headers = outgoing.headers_mut();
        headers.clone_from(&request.headers);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.entry(USER_AGENT).or_insert(AGENT);
        if let Some(authorization) = self.connector.proxy_authorization(&request.uri) {
            headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        outgoing
    }

    /// Sends a request and waits for the response headers.
    pub(crate) async fn send(
        &self,
        mut request: Request,
        limits: Limits,
        phase: &Phase,
    ) -> Result<Response> {
        let mut tape = None;
        if let Some(cassette) = &self.cassette {
            match cassette.begin(&request, &self.clock)? {
                Begun::Play(play) => return Box::pin(self.played(play, limits, phase)).await,
                Begun::Record(begun) => tape = Some(begun),
            }
        }
        let mut refused = false;
        let mut redirects = 0;
        while redirects <= MAX_REDIRECTS {
            phase.sent();
            let mut sent = pin!(self.client.request(self.outgoing(&request)));
            let mut timer = limits
                .first_byte
                .map(|limit| IdleTimer::new(Arc::clone(&self.clock), limit));
            let response = match &mut timer {
                Some(timer) => timer.limit(sent.as_mut()).await.ok_or_else(no_first_byte)?,
                None => sent.await,
            };
            let response = match response {
                Ok(response) => response,
                // The server has not begun with it: sent again at once, once (behaviour §2.1).
                Err(error) if !refused && was_not_processed(&error) => {
                    refused = true;
                    continue;
                }
                Err(error) => return Err(transport_error(error.into(), Stage::Headers)),
            };
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
                redirects += 1;
                continue;
            }
            let (head, body) = Body::decoded(response).await;
            if let Some(tape) = &mut tape {
                tape.head(status, &head.headers);
            }
            return Ok(Response {
                status,
                headers: head.headers,
                body,
                idle: IdleTimer::new(Arc::clone(&self.clock), limits.idle),
                read: 0,
                max_body: limits.max_body,
                tape,
            });
        }
        Err(Error::new(
            ErrorKind::RedirectBlocked,
            format!("more than {MAX_REDIRECTS} redirects"),
        ))
    }

    /// What a cassette has for a request, in the time and with the faults it has it.
    async fn played(&self, play: Play, limits: Limits, phase: &Phase) -> Result<Response> {
        phase.sent();
        let begun = async {
            match play {
                Play::Cut => Err(transport_error(Box::new(Cut), Stage::Headers)),
                Play::Stall => std::future::pending().await,
                Play::Response(played) => {
                    if !played.wait.is_zero() {
                        self.clock.sleep(played.wait).await;
                    }
                    Ok(played)
                }
            }
        };
        let played = match limits.first_byte {
            Some(limit) => IdleTimer::new(Arc::clone(&self.clock), limit)
                .limit(pin!(begun))
                .await
                .ok_or_else(no_first_byte)?,
            None => begun.await,
        }?;
        phase.set(2);
        Ok(Response {
            status: played.status,
            headers: played.headers,
            body: Body::Played(Box::new(played.body)),
            idle: IdleTimer::new(Arc::clone(&self.clock), limits.idle),
            read: 0,
            max_body: limits.max_body,
            tape: None,
        })
    }
}

fn no_first_byte() -> Error {
    Error::timeout("first_byte", "attempt").with(|fields| fields.billed = Billed::Maybe)
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
    let from = Url::parse(&request.uri.to_string()).ok();
    let (from, target) = headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| Some((from.clone()?, from.as_ref()?.join(location).ok()?)))
        .ok_or_else(|| blocked("names no address to go to"))?;
    if target.origin() != from.origin() {
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
    request.uri = Uri::try_from(target.as_str())
        .map_err(|_| blocked("names no address that can be asked"))?;
    Ok(request)
}

impl Response {
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next piece of the decoded body.
    pub(crate) async fn chunk(&mut self, phase: &Phase) -> Result<Option<Bytes>> {
        phase.set(3);
        let chunk = match self.idle.limit(pin!(self.body.chunk())).await {
            Some(chunk) => chunk.map_err(|error| transport_error(error, Stage::Body)),
            None => {
                Err(Error::timeout("idle", "attempt").with(|fields| fields.billed = Billed::Maybe))
            }
        };
        if let Some(tape) = &mut self.tape {
            tape.note(&chunk)?;
        }
        let chunk = chunk?;
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

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response.
enum Body {
    Plain(Incoming),
    /// Compressed on the wire; rare enough to be boxed.
    Packed(http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>),
    /// Out of a cassette.
    Played(Box<Playback>),
}

impl Body {
    async fn decoded(response: http::Response<Incoming>) -> (http::response::Parts, Self) {
        if !response.headers().contains_key(CONTENT_ENCODING) {
            let (head, body) = response.into_parts();
            return (head, Self::Plain(body));
        }
        let Ok(response) = Decompression::new(Ready(Some(response)))
            .call(http::Request::new(()))
            .await;
        let (head, body) = response.into_parts();
        (head, Self::Packed(body.boxed_unsync()))
    }

    /// The next piece; trailers are nobody's.
    async fn chunk(&mut self) -> std::result::Result<Option<Bytes>, BoxError> {
        loop {
            let frame = match self {
                Self::Plain(body) => {
                    // Asked first: many a body comes whole with its headers.
                    if body.is_end_stream() {
                        return Ok(None);
                    }
                    body.frame().await.transpose().map_err(BoxError::from)?
                }
                Self::Packed(body) => body.frame().await.transpose()?,
                Self::Played(body) => return Ok(body.chunk().await?),
            };
            match frame.map(http_body::Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_)) => {}
            }
        }
    }
}

/// Answers with the response it holds: what the decompressor takes for a server.
struct Ready(Option<http::Response<Incoming>>);

impl Service<http::Request<()>> for Ready {
    type Response = http::Response<Incoming>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<std::result::Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<()>) -> Self::Future {
        // Asked once.
        std::future::ready(Ok(self.0.take().unwrap_or_else(|| unreachable!())))
    }
}

/// A fault of the HTTP stack, whichever of its layers it comes from.
#[derive(Debug)]
struct Fault(BoxError);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Whether the server said that it has not begun with the request: REFUSED_STREAM, or GOAWAY above the last one it took.
fn was_not_processed(error: &ClientError) -> bool {
    chain(error).any(|cause| {
        cause.downcast_ref::<h2::Error>().is_some_and(|error| {
            error.is_remote()
                && (error.reason() == Some(h2::Reason::REFUSED_STREAM)
                    || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
        })
    })
}

/// Gives a fault of the HTTP stack its kind.
fn transport_error(error: BoxError, stage: Stage) -> Error {
    let error = Fault(error);
    let find = |needle: &str| {
        chain(&error).any(|cause| cause.to_string().to_ascii_lowercase().contains(needle))
    };
    let fault = chain(&error).find_map(|cause| cause.downcast_ref::<ConnectFault>());
    if let Some(fault) = fault.filter(|fault| !fault.was_made()) {
        let word = fault.detail;
        return Error::new(
            ErrorKind::ConnectFailed,
            format!("no connection ({word}): {fault}"),
        )
        .with(|fields| {
            fields.detail = Some(word.into());
            // A certificate or a forbidden address does not get better by asking again.
            fields.retriable = !matches!(word, "tls" | "egress");
            fields.phase = Some("connect".into());
        })
        .with_source(fault.clone());
    }
    let detail = deepest(&error);
    // What does not come from the connection comes from the decompressor.
    let broke =
        |cause: &(dyn std::error::Error + 'static)| cause.is::<hyper::Error>() || cause.is::<Cut>();
    if stage == Stage::Body && !chain(&error).any(broke) {
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

/// The innermost cause: the outer ones only say that something beneath failed.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
