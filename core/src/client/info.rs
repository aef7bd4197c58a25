//! Which models can be called, and whether the upstreams take calls.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, HeaderValue};

use super::config::ProviderKind;
use super::route::Route;
use super::{Client, Core};
use crate::call::attempt::{request_id, unreadable};
use crate::call::pace::Asked;
use crate::call::pipeline::{Failure, Flight, Success, Try, micros};
use crate::error::{Error, ErrorKind, Result};
use crate::provider;
use crate::provider::Api;
use crate::transport::grpc::Meta;
use crate::transport::http::Request;
use crate::transport::timer::IdleTimer;
use crate::types::{CallOptions, Health, HealthStatus, ModelInfo};

/// Most pages of a model list that are read.
const MAX_PAGES: usize = 100;
/// How long a health question may take.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

impl Client {
    /// The models of one provider, or of every provider that can be called as things are.
    ///
    /// # Errors
    /// Of a named provider: any kind of the error table. Of all of them: only when none answered.
    pub async fn models(&self, provider: Option<&str>) -> Result<Vec<ModelInfo>> {
        self.core.check_open()?;
        if let Some(provider) = provider {
            return self.core.models_of(self.core.route(provider)?).await;
        }
        let mut models = Vec::new();
        let mut failure = None;
        for route in self.core.routes.callable() {
            match self.core.models_of(route).await {
                Ok(some) => models.extend(some),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if models.is_empty() => Err(error),
            _ => Ok(models),
        }
    }

    /// Asks every upstream that can be called whether it takes calls; an answer per upstream, in the order of names.
    ///
    /// # Errors
    /// `invalid_state` when the client is closed. An upstream that does not answer is no error but `not_serving`.
    pub async fn health(&self) -> Result<Vec<Health>> {
        self.core.check_open()?;
        let mut all = Vec::new();
        for route in self.core.routes.callable() {
            if route.is_orchestrator {
                all.push(route.road()?.health(self.core.meta()).await?);
                for other in &route.others {
                    all.push(other.road()?.health(self.core.meta()).await?);
                }
                continue;
            }
            let started = self.core.clock.now();
            let mut timer = IdleTimer::new(Arc::clone(&self.core.clock), HEALTH_PATIENCE);
            let outcome = timer
                .limit(pin!(self.core.models_of(route)))
                .await
                .unwrap_or_else(|| Err(Error::timeout("first_byte", "total")));
            all.push(Health {
                upstream: route.name.clone(),
                status: if outcome.is_ok() {
                    HealthStatus::Serving
                } else {
                    HealthStatus::NotServing
                },
                latency_us: micros(self.core.clock.now().saturating_sub(started)),
                message: outcome.err().map(|error| error.to_string()),
            });
        }
        Ok(all)
    }
}

impl Core {
    pub(super) fn meta(&self) -> Meta<'_> {
        Meta {
            api_key: self.config.api_key.as_ref().map(super::Secret::expose),
            tenant: self.config.tenant.as_deref(),
            timeout: Some(HEALTH_PATIENCE),
            ..Meta::default()
        }
    }

    async fn models_of(self: &Arc<Self>, route: &Arc<Route>) -> Result<Vec<ModelInfo>> {
        if route.is_orchestrator {
            let mut outcome = route.road()?.models(self.meta()).await;
            for other in &route.others {
                let unreached = |error: &crate::Error| {
                    matches!(
                        error.kind(),
                        ErrorKind::ConnectFailed
                            | ErrorKind::TransportInterrupted
                            | ErrorKind::ShuttingDown
                    )
                };
                if !outcome.as_ref().is_err_and(unreached) {
                    break;
                }
                outcome = other.road()?.models(self.meta()).await;
            }
            return outcome;
        }
        if route.kind == ProviderKind::Local {
            return Ok(provider::local::models());
        }
        if let Some(message) = &route.missing_key {
            return Err(Error::new(ErrorKind::Authentication, message.clone()));
        }
        let options = Arc::new(CallOptions::default());
        let flight = Flight::beside(self, route, &options, self.call_id(), Asked::Nothing);
        let end = self
            .clock
            .now()
            .saturating_add(Duration::from_millis(self.config.timeouts.total_ms));
        let mut models = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let (page, next) = flight
                .tries(
                    || Some(end),
                    &ModelPage {
                        after: after.as_deref(),
                    },
                )
                .await?;
            models.extend(page);
            match next {
                Some(next) if after.as_ref() != Some(&next) => after = Some(next),
                _ => break,
            }
        }
        for model in &mut models {
            model.id.insert_str(0, &format!("{}/", route.name));
        }
        Ok(models)
    }
}

type Page = (Vec<ModelInfo>, Option<String>);

/// One page of a provider's model list.
struct ModelPage<'a> {
    after: Option<&'a str>,
}

impl Try for ModelPage<'_> {
    type Value = Page;

    async fn attempt(&self, flight: &Flight) -> Result<Success<Page>, Failure> {
        flight.model_page(self.after).await
    }
}

impl Flight {
    async fn model_page(&self, after: Option<&str>) -> Result<Success<Page>, Failure> {
        let phase = &self.progress.phase;
        let limit = (self.route.api == Api::AnthropicMessages).then_some(("limit", "1000"));
        let after = after.map(|after| ("after_id", after));
        let query = [limit, after].into_iter().flatten();
        let mut headers = self.route.headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let credential = self.authorise(&mut headers).await?;
        let request = Request {
            method: Method::GET,
            uri: self.route.uri_with("/models", query)?,
            headers,
            body: bytes::Bytes::new(),
        };
        let response = self
            .core
            .http()?
            .send(request, self.limits(), phase)
            .await?;
        let mut response = self
            .checked(response, phase)
            .await
            .map_err(|failure| Failure {
                credential,
                ..failure
            })?;
        let body = response.body(phase).await?;
        let value = provider::decode_models(&body).map_err(|error| unreadable(error, &response))?;
        Ok(Success {
            value,
            status: Some(response.status.as_u16()),
            upstream_request_id: request_id(response.headers()),
        })
    }
}
