//! A flight to one model, from the encoded request to the settled and kept answer.

use std::sync::Arc;

use super::attempt::{Outgoing, Whole, Wire};
use super::key::Key;
use super::orchestrated::seen_from_here;
use super::pipeline::Flight;
use super::stream::{EventLog, Events};
use super::turn::Waited;
use super::validate;
use crate::client::config::ProviderKind;
use crate::error::Result;
use crate::provider;
use crate::types::{Completion, CompletionRequest, PromptCache, TraceStep};

/// The tier of what went through a batch, as Anthropic calls it.
pub(crate) const BATCH: &str = "batch";

impl Flight {
    /// A flight to one model: encode, try, settle, keep.
    pub(crate) async fn fly_once(
        &self,
        request: Arc<CompletionRequest>,
        log: &EventLog,
        streamed: bool,
        store: Option<Key>,
    ) -> Result<Arc<Completion>> {
        let flown = self.flown(request, log, streamed, store).await;
        flown.map_err(|error| self.progress.after_showing(error))
    }

    async fn flown(
        &self,
        request: Arc<CompletionRequest>,
        log: &EventLog,
        streamed: bool,
        store: Option<Key>,
    ) -> Result<Arc<Completion>> {
        let mut standing = self.standing();
        let mut lease = None;
        if let Some(key) = store.filter(|_| !self.options.cache.refresh) {
            if !streamed
                && self.core.trusts_memory(self.core.clock.now())
                && let Some(kept) = self.in_memory(&key)
            {
                return Ok(kept);
            }
            // Boxed: a client without tiers must not carry the room for their look.
            if self.core.tiers.is_some()
                && let Some(kept) =
                    Box::pin(self.in_tiers(key, log, streamed, &mut standing)).await?
            {
                return Ok(kept);
            }
            // Likewise, and what similar questions it knows.
            if let Some(semantic) = &self.core.semantic
                && let Some(kept) =
                    Box::pin(self.similar(semantic, &request, key, log, streamed, &mut standing))
                        .await?
            {
                return Ok(kept);
            }
            let shares = |tiers: &Arc<crate::cache::Tiers>| tiers.shares();
            if self.core.tiers.as_ref().is_some_and(shares) && !self.options.is_batch() {
                match Box::pin(self.await_turn(key, log, streamed, &mut standing)).await? {
                    Waited::Kept(kept) => return Ok(kept),
                    Waited::Ask(ours) => lease = ours,
                }
            }
        } else if let Some(key) = store {
            if self.core.tiers.is_some() {
                Box::pin(self.look_around(&mut standing)).await;
            }
            if let Some(semantic) = &self.core.semantic {
                Box::pin(self.recall(semantic, &request, key, &mut standing)).await;
            }
        }
        self.check_missing(&request.model)?;
        let request = match self.prompt_cache() {
            PromptCache::Off => request,
            wanted => self.planned(request, wanted),
        };
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
        if self.options.is_batch() && !self.route.is_orchestrator {
            return Box::pin(self.batched(call, log, store, standing)).await;
        }
        let deadline = || log.latest_deadline();
        let (mut completion, events) = if streamed {
            let keep = store.is_some();
            let events = Events {
                call: &call,
                log,
                keep,
                lease: lease.as_deref(),
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
        let standing = (standing, lease);
        self.keep(store, &completion, events, streamed, standing);
        Ok(completion)
    }

    /// Adds what this client knows to an answer: an orchestrator's is settled already, but for the way to it.
    fn settle(&self, call: &Outgoing, completion: &mut Completion) {
        if self.core.semantic.is_some() {
            completion.cache.lookup_cost = self.lookup_cost();
        }
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
        self.account(call, completion);
        self.core.count_spent(&completion.cost);
    }

    /// Adds to a vendor's answer what the flight knows: who was asked, what it took, what it cost.
    pub(super) fn account(&self, call: &Outgoing, completion: &mut Completion) {
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
        if self.options.is_batch() {
            // Anthropic says so itself; it decides the price.
            completion.usage.service_tier = Some(BATCH.into());
        }
        self.core.calibrate(&call.request, &completion.usage);
        completion.cost = self.core.price(
            &call.request.model,
            Some(&call.request),
            &self.options,
            &completion.usage,
        );
        self.charge_losers(completion, &call.request.model);
    }
}
