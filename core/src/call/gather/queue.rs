//! When those who wait go: the one decision of gathering, as a state and its steps, without time, tasks or requests.
//!
//! One request under way is what makes others wait, so somebody always comes back for them; besides, each of them has a
//! wait of its own, after which all go. What waits is never more than one request holds.

use std::collections::BTreeMap;
use std::time::Duration;

/// How much earlier than it came a call of one step of priority counts as having come, as in the queue before limits.
const PRIORITY_STEP_MICROS: i64 = 10_000_000;

/// A place among those who wait: arrival moved by priority, then arrival.
pub(super) type Rank = (i64, u64);

/// What a call puts into a request, and what a request can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) inputs: usize,
    pub(crate) tokens: usize,
}

impl Load {
    fn plus(self, other: Self) -> Self {
        Self {
            inputs: self.inputs.saturating_add(other.inputs),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            inputs: self.inputs.saturating_sub(other.inputs),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }

    fn fits(self, limit: Self) -> bool {
        self.inputs <= limit.inputs && self.tokens <= limit.tokens
    }

    /// Whether nothing more goes in.
    pub(super) fn fills(self, limit: Self) -> bool {
        self.inputs >= limit.inputs || self.tokens >= limit.tokens
    }
}

/// Who comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comer {
    pub(super) load: Load,
    /// -10 to 10.
    pub(super) priority: i32,
    pub(super) now: Duration,
    /// How long the caller can wait at all.
    pub(super) left: Duration,
}

/// What becomes of a call that comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nothing is under way: it goes at once, and others may wait for it.
    Goes,
    /// It goes by itself, and nobody waits for it.
    Apart,
    /// It waits, at most so long.
    Waits(Rank, Duration),
}

/// Those who wait for one place, and how many requests are under way to it.
#[derive(Debug)]
pub(super) struct Queue<P> {
    limit: Load,
    max_wait: Duration,
    under_way: usize,
    waiting: BTreeMap<Rank, (Load, P)>,
    load: Load,
    arrivals: u64,
    /// What requests took lately.
    took: Option<Duration>,
    /// Until then everybody goes apart: the server does not take several inputs.
    apart_until: Duration,
}

impl<P> Queue<P> {
    pub(super) fn new(limit: Load, max_wait: Duration) -> Self {
        Self {
            limit,
            max_wait,
            under_way: 0,
            waiting: BTreeMap::new(),
            load: Load::default(),
            arrivals: 0,
            took: None,
            apart_until: Duration::ZERO,
        }
    }

    /// Nothing is under way and nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0 && self.waiting.is_empty()
    }

    pub(super) fn is_waiting(&self, rank: Rank) -> bool {
        self.waiting.contains_key(&rank)
    }

    /// Somebody comes: what becomes of it, and who goes because of it. Each who go count as under way until
    /// [`returned`](Self::returned).
    pub(super) fn arrive(
        &mut self,
        comer: Comer,
        passenger: impl FnOnce() -> P,
    ) -> (Arrival, Vec<Vec<P>>) {
        if comer.now < self.apart_until || comer.load.fills(self.limit) {
            return (Arrival::Apart, Vec::new());
        }
        if self.is_idle() {
            self.under_way = 1;
            return (Arrival::Goes, Vec::new());
        }
        self.arrivals += 1;
        let micros = i64::try_from(comer.now.as_micros()).unwrap_or(i64::MAX);
        let rank = (
            micros.saturating_sub(i64::from(comer.priority) * PRIORITY_STEP_MICROS),
            self.arrivals,
        );
        self.waiting.insert(rank, (comer.load, passenger()));
        self.load = self.load.plus(comer.load);
        let window = self.window();
        let going = if comer.left <= window.saturating_mul(2) {
            // It has no time for it.
            self.depart()
        } else {
            let mut going = Vec::new();
            while self.load.fills(self.limit) {
                going.extend(self.fill());
            }
            going
        };
        (Arrival::Waits(rank, window), going)
    }

    /// How long somebody who comes now waits: waiting longer than a request takes cannot pay, and half of it says most.
    fn window(&self) -> Duration {
        self.took
            .map_or(self.max_wait, |took| self.max_wait.min(took / 2))
    }

    /// One who waits has left; nobody where it went already.
    pub(super) fn leave(&mut self, rank: Rank) -> Option<P> {
        let (load, passenger) = self.waiting.remove(&rank)?;
        self.load = self.load.minus(load);
        Some(passenger)
    }

    /// All who wait go now.
    pub(super) fn depart(&mut self) -> Vec<Vec<P>> {
        let mut going = Vec::new();
        while !self.waiting.is_empty() {
            going.extend(self.fill());
        }
        going
    }

    /// The first of them, as many as one request holds.
    fn fill(&mut self) -> Option<Vec<P>> {
        let mut load = Load::default();
        let mut going = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            let more = load.plus(first.get().0);
            if !going.is_empty() && !more.fits(self.limit) {
                break;
            }
            load = more;
            going.push(first.remove().1);
        }
        self.load = self.load.minus(load);
        if going.is_empty() {
            return None;
        }
        self.under_way += 1;
        Some(going)
    }

    /// A request has come back after so long: all who waited for it go.
    pub(super) fn returned(&mut self, took: Duration) -> Vec<Vec<P>> {
        self.under_way = self.under_way.saturating_sub(1);
        self.took = Some(self.took.map_or(took, |before| (before * 3 + took) / 4));
        self.depart()
    }

    /// The server does not take several inputs: until then everybody goes apart.
    pub(super) fn part(&mut self, until: Duration) {
        self.apart_until = until;
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
