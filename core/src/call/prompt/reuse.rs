//! How often beginnings of requests came again, and how soon: what a mark's worth is judged by.
//!
//! It holds hashes and counts, no text, of one client and so of one tenant. It is bounded: two halves of equal room, and
//! when the younger one is full the older one is forgotten.

use std::collections::HashMap;
use std::time::Duration;

use super::prefix::{Place, Prefixes, Ttl};

/// Most beginnings remembered in each half.
const ROOM: usize = 4_096;
/// After so many waits all counts are halved, so that what is usual now outweighs what once was.
const WINDOW: u32 = 64;

const FIVE: Duration = Duration::from_secs(5 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How often something was waited for, and how often it came in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) waits: u32,
    five: u32,
    hour: u32,
}

impl Tally {
    fn waits(&mut self) {
        if self.waits >= WINDOW {
            self.waits /= 2;
            self.five /= 2;
            self.hour /= 2;
        }
        self.waits += 1;
    }

    fn came(&mut self, after: Duration) {
        // What is kept five minutes is read at five minutes' age at the latest, and reading it keeps it on.
        if after < FIVE {
            self.five = (self.five + 1).min(self.waits);
        }
        if after < HOUR {
            self.hour = (self.hour + 1).min(self.waits);
        }
    }

    /// How often it came within that time.
    pub(super) fn within(&self, ttl: Ttl) -> u32 {
        match ttl {
            Ttl::Five => self.five,
            Ttl::Hour => self.hour,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    last: Duration,
    /// How often it came again.
    again: Tally,
    /// Of a family: how often the whole of a request became the beginning of another one.
    grew: Tally,
    /// It was the whole of a request of this family and has not come again yet.
    whole_of: Option<u128>,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Reuse {
    young: HashMap<u128, Seen>,
    old: HashMap<u128, Seen>,
}

impl Reuse {
    /// Notes that a request comes, and tells what is known of each of its beginnings. Of the whole request, where it is new, that
    /// is how often wholes of its family came again.
    pub(super) fn see(&mut self, prefixes: &Prefixes<'_>, now: Duration) -> Vec<Tally> {
        let mut tallies = Vec::with_capacity(prefixes.boundaries.len());
        for boundary in &prefixes.boundaries {
            tallies.push(self.again(boundary.hash, now));
        }
        let Some(whole) = prefixes.boundaries.last() else {
            return tallies;
        };
        if matches!(whole.place, Place::Message(_)) {
            let family = self.entry(prefixes.family);
            let grew = family.grew;
            family.grew.waits();
            self.entry(whole.hash).whole_of = Some(prefixes.family);
            if let Some(tally) = tallies.last_mut().filter(|tally| tally.waits == 0) {
                *tally = grew;
            }
        }
        tallies
    }

    fn again(&mut self, hash: u128, now: Duration) -> Tally {
        let known = self.young.contains_key(&hash) || self.old.contains_key(&hash);
        let seen = self.entry(hash);
        if !known {
            seen.last = now;
            return Tally::default();
        }
        let after = now.saturating_sub(seen.last);
        seen.last = now;
        seen.again.waits();
        seen.again.came(after);
        let (again, family) = (seen.again, seen.whole_of.take());
        if let Some(family) = family {
            self.entry(family).grew.came(after);
        }
        again
    }

    fn entry(&mut self, hash: u128) -> &mut Seen {
        if !self.young.contains_key(&hash) {
            if self.young.len() >= ROOM {
                self.old = std::mem::take(&mut self.young);
            }
            let seen = self.old.remove(&hash).unwrap_or_default();
            self.young.insert(hash, seen);
        }
        self.young.entry(hash).or_default()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
