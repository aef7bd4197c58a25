//! A caller's part in a flight: joining or starting it, and its outcome as this caller's own.

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::lookup::free;
use super::prepare::Prepared;
use crate::cache::tiers::flight_key;
use crate::call::flight::{Join, Orphan, Subscriber, Want};
use crate::call::pace::Asked;
use crate::call::pipeline::{Flight, micros};
use crate::call::progress::Progress;
use crate::call::recorded::Recorded;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Counters;
use crate::types::{
    CacheStatus, CacheTier, CallOptions, Completion, StreamEvent, Timing, TraceStep,
};

impl Core {
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
        let shared = if self.looks_on() {
            // What the flight may find there, all who are on it must be willing to take.
            flight_key(shared, call.cache.read, call.options.cache.max_age_ms)
        } else {
            shared
        };
        let shared = self.trust.flight_key(shared);
        let shared = if call.options.is_batch() {
            apart(shared)
        } else {
            shared
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
        if self.looks_on() && call.cache.read {
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
            if joined {
                cache.lookup_cost = None;
            }
            self.count_saved(cache.saved);
        } else if joined {
            cache.joined = true;
            cache.lookup_cost = None;
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
        if self.looks_on() && call.cache.read {
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

/// The flight of calls that are not urgent: nobody else may come to wait for it.
fn apart(mut key: [u8; 32]) -> [u8; 32] {
    key[0] ^= 1;
    key
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

/// Until when they wait who share the call in the client that sent it, if that told.
pub(super) fn patience(options: &CallOptions, started: Duration) -> Option<Duration> {
    let patience = Duration::from_millis(options.patience_ms?);
    Some(started.saturating_add(patience))
}
