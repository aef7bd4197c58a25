//! Which way something goes: from A to B, or from B to A.

use std::collections::{HashMap, HashSet};

use super::text::{Word, is_function, words};

/// Whether the texts say the same words the other way round.
pub(super) fn differ(a: &str, b: &str) -> bool {
    let (a, b) = (words(a), words(b));
    is_permuted(&a, &b) || {
        let (a, b) = (ways(&a), ways(&b));
        a.iter()
            .any(|(from, to)| from != to && b.contains(&(*to, *from)) && !b.contains(&(*from, *to)))
    }
}

/// The same words in another order: what remains equal is not the question.
fn is_permuted(a: &[Word<'_>], b: &[Word<'_>]) -> bool {
    let same_order = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.lower == b.lower);
    if same_order || a.len() != b.len() {
        return false;
    }
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for (word, step) in a.iter().map(|w| (w, 1)).chain(b.iter().map(|w| (w, -1))) {
        *counts.entry(&word.lower).or_default() += step;
    }
    counts.values().all(|count| *count == 0)
}

/// Words looked at on each side of a word of direction.
const REACH: usize = 4;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// What stands before it comes first.
    Onward,
    /// What stands behind it does.
    Backward,
}

fn way(word: &str) -> Option<Way> {
    match word {
        "to" | "into" | "onto" | "than" | "before" | "towards" | "causes" | "cause" | "beats"
        | "beat" | "nach" | "zu" | "als" | "vers" | "que" | "hacia" | "against" | "versus"
        | "vs" | "minus" | "divided" | "within" | "->" | "→" | "owes" | "owe" | "pays" | "pay"
        | "contains" | "includes" | "leads" | "replace" | "replaces" | "imply" | "implies" => {
            Some(Way::Onward)
        }
        "from" | "after" | "von" | "depuis" | "desde" | "since" => Some(Way::Backward),
        _ => None,
    }
}

/// The pairs of words between which a word of direction stands, the first one first.
fn ways<'a>(words: &'a [Word<'_>]) -> HashSet<(&'a str, &'a str)> {
    let mut ways = HashSet::new();
    for (place, word) in words.iter().enumerate() {
        let Some(way) = way(&word.lower) else {
            continue;
        };
        let stops = |word: &&Word<'_>| self::way(&word.lower).is_none();
        let before: Vec<&str> = (words.get(..place).unwrap_or_default().iter().rev())
            .take_while(stops)
            .take(REACH)
            .map(|word| word.lower.as_str())
            .collect();
        let mut ended = false;
        let after: Vec<&str> = (words.get(place + 1..).unwrap_or_default().iter())
            .take_while(stops)
            .take_while(|word| !std::mem::replace(&mut ended, word.stops))
            .take(REACH)
            .map(|word| word.lower.as_str())
            .collect();
        for from in before.iter().filter(|word| !is_function(word)) {
            for to in after.iter().filter(|word| !is_function(word)) {
                ways.insert(match way {
                    Way::Onward => (*from, *to),
                    Way::Backward => (*to, *from),
                });
            }
        }
    }
    ways
}
