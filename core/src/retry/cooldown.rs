//! Rate limits that one call was told of and every call of the same account and model keeps to.
//!
//! An upstream that answers 429 with a time is not broken, so that its circuit stays closed (`behaviour.md` §2.7); but
//! asking it before that time is a call thrown away. What is held is bounded, and gone when its time is over.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most rate limits held; one more makes room by forgetting the one that ends first.
const MOST: usize = 10_000;

/// Whom a rate limit is for: the keyed digest of an endpoint's origin, a credential and a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Account(u64);

/// The rate limits a client has been told of.
#[derive(Debug, Default)]
pub struct Cooldowns {
    hasher: RandomState,
    ends: Mutex<HashMap<Account, Duration>>,
}

impl Cooldowns {
    /// The account of this credential (its fingerprint) for this model.
    #[must_use]
    pub fn account(&self, origin: &str, credential: &[u8; 32], model: &str) -> Account {
        Account(self.hasher.hash_one((origin, credential, model)))
    }

    /// How long from now on the account is to be left alone; zero where nobody said so.
    #[must_use]
    pub fn left(&self, account: Account, now: Duration) -> Duration {
        let ends = self.lock();
        if ends.is_empty() {
            return Duration::ZERO;
        }
        ends.get(&account)
            .map_or(Duration::ZERO, |end| end.saturating_sub(now))
    }

    /// The upstream asks to be left alone for so long from now on. A shorter time than one known changes nothing.
    pub fn start(&self, account: Account, now: Duration, time: Duration) {
        let until = now.saturating_add(time);
        let mut ends = self.lock();
        if ends.len() >= MOST && !ends.contains_key(&account) {
            ends.retain(|_, end| *end > now);
        }
        if ends.len() >= MOST
            && !ends.contains_key(&account)
            && let Some(first) = ends.iter().min_by_key(|(_, end)| **end).map(|(a, _)| *a)
        {
            ends.remove(&first);
        }
        let end = ends.entry(account).or_default();
        *end = until.max(*end);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Account, Duration>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_latest_end_told_counts_until_it_is_over() {
        let cooldowns = Cooldowns::default();
        let account = cooldowns.account("o", &[1; 32], "m");
        cooldowns.start(account, s(1), s(8));
        cooldowns.start(account, s(2), s(3));
        assert_eq!(cooldowns.left(account, s(2)), s(7));
        assert_eq!(cooldowns.left(account, s(9)), s(0));
        let other = cooldowns.account("o", &[2; 32], "m");
        assert_eq!(cooldowns.left(other, s(2)), s(0), "another credential");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let cooldowns = Cooldowns::default();
        for i in 0..2 * MOST as u64 {
            let account = cooldowns.account("o", &[1; 32], &i.to_string());
            cooldowns.start(account, s(0), s(1000 + i));
        }
        assert_eq!(cooldowns.lock().len(), MOST);
        let account = cooldowns.account("o", &[1; 32], "m");
        cooldowns.start(account, s(0), Duration::MAX);
        assert_eq!(cooldowns.left(account, s(0)), Duration::MAX);
    }
}
