//! What retries may cost: a bucket of tokens per endpoint and tenant, so that clients of a failing upstream add little to
//! its load.
//!
//! After the retry quota of the AWS SDKs ("standard" mode). With the defaults about 35 retries may follow one another, and
//! then one for every 14 first-try successes. A bucket that is full is not stored, so what is held grows only with the
//! endpoints in trouble, up to a bound.

#[cfg(all(test, ossai_loom))]
mod models;
#[cfg(all(test, not(ossai_loom)))]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

#[cfg(ossai_loom)]
use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(ossai_loom))]
use std::sync::{Arc, Mutex, MutexGuard};

/// Sizes of the buckets and prices of retries, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaSettings {
    /// A full bucket: 500.
    pub capacity: u32,
    /// A retry after a passing fault: 14.
    pub transient: u32,
    /// A retry after being told to slow down: 5.
    pub throttle: u32,
    /// Most buckets held at once: 100,000. Above it one of the fullest is taken as full again.
    pub max_buckets: usize,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self {
            capacity: 500,
            transient: 14,
            throttle: 5,
            max_buckets: 100_000,
        }
    }
}

/// The buckets of a client; clones share them. Nothing here waits for tokens.
#[derive(Clone, Debug)]
pub struct RetryQuota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: QuotaSettings,
    hasher: RandomState,
    /// Tokens left in the buckets that are not full.
    buckets: Mutex<HashMap<u64, u32>>,
}

impl RetryQuota {
    /// Buckets that are all full.
    #[must_use]
    pub fn new(settings: QuotaSettings) -> Self {
        Self(Arc::new(Inner {
            settings,
            hasher: RandomState::new(),
            buckets: Mutex::new(HashMap::new()),
        }))
    }

    /// The bucket of an endpoint's origin (scheme, host and port) and a tenant; no tenant and an empty one differ.
    ///
    /// Buckets go by a keyed 64-bit digest: two that meet by a chance of 1 in 2^64 share their tokens.
    #[must_use]
    pub fn bucket(&self, origin: &str, tenant: Option<&str>) -> Bucket {
        Bucket {
            quota: self.clone(),
            key: self.0.hasher.hash_one((origin, tenant)),
        }
    }

    /// How many buckets are not full.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        // A panic cannot leave a map of numbers in a state that matters.
        self.0
            .buckets
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn give(&self, key: u64, tokens: u32) {
        let mut buckets = self.lock();
        if let Some(left) = buckets.get_mut(&key) {
            *left = left.saturating_add(tokens);
            if *left >= self.0.settings.capacity {
                buckets.remove(&key);
            }
        }
    }
}

/// The bucket of one endpoint and tenant.
#[derive(Clone, Debug)]
pub struct Bucket {
    quota: RetryQuota,
    key: u64,
}

impl Bucket {
    /// Pays for a retry, or `None` if the bucket has too little. Never waits.
    #[must_use]
    pub fn take(&self, throttle: bool) -> Option<Permit> {
        let settings = &self.quota.0.settings;
        let cost = if throttle {
            settings.throttle
        } else {
            settings.transient
        };
        let mut buckets = self.quota.lock();
        let left = buckets
            .get(&self.key)
            .copied()
            .unwrap_or(settings.capacity)
            .checked_sub(cost)?;
        if cost > 0 {
            if buckets.len() >= settings.max_buckets && !buckets.contains_key(&self.key) {
                evict(&mut buckets);
            }
            buckets.insert(self.key, left);
        }
        drop(buckets);
        Some(Permit {
            bucket: Some(self.clone()),
            cost,
        })
    }

    /// Whether more than half of the tokens are left: only then may a call be copied before it has failed.
    #[must_use]
    pub fn is_above_half(&self) -> bool {
        self.left() > self.quota.0.settings.capacity / 2
    }

    /// Tokens left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.quota
            .lock()
            .get(&self.key)
            .copied()
            .unwrap_or(self.quota.0.settings.capacity)
    }

    /// A call succeeded at its first attempt: one token comes back.
    pub fn first_try_succeeded(&self) {
        self.quota.give(self.key, 1);
    }

    /// A call succeeded after retries: what the last one cost comes back.
    pub fn retry_succeeded(&self, last: Spent) {
        self.quota.give(self.key, last.0);
    }
}

/// A retry that is paid and not sent yet. Dropped unsent, as by a cancelled call, it returns its cost.
#[derive(Debug)]
pub struct Permit {
    bucket: Option<Bucket>,
    cost: u32,
}

impl Permit {
    /// The retry goes out now: its cost is spent.
    #[must_use]
    pub fn sent(mut self) -> Spent {
        self.bucket = None;
        Spent(self.cost)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(bucket) = self.bucket.take() {
            bucket.quota.give(bucket.key, self.cost);
        }
    }
}

/// What a retry that was sent has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent(u32);

/// Forgets the fullest of a few buckets: the one for which being full again changes least.
fn evict(buckets: &mut HashMap<u64, u32>) {
    let fullest = buckets
        .iter()
        .take(16)
        .max_by_key(|(_, left)| **left)
        .map(|(key, _)| *key);
    if let Some(key) = fullest {
        buckets.remove(&key);
    }
}
