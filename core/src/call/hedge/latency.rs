//! How long answers take, for copies that go out when one takes longer than nineteen in twenty.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Answers remembered of each model.
const KEPT: usize = 100;
/// Fewest from which a percentile is told.
const ENOUGH: usize = 20;
/// Most models remembered; above it all are forgotten, and measured anew.
const MOST: usize = 1_024;

/// Times of answers by origin, model and kind of call. Empty, and never asked, where nothing is hedged.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    hasher: RandomState,
    lanes: Mutex<HashMap<u64, Recent>>,
}

/// The last times of one lane.
#[derive(Debug, Default)]
struct Recent {
    times: Vec<Duration>,
    next: usize,
}

impl Latencies {
    /// The lane of a model's calls.
    pub(super) fn lane(&self, origin: &str, model: &str, streamed: bool) -> u64 {
        self.hasher.hash_one((origin, model, streamed))
    }

    pub(super) fn record(&self, lane: u64, time: Duration) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= MOST && !lanes.contains_key(&lane) {
            lanes.clear();
        }
        let recent = lanes.entry(lane).or_default();
        match recent.times.get_mut(recent.next) {
            Some(place) => *place = time,
            None => recent.times.push(time),
        }
        recent.next = (recent.next + 1) % KEPT;
    }

    /// The 95th percentile by the nearest rank, once there are enough times to tell.
    pub(super) fn p95(&self, lane: u64) -> Option<Duration> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times = lanes.get(&lane)?.times.clone();
        drop(lanes);
        if times.len() < ENOUGH {
            return None;
        }
        let rank = (times.len() * 95).div_ceil(100) - 1;
        let (_, time, _) = times.select_nth_unstable(rank);
        Some(*time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_percentile_is_told_from_twenty_answers_on_and_of_the_last_hundred() {
        let latencies = Latencies::default();
        let lane = latencies.lane("https://a", "m", false);
        for n in 1..=19 {
            latencies.record(lane, ms(n));
        }
        assert_eq!(latencies.p95(lane), None);
        latencies.record(lane, ms(20));
        assert_eq!(latencies.p95(lane), Some(ms(19)));
        for n in 1..=100 {
            latencies.record(lane, ms(n * 1000));
        }
        assert_eq!(latencies.p95(lane), Some(ms(95_000)));
    }

    #[test]
    fn lanes_are_apart_and_bounded() {
        let latencies = Latencies::default();
        let lane = |streamed| latencies.lane("https://a", "m", streamed);
        assert_ne!(lane(true), lane(false));
        for n in 0..3 * MOST as u64 {
            latencies.record(n, ms(1));
        }
        assert!(latencies.lanes.lock().unwrap().len() <= MOST);
    }
}
