//! Pacing: what a vendor says of its limits in one answer keeps the next calls from being refused.
//!
//! Both vendors describe token buckets that fill continuously and say in each answer how much is left and when the bucket
//! is full again (`x-ratelimit-*`, platform.openai.com/docs/guides/rate-limits; `anthropic-ratelimit-*`,
//! docs.anthropic.com/en/api/rate-limits; November 2026). A call that would find its bucket empty waits here instead of
//! being answered 429, in the order of arrival moved by its priority. All clients of a process that use the same address
//! with the same credential share one pacing per model.
//!
//! A provider that sends no such headers is never paced: its calls read one flag.

mod bucket;
mod headers;
mod pacer;
#[cfg(test)]
mod tests;

pub(crate) use headers::read;
pub(crate) use pacer::{Ask, Pacer, Refused, Ticket};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// What limits count.
pub(crate) const DIMENSIONS: usize = 4;
/// Their names in traces: requests, tokens of both kinds, tokens in, tokens out.
pub(crate) const NAMES: [&str; DIMENSIONS] =
    ["requests", "tokens", "input_tokens", "output_tokens"];
/// An amount of each.
pub(crate) type Amounts = [f64; DIMENSIONS];

/// Most models paced apart under one credential.
const MOST_MODELS: usize = 256;

/// The pacing of one address and credential, for each model.
#[derive(Debug)]
pub(crate) struct Lane {
    /// How many times faster than the machine's the clock of its clients runs; 1 outside of tests.
    factor: u32,
    active: AtomicBool,
    models: Mutex<HashMap<String, Arc<Pacer>>>,
}

type LaneKey = (String, [u8; 32], u32);

/// The lane of this address and credential, shared by the whole process.
///
/// The address is the whole base address, not the bare origin: behind one gateway two paths are two vendors.
pub(crate) fn lane(base_url: &str, credential: &[u8; 32], factor: u32) -> Arc<Lane> {
    static LANES: OnceLock<Mutex<HashMap<LaneKey, Weak<Lane>>>> = OnceLock::new();
    let mut lanes = lock(LANES.get_or_init(Mutex::default));
    let key = (base_url.to_owned(), *credential, factor);
    if let Some(lane) = lanes.get(&key).and_then(Weak::upgrade) {
        return lane;
    }
    lanes.retain(|_, lane| lane.strong_count() > 0);
    let lane = Arc::new(Lane::new(factor));
    lanes.insert(key, Arc::downgrade(&lane));
    lane
}

impl Lane {
    fn new(factor: u32) -> Self {
        Self {
            factor,
            active: AtomicBool::new(false),
            models: Mutex::default(),
        }
    }

    /// Time on a clock all clients of the lane agree on.
    pub(crate) fn now(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START
            .get_or_init(Instant::now)
            .elapsed()
            .saturating_mul(self.factor)
    }

    /// The pacing of a model, if this upstream has ever spoken of limits.
    pub(crate) fn pacer(&self, model: &str) -> Option<Arc<Pacer>> {
        if !self.active.load(Relaxed) {
            return None;
        }
        lock(&self.models).get(model).cloned()
    }

    /// The pacing of a model, which begins with this.
    pub(crate) fn pacer_or_new(&self, model: &str) -> Arc<Pacer> {
        let mut models = lock(&self.models);
        if let Some(pacer) = models.get(model) {
            return Arc::clone(pacer);
        }
        if models.len() >= MOST_MODELS {
            // One that nobody waits for can be learned anew.
            models.retain(|_, pacer| Arc::strong_count(pacer) > 1);
        }
        let pacer = Arc::new(Pacer::default());
        if models.len() < MOST_MODELS {
            models.insert(model.to_owned(), Arc::clone(&pacer));
        }
        self.active.store(true, Relaxed);
        pacer
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
