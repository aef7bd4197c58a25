//! One limit as its vendor describes it: an amount that is left and fills up again.

use std::time::Duration;

/// What an answer says of one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// The most there can be, where it is said.
    pub(crate) limit: Option<u64>,
    /// What is left.
    pub(crate) remaining: u64,
    /// How long until all of it is there again.
    pub(crate) reset: Duration,
}

/// A longer time than any wait.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// An amount that fills up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    level: f64,
    /// Amount and speed of filling per second where the limit is known; otherwise all comes at once at `full_at`.
    fills: Option<(f64, f64)>,
    at: Duration,
    full_at: Duration,
}

impl Bucket {
    /// The bucket an answer describes, of which `taken` has been used since that answer's request was sent.
    pub(crate) fn new(window: &Window, taken: f64, now: Duration) -> Self {
        let remaining = window.remaining as f64;
        let fills = window.limit.filter(|limit| *limit > 0).map(|limit| {
            let capacity = (limit as f64).max(remaining);
            let missing = capacity - remaining;
            let seconds = window.reset.as_secs_f64();
            // A full bucket does not say how fast it fills: limits are per minute unless they show otherwise.
            let speed = if missing > 0.0 && seconds > 0.0 {
                missing / seconds
            } else {
                capacity / 60.0
            };
            (capacity, speed)
        });
        Self {
            // What was let in since may be counted already; more than a whole bucket behind it cannot be.
            level: (remaining - taken).max(-fills.map_or(remaining, |(capacity, _)| capacity)),
            fills,
            at: now,
            full_at: now.saturating_add(window.reset),
        }
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        match self.fills {
            Some((capacity, speed)) => self.level = (self.level + passed * speed).min(capacity),
            None if now >= self.full_at => self.level = f64::INFINITY,
            None => {}
        }
    }

    /// How long from now until `amount` is there; more than fits is there when the bucket is full.
    pub(crate) fn wait(&mut self, amount: f64, queued: f64, now: Duration) -> Duration {
        self.refill(now);
        let amount = self
            .fills
            .map_or(amount, |(capacity, _)| amount.min(capacity));
        let lacking = amount + queued - self.level;
        // Half a millionth of a request is the rounding of the sum, not a shortage.
        if lacking <= 1e-6 {
            return Duration::ZERO;
        }
        match self.fills {
            Some((_, speed)) if speed > 0.0 => {
                Duration::try_from_secs_f64(lacking / speed).map_or(NEVER, |wait| wait.min(NEVER))
            }
            Some(_) => NEVER,
            None => self.full_at.saturating_sub(now),
        }
    }

    pub(crate) fn take(&mut self, amount: f64) {
        let amount = self
            .fills
            .map_or(amount, |(capacity, _)| amount.min(capacity));
        self.level -= amount;
    }
}
