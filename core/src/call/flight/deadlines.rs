//! The latest deadline of those who wait.

use std::collections::BTreeMap;
use std::time::Duration;

/// A multiset of deadlines that knows its latest; `None` is unbounded and so the latest of all.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    unbounded: usize,
    bounded: BTreeMap<Duration, usize>,
}

impl Deadlines {
    pub(super) fn add(&mut self, deadline: Option<Duration>) {
        match deadline {
            None => self.unbounded += 1,
            Some(at) => *self.bounded.entry(at).or_insert(0) += 1,
        }
    }

    pub(super) fn remove(&mut self, deadline: Option<Duration>) {
        match deadline {
            None => self.unbounded = self.unbounded.saturating_sub(1),
            Some(at) => match self.bounded.get_mut(&at) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.bounded.remove(&at);
                }
            },
        }
    }

    /// The latest; `None` where somebody waits without a bound, or nobody waits.
    pub(super) fn latest(&self) -> Option<Duration> {
        if self.unbounded > 0 {
            return None;
        }
        self.bounded.last_key_value().map(|(at, _)| *at)
    }
}
