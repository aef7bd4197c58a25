//! Answers kept for questions that mean the same, in this process or in a PostgreSQL that many share.
//!
//! What is kept is found by the nearness of vectors among the calls that are equal in everything but their last text, and
//! given only where no gate keeps the two questions apart. How often that was wrong is measured while it works.

pub(crate) mod config;
mod gates;
mod index;
mod meter;
mod place;
#[cfg(feature = "postgres")]
mod postgres;

pub(crate) use gates::keeps_apart;
pub(crate) use index::{Index, Item};
pub(crate) use meter::Meter;
pub(crate) use place::{Fresh, Place, Wanted};

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::client::config::Config;
use crate::error::Result;
use config::{SemanticCache, SemanticMode};

/// The semantic cache of a client.
#[derive(Debug)]
pub(crate) struct Semantic {
    pub(crate) config: SemanticCache,
    pub(crate) place: Place,
    pub(crate) meter: Meter,
    /// Answers being compared by their vectors; what is over is not compared.
    pub(crate) comparing: Arc<Semaphore>,
}

/// Comparisons of answers under way at once.
const COMPARING: usize = 32;

impl Semantic {
    /// The one a configuration asks for. Over an orchestrator it is the orchestrator's.
    ///
    /// # Errors
    /// `invalid_request` naming the field of a database that cannot be used.
    pub(crate) fn of(config: &Config) -> Result<Option<Box<Self>>> {
        if !config.cache.enabled || config.endpoint.is_some() {
            return Ok(None);
        }
        let Some(semantic) = config.cache.semantic.clone() else {
            return Ok(None);
        };
        Ok(Some(Box::new(Self {
            place: Place::of(&semantic, config)?,
            meter: Meter::new(&semantic.watch, semantic.mode == SemanticMode::Serve),
            comparing: Arc::new(Semaphore::new(COMPARING)),
            config: semantic,
        })))
    }

    /// What it has done so far.
    pub(crate) fn stats(&self) -> crate::observe::SemanticStats {
        let (entries, bytes) = self.place.size();
        self.meter.stats(entries, bytes)
    }
}

/// A vector of length 1 in the same direction; `None` where there is none, or a number of it is none.
pub(crate) fn normalised(vector: &[f32]) -> Option<Box<[f32]>> {
    let length = vector
        .iter()
        .map(|x| f64::from(*x) * f64::from(*x))
        .sum::<f64>()
        .sqrt();
    if !length.is_finite() || length <= 0.0 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation)] // back to what it was
    let scaled = vector.iter().map(|x| (f64::from(*x) / length) as f32);
    Some(scaled.collect())
}

/// The cosine of two vectors of length 1; `None` where they are of different spaces.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    if a.len() != b.len() {
        return None;
    }
    // Eight sums at once, which compilers turn into vector instructions.
    let mut sums = [0.0_f32; 8];
    let (heads_a, tail_a) = a.as_chunks::<8>();
    let (heads_b, tail_b) = b.as_chunks::<8>();
    for (a, b) in heads_a.iter().zip(heads_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let tail: f32 = tail_a.iter().zip(tail_b).map(|(a, b)| a * b).sum();
    Some((sums.iter().sum::<f32>() + tail).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_compared_by_their_direction_alone() {
        let unit = |vector: &[f32]| normalised(vector).unwrap();
        let long: Vec<f32> = (0..19).map(|i| i as f32 - 7.5).collect();
        let doubled: Vec<f32> = long.iter().map(|x| x * 2.0).collect();
        assert!((cosine(&unit(&long), &unit(&doubled)).unwrap() - 1.0).abs() < 1e-6);
        let other: Vec<f32> = long.iter().map(|x| -x).collect();
        assert!((cosine(&unit(&long), &unit(&other)).unwrap() + 1.0).abs() < 1e-6);
        assert_eq!(cosine(&unit(&[1.0, 0.0]), &unit(&[0.0, 3.0])), Some(0.0));
        assert_eq!(cosine(&unit(&[1.0, 0.0]), &unit(&[1.0])), None);
    }

    #[test]
    fn a_vector_without_a_direction_is_none() {
        for vector in [&[][..], &[0.0, 0.0], &[f32::NAN], &[1.0, f32::INFINITY]] {
            assert!(normalised(vector).is_none(), "{vector:?}");
        }
        assert!(normalised(&[f32::MAX, f32::MAX]).is_some());
        assert!(normalised(&[f32::MIN_POSITIVE]).is_some());
    }
}
