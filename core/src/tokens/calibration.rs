//! Learns from returned usage how a model's counts relate to the estimate's starting point.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::estimate::{Estimate, Ratio, family_ratio, scale};

/// Learns, per model, the ratio of tokens billed to the o200k_base count, and narrows estimates with it.
///
/// Starts from the family's ratio as if seen twice; then a weighted mean and variance of the logarithm, in which
/// the last ten or so pairs count, so that a changed tokenizer is followed. All methods take a lock for some
/// nanoseconds; share it between threads. Memory is bounded: [`MAX_MODELS`](Self::MAX_MODELS) models, the one longest
/// without a pair going first; names over 256 bytes are not learnt.
#[derive(Debug, Default)]
pub struct Calibration {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    models: HashMap<String, Learnt>,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Learnt {
    mean: f64,
    variance: f64,
    pairs: u32,
    used: u64,
}

/// How many pairs the family's ratio stands for.
const PRIOR: f64 = 2.0;
/// The least weight of a new pair.
const WEIGHT: f64 = 0.1;
/// Below this many tokens, overhead and rounding say more than the tokenizer.
const LEAST: u64 = 16;

impl Learnt {
    fn prior(ratio: Ratio) -> Self {
        let ln = |permille: u32| (f64::from(permille.max(1)) / 1_000.0).ln();
        // The family's interval as two standard deviations to either side.
        let deviation = (ln(ratio.high) - ln(ratio.low)) / 4.0;
        Self {
            mean: ln(ratio.expected),
            variance: deviation * deviation,
            pairs: 0,
            used: 0,
        }
    }

    fn learn(&mut self, base: u64, actual: u64) {
        // A pair that far off is of another request, not of another tokenizer.
        let x = (actual as f64 / base as f64).ln().clamp(-3.0, 3.0);
        let weight = (1.0 / (PRIOR + f64::from(self.pairs) + 1.0)).max(WEIGHT);
        let off = x - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        self.pairs = self.pairs.saturating_add(1);
    }

    fn ratio(&self) -> Ratio {
        // Two deviations, of the values and of their mean; at least 1 %.
        let seen = (PRIOR + f64::from(self.pairs)).min(1.0 / WEIGHT);
        let spread = 2.0 * (self.variance * (1.0 + 1.0 / seen)).sqrt() + 0.01;
        let permille = |ln: f64| (ln.exp() * 1_000.0).clamp(1.0, 1_000_000.0) as u32;
        Ratio {
            low: permille(self.mean - spread),
            expected: permille(self.mean),
            high: permille(self.mean + spread).saturating_add(1),
        }
    }
}

impl Calibration {
    /// The most models remembered.
    pub const MAX_MODELS: usize = 1_024;

    /// One that has learnt nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns from one request: its o200k_base count ([`base_count`](super::base_count)) and the tokens billed.
    ///
    /// Counts below 16 teach nothing and are ignored.
    pub fn record(&self, model: &str, base: u64, actual: u64) {
        if base < LEAST || actual < LEAST || model.len() > 256 {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let clock = state.clock;
        if !state.models.contains_key(model) {
            if state.models.len() >= Self::MAX_MODELS {
                let oldest = state
                    .models
                    .iter()
                    .min_by_key(|(_, l)| l.used)
                    .map(|(name, _)| name.clone());
                oldest.and_then(|name| state.models.remove(&name));
            }
            state
                .models
                .insert(model.to_owned(), Learnt::prior(family_ratio(model)));
        }
        if let Some(learnt) = state.models.get_mut(model) {
            learnt.learn(base, actual);
            learnt.used = clock;
        }
    }

    /// The estimate for an o200k_base count: by what was learnt of the model, or by its family.
    pub fn estimate(&self, model: &str, base: u64) -> Estimate {
        scale(base, self.ratio(model))
    }

    /// The ratio in force for a model.
    pub fn ratio(&self, model: &str) -> Ratio {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .models
            .get(model)
            .map_or_else(|| family_ratio(model), Learnt::ratio)
    }

    /// How many models are remembered.
    pub fn models(&self) -> usize {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .models
            .len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "anthropic/claude-opus-4-7";

    #[test]
    fn usage_narrows_the_interval_around_what_is_billed() {
        let calibration = Calibration::new();
        let before = calibration.estimate(MODEL, 10_000);
        for i in 0..30 {
            let base = 5_000 + 100 * i;
            calibration.record(MODEL, base, base * 132 / 100 + i % 3);
        }
        let after = calibration.estimate(MODEL, 10_000);
        assert!(
            after.high - after.low < (before.high - before.low) / 4,
            "{before:?} {after:?}"
        );
        assert!(after.low <= 13_200 && 13_200 <= after.high, "{after:?}");
        assert!(after.expected.abs_diff(13_200) < 300 && !after.exact);
    }

    #[test]
    fn a_changed_tokenizer_is_followed() {
        let calibration = Calibration::new();
        for _ in 0..50 {
            calibration.record(MODEL, 1_000, 1_200);
        }
        for _ in 0..50 {
            calibration.record(MODEL, 1_000, 1_600);
        }
        assert!(calibration.estimate(MODEL, 1_000).expected.abs_diff(1_600) < 20);
    }

    #[test]
    fn scattered_usage_keeps_the_interval_wide() {
        let calibration = Calibration::new();
        for i in 0..60 {
            calibration.record(MODEL, 1_000, if i % 2 == 0 { 1_100 } else { 1_700 });
        }
        let e = calibration.estimate(MODEL, 1_000);
        assert!(e.low <= 1_100 && e.high >= 1_700, "{e:?}");
    }

    #[test]
    fn models_do_not_learn_from_each_other_and_their_number_is_bounded() {
        let calibration = Calibration::new();
        calibration.record("first", 1_000, 1_500);
        assert_eq!(calibration.ratio("second"), family_ratio("second"));
        for i in 0..2 * Calibration::MAX_MODELS {
            calibration.record(&format!("model-{i}"), 1_000, 1_500);
        }
        assert_eq!(calibration.models(), Calibration::MAX_MODELS);
        assert_eq!(calibration.ratio("first"), family_ratio("first"));
        calibration.record(&"x".repeat(1_000), 1_000, 1_500);
        assert_eq!(calibration.models(), Calibration::MAX_MODELS);
    }

    #[test]
    fn extreme_pairs_do_no_harm() {
        let calibration = Calibration::new();
        for (base, actual) in [
            (0, 0),
            (0, 9),
            (1, u64::MAX),
            (u64::MAX, 16),
            (16, u64::MAX),
            (u64::MAX, u64::MAX),
        ] {
            calibration.record(MODEL, base, actual);
            for n in [0, 1, 1_000, u64::MAX] {
                let e = calibration.estimate(MODEL, n);
                assert!(e.low <= e.expected && e.expected <= e.high, "{e:?}");
            }
        }
    }

    #[test]
    fn threads_may_share_one() {
        let calibration = Calibration::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| calibration.record(MODEL, 1_000, 1_400)));
            }
        });
        assert!(calibration.estimate(MODEL, 1_000).expected.abs_diff(1_400) < 5);
    }
}
