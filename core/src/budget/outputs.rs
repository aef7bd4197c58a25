//! How long a model's answers were seen to be: what a calibrated budget holds for a call that names no `max_tokens`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// Answers remembered of a model.
const REMEMBERED: usize = 100;
/// Fewest answers that say anything.
const ENOUGH: usize = 20;
/// Most models.
const MOST_MODELS: usize = 4096;

/// The lengths of the last answers, by model.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    hasher: RandomState,
    models: Mutex<HashMap<u64, Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    tokens: Vec<u64>,
    next: usize,
}

impl Outputs {
    /// Remembers an answer's length in tokens.
    pub(crate) fn saw(&self, model: &str, tokens: u64) {
        let key = self.hasher.hash_one(model);
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.len() >= MOST_MODELS && !models.contains_key(&key) {
            return;
        }
        let ring = models.entry(key).or_default();
        if let Some(place) = ring.tokens.get_mut(ring.next) {
            *place = tokens;
        } else {
            ring.tokens.push(tokens);
        }
        ring.next = (ring.next + 1) % REMEMBERED;
    }

    /// A length few answers will pass: a quarter above the longest of the last hundred, once there are twenty.
    pub(crate) fn high(&self, model: &str) -> Option<u64> {
        let key = self.hasher.hash_one(model);
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = models
            .get(&key)
            .filter(|ring| ring.tokens.len() >= ENOUGH)?;
        let longest = ring.tokens.iter().copied().max()?;
        Some(longest.saturating_add(longest / 4))
    }
}

#[cfg(all(test, not(ossai_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_known_after_twenty_answers_and_forgets_those_beyond_a_hundred() {
        let outputs = Outputs::default();
        for _ in 0..19 {
            outputs.saw("a/b", 400);
        }
        assert_eq!(outputs.high("a/b"), None);
        outputs.saw("a/b", 800);
        assert_eq!(outputs.high("a/b"), Some(1000));
        for _ in 0..100 {
            outputs.saw("a/b", 40);
        }
        assert_eq!(outputs.high("a/b"), Some(50));
        assert_eq!(outputs.high("a/c"), None);
    }
}
