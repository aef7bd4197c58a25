//! What every tier beneath the memory has in common: it may be slow, away or broken, and nobody's call fails for it.
//!
//! Each look has a time-out, a run of failures leaves the tier alone for a while (a circuit of its own), a refused write
//! turns writing off for a while. Every outage is told once, at its beginning, and its end once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::observe::TierStats;
use crate::retry::{Breaker, BreakerSettings, Circuit, Clock, Health, Random};
use crate::transport::timer::IdleTimer;
use crate::types::CacheTier;

/// How long a tier that refuses writes is spared them.
pub(super) const WRITES_OFF: Duration = Duration::from_secs(30);

/// Why a tier gave nothing. The words are ours: what a store or a system says may hold an address or a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It could not be asked, or broke off: it may be away.
    Away(&'static str),
    /// It is there and does not take this write; further ones are spared it for a while.
    Refused(&'static str),
    /// It is there and holds something that is not ours.
    Foreign(&'static str),
}

impl Fault {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Away(why) | Self::Refused(why) | Self::Foreign(why) => why,
        }
    }
}

/// Keeps one tier's trouble away from the calls.
pub(crate) struct Guard {
    pub(crate) tier: CacheTier,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    timeout: Duration,
    breaker: Breaker,
    circuit: Circuit,
    /// In milliseconds of the clock; 0 while writes are taken.
    writes_off_until: AtomicU64,
    ailing: AtomicBool,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    stores: AtomicU64,
    dropped: AtomicU64,
    faults: AtomicU64,
    skipped: AtomicU64,
    evicted: AtomicU64,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("tier", &self.tier)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Guard {
    pub(super) fn new(
        tier: CacheTier,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        timeout: Duration,
    ) -> Self {
        let breaker = Breaker::new(BreakerSettings {
            window: Duration::from_secs(10),
            min_calls: 3,
            failure_percent: 50,
            open: Duration::from_secs(5),
            half_open: 1,
            max_circuits: 1,
        });
        let circuit = breaker.circuit("", "");
        Self {
            tier,
            clock,
            random,
            timeout,
            breaker,
            circuit,
            writes_off_until: AtomicU64::new(0),
            ailing: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Does `work` within the tier's time, unless the tier is being left alone.
    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let Ok(pass) = self.breaker.enter(self.circuit, self.clock.now()) else {
            self.add(&self.counters.skipped);
            return Err(Fault::Away("circuit_open"));
        };
        let mut timer = IdleTimer::new(Arc::clone(&self.clock), self.timeout);
        let outcome = timer
            .limit(pin!(work))
            .await
            .unwrap_or(Err(Fault::Away("timeout")));
        let health = match &outcome {
            Err(Fault::Away(_)) => Health::Bad,
            _ => Health::Good,
        };
        pass.report(health, self.clock.now(), || self.random.next_f64());
        match &outcome {
            Ok(_) => self.well(),
            Err(fault) => self.note(*fault),
        }
        outcome
    }

    /// Counts a fault and tells of the first of an outage.
    pub(super) fn note(&self, fault: Fault) {
        self.add(&self.counters.faults);
        match fault {
            // Somebody else's bytes are no trouble of the tier's.
            Fault::Foreign(_) => return,
            Fault::Refused(_) => {
                let until = self.clock.now().saturating_add(WRITES_OFF);
                self.writes_off_until.store(millis(until).max(1), Relaxed);
            }
            Fault::Away(_) => {}
        }
        if !self.ailing.swap(true, Relaxed) {
            tracing::warn!(
                tier = self.name(),
                why = fault.why(),
                "a cache tier is in trouble; calls go on without it until it recovers"
            );
        }
    }

    fn well(&self) {
        if self.ailing.load(Relaxed) && self.takes_writes() && self.ailing.swap(false, Relaxed) {
            tracing::info!(tier = self.name(), "a cache tier has recovered");
        }
    }

    /// Whether writes are not being spared.
    pub(super) fn takes_writes(&self) -> bool {
        let until = self.writes_off_until.load(Relaxed);
        if until == 0 {
            return true;
        }
        if millis(self.clock.now()) < until {
            return false;
        }
        self.writes_off_until.store(0, Relaxed);
        true
    }

    pub(crate) fn name(&self) -> &'static str {
        tier_name(self.tier)
    }

    pub(super) fn looked(&self, found: bool) {
        self.add(if found {
            &self.counters.hits
        } else {
            &self.counters.misses
        });
    }

    pub(super) fn stored(&self) {
        self.add(&self.counters.stores);
    }

    pub(super) fn dropped(&self) {
        self.add(&self.counters.dropped);
    }

    pub(super) fn evicted(&self, files: u64) {
        self.counters.evicted.fetch_add(files, Relaxed);
    }

    fn add(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self) -> TierStats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        TierStats {
            tier: self.tier,
            hits: read(&self.counters.hits),
            misses: read(&self.counters.misses),
            stores: read(&self.counters.stores),
            dropped: read(&self.counters.dropped),
            faults: read(&self.counters.faults),
            skipped: read(&self.counters.skipped),
            evicted: read(&self.counters.evicted),
            ailing: self.ailing.load(Relaxed),
        }
    }
}

/// The tier's stable name.
fn tier_name(tier: CacheTier) -> &'static str {
    match tier {
        CacheTier::Memory => "memory",
        CacheTier::Redis => "redis",
        CacheTier::Disk => "disk",
        CacheTier::Semantic => "semantic",
        CacheTier::Orchestrator => "orchestrator",
    }
}

#[cfg(all(test, not(ossai_loom)))]
mod tests {
    use super::*;
    use crate::retry::{SeededRandom, SystemClock};

    fn guard() -> Guard {
        Guard::new(
            CacheTier::Redis,
            Arc::new(SystemClock::new()),
            Arc::new(SeededRandom::new(7)),
            Duration::from_millis(100),
        )
    }

    async fn hang(guard: &Guard) -> Result<(), Fault> {
        guard.within(std::future::pending()).await
    }

    // proves: 2.11.tiers 3.redis-down
    #[tokio::test(start_paused = true)]
    async fn a_tier_that_hangs_costs_its_time_a_few_times_then_nothing_and_comes_back_alone() {
        let guard = guard();
        for _ in 0..3 {
            let before = guard.clock.now();
            assert_eq!(hang(&guard).await, Err(Fault::Away("timeout")));
            let waited = guard.clock.now().saturating_sub(before);
            assert!((100..105).contains(&waited.as_millis()), "{waited:?}");
        }
        let before = guard.clock.now();
        assert_eq!(hang(&guard).await, Err(Fault::Away("circuit_open")));
        assert_eq!(guard.clock.now(), before);
        assert!(guard.stats().ailing);
        guard.clock.sleep(Duration::from_secs(6)).await;
        assert_eq!(guard.within(async { Ok(1) }).await, Ok(1));
        assert_eq!(guard.within(async { Ok(2) }).await, Ok(2));
        let stats = guard.stats();
        assert_eq!((stats.faults, stats.skipped, stats.ailing), (3, 1, false));
    }

    // proves: 2.11.disk 3.redis-foreign
    #[tokio::test(start_paused = true)]
    async fn a_refused_write_turns_writing_off_for_half_a_minute_and_reading_goes_on() {
        let guard = guard();
        let refused = guard.within::<()>(async { Err(Fault::Refused("full")) });
        assert_eq!(refused.await, Err(Fault::Refused("full")));
        assert!(!guard.takes_writes());
        assert_eq!(guard.within(async { Ok(1) }).await, Ok(1));
        assert!(guard.stats().ailing, "until a write may be tried again");
        guard.clock.sleep(WRITES_OFF).await;
        assert!(guard.takes_writes());
        assert_eq!(guard.within(async { Ok(1) }).await, Ok(1));
        assert!(!guard.stats().ailing);
    }

    #[tokio::test(start_paused = true)]
    async fn foreign_bytes_open_no_circuit() {
        let guard = guard();
        for _ in 0..100 {
            let found = guard.within::<()>(async { Err(Fault::Foreign("type")) });
            assert_eq!(found.await, Err(Fault::Foreign("type")));
        }
        assert!(guard.takes_writes() && !guard.stats().ailing);
    }
}
