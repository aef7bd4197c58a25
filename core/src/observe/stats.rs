//! Counters of a client, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::types::{CacheTier, NanoUsd};

/// What a client has done so far. Every number only grows, except the two that say what is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Stats {
    /// Calls made.
    pub calls: u64,
    /// Calls that ended in an error.
    pub failures: u64,
    /// Pieces of upstream work started.
    pub flights: u64,
    /// Calls that joined another's flight.
    pub joined: u64,
    /// Flights under way.
    pub flights_in_flight: u64,
    /// Calls waiting for a flight.
    pub waiters: u64,
    /// Flights cancelled because nobody waited any more.
    pub flights_cancelled: u64,
    /// Calls answered by a cache.
    pub cache_hits: u64,
    /// Calls that asked a cache in vain.
    pub cache_misses: u64,
    /// Answers in the memory cache.
    pub cache_entries: u64,
    /// Bytes in the memory cache.
    pub cache_bytes: u64,
    /// Tries at an upstream.
    pub attempts: u64,
    /// Tries after the first of their call.
    pub retries: u64,
    /// Money spent, as far as prices are known, in nanodollars.
    pub spent: NanoUsd,
    /// Money not spent thanks to caches and shared calls.
    pub saved: NanoUsd,
    /// Answers whose price is not known.
    pub unpriced: u64,
    /// Records that the usage ledger could not take (`usage.ledger`): calls came faster than its disk could follow.
    pub unrecorded: u64,
    /// The cache tiers beneath the memory, in the order they are asked; last the semantic cache, where others share it.
    pub tiers: Vec<TierStats>,
    /// The semantic cache, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semantic: Option<SemanticStats>,
}

/// What the semantic cache has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SemanticStats {
    /// Questions looked for.
    pub lookups: u64,
    /// Answers given.
    pub hits: u64,
    /// Looks that found near questions, all kept apart by a gate.
    pub refused: u64,
    /// Looks whose near question the verifying model did not take for the same.
    pub unverified: u64,
    /// Embeddings that could not be had, and looks that a database did not answer.
    pub failures: u64,
    /// Checks in the window: the call was made although an answer was found.
    pub checked: u64,
    /// Those of them in which the two answers differed.
    pub false_hits: u64,
    /// Answers kept; in a database those of the tenant, when this client last made room there.
    pub entries: u64,
    /// Bytes of them, with their questions and vectors; likewise.
    pub bytes: u64,
    /// It turned itself off, because too many of its hits were false.
    pub off: bool,
}

/// What a cache tier has done for all clients of the process that share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TierStats {
    /// Which one.
    pub tier: CacheTier,
    /// Looks that found a fresh answer.
    pub hits: u64,
    /// Looks that found none.
    pub misses: u64,
    /// Answers written.
    pub stores: u64,
    /// Answers not written: too large, too many at once, or not taken.
    pub dropped: u64,
    /// Times it could not be asked, broke off or refused.
    pub faults: u64,
    /// Looks and writes it was spared because it kept failing.
    pub skipped: u64,
    /// Answers that made room for others.
    pub evicted: u64,
    /// It is in trouble now; calls go on without it.
    pub ailing: bool,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
    pub(crate) attempts: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) spent: AtomicU64,
    pub(crate) saved: AtomicU64,
    pub(crate) unpriced: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }

    pub(crate) fn read(counter: &AtomicU64) -> u64 {
        counter.load(Relaxed)
    }
}
