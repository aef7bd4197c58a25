//! Money as integers, because summed floats drift and a drifted budget lies.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// An amount of money in nanodollars (1 USD = 1,000,000,000).
///
/// Addition saturates: an amount that no longer fits stays the largest one instead of wrapping to a small one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Rounds picodollars up to the next nanodollar, the one rounding a call's cost goes through.
    #[must_use]
    pub fn from_pico_ceil(pico: u128) -> Self {
        Self(u64::try_from(pico.div_ceil(1000)).unwrap_or(u64::MAX))
    }

    /// The amount in dollars, for display only: sums are made of the integers.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// What is left of `self` after `other`, never below zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for NanoUsd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

/// Dollars with at least two and at most nine decimals: `$0.00`, `$1.50`, `$0.000012`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % 1_000_000_000);
        let kept = decimals.trim_end_matches('0').len().max(2);
        write!(f, "${}.{}", self.0 / 1_000_000_000, &decimals[..kept])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picodollars_round_up_once() {
        assert_eq!(NanoUsd::from_pico_ceil(0), NanoUsd(0));
        assert_eq!(NanoUsd::from_pico_ceil(1), NanoUsd(1));
        assert_eq!(NanoUsd::from_pico_ceil(1000), NanoUsd(1));
        assert_eq!(NanoUsd::from_pico_ceil(1001), NanoUsd(2));
        assert_eq!(NanoUsd::from_pico_ceil(u128::MAX), NanoUsd(u64::MAX));
    }

    #[test]
    fn amounts_print_as_dollars() {
        assert_eq!(NanoUsd(0).to_string(), "$0.00");
        assert_eq!(NanoUsd(1_500_000_000).to_string(), "$1.50");
        assert_eq!(NanoUsd(12_000).to_string(), "$0.000012");
        assert_eq!(NanoUsd(u64::MAX).to_string(), "$18446744073.709551615");
    }
}
