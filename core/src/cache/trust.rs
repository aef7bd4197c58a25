//! Whether what is in memory may still be given: it was put there before, and other processes invalidate too.
//!
//! Of a client without tiers beneath only its own invalidations count. With them every look asks for the tenant's mark
//! that changes each time; an answer in memory is given while that was asked for within [`WINDOW`]. A mark that is not the
//! one known empties the memory: what still counts comes up again from beneath.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::marks::Token;
use super::memory::{Entry, Memory};
use crate::call::key::Key;

/// How long answers are given out of memory without asking whether another process has invalidated them.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// What a client knows of invalidations.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// One more whenever something in memory may have been invalidated: who began before keeps nothing there.
    epoch: AtomicU64,
    /// One more with every invalidation that is known of: calls after it do not join flights from before.
    era: AtomicU64,
    /// When it was last asked, in milliseconds of the clock and one more; 0 is never.
    asked: AtomicU64,
    known: RwLock<Option<Token>>,
}

fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

impl Trust {
    /// What who begins now must show to keep something in memory.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// Whether it was asked within `window`.
    pub(crate) fn is_recent(&self, now: Duration, window: Duration) -> bool {
        let asked = self.asked.load(Acquire);
        asked > 0 && millis(now) < asked.saturating_add(millis(window))
    }

    /// The key of the flight that a call beginning now may share.
    pub(crate) fn flight_key(&self, key: [u8; 32]) -> [u8; 32] {
        let era = self.era.load(Acquire);
        if era == 0 {
            return key;
        }
        let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 flight by era v1");
        hasher.update(&key);
        hasher.update(&era.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Keeps an answer, unless something was invalidated since `epoch`.
    pub(crate) fn put(&self, memory: &Memory, key: Key, entry: Entry, epoch: u64) {
        self.keep(epoch, || memory.put(key, entry));
    }

    /// The same, kept anywhere in this process.
    pub(crate) fn keep(&self, epoch: u64, put: impl FnOnce()) {
        let _held = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if self.epoch.load(Relaxed) == epoch {
            put();
        }
    }

    /// The tiers, asked at `at` by who began at `epoch`, say that the mark is `any`, or nothing. Gives the epoch to keep
    /// by, and whether the memory has to be emptied, after which [`Trust::asked`] is called.
    pub(crate) fn heard(&self, epoch: u64, any: Option<Token>, at: Duration) -> (u64, bool) {
        let Some(any) = any else {
            // Nobody can be asked: calls go on without.
            self.asked(at);
            return (epoch, false);
        };
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if *known == Some(any) {
                self.asked(at);
                // Whatever made it the known one, this look came after.
                return (self.epoch.load(Relaxed), false);
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // What is heard late may be of before what is known by now.
        if self.epoch.load(Relaxed) != epoch {
            return (epoch, false);
        }
        if known.replace(any).is_some() {
            self.era.fetch_add(1, Release);
        }
        (self.epoch.fetch_add(1, Release).wrapping_add(1), true)
    }

    /// It was asked then.
    pub(crate) fn asked(&self, at: Duration) {
        let at = millis(at).saturating_add(1);
        self.asked.fetch_max(at, Release);
    }

    /// This client has invalidated something; the mark is `any` by now, where there is one and it is known. From here on nothing that
    /// began before is kept in memory, and what is there has to be dropped.
    pub(crate) fn invalidated(&self, any: Option<Token>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = any;
        self.era.fetch_add(1, Release);
        self.epoch.fetch_add(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::memory::Value;
    use crate::types::Completion;

    const KEY: Key = Key([5; 32]);

    fn entry() -> Entry {
        let value = Value::Completion {
            completion: Arc::new(Completion::default()),
            events: None,
        };
        Entry::new(value, Duration::ZERO, Duration::from_secs(60))
    }

    fn is_kept(memory: &Memory) -> bool {
        memory.get(&KEY, Duration::ZERO, None).is_some()
    }

    // proves: 2.11.invalidation
    #[test]
    fn what_began_before_an_invalidation_is_not_kept_after_it() {
        let (trust, memory) = (Trust::default(), Memory::new(1 << 20));
        let began = trust.epoch();
        trust.invalidated(None);
        trust.put(&memory, KEY, entry(), began);
        assert!(!is_kept(&memory));
        trust.put(&memory, KEY, entry(), trust.epoch());
        assert!(is_kept(&memory));
    }

    // proves: 2.11.invalidation
    #[test]
    fn another_mark_empties_the_memory_once_and_one_heard_late_says_nothing() {
        let trust = Trust::default();
        let at = Duration::from_millis;
        let (epoch, empty) = trust.heard(trust.epoch(), Some([1; 16]), at(5));
        assert!(empty, "what was there before is of unknown standing");
        let key = trust.flight_key([7; 32]);
        assert_eq!(key, [7; 32], "but nothing was invalidated");
        assert_eq!(trust.heard(epoch, Some([1; 16]), at(6)), (epoch, false));
        let before = trust.epoch();
        trust.invalidated(Some([2; 16]));
        assert_ne!(trust.flight_key([7; 32]), key);
        assert_eq!(trust.heard(before, Some([1; 16]), at(7)), (before, false));
        let now = trust.epoch();
        assert_eq!(trust.heard(now, Some([2; 16]), at(8)), (now, false));
        assert!(trust.heard(now, Some([3; 16]), at(9)).1);
        assert_ne!(trust.epoch(), now);
    }

    #[test]
    fn memory_is_trusted_for_a_while_after_it_was_asked() {
        let trust = Trust::default();
        let at = Duration::from_millis;
        assert!(!trust.is_recent(at(0), WINDOW));
        trust.heard(0, None, at(0));
        assert!(trust.is_recent(at(1_000), WINDOW) && !trust.is_recent(at(1_001), WINDOW));
    }
}
