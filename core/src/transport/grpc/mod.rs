//! The road to an orchestrator: one HTTP/2 connection, made when the first call needs it and again when it broke.
//!
//! Nothing is retried here. A failed call says enough for the one retry layer to decide: the kind, `detail`
//! ([`NOT_PROCESSED`]), `retry_after_ms`, and [`super::convert::should_retry`].

mod endpoint;
mod fault;
mod guard;
mod stream;

pub use fault::NOT_PROCESSED;

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::Stream;
use http::Uri;
use ossai_proto::{RESUME_KEY, v1 as pb};
use pb::cache_service_client::CacheServiceClient;
use pb::completion_service_client::CompletionServiceClient;
use pb::embedding_service_client::EmbeddingServiceClient;
use pb::model_service_client::ModelServiceClient;
use tokio::time::Instant;
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::convert::{
    ConvertError, check_protocol, options_message, stamp_protocol, timeout_value,
};
use super::proxy::Proxies;
use crate::error::{Error, ErrorKind};
use crate::transport::connect::{Connector, Names};
use crate::types::{
    CallOptions, Completion, CompletionRequest, EmbeddingRequest, EmbeddingResponse, Health,
    HealthStatus, Invalidated, Invalidation, ModelInfo, StreamEvent,
};
use endpoint::Target;
use guard::Guarded;
pub(crate) use stream::Thread;

/// Room in an answer for each vector asked for: 4096 dimensions of 4 bytes. Larger ones need `max_receive_bytes`.
const VECTOR_BYTES: usize = 16 * 1024;
const MODELS_PER_PAGE: i32 = 1000;
const MAX_MODEL_PAGES: usize = 100;

/// Settings of the road.
#[derive(Clone)]
pub struct GrpcConfig {
    /// Roots, client certificate and cryptography for `https` endpoints; ALPN is set by the road.
    pub tls: Option<Arc<ClientConfig>>,
    /// Proxies; the connection is tunnelled through one (`CONNECT`).
    pub proxies: Option<Arc<Proxies>>,
    /// Send credentials over plain HTTP to hosts other than this one.
    pub allow_plaintext: bool,
    /// For name look-up, connection and TLS handshake together.
    pub connect_timeout: Duration,
    /// Longest silence of a stream after its first event, unless the call says otherwise.
    pub stream_idle_timeout: Duration,
    /// Largest message sent; the server has a limit of its own.
    pub max_send_bytes: usize,
    /// Largest message taken. Embeddings get 16 KiB more for each vector asked for.
    pub max_receive_bytes: usize,
    /// Names whose look-up never ends, for tests.
    pub hanging_hosts: Arc<[String]>,
    /// Time between HTTP/2 pings. Servers commonly refuse more than one in 5 minutes.
    pub keepalive: Duration,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            tls: None,
            proxies: None,
            allow_plaintext: false,
            connect_timeout: Duration::from_secs(5),
            stream_idle_timeout: Duration::from_secs(20),
            max_send_bytes: 20 * 1024 * 1024,
            max_receive_bytes: 4 * 1024 * 1024,
            hanging_hosts: Arc::default(),
            keepalive: Duration::from_secs(301),
        }
    }
}

/// What travels beside a request.
#[derive(Clone, Copy, Default)]
pub struct Meta<'a> {
    /// Sent as `authorization: Bearer`.
    pub api_key: Option<&'a str>,
    /// Sent as `x-ossai-tenant`.
    pub tenant: Option<&'a str>,
    /// Our id of the call: a UUID.
    pub request_id: Option<&'a str>,
    /// Instead of the one in the call options.
    pub idempotency_key: Option<&'a str>,
    /// Time left for the call, for a stream until its first event; zero times out at once.
    pub timeout: Option<Duration>,
    /// W3C trace context, instead of the one in the call options.
    pub traceparent: Option<&'a str>,
}

/// The events of a stream.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<StreamEvent, Error>> + Send>>;

/// Where a stream begins.
#[derive(Clone, Copy)]
pub(crate) enum From<'a> {
    /// At its first event.
    Start(&'a CompletionRequest),
    /// After the last event that came before its connection broke.
    Thread(&'a Arc<Thread>),
}

/// A connection to an orchestrator. Cheap to clone, safe to share between threads of one tokio runtime.
///
/// Dropping a call's future or stream cancels the call at the server (RST_STREAM).
#[derive(Clone)]
pub struct GrpcRoad(Arc<Inner>);

struct Inner {
    target: Target,
    config: GrpcConfig,
    transport: tonic::transport::Endpoint,
    connector: Connector,
    /// Made by the first call, as making it needs the runtime, and anew after an orchestrator that is shutting down.
    channel: RwLock<Option<Guarded>>,
    /// How many there have been.
    channels: AtomicU64,
}

impl fmt::Debug for GrpcRoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcRoad")
            .field("target", &self.0.target)
            .finish_non_exhaustive()
    }
}

impl GrpcRoad {
    /// A road to `endpoint`: `host:port`, `http://host:port` or `https://host:port`. Without a scheme a loopback host
    /// is plain and any other is TLS. Opens nothing and needs no runtime yet.
    ///
    /// # Errors
    /// `invalid_request` for `endpoint`, or for `tls` when the endpoint needs a TLS configuration and there is none.
    pub fn connect_lazy(endpoint: &str, config: GrpcConfig) -> Result<Self, Error> {
        let target = Target::parse(endpoint)?;
        let unusable = |error: &dyn fmt::Display| Error::invalid("endpoint", error);
        let tls = if target.tls {
            let name = ServerName::try_from(target.host.clone()).map_err(|e| unusable(&e))?;
            let tls = config.tls.clone().ok_or_else(|| {
                Error::invalid("tls", "expected a TLS configuration for an https endpoint")
            })?;
            Some((tls, name))
        } else {
            None
        };
        let uri = |scheme: &str| -> Result<Uri, Error> {
            format!("{scheme}://{}", target.authority)
                .parse()
                .map_err(|e: http::uri::InvalidUri| unusable(&e))
        };
        // tonic sees a plain address, since our connector does the TLS; requests carry the real scheme.
        let transport = tonic::transport::Endpoint::from(uri("http")?)
            .origin(uri(if target.tls { "https" } else { "http" })?)
            .user_agent(concat!("ossai-rust/", env!("CARGO_PKG_VERSION")))
            .map_err(|e| unusable(&e))?
            .http2_keep_alive_interval(config.keepalive)
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(true);
        let names = Names {
            egress: None,
            hanging: config.hanging_hosts.clone(),
        };
        let connector =
            Connector::fixed(tls, config.proxies.clone(), names, config.connect_timeout);
        Ok(Self(Arc::new(Inner {
            target,
            config,
            transport,
            connector,
            channel: RwLock::default(),
            channels: AtomicU64::new(0),
        })))
    }

    /// Asks for one completion.
    ///
    /// # Errors
    /// What the orchestrator answered; `connect_failed` (`detail`: `dns`, `refused`, `timeout`, `tls`, `other`),
    /// `transport_interrupted`, `timeout`, `request_too_large`, `response_too_large`, `version_incompatible`,
    /// `decode_error`; `invalid_request` for a field of [`Meta`] or, as `endpoint`, credentials over plain HTTP.
    pub async fn complete(
        &self,
        request: &CompletionRequest,
        options: &CallOptions,
        meta: Meta<'_>,
    ) -> Result<Completion, Error> {
        let message = pb::CreateCompletionRequest {
            request: Some(request.into()),
            options: Some(call_options(options, meta)),
        };
        let request = self.request(message, options, meta)?;
        let channel = self.channel();
        let number = channel.number;
        let mut client = CompletionServiceClient::new(channel)
            .max_decoding_message_size(self.0.config.max_receive_bytes);
        let answer = self
            .unary(number, meta.timeout, request, async |r| {
                client.create_completion(r).await
            })
            .await?;
        read(answer.completion, "completion")
    }

    /// Asks for one completion and streams it: events, ended by [`StreamEvent::End`] or one error.
    ///
    /// `meta.timeout` holds until the first event; from then on the longest silence is bounded. The server's
    /// heartbeats count as life.
    ///
    /// # Errors
    /// As [`GrpcRoad::complete`]; inside the stream also `stream_interrupted`, which has no `partial`: the caller holds
    /// the events.
    pub async fn stream(
        &self,
        request: &CompletionRequest,
        options: &CallOptions,
        meta: Meta<'_>,
    ) -> Result<impl Stream<Item = Result<StreamEvent, Error>> + Send + use<>, Error> {
        let message = pb::StreamCompletionRequest {
            request: Some(request.into()),
            options: Some(call_options(options, meta)),
            ..pb::StreamCompletionRequest::default()
        };
        Ok(self.open(message, None, options, meta).await?.0)
    }

    /// A stream, or what is left of one. Where the server keeps it for a caller whose connection breaks, its thread comes
    /// with it.
    pub(crate) async fn open_stream(
        &self,
        from: From<'_>,
        options: &CallOptions,
        meta: Meta<'_>,
    ) -> Result<(Events, Option<Arc<Thread>>), Error> {
        match from {
            From::Start(request) => {
                let message = pb::StreamCompletionRequest {
                    request: Some(request.into()),
                    options: Some(call_options(options, meta)),
                    resumable: true,
                    resume: None,
                };
                self.open(message, None, options, meta).await
            }
            From::Thread(thread) => {
                let message = pb::StreamCompletionRequest {
                    resume: Some(pb::ResumeStream {
                        token: thread.token().to_owned(),
                        after: thread.seen(),
                    }),
                    ..pb::StreamCompletionRequest::default()
                };
                self.open(message, Some(Arc::clone(thread)), options, meta)
                    .await
            }
        }
    }

    async fn open(
        &self,
        mut message: pb::StreamCompletionRequest,
        thread: Option<Arc<Thread>>,
        options: &CallOptions,
        meta: Meta<'_>,
    ) -> Result<(Events, Option<Arc<Thread>>), Error> {
        let deadline = meta
            .timeout
            .and_then(|time| Instant::now().checked_add(time));
        if let (Some(options), Some(time)) = (&mut message.options, meta.timeout) {
            let millis = time.as_nanos().div_ceil(1_000_000);
            options.first_event_timeout_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
        }
        // `grpc-timeout` would end the stream, not the wait for its first event.
        let untimed = Meta {
            timeout: None,
            ..meta
        };
        let request = self.request(message, options, untimed)?;
        let channel = self.channel();
        let number = channel.number;
        let mut client = CompletionServiceClient::new(channel)
            .max_decoding_message_size(self.0.config.max_receive_bytes);
        let mut token = None;
        let messages = self
            .unary(number, meta.timeout, request, async |r| {
                let answer = client.stream_completion(r).await?;
                let given = answer.metadata().get(RESUME_KEY);
                token = given.and_then(|token| token.to_str().ok().map(str::to_owned));
                Ok(answer)
            })
            .await?;
        let idle = options.stream_idle_timeout_ms.map(Duration::from_millis);
        let idle = idle.unwrap_or(self.0.config.stream_idle_timeout);
        let thread = thread.or_else(|| token.map(|token| Arc::new(Thread::new(token))));
        let reader = stream::Reader {
            messages,
            deadline,
            idle,
            thread: thread.clone(),
        };
        Ok((Box::pin(reader.events()), thread))
    }

    /// Embeds all inputs.
    ///
    /// # Errors
    /// As [`GrpcRoad::complete`].
    pub async fn embed(
        &self,
        request: &EmbeddingRequest,
        options: &CallOptions,
        meta: Meta<'_>,
    ) -> Result<EmbeddingResponse, Error> {
        let message = pb::CreateEmbeddingRequest {
            request: Some(request.into()),
            options: Some(call_options(options, meta)),
        };
        let room = request.input.len().saturating_mul(VECTOR_BYTES);
        let request = self.request(message, options, meta)?;
        let channel = self.channel();
        let number = channel.number;
        let mut client = EmbeddingServiceClient::new(channel)
            .max_decoding_message_size(self.0.config.max_receive_bytes.saturating_add(room));
        let answer = self
            .unary(number, meta.timeout, request, async |r| {
                client.create_embedding(r).await
            })
            .await?;
        read(answer.result, "result")
    }

    /// Lists all models the caller may use; `meta.timeout` is for each page.
    ///
    /// # Errors
    /// As [`GrpcRoad::complete`]; `response_too_large` for more than 100 pages.
    pub async fn models(&self, meta: Meta<'_>) -> Result<Vec<ModelInfo>, Error> {
        let channel = self.channel();
        let number = channel.number;
        let mut client = ModelServiceClient::new(channel)
            .max_decoding_message_size(self.0.config.max_receive_bytes);
        let mut models = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MAX_MODEL_PAGES {
            let message = pb::ListModelsRequest {
                page_size: MODELS_PER_PAGE,
                page_token,
            };
            let request = self.request(message, &CallOptions::default(), meta)?;
            let page = self
                .unary(number, meta.timeout, request, async |r| {
                    client.list_models(r).await
                })
                .await?;
            for (i, model) in page.models.into_iter().enumerate() {
                let within = |e: ConvertError| e.within(&format!("models[{i}]")).decode_error();
                models.push(model.try_into().map_err(within)?);
            }
            if page.next_page_token.is_empty() {
                return Ok(models);
            }
            page_token = page.next_page_token;
        }
        Err(Error::new(
            ErrorKind::ResponseTooLarge,
            "the list of models does not end",
        ))
    }

    /// Lets kept answers of the caller's tenant count no more.
    ///
    /// # Errors
    /// As [`GrpcRoad::complete`]; `unsupported` from an orchestrator that is older than this.
    pub async fn invalidate(
        &self,
        what: &Invalidation,
        meta: Meta<'_>,
    ) -> Result<Invalidated, Error> {
        let message = pb::InvalidateCacheRequest {
            what: Some(what.into()),
        };
        let request = self.request(message, &CallOptions::default(), meta)?;
        let channel = self.channel();
        let number = channel.number;
        let mut client = CacheServiceClient::new(channel);
        let answer = self
            .unary(number, meta.timeout, request, async |r| {
                client.invalidate_cache(r).await
            })
            .await?;
        Ok(answer.into())
    }

    /// Asks whether the orchestrator takes calls (`grpc.health.v1`, the whole server). That it does not answer is an
    /// answer: `not_serving` with the reason.
    ///
    /// # Errors
    /// `invalid_request` as [`GrpcRoad::complete`].
    pub async fn health(&self, meta: Meta<'_>) -> Result<Health, Error> {
        let message = HealthCheckRequest {
            service: String::new(),
        };
        let request = self.request(message, &CallOptions::default(), meta)?;
        let channel = self.channel();
        let number = channel.number;
        let mut client = HealthClient::new(channel);
        let begin = Instant::now();
        let answer = self
            .unary(number, meta.timeout, request, async |r| {
                client.check(r).await
            })
            .await;
        let latency_us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (status, message) = match answer {
            Ok(answer) if answer.status() == ServingStatus::Serving => {
                (HealthStatus::Serving, None)
            }
            Ok(answer) => (
                HealthStatus::NotServing,
                Some(answer.status().as_str_name().to_lowercase()),
            ),
            Err(error) => (HealthStatus::NotServing, Some(error.to_string())),
        };
        Ok(Health {
            upstream: "orchestrator".into(),
            status,
            latency_us,
            message,
        })
    }

    fn channel(&self) -> Guarded {
        let inner = &*self.0;
        let there = inner.channel.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = &*there {
            return channel.clone();
        }
        drop(there);
        let mut slot = inner
            .channel
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let make = || Guarded {
            channel: inner
                .transport
                .connect_with_connector_lazy(inner.connector.clone()),
            number: inner.channels.fetch_add(1, Ordering::Relaxed),
        };
        slot.get_or_insert_with(make).clone()
    }

    /// Lets the next call have a connection of its own, and those under way end on theirs: behind one address there may
    /// be another orchestrator than the one that is going.
    fn leave(&self, number: u64) {
        let mut slot = self
            .0
            .channel
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        slot.take_if(|channel| channel.number == number);
    }

    /// Waits for the answer, or its first part, at most `limit`.
    async fn unary<Q: prost::Message, T>(
        &self,
        channel: u64,
        limit: Option<Duration>,
        request: Request<Q>,
        call: impl AsyncFnOnce(Request<Q>) -> Result<Response<T>, Status>,
    ) -> Result<T, Error> {
        let answer = unary(limit, request, call).await;
        if let Err(error) = &answer
            && (error.kind() == ErrorKind::ShuttingDown || fault::is_the_connections_end(error))
        {
            self.leave(channel);
        }
        answer
    }

    fn request<T: prost::Message>(
        &self,
        message: T,
        options: &CallOptions,
        meta: Meta<'_>,
    ) -> Result<Request<T>, Error> {
        let Target { tls, loopback, .. } = self.0.target;
        if meta.api_key.is_some() && !tls && !loopback && !self.0.config.allow_plaintext {
            let expected = "expected https: credentials go over plain http only to this machine";
            return Err(Error::invalid("endpoint", expected));
        }
        let (size, limit) = (message.encoded_len(), self.0.config.max_send_bytes);
        if size > limit {
            let text = format!("the request takes {size} bytes, the limit is {limit}");
            return Err(Error::new(ErrorKind::RequestTooLarge, text));
        }
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        stamp_protocol(metadata);
        if let Some(key) = meta.api_key {
            let mut bearer = header("api_key", &format!("Bearer {key}"))?;
            bearer.set_sensitive(true);
            metadata.insert("authorization", bearer);
        }
        for (name, key, value) in [
            ("tenant", "x-ossai-tenant", meta.tenant),
            ("request_id", "x-request-id", meta.request_id),
            (
                "traceparent",
                "traceparent",
                meta.traceparent.or(options.traceparent.as_deref()),
            ),
        ] {
            if let Some(value) = value {
                metadata.insert(key, header(name, value)?);
            }
        }
        if let Some(time) = meta.timeout {
            metadata.insert("grpc-timeout", header("timeout", &timeout_value(time))?);
        }
        Ok(request)
    }
}

fn call_options(options: &CallOptions, meta: Meta<'_>) -> pb::CallOptions {
    let mut message = options_message(options);
    message.request_id = meta.request_id.map(Into::into);
    if let Some(key) = meta.idempotency_key {
        message.idempotency_key = Some(key.into());
    }
    message
}

fn header(name: &str, value: &str) -> Result<MetadataValue<Ascii>, Error> {
    // Of what is not ASCII the HTTP library would take UTF-8, which gRPC does not have in text metadata.
    let ascii = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let value = value.try_into().ok().filter(|_| ascii);
    value.ok_or_else(|| Error::invalid(name, "expected visible ASCII characters"))
}

/// Waits for the answer, or its first part, at most `limit`.
async fn unary<Q: prost::Message, T>(
    limit: Option<Duration>,
    request: Request<Q>,
    call: impl AsyncFnOnce(Request<Q>) -> Result<Response<T>, Status>,
) -> Result<T, Error> {
    let sent = request.get_ref().encoded_len();
    let answer = match limit {
        Some(Duration::ZERO) => return Err(Error::timeout("first_byte", "total")),
        Some(limit) => tokio::time::timeout(limit, call(request))
            .await
            .map_err(|_| fault::timed_out())?,
        None => call(request).await,
    };
    let answer = answer.map_err(|status| fault::read(status, sent))?;
    check_protocol(answer.metadata())?;
    Ok(answer.into_inner())
}

fn read<P, T: TryFrom<P, Error = ConvertError>>(
    message: Option<P>,
    field: &str,
) -> Result<T, Error> {
    let missing = || {
        Error::new(
            ErrorKind::DecodeError,
            format!("{field}: the answer has none"),
        )
    };
    T::try_from(message.ok_or_else(missing)?).map_err(|e| e.within(field).decode_error())
}
