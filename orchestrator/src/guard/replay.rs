//! Answers kept by idempotency key, so that a call whose answer was lost on the way is not paid for twice.
//!
//! Kept in memory, bounded by bytes and time: a restart forgets them, and other servers do not know them. Only whole,
//! good answers are kept; what was refused or failed may be tried again under the same key.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use bytes::Bytes;
use ossai::{Error, ErrorKind, Result};

use crate::store::keyring::Identity;

/// What an answer costs beside its bytes.
const OVERHEAD: usize = 512;
/// When the first one may be done.
const RUNNING_HINT: Duration = Duration::from_secs(1);

/// A digest of the scope, the road and the caller's key.
pub(crate) type Key = [u8; 32];

/// A finished answer: HTTP's head and body, or the messages of a gRPC call.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) headers: HeaderMap,
    /// The body, or each message encoded.
    pub(crate) parts: Vec<Bytes>,
}

impl Kept {
    fn size(&self) -> usize {
        let head: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        self.parts.iter().map(|part| part.len() + 32).sum::<usize>() + head + OVERHEAD
    }
}

enum State {
    Running,
    Done(Arc<Kept>, Instant),
}

struct Entry {
    /// Of the request.
    print: [u8; 32],
    state: State,
}

#[derive(Default)]
struct Held {
    entries: HashMap<Key, Entry>,
    /// Finished ones, oldest first.
    order: VecDeque<(Key, usize, Instant)>,
    bytes: usize,
}

/// What to do with a request that has a key.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It was answered before.
    Replay(Arc<Kept>),
    /// It is the first one: answer it.
    Run(Ticket),
}

/// All answers kept.
pub(crate) struct Replays {
    most_bytes: usize,
    lasts: Duration,
    held: Mutex<Held>,
}

impl Replays {
    pub(crate) fn new(most_bytes: usize, lasts: Duration) -> Self {
        Self {
            most_bytes,
            lasts,
            held: Mutex::default(),
        }
    }

    /// The largest answer that is kept.
    pub(crate) fn most_of_one(&self) -> usize {
        self.most_bytes / 8
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is the first of its key.
    ///
    /// # Errors
    /// `conflict` (409) while the first one is under way; `conflict` that is not worth a retry, and 422 over HTTP, for
    /// another request under the same key.
    pub(crate) fn begin(self: &Arc<Self>, key: Key, print: [u8; 32], now: Instant) -> Result<Turn> {
        let mut held = self.held();
        held.forget(now, self.lasts, self.most_bytes);
        match held.entries.get(&key) {
            Some(entry) if entry.print != print => Err(mismatch()),
            Some(Entry {
                state: State::Done(kept, _),
                ..
            }) => Ok(Turn::Replay(Arc::clone(kept))),
            Some(_) => Err(Error::new(
                ErrorKind::Conflict,
                "a request with this idempotency key is under way",
            )
            .with(|fields| {
                fields.detail = Some("idempotency_running".into());
                fields.retry_after_ms = u64::try_from(RUNNING_HINT.as_millis()).ok();
            })),
            None => {
                let state = State::Running;
                held.entries.insert(key, Entry { print, state });
                Ok(Turn::Run(Ticket {
                    replays: Arc::clone(self),
                    key,
                }))
            }
        }
    }
}

/// Another request came under a known key.
fn mismatch() -> Error {
    Error::invalid(
        "idempotency-key",
        "expected the request it was first used with",
    )
    .with(|fields| fields.detail = Some(MISMATCH.into()))
}

/// `detail` of the error that HTTP answers with 422.
pub(crate) const MISMATCH: &str = "idempotency_mismatch";

impl Held {
    fn forget(&mut self, now: Instant, lasts: Duration, most: usize) {
        while let Some((key, size, at)) = self.order.front().copied() {
            if self.bytes <= most && now.saturating_duration_since(at) < lasts {
                return;
            }
            self.order.pop_front();
            self.bytes = self.bytes.saturating_sub(size);
            let same = matches!(self.entries.get(&key), Some(Entry { state: State::Done(_, kept), .. }) if *kept == at);
            if same {
                self.entries.remove(&key);
            }
        }
    }
}

/// The right to answer under a key; dropped without an answer it frees the key.
pub(crate) struct Ticket {
    replays: Arc<Replays>,
    key: Key,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

impl Ticket {
    /// The largest answer that is kept.
    pub(crate) fn most(&self) -> usize {
        self.replays.most_of_one()
    }

    /// Keeps the answer, unless it is too large.
    pub(crate) fn keep(self, kept: Kept, now: Instant) {
        let size = kept.size();
        if size > self.replays.most_of_one() {
            return;
        }
        let mut held = self.replays.held();
        if let Some(entry) = held.entries.get_mut(&self.key) {
            entry.state = State::Done(Arc::new(kept), now);
            held.order.push_back((self.key, size, now));
            held.bytes += size;
            held.forget(now, self.replays.lasts, self.replays.most_bytes);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut held = self.replays.held();
        let running = matches!(
            held.entries.get(&self.key),
            Some(Entry {
                state: State::Running,
                ..
            })
        );
        if running {
            held.entries.remove(&self.key);
        }
    }
}

/// The name of a caller's key: two callers, or two roads, never meet under one.
pub(crate) fn key(identity: &Identity, road: &str, given: &str) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 idempotent replay v1");
    let key_id = identity.key_id.as_deref().unwrap_or_default();
    for part in [&*identity.tenant, key_id, road, given] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// What tells one request from another under the same key.
pub(crate) fn print(place: &str, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(place.len() as u64).to_le_bytes());
    hasher.update(place.as_bytes());
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
#[path = "replay/tests.rs"]
mod tests;
