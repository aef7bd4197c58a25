//! The circuit breaker: an upstream that keeps failing is left alone for a while, and then tried with few calls.
//!
//! One circuit per endpoint origin and model (`behaviour.md` §2.7). Closed, it counts results over a sliding window; when
//! enough of enough calls fail it opens; after a time a few trial calls pass (half-open), which close it when all of them
//! succeed and open it again when one fails. A [`Pass`] is a guard: dropped without a report, as by a cancelled call or a
//! panic, it gives its place back and counts for nothing. Each change of state starts a new generation, and what an older
//! generation's pass reports is ignored: it speaks of a time before.

#[cfg(all(test, ossai_loom))]
mod models;
#[cfg(all(test, not(ossai_loom)))]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

#[cfg(ossai_loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(ossai_loom))]
use std::sync::{Mutex, MutexGuard};

/// The window slides by a tenth of its length.
const SLOTS: usize = 10;

/// When circuits open and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// How far back results count: 30 s.
    pub window: Duration,
    /// Fewest results in the window that can open a circuit: 20.
    pub min_calls: u32,
    /// The share of failures among them that opens it, in percent: 50.
    pub failure_percent: u32,
    /// How long it stays open: 30 s, a tenth more or less by chance, so that clients do not come back together.
    pub open: Duration,
    /// How many trial calls a half-open circuit lets pass: 3.
    pub half_open: u32,
    /// Most circuits held at once: 10,000. Above it one of those in least trouble is forgotten.
    pub max_circuits: usize,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            min_calls: 20,
            failure_percent: 50,
            open: Duration::from_secs(30),
            half_open: 3,
            max_circuits: 10_000,
        }
    }
}

/// What a call says of its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answered.
    Good,
    /// It could not be reached, broke off, was too slow, failed or had too much to do.
    Bad,
    /// Neither: the caller's mistake, a rate limit, a cancellation.
    Unknown,
}

/// Which circuit: the keyed digest of an origin and a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Circuit(u64);

/// The circuits of a client. Nothing here waits or reads a clock.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    hasher: RandomState,
    cells: Mutex<HashMap<Circuit, Cell>>,
}

#[derive(Debug)]
struct Cell {
    state: State,
    generation: u64,
    window: Window,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open { until: Duration },
    HalfOpen { under_way: u32, succeeded: u32 },
}

/// Why no pass was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When to ask again.
    pub retry_after: Duration,
}

impl Breaker {
    /// Circuits that are all closed.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            hasher: RandomState::new(),
            cells: Mutex::new(HashMap::new()),
        }
    }

    /// The circuit of an endpoint's origin (scheme, host and port) and a model.
    ///
    /// Circuits go by a keyed 64-bit digest: two that meet by a chance of 1 in 2^64 are one.
    #[must_use]
    pub fn circuit(&self, origin: &str, model: &str) -> Circuit {
        Circuit(self.hasher.hash_one((origin, model)))
    }

    /// How many circuits are held.
    #[must_use]
    pub fn circuits(&self) -> usize {
        self.lock().len()
    }

    /// Lets a call pass, or says when to ask again.
    ///
    /// # Errors
    /// [`Refused`] while the circuit is open, or half-open with all trial calls under way.
    pub fn enter(&self, circuit: Circuit, now: Duration) -> Result<Pass<'_>, Refused> {
        // A pass locks when it is dropped, so that there is none before all is decided.
        let generation = self.admit(circuit, now)?;
        Ok(Pass {
            breaker: Some(self),
            circuit,
            generation,
        })
    }

    /// The generation in which a call may pass.
    fn admit(&self, circuit: Circuit, now: Duration) -> Result<u64, Refused> {
        let mut cells = self.lock();
        let Some(cell) = cells.get_mut(&circuit) else {
            return Ok(0);
        };
        let (under_way, succeeded) = match cell.state {
            State::Closed => return Ok(cell.generation),
            State::Open { until } if now < until => {
                let retry_after = until.saturating_sub(now);
                return Err(Refused { retry_after });
            }
            State::Open { .. } => {
                cell.generation += 1;
                (0, 0)
            }
            State::HalfOpen {
                under_way,
                succeeded,
            } => (under_way, succeeded),
        };
        if under_way + succeeded >= self.settings.half_open {
            // How the trials end is not known; they are few, so it is soon.
            let retry_after = Duration::from_secs(1).min(self.settings.open);
            return Err(Refused { retry_after });
        }
        cell.state = State::HalfOpen {
            under_way: under_way + 1,
            succeeded,
        };
        Ok(cell.generation)
    }

    /// Whether a call would be refused from now until `wait` is over.
    #[must_use]
    pub fn is_open_for(&self, circuit: Circuit, now: Duration, wait: Duration) -> bool {
        self.lock().get(&circuit).is_some_and(
            |cell| matches!(cell.state, State::Open { until } if until > now.saturating_add(wait)),
        )
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Circuit, Cell>> {
        // A panic cannot leave counters in a state that matters.
        self.cells
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The cell of a circuit; a new one starts at generation 0, as does a pass given while there was none.
    fn cell<'a>(
        &self,
        cells: &'a mut HashMap<Circuit, Cell>,
        circuit: Circuit,
        now: Duration,
    ) -> &'a mut Cell {
        if cells.len() >= self.settings.max_circuits && !cells.contains_key(&circuit) {
            forget(cells, self.settings.window, now);
        }
        cells.entry(circuit).or_insert_with(|| Cell {
            state: State::Closed,
            generation: 0,
            window: Window::default(),
        })
    }

    fn report(
        &self,
        circuit: Circuit,
        generation: u64,
        health: Health,
        now: Duration,
        jitter: f64,
    ) {
        let mut cells = self.lock();
        if health == Health::Unknown && !cells.contains_key(&circuit) {
            return;
        }
        let cell = self.cell(&mut cells, circuit, now);
        if cell.generation != generation {
            return;
        }
        match (&mut cell.state, health) {
            (State::HalfOpen { under_way, .. }, Health::Unknown) => {
                *under_way = under_way.saturating_sub(1);
            }
            (State::Open { .. }, _) | (_, Health::Unknown) => {}
            (State::Closed, Health::Good) => {
                cell.window.add(self.settings.window, now).0 += 1;
            }
            (State::Closed, Health::Bad) => {
                cell.window.add(self.settings.window, now).1 += 1;
                let (good, bad) = cell.window.sum(self.settings.window, now);
                let all = good + bad;
                if all >= u64::from(self.settings.min_calls)
                    && bad * 100 >= u64::from(self.settings.failure_percent) * all
                {
                    cell.open(&self.settings, now, jitter);
                }
            }
            (
                State::HalfOpen {
                    under_way,
                    succeeded,
                },
                Health::Good,
            ) => {
                *under_way = under_way.saturating_sub(1);
                *succeeded += 1;
                if *succeeded >= self.settings.half_open {
                    cell.state = State::Closed;
                    cell.generation += 1;
                    cell.window = Window::default();
                }
            }
            (State::HalfOpen { .. }, Health::Bad) => cell.open(&self.settings, now, jitter),
        }
    }
}

impl Cell {
    fn open(&mut self, settings: &BreakerSettings, now: Duration, jitter: f64) {
        // 0.9 to 1.1 of it; a tenth fits whatever the length.
        let tenth = settings.open / 10;
        let longer = (tenth * 2).mul_f64(jitter.clamp(0.0, 1.0));
        let open = settings.open.saturating_sub(tenth).saturating_add(longer);
        self.state = State::Open {
            until: now.saturating_add(open),
        };
        self.generation += 1;
        self.window = Window::default();
    }
}

/// Permission for one try. Dropped without a report it counts for nothing.
#[derive(Debug)]
#[must_use = "a pass that is dropped says nothing of its try"]
pub struct Pass<'a> {
    breaker: Option<&'a Breaker>,
    circuit: Circuit,
    generation: u64,
}

impl Pass<'_> {
    /// Says how the try ended. `jitter` in [0, 1) spreads how long a circuit stays open.
    pub fn report(mut self, health: Health, now: Duration, jitter: impl FnOnce() -> f64) {
        if let Some(breaker) = self.breaker.take() {
            let jitter = if health == Health::Bad { jitter() } else { 0.5 };
            breaker.report(self.circuit, self.generation, health, now, jitter);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            // Unknown reads neither the time nor the jitter.
            breaker.report(
                self.circuit,
                self.generation,
                Health::Unknown,
                Duration::ZERO,
                0.5,
            );
        }
    }
}

/// Good and bad results by the tenth of the window they came in.
#[derive(Debug, Default)]
struct Window {
    slots: [(u32, u32); SLOTS],
    /// The number since the clock's start of the newest slot.
    newest: u64,
}

impl Window {
    /// Moves on to the slot of `now`, emptying those in between, and gives it.
    fn add(&mut self, length: Duration, now: Duration) -> &mut (u32, u32) {
        let number = Self::number(length, now);
        let passed = number.saturating_sub(self.newest);
        for step in 1..=passed.min(SLOTS as u64) {
            self.slots[Self::index(self.newest + step)] = (0, 0);
        }
        self.newest = self.newest.max(number);
        &mut self.slots[Self::index(self.newest)]
    }

    /// The results of the window that ends now.
    fn sum(&self, length: Duration, now: Duration) -> (u64, u64) {
        let passed = Self::number(length, now).saturating_sub(self.newest);
        let kept = (SLOTS as u64).saturating_sub(passed);
        (0..kept)
            .filter_map(|back| self.newest.checked_sub(back))
            .map(|number| self.slots[Self::index(number)])
            .fold((0, 0), |(good, bad), slot| {
                (good + u64::from(slot.0), bad + u64::from(slot.1))
            })
    }

    fn number(length: Duration, now: Duration) -> u64 {
        let slot = (length.as_nanos() / SLOTS as u128).max(1);
        u64::try_from(now.as_nanos() / slot).unwrap_or(u64::MAX)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn index(number: u64) -> usize {
        (number % SLOTS as u64) as usize
    }
}

/// Forgets one of a few circuits: the closed one with the fewest failures, for which starting anew changes least.
fn forget(cells: &mut HashMap<Circuit, Cell>, window: Duration, now: Duration) {
    let least = cells
        .iter()
        .take(16)
        .min_by_key(|(_, cell)| {
            let is_closed = matches!(cell.state, State::Closed);
            (!is_closed, cell.window.sum(window, now).1)
        })
        .map(|(circuit, _)| *circuit);
    if let Some(circuit) = least {
        cells.remove(&circuit);
    }
}
