//! One vocabulary in memory: token bytes, whole-word table and merge table.
//!
//! The file holds, for each token, the one pair of tokens whose merge yields it (`ci/vocab` proves that there is only
//! one, and that both halves rank below the token). Bytes, words and merges follow from it in one pass, so that a
//! vocabulary of 200,000 tokens takes 1.2 MB in the binary and some milliseconds to load.

use super::class;
use super::word::{Word, hash_bytes};

/// No token.
pub(super) const NONE: u32 = u32::MAX;
const ABSENT: u32 = 0xff_ffff;
/// A slot without a pair or word. Not zero: memory that comes zeroed is mapped twice, at the first look and the first write.
const EMPTY: u64 = u64::MAX;
const NO_WORD: u128 = u128::MAX;

/// The tables of one vocabulary; immutable once built.
pub(super) struct Vocab {
    records: &'static [u8],
    bytes: Vec<u8>,
    starts: Vec<u32>,
    /// Whole words by hash; counting looks at nothing else, so the ids stand apart.
    words: Vec<u128>,
    word_ids: Vec<u32>,
    longs: Vec<u32>,
    pairs: Vec<u64>,
    /// A bit for the top 20 bits of each pair's hash: most pairs asked for don't merge, and this much stays in cache.
    pair_hints: Vec<u64>,
    byte_ids: [u32; 256],
    chars: Vec<u32>,
    /// Bit x * 256 + y: `risks` has an entry for the bytes x and y.
    risky: Vec<u64>,
    risks: Vec<Risk>,
    longest: usize,
}

/// That merges join byte `x`, the last of a character, with byte `y`, the first of the next, while one of the two sides
/// is only a part of its character; and the lowest rank of such a merge, by the side that is a part.
struct Risk {
    bytes: (u8, u8),
    left: u32,
    right: u32,
}

impl Vocab {
    /// Builds the tables of the first `limit` ids of a file in the format of `ci/vocab`.
    pub(super) fn load(file: &'static [u8], limit: usize) -> Self {
        let records = file.get(4..).unwrap_or(&[]);
        let count = (records.len() / 6).min(limit);
        let slots = count * 2 + 1;
        let mut vocab = Self {
            records,
            bytes: Vec::with_capacity(count * 7 + 256),
            starts: Vec::with_capacity(count + 1),
            words: vec![NO_WORD; slots],
            word_ids: vec![0; slots],
            longs: vec![NONE; slots / 8 + 1],
            pairs: vec![EMPTY; slots],
            pair_hints: vec![0; 1 << 14],
            byte_ids: [NONE; 256],
            chars: vec![NONE; 0x1_0000],
            risky: vec![0; 1024],
            risks: Vec::new(),
            longest: 1,
        };
        vocab.starts.push(0);
        for id in 0..count {
            let start = vocab.bytes.len();
            let (left, right) = vocab.record(id as u32);
            if left == ABSENT && right != ABSENT {
                vocab.bytes.push(right as u8);
                vocab.byte_ids[(right & 0xff) as usize] = id as u32;
            } else if left != ABSENT {
                let (l, r) = (vocab.range(left), vocab.range(right));
                let border = (vocab.bytes[l.end - 1], vocab.bytes[r.start]);
                if border.0 >= 0x80 || border.1 >= 0x80 {
                    vocab.note_risk(border, l.clone(), r.clone(), id as u32);
                }
                vocab.append(l);
                vocab.append(r);
            }
            vocab.starts.push(vocab.bytes.len() as u32);
            vocab.longest = vocab.longest.max(vocab.bytes.len() - start);
        }
        vocab.risks.sort_by_key(|risk| risk.bytes);
        vocab.add_words(count as u32);
        vocab.add_pairs(count as u32);
        vocab
    }

    /// Appends bytes that are there already. Most are few: sixteen at once, and the surplus off again, is much faster
    /// than a copy of a length that varies.
    fn append(&mut self, range: std::ops::Range<usize>) {
        match self
            .bytes
            .get(range.start..)
            .and_then(|rest| rest.first_chunk::<16>().copied())
        {
            Some(chunk) if range.len() <= 16 => {
                let end = self.bytes.len() + range.len();
                self.bytes.extend_from_slice(&chunk);
                self.bytes.truncate(end);
            }
            _ => self.bytes.extend_from_within(range),
        }
    }

    /// Fills the tables of whole words and characters.
    fn add_words(&mut self, count: u32) {
        let ids = 0..count;
        let mut regions = Regions::default();
        let key = |vocab: &Self, id: u32| {
            let range = vocab.range(id);
            let short = !range.is_empty() && range.len() <= Word::MAX;
            short.then(|| Word::new(&vocab.bytes, range.start, range.end))
        };
        for word in ids.clone().filter_map(|id| key(self, id)) {
            regions.count(word.hash() as u32);
        }
        let total = regions.begin();
        let mut sorted = vec![0; total];
        let mut sorted_ids = vec![0; total];
        for id in ids {
            if let Some(word) = key(self, id) {
                let place = regions.place(word.hash() as u32);
                (sorted[place], sorted_ids[place]) = (word.0, id);
            } else if !self.range(id).is_empty() {
                self.add_long(id);
            }
            let range = self.range(id);
            if let Some((code, width)) = class::decode(&self.bytes, range.start) {
                let lead = self.bytes.get(range.start).copied().unwrap_or(0);
                let whole = width > 1 && range.len() == width && !is_continuation(lead);
                if let (true, Some(slot)) = (whole, self.chars.get_mut(code as usize)) {
                    *slot = id;
                }
            }
        }
        for (word, id) in sorted.into_iter().zip(sorted_ids) {
            let mut at = slot(Word(word).hash() as u32, self.words.len());
            while self.words[at] != NO_WORD {
                at = after(at, self.words.len());
            }
            (self.words[at], self.word_ids[at]) = (word, id);
        }
    }

    fn add_pairs(&mut self, count: u32) {
        let ids = 0..count;
        let mut regions = Regions::default();
        let key = |vocab: &Self, id: u32| {
            let (left, right) = vocab.record(id);
            (left != ABSENT).then(|| u64::from(left) << 18 | u64::from(right))
        };
        for key in ids.clone().filter_map(|id| key(self, id)) {
            regions.count(pair_hash(key));
        }
        let mut sorted = vec![EMPTY; regions.begin()];
        for id in ids {
            if let Some(key) = key(self, id) {
                sorted[regions.place(pair_hash(key))] = key << 18 | u64::from(id);
            }
        }
        for entry in sorted {
            let hash = pair_hash(entry >> 18);
            self.pair_hints[(hash >> 18) as usize] |= 1 << (hash >> 12 & 63);
            let mut at = slot(hash, self.pairs.len());
            while self.pairs[at] != EMPTY {
                at = after(at, self.pairs.len());
            }
            self.pairs[at] = entry;
        }
    }

    /// The pair whose merge yields a token.
    fn record(&self, id: u32) -> (u32, u32) {
        match self
            .records
            .get(id as usize * 6..)
            .and_then(|r| r.first_chunk::<6>())
        {
            Some(&[a, b, c, d, e, f]) => (
                u32::from_le_bytes([a, b, c, 0]),
                u32::from_le_bytes([d, e, f, 0]),
            ),
            None => (ABSENT, ABSENT),
        }
    }

    /// Left and right half of a token of two bytes or more.
    pub(super) fn halves(&self, id: u32) -> (u32, u32) {
        self.record(id)
    }

    fn range(&self, id: u32) -> std::ops::Range<usize> {
        let at = |i: usize| self.starts.get(i).copied().unwrap_or(0) as usize;
        at(id as usize)..at(id as usize + 1)
    }

    fn note_risk(
        &mut self,
        (x, y): (u8, u8),
        left: std::ops::Range<usize>,
        right: std::ops::Range<usize>,
        id: u32,
    ) {
        let (l, r) = (&self.bytes[left], &self.bytes[right]);
        // Text is valid UTF-8, so a character ends before every byte that begins one. Sides that hold more than a part
        // of one character need no note: they come from another such merge, at another border.
        let part_left = l.iter().all(|b| is_continuation(*b));
        let part_right = r.len() < width(y);
        if is_continuation(y) || !(part_left || part_right) {
            return;
        }
        self.risky[usize::from(x) * 4 + usize::from(y) / 64] |= 1 << (y % 64);
        let known = self.risks.iter().position(|risk| risk.bytes == (x, y));
        let at = known.unwrap_or_else(|| {
            self.risks.push(Risk {
                bytes: (x, y),
                left: NONE,
                right: NONE,
            });
            self.risks.len() - 1
        });
        let risk = &mut self.risks[at];
        // Ids rise, so the first is the lowest.
        if part_left {
            risk.left = risk.left.min(id);
        }
        if part_right {
            risk.right = risk.right.min(id);
        }
    }

    fn add_long(&mut self, id: u32) {
        let mut at = slot(
            hash_bytes(&self.bytes[self.range(id)]) as u32,
            self.longs.len(),
        );
        while self.longs[at] != NONE {
            at = after(at, self.longs.len());
        }
        self.longs[at] = id;
    }

    /// Whether a word of at most 15 bytes is a token.
    #[inline(always)]
    pub(super) fn has_word(&self, word: Word, hash: u64) -> bool {
        self.find(word, hash).is_some()
    }

    #[inline(always)]
    fn find(&self, word: Word, hash: u64) -> Option<usize> {
        let mut at = slot(hash as u32, self.words.len());
        loop {
            let found = *self.words.get(at)?;
            if found == word.0 {
                return Some(at);
            }
            if found == NO_WORD {
                return None;
            }
            at = after(at, self.words.len());
        }
    }

    /// The token that a word of at most 15 bytes is, if it is one.
    #[inline(always)]
    pub(super) fn word(&self, word: Word) -> Option<u32> {
        self.find(word, word.hash())
            .and_then(|at| self.word_ids.get(at).copied())
    }

    /// The token that a word of more than 15 bytes is, if it is one.
    pub(super) fn long(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.longest {
            return None;
        }
        let mut at = slot(hash_bytes(bytes) as u32, self.longs.len());
        loop {
            let id = *self.longs.get(at)?;
            if id == NONE {
                return None;
            }
            if self.token(id) == Some(bytes) {
                return Some(id);
            }
            at = after(at, self.longs.len());
        }
    }

    /// The token that merging two tokens yields, which is also the rank of the merge; `NONE` if they don't merge.
    #[inline(always)]
    pub(super) fn merged(&self, left: u32, right: u32) -> u32 {
        let key = u64::from(left) << 18 | u64::from(right);
        let hash = pair_hash(key);
        let hint = self
            .pair_hints
            .get((hash >> 18) as usize)
            .copied()
            .unwrap_or(0);
        if hint >> (hash >> 12 & 63) & 1 == 0 {
            return NONE;
        }
        let mut at = slot(hash, self.pairs.len());
        loop {
            let found = self.pairs.get(at).copied().unwrap_or(EMPTY);
            if found >> 18 == key {
                return (found & 0x3_ffff) as u32;
            }
            if found == EMPTY {
                return NONE;
            }
            at = after(at, self.pairs.len());
        }
    }

    /// The token of one byte.
    #[inline(always)]
    pub(super) fn byte(&self, byte: u8) -> u32 {
        self.byte_ids[usize::from(byte)]
    }

    /// The token that a character of several bytes is by itself, or `NONE`.
    #[inline(always)]
    pub(super) fn char(&self, code: u32) -> u32 {
        self.chars.get(code as usize).copied().unwrap_or(NONE)
    }

    /// Whether a merge may join parts of two neighbouring characters across their border, given the last byte and the
    /// token of the first and the first byte and the token of the second (`NONE` where a character is not a token).
    /// A part of a character is gone once the character's own token, which is its rank, has been formed.
    #[inline(always)]
    pub(super) fn risky(&self, (x, left): (u8, u32), (y, right): (u8, u32)) -> bool {
        let row = self.risky.get(usize::from(x) * 4 + usize::from(y) / 64);
        if row.is_none_or(|bits| bits >> (y % 64) & 1 == 0) {
            return false;
        }
        let found = self.risks.binary_search_by_key(&(x, y), |risk| risk.bytes);
        let risk = found.ok().and_then(|at| self.risks.get(at));
        risk.is_some_and(|risk| risk.left < left || risk.right < right)
    }

    /// The bytes of a token.
    pub(super) fn token(&self, id: u32) -> Option<&[u8]> {
        self.bytes.get(self.range(id)).filter(|b| !b.is_empty())
    }

    /// Length in bytes of the longest token.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

#[inline(always)]
fn pair_hash(key: u64) -> u32 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// Where a hash belongs in a table of so many slots; rises with the hash.
#[inline(always)]
fn slot(hash: u32, slots: usize) -> usize {
    ((u64::from(hash) * slots as u64) >> 32) as usize
}

/// The slot after one, around the end. Half of the slots are free, so every search ends.
#[inline(always)]
fn after(at: usize, slots: usize) -> usize {
    if at + 1 < slots { at + 1 } else { 0 }
}

/// Sorts entries by the top bits of their hash, by counting, so that a table is filled region by region: in the order of
/// ids every insertion would miss the processor's caches, which takes several times as long.
struct Regions([usize; Self::COUNT]);

impl Default for Regions {
    fn default() -> Self {
        Self([0; Self::COUNT])
    }
}

impl Regions {
    const COUNT: usize = 64;

    fn of(hash: u32) -> usize {
        (hash >> 26) as usize
    }

    fn count(&mut self, hash: u32) {
        self.0[Self::of(hash)] += 1;
    }

    /// Turns counts into beginnings; says how many there are in all.
    fn begin(&mut self) -> usize {
        let mut total = 0;
        for region in &mut self.0 {
            total += std::mem::replace(region, total);
        }
        total
    }

    /// The next free place of the entry's region.
    fn place(&mut self, hash: u32) -> usize {
        let next = &mut self.0[Self::of(hash)];
        *next += 1;
        *next - 1
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// How many bytes a character has that begins with this byte.
fn width(lead: u8) -> usize {
    match lead {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}
