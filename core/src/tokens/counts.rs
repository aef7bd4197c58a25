//! Bounded memories of counts, one set for each thread, so that none needs a lock.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use super::word::{Word, mix};

/// The counts of words lately met; a new word replaces the one in its slot, so memory is bounded (410 kB).
///
/// Words that are tokens are here too: this much stays in a processor's second cache, the vocabulary does not.
#[derive(Default)]
pub(super) struct WordCounts {
    /// Words of up to 15 bytes.
    pub(super) short: Recent<Word, { 1 << 14 }>,
    /// Words of 16 to 30 bytes, in two halves.
    pub(super) long: Recent<[Word; 2], { 1 << 12 }>,
}

/// A table with one place for each hash.
#[derive(Default)]
pub(super) struct Recent<K, const SLOTS: usize> {
    keys: Vec<K>,
    counts: Vec<u8>,
}

impl<K: Copy + Default + PartialEq, const SLOTS: usize> Recent<K, SLOTS> {
    /// The count of a word, from memory if it is there. A word has no more tokens than bytes, at most 30.
    #[inline(always)]
    pub(super) fn get_or(&mut self, key: K, hash: u64, count: impl FnOnce() -> usize) -> usize {
        let at = (hash >> 32) as usize % SLOTS;
        if let (Some(found), Some(known)) = (self.keys.get(at), self.counts.get(at)) {
            if *found == key {
                return usize::from(*known);
            }
        } else {
            self.keys = vec![K::default(); SLOTS];
            self.counts = vec![0; SLOTS];
        }
        let count = count();
        if let (Some(found), Some(known)) = (self.keys.get_mut(at), self.counts.get_mut(at)) {
            (*found, *known) = (key, count as u8);
        }
        count
    }
}

/// The counts of whole texts by hash, in bounded memory (400 kB).
#[derive(Default)]
pub(super) struct TextCounts {
    slots: Vec<((u64, u64), usize)>,
}

impl TextCounts {
    const SLOTS: usize = 1 << 14;
    /// Shorter texts are counted sooner than looked up.
    pub(super) const SHORTEST: usize = 24;

    /// A hash of 128 bits under a key drawn once in a process, so that equal hashes of unequal texts can't be aimed at.
    pub(super) fn key(bytes: &[u8], domain: u64) -> (u64, u64) {
        static SEED: OnceLock<[u64; 4]> = OnceLock::new();
        let seed = SEED.get_or_init(|| {
            let random = RandomState::new();
            [0u8, 1, 2, 3].map(|i| random.hash_one(i) | 1)
        });
        let [a, b, c, d] = *seed;
        let (mut low, mut high) = (a ^ domain, b ^ bytes.len() as u64);
        let mut add = |x: u64, y: u64| {
            // Two lanes that take the words the other way round, under different keys.
            (low, high) = (
                mix(low ^ x ^ c, y ^ d).wrapping_add(x),
                mix(high ^ y ^ a, x ^ b).wrapping_add(y),
            );
        };
        let mut chunks = bytes.chunks_exact(16);
        for chunk in &mut chunks {
            if let Some(chunk) = chunk.first_chunk::<16>() {
                let word = u128::from_le_bytes(*chunk);
                add(word as u64, (word >> 64) as u64);
            }
        }
        let mut last = [0; 16];
        for (to, from) in last.iter_mut().zip(chunks.remainder()) {
            *to = *from;
        }
        let word = u128::from_le_bytes(last);
        add(word as u64, (word >> 64) as u64);
        (mix(low ^ b, high ^ c), mix(high ^ d, low ^ a))
    }

    pub(super) fn get(&self, key: (u64, u64)) -> Option<usize> {
        let slot = self.slots.get(key.0 as usize % Self::SLOTS)?;
        (slot.0 == key).then_some(slot.1)
    }

    pub(super) fn put(&mut self, key: (u64, u64), count: usize) {
        if self.slots.is_empty() {
            self.slots = vec![((0, 0), 0); Self::SLOTS];
        }
        if let Some(slot) = self.slots.get_mut(key.0 as usize % Self::SLOTS) {
            *slot = (key, count);
        }
    }
}
