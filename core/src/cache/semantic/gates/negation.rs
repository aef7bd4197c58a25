//! What turns a sentence into its opposite: negations, and words with an opposite in the other text.

use std::collections::{HashMap, HashSet};

use super::lists;
use super::opposites::sides;
use super::text::words;

/// Whether one text denies what the other says, or asks for its opposite.
pub(super) fn differ(a: &str, b: &str) -> bool {
    let (a, b) = (Said::of(a), Said::of(b));
    a.negations != b.negations
        || a.sides
            .iter()
            .any(|(pair, sides)| b.sides.get(pair).is_some_and(|others| others != sides))
        || is_prefixed(&a.words, &b.words)
        || is_prefixed(&b.words, &a.words)
}

struct Said {
    negations: usize,
    /// By pair of opposites: which of the two it has (bit 1, bit 2).
    sides: HashMap<u16, u8>,
    words: HashSet<String>,
}

impl Said {
    fn of(text: &str) -> Self {
        let mut said = Self {
            negations: text.chars().filter(|c| is_negating(*c)).count()
                + JAPANESE
                    .map(|ending| text.matches(ending).count())
                    .iter()
                    .sum::<usize>(),
            sides: HashMap::new(),
            words: HashSet::new(),
        };
        for word in words(text) {
            let lower = word.lower;
            let pieces = lower.split('-').filter(|piece| !piece.is_empty());
            for piece in pieces.clone() {
                if is_negation(piece) {
                    said.negations += 1;
                }
                for (pair, bit) in sides(piece) {
                    *said.sides.entry(*pair).or_default() |= bit;
                }
            }
            if lower.contains('-') {
                said.words.insert(lower.replace('-', ""));
            }
            said.words.insert(lower);
        }
        said
    }
}

/// Characters that deny in scripts without spaces.
fn is_negating(c: char) -> bool {
    matches!(
        c,
        '不' | '没'
            | '沒'
            | '无'
            | '無'
            | '非'
            | '未'
            | '否'
            | '别'
            | '別'
            | 'ぬ'
            | '안'
            | '못'
            | '없'
    )
}

/// Endings that deny in Japanese; what follows them (`飲めませんか`) is not parted from them by a space.
const JAPANESE: [&str; 3] = ["ません", "ない", "なかった"];

fn is_negation(word: &str) -> bool {
    // French `n'est`.
    let glued = word.ends_with("n't") || word.starts_with("n'");
    glued || lists::NEGATIONS.contains(word)
}

const PREFIXES: [&str; 17] = [
    "un", "in", "im", "ir", "il", "dis", "non", "de", "mis", "anti", "over", "under", "pre",
    "post", "hyper", "hypo", "re",
];

/// Whether a word of `a` alone is a word of `b` alone with a prefix before it: `unsafe` and `safe`.
fn is_prefixed(a: &HashSet<String>, b: &HashSet<String>) -> bool {
    a.difference(b).any(|word| {
        PREFIXES.iter().any(|prefix| {
            word.strip_prefix(prefix).is_some_and(|rest| {
                rest.chars().count() >= 3 && b.contains(rest) && !a.contains(rest)
            })
        })
    }) || a.difference(b).any(|word| {
        // `hypertension` and `hypotension`, `overfit` and `underfit`, `prewar` and `postwar`.
        [
            ("hyper", "hypo"),
            ("over", "under"),
            ("pre", "post"),
            ("in", "ex"),
            ("im", "ex"),
            ("inter", "intra"),
            ("up", "down"),
            ("macro", "micro"),
            ("homo", "hetero"),
        ]
        .iter()
        .any(|(one, other)| {
            let swapped = |from: &str, to: &str| {
                let rest = word
                    .strip_prefix(from)
                    .filter(|rest| rest.chars().count() >= 3);
                rest.is_some_and(|rest| b.contains(&format!("{to}{rest}")))
            };
            swapped(one, other) || swapped(other, one)
        })
    })
}
