//! The walk through the tiers beneath the memory: Redis, then the disk, then nobody.
//!
//! What a lower tier has moves up with the time it has left; what is new is written to all of them beside the call, which
//! does not wait for it. Clients of one process with the same tiers share one connection, one circuit and one queue of
//! writes. Keys hold the tenant, so that nothing found here can be another tenant's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::Semaphore;

use super::config::{DiskCache, RedisCache};
use super::disk::{self, Disk};
use super::envelope::{Kind, Times};
use super::marks::{Id, Label, Scopes, Seen, Token};
use super::memory::Value;
use super::tier::{Fault, Guard};
use super::turn::{Lease, Turn};
use super::{Follow, Kept};
use crate::call::key::Key;
use crate::client::{Config, Secret};
use crate::error::Result;
use crate::observe::{Recorder, TierStats};
use crate::retry::{Clock, Random, SeededRandom};
use crate::types::{CacheTier, StreamEvent, TraceStep};

/// Most bytes of answers on their way to the tiers, in KiB; what comes on top is not kept there.
const PENDING: u32 = 64 << 10;

/// What a tier found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) tier: CacheTier,
    /// Under which of the keys.
    pub(crate) key: Key,
    pub(crate) times: Times,
    pub(crate) label: Label,
    pub(crate) value: Value,
}

impl Found {
    /// Of the tier `tier`.
    pub(super) fn new(tier: CacheTier, key: Key, times: Times, label: Label, value: Value) -> Self {
        Self {
            tier,
            key,
            times,
            label,
            value,
        }
    }
}

/// How long an answer is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// What the call says, for every tier.
    pub(crate) asked_ms: Option<u64>,
    /// What is configured for its kind, where a tier has no time of its own.
    pub(crate) usual_ms: u64,
    /// How long it is kept beyond that, for when nobody answers.
    pub(crate) stale_ms: u64,
    /// What it took to make it.
    pub(crate) cost_ms: u32,
}

impl Keep {
    /// The times of an answer made at `created` for a tier with its own time `of_tier`.
    pub(super) fn times(&self, created: u64, of_tier: Option<u64>) -> Times {
        let fresh = self.asked_ms.or(of_tier).unwrap_or(self.usual_ms);
        let fresh_until = created.saturating_add(fresh);
        Times {
            created,
            fresh_until,
            kept_until: fresh_until.saturating_add(self.stale_ms),
            cost_ms: self.cost_ms,
        }
    }
}

/// The tiers beneath the memory; at least one.
pub(crate) struct Tiers {
    #[cfg(feature = "redis")]
    redis: Option<super::redis::Redis>,
    disk: Option<Disk>,
    /// Whether processes ask in turn, and give streams on while they come.
    shares: bool,
    #[cfg(feature = "redis")]
    relays: bool,
    /// Each tier's own times of completions and embeddings.
    redis_ttl: [Option<u64>; 2],
    disk_ttl: [Option<u64>; 2],
    clock: Arc<dyn Clock>,
    pending: Arc<Semaphore>,
}

impl std::fmt::Debug for Tiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tiers")
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

/// Milliseconds since 1970, on the clock's own calendar.
pub(crate) fn wall_ms(clock: &dyn Clock) -> u64 {
    let since = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Tiers {
    /// The tiers of this configuration, shared with every other client of the process that has the same ones; `None`
    /// where there are none.
    pub(crate) fn of(config: &Config) -> Result<Option<Arc<Self>>> {
        static SHARED: OnceLock<Mutex<HashMap<[u8; 32], Weak<Tiers>>>> = OnceLock::new();
        let cache = &config.cache;
        if !cache.enabled || (cache.redis.is_none() && cache.disk.is_none()) {
            return Ok(None);
        }
        let shared = SHARED.get_or_init(Mutex::default);
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identity(config);
        if let Some(tiers) = shared.get(&identity).and_then(Weak::upgrade) {
            return Ok(Some(tiers));
        }
        let tiers = Arc::new(Self::new(config)?);
        shared.retain(|_, tiers| tiers.strong_count() > 0);
        shared.insert(identity, Arc::downgrade(&tiers));
        Ok(Some(tiers))
    }

    fn new(config: &Config) -> Result<Self> {
        Self::on(config, config.testing.clock())
    }

    pub(crate) fn on(config: &Config, clock: Arc<dyn Clock>) -> Result<Self> {
        let random: Arc<dyn Random> = Arc::new(SeededRandom::from_os());
        let cache = &config.cache;
        // A store answers in real time, however fast a test's clock runs.
        let scale = u64::from(config.testing.time_scale.unwrap_or(1).max(1));
        let guard = |tier, timeout_ms: u64| {
            let timeout = Duration::from_millis(timeout_ms.saturating_mul(scale));
            Guard::new(tier, Arc::clone(&clock), Arc::clone(&random), timeout)
        };
        let disk = match &cache.disk {
            None => None,
            Some(disk) => {
                let secret = disk.key.as_ref().map(derived);
                Some(Disk::new(
                    guard(CacheTier::Disk, disk.timeout_ms),
                    disk::Settings {
                        path: disk.path()?.to_path_buf(),
                        limits: [disk.max_bytes, disk.embedding_max_bytes],
                        max_body: size(disk.max_entry_bytes),
                        compress_from: size(disk.compress_from_bytes),
                        encrypt: disk.encrypt,
                        secret,
                    },
                ))
            }
        };
        Ok(Self {
            #[cfg(feature = "redis")]
            redis: match &cache.redis {
                None => None,
                Some(redis) => Some(super::redis::Redis::new(
                    guard(CacheTier::Redis, redis.timeout_ms),
                    redis,
                    redis.key.as_ref().map(derived),
                    config,
                )?),
            },
            disk,
            shares: cache.redis.as_ref().is_some_and(|redis| redis.share_calls),
            #[cfg(feature = "redis")]
            relays: cache
                .redis
                .as_ref()
                .is_some_and(|redis| redis.relay_streams),
            redis_ttl: cache
                .redis
                .as_ref()
                .map_or([None; 2], |redis| [redis.ttl_ms, redis.embedding_ttl_ms]),
            disk_ttl: cache
                .disk
                .as_ref()
                .map_or([None; 2], |disk| [disk.ttl_ms, disk.embedding_ttl_ms]),
            clock,
            pending: Arc::new(Semaphore::new(PENDING as usize)),
        })
    }

    pub(crate) fn now(&self) -> u64 {
        wall_ms(&*self.clock)
    }

    /// The best of what is kept under one of these keys and no older than `max_age` (ms): the first fresh one, else the
    /// stale one of the upper tier. What was found beneath Redis moves up. Nothing that was invalidated is found; what
    /// the marks are, for an answer that has to be asked for, comes with it.
    pub(crate) async fn find(
        self: &Arc<Self>,
        kind: Kind,
        keys: &[Key],
        scopes: &Scopes,
        max_age: Option<u64>,
        trace: &Recorder,
    ) -> (Option<Found>, Seen) {
        let now = self.now();
        let mut stale: Option<Found> = None;
        let mut seen = Seen::default();
        #[cfg(feature = "redis")]
        let mut known = None;
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            let (looked, marks) = redis.find(kind, keys, scopes, now).await;
            seen.any = marks.as_ref().and_then(|marks| marks.get(&scopes.any));
            known = marks;
            let looked = self.judge(&redis.guard, looked, max_age, now, trace);
            match looked {
                Some(found) if found.times.is_fresh(now) => return (Some(found), seen),
                other => stale = other,
            }
        }
        if let Some(disk) = &self.disk {
            let looked = disk.find(kind, keys, scopes, now).await;
            let looked = looked.map(|(found, marks)| {
                seen.disk = Some(marks.digest);
                if !self.has_redis() {
                    seen.any = Some(marks.any);
                }
                found
            });
            #[cfg(feature = "redis")]
            let looked = match looked {
                Ok(Some(found)) => Ok(self
                    .is_vouched_for(&found, scopes, known.as_ref())
                    .await
                    .then_some(found)),
                other => other,
            };
            match self.judge(&disk.guard, looked, max_age, now, trace) {
                Some(found) if found.times.is_fresh(now) => {
                    #[cfg(feature = "redis")]
                    self.promote(kind, &found, now);
                    return (Some(found), seen);
                }
                other => stale = stale.or(other),
            }
        }
        #[cfg(feature = "redis")]
        self.complete(known, scopes, &mut seen).await;
        (stale, seen)
    }

    /// What the marks are, for a call that does not look.
    pub(crate) async fn seen(&self, scopes: &Scopes) -> Seen {
        let mut seen = Seen::default();
        if let Some(disk) = &self.disk
            && let Ok(marks) = disk.marks_of(scopes).await
        {
            seen.disk = Some(marks.digest);
            if !self.has_redis() {
                seen.any = Some(marks.any);
            }
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            let known = redis.marks_of(scopes).await.ok();
            self.complete(known, scopes, &mut seen).await;
        }
        seen
    }

    /// Makes the marks that Redis lacks.
    #[cfg(feature = "redis")]
    async fn complete(&self, known: Option<super::redis::Known>, scopes: &Scopes, seen: &mut Seen) {
        if let (Some(redis), Some(mut known)) = (&self.redis, known) {
            redis.complete_marks(&mut known, scopes).await;
            seen.redis = known.digest(&scopes.of(scopes.tags.as_ref()));
            seen.any = known.get(&scopes.any);
        }
    }

    /// Whether an answer on this machine's disk was invalidated on none of the others. Where Redis cannot be asked, the
    /// folder's own marks have to do.
    #[cfg(feature = "redis")]
    async fn is_vouched_for(
        &self,
        found: &Found,
        scopes: &Scopes,
        known: Option<&super::redis::Known>,
    ) -> bool {
        let (Some(redis), Some(known)) = (&self.redis, known) else {
            return true;
        };
        let ids = scopes.of(found.label.tags.as_ref());
        let vouched = redis.vouches(known, &ids, found.label.redis).await;
        vouched.unwrap_or(true)
    }

    fn has_redis(&self) -> bool {
        #[cfg(feature = "redis")]
        return self.redis.is_some();
        #[cfg(not(feature = "redis"))]
        false
    }

    /// Whether processes ask in turn.
    pub(crate) fn shares(&self) -> bool {
        self.shares
    }

    /// Takes the turn to ask for an answer, where the marks are these, or says whose it is; `None` where that cannot be
    /// known, and everybody asks. Of a turn of ours the stream, if it is one, may be given on.
    pub(crate) async fn turn(&self, key: &Key, seen: &Seen, streamed: bool) -> Option<Turn> {
        #[cfg(feature = "redis")]
        if let (Some(redis), Some(marks)) = (&self.redis, seen.redis) {
            return redis
                .turn(&turn_of(key, &marks), streamed && self.relays)
                .await
                .ok();
        }
        let _ = (key, seen, streamed);
        None
    }

    /// Begins to follow the stream of whoever has the turn; `None` where streams are not given on.
    pub(crate) fn follow(&self, key: &Key, seen: &Seen, holder: &[u8]) -> Option<Follow> {
        #[cfg(feature = "redis")]
        if let Some(redis) = self.redis.as_ref().filter(|_| self.relays) {
            return Some(redis.follow(&turn_of(key, &seen.redis?), holder));
        }
        let _ = (key, seen, holder);
        None
    }

    /// What has come of it since the last look; `None` where no more can be had.
    pub(crate) async fn followed(&self, follow: &mut Follow) -> Option<Vec<StreamEvent>> {
        #[cfg(feature = "redis")]
        return self.redis.as_ref()?.followed(follow).await.ok();
        #[cfg(not(feature = "redis"))]
        match *follow {}
    }

    /// Changes the mark of a scope in every tier, the folder's first: what is found there after Redis was asked for its
    /// marks moves up under these. Gives the tenant's mark that changes every time, and the tiers.
    ///
    /// # Errors
    /// The first tier that could not be told, and why.
    pub(crate) async fn invalidate(
        &self,
        scope: &Id,
        scopes: &Scopes,
    ) -> Result<(Option<Token>, Vec<CacheTier>), (CacheTier, &'static str)> {
        let mut any = None;
        let mut told = Vec::new();
        if let Some(disk) = &self.disk {
            let marked = disk.invalidate(*scope, scopes.any).await;
            any = Some(marked.map_err(|fault| (CacheTier::Disk, fault.why()))?);
            told.push(CacheTier::Disk);
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            let marked = redis.invalidate(scope, scopes).await;
            any = Some(marked.map_err(|fault| (CacheTier::Redis, fault.why()))?);
            told.insert(0, CacheTier::Redis);
        }
        Ok((any, told))
    }

    /// Counts and traces what a look into one tier gave, and lets go what is too old for this caller.
    fn judge(
        &self,
        guard: &Guard,
        looked: Result<Option<Found>, Fault>,
        max_age: Option<u64>,
        now: u64,
        trace: &Recorder,
    ) -> Option<Found> {
        let found = match looked {
            Ok(found) => found,
            Err(fault) => {
                trace.note(&**guard.clock(), || {
                    TraceStep::new("tier", "failed")
                        .why(fault.why())
                        .fields(vec![format!("cache.{}", guard.name())])
                });
                return None;
            }
        };
        let found = found.filter(|found| max_age.is_none_or(|most| found.times.age(now) <= most));
        let is_fresh = found
            .as_ref()
            .is_some_and(|found| found.times.is_fresh(now));
        guard.looked(is_fresh);
        trace.note(&**guard.clock(), || {
            let outcome = match &found {
                None => "miss",
                Some(_) if is_fresh => "hit",
                Some(_) => "stale",
            };
            TraceStep::new("tier", outcome).why(guard.name())
        });
        found
    }

    /// Keeps in Redis what the disk had, for the time it has left there.
    #[cfg(feature = "redis")]
    fn promote(self: &Arc<Self>, kind: Kind, found: &Found, now: u64) {
        if self.redis.is_none() {
            return;
        }
        let own = self.redis_ttl[usize::from(kind == Kind::Embedding)].unwrap_or(u64::MAX);
        let left = found.times.left(now).min(own);
        let fresh_until = now.saturating_add(left);
        let times = Times {
            fresh_until,
            kept_until: fresh_until.saturating_add(found.times.stale()),
            ..found.times
        };
        let value = found.value.clone();
        let kept = Kept::new(kind, found.key, value, found.label.clone());
        self.write(kept, Some(times), None, None);
    }

    /// Writes a new answer, made at `created` and asked for when the marks were `seen`, to every tier, beside the call.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn keep(
        self: &Arc<Self>,
        kind: Kind,
        key: Key,
        value: Value,
        created: u64,
        keep: &Keep,
        (tags, seen): (Option<Arc<[Id]>>, &Seen),
        lease: Option<Box<Lease>>,
    ) {
        let of = |ttl: [Option<u64>; 2]| ttl[usize::from(kind == Kind::Embedding)];
        let redis = seen.redis.map(|_| keep.times(created, of(self.redis_ttl)));
        #[cfg(feature = "redis")]
        if let Some(tier) = self.redis.as_ref().filter(|_| redis.is_none()) {
            tier.guard.dropped();
        }
        let disk = match (&self.disk, seen.disk) {
            (Some(_), Some(_)) => Some(keep.times(created, of(self.disk_ttl))),
            (Some(disk), None) => {
                disk.guard.dropped();
                None
            }
            (None, _) => None,
        };
        if redis.is_some() || disk.is_some() {
            self.write(
                Kept::new(kind, key, value, Label::new(tags, seen)),
                redis,
                disk,
                lease,
            );
        }
    }

    /// Writes where there are times for it.
    fn write(
        self: &Arc<Self>,
        kept: Kept,
        redis: Option<Times>,
        disk: Option<Times>,
        lease: Option<Box<Lease>>,
    ) {
        let size = u32::try_from(kept.value.bytes() >> 10).unwrap_or(PENDING);
        let place = Arc::clone(&self.pending).try_acquire_many_owned(size.clamp(1, PENDING));
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(place), Ok(runtime)) = (place, runtime) else {
            for guard in self.guards() {
                guard.dropped();
            }
            return;
        };
        let (tiers, kept) = (Arc::clone(self), Arc::new(kept));
        runtime.spawn(async move {
            let now = tiers.now();
            let to_redis = async {
                #[cfg(feature = "redis")]
                if let (Some(tier), Some(times)) = (&tiers.redis, redis) {
                    tier.keep(&kept, times, now).await;
                }
                #[cfg(not(feature = "redis"))]
                let _ = redis;
            };
            let to_disk = async {
                if let (Some(tier), Some(times)) = (&tiers.disk, disk) {
                    tier.keep(&kept, times, now).await;
                }
            };
            let to_redis = async {
                to_redis.await;
                // Whoever waits for this answer finds it now.
                drop(lease);
            };
            tokio::join!(to_redis, to_disk);
            drop(place);
        });
    }

    /// Waits until nothing is on its way to a tier.
    pub(crate) async fn flush(&self) {
        let _ = self.pending.acquire_many(PENDING).await;
    }

    fn guards(&self) -> impl Iterator<Item = &Guard> {
        #[cfg(feature = "redis")]
        let redis = self.redis.as_ref().map(|redis| &redis.guard);
        #[cfg(not(feature = "redis"))]
        let redis = None;
        redis
            .into_iter()
            .chain(self.disk.as_ref().map(|disk| &disk.guard))
    }

    /// What each tier has done for all clients of the process that share it.
    pub(crate) fn stats(&self) -> Vec<TierStats> {
        self.guards().map(Guard::stats).collect()
    }
}

/// The turn to ask for an answer while the marks are these.
#[cfg(feature = "redis")]
fn turn_of(key: &Key, marks: &Token) -> Token {
    let mut halves = [[0; 16]; 2];
    for (half, bytes) in halves.iter_mut().zip(key.0.chunks_exact(16)) {
        half.copy_from_slice(bytes);
    }
    super::marks::digest(halves.iter().chain([marks]))
}

pub(super) fn size(bytes: u64) -> usize {
    // The length of a body stands in four bytes.
    usize::try_from(bytes.min(u64::from(u32::MAX))).unwrap_or(usize::MAX)
}

/// A configured secret, as a key of its own.
pub(super) fn derived(secret: &Secret) -> [u8; 32] {
    blake3::derive_key("ossai 2026 cache encryption v1", secret.expose().as_bytes())
}

/// What makes two clients' tiers the same: every field of them, secrets included, and how fast their time runs.
fn identity(config: &Config) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 cache tiers v1");
    let cache = &config.cache;
    let secrets = [
        cache.redis.as_ref().and_then(|redis| redis.url.as_ref()),
        cache.redis.as_ref().and_then(|redis| redis.key.as_ref()),
        cache.disk.as_ref().and_then(|disk| disk.key.as_ref()),
    ];
    for secret in secrets {
        hasher.update(&Secret::fingerprint(secret));
    }
    let shown: (&Option<RedisCache>, &Option<DiskCache>) = (&cache.redis, &cache.disk);
    let time = (config.testing.time_scale, config.testing.wall_jump);
    let rest = (shown, time, &config.tls);
    hasher.update(&serde_json::to_vec(&rest).unwrap_or_default());
    *hasher.finalize().as_bytes()
}

/// The flight of a call that does not take what the tiers have, or only what is young: calls that do must not join it, nor
/// it them.
pub(crate) fn flight_key(key: [u8; 32], reads: bool, max_age_ms: Option<u64>) -> [u8; 32] {
    if reads && max_age_ms.is_none() {
        return key;
    }
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 flight by age v1");
    hasher.update(&key);
    hasher.update(&[u8::from(reads), u8::from(max_age_ms.is_some())]);
    hasher.update(&max_age_ms.unwrap_or_default().to_le_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(all(test, not(ossai_loom)))]
#[path = "tiers_tests.rs"]
mod tests;
