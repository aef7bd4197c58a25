//! What a flight finds before it asks anybody, what it falls back on when nobody answers, and what it leaves behind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::key::Key;
use super::pipeline::{Flight, millis};
use super::stream::EventLog;
use crate::cache::marks::Token;
use crate::cache::memory::{Entry, Value, event_bytes};
use crate::cache::turn::Lease;
use crate::cache::{Found, Keep, Kind, Scopes, Seen, Times, marks, policy};
use crate::client::free;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{CacheOutcome, CacheStatus, CacheTier, Completion, StreamEvent, TraceStep};

/// A kept completion as the answer of a call that found it.
pub(crate) fn as_hit(
    completion: &Completion,
    tier: CacheTier,
    age_ms: u64,
    stale: bool,
) -> Completion {
    Completion {
        answer: Arc::clone(&completion.answer),
        cost: free(&completion.cost),
        cache: CacheOutcome {
            status: CacheStatus::Hit,
            tier: Some(tier),
            age_ms: Some(age_ms),
            joined: false,
            saved: completion.cost.total,
            stale,
            ..CacheOutcome::default()
        },
        ..Completion::default()
    }
}

/// Failures of the upstream or the way there, for which a stale answer may stand in.
fn may_stand_in(error: &Error) -> bool {
    let fields = error.fields();
    match fields.kind {
        ErrorKind::ConnectFailed
        | ErrorKind::TransportInterrupted
        | ErrorKind::Timeout
        | ErrorKind::CircuitOpen
        | ErrorKind::Overloaded => fields.partial.is_none(),
        ErrorKind::UpstreamError => fields.http_status.is_none_or(|status| status >= 500),
        _ => false,
    }
}

/// What was invalidated so far when an answer was asked for: it is kept as long as no more is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) epoch: u64,
    pub(crate) seen: Seen,
    /// The marks where questions that mean the same are kept, where others keep them there too.
    pub(crate) semantic: Option<Token>,
}

impl Flight {
    /// How things stand now, as far as this client knows.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            epoch: self.core.trust.epoch(),
            seen: Seen::default(),
            semantic: None,
        }
    }

    pub(crate) fn scopes(&self, model: &str) -> Scopes {
        let tenant = self.core.config.tenant.as_deref();
        Scopes::new(tenant, model, &self.options.tags)
    }

    /// Notes what the tiers said, asked at `at`.
    pub(crate) fn heard(&self, standing: &mut Standing, seen: Seen, at: Duration) {
        standing.seen = seen;
        standing.epoch = self.core.heard(standing.epoch, seen.any, at);
    }

    /// The same for a call that takes nothing kept, but will leave something.
    pub(crate) async fn look_around(&self, standing: &mut Standing) {
        if let (Some(tiers), Some(model)) = (&self.core.tiers, self.asked.model()) {
            let at = self.core.clock.now();
            let seen = tiers.seen(&self.scopes(model)).await;
            self.heard(standing, seen, at);
        }
    }

    /// What the memory has by now: a caller can miss it just before another flight fills it and ends.
    pub(crate) fn in_memory(&self, key: &Key) -> Option<Arc<Completion>> {
        let now = self.core.clock.now();
        let entry = self.core.memory.as_ref()?.get(key, now, self.max_age())?;
        self.of_entry(&entry, now)
    }

    fn of_entry(&self, entry: &Entry, now: Duration) -> Option<Arc<Completion>> {
        let Value::Completion { completion, .. } = &entry.value else {
            return None;
        };
        let age = millis(now.saturating_sub(entry.stored_at));
        let stale = !entry.is_fresh(now);
        Some(Arc::new(as_hit(completion, CacheTier::Memory, age, stale)))
    }

    fn max_age(&self) -> Option<Duration> {
        self.options.cache.max_age_ms.map(Duration::from_millis)
    }

    /// What the tiers beneath the memory have. A stale answer is taken where it may be while a new one is fetched.
    ///
    /// # Errors
    /// `cancelled`, where nobody waits any more.
    pub(crate) async fn in_tiers(
        &self,
        key: Key,
        log: &EventLog,
        streamed: bool,
        standing: &mut Standing,
    ) -> Result<Option<Arc<Completion>>> {
        let Some(found) = self.found(key, standing).await else {
            // The memory was not asked where it was not known whether it counts; by now it is.
            return self.of_memory(key, log, streamed).await;
        };
        let Some(tiers) = &self.core.tiers else {
            return Ok(None);
        };
        let now = tiers.now();
        if !found.times.is_fresh(now) {
            let window = self.core.config.cache.stale_while_revalidate_ms;
            let over = now.saturating_sub(found.times.fresh_until);
            if over >= window {
                return Ok(None);
            }
            self.renew_found();
        } else if self.core.draws(found.times.left(now), found.times.cost_ms) {
            self.renew_found();
        }
        self.give(&found, now, log, streamed, standing).await
    }

    async fn of_memory(
        &self,
        key: Key,
        log: &EventLog,
        streamed: bool,
    ) -> Result<Option<Arc<Completion>>> {
        let now = self.core.clock.now();
        let kept = self.core.memory.as_ref();
        let entry = kept.and_then(|memory| memory.get(&key, now, self.max_age()));
        match entry {
            Some(entry) => self.play_entry(&entry, now, log, streamed).await,
            None => Ok(None),
        }
    }

    /// An answer in memory as this flight's.
    async fn play_entry(
        &self,
        entry: &Entry,
        now: Duration,
        log: &EventLog,
        streamed: bool,
    ) -> Result<Option<Arc<Completion>>> {
        let Some(hit) = self.of_entry(entry, now) else {
            return Ok(None);
        };
        if streamed {
            let events = match &entry.value {
                Value::Completion { events, .. } => events.as_deref(),
                Value::Embedding(_) => None,
            };
            self.play(&hit, events, log).await?;
        }
        Ok(Some(hit))
    }

    async fn found(&self, key: Key, standing: &mut Standing) -> Option<Found> {
        let keys = [key, key.as_stream()];
        let at = self.core.clock.now();
        let (found, seen) = self
            .core
            .tiers
            .as_ref()?
            .find(
                Kind::Completion,
                &keys,
                &self.scopes(self.asked.model()?),
                self.options.cache.max_age_ms,
                &self.progress.trace,
            )
            .await;
        self.heard(standing, seen, at);
        found
    }

    /// Answers with what a tier had, and keeps it in memory for the time it has left.
    async fn give(
        &self,
        found: &Found,
        now: u64,
        log: &EventLog,
        streamed: bool,
        standing: &Standing,
    ) -> Result<Option<Arc<Completion>>> {
        let Value::Completion { completion, events } = &found.value else {
            return Ok(None);
        };
        let stale = !found.times.is_fresh(now);
        if let Some(memory) = &self.core.memory {
            let config = &self.core.config.cache;
            let usual = self.options.cache.ttl_ms.unwrap_or(config.ttl_ms);
            let entry = promoted(&found.times, found.value.clone(), now, usual);
            let entry = entry.at(self.core.clock.now());
            let entry = entry.tagged(found.label.tags.clone());
            let trust = &self.core.trust;
            trust.put(memory, found.key, entry, standing.epoch);
        }
        let age = found.times.age(now);
        let hit = Arc::new(as_hit(completion, found.tier, age, stale));
        if streamed {
            self.play(&hit, events.as_deref(), log).await?;
        }
        Ok(Some(hit))
    }

    /// The stale answer that stands in for one that could not be had; else the error it could not be had for.
    pub(super) async fn stand_in(
        &self,
        error: Error,
        key: Key,
        log: &EventLog,
        streamed: bool,
    ) -> Result<Arc<Completion>> {
        let config = &self.core.config.cache;
        if !may_stand_in(&error) || self.options.cache.refresh {
            return Err(error);
        }
        let kind = error.kind().name();
        let window = config.stale_if_error_ms;
        let note = || {
            self.progress.trace.note(&*self.core.clock, || {
                TraceStep::new("cache", "stale").why(kind)
            });
        };
        let now = self.core.clock.now();
        for key in [key, key.as_stream()] {
            let kept = self.core.memory.as_ref();
            let Some(entry) = kept.and_then(|m| m.get_kept(&key, now, self.max_age())) else {
                continue;
            };
            let over = now.saturating_sub(entry.expires_at);
            if millis(over) >= window {
                continue;
            }
            if let Some(hit) = self.play_entry(&entry, now, log, streamed).await? {
                note();
                return Ok(hit);
            }
        }
        let Some(tiers) = &self.core.tiers else {
            return Err(error);
        };
        let now = tiers.now();
        let mut standing = self.standing();
        let Some(found) = self.found(key, &mut standing).await else {
            return Err(error);
        };
        if now.saturating_sub(found.times.fresh_until) >= window {
            return Err(error);
        }
        note();
        match self.give(&found, now, log, streamed, &standing).await? {
            Some(hit) => Ok(hit),
            None => Err(error),
        }
    }

    /// Keeps a new answer under `key`, in memory and beneath.
    pub(crate) fn keep(
        &self,
        store: Option<Key>,
        completion: &Arc<Completion>,
        events: Option<Vec<StreamEvent>>,
        streamed: bool,
        (standing, lease): (Standing, Option<Box<Lease>>),
    ) {
        let core = &self.core;
        let whole = policy::may_store(completion) && (!streamed || events.is_some());
        let kept_at_all = core.memory.is_some() || core.tiers.is_some();
        self.progress.trace.note(&*core.clock, || {
            if store.is_none() || !kept_at_all {
                TraceStep::new("store", "not_stored").why("policy")
            } else if !whole {
                TraceStep::new("store", "not_stored").why("incomplete")
            } else {
                TraceStep::new("store", "stored").why("memory")
            }
        });
        let Some(key) = store.filter(|_| whole && kept_at_all) else {
            return;
        };
        // An orchestrator may have fallen back; it keeps the answer under its own model's key.
        if self.asked.model() != Some(completion.model.as_str()) {
            return;
        }
        let config = &core.config.cache;
        let took: u64 = completion.attempts.last().map_or(0, |a| a.duration_us) / 1_000;
        let keep = Keep {
            asked_ms: self.options.cache.ttl_ms,
            usual_ms: config.ttl_ms,
            stale_ms: config.stale_ms(),
            cost_ms: u32::try_from(took).unwrap_or(u32::MAX),
        };
        let value = Value::Completion {
            completion: Arc::clone(completion),
            events: events.map(Arc::from),
        };
        let tags = marks::tags(core.config.tenant.as_deref(), &self.options.tags);
        // An answer from before an invalidation would only stand in the place of one from after it.
        let stands = core.trust.epoch() == standing.epoch;
        if let Some(semantic) = core.semantic.as_ref().filter(|_| stands) {
            self.keep_similar(semantic, key, &value, tags.clone(), &standing);
        }
        if let Some(tiers) = core.tiers.as_ref().filter(|_| stands) {
            let (made, label) = (tiers.now(), (tags.clone(), &standing.seen));
            tiers.keep(
                Kind::Completion,
                key,
                value.clone(),
                made,
                &keep,
                label,
                lease,
            );
        }
        if let Some(memory) = &core.memory {
            let ttl = Duration::from_millis(keep.asked_ms.unwrap_or(keep.usual_ms));
            let entry = Entry::new(value, core.clock.now(), ttl);
            let stale = Duration::from_millis(keep.stale_ms);
            let entry = entry.renewable(stale, keep.cost_ms).tagged(tags);
            core.trust.put(memory, key, entry, standing.epoch);
        }
    }
}

/// What was found beneath, on its way into the memory.
pub(crate) struct Promoted {
    value: Value,
    age: Duration,
    left: Duration,
    stale: Duration,
    cost_ms: u32,
}

/// Up here it has the time that remains, at most the memory's own.
pub(crate) fn promoted(times: &Times, value: Value, now: u64, usual_ms: u64) -> Promoted {
    let left = times.left(now);
    // What is stale already has of that time only the rest.
    let over = now.saturating_sub(times.fresh_until);
    Promoted {
        value,
        age: Duration::from_millis(times.age(now)),
        left: Duration::from_millis(left.min(usual_ms)),
        stale: Duration::from_millis(times.stale().saturating_sub(over)),
        cost_ms: times.cost_ms,
    }
}

impl Promoted {
    pub(crate) fn at(self, now: Duration) -> Entry {
        Entry::new(self.value, now, self.left)
            .renewable(self.stale, self.cost_ms)
            .aged(self.age)
    }
}

impl Flight {
    /// Lets a kept answer into the log of a stream, by the events it came in if it came in any, from where its callers are.
    ///
    /// # Errors
    /// `cancelled`, where nobody listens any more; `stream_interrupted` where they were shown the beginning of another one.
    pub(super) async fn play(
        &self,
        hit: &Completion,
        events: Option<&[StreamEvent]>,
        log: &EventLog,
    ) -> Result<()> {
        let mut events = events.map_or_else(|| crate::client::events_of(hit), <[_]>::to_vec);
        if let Some(mut skip) = self.progress.shown(|shown| shown.skip()) {
            skip.pass(&mut events)?;
            skip.end()?;
        }
        publish(events, log).await
    }
}

/// Lets events into the log of a stream.
pub(super) async fn publish(events: Vec<StreamEvent>, log: &EventLog) -> Result<()> {
    let mut queue: VecDeque<_> = events
        .into_iter()
        .map(|event| {
            let bytes = size_of::<StreamEvent>() + event_bytes(&event);
            (event, bytes)
        })
        .collect();
    log.publish_batch(&mut queue).await.map_err(Error::from)
}
