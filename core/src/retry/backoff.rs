//! How long to wait before the next attempt, where no one said.
//!
//! Full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015): a random part of a bound
//! that doubles, so that callers that failed together do not come back together.

use std::time::Duration;

use super::Random;

/// The bounds of the wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// First bound after a passing fault: 500 ms.
    pub transient_base: Duration,
    /// First bound after being told to slow down: 1 s.
    pub throttle_base: Duration,
    /// The bound stops growing here: 20 s.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            transient_base: Duration::from_millis(500),
            throttle_base: Duration::from_secs(1),
            cap: Duration::from_secs(20),
        }
    }
}

impl Backoff {
    /// `random * min(cap, base * 2^retries)`: the wait before retry number `retries`, counted from 0.
    #[must_use]
    pub fn delay(&self, retries: u32, throttle: bool, random: &dyn Random) -> Duration {
        let base = if throttle {
            self.throttle_base
        } else {
            self.transient_base
        };
        let factor = 2_u32.checked_pow(retries).unwrap_or(u32::MAX);
        part(base.saturating_mul(factor).min(self.cap), random)
    }

    /// A wait of `hint` or up to a tenth more, so that those who got the same hint spread; always below `left`, if the
    /// hint itself is.
    #[must_use]
    pub fn hinted(hint: Duration, left: Duration, random: &dyn Random) -> Duration {
        hint.saturating_add(part((hint / 10).min(left.saturating_sub(hint)), random))
    }
}

/// A random part of `whole`, below it unless it is zero.
fn part(whole: Duration, random: &dyn Random) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    // In integers, for a product of doubles may round up to the whole.
    let ratio = (random.next_f64().clamp(0.0, 1.0) * (1_u64 << 53) as f64) as u64;
    let part = (u128::from(nanos) * u128::from(ratio)) >> 53;
    Duration::from_nanos(u64::try_from(part).unwrap_or(nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::retry::SeededRandom;

    struct Fixed(f64);

    impl Random for Fixed {
        fn next_f64(&self) -> f64 {
            self.0
        }
    }

    const ALMOST_1: Fixed = Fixed(1.0 - f64::EPSILON / 2.0);

    #[test]
    fn the_bound_doubles_from_the_base_up_to_the_cap() {
        let backoff = Backoff::default();
        let half = |retries, throttle| backoff.delay(retries, throttle, &Fixed(0.5)).as_millis();
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7].map(|n| half(n, false)),
            [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]
        );
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6].map(|n| half(n, true)),
            [500, 1000, 2000, 4000, 8000, 10_000, 10_000]
        );
    }

    #[test]
    fn the_exponent_saturates() {
        for retries in [31, 32, 33, 63, 64, 1000, u32::MAX] {
            assert_eq!(
                Backoff::default().delay(retries, false, &Fixed(0.5)),
                Duration::from_secs(10)
            );
        }
        let huge = Backoff {
            transient_base: Duration::MAX,
            cap: Duration::MAX,
            ..Backoff::default()
        };
        assert!(huge.delay(u32::MAX, false, &ALMOST_1) <= Duration::MAX);
    }

    #[test]
    fn the_wait_is_any_part_of_the_bound_but_not_the_whole() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(0, false, &Fixed(0.0)), Duration::ZERO);
        let most = backoff.delay(0, false, &ALMOST_1);
        assert!(most < Duration::from_millis(500) && most > Duration::from_micros(499_999));
    }

    proptest! {
        #[test]
        fn a_computed_wait_is_below_its_bound(retries: u32, throttle: bool, seed: u64) {
            let backoff = Backoff::default();
            let base = if throttle { 1000_u64 } else { 500 };
            let bound = base.saturating_mul(1 << retries.min(20)).min(20_000);
            prop_assert!(backoff.delay(retries, throttle, &SeededRandom::new(seed)) < Duration::from_millis(bound));
        }

        #[test]
        fn a_hinted_wait_is_never_shorter_nor_a_tenth_longer(nanos in 1_u64.., left: u64, seed: u64) {
            let (hint, left) = (Duration::from_nanos(nanos), Duration::from_nanos(left));
            let delay = Backoff::hinted(hint, left, &SeededRandom::new(seed));
            prop_assert!(delay >= hint && delay <= hint + hint / 10);
            prop_assert!(hint >= left || delay < left);
        }
    }
}
