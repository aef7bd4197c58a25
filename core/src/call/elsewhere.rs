//! Where a call goes when it was not answered: a further address of the same server, another model, or past an
//! orchestrator that cannot be reached straight to the provider.
//!
//! Each place is asked once the one before is over, under its own circuit, quota, price and cache key. What is listed here
//! is asked in order; nothing is asked once an event has reached the caller or the call's time is over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::fallback::{is_over, is_usual};
use super::key::Key;
use super::pace::Asked;
use super::pipeline::{Failure, Flight};
use super::stream::EventLog;
use super::validate::split_model;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::grpc::NOT_PROCESSED;
use crate::types::{CallOptions, Completion, CompletionRequest, EmbeddingRequest, TraceStep};

/// The name under which a provider asked past the orchestrator stands in traces and attempts.
const DIRECT: &str = "config.fallback.direct";

/// What an orchestrator is known to have done with a call.
#[derive(Debug, Default)]
pub(crate) struct Reached(AtomicU8);

impl Reached {
    /// It has asked a provider.
    const ASKED: u8 = 1;
    /// It has answered for itself.
    const ANSWERED: u8 = 2;
    /// It may have the call, and be paying for it.
    const PERHAPS: u8 = 4;

    /// Notes what a failed try says.
    pub(super) fn note(&self, failure: &Failure) {
        let kind = failure.error.kind();
        let bit = if failure.exhausted {
            Self::ASKED
        } else if kind == ErrorKind::ShuttingDown || kind == ErrorKind::ConnectFailed {
            return;
        } else if failure.should_retry.is_some() {
            Self::ANSWERED
        } else if failure.unprocessed
            || failure.error.fields().detail.as_deref() == Some(NOT_PROCESSED)
        {
            return;
        } else {
            Self::PERHAPS
        };
        self.0.fetch_or(bit, Relaxed);
    }

    fn has(&self, bits: u8) -> bool {
        self.0.load(Relaxed) & bits != 0
    }
}

/// What is asked for, wherever it is asked.
pub(crate) trait Asking: Sync {
    type Answer: Send;

    /// Asks where this flight leads.
    fn ask(&self, flight: &Arc<Flight>) -> impl Future<Output = Result<Self::Answer>> + Send;
}

/// A completion, asked for elsewhere.
struct Completing<'a> {
    log: &'a EventLog,
    streamed: bool,
    stores: bool,
}

impl Asking for Completing<'_> {
    type Answer = Arc<Completion>;

    async fn ask(&self, flight: &Arc<Flight>) -> Result<Arc<Completion>> {
        let Asked::Completion(request) = &flight.asked else {
            return Err(Error::new(
                ErrorKind::Internal,
                "no completion is asked for",
            ));
        };
        let (_, name) = split_model(&request.model)?;
        let name = if flight.route.is_orchestrator {
            &request.model
        } else {
            name
        };
        let key = flight.core.key(&flight.route, name, request);
        let key = if self.streamed { key.as_stream() } else { key };
        let store = self.stores.then_some(key);
        flight
            .fly_once(Arc::clone(request), self.log, self.streamed, store)
            .await
    }
}

impl Flight {
    /// The whole of a flight: where it was meant to go, and the places after it when that cannot answer.
    pub(crate) async fn fly(
        &self,
        request: Arc<CompletionRequest>,
        log: &EventLog,
        streamed: bool,
        store: Option<Key>,
    ) -> Result<Arc<Completion>> {
        let mut outcome = self
            .fly_once(Arc::clone(&request), log, streamed, store)
            .await;
        let mut lowered = 0;
        while let Err(error) = &outcome
            && self.lost_its_place(error, &mut lowered)
        {
            let again = self.fly_once(Arc::clone(&request), log, streamed, store);
            outcome = Box::pin(again).await;
        }
        let outcome = match outcome {
            // A vendor's further addresses know nothing of its batches.
            Err(error)
                if self.has_elsewhere()
                    && (self.route.is_orchestrator || !self.options.is_batch()) =>
            {
                let what = Completing {
                    log,
                    streamed,
                    stores: store.is_some(),
                };
                self.elsewhere(error, &what, streamed).await
            }
            outcome => outcome,
        };
        match (outcome, store) {
            (Err(error), Some(key)) if self.core.config.cache.stale_if_error_ms > 0 => {
                Box::pin(self.stand_in(error, key, log, streamed)).await
            }
            (outcome, _) => outcome,
        }
    }

    /// Whether there is anywhere else to ask.
    pub(super) fn has_elsewhere(&self) -> bool {
        !self.route.others.is_empty()
            || self
                .fallbacks
                .as_ref()
                .is_some_and(|f| !f.routes.is_empty())
            || self.may_go_direct()
    }

    fn may_go_direct(&self) -> bool {
        self.route.is_orchestrator && self.core.config.fallback.direct
    }

    /// Asks everywhere else in turn; `error` is what the first place ended in. Gives the last real error.
    pub(super) fn elsewhere<'a, A: Asking>(
        &'a self,
        error: Error,
        what: &'a A,
        streamed: bool,
    ) -> Pin<Box<dyn Future<Output = Result<A::Answer>> + Send + 'a>> {
        Box::pin(async move {
            let mut error = match self.addresses(error, what, streamed).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some(fallbacks) = &self.fallbacks {
                let places = fallbacks.models.iter().zip(&fallbacks.routes).enumerate();
                for (i, (model, route)) in places {
                    if !fallbacks.allow(&error) {
                        break;
                    }
                    self.going("model", &error, format!("fallbacks[{i}]"));
                    let flight = Arc::new(self.with_model(model, route, streamed));
                    match flight.asked_at(error, what).await {
                        Ok(answer) => return Ok(answer),
                        Err(last) => error = last,
                    }
                    error = match flight.addresses(error, what, streamed).await {
                        Ok(answer) => return Ok(answer),
                        Err(error) => error,
                    };
                }
            }
            if let Some(flight) = self.direct(&error, streamed) {
                self.going("direct", &error, DIRECT.into());
                flight.record_direct();
                error = match flight.asked_at(error, what).await {
                    Ok(answer) => return Ok(answer),
                    Err(last) if flight.has_elsewhere() => {
                        match flight.elsewhere(last, what, streamed).await {
                            Ok(answer) => return Ok(answer),
                            Err(error) => error,
                        }
                    }
                    Err(last) => last,
                };
            }
            Err(error.with(|fields| {
                if !self.progress.reached.has(Reached::ASKED) {
                    fields.attempts = self.progress.attempts();
                }
            }))
        })
    }

    /// Asks at the further addresses of this flight's server.
    async fn addresses<A: Asking>(
        &self,
        mut error: Error,
        what: &A,
        streamed: bool,
    ) -> Result<A::Answer> {
        let others = &self.route.others;
        for (i, route) in others.iter().enumerate() {
            if !self.may_move(&error) {
                break;
            }
            self.going("address", &error, route.place.clone().unwrap_or_default());
            let used = u32::try_from(self.progress.attempts().len()).unwrap_or(u32::MAX);
            let most = self
                .options
                .max_attempts
                .unwrap_or(self.core.policy.max_attempts);
            let mut flight = self.to(route, self.asked.clone(), streamed);
            flight.options = Arc::new(CallOptions {
                max_attempts: Some(most.saturating_sub(used).max(1)),
                ..CallOptions::clone(&self.options)
            });
            flight.idempotency_key.clone_from(&self.idempotency_key);
            flight.label.clone_from(&self.label);
            flight.hurry = i + 1 < others.len();
            match Arc::new(flight).asked_at(error, what).await {
                Ok(answer) => return Ok(answer),
                Err(last) => error = last,
            }
        }
        Err(error)
    }

    /// Asks here; where nobody was asked in fact the failure before says more.
    async fn asked_at<A: Asking>(self: &Arc<Self>, before: Error, what: &A) -> Result<A::Answer> {
        let tries = self.progress.attempts().len();
        match what.ask(self).await {
            Err(error) if self.progress.attempts().len() > tries => Err(error),
            Err(_) => Err(before),
            answered => answered,
        }
    }

    /// Whether the next address may be asked after this.
    fn may_move(&self, error: &Error) -> bool {
        if is_over(error) {
            return false;
        }
        let reached = &self.progress.reached;
        match error.kind() {
            // Limits and circuits of an orchestrator are not to be walked around.
            _ if self.route.is_orchestrator && reached.has(Reached::ASKED) => false,
            ErrorKind::CircuitOpen if self.route.is_orchestrator => !reached.has(Reached::ANSWERED),
            ErrorKind::ShuttingDown => true,
            kind if self.route.is_orchestrator => matches!(
                kind,
                ErrorKind::ConnectFailed | ErrorKind::TransportInterrupted | ErrorKind::Overloaded
            ),
            kind => is_usual(kind),
        }
    }

    /// The flight past the orchestrator, where that may be: nobody there has answered, and nobody may be paying for the
    /// call already unless a second copy of it does no harm.
    fn direct(&self, error: &Error, streamed: bool) -> Option<Arc<Self>> {
        let reached = &self.progress.reached;
        let unreached = !reached.has(Reached::ASKED | Reached::ANSWERED)
            && (!reached.has(Reached::PERHAPS) || self.options.safe == Some(true));
        let passing = matches!(
            error.kind(),
            ErrorKind::ConnectFailed
                | ErrorKind::TransportInterrupted
                | ErrorKind::CircuitOpen
                | ErrorKind::ShuttingDown
        );
        if !self.may_go_direct() || !unreached || !passing || is_over(error) {
            return None;
        }
        let model = self.asked.model()?;
        let (provider, _) = split_model(model).ok()?;
        let route = self.core.routes.direct(provider).ok()?;
        let request = match &self.asked {
            Asked::Completion(request) => Some(&**request),
            _ => None,
        };
        let mut flight = self.to(route, self.asked.clone(), streamed);
        flight.idempotency_key.clone_from(&self.idempotency_key);
        flight.fallbacks = self
            .core
            .fallbacks(model, request, &self.options, false)
            .ok()
            .flatten();
        flight.label = flight.fallbacks.is_some().then(|| model.to_owned());
        Some(Arc::new(flight))
    }

    /// This flight to another model.
    fn with_model(&self, model: &str, route: &Arc<Route>, streamed: bool) -> Self {
        let asked = match &self.asked {
            Asked::Completion(request) => Asked::Completion(Arc::new(CompletionRequest {
                model: model.to_owned(),
                ..CompletionRequest::clone(request)
            })),
            Asked::Embedding(request) => Asked::Embedding(Arc::new(EmbeddingRequest {
                model: model.to_owned(),
                ..EmbeddingRequest::clone(request)
            })),
            Asked::Nothing => Asked::Nothing,
        };
        let mut flight = self.to(route, asked, streamed);
        if self.options.prices.is_some() || !self.options.headers.is_empty() {
            // Both were meant for the model asked for; a header may be a credential.
            flight.options = Arc::new(CallOptions {
                prices: None,
                headers: Default::default(),
                ..CallOptions::clone(&self.options)
            });
        }
        // Another request must not come under the first one's key.
        flight.idempotency_key = self.core.call_id();
        flight.label = Some(model.to_owned());
        flight
    }

    /// This flight on another route.
    fn to(&self, route: &Arc<Route>, asked: Asked, streamed: bool) -> Self {
        let core = &self.core;
        let model = asked.model().unwrap_or_default();
        let is_completion = matches!(asked, Asked::Completion(_));
        Self {
            core: Arc::clone(core),
            route: Arc::clone(route),
            options: Arc::clone(&self.options),
            progress: Arc::clone(&self.progress),
            idempotency_key: String::new(),
            request_id: self.request_id.clone(),
            gate: core.gate(route, model),
            fallbacks: None,
            label: None,
            hedge: is_completion
                .then(|| core.hedge(&self.options, route, model, streamed))
                .flatten(),
            racer: None,
            hurry: !route.others.is_empty(),
            asked,
        }
    }

    fn going(&self, outcome: &'static str, error: &Error, place: String) {
        self.progress.trace.note(&*self.core.clock, || {
            TraceStep::new("fallback", outcome)
                .why(error.kind().name())
                .fields(vec![place])
        });
    }

    /// The name of the place it is at, where that is not the first.
    pub(super) fn place_name(&self) -> Option<String> {
        let direct = !self.route.is_orchestrator && self.core.config.endpoint.is_some();
        match &self.route.place {
            Some(place) => Some(place.clone()),
            None => direct.then(|| DIRECT.to_owned()),
        }
    }
}
