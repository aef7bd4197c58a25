//! One try at an upstream, by whichever road.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::budget::Billable;
use super::pipeline::{Failure, Flight, Success, Try};
use crate::client::config::ProviderKind;
use crate::client::route::{header_name, header_value};
use crate::error::{Billed, Error, ErrorKind, Result};
use crate::provider::{self, WireBody};
use crate::transport::http::{Limits, Phase, Request, Response, header};
use crate::types::{Completion, Usage};

/// Names under which vendors return their request id.
const REQUEST_ID_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-ossai-request-id"),
];
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl Flight {
    pub(crate) fn limits(&self) -> Limits {
        let timeouts = &self.core.config.timeouts;
        Limits {
            first_byte: self
                .options
                .first_byte_timeout_ms
                .or(timeouts.first_byte_ms)
                .map(Duration::from_millis),
            idle: Duration::from_millis(
                self.options
                    .stream_idle_timeout_ms
                    .unwrap_or(timeouts.stream_idle_ms),
            ),
            max_body: self.core.config.limits.max_response_bytes,
        }
    }

    /// # Errors
    /// `authentication` where the provider's key is missing, unless nothing is sent anyway.
    fn headers(&self, accept: &'static str) -> Result<HeaderMap> {
        if let Some(message) = &self.route.missing_key
            && !self.core.config.only_replays()
        {
            return Err(Error::new(ErrorKind::Authentication, message.clone()));
        }
        let mut headers = self.route.headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(
            IDEMPOTENCY_KEY,
            header_value("options.idempotency_key", &self.idempotency_key)?,
        );
        if let Some(trace) = &self.options.traceparent
            && self.route.is_users
        {
            headers.insert("traceparent", header_value("options.traceparent", trace)?);
        }
        for (name, value) in &self.options.headers {
            headers.insert(
                header_name("options.headers", name)?,
                header_value("options.headers", value)?,
            );
        }
        Ok(headers)
    }

    /// Sends a request body and returns the response once its headers say that it is an answer.
    pub(crate) async fn post(
        &self,
        wire: &Wire,
        accept: &'static str,
        phase: &Phase,
    ) -> Result<Response, Failure> {
        let mut headers = self.headers(accept)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = Request {
            method: Method::POST,
            uri: self.route.uri(wire.path)?,
            headers,
            body: wire.body.clone(),
        };
        self.sent(request, self.limits(), phase).await
    }

    /// The same of a request that is no call of its own.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        uri: Uri,
        content: Option<(&str, Bytes)>,
        accept: &'static str,
        limits: Limits,
        phase: &Phase,
    ) -> Result<Response, Failure> {
        let mut headers = self.headers(accept)?;
        let body = match content {
            Some((kind, body)) => {
                headers.insert(CONTENT_TYPE, header_value("content-type", kind)?);
                body
            }
            None => {
                headers.remove(IDEMPOTENCY_KEY);
                Bytes::new()
            }
        };
        let request = Request {
            method,
            uri,
            headers,
            body,
        };
        self.sent(request, limits, phase).await
    }

    async fn sent(
        &self,
        mut request: Request,
        limits: Limits,
        phase: &Phase,
    ) -> Result<Response, Failure> {
        let credential = self.authorise(&mut request.headers).await?;
        let response = self.core.http()?.send(request, limits, phase).await?;
        self.checked(response, phase)
            .await
            .map_err(|failure| Failure {
                credential,
                ..failure
            })
    }

    /// Adds the credential where it comes from a callback; its number is for complaining about it.
    pub(crate) async fn authorise(&self, headers: &mut HeaderMap) -> Result<Option<u64>> {
        let Some(live) = &self.route.live else {
            return Ok(None);
        };
        let Some((name, value, number)) = live.header().await? else {
            return Ok(None);
        };
        headers.insert(name, value);
        Ok(Some(number))
    }

    /// Turns a response that is not an answer into its error.
    pub(crate) async fn checked(
        &self,
        mut response: Response,
        phase: &Phase,
    ) -> Result<Response, Failure> {
        if response.status.is_success() {
            self.learn(response.headers(), None);
            return Ok(response);
        }
        let body = response.error_body(phase).await;
        let headers = response.headers();
        let text = |name: &str| header(headers, name).map(str::to_owned);
        let mut error =
            provider::decode_error(self.route.api, response.status.as_u16(), &text, &body);
        let fields = error.fields_mut();
        fields.retry_after_ms =
            crate::retry::hint(headers, self.core.clock.wall()).map(super::pipeline::millis);
        let throttled = matches!(fields.kind, ErrorKind::RateLimited | ErrorKind::Overloaded)
            && matches!(fields.http_status, Some(429 | 529));
        let hint = fields.retry_after_ms.filter(|_| throttled);
        self.learn(headers, hint.map(Duration::from_millis));
        if fields.upstream_request_id.is_none() {
            fields.upstream_request_id = request_id(headers);
        }
        let should_retry = text("x-should-retry");
        Err(Failure {
            should_retry,
            ..Failure::from(error)
        })
    }

    async fn complete(&self, call: &Outgoing) -> Result<Success<Completion>, Failure> {
        if self.route.is_orchestrator {
            // Boxed: the state of this road would be moved about by every call of the other.
            return Box::pin(self.complete_remotely(&call.request)).await;
        }
        let phase = self.phase();
        if self.route.kind == ProviderKind::Local {
            let counter = self.core.tokens();
            let completion =
                provider::local::complete(&call.request, &|text| counter.count(text) as u64)?;
            return Ok(Success {
                value: completion,
                status: None,
                upstream_request_id: None,
            });
        }
        let mut response = self.post(&call.wire, "application/json", phase).await?;
        let body = response.body(phase).await?;
        let completion = provider::decode_completion(self.route.api, self.route.usage_api, &body)
            .map_err(|error| unreadable(error, &response))?;
        Ok(Success {
            status: Some(response.status.as_u16()),
            upstream_request_id: request_id(response.headers()),
            value: completion,
        })
    }
}

/// A completion that is not streamed.
pub(crate) struct Whole<'a>(pub(crate) &'a Outgoing);

impl Try for Whole<'_> {
    type Value = Completion;

    fn billable(&self) -> Billable<'_> {
        self.0.billable()
    }

    fn used(&self, flight: &Flight, value: &Completion) -> Usage {
        self.0.used(flight, value)
    }

    async fn attempt(&self, flight: &Flight) -> Result<Success<Completion>, Failure> {
        flight.complete(self.0).await
    }
}

/// An answer that cannot be read: by its content type it may not have been meant as one.
pub(crate) fn unreadable(error: Error, response: &Response) -> Error {
    let media_type = response.media_type();
    let is_json = media_type.is_empty() || media_type.ends_with("json");
    let error = if error.kind() == ErrorKind::DecodeError && !is_json {
        Error::new(
            ErrorKind::UnexpectedContentType,
            format!("expected JSON, found `{media_type}`"),
        )
    } else {
        error
    };
    error.with(|fields| {
        fields.http_status = Some(response.status.as_u16());
        fields.upstream_request_id = request_id(response.headers());
        fields.billed = Billed::Maybe;
    })
}

/// The vendor's request id.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_ID_HEADERS
        .iter()
        .find_map(|name| headers.get(name)?.to_str().ok())
        .map(str::to_owned)
}

/// A request body, cheap to send again.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) path: &'static str,
    pub(crate) body: Bytes,
    pub(crate) dropped_params: Vec<String>,
}

impl From<WireBody> for Wire {
    fn from(wire: WireBody) -> Self {
        Self {
            path: wire.path,
            body: wire.body.into(),
            dropped_params: wire.dropped_params,
        }
    }
}

/// A completion on its way: the request, and its body as this provider wants it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) request: std::sync::Arc<crate::types::CompletionRequest>,
    pub(crate) wire: Wire,
}

impl Outgoing {
    pub(super) fn billable(&self) -> Billable<'_> {
        Billable::Completion(&self.request, self.wire.body.len())
    }

    /// The vendor's own usage, or our count where it sent none.
    pub(super) fn used(&self, flight: &Flight, value: &Completion) -> Usage {
        match value.raw_usage {
            Some(_) => value.usage.clone(),
            None => flight.core.counted_usage(&self.request, value),
        }
    }
}
