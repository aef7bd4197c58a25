//! Where jitter comes from: given to what needs it, so that a test can repeat a run.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// A source of random numbers, shared between threads. Not for secrets.
pub trait Random: Send + Sync {
    /// A number from 0 up to and without 1, evenly spread.
    fn next_f64(&self) -> f64;

    /// 64 random bits.
    fn next_u64(&self) -> u64 {
        // Two draws: a double holds 53 bits.
        let half = || (self.next_f64() * 4_294_967_296.0) as u64;
        half() << 32 | half()
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014) on an atomic counter: no lock, and threads never draw the same number.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// Repeats the same numbers for the same seed, as long as one thread draws.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Seeded by the operating system, and by process and time: forked children inherit what the standard library drew
    /// for their parent, and would otherwise all retry at the same moments.
    #[must_use]
    pub fn from_os() -> Self {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        hasher.write_u128(now.as_nanos());
        Self::new(hasher.finish())
    }
}

impl Random for SeededRandom {
    fn next_f64(&self) -> f64 {
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self
            .0
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // The upper 53 bits: as many as a double holds exactly.
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers() {
        let (a, b) = (SeededRandom::new(7), SeededRandom::new(7));
        for _ in 0..100 {
            assert_eq!(a.next_f64().to_bits(), b.next_f64().to_bits());
        }
    }

    #[test]
    fn seed_0_gives_the_published_sequence() {
        // SplitMix64's first outputs for seed 0.
        let random = SeededRandom::new(0);
        for expected in [
            0xE220_A839_7B1D_CDAF_u64,
            0x6E78_9E6A_A1B9_65F4,
            0x06C4_5D18_8009_454F,
        ] {
            let expected = (expected >> 11) as f64 / (1_u64 << 53) as f64;
            assert_eq!(random.next_f64().to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn numbers_are_evenly_spread_from_0_up_to_and_without_1() {
        let random = SeededRandom::from_os();
        let mut tenths = [0_u32; 10];
        for _ in 0..100_000 {
            let value = random.next_f64();
            assert!((0.0..1.0).contains(&value));
            tenths[(value * 10.0) as usize] += 1;
        }
        // Ten standard deviations (95 each) around the mean.
        assert!(
            tenths.iter().all(|count| (9_050..10_950).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn two_sources_of_the_system_differ() {
        let (a, b) = (SeededRandom::from_os(), SeededRandom::from_os());
        assert_ne!(a.next_f64().to_bits(), b.next_f64().to_bits());
    }

    #[test]
    fn threads_never_draw_the_same_number() {
        let random = SeededRandom::new(1);
        let mut all: Vec<u64> = std::thread::scope(|scope| {
            let draw = || {
                (0..1000)
                    .map(|_| random.next_f64().to_bits())
                    .collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("draws"))
                .collect()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4000);
    }
}
