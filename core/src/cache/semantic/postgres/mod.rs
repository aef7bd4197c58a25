//! The questions kept in PostgreSQL with pgvector: one place for processes of many machines, kept over restarts.
//!
//! It is asked instead of the index of this process, so that what is invalidated anywhere counts at once everywhere. What a
//! row holds is sealed with its place and its vector, and how near it is is computed here again: a row that was damaged,
//! swapped or written with another key is a miss. Times are the database's: of all clocks it is the one that those who
//! share it have in common. Nothing a server says and nothing of its URL is ever shown: faults have names of our own.

mod line;
mod row;
#[cfg(all(test, not(ossai_loom)))]
mod tests;
mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_postgres::Row;

use super::config::{SemanticCache, SemanticPostgres};
use super::{Fresh, Item, Wanted};
use crate::cache::envelope::Sealer;
use crate::cache::marks::{self, Id, Token};
use crate::cache::tier::{Fault, Guard};
use crate::cache::tiers;
use crate::call::key::Key;
use crate::client::{Config, Secret};
use crate::error::Result;
use crate::observe::TierStats;
use crate::retry::{Random, SeededRandom};
use crate::transport::postgres::Database;
use crate::types::CacheTier;
use line::{Line, Parameters, Work};
use upkeep::Upkeep;

/// Groups up to this size are compared whole: 65 ms for vectors of 1,536 numbers on one core (`docs/semantic-cache.md`).
const EXACTLY: i32 = 10_000;
/// Most bytes of answers on their way, in KiB; what comes on top is not kept.
const PENDING: u32 = 16 << 10;
/// About what a row takes beside its answer and its vector, its indexes included.
const ROW: usize = 256;
/// How long what nobody's answer waits for may take.
const SLOW: Duration = Duration::from_secs(10);
/// The database's arithmetic ends somewhere; a hundred years are as good as for ever.
const MOST_MS: u64 = 100 * 366 * 86_400_000;
/// Vectors that pgvector stores.
const MOST_DIMENSIONS: usize = 16_000;

/// One database, shared by the clients of this process that are configured alike.
pub(super) struct Store {
    guard: Guard,
    /// For what answers wait for, and for everything else.
    quick: Arc<Line>,
    slow: Arc<Line>,
    sealer: Arc<Sealer>,
    pending: Arc<Semaphore>,
    writes: Semaphore,
    /// When an index for vectors of a length was last seen to.
    indexed: Mutex<HashMap<usize, Duration>>,
    exactly: i32,
}

/// What a client keeps there.
pub(crate) struct Shelf {
    store: Arc<Store>,
    tenant: Id,
    /// Where its vectors come from: those of another model are not to be compared with them.
    space: [u8; 32],
    upkeep: Arc<Upkeep>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf")
            .field("guard", &self.store.guard)
            .finish_non_exhaustive()
    }
}

type Told<T> = std::result::Result<T, Fault>;

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn bytes(ids: &[Id]) -> Vec<Vec<u8>> {
    let mut ids: Vec<Vec<u8>> = ids.iter().map(|id| id.to_vec()).collect();
    ids.sort();
    ids.dedup();
    ids
}

impl Store {
    fn of(settings: &SemanticPostgres, config: &Config) -> Result<Arc<Self>> {
        static SHARED: OnceLock<Mutex<HashMap<[u8; 32], Weak<Store>>>> = OnceLock::new();
        let shared = SHARED.get_or_init(Mutex::default);
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identity(settings, config);
        if let Some(store) = shared.get(&identity).and_then(Weak::upgrade) {
            return Ok(store);
        }
        let store = Arc::new(Self::new(settings, config)?);
        shared.retain(|_, store| store.strong_count() > 0);
        shared.insert(identity, Arc::downgrade(&store));
        Ok(store)
    }

    fn new(settings: &SemanticPostgres, config: &Config) -> Result<Self> {
        let random: Arc<dyn Random> = Arc::new(SeededRandom::from_os());
        // A database answers in real time, however fast a test's clock runs.
        let scale = u64::from(config.testing.time_scale.unwrap_or(1).max(1));
        let limit = Duration::from_millis(settings.timeout_ms);
        let timeout = Duration::from_millis(settings.timeout_ms.saturating_mul(scale));
        let patience = Duration::from_millis(config.timeouts.connect_ms).min(SLOW);
        let url = settings.url.clone().unwrap_or_else(|| Secret::new(""));
        let database = Arc::new(Database::new(
            SemanticPostgres::URL,
            &url,
            patience,
            config,
        )?);
        let line = |connections, limit| {
            let database = Arc::clone(&database);
            Arc::new(Line::new(database, connections, patience, limit))
        };
        Ok(Self {
            guard: Guard::new(CacheTier::Semantic, config.testing.clock(), random, timeout),
            quick: line(settings.connections, limit),
            slow: line(1, SLOW),
            sealer: Arc::new(Sealer::new(
                settings.key.as_ref().map(tiers::derived),
                tiers::size(settings.compress_from_bytes),
                tiers::size(settings.max_entry_bytes.min(1 << 29)),
            )),
            pending: Arc::new(Semaphore::new(PENDING as usize)),
            // Looks get their turn although much is being written.
            writes: Semaphore::new(usize::try_from(settings.connections.div_ceil(2)).unwrap_or(1)),
            indexed: Mutex::default(),
            exactly: EXACTLY,
        })
    }

    async fn find(
        &self,
        wanted: &Wanted<'_>,
        scopes: &[Id],
    ) -> Told<(Vec<(f32, Arc<Item>)>, Token)> {
        let most_bytes = i32::try_from(self.sealer.max_bytes()).unwrap_or(i32::MAX);
        let max_age = wanted.max_age.map(|age| int(millis(age).min(MOST_MS)));
        // A little farther than asked for: what counts is what is computed here.
        let most_far = 1.0 - wanted.threshold + 0.001;
        let parameters: Parameters = vec![
            Box::new(wanted.group.0.to_vec()),
            Box::new(wanted.vector.to_vec()),
            Box::new(bytes(scopes)),
            Box::new(most_far),
            Box::new(max_age),
            Box::new(most_bytes),
            Box::new(i32::try_from(wanted.top).unwrap_or(i32::MAX)),
            Box::new(self.exactly),
        ];
        let rows = self.quick.ask(Work::Find, parameters).await?;
        let mut rows = rows.into_iter();
        let seen = rows.next().as_ref().and_then(|row| token(row, 0));
        let seen = seen.ok_or(Fault::Foreign("foreign"))?;
        let mut near: Vec<(f32, Arc<Item>)> = Vec::with_capacity(wanted.top);
        for row in rows {
            match self.read(wanted, &row).await {
                Some((similarity, item)) if f64::from(similarity) >= wanted.threshold => {
                    near.push((similarity, Arc::new(item)));
                }
                Some(_) => {}
                None => self.guard.note(Fault::Foreign("foreign")),
            }
        }
        // Of two equally near ones the newer.
        near.sort_by(|(a, older), (b, newer)| {
            b.total_cmp(a).then(older.found_age.cmp(&newer.found_age))
        });
        Ok((near, seen))
    }

    async fn put(&self, tenant: &Id, fresh: &Arc<Fresh>) -> Told<Option<u64>> {
        let sealed = self.sealed(fresh).await;
        // Too large.
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let weight = sealed.len() + fresh.vector.len() * 4 + ROW;
        let weight = u64::try_from(weight).unwrap_or(u64::MAX);
        #[allow(clippy::cast_precision_loss)] // exact up to far beyond the hundred years
        let keep_ms = millis(fresh.ttl).min(MOST_MS) as f64;
        let parameters: Parameters = vec![
            Box::new(fresh.group.0.to_vec()),
            Box::new(fresh.key.0.to_vec()),
            Box::new(tenant.to_vec()),
            Box::new(fresh.vector.to_vec()),
            Box::new(sealed),
            Box::new(bytes(&fresh.scopes)),
            Box::new(fresh.seen.unwrap_or(marks::NONE).to_vec()),
            Box::new(int(weight)),
            Box::new(keep_ms),
        ];
        let asked = self.quick.ask(Work::Put, parameters);
        let rows = self.guard.within(asked).await?;
        let kept = rows.first().and_then(|row| row.try_get::<_, bool>(0).ok());
        Ok(kept.unwrap_or(false).then_some(weight))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn token(row: &Row, at: usize) -> Option<Token> {
    let bytes: Option<Vec<u8>> = row.try_get(at).ok()?;
    bytes?.try_into().ok()
}

/// What makes two clients' places the same, secrets included.
fn identity(settings: &SemanticPostgres, config: &Config) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 semantic place v1");
    for secret in [&settings.url, &settings.key] {
        hasher.update(&Secret::fingerprint(secret.as_ref()));
    }
    let time = (config.testing.time_scale, config.testing.wall_jump);
    let rest = (settings, time, &config.tls, config.timeouts.connect_ms);
    hasher.update(&serde_json::to_vec(&rest).unwrap_or_default());
    *hasher.finalize().as_bytes()
}

/// The embedding model, where it is asked and how long its vectors are.
fn space(semantic: &SemanticCache, config: &Config) -> [u8; 32] {
    let provider = semantic.model.split('/').next().unwrap_or_default();
    let address = config.providers.get(provider);
    let address = address.and_then(|provider| provider.base_url.as_deref());
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 semantic space v1");
    for word in [semantic.model.as_str(), address.unwrap_or_default()] {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word.as_bytes());
    }
    hasher.update(&semantic.dimensions.unwrap_or_default().to_le_bytes());
    *hasher.finalize().as_bytes()
}

impl Shelf {
    pub(super) fn new(
        settings: &SemanticPostgres,
        semantic: &SemanticCache,
        config: &Config,
    ) -> Result<Self> {
        let store = Store::of(settings, config)?;
        Ok(Self::on(store, semantic, config))
    }

    fn on(store: Arc<Store>, semantic: &SemanticCache, config: &Config) -> Self {
        Self {
            store,
            tenant: marks::all(config.tenant.as_deref()),
            space: space(semantic, config),
            upkeep: Arc::new(Upkeep::new(semantic.max_entries, semantic.max_bytes)),
        }
    }

    /// The group of those whose vectors are of the same space.
    fn group(&self, group: &Key) -> Key {
        Key(*blake3::keyed_hash(&self.space, &group.0).as_bytes())
    }

    /// The nearest that count, and the digest of the marks of these scopes.
    ///
    /// # Errors
    /// A word for why it could not be asked.
    pub(crate) async fn nearest(
        &self,
        wanted: &Wanted<'_>,
        scopes: &[Id],
    ) -> std::result::Result<(Vec<(f32, Arc<Item>)>, Token), &'static str> {
        let store = &self.store;
        let group = self.group(wanted.group);
        let wanted = Wanted {
            group: &group,
            ..*wanted
        };
        let found = store.guard.within(store.find(&wanted, scopes)).await;
        let found = found.map_err(Fault::why)?;
        store.guard.looked(!found.0.is_empty());
        Ok(found)
    }

    /// The vector of exactly this question, where it is kept, and the digest of the marks of these scopes.
    pub(crate) async fn known(
        &self,
        group: &Key,
        key: &Key,
        scopes: &[Id],
    ) -> Option<(Arc<[f32]>, Token)> {
        let parameters: Parameters = vec![
            Box::new(self.group(group).0.to_vec()),
            Box::new(key.0.to_vec()),
            Box::new(bytes(scopes)),
        ];
        let asked = self.store.quick.ask(Work::Known, parameters);
        let rows = self.store.guard.within(asked).await.ok()?;
        let row = rows.first()?;
        let vector: Option<Vec<f32>> = row.try_get(1).ok()?;
        Some((vector?.into(), token(row, 0)?))
    }

    /// Keeps an answer, beside the call.
    pub(crate) fn keep(&self, mut fresh: Fresh) {
        fresh.group = self.group(&fresh.group);
        let guard = &self.store.guard;
        // Where the marks are not known nobody can say whether it will count.
        let may = fresh.seen.is_some() && fresh.vector.len() <= MOST_DIMENSIONS;
        if !may || fresh.ttl.is_zero() || !guard.takes_writes() {
            return guard.dropped();
        }
        let size = fresh.value.bytes() + fresh.vector.len() * 4 + fresh.text.len();
        let size = u32::try_from(size >> 10).unwrap_or(PENDING);
        let place = Arc::clone(&self.store.pending);
        let place = place.try_acquire_many_owned(size.clamp(1, PENDING));
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(place), Ok(runtime)) = (place, runtime) else {
            return guard.dropped();
        };
        let (store, tenant) = (Arc::clone(&self.store), self.tenant);
        let upkeep = Arc::clone(&self.upkeep);
        runtime.spawn(async move {
            let _turn = store.writes.acquire().await;
            let fresh = Arc::new(fresh);
            match upkeep.put(&store, &tenant, &fresh).await {
                Ok(true) => store.guard.stored(),
                Ok(false) | Err(_) => store.guard.dropped(),
            }
            drop(place);
        });
    }

    /// Changes the mark of a scope, and takes away what it has.
    ///
    /// # Errors
    /// A word for why it could not be told.
    pub(crate) async fn invalidate(&self, scope: &Id) -> std::result::Result<(), &'static str> {
        let fresh = marks::fresh().ok_or("no_randomness")?;
        let parameters: Parameters = vec![
            Box::new(self.tenant.to_vec()),
            Box::new(scope.to_vec()),
            Box::new(fresh.to_vec()),
        ];
        // Not within the time of a look, nor spared because looks failed: somebody waits for it and for nothing less.
        let told = self.store.slow.ask(Work::Forget, parameters);
        match tokio::time::timeout(SLOW, told).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(fault)) => {
                self.store.guard.note(fault);
                Err(fault.why())
            }
            Err(_) => Err("timeout"),
        }
    }

    /// Waits until nothing is on its way there.
    pub(crate) async fn flush(&self) {
        let _ = self.store.pending.acquire_many(PENDING).await;
    }

    /// Entries and bytes of the tenant when there was last made room.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.upkeep.size()
    }

    pub(crate) fn stats(&self) -> TierStats {
        self.store.guard.stats()
    }
}
