//! What the semantic cache has done, and how often that was wrong.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::config::Watch;
use crate::observe::SemanticStats;

/// Counts and checks of a client's semantic cache.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) lookups: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unverified: AtomicU64,
    pub(crate) failures: AtomicU64,
    window: Mutex<Window>,
    off: AtomicBool,
    max_false_percent: f64,
    length: usize,
    min_checks: usize,
    /// Whether it may turn the cache off: where nothing is given there is nothing to turn off.
    serves: bool,
}

#[derive(Debug, Default)]
struct Window {
    /// Of the last checks, whether each found a false hit.
    checks: VecDeque<bool>,
    wrong: usize,
}

impl Meter {
    pub(crate) fn new(watch: &Watch, serves: bool) -> Self {
        Self {
            lookups: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unverified: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            window: Mutex::default(),
            off: AtomicBool::new(false),
            max_false_percent: watch.max_false_percent,
            length: usize::try_from(watch.window).unwrap_or(usize::MAX),
            min_checks: usize::try_from(watch.min_checks).unwrap_or(usize::MAX),
            serves,
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off.load(Relaxed)
    }

    /// Notes a check. Tells whether it was the one that turned the cache off.
    #[allow(clippy::cast_precision_loss)] // at most 100,000
    pub(crate) fn checked(&self, wrong: bool) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.checks.push_back(wrong);
        window.wrong += usize::from(wrong);
        if window.checks.len() > self.length {
            let oldest = window.checks.pop_front().unwrap_or_default();
            window.wrong -= usize::from(oldest);
        }
        let (checks, wrong) = (window.checks.len(), window.wrong);
        let over = wrong as f64 * 100.0 > self.max_false_percent * checks as f64;
        self.serves && checks >= self.min_checks && over && !self.off.swap(true, Relaxed)
    }

    pub(crate) fn stats(&self, entries: u64, bytes: u64) -> SemanticStats {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        SemanticStats {
            lookups: self.lookups.load(Relaxed),
            hits: self.hits.load(Relaxed),
            refused: self.refused.load(Relaxed),
            unverified: self.unverified.load(Relaxed),
            failures: self.failures.load(Relaxed),
            checked: count(window.checks.len()),
            false_hits: count(window.wrong),
            entries,
            bytes,
            off: self.is_off(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch {
            max_false_percent: 10.0,
            window: 50,
            min_checks: 10,
            ..Watch::default()
        }
    }

    #[test]
    fn it_turns_itself_off_once_above_the_share_and_not_before_the_fewest_checks() {
        let meter = Meter::new(&watch(), true);
        for _ in 0..9 {
            assert!(!meter.checked(true) && !meter.is_off());
        }
        assert!(meter.checked(true) && meter.is_off());
        assert!(!meter.checked(true), "it is told once");
        for _ in 0..100 {
            meter.checked(false);
        }
        assert!(meter.is_off(), "and stays off");
    }

    #[test]
    fn a_share_at_the_limit_is_allowed_and_old_checks_do_not_count() {
        let meter = Meter::new(&watch(), true);
        for _ in 0..10 {
            for n in 0..20 {
                assert!(!meter.checked(n == 19 || n == 9));
            }
        }
        let stats = meter.stats(0, 0);
        assert_eq!((stats.checked, stats.false_hits), (50, 5));
    }

    #[test]
    fn where_nothing_is_given_nothing_is_turned_off() {
        let meter = Meter::new(&watch(), false);
        for _ in 0..100 {
            assert!(!meter.checked(true));
        }
        assert!(!meter.is_off());
        assert_eq!(meter.stats(0, 0).false_hits, 50);
    }
}
