//! Invalidations.

use ossai_proto::v1 as pb;
use pb::invalidate_cache_request::What;

use crate::types::{CacheTier, Invalidated, Invalidation};

impl From<&Invalidation> for What {
    fn from(what: &Invalidation) -> Self {
        match what.clone() {
            Invalidation::Model(model) => Self::Model(model),
            Invalidation::Tag { name, value } => Self::Tag(pb::CacheTag { name, value }),
            Invalidation::All => Self::All(pb::CacheAll {}),
        }
    }
}

impl From<What> for Invalidation {
    fn from(what: What) -> Self {
        match what {
            What::Model(model) => Self::Model(model),
            What::Tag(pb::CacheTag { name, value }) => Self::Tag { name, value },
            What::All(pb::CacheAll {}) => Self::All,
        }
    }
}

const TIERS: [(CacheTier, &str); 3] = [
    (CacheTier::Memory, "memory"),
    (CacheTier::Redis, "redis"),
    (CacheTier::Disk, "disk"),
];

impl From<&Invalidated> for pb::InvalidateCacheResponse {
    fn from(done: &Invalidated) -> Self {
        let held = TIERS.iter().filter(|(tier, _)| done.tiers.contains(tier));
        Self {
            dropped: done.dropped,
            tiers: held.map(|(_, name)| (*name).to_owned()).collect(),
        }
    }
}

impl From<pb::InvalidateCacheResponse> for Invalidated {
    fn from(done: pb::InvalidateCacheResponse) -> Self {
        let told = TIERS
            .iter()
            .filter(|(_, name)| done.tiers.iter().any(|told| told == name));
        Self {
            dropped: done.dropped,
            tiers: told.map(|(tier, _)| *tier).collect(),
        }
    }
}
