//! What the memory has for a call, found on the caller's thread.

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::prepare::Prepared;
use crate::cache::memory::{Entry, Memory, Value};
use crate::cache::policy;
use crate::call::key::Key;
use crate::call::pipeline::{micros, millis};
use crate::call::recorded::Recorded;
use crate::observe::{Counters, Nearness};
use crate::types::{
    CacheOutcome, CacheStatus, CacheTier, Completion, Cost, CostStatus, NanoUsd, Timing, TraceStep,
};

impl Core {
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
    pub(super) fn look_up(&self, call: &Prepared) -> Option<(Arc<Entry>, Key)> {
        self.look_up_first(call, [call.key, call.key.as_stream()])
    }

    /// The same for a stream: its events as they came, or the plain answer as a stream of few events.
    pub(super) fn look_up_stream(&self, call: &Prepared) -> Option<(Arc<Entry>, Key)> {
        self.look_up_first(call, [call.key.as_stream(), call.key])
    }

    fn look_up_first(&self, call: &Prepared, keys: [Key; 2]) -> Option<(Arc<Entry>, Key)> {
        let asks = call.cache.read && self.trusts_memory(call.started);
        let Some(memory) = self.memory.as_ref().filter(|_| asks) else {
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
        } else if !self.looks_on() {
            // Whether the tiers beneath have it is known when the call ends.
            Counters::add(&self.counters.cache_misses, 1);
        }
        call.trace.note(&*self.clock, || {
            self.cache_step(call, found.is_some(), true)
        });
        found
    }

    /// Whether what the memory does not have may still be found by the flight.
    pub(super) fn looks_on(&self) -> bool {
        self.tiers.is_some() || self.semantic.is_some()
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
                ..CacheOutcome::default()
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
