//! The first tier: answers in this process, looked up on the caller's thread.
//!
//! Bounded by bytes, not by entries: one long answer weighs as much as a thousand short ones. Time is the client's
//! clock, checked on reading, so that a jump of the wall clock neither revives nor loses anything.

use crate::types::RawJson;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::marks::Id;
use crate::call::key::Key;
use crate::types::{Completion, EmbeddingResponse, StreamEvent};

/// A kept answer; copies share it.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Completion {
        completion: Arc<Completion>,
        /// The events of a streamed answer, to be replayed with their boundaries.
        events: Option<Arc<[StreamEvent]>>,
    },
    Embedding(Arc<EmbeddingResponse>),
}

/// A kept answer and its times, on the client's monotonic clock.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) stored_at: Duration,
    pub(crate) expires_at: Duration,
    /// Until when it may stand in for an answer that cannot be had.
    kept_until: Duration,
    /// What it took to make it, in milliseconds.
    pub(crate) cost_ms: u32,
    /// The scopes of its tags.
    pub(crate) tags: Option<Arc<[Id]>>,
    bytes: u32,
}

/// Key, pointers and the cache's own bookkeeping for one entry.
const ENTRY_OVERHEAD: usize = 256;

impl Value {
    /// The whole name of the model that was asked.
    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Completion { completion, .. } => &completion.model,
            Self::Embedding(response) => &response.model,
        }
    }

    /// Roughly the bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        ENTRY_OVERHEAD
            + match self {
                Self::Completion { completion, events } => {
                    completion_bytes(completion)
                        + events.as_ref().map_or(0, |events| {
                            events
                                .iter()
                                .map(|event| size_of::<StreamEvent>() + event_bytes(event))
                                .sum()
                        })
                }
                Self::Embedding(response) => {
                    response
                        .embeddings
                        .iter()
                        .map(|e| 32 + e.vector.len() * 4)
                        .sum::<usize>()
                        + 512
                }
            }
    }
}

impl Entry {
    pub(crate) fn new(value: Value, now: Duration, ttl: Duration) -> Self {
        let expires_at = now.saturating_add(ttl);
        Self {
            bytes: u32::try_from(value.bytes()).unwrap_or(u32::MAX),
            value,
            stored_at: now,
            expires_at,
            kept_until: expires_at,
            cost_ms: 0,
            tags: None,
        }
    }

    /// The same with what happens at its end: how long it is kept stale, and what it took to make it.
    pub(crate) fn renewable(mut self, stale: Duration, cost_ms: u32) -> Self {
        self.kept_until = self.expires_at.saturating_add(stale);
        self.cost_ms = cost_ms;
        self
    }

    /// The same, kept for calls with these tags.
    pub(crate) fn tagged(mut self, tags: Option<Arc<[Id]>>) -> Self {
        let more = tags.as_ref().map_or(0, |tags| size_of_val(&**tags));
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_add(more);
        self.tags = tags;
        self
    }

    /// The same, made `age` before it came here.
    pub(crate) fn aged(mut self, age: Duration) -> Self {
        self.stored_at = self.stored_at.saturating_sub(age);
        self
    }

    /// Roughly the bytes it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.into()
    }

    pub(crate) fn is_fresh(&self, now: Duration) -> bool {
        now < self.expires_at
    }
}

fn completion_bytes(completion: &Completion) -> usize {
    // Text stands in `text` and in its part; the rest is small and counted roughly through JSON where it is open-ended.
    size_of::<Completion>()
        + completion.text.len() * 2
        + completion.parts.len() * 128
        + completion
            .tool_calls()
            .map(|call| call.arguments.len() + call.name.len() + call.id.len())
            .sum::<usize>()
        + completion.raw_usage.as_ref().map_or(0, RawJson::bytes)
        + completion.extra.values().map(json_bytes).sum::<usize>()
        + completion
            .parts
            .iter()
            .map(|part| match part {
                crate::types::OutputPart::Reasoning(reasoning) => {
                    reasoning.text.len()
                        + reasoning.signature.as_ref().map_or(0, String::len)
                        + reasoning.redacted.as_ref().map_or(0, String::len)
                }
                crate::types::OutputPart::Other(value) => json_bytes(value),
                _ => 0,
            })
            .sum::<usize>()
}

/// Heap bytes of an event, for bounds.
pub(crate) fn event_bytes(event: &StreamEvent) -> usize {
    match event {
        StreamEvent::TextDelta { text, .. } | StreamEvent::RefusalDelta { text, .. } => text.len(),
        StreamEvent::ReasoningDelta {
            text,
            signature,
            redacted,
            ..
        } => {
            text.len()
                + signature.as_ref().map_or(0, String::len)
                + redacted.as_ref().map_or(0, String::len)
        }
        StreamEvent::ToolCallStart { id, name, .. } => id.len() + name.len(),
        StreamEvent::ToolCallDelta { arguments, .. } => arguments.len(),
        StreamEvent::Part { part, .. } => json_bytes(part),
        StreamEvent::Annotation {
            field, annotation, ..
        } => field.len() + json_bytes(annotation),
        StreamEvent::Usage { raw, .. } => raw.as_ref().map_or(0, RawJson::bytes),
        StreamEvent::Extra { fields } => fields.values().map(json_bytes).sum(),
        _ => 64,
    }
}

pub(crate) fn json_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    32 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json_bytes).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| 64 + name.len() + json_bytes(value))
            .sum(),
        _ => 0,
    }
}

/// Takes eight bytes of a key as its hash: keys are digests already.
#[derive(Debug, Default)]
pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length of the key, always the same.
    fn write_usize(&mut self, _: usize) {}
}

/// The memory tier.
#[derive(Debug)]
pub(crate) struct Memory {
    entries: moka::sync::Cache<Key, Arc<Entry>, BuildHasherDefault<DigestHasher>>,
    max_bytes: u64,
}

impl Memory {
    pub(crate) fn new(max_bytes: u64) -> Self {
        let entries = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, entry: &Arc<Entry>| entry.bytes)
            .build_with_hasher(BuildHasherDefault::default());
        Self { entries, max_bytes }
    }

    /// The answer kept under `key`, if it is no older than `max_age`.
    pub(crate) fn get(
        &self,
        key: &Key,
        now: Duration,
        max_age: Option<Duration>,
    ) -> Option<Arc<Entry>> {
        self.get_kept(key, now, max_age)
            .filter(|entry| entry.is_fresh(now))
    }

    /// The same, also if it is stale by now but kept.
    pub(crate) fn get_kept(
        &self,
        key: &Key,
        now: Duration,
        max_age: Option<Duration>,
    ) -> Option<Arc<Entry>> {
        let entry = self.entries.get(key)?;
        if entry.kept_until <= now {
            self.entries.invalidate(key);
            return None;
        }
        let age = now.saturating_sub(entry.stored_at);
        max_age
            .is_none_or(|max_age| age <= max_age)
            .then_some(entry)
    }

    pub(crate) fn put(&self, key: Key, entry: Entry) {
        // The cache beneath evicts later; what is over the whole bound must not be there even for a moment.
        if u64::from(entry.bytes) <= self.max_bytes {
            self.entries.insert(key, Arc::new(entry));
        }
    }

    pub(crate) fn clear(&self) {
        self.entries.invalidate_all();
    }

    /// Takes away what fits, all that was put before this began, and counts it.
    pub(crate) fn drop_where(&self, fits: impl Fn(&Entry) -> bool) -> u64 {
        let fitting = self.entries.iter().filter(|(_, entry)| fits(entry));
        let gone = fitting.filter(|(key, _)| self.entries.remove(&**key).is_some());
        gone.count() as u64
    }

    /// Entries and bytes held, after pending evictions.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Answer;

    fn entry(text: &str, now: u64, ttl: u64) -> Entry {
        let completion = Arc::new(Completion::from(Answer {
            text: text.into(),
            ..Answer::default()
        }));
        Entry::new(
            Value::Completion {
                completion,
                events: None,
            },
            Duration::from_millis(now),
            Duration::from_millis(ttl),
        )
    }

    #[test]
    fn an_answer_is_gone_at_its_expiry_and_too_old_beyond_max_age() {
        let memory = Memory::new(1 << 20);
        let key = Key([1; 32]);
        memory.put(key, entry("a", 1_000, 500));
        let at = Duration::from_millis;
        assert!(memory.get(&key, at(1_499), None).is_some());
        assert!(memory.get(&key, at(1_200), Some(at(199))).is_none());
        assert!(memory.get(&key, at(1_200), Some(at(200))).is_some());
        assert!(memory.get(&key, at(1_500), None).is_none());
        assert!(
            memory.get(&key, at(1_000), None).is_none(),
            "it does not come back when the clock is asked earlier"
        );
    }

    // proves: 2.11.stampede
    #[test]
    fn a_stale_answer_is_given_only_to_who_asks_for_one_and_only_as_long_as_it_is_kept() {
        let memory = Memory::new(1 << 20);
        let key = Key([1; 32]);
        let at = Duration::from_millis;
        memory.put(key, entry("a", 1_000, 500).renewable(at(300), 7));
        assert!(memory.get(&key, at(1_600), None).is_none());
        let stale = memory.get_kept(&key, at(1_600), None).unwrap();
        assert!(!stale.is_fresh(at(1_600)) && stale.is_fresh(at(1_499)));
        assert!(memory.get_kept(&key, at(1_600), Some(at(599))).is_none());
        assert!(memory.get_kept(&key, at(1_800), None).is_none());
    }

    #[test]
    fn the_bound_is_in_bytes_and_holds() {
        let memory = Memory::new(100_000);
        let long = "x".repeat(1_000);
        for i in 0..1_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&i.to_le_bytes());
            memory.put(Key(key), entry(&long, 0, 1_000_000));
        }
        let (entries, bytes) = memory.size();
        assert!(bytes <= 100_000, "{bytes}");
        assert!(entries > 10, "{entries}");
    }

    #[test]
    fn an_answer_larger_than_the_whole_cache_is_not_kept() {
        let memory = Memory::new(1_000);
        memory.put(Key([1; 32]), entry(&"x".repeat(10_000), 0, 1_000));
        memory.size();
        assert!(memory.get(&Key([1; 32]), Duration::ZERO, None).is_none());
    }
}
