//! Fall-back lists: which models are asked in a model's place when it cannot answer.
//!
//! A fall-back begins when the model's own tries are over, and never once an event has reached the caller. What answered
//! stands in the answer's `model`; price and cache key are that model's, so that no key ever holds another model's answer.
//! Calls share a flight only with calls that fall back alike.

use std::sync::Arc;

use super::flight::Key as FlightKey;
use super::key::Key;
use super::pipeline::Flight;
use super::stream::EventLog;
use super::validate::split_model;
use crate::client::Core;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{CallOptions, Completion, CompletionRequest};

/// Most models in a list.
const MOST: usize = 8;

/// Failures after which another model may be asked.
const USUAL: [ErrorKind; 7] = [
    ErrorKind::ConnectFailed,
    ErrorKind::TransportInterrupted,
    ErrorKind::Timeout,
    ErrorKind::UpstreamError,
    ErrorKind::Overloaded,
    ErrorKind::RateLimited,
    ErrorKind::CircuitOpen,
];

/// Failures for which it may be asked where the caller says so; the others are the caller's mistakes, its budget or ours.
const ON_REQUEST: [ErrorKind; 10] = [
    ErrorKind::ContentFiltered,
    ErrorKind::ContextLengthExceeded,
    ErrorKind::QuotaExhausted,
    ErrorKind::Authentication,
    ErrorKind::PermissionDenied,
    ErrorKind::NotFound,
    ErrorKind::RequestTooLarge,
    ErrorKind::DecodeError,
    ErrorKind::UnexpectedContentType,
    ErrorKind::Unsupported,
];

/// What a call falls back to.
#[derive(Debug)]
pub(crate) struct Fallbacks {
    pub(crate) models: Vec<String>,
    pub(crate) on: Vec<String>,
    /// Where they are; none on the orchestrator's road, which asks them itself.
    routes: Vec<Arc<Route>>,
}

/// Checks a list of models.
pub(crate) fn check_models(path: &str, models: &[String]) -> Result<()> {
    if models.len() > MOST {
        return Err(Error::invalid(path, format!("expected at most {MOST}")));
    }
    for (i, model) in models.iter().enumerate() {
        let good = split_model(model).is_ok() && !model.chars().any(char::is_control);
        if !good {
            return Err(Error::invalid(
                format!("{path}[{i}]"),
                "expected `provider/model`",
            ));
        }
    }
    Ok(())
}

/// Checks a list of kinds.
pub(crate) fn check_kinds(path: &str, kinds: &[String]) -> Result<()> {
    for (i, name) in kinds.iter().enumerate() {
        let kind = ErrorKind::from_name(name);
        if !kind.is_some_and(|kind| ON_REQUEST.contains(&kind) || USUAL.contains(&kind)) {
            let names = ON_REQUEST.map(ErrorKind::name).join(", ");
            return Err(Error::invalid(
                format!("{path}[{i}]"),
                format!("expected one of {names}"),
            ));
        }
    }
    Ok(())
}

impl Core {
    /// What this call falls back to: its own list, else the configured one of its model.
    pub(crate) fn fallbacks(
        &self,
        request: &CompletionRequest,
        options: &CallOptions,
        remote: bool,
    ) -> Result<Option<Arc<Fallbacks>>> {
        let config = &self.config.fallback;
        let models = match &options.fallbacks {
            Some(models) => models.as_slice(),
            None if config.models.is_empty() => return Ok(None),
            None => config
                .models
                .get(&request.model)
                .map_or(&[][..], Vec::as_slice),
        };
        if models.is_empty() {
            return Ok(None);
        }
        let on = options.fallback_on.as_ref().unwrap_or(&config.on);
        let mut routes = Vec::new();
        if !remote {
            for (i, model) in models.iter().enumerate() {
                let (provider, _) = split_model(model)?;
                let route = self.route(provider).map_err(|error| {
                    Error::invalid(
                        format!("options.fallbacks[{i}]"),
                        error.fields().message.clone(),
                    )
                })?;
                if let Some(max_cost) = options.max_cost {
                    let request = CompletionRequest {
                        model: model.clone(),
                        ..request.clone()
                    };
                    self.check_cost(&request, &CallOptions::default(), max_cost)?;
                }
                routes.push(Arc::clone(route));
            }
        }
        Ok(Some(Arc::new(Fallbacks {
            models: models.to_vec(),
            on: on.clone(),
            routes,
        })))
    }
}

impl Fallbacks {
    /// The key under which calls that fall back alike share a flight.
    pub(crate) fn flight_key(&self, key: Key) -> FlightKey {
        let mut digest = blake3::Hasher::new();
        digest.update(&key.0);
        for list in [&self.models, &self.on] {
            digest.update(&(list.len() as u64).to_le_bytes());
            for name in list {
                digest.update(&(name.len() as u64).to_le_bytes());
                digest.update(name.as_bytes());
            }
        }
        digest.finalize().into()
    }

    /// Whether another model may be asked after this.
    fn allow(&self, error: &Error) -> bool {
        let fields = error.fields();
        let over = fields.partial.is_some()
            || fields.gave_up.as_deref() == Some("deadline")
            || fields.kind == ErrorKind::Timeout && fields.scope.as_deref() == Some("total");
        !over
            && (USUAL.contains(&fields.kind)
                || self.on.iter().any(|name| name == fields.kind.name()))
    }
}

impl Flight {
    /// The whole of a flight: the model asked for, and the others in its place when it cannot answer.
    pub(crate) async fn fly(
        &self,
        request: Arc<CompletionRequest>,
        log: &EventLog,
        streamed: bool,
        store: Option<Key>,
    ) -> Result<Arc<Completion>> {
        let Some(fallbacks) = self.fallbacks.as_ref().filter(|f| !f.routes.is_empty()) else {
            return self.fly_once(request, log, streamed, store).await;
        };
        // Boxed like what follows, so that a call without fall-backs has no room for them.
        let first = Box::pin(self.fly_once(Arc::clone(&request), log, streamed, store));
        let mut error = match first.await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        for (model, route) in fallbacks.models.iter().zip(&fallbacks.routes) {
            if !fallbacks.allow(&error) {
                break;
            }
            let (_, name) = split_model(model)?;
            let request = Arc::new(CompletionRequest {
                model: model.clone(),
                ..CompletionRequest::clone(&request)
            });
            let key = self.core.key(route, name, &request);
            let key = if streamed { key.as_stream() } else { key };
            let flight = self.instead(&request, route, streamed);
            let before = self.progress.attempts().len();
            let next = flight.fly_once(request, log, streamed, store.map(|_| key));
            let outcome = Box::pin(next).await;
            match outcome {
                Ok(answer) => return Ok(answer),
                // A model that was not asked, or cannot take the request, hides no real failure.
                Err(_) if self.progress.attempts().len() == before => {}
                Err(next) => error = next,
            }
        }
        Err(error.with(|fields| fields.attempts = self.progress.attempts()))
    }

    /// This flight to another model.
    fn instead(
        &self,
        request: &Arc<CompletionRequest>,
        route: &Arc<Route>,
        streamed: bool,
    ) -> Self {
        let model = &request.model;
        let mut options = Arc::clone(&self.options);
        if options.prices.is_some() || !options.headers.is_empty() {
            // Both were meant for the model asked for; a header may be a credential.
            options = Arc::new(CallOptions {
                prices: None,
                headers: Default::default(),
                ..CallOptions::clone(&options)
            });
        }
        Self {
            core: Arc::clone(&self.core),
            route: Arc::clone(route),
            options,
            progress: Arc::clone(&self.progress),
            // Another request must not come under the first one's key.
            idempotency_key: self.core.call_id(),
            request_id: self.request_id.clone(),
            gate: self.core.gate(route, model),
            fallbacks: None,
            label: Some(model.clone()),
            hedge: self.core.hedge(&self.options, route, model, streamed),
            racer: None,
            hurry: false,
            asked: super::pace::Asked::Completion(Arc::clone(request)),
        }
    }
}
