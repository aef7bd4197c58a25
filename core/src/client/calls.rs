//! The caller's half of a call: check, key, memory look-up, join or start a flight, wait.
//!
//! Everything up to the wait happens on the caller's thread without a task, so that a hit or a mistake costs no hop.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::completion_stream::CompletionStream;
use super::config::ProviderKind;
use super::route::Route;
use super::{Client, Core};
use crate::cache::memory::{Entry, Memory, Value};
use crate::cache::policy::{self, CacheUse};
use crate::cache::tiers::flight_key;
use crate::call::attempt::{Outgoing, Whole, Wire};
use crate::call::fallback::Fallbacks;
use crate::call::flight::{Join, Orphan, Subscriber, Want};
use crate::call::key::{self, Key, Place};
use crate::call::orchestrated::seen_from_here;
use crate::call::pace::Asked;
use crate::call::pipeline::{Flight, Progress, micros, millis};
use crate::call::recorded::Recorded;
use crate::call::stream::{EventLog, Events};
use crate::call::validate;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Counters, Nearness, Recorder};
use crate::provider;
use crate::transport::timer::IdleTimer;
use crate::types::{
    CacheOutcome, CacheStatus, CacheTier, CallOptions, Completion, CompletionRequest, Cost,
    CostStatus, NanoUsd, StreamEvent, Timing, Trace, TraceStep, Unsupported,
};

/// A checked call, before it leaves the caller's thread.
pub(crate) struct Prepared {
    pub(crate) request: Arc<CompletionRequest>,
    pub(crate) options: Arc<CallOptions>,
    pub(crate) route: Arc<Route>,
    pub(crate) key: Key,
    pub(crate) cache: CacheUse,
    pub(crate) coalesce: bool,
    pub(crate) started: Duration,
    pub(crate) deadline: Duration,
    pub(crate) request_id: String,
    pub(crate) deterministic: bool,
    pub(crate) fallbacks: Option<Arc<Fallbacks>>,
    /// What was decided on the caller's side, and the flight where the rest was.
    pub(crate) trace: Recorder,
    pub(crate) flown: OnceLock<Arc<Progress>>,
}

impl Prepared {
    /// The decisions so far, if anybody asked for them.
    fn traced(&self) -> Option<Box<Trace>> {
        if !self.trace.is_on() {
            return None;
        }
        let mut trace = Trace::default();
        self.trace.copy_to(&mut trace, self.started);
        if let Some(flown) = self.flown.get() {
            flown.trace.copy_to(&mut trace, self.started);
        }
        Some(Box::new(trace))
    }
}

impl Client {
    /// Asks for a completion and waits for the whole answer.
    ///
    /// # Errors
    /// Any kind of the error table; `attempts` tells what was tried. Dropping the future cancels the call: when nobody
    /// else waits for the same answer the upstream request is closed.
    pub async fn complete(&self, request: impl Into<Arc<CompletionRequest>>) -> Result<Completion> {
        self.complete_with(request, CallOptions::default()).await
    }

    /// [`Client::complete`] with options.
    ///
    /// # Errors
    /// As [`Client::complete`].
    pub async fn complete_with(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<Completion> {
        let core = &self.core;
        let outcome = async {
            let call = core.prepare(request.into(), options.into())?;
            if let Some((entry, _)) = core.look_up(&call) {
                core.renew(&call, &entry);
                return Ok(core.hit(&call, &entry));
            }
            let mut subscriber = core.depart(&call, false)?;
            let mut timer = IdleTimer::new(
                Arc::clone(&core.clock),
                call.deadline.saturating_sub(call.started),
            );
            let answer = timer.limit(pin!(subscriber.result())).await;
            let answer = answer.unwrap_or_else(|| Err(subscriber.progress().timed_out("total")));
            let joined = subscriber.joined();
            match answer {
                Ok(answer) => Ok(core.deliver(&call, &answer, joined, None)),
                Err(error) => Err(core.blame(&call, error)),
            }
        }
        .await;
        core.count_outcome(&outcome);
        outcome
    }

    /// Asks for a completion as a stream and waits for its first event.
    ///
    /// # Errors
    /// As [`Client::complete`] until the first event; later ones come out of the stream.
    pub async fn stream(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
    ) -> Result<CompletionStream> {
        self.stream_with(request, CallOptions::default()).await
    }

    /// [`Client::stream`] with options.
    ///
    /// # Errors
    /// As [`Client::stream`].
    pub async fn stream_with(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<CompletionStream> {
        let core = &self.core;
        let outcome = async {
            let call = core.prepare(request.into(), options.into())?;
            if let Some((entry, _)) = core.look_up_stream(&call) {
                core.renew(&call, &entry);
                return Ok(CompletionStream::replay(Arc::clone(core), call, &entry));
            }
            let subscriber = core.depart(&call, true)?;
            CompletionStream::open(Arc::clone(core), call, subscriber).await
        }
        .await;
        core.count_outcome(&outcome);
        outcome
    }

    /// The answer to this request if the memory cache has it; never waits and needs no runtime.
    ///
    /// # Errors
    /// `invalid_request` and `not_found`, as the call itself would answer.
    pub fn lookup(
        &self,
        request: &Arc<CompletionRequest>,
        options: &Arc<CallOptions>,
    ) -> Result<Option<Completion>> {
        let call = self
            .core
            .prepare(Arc::clone(request), Arc::clone(options))?;
        Ok(self.core.look_up(&call).map(|(entry, _)| {
            self.core.renew(&call, &entry);
            self.core.hit(&call, &entry)
        }))
    }

    /// The key under which this request's answer is kept and shared: equal keys are equal calls, in every language.
    ///
    /// # Errors
    /// `invalid_request` and `not_found`, as the call itself would answer.
    pub fn key(&self, request: &CompletionRequest) -> Result<Key> {
        let (provider, model) = validate::split_model(&request.model)?;
        crate::call::depth::completion(request)?;
        let route = self.core.route(provider)?;
        Ok(self.core.key(
            route,
            if route.is_orchestrator {
                &request.model
            } else {
                model
            },
            request,
        ))
    }
}

impl Core {
    pub(crate) fn count_outcome<T>(&self, outcome: &Result<T>) {
        Counters::add(&self.counters.calls, 1);
        if outcome.is_err() {
            Counters::add(&self.counters.failures, 1);
        }
    }

    pub(crate) fn place<'a>(
        &'a self,
        route: &'a Route,
        endpoint: &'a str,
        model: &'a str,
    ) -> Place<'a> {
        Place {
            tenant: self.config.tenant.as_deref(),
            credential: &route.credential,
            provider: &route.name,
            base_url: &route.base_url,
            endpoint,
            model,
        }
    }

    pub(crate) fn key(&self, route: &Route, model: &str, request: &CompletionRequest) -> Key {
        key::completion_key(&self.place(route, &route.endpoint, model), request)
    }

    /// When a call that starts now and has this option must be over.
    pub(crate) fn deadline(&self, started: Duration, options: &CallOptions) -> Result<Duration> {
        let total = options.timeout_ms.unwrap_or(self.config.timeouts.total_ms);
        if total == 0 {
            return Err(Error::timeout("queue", "total"));
        }
        Ok(started.saturating_add(Duration::from_millis(total)))
    }

    pub(super) fn prepare(
        &self,
        request: Arc<CompletionRequest>,
        options: Arc<CallOptions>,
    ) -> Result<Prepared> {
        self.check_open()?;
        let started = self.clock.now();
        let (provider, model) = validate::split_model(&request.model)?;
        validate::completion(&request)?;
        validate::options(&options)?;
        let route = Arc::clone(self.route(provider)?);
        let model = if route.is_orchestrator {
            validate::remote_options(&options)?;
            request.model.as_str()
        } else {
            model
        };
        let deadline = self.deadline(started, &options)?;
        let deterministic = policy::is_deterministic(&request, provider == "local");
        let key = self.key(&route, model, &request);
        let trace = Recorder::default();
        if options.trace.unwrap_or(self.config.trace) {
            trace.turn_on();
        }
        // Kept and shared answers may be of calls that let parameters go.
        let strict = options.unsupported == Some(Unsupported::Refuse);
        if strict {
            self.check_parameters(&route, &request, model)?;
        }
        if let Some(max_cost) = options.max_cost {
            self.check_cost(&request, &options, max_cost)?;
        }
        let fallbacks = self.fallbacks(
            &request.model,
            Some(&request),
            &options,
            route.is_orchestrator,
        )?;
        let cache = policy::cache_use(&self.config, &options, deterministic);
        // Which parameters an orchestrator's provider takes is not known here.
        let blind = strict && route.is_orchestrator;
        Ok(Prepared {
            fallbacks,
            cache: CacheUse {
                read: cache.read && !blind,
                write: cache.write && !blind,
            },
            coalesce: !blind && policy::may_coalesce(&self.config, &options, deterministic),
            request_id: self.call_id(),
            request,
            options,
            route,
            key,
            started,
            deadline,
            deterministic,
            trace,
            flown: OnceLock::new(),
        })
    }

    /// Refuses a call of which something would have to be left out.
    fn check_parameters(
        &self,
        route: &Route,
        request: &CompletionRequest,
        model: &str,
    ) -> Result<()> {
        if route.is_orchestrator || route.kind == ProviderKind::Local {
            return Ok(());
        }
        let traits = self.traits(route, &request.model);
        let wire = provider::encode_completion(route.api, request, model, &traits, false)?;
        match wire.dropped_params.first() {
            None => Ok(()),
            Some(first) => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "`{}` does not take {}",
                    request.model,
                    wire.dropped_params.join(", ")
                ),
            )
            .with(|fields| fields.field = Some(first.clone()))),
        }
    }

    /// How this call stands to the traced ones before it.
    pub(super) fn nearness(&self, call: &Prepared, remember: bool) -> Nearness {
        let route = &call.route;
        let (_, model) = call.request.model.split_once('/').unwrap_or_default();
        let model = if route.is_orchestrator {
            &call.request.model
        } else {
            model
        };
        let place = self.place(route, &route.endpoint, model);
        self.near_misses
            .compare(call.key, &place, &call.request, remember)
    }

    /// The step of a call's trace that says what came of the look into the cache.
    pub(super) fn cache_step(&self, call: &Prepared, found: bool, remember: bool) -> TraceStep {
        if found {
            return TraceStep::new("cache", "hit").why("memory");
        }
        if !call.cache.read {
            let why = policy::bypass_reason(&self.config, &call.options);
            return TraceStep::new("cache", "bypass").why(why);
        }
        let step = TraceStep::new("cache", "miss");
        match self.nearness(call, remember) {
            Nearness::Unknown => step.why("unknown"),
            Nearness::Same => step.why("not_kept"),
            Nearness::Differs(fields) => step.why("differs").fields(fields),
        }
    }

    /// What the memory has for this call: its own answer, or the folded answer of the same stream.
    fn look_up(&self, call: &Prepared) -> Option<(Arc<Entry>, Key)> {
        self.look_up_first(call, [call.key, call.key.as_stream()])
    }

    /// The same for a stream: its events as they came, or the plain answer as a stream of few events.
    fn look_up_stream(&self, call: &Prepared) -> Option<(Arc<Entry>, Key)> {
        self.look_up_first(call, [call.key.as_stream(), call.key])
    }

    fn look_up_first(&self, call: &Prepared, keys: [Key; 2]) -> Option<(Arc<Entry>, Key)> {
        let Some(memory) = self.memory.as_ref().filter(|_| call.cache.read) else {
            call.trace
                .note(&*self.clock, || self.cache_step(call, false, false));
            return None;
        };
        let max_age = call.options.cache.max_age_ms.map(Duration::from_millis);
        let found = keys
            .into_iter()
            .find_map(|key| Some((memory.get(&key, call.started, max_age)?, key)))
            .or_else(|| self.look_up_stale(memory, call, keys));
        if found.is_some() {
            Counters::add(&self.counters.cache_hits, 1);
        } else if self.tiers.is_none() {
            // Whether the tiers beneath have it is known when the call ends.
            Counters::add(&self.counters.cache_misses, 1);
        }
        call.trace.note(&*self.clock, || {
            self.cache_step(call, found.is_some(), true)
        });
        found
    }

    /// What the memory has although its time is over, where that may be given while a new one is fetched.
    fn look_up_stale(
        &self,
        memory: &Memory,
        call: &Prepared,
        keys: [Key; 2],
    ) -> Option<(Arc<Entry>, Key)> {
        let window = self.config.cache.stale_while_revalidate_ms;
        if window == 0 {
            return None;
        }
        let max_age = call.options.cache.max_age_ms.map(Duration::from_millis);
        keys.into_iter()
            .filter_map(|key| Some((memory.get_kept(&key, call.started, max_age)?, key)))
            .find(|(entry, _)| millis(call.started.saturating_sub(entry.expires_at)) < window)
    }

    /// A kept answer as this call's.
    pub(crate) fn hit(&self, call: &Prepared, entry: &Entry) -> Completion {
        let Value::Completion { completion, .. } = &entry.value else {
            return Completion::default(); // keys of embeddings are never asked for here
        };
        let saved = completion.cost.total;
        self.count_saved(saved);
        let total = micros(self.clock.now().saturating_sub(call.started));
        let hit = Completion {
            answer: Arc::clone(&completion.answer),
            cost: free(&completion.cost),
            cache: CacheOutcome {
                status: CacheStatus::Hit,
                tier: Some(CacheTier::Memory),
                age_ms: Some(millis(call.started.saturating_sub(entry.stored_at))),
                joined: false,
                saved,
                stale: !entry.is_fresh(call.started),
            },
            attempts: Vec::new(),
            request_id: call.request_id.clone(),
            timing: Timing {
                total_us: total,
                overhead_us: total,
                ..Timing::default()
            },
            trace: call.traced(),
            tool_run: None,
        };
        self.record_hit(
            &call.route,
            Recorded::Completion(&call.request),
            &call.options,
            &hit.request_id,
            (&hit.cost, &hit.cache),
            total,
        );
        hit
    }

    pub(crate) fn count_saved(&self, saved: Option<NanoUsd>) {
        Counters::add(&self.counters.saved, saved.unwrap_or_default().0);
    }

    /// Joins the flight of this call, or starts one.
    pub(super) fn depart(
        self: &Arc<Self>,
        call: &Prepared,
        streamed: bool,
    ) -> Result<Subscriber<StreamEvent, Arc<Completion>>> {
        runtime()?;
        let (want, key) = if streamed {
            (Want::Events, call.key.as_stream())
        } else {
            (Want::Result, call.key)
        };
        self.check_room()?;
        let deadline = Some(call.deadline);
        let shared = match &call.fallbacks {
            None => key.0,
            Some(fallbacks) => fallbacks.flight_key(key),
        };
        let shared = match &self.tiers {
            None => shared,
            // What the flight may find there, all who are on it must be willing to take.
            Some(_) => flight_key(shared, call.cache.read, call.options.cache.max_age_ms),
        };
        let (mut subscriber, log) = if call.coalesce {
            match self.flights.join(shared, want, deadline)? {
                Join::Joined(subscriber) => {
                    let patience = patience(&call.options, call.started);
                    let patience = patience.unwrap_or(call.deadline);
                    subscriber.progress().be_more_patient(patience);
                    self.record_joined(subscriber.progress());
                    self.follow(call, &subscriber, "joined");
                    if let Some(orphan) = subscriber.orphan() {
                        spawn(orphan);
                    }
                    return Ok(subscriber);
                }
                Join::Started(subscriber, log) => (subscriber, log),
            }
        } else {
            self.flights.start_private(want, deadline)?
        };
        self.follow(
            call,
            &subscriber,
            if call.coalesce { "started" } else { "alone" },
        );
        self.record_flight(
            subscriber.progress(),
            &call.route,
            Recorded::Completion(&call.request),
            &call.options,
            &call.request_id,
            call.cache.read,
        );
        let flight = self.flight(call, &subscriber, streamed);
        let request = Arc::clone(&call.request);
        let (store, key) = (call.cache.write, key);
        if call.coalesce {
            self.keep_open(call.started, subscriber.progress());
        }
        if let Some(patience) = patience(&call.options, call.started) {
            subscriber.progress().be_patient(patience);
        }
        let work = async move {
            let outcome = flight
                .fly(request, &log, streamed, store.then_some(key))
                .await;
            flight.progress.completed(&outcome);
            log.finish(outcome);
        };
        subscriber.steer(Box::pin(work), spawn);
        Ok(subscriber)
    }

    /// Lets an orchestrator go on with a shared call for as long as a call of this client may take.
    pub(super) fn keep_open(&self, started: Duration, progress: &Progress) {
        let total = Duration::from_millis(self.config.timeouts.total_ms);
        progress.keep_open(started.saturating_add(total));
    }

    /// Notes which flight the call is on, so that its decisions are in the call's trace too.
    fn follow<E: Clone + Send, T: Clone + Send>(
        &self,
        call: &Prepared,
        subscriber: &Subscriber<E, T>,
        outcome: &'static str,
    ) {
        if !call.trace.is_on() {
            return;
        }
        subscriber.progress().trace.turn_on();
        let _ = call.flown.set(Arc::clone(subscriber.progress()));
        call.trace.note(&*self.clock, || {
            let step = TraceStep::new("flight", outcome);
            match outcome {
                "alone" if call.options.coalesce == Some(false) || call.deterministic => {
                    step.why("coalesce_off")
                }
                "alone" => step.why("not_deterministic"),
                _ => step,
            }
        });
    }

    fn flight<E: Clone + Send, T: Clone + Send>(
        self: &Arc<Self>,
        call: &Prepared,
        subscriber: &Subscriber<E, T>,
        streamed: bool,
    ) -> Flight {
        Flight {
            core: Arc::clone(self),
            route: Arc::clone(&call.route),
            options: Arc::clone(&call.options),
            progress: Arc::clone(subscriber.progress()),
            idempotency_key: self.idempotency_key(&call.options),
            request_id: call.request_id.clone(),
            asked: Asked::Completion(Arc::clone(&call.request)),
            gate: self.gate(&call.route, &call.request.model),
            fallbacks: call.fallbacks.clone(),
            label: (call.fallbacks.is_some() && !call.route.is_orchestrator)
                .then(|| call.request.model.clone()),
            hedge: self.hedge(&call.options, &call.route, &call.request.model, streamed),
            racer: None,
            hurry: !call.route.others.is_empty(),
        }
    }

    /// Refuses a call when too many are under way: a bound that is met is an error, never a queue that grows.
    pub(crate) fn check_room(&self) -> Result<()> {
        let active = self.flights.stats().active_flights + self.embeddings.stats().active_flights;
        if active >= self.config.limits.max_in_flight {
            return Err(Error::new(
                ErrorKind::Overloaded,
                "too many calls under way (`limits.max_in_flight`)",
            ));
        }
        Ok(())
    }

    pub(crate) fn idempotency_key(&self, options: &CallOptions) -> String {
        options
            .idempotency_key
            .clone()
            .unwrap_or_else(|| self.call_id())
    }

    /// A flight's answer as one of its callers'.
    pub(crate) fn deliver(
        &self,
        call: &Prepared,
        answer: &Completion,
        joined: bool,
        first_token: Option<Duration>,
    ) -> Completion {
        let mut cache = answer.cache.clone();
        if cache.status == CacheStatus::Bypass && call.cache.read {
            cache.status = CacheStatus::Miss;
        }
        let found = cache.status == CacheStatus::Hit && cache.tier != Some(CacheTier::Orchestrator);
        if self.tiers.is_some() && call.cache.read {
            let counters = &self.counters;
            let counter = if found {
                &counters.cache_hits
            } else {
                &counters.cache_misses
            };
            Counters::add(counter, 1);
        }
        if found {
            // Everybody on the flight was spared the same.
            cache.joined = joined;
            self.count_saved(cache.saved);
        } else if joined {
            cache.joined = true;
            cache.saved = answer.cost.total;
            self.count_saved(answer.cost.total);
        }
        let total = micros(self.clock.now().saturating_sub(call.started));
        let elsewhere: u64 = answer
            .attempts
            .iter()
            // What ran beside another took no time of its own.
            .filter(|attempt| !attempt.parallel)
            .map(|attempt| attempt.duration_us + attempt.delay_ms * 1000)
            .sum();
        Completion {
            answer: Arc::clone(&answer.answer),
            cost: if joined {
                free(&answer.cost)
            } else {
                answer.cost.clone()
            },
            cache,
            attempts: answer.attempts.clone(),
            request_id: call.request_id.clone(),
            timing: Timing {
                total_us: total,
                overhead_us: if joined {
                    0
                } else {
                    total
                        .saturating_sub(elsewhere)
                        .saturating_sub(answer.timing.queue_us)
                },
                first_token_us: first_token.map(|at| micros(at.saturating_sub(call.started))),
                ..answer.timing
            },
            trace: call.traced(),
            tool_run: None,
        }
    }

    /// A flight's error as one of its callers'.
    pub(crate) fn blame(&self, call: &Prepared, error: Error) -> Error {
        if self.tiers.is_some() && call.cache.read {
            Counters::add(&self.counters.cache_misses, 1);
        }
        error.with(|fields| {
            fields.request_id = Some(call.request_id.clone());
            fields
                .model
                .get_or_insert_with(|| call.request.model.clone());
            fields
                .provider
                .get_or_insert_with(|| call.route.name.clone());
            fields.trace = call.traced();
        })
    }
}

/// The same cost, paid by somebody else.
pub(crate) fn free(cost: &Cost) -> Cost {
    Cost {
        status: if cost.status == CostStatus::Unknown {
            CostStatus::Unknown
        } else {
            CostStatus::Exact
        },
        total: cost.total.map(|_| NanoUsd::ZERO),
        price_version: cost.price_version.clone(),
        ..Cost::default()
    }
}

/// Makes a flight's work a task of the caller's runtime.
pub(super) fn spawn(orphan: Orphan<StreamEvent, Arc<Completion>>) {
    tokio::spawn(orphan.run());
}

/// The Tokio runtime flights run on.
pub(crate) fn runtime() -> Result<tokio::runtime::Handle> {
    tokio::runtime::Handle::try_current().map_err(|error| {
        Error::new(
            ErrorKind::InvalidState,
            "no Tokio runtime here: call from within one",
        )
        .with_source(error)
    })
}

impl Flight {
    /// A flight to one model: encode, try, settle, keep.
    pub(crate) async fn fly_once(
        &self,
        request: Arc<CompletionRequest>,
        log: &EventLog,
        streamed: bool,
        store: Option<Key>,
    ) -> Result<Arc<Completion>> {
        if let Some(key) = store.filter(|_| !self.options.cache.refresh) {
            if !streamed && let Some(kept) = self.in_memory(&key) {
                return Ok(kept);
            }
            // Boxed: a client without tiers must not carry the room for their look.
            if self.core.tiers.is_some()
                && let Some(kept) = Box::pin(self.in_tiers(key, log, streamed)).await?
            {
                return Ok(kept);
            }
        }
        self.check_missing(&request.model)?;
        let request = match self.core.budgets {
            None => request,
            Some(_) => Box::pin(self.clamped(&request)).await?.unwrap_or(request),
        };
        let wire = if self.route.is_orchestrator || self.route.kind == ProviderKind::Local {
            Wire {
                path: "",
                body: bytes::Bytes::new(),
                dropped_params: Vec::new(),
            }
        } else {
            let (_, model) = validate::split_model(&request.model)?;
            let traits = self.core.traits(&self.route, &request.model);
            provider::encode_completion(self.route.api, &request, model, &traits, streamed)?.into()
        };
        if !wire.dropped_params.is_empty() {
            self.progress.trace.note(&*self.core.clock, || {
                TraceStep::new("parameters", "dropped")
                    .why("model")
                    .fields(wire.dropped_params.clone())
            });
        }
        let call = Outgoing { request, wire };
        let deadline = || log.latest_deadline();
        let (mut completion, events) = if streamed {
            let keep = store.is_some();
            let events = Events {
                call: &call,
                log,
                keep,
            };
            // Boxed: its state is the larger one, and every call's work has room for it otherwise.
            let streamed = Box::pin(self.tries(deadline, &events)).await;
            let streamed = streamed.inspect_err(|error| self.note_missing(error))?;
            (streamed.completion, streamed.events)
        } else {
            let whole = self.tries(deadline, &Whole(&call)).await;
            (whole.inspect_err(|error| self.note_missing(error))?, None)
        };
        self.settle(&call, &mut completion);
        let completion = Arc::new(completion);
        self.keep(store, &completion, events, streamed);
        Ok(completion)
    }

    /// Adds to a vendor's answer what the flight knows: who was asked, what it took, what it cost.
    fn settle(&self, call: &Outgoing, completion: &mut Completion) {
        if self.route.is_orchestrator {
            // The orchestrator has settled it; what is added is what happened on the way to it.
            let mut attempts = self.progress.attempts();
            attempts.pop();
            attempts.append(&mut completion.attempts);
            completion.attempts = attempts;
            seen_from_here(&mut completion.cache.tier);
            if let Some(trace) = completion.trace.take() {
                self.progress.trace.adopt(*trace, "orchestrator");
            }
            self.core.count_spent(&completion.cost);
            return;
        }
        completion.attempts = self.progress.attempts();
        completion.timing.queue_us = self.progress.queued_us();
        let upstream_request_id = completion
            .attempts
            .last()
            .and_then(|attempt| attempt.upstream_request_id.clone());
        let answer = &mut **completion;
        answer.model.clone_from(&call.request.model);
        answer.dropped_params.clone_from(&call.wire.dropped_params);
        answer.upstream_request_id = upstream_request_id;
        if completion.raw_usage.is_none() && self.route.kind != ProviderKind::Local {
            completion.usage = self.core.counted_usage(&call.request, completion);
        }
        self.core.calibrate(&call.request, &completion.usage);
        completion.cost = self.core.price(
            &call.request.model,
            Some(&call.request),
            &self.options,
            &completion.usage,
        );
        self.charge_losers(completion, &call.request.model);
        self.core.count_spent(&completion.cost);
    }
}

/// Until when they wait who share the call in the client that sent it, if that told.
pub(super) fn patience(options: &CallOptions, started: Duration) -> Option<Duration> {
    let patience = Duration::from_millis(options.patience_ms?);
    Some(started.saturating_add(patience))
}
