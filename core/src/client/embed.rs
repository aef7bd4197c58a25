//! The caller's half of an embedding.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::flights::{patience, runtime};
use super::lookup::free;
use super::{Client, Core};
use crate::cache::memory::{Entry, Value};
use crate::cache::policy;
use crate::cache::tiers::flight_key;
use crate::cache::{Keep, Kind, marks};
use crate::call::flight::{Join, Want};
use crate::call::kept::{Standing, promoted};
use crate::call::key::{self, Key};
use crate::call::pace::Asked;
use crate::call::pipeline::{Flight, micros, millis};
use crate::call::progress::Progress;
use crate::call::recorded::Recorded;
use crate::call::validate;
use crate::error::Result;
use crate::observe::{Counters, Recorder};
use crate::transport::timer::IdleTimer;
use crate::types::{
    CacheOutcome, CacheStatus, CacheTier, CallOptions, EmbeddingRequest, EmbeddingResponse, Timing,
    Trace, TraceStep,
};

impl Client {
    /// Turns texts into vectors, in the order of the inputs.
    ///
    /// # Errors
    /// Any kind of the error table. Dropping the future cancels the call.
    pub async fn embed(
        &self,
        request: impl Into<Arc<EmbeddingRequest>>,
    ) -> Result<EmbeddingResponse> {
        self.embed_with(request, CallOptions::default()).await
    }

    /// [`Client::embed`] with options.
    ///
    /// # Errors
    /// As [`Client::embed`].
    pub async fn embed_with(
        &self,
        request: impl Into<Arc<EmbeddingRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<EmbeddingResponse> {
        super::calls::give_way().await;
        let outcome = self.core.embed(request.into(), options.into()).await;
        self.core.count_outcome(&outcome);
        outcome
    }
}

impl Core {
    pub(crate) async fn embed(
        self: &Arc<Self>,
        request: Arc<EmbeddingRequest>,
        options: Arc<CallOptions>,
    ) -> Result<EmbeddingResponse> {
        self.check_open()?;
        let started = self.clock.now();
        let (provider, model) = validate::split_model(&request.model)?;
        validate::embedding(&request)?;
        validate::options(&options)?;
        validate::no_batch(
            &options,
            "expected none of an embedding: only completions go into batches",
        )?;
        let route = Arc::clone(self.route(provider)?);
        let model = if route.is_orchestrator {
            validate::remote_options(&options)?;
            request.model.as_str()
        } else {
            model
        };
        let deadline = self.deadline(started, &options)?;
        let key = key::embedding_key(&self.place(&route, &route.endpoint, model), &request);
        let request_id = self.call_id();
        let cache = policy::cache_use(&self.config, &options, true);
        let trace = Recorder::default();
        if options.trace.unwrap_or(self.config.trace) {
            trace.turn_on();
        }
        if let Some(memory) = self
            .vectors
            .as_ref()
            .filter(|_| cache.read && self.trusts_memory(started))
        {
            let max_age = options.cache.max_age_ms.map(Duration::from_millis);
            if let Some(entry) = memory.get(&key, started, max_age)
                && let Value::Embedding(kept) = &entry.value
            {
                Counters::add(&self.counters.cache_hits, 1);
                trace.note(&*self.clock, || {
                    TraceStep::new("cache", "hit").why("memory")
                });
                let mut answer = EmbeddingResponse::clone(kept);
                answer.cache = CacheOutcome {
                    status: CacheStatus::Hit,
                    tier: Some(CacheTier::Memory),
                    age_ms: Some(millis(started.saturating_sub(entry.stored_at))),
                    saved: answer.cost.total,
                    ..CacheOutcome::default()
                };
                self.count_saved(answer.cost.total);
                answer.cost = free(&answer.cost);
                answer.attempts.clear();
                answer.request_id = request_id;
                let total = micros(self.clock.now().saturating_sub(started));
                answer.timing = Timing {
                    total_us: total,
                    overhead_us: total,
                    ..Timing::default()
                };
                answer.trace = told(&trace, None, started);
                self.record_hit(
                    &route,
                    Recorded::Embedding(&request),
                    &options,
                    &answer.request_id,
                    (&answer.cost, &answer.cache),
                    total,
                );
                return Ok(answer);
            }
            if self.tiers.is_none() {
                // Whether the tiers beneath have it is known when the call ends.
                Counters::add(&self.counters.cache_misses, 1);
            }
            trace.note(&*self.clock, || TraceStep::new("cache", "miss"));
        } else if cache.read {
            trace.note(&*self.clock, || TraceStep::new("cache", "miss"));
        } else {
            trace.note(&*self.clock, || {
                let why = policy::bypass_reason(&self.config, &options);
                TraceStep::new("cache", "bypass").why(why)
            });
        }
        let runtime = runtime()?;
        self.check_room()?;
        let fallbacks = self.fallbacks(&request.model, None, &options, route.is_orchestrator)?;
        let shareable = policy::may_coalesce(&self.config, &options, true);
        let joined = if shareable {
            let shared = match &fallbacks {
                None => key.0,
                Some(fallbacks) => fallbacks.flight_key(key),
            };
            let shared = match &self.tiers {
                None => shared,
                Some(_) => flight_key(shared, cache.read, options.cache.max_age_ms),
            };
            let shared = self.trust.flight_key(shared);
            self.embeddings.join(shared, Want::Result, Some(deadline))?
        } else {
            let (subscriber, log) = self
                .embeddings
                .start_private(Want::Result, Some(deadline))?;
            Join::Started(subscriber, log)
        };
        if trace.is_on() {
            let (outcome, progress) = match &joined {
                Join::Joined(subscriber) => ("joined", subscriber.progress()),
                Join::Started(subscriber, _) => ("started", subscriber.progress()),
            };
            progress.trace.turn_on();
            trace.note(&*self.clock, || TraceStep::new("flight", outcome));
        }
        let mut subscriber = match joined {
            Join::Joined(subscriber) => {
                let patience = patience(&options, started).unwrap_or(deadline);
                subscriber.progress().be_more_patient(patience);
                self.record_joined(subscriber.progress());
                subscriber
            }
            Join::Started(subscriber, log) => {
                if let Some(patience) = patience(&options, started) {
                    subscriber.progress().be_patient(patience);
                }
                if shareable {
                    self.keep_open(started, subscriber.progress());
                }
                self.record_flight(
                    subscriber.progress(),
                    &route,
                    Recorded::Embedding(&request),
                    &options,
                    &request_id,
                    cache.read,
                );
                let flight = Arc::new(Flight {
                    core: Arc::clone(self),
                    route: Arc::clone(&route),
                    options: Arc::clone(&options),
                    progress: Arc::clone(subscriber.progress()),
                    idempotency_key: self.idempotency_key(&options),
                    request_id: request_id.clone(),
                    asked: Asked::Embedding(Arc::clone(&request)),
                    gate: self.gate(&route, &request.model),
                    label: (fallbacks.is_some() && !route.is_orchestrator)
                        .then(|| request.model.clone()),
                    fallbacks,
                    hedge: None,
                    racer: None,
                    hurry: !route.others.is_empty(),
                });
                let stores = cache.write;
                let log = Arc::new(log);
                runtime.spawn(async move {
                    let outcome = tokio::select! {
                        biased;
                        () = log.cancelled() => return,
                        outcome = flight.fly_embedding(&log, stores) => outcome,
                    };
                    flight.progress.embedded(&outcome);
                    // The parts' tasks are gone by now, and with them every other owner.
                    if let Ok(log) = Arc::try_unwrap(log) {
                        log.finish(outcome);
                    }
                });
                subscriber
            }
        };
        let mut timer = IdleTimer::new(Arc::clone(&self.clock), deadline.saturating_sub(started));
        let answer = timer.limit(pin!(subscriber.result())).await;
        let found = matches!(&answer, Some(Ok(answer)) if is_found(&answer.cache));
        if self.tiers.is_some() && cache.read {
            let counters = &self.counters;
            let counter = if found {
                &counters.cache_hits
            } else {
                &counters.cache_misses
            };
            Counters::add(counter, 1);
        }
        if answer.is_some() && !subscriber.joined() {
            subscriber.progress().told();
        }
        let answer = answer
            .unwrap_or_else(|| Err(subscriber.progress().timed_out("total")))
            .map_err(|error| {
                error.with(|fields| {
                    fields.request_id = Some(request_id.clone());
                    fields.model.get_or_insert_with(|| request.model.clone());
                    fields.provider.get_or_insert_with(|| route.name.clone());
                    fields.trace = told(&trace, Some(subscriber.progress()), started);
                })
            })?;
        let mut answer = EmbeddingResponse::clone(&answer);
        if cache.read && answer.cache.status == CacheStatus::Bypass {
            answer.cache.status = CacheStatus::Miss;
        }
        if found {
            // Everybody on the flight was spared the same.
            answer.cache.joined = subscriber.joined();
            self.count_saved(answer.cache.saved);
        } else if subscriber.joined() {
            answer.cache.joined = true;
            answer.cache.saved = answer.cost.total;
            self.count_saved(answer.cost.total);
            answer.cost = free(&answer.cost);
        }
        answer.request_id = request_id;
        answer.timing.total_us = micros(self.clock.now().saturating_sub(started));
        answer.trace = told(&trace, Some(subscriber.progress()), started);
        Ok(answer)
    }
}

/// A kept answer as the answer of a call that found it.
fn as_hit(kept: &EmbeddingResponse, tier: CacheTier, age_ms: u64) -> Arc<EmbeddingResponse> {
    let mut hit = EmbeddingResponse::clone(kept);
    hit.cache = CacheOutcome {
        status: CacheStatus::Hit,
        tier: Some(tier),
        age_ms: Some(age_ms),
        saved: hit.cost.total,
        ..CacheOutcome::default()
    };
    hit.cost = free(&hit.cost);
    Arc::new(hit)
}

/// Whether a tier of this client had it.
fn is_found(cache: &CacheOutcome) -> bool {
    cache.status == CacheStatus::Hit && cache.tier != Some(CacheTier::Orchestrator)
}

/// The decisions of a call and of its flight, if anybody asked for them.
fn told(trace: &Recorder, flown: Option<&Arc<Progress>>, started: Duration) -> Option<Box<Trace>> {
    if !trace.is_on() {
        return None;
    }
    let mut whole = Trace::default();
    trace.copy_to(&mut whole, started);
    if let Some(flown) = flown {
        flown.trace.copy_to(&mut whole, started);
    }
    Some(Box::new(whole))
}

impl Flight {
    pub(crate) fn settle_embedding(
        &self,
        request: &EmbeddingRequest,
        mut answer: EmbeddingResponse,
        stores: bool,
        standing: &Standing,
    ) -> Arc<EmbeddingResponse> {
        if !self.route.is_orchestrator {
            self.settle_direct(request, &mut answer);
        } else if let Some(trace) = answer.trace.take() {
            self.progress.trace.adopt(*trace, "orchestrator");
        }
        self.core.count_spent(&answer.cost);
        let answer = Arc::new(answer);
        // An orchestrator may have fallen back; it keeps the answer under its own model's key.
        if stores && answer.model == request.model {
            self.keep_embedding(request, &answer, standing);
        }
        answer
    }

    fn settle_direct(&self, request: &EmbeddingRequest, answer: &mut EmbeddingResponse) {
        answer.model.clone_from(&request.model);
        answer.attempts = self.progress.attempts();
        answer.timing.queue_us = self.progress.queued_us();
        answer.upstream_request_id = answer
            .attempts
            .last()
            .and_then(|attempt| attempt.upstream_request_id.clone());
        // Of a gathered request it has its part of what the whole cost.
        if answer.cost.price_version.is_empty() {
            answer.cost = self
                .core
                .price(&request.model, None, &self.options, &answer.usage);
        }
    }

    fn embedding_key(&self, request: &EmbeddingRequest) -> Key {
        let (_, name) = request.model.split_once('/').unwrap_or_default();
        let name = if self.route.is_orchestrator {
            &request.model
        } else {
            name
        };
        let place = self.core.place(&self.route, &self.route.endpoint, name);
        key::embedding_key(&place, request)
    }

    /// What the tiers beneath the memory have; it is kept in memory for the time it has left.
    pub(crate) async fn embedding_in_tiers(
        &self,
        request: &EmbeddingRequest,
        standing: &mut Standing,
    ) -> Option<Arc<EmbeddingResponse>> {
        let core = &self.core;
        let tiers = core.tiers.as_ref()?;
        let key = self.embedding_key(request);
        let at = core.clock.now();
        let (found, seen) = tiers
            .find(
                Kind::Embedding,
                &[key],
                &self.scopes(&request.model),
                self.options.cache.max_age_ms,
                &self.progress.trace,
            )
            .await;
        self.heard(standing, seen, at);
        let Some(found) = found else {
            // The memory was not asked where it was not known whether it counts; by now it is.
            let max_age = self.options.cache.max_age_ms.map(Duration::from_millis);
            let now = core.clock.now();
            let entry = core.vectors.as_ref()?.get(&key, now, max_age)?;
            let Value::Embedding(kept) = &entry.value else {
                return None;
            };
            let age = millis(now.saturating_sub(entry.stored_at));
            return Some(as_hit(kept, CacheTier::Memory, age));
        };
        let now = tiers.now();
        let Value::Embedding(response) = &found.value else {
            return None;
        };
        if !found.times.is_fresh(now) {
            return None;
        }
        let hit = as_hit(response, found.tier, found.times.age(now));
        if let Some(memory) = &core.vectors {
            let config = &core.config.cache;
            let usual = self.options.cache.ttl_ms.unwrap_or(config.embedding_ttl_ms);
            let entry = promoted(&found.times, found.value, now, usual).at(core.clock.now());
            let entry = entry.tagged(found.label.tags);
            core.trust.put(memory, found.key, entry, standing.epoch);
        }
        Some(hit)
    }

    fn keep_embedding(
        &self,
        request: &EmbeddingRequest,
        answer: &Arc<EmbeddingResponse>,
        standing: &Standing,
    ) {
        let core = &self.core;
        if core.vectors.is_none() && core.tiers.is_none() {
            return;
        }
        let key = self.embedding_key(request);
        let keep = Keep {
            asked_ms: self.options.cache.ttl_ms,
            usual_ms: core.config.cache.embedding_ttl_ms,
            stale_ms: 0,
            cost_ms: 0,
        };
        let value = Value::Embedding(Arc::clone(answer));
        let tags = marks::tags(core.config.tenant.as_deref(), &self.options.tags);
        let stands = core.trust.epoch() == standing.epoch;
        if let Some(tiers) = core.tiers.as_ref().filter(|_| stands) {
            let (made, label) = (tiers.now(), (tags.clone(), &standing.seen));
            tiers.keep(
                Kind::Embedding,
                key,
                value.clone(),
                made,
                &keep,
                label,
                None,
            );
        }
        if let Some(memory) = &core.vectors {
            let ttl = Duration::from_millis(keep.asked_ms.unwrap_or(keep.usual_ms));
            let entry = Entry::new(value, core.clock.now(), ttl).tagged(tags);
            core.trust.put(memory, key, entry, standing.epoch);
        }
    }
}
