//! The stage that looks for an answer to a question that means the same, and keeps answers to be so found.
//!
//! It begins where every exact tier had nothing. Whatever goes wrong in it the call goes on as if it were not there; what it
//! spends is spent by calls of their own, so budgets, ledger and counters see it, and dropping the flight drops them.

mod compare;
mod verify;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::kept::{Standing, as_hit};
use super::key::{self, Key};
use super::pace::Asked;
use super::pipeline::{Flight, millis};
use super::stream::EventLog;
use super::validate::split_model;
use crate::cache::marks::Id;
use crate::cache::memory::Value;
use crate::cache::semantic::config::SemanticMode;
use crate::cache::semantic::{Fresh, Item, Semantic, Wanted, keeps_apart, normalised};
use crate::error::Result;
use crate::types::{
    CacheTier, CallOptions, Completion, CompletionRequest, EmbeddingInput, EmbeddingRequest,
    NanoUsd, TraceStep,
};

/// What a flight has found out about its question.
#[derive(Debug)]
pub(crate) struct Probe {
    /// What it shares with those it may share an answer with.
    group: Key,
    key: Key,
    text: Box<str>,
    vector: Arc<[f32]>,
    /// What the look has cost; `None` where a price is not known.
    spent: Option<NanoUsd>,
    /// What would have been given, to be compared with the answer.
    suspect: Option<Arc<Item>>,
}

impl Flight {
    /// The kept answer to a question that means the same as `request`'s.
    ///
    /// # Errors
    /// `cancelled`, where nobody waits any more.
    pub(super) async fn similar(
        &self,
        semantic: &Semantic,
        request: &CompletionRequest,
        key: Key,
        log: &EventLog,
        streamed: bool,
        standing: &mut Standing,
    ) -> Result<Option<Arc<Completion>>> {
        if self.progress.probe.get().is_some()
            || self.route.is_orchestrator
            || semantic.meter.is_off()
        {
            return Ok(None);
        }
        let left = log
            .latest_deadline()
            .map(|deadline| deadline.saturating_sub(self.core.clock.now()));
        let mut probe = self.probe(semantic, request, key, left).await;
        let mut found = None;
        if let Some(probe) = &mut probe
            && let Some((similarity, item)) = self.matching(semantic, probe, left, standing).await
            // What was invalidated while this was looked for is not given.
            && self.core.trust.epoch() == standing.epoch
        {
            let watch = &semantic.config.watch;
            let shadow = semantic.config.mode == SemanticMode::Shadow;
            let drawn = || self.core.random.next_f64() * 100.0 < watch.check_percent;
            if shadow || (watch.check_percent > 0.0 && drawn()) {
                self.step("semantic", if shadow { "shadow" } else { "checked" }, None);
                probe.suspect = Some(item);
            } else {
                found = Some((similarity, item, probe.spent));
            }
        }
        let _ = self.progress.probe.set(probe.map(Box::new));
        let Some((similarity, item, spent)) = found else {
            return Ok(None);
        };
        let Value::Completion { completion, events } = &item.entry.value else {
            return Ok(None);
        };
        semantic.meter.hits.fetch_add(1, Relaxed);
        let since = self.core.clock.now().saturating_sub(item.entry.stored_at);
        let age = millis(since.saturating_add(item.found_age.unwrap_or_default()));
        self.progress.trace.note(&*self.core.clock, || {
            TraceStep::new("semantic", "hit")
                .fields(vec![format!("similarity={}", rounded(similarity))])
        });
        let mut hit = as_hit(completion, CacheTier::Semantic, age, false);
        hit.cache.similarity = Some(rounded(similarity));
        hit.cache.lookup_cost = spent;
        let hit = Arc::new(hit);
        if streamed {
            self.play(&hit, events.as_deref(), log).await?;
        }
        Ok(Some(hit))
    }

    fn step(&self, stage: &'static str, outcome: &'static str, why: Option<&'static str>) {
        self.progress.trace.note(&*self.core.clock, || {
            let step = TraceStep::new(stage, outcome);
            match why {
                Some(why) => step.why(why),
                None => step,
            }
        });
    }

    /// The question as a vector.
    async fn probe(
        &self,
        semantic: &Semantic,
        request: &CompletionRequest,
        key: Key,
        left: Option<Duration>,
    ) -> Option<Probe> {
        let Some((group, text)) = self.alike(request) else {
            self.step("semantic", "bypass", Some("shape"));
            return None;
        };
        let most = usize::try_from(semantic.config.max_text_bytes).unwrap_or(usize::MAX);
        if text.trim().is_empty() || text.len() > most {
            self.step("semantic", "bypass", Some("length"));
            return None;
        }
        semantic.meter.lookups.fetch_add(1, Relaxed);
        let input = EmbeddingInput::Text(text.clone());
        // Of what is left at most half: the call must still be made.
        let limit = left.map_or(u64::MAX, |left| millis(left / 2));
        let vectors = self.vectors(semantic, input, limit).await;
        let (mut vectors, spent) = match vectors {
            Ok(vectors) => vectors,
            Err(why) => {
                semantic.meter.failures.fetch_add(1, Relaxed);
                self.step("semantic", "failed", Some(why));
                return None;
            }
        };
        Some(Probe {
            group,
            key: key.whole(),
            text: text.into(),
            vector: vectors.pop()?.into(),
            spent,
            suspect: None,
        })
    }

    fn alike(&self, request: &CompletionRequest) -> Option<(Key, String)> {
        let (_, model) = split_model(&request.model).ok()?;
        let place = self.core.place(&self.route, &self.route.endpoint, model);
        key::similar_key(&place, request)
    }

    /// The directions of texts, and what they cost; else the word for why there are none.
    async fn vectors(
        &self,
        semantic: &Semantic,
        input: EmbeddingInput,
        limit_ms: u64,
    ) -> Result<(Vec<Box<[f32]>>, Option<NanoUsd>), &'static str> {
        let config = &semantic.config;
        let expected = input.len();
        let request = EmbeddingRequest {
            model: config.model.clone(),
            input,
            dimensions: config.dimensions,
            user: match &self.asked {
                Asked::Completion(request) => request.user.clone(),
                _ => None,
            },
            extra: Default::default(),
        };
        let options = self.own_options(config.timeout_ms.min(limit_ms));
        let answer = self.core.embed(Arc::new(request), Arc::new(options)).await;
        let answer = answer.map_err(|error| error.kind().name())?;
        if answer.embeddings.len() != expected {
            return Err("decode_error");
        }
        let vectors = answer.embeddings.iter().map(|e| normalised(&e.vector));
        let vectors = vectors.collect::<Option<_>>().ok_or("decode_error")?;
        Ok((vectors, answer.cost.total))
    }

    /// The options of a call made for this one: on the same budgets, once, and for so long.
    fn own_options(&self, timeout_ms: u64) -> CallOptions {
        CallOptions {
            timeout_ms: Some(timeout_ms),
            max_attempts: Some(1),
            fallbacks: Some(Vec::new()),
            tags: self.options.tags.clone(),
            key_id: self.options.key_id.clone(),
            priority: self.options.priority,
            trace: Some(false),
            ..CallOptions::default()
        }
    }

    /// What can invalidate the answer to this call.
    fn own_scopes(&self) -> Vec<Id> {
        let scopes = self.scopes(self.asked.model().unwrap_or_default());
        scopes.of(scopes.tags.as_ref())
    }

    /// The nearest kept question that nothing keeps apart from this one.
    async fn matching(
        &self,
        semantic: &Semantic,
        probe: &mut Probe,
        left: Option<Duration>,
        standing: &mut Standing,
    ) -> Option<(f32, Arc<Item>)> {
        let config = &semantic.config;
        let wanted = Wanted {
            group: &probe.group,
            vector: &probe.vector,
            now: self.core.clock.now(),
            max_age: self.options.cache.max_age_ms.map(Duration::from_millis),
            threshold: config.threshold,
            top: usize::try_from(config.top).unwrap_or(usize::MAX),
        };
        let looked = match semantic.place.nearest(&wanted, &self.own_scopes()).await {
            Ok(looked) => looked,
            Err(why) => {
                semantic.meter.failures.fetch_add(1, Relaxed);
                self.step("semantic", "failed", Some(why));
                return None;
            }
        };
        standing.semantic = looked.seen;
        let mut refused = None;
        for (similarity, item) in looked.near {
            if let Some(gate) = keeps_apart(&config.gates, &probe.text, &item.text) {
                refused = Some(gate);
                continue;
            }
            let Some(model) = &config.verify else {
                return Some((similarity, item));
            };
            let limit = config
                .verify_timeout_ms
                .min(left.map_or(u64::MAX, |left| millis(left / 2)));
            let (same, spent) = self.verified(model, &probe.text, &item.text, limit).await;
            probe.spent = sum(probe.spent, spent);
            if same {
                return Some((similarity, item));
            }
            semantic.meter.unverified.fetch_add(1, Relaxed);
            self.step("semantic", "refused", Some("verify"));
            return None;
        }
        match refused {
            Some(gate) => {
                semantic.meter.refused.fetch_add(1, Relaxed);
                self.step("semantic", "refused", Some(gate));
            }
            None => self.step("semantic", "miss", None),
        }
        None
    }

    /// Keeps a new answer that the exact cache keeps too, and compares it with the one that might have been given instead.
    pub(super) fn keep_similar(
        &self,
        semantic: &Semantic,
        key: Key,
        value: &Value,
        tags: Option<Arc<[Id]>>,
        standing: &Standing,
    ) {
        if semantic.meter.is_off() {
            return;
        }
        let key = key.whole();
        let probe = self.progress.probe.get().and_then(Option::as_deref);
        let (group, text, vector) = match probe.filter(|probe| probe.key == key) {
            Some(probe) => {
                if let Some(suspect) = &probe.suspect {
                    self.compare(semantic, &suspect.entry.value, value);
                    if semantic.meter.is_off() {
                        return;
                    }
                }
                (probe.group, probe.text.clone(), Arc::clone(&probe.vector))
            }
            // Fetched anew: it takes the old one's place, where that is here.
            None => {
                let Asked::Completion(request) = &self.asked else {
                    return;
                };
                let Some((group, text)) = self.alike(request) else {
                    return;
                };
                match semantic.place.vector(&group, &key) {
                    Some(vector) => (group, text.into(), vector),
                    None => return,
                }
            }
        };
        let usual = semantic.config.ttl_ms;
        let ttl = (self.options.cache.ttl_ms.or(usual)).unwrap_or(self.core.config.cache.ttl_ms);
        let fresh = Fresh {
            group,
            key,
            text,
            vector,
            value: value.clone(),
            now: self.core.clock.now(),
            ttl: Duration::from_millis(ttl),
            tags,
            scopes: self.own_scopes(),
            seen: standing.semantic,
        };
        (self.core.trust).keep(standing.epoch, || semantic.place.keep(fresh));
    }

    /// For an answer that is fetched anew: what its place is found by, where that is kept elsewhere, and the marks before
    /// it is asked for.
    pub(super) async fn recall(
        &self,
        semantic: &Semantic,
        request: &CompletionRequest,
        key: Key,
        standing: &mut Standing,
    ) {
        let has_been = self.progress.probe.get().is_some();
        let elsewhere = semantic.place.is_shared() && !self.route.is_orchestrator;
        if has_been || !elsewhere || semantic.meter.is_off() {
            return;
        }
        let Some((group, text)) = self.alike(request) else {
            return;
        };
        let key = key.whole();
        let known = semantic.place.known(&group, &key, &self.own_scopes()).await;
        let Some((vector, seen)) = known else {
            return;
        };
        standing.semantic = Some(seen);
        let probe = Probe {
            group,
            key,
            text: text.into(),
            vector,
            spent: None,
            suspect: None,
        };
        let _ = self.progress.probe.set(Some(Box::new(probe)));
    }

    /// What the look for a similar question has cost, as the answer tells it.
    pub(super) fn lookup_cost(&self) -> Option<NanoUsd> {
        self.progress.probe.get()?.as_ref()?.spent
    }
}

fn sum(a: Option<NanoUsd>, b: Option<NanoUsd>) -> Option<NanoUsd> {
    Some(NanoUsd(a?.0.saturating_add(b?.0)))
}

/// As it is shown: four digits say all that it means.
fn rounded(similarity: f32) -> f64 {
    (f64::from(similarity) * 10_000.0).round() / 10_000.0
}

/// An answer of this text.
#[cfg(test)]
fn answer(text: &str) -> Completion {
    Completion::from(crate::types::Answer {
        text: text.into(),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_similarity_is_shown_with_four_digits() {
        assert!((rounded(0.987_654_3) - 0.9877).abs() < 1e-12);
        assert!((rounded(1.0) - 1.0).abs() < 1e-12);
    }
}
