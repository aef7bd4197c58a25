//! Keeping within bounds, and the index that large groups need.
//!
//! Counting the rows at each of them would cost more than the row. A client counts its own and makes room after every
//! twentieth of the bounds: each client that shares them can be so much over, and what it writes at that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;
use tokio_postgres::Client;

use super::super::Fresh;
use super::line::{Parameters, Work};
use super::{Store, Told, int};
use crate::cache::marks::Id;
use crate::cache::tier::Fault;

/// Of the bounds, how much is written until room is made, and how many answers at most.
const PART: u64 = 20;
const MOST: u64 = 500;
/// Room is made at least so often, where anything is written.
const OFTEN: Duration = Duration::from_secs(60);
/// An index that could not be made is tried again after so long.
const AGAIN: Duration = Duration::from_secs(3_600);

/// What a client has written since it last made room.
pub(super) struct Upkeep {
    max_entries: u64,
    max_bytes: u64,
    /// Written to by many; who makes room is alone.
    turn: RwLock<Option<Instant>>,
    written: AtomicU64,
    written_bytes: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Upkeep {
    pub(super) fn new(max_entries: u64, max_bytes: u64) -> Self {
        Self {
            max_entries,
            max_bytes,
            turn: RwLock::default(),
            written: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn size(&self) -> (u64, u64) {
        (self.entries.load(Relaxed), self.bytes.load(Relaxed))
    }

    fn is_due(&self, last: Option<Instant>) -> bool {
        self.written.load(Relaxed) >= (self.max_entries / PART).clamp(1, MOST)
            || self.written_bytes.load(Relaxed) >= (self.max_bytes / PART).max(1)
            || last.is_none_or(|last| last.elapsed() >= OFTEN)
    }

    /// Keeps an answer, after making room where it is time for that. Says whether it is kept.
    pub(super) async fn put(
        &self,
        store: &Arc<Store>,
        tenant: &Id,
        fresh: &Arc<Fresh>,
    ) -> Told<bool> {
        loop {
            let writing = self.turn.read().await;
            if !self.is_due(*writing) {
                let weight = store.put(tenant, fresh).await?;
                if let Some(weight) = weight {
                    self.written.fetch_add(1, Relaxed);
                    self.written_bytes.fetch_add(weight, Relaxed);
                }
                return Ok(weight.is_some());
            }
            drop(writing);
            let mut alone = self.turn.write().await;
            if self.is_due(*alone) {
                // Where there cannot be made room there is none.
                self.tidy(store, tenant, fresh.vector.len()).await?;
                *alone = Some(Instant::now());
            }
        }
    }

    /// Makes room.
    async fn tidy(&self, store: &Arc<Store>, tenant: &Id, width: usize) -> Told<()> {
        let parameters: Parameters = vec![
            Box::new(tenant.to_vec()),
            Box::new(int(self.max_entries)),
            Box::new(int(self.max_bytes)),
        ];
        let tidied = store.slow.ask(Work::Tidy, parameters).await;
        let rows = tidied.inspect_err(|fault| store.guard.note(*fault))?;
        let row = rows.first().ok_or(Fault::Foreign("foreign"))?;
        let number = |at| u64::try_from(row.try_get::<_, i64>(at).unwrap_or_default()).unwrap_or(0);
        self.entries.store(number(0), Relaxed);
        self.bytes.store(number(1), Relaxed);
        self.written.store(0, Relaxed);
        self.written_bytes.store(0, Relaxed);
        if number(2) > u64::try_from(store.exactly).unwrap_or(0) {
            store.see_to_index(width);
        }
        Ok(())
    }
}

impl Store {
    /// Has the index made that vectors of this length need, where there is none.
    pub(super) fn see_to_index(self: &Arc<Self>, width: usize) {
        let Some(kind) = kind(width) else {
            return;
        };
        let now = self.guard.clock().now();
        {
            use std::sync::PoisonError;
            let mut seen_to = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
            let last = seen_to.get(&width);
            if last.is_some_and(|last| now.saturating_sub(*last) < AGAIN) {
                return;
            }
            seen_to.insert(width, now);
        }
        let store = Arc::clone(self);
        tokio::spawn(async move {
            let made = async {
                let client = store.slow.apart().await?;
                make_index(&client, width, kind).await
            };
            if made.await.is_err() {
                tracing::warn!(
                    dimensions = width,
                    "the semantic cache's index could not be made: large groups are compared whole"
                );
            }
        });
    }
}

/// What vectors of this length can be indexed as.
fn kind(width: usize) -> Option<&'static str> {
    match width {
        1..=2_000 => Some("vector"),
        2_001..=4_000 => Some("halfvec"),
        _ => None,
    }
}

/// Makes the index beside what is read and written meanwhile. It takes as long as it takes, and ends with its connection.
pub(super) async fn make_index(
    client: &Client,
    width: usize,
    kind: &str,
) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET client_min_messages = warning",
        )
        .await?;
    let alone = format!("SELECT pg_try_advisory_lock(781835111, {width})");
    if !client.query_one(&alone, &[]).await?.get::<_, bool>(0) {
        // Another one is at it.
        return Ok(());
    }
    let name = format!("ossai_semantic_1_hnsw_{width}");
    let state = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')");
    if let Some(row) = client.query_opt(&state, &[]).await? {
        if row.get(0) {
            return Ok(());
        }
        // Whoever began it died over it.
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        client.batch_execute(&drop).await?;
    }
    let make = format!(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON ossai_semantic_1
         USING hnsw ((embedding::{kind}({width})) {kind}_cosine_ops) WHERE dimensions = {width}"
    );
    client.batch_execute(&make).await?;
    client.batch_execute("ANALYZE ossai_semantic_1").await
}
