//! Byte-pair merging of one piece: lowest rank first, leftmost among equals, as the published encodings define it.
//!
//! Both routines start from whole characters where that is proved to end in the same tokens. A merge that joins a part
//! of a character with something beyond the character's border is the only thing that could tell the two starts apart;
//! if the vocabulary has none that can come before the characters of this piece are complete ([`Vocab::risky`]), every
//! token formed is a run of whole characters or lies in one. As both halves of a merge rank below it
//! (`ci/vocab` checks), the characters inside a token are complete before the token's own merge is due in either case.

use super::{
    class,
    vocab::{NONE, Vocab},
};
use std::collections::BTreeMap;

/// Up to this many parts the next merge is searched for; above, merges are kept in buckets by rank.
/// A place must fit the 7 bits it has in a key.
const SEARCH_MAX: usize = 96;

/// Buffers kept between merges.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) parts: Vec<u32>,
}

/// Leaves the tokens of a piece in `scratch.parts`. Linear in the length of the piece, but for the sorting of ranks.
pub(super) fn merge(vocab: &Vocab, piece: &[u8], scratch: &mut Scratch) {
    split(vocab, piece, &mut scratch.parts);
    if scratch.parts.len() <= SEARCH_MAX {
        merge_short(vocab, &mut scratch.parts);
    } else {
        merge_long(vocab, &mut scratch.parts);
        // A very long piece must not hold on to its memory.
        scratch.parts.shrink_to(1 << 16);
    }
}

/// The parts to start from: characters that are tokens, and bytes.
fn split(vocab: &Vocab, piece: &[u8], parts: &mut Vec<u32>) {
    parts.clear();
    if piece.is_ascii() {
        parts.extend(piece.iter().map(|b| vocab.byte(*b)));
        return;
    }
    let mut at = 0;
    // Last byte and token of the character before.
    let mut before = (0, NONE);
    while let Some(&first) = piece.get(at) {
        let Some((code, width)) = class::decode(piece, at) else {
            break;
        };
        let next = at + width;
        let id = if width == 1 {
            vocab.byte(first)
        } else {
            vocab.char(code)
        };
        if at > 0 && vocab.risky(before, (first, id)) {
            parts.clear();
            parts.extend(piece.iter().map(|b| vocab.byte(*b)));
            return;
        }
        if id == NONE {
            parts.extend(piece.iter().take(next).skip(at).map(|b| vocab.byte(*b)));
        } else {
            parts.push(id);
        }
        before = (piece.get(next - 1).copied().unwrap_or(0), id);
        at = next;
    }
}

fn merge_short(vocab: &Vocab, parts: &mut Vec<u32>) {
    /// No merge; above every key.
    const IDLE: i32 = i32::MAX;
    // The merge due at a part and the part after it, as rank * 128 + place: the least is the one to do.
    let key = |left: u32, right: u32, at: usize| match vocab.merged(left, right) {
        NONE => IDLE,
        rank => (rank << 7) as i32 | at as i32,
    };
    let mut keys = [IDLE; SEARCH_MAX];
    let (mut next, mut previous) = ([0u8; SEARCH_MAX + 1], [0u8; SEARCH_MAX + 1]);
    let count = parts.len();
    for (at, pair) in parts.windows(2).enumerate() {
        keys[at] = key(pair[0], pair[1], at);
    }
    for at in 0..count {
        next[at] = at as u8 + 1;
        previous[at + 1] = at as u8;
    }
    loop {
        let best = keys[..count].iter().fold(IDLE, |a, b| a.min(*b));
        if best == IDLE {
            break;
        }
        // The rank of a merge is the token it yields.
        let (at, token) = ((best & 127) as usize, (best >> 7) as u32);
        let gone = usize::from(next[at]);
        let after = usize::from(next[gone]);
        parts[at] = token;
        parts[gone] = NONE;
        keys[gone] = IDLE;
        next[at] = after as u8;
        previous[after] = at as u8;
        keys[at] = parts
            .get(after)
            .map_or(IDLE, |right| key(token, *right, at));
        if at > 0 {
            let before = usize::from(previous[at]);
            keys[before] = key(parts[before], token, before);
        }
    }
    parts.retain(|part| *part != NONE);
}

/// The places where a merge of each rank is due. New merges always rank above the one that made them, so each bucket is
/// complete when its turn comes.
#[derive(Default)]
struct Due {
    buckets: BTreeMap<u32, Vec<u32>>,
}

impl Due {
    fn push(&mut self, rank: u32, at: u32) {
        if rank != NONE {
            self.buckets.entry(rank).or_default().push(at);
        }
    }
}

fn merge_long(vocab: &Vocab, parts: &mut Vec<u32>) {
    let count = parts.len() as u32;
    // Neighbours by position; `count` stands for "no next", and its own position for "no previous".
    let mut next: Vec<u32> = (1..=count).collect();
    let mut previous: Vec<u32> = (0..count).map(|i| i.saturating_sub(1)).collect();
    let mut due = Due::default();
    for (at, pair) in parts.windows(2).enumerate() {
        due.push(vocab.merged(pair[0], pair[1]), at as u32);
    }
    while let Some((rank, mut places)) = due.buckets.pop_first() {
        let (left, right) = vocab.halves(rank);
        // Only equal halves can overlap, where the leftmost place goes first.
        places.sort();
        for at in places {
            let i = at as usize;
            let n = next[i] as usize;
            if parts[i] != left || n >= parts.len() || parts[n] != right {
                continue;
            }
            parts[i] = rank;
            parts[n] = NONE;
            let after = next[n];
            next[i] = after;
            if let Some(&token) = parts.get(after as usize) {
                previous[after as usize] = at;
                due.push(vocab.merged(rank, token), at);
            }
            let before = previous[i];
            if before != at {
                due.push(vocab.merged(parts[before as usize], rank), before);
            }
        }
    }
    parts.retain(|part| *part != NONE);
}
