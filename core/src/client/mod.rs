//! The client: one object for every call, cheap to clone, safe to share.

mod calls;
mod completion_stream;
pub mod config;
mod credential;
mod embed;
mod explain;
mod flights;
mod info;
mod invalidate;
mod ledger;
mod lookup;
mod money;
mod prepare;
pub mod presets;
mod renew;
pub(crate) mod route;
mod secret;
mod testing;
mod tokens;

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use completion_stream::CompletionStream;
pub(crate) use completion_stream::events_of;
pub use config::Config;
pub(crate) use config::read_file;
pub use credential::{Credential, CredentialFuture};
pub use explain::{CachePlan, Explanation, ParameterPlan, RoutePlan, SharingPlan};
pub(crate) use lookup::free;
pub use money::EstimateOptions;
pub use secret::Secret;
pub use tokens::TokenCount;

use crate::budget::{BudgetState, Budgets, SharedBudgets};
use crate::cache::memory::Memory;
use crate::cache::missing::Missing;
use crate::cache::semantic::Semantic;
use crate::cache::{Tiers, Trust};
use crate::call::batch::Batches;
use crate::call::flight::{self, Flights};
use crate::call::gather::Gatherer;
use crate::call::hedge::Latencies;
use crate::call::prompt::Reuse;
use crate::call::recorded::Records;
use crate::cassette::Deck;
use crate::cost::PriceTable;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Counters, NearMisses, Stats};
use crate::retry::{
    Backoff, Breaker, Clock, QuotaSettings, Random, RetryPolicy, RetryQuota, SeededRandom,
};
use crate::tokens::{Calibration, Encoding};
use crate::transport::grpc::{GrpcConfig, GrpcRoad};
use crate::transport::http::Http;
use crate::transport::proxy::Proxies;
use crate::transport::tls;
use crate::types::{Completion, EmbeddingResponse, NanoUsd, StreamEvent};
use route::{Route, Routes};

/// A client for language models, over an orchestrator or straight to the providers.
///
/// Cloning gives another handle on the same client: connections, caches, shared calls and counters are one. All methods
/// take `&self` and may be called from any thread; those that wait need a Tokio runtime. Dropping a future cancels its call.
/// Construction opens no socket and starts no thread.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.core.config)
            .finish_non_exhaustive()
    }
}

pub(crate) type CompletionFlights = Flights<StreamEvent, Arc<Completion>>;
pub(crate) type EmbeddingFlights = Flights<(), Arc<EmbeddingResponse>>;

/// What all handles of a client share.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) routes: Routes,
    http: OnceLock<Result<Http>>,
    cassette: Option<Arc<Deck>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) quotas: RetryQuota,
    pub(crate) policy: RetryPolicy,
    pub(crate) breaker: Breaker,
    pub(crate) latencies: Latencies,
    /// Embeddings that wait for others; absent where none do.
    pub(crate) gatherer: Option<Gatherer>,
    /// Calls in vendors' batches; opened by the first one.
    pub(crate) batches: std::sync::Mutex<Option<Arc<Batches>>>,
    pub(crate) counters: Counters,
    pub(crate) near_misses: NearMisses,
    pub(crate) memory: Option<Memory>,
    /// The same for embeddings.
    pub(crate) vectors: Option<Memory>,
    /// Models that there are not.
    pub(crate) missing: Missing,
    /// The tiers beneath the memory, where there are any.
    pub(crate) tiers: Option<Arc<Tiers>>,
    /// What is known of invalidations.
    pub(crate) trust: Trust,
    /// Answers to questions that mean the same, where they are looked for.
    pub(crate) semantic: Option<Box<Semantic>>,
    pub(crate) flights: CompletionFlights,
    pub(crate) embeddings: EmbeddingFlights,
    pub(crate) prices: PriceTable,
    pub(crate) calibration: Calibration,
    /// How often beginnings of requests came again.
    pub(crate) prompts: std::sync::Mutex<Reuse>,
    /// Absent where none is configured, which then costs a look at this.
    pub(crate) budgets: Option<Arc<Budgets>>,
    /// Likewise, of what calls used and cost.
    pub(crate) records: Option<Records>,
    pub(crate) closed: std::sync::atomic::AtomicBool,
    /// How many of `testing.panics` there have been.
    panicked: std::sync::atomic::AtomicU32,
}

impl Core {
    /// Where a test asks for a bug of ours (`testing.panics`), this is it.
    pub(crate) fn panic_if_told(&self) {
        let told = self.config.testing.panics;
        if told > 0
            && self
                .panicked
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
                < told
        {
            panic!("asked for by `testing.panics`");
        }
    }

    /// The HTTP client, made at the first call: making it reads the system's certificates.
    pub(crate) fn http(&self) -> Result<&Http> {
        self.http
            .get_or_init(|| Http::new(&self.config, Arc::clone(&self.clock), self.cassette.clone()))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The encoding text is counted with where its model publishes none.
    pub(crate) fn tokens(&self) -> &'static Encoding {
        Encoding::get("o200k_base").unwrap_or(&Encoding::all()[0])
    }

    /// `ossai-` and a version 4 UUID (RFC 9562) of the client's own random source.
    pub(crate) fn call_id(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let (a, b) = (self.random.next_u64(), self.random.next_u64());
        let a = (a & !0xf000) | 0x4000;
        let b = (b & !(0xc0 << 56)) | (0x80 << 56);
        let number = (u128::from(a) << 64) | u128::from(b);
        let mut id = *b"ossai-00000000-0000-0000-0000-000000000000";
        let digits = id.iter_mut().skip(6).filter(|place| **place == b'0');
        for (at, place) in digits.enumerate() {
            let digit = (number >> (124 - 4 * at)) & 0xf;
            *place = DIGITS[usize::try_from(digit).unwrap_or(0)];
        }
        String::from_utf8_lossy(&id).into_owned()
    }

    pub(crate) fn route(&self, provider: &str) -> Result<&Arc<Route>> {
        self.routes.get(provider)
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(std::sync::atomic::Ordering::Acquire) {
            return Err(Error::new(ErrorKind::InvalidState, "the client is closed"));
        }
        Ok(())
    }
}

/// The clock and the random source a configuration asks for.
pub(crate) fn time_and_chance(config: &Config) -> (Arc<dyn Clock>, Arc<dyn Random>) {
    let clock = config.testing.clock();
    let random: Arc<dyn Random> = match config.testing.seed {
        Some(seed) => Arc::new(SeededRandom::new(seed)),
        None => Arc::new(SeededRandom::from_os()),
    };
    (clock, random)
}

fn road(endpoint: &str, config: &Config, proxies: Option<&Arc<Proxies>>) -> Result<GrpcRoad> {
    let scale = config.testing.time_scale.unwrap_or(1).max(1);
    GrpcRoad::connect_lazy(
        endpoint,
        GrpcConfig {
            tls: Some(Arc::new(tls::client_config(config)?)),
            connect_timeout: Duration::from_millis(config.timeouts.connect_ms) / scale,
            stream_idle_timeout: Duration::from_millis(config.timeouts.stream_idle_ms) / scale,
            max_receive_bytes: usize::try_from(config.limits.max_grpc_message_bytes)
                .unwrap_or(usize::MAX),
            proxies: proxies.cloned(),
            hanging_hosts: config.testing.hanging_hosts.clone().into(),
            ..GrpcConfig::default()
        },
    )
}

impl Client {
    /// A client with this configuration.
    ///
    /// # Errors
    /// `invalid_request` naming the configuration field that is wrong.
    pub fn new(config: Config) -> Result<Self> {
        Self::with_credentials(config, [])
    }

    /// A client whose credentials for the named providers come from callbacks while calls are made.
    ///
    /// # Errors
    /// As [`Client::new`]; also for a callback beside a configured key, and for one whose provider there is not.
    pub fn with_credentials(
        config: Config,
        credentials: impl IntoIterator<Item = (String, Arc<dyn Credential>)>,
    ) -> Result<Self> {
        let budgets = SharedBudgets::new(&config)?;
        let records = Records::of(&config.usage)?;
        Self::build(config, credentials, &budgets, records)
    }

    /// A client that shares budgets, and their ledger, with others of the same configuration.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_budgets(config: Config, budgets: &SharedBudgets) -> Result<Self> {
        let records = Records::of(&config.usage)?;
        Self::build(config, [], budgets, records)
    }

    /// The same for a program that records each call itself, as it was told: what a flight cost whose starter had left is
    /// told to none of its callers, nor what a batch cost that ended later than they waited. `untold` is given it.
    ///
    /// # Errors
    /// As [`Client::new`]; `invalid_request` where the configuration names a ledger of its own.
    #[cfg(feature = "sqlite")]
    pub fn with_records(
        config: Config,
        budgets: &SharedBudgets,
        untold: crate::ledger::Untold,
    ) -> Result<Self> {
        if config.usage.ledger.is_some() {
            let expected = "expected none: the program keeps the records";
            return Err(Error::invalid("config.usage.ledger", expected));
        }
        Self::build(config, [], budgets, Some(Records::Untold(untold)))
    }

    fn build(
        config: Config,
        credentials: impl IntoIterator<Item = (String, Arc<dyn Credential>)>,
        budgets: &SharedBudgets,
        records: Option<Records>,
    ) -> Result<Self> {
        config.check()?;
        let (clock, random) = time_and_chance(&config);
        let prices = match &config.prices {
            None => PriceTable::embedded().clone(),
            Some(path) => {
                PriceTable::embedded().with_overlay(&read_file("config.prices", path)?)?
            }
        };
        // A wrong proxy is told now, not by the first call.
        let proxies = Proxies::new(&config)?;
        let routes = Routes::new(&config, &credentials.into_iter().collect(), |endpoint| {
            road(endpoint, &config, proxies.as_ref())
        })?;
        routes.check_semantic(&config)?;
        let cassette = Deck::open(config.cassette.as_ref(), routes.headers())?.map(Arc::new);
        // What is recorded and replayed is found by its body, which must not depend on who came when.
        let gatherer = match &cassette {
            None => Gatherer::new(&config.gather),
            Some(_) => None,
        };
        let log_bytes = usize::try_from(config.limits.max_stream_log_bytes).unwrap_or(usize::MAX);
        let limits = flight::Limits {
            log_bytes,
            ..flight::Limits::default()
        };
        Ok(Self {
            core: Arc::new(Core {
                routes,
                http: OnceLock::new(),
                cassette,
                clock,
                random,
                quotas: RetryQuota::new(QuotaSettings::default()),
                policy: RetryPolicy {
                    max_attempts: config.retry.max_attempts,
                    backoff: Backoff {
                        transient_base: Duration::from_millis(config.retry.base_ms),
                        throttle_base: Duration::from_millis(config.retry.throttle_base_ms),
                        cap: Duration::from_millis(config.retry.max_backoff_ms),
                    },
                    longest_hint: Duration::from_millis(config.retry.max_retry_after_ms),
                },
                breaker: Breaker::new(config.breaker.settings()),
                latencies: Latencies::default(),
                gatherer,
                batches: std::sync::Mutex::default(),
                counters: Counters::default(),
                near_misses: NearMisses::default(),
                memory: config
                    .cache
                    .enabled
                    .then(|| Memory::new(config.cache.max_bytes)),
                vectors: config
                    .cache
                    .enabled
                    .then(|| Memory::new(config.cache.embedding_max_bytes)),
                missing: Missing::default(),
                tiers: Tiers::of(&config)?,
                trust: Trust::default(),
                semantic: Semantic::of(&config)?,
                flights: Flights::new(limits),
                embeddings: Flights::new(limits),
                prices,
                calibration: Calibration::new(),
                prompts: std::sync::Mutex::default(),
                budgets: budgets.0.clone(),
                records,
                closed: false.into(),
                panicked: 0.into(),
                config,
            }),
        })
    }

    /// A client configured by the environment (see [`Config::from_env`]) and the providers' own key variables.
    ///
    /// # Errors
    /// `invalid_request` naming what is wrong.
    pub fn from_env() -> Result<Self> {
        Self::new(Config::from_env())
    }

    /// What the client has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let core = &self.core;
        let read = Counters::read;
        let counters = &core.counters;
        let (flights, embeddings) = (core.flights.stats(), core.embeddings.stats());
        let size = |memory: &Option<Memory>| memory.as_ref().map_or((0, 0), Memory::size);
        let (completions, embedded) = (size(&core.memory), size(&core.vectors));
        Stats {
            calls: read(&counters.calls),
            failures: read(&counters.failures),
            flights: flights.flights_started + embeddings.flights_started,
            joined: flights.joined + embeddings.joined,
            flights_in_flight: flights.active_flights + embeddings.active_flights,
            waiters: flights.active_waiters + embeddings.active_waiters,
            flights_cancelled: flights.cancelled + embeddings.cancelled,
            cache_hits: read(&counters.cache_hits),
            cache_misses: read(&counters.cache_misses),
            cache_entries: completions.0 + embedded.0,
            cache_bytes: completions.1 + embedded.1,
            attempts: read(&counters.attempts),
            retries: read(&counters.retries),
            spent: NanoUsd(read(&counters.spent)),
            saved: NanoUsd(read(&counters.saved)),
            unpriced: read(&counters.unpriced),
            unrecorded: core.records.as_ref().map_or(0, Records::lost),
            tiers: (core.tiers.iter().flat_map(|tiers| tiers.stats()))
                .chain(
                    core.semantic
                        .iter()
                        .filter_map(|semantic| semantic.place.tier()),
                )
                .collect(),
            semantic: core.semantic.as_ref().map(|semantic| semantic.stats()),
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The budgets of this client with what is spent and held in the present windows: those with a name, and every other one
    /// something was booked on. Of a client over an orchestrator they are the configured ones, on which nothing is booked.
    ///
    /// # Errors
    /// `budget_unavailable` when the ledger does not answer.
    pub async fn budgets(&self) -> Result<Vec<BudgetState>> {
        match &self.core.budgets {
            None => Ok(Vec::new()),
            Some(budgets) => budgets.states().await,
        }
    }

    /// The configuration; credentials in it cannot be printed.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// The prices calls are counted with.
    #[must_use]
    pub fn prices(&self) -> &PriceTable {
        &self.core.prices
    }

    /// Forgets every answer kept in memory; what the tiers beneath keep stays.
    pub fn clear_cache(&self) {
        let core = &self.core;
        for memory in [&core.memory, &core.vectors].into_iter().flatten() {
            memory.clear();
        }
        if let Some(semantic) = &core.semantic {
            semantic.place.clear();
        }
    }

    /// Refuses new calls with `invalid_state` and waits, at most `patience`, for those under way.
    ///
    /// Returns whether all of them ended. A second call is harmless.
    pub async fn close(&self, patience: Duration) -> bool {
        self.core
            .closed
            .store(true, std::sync::atomic::Ordering::Release);
        let mut timer =
            crate::transport::timer::IdleTimer::new(Arc::clone(&self.core.clock), patience);
        timer
            .limit(pin!(async {
                // Those who wait for a batch would be waited for until tomorrow.
                self.core.leave_batches().await;
                let (completions, embeddings) = (
                    self.core.flights.shutdown(),
                    self.core.embeddings.shutdown(),
                );
                completions.await;
                embeddings.await;
                if let Some(tiers) = &self.core.tiers {
                    tiers.flush().await;
                }
                if let Some(semantic) = &self.core.semantic {
                    semantic.place.flush().await;
                }
                if let Some(budgets) = &self.core.budgets {
                    budgets.flush().await;
                }
                if let Some(records) = &self.core.records {
                    records.flush().await;
                }
            }))
            .await
            .is_some()
    }
}
