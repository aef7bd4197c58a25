//! Names: capitalised words, quoted strings, identifiers, and well-known names however they are written.

use std::collections::HashSet;

use super::lists;
use super::text::{Word, is_function, words};

/// Whether one text names what the other does not mention.
pub(super) fn differ(a: &str, b: &str) -> bool {
    let (a, b) = (Named::of(a), Named::of(b));
    !a.within(&b) || !b.within(&a)
}

struct Named {
    names: HashSet<String>,
    words: HashSet<String>,
}

impl Named {
    fn of(text: &str) -> Self {
        let mut named = Self {
            names: HashSet::new(),
            words: HashSet::new(),
        };
        for word in words(text) {
            if is_name(&word) {
                named.names.insert(word.lower.clone());
            }
            for piece in word.lower.split('-').filter(|piece| !piece.is_empty()) {
                if lists::NAMES.contains(piece) {
                    named.names.insert(piece.to_owned());
                }
                named.words.insert(piece.to_owned());
            }
            named.words.insert(word.lower);
        }
        // Scripts without capitals: what is written in katakana is a name or a foreign word.
        for run in text.split(|c| !matches!(c, 'ァ'..='ヺ' | 'ー')) {
            if run.chars().count() > 1 {
                named.names.insert(run.to_owned());
                named.words.insert(run.to_owned());
            }
        }
        named
    }

    fn within(&self, other: &Self) -> bool {
        self.names.iter().all(|name| other.words.contains(name))
    }
}

fn is_name(word: &Word<'_>) -> bool {
    let raw = word.raw;
    if raw.chars().any(char::is_numeric) {
        // Figures are the numbers gate's; with letters they name something: `mp3`, `H2O`, `v1.2`.
        return raw.chars().any(char::is_alphabetic) && !raw.starts_with(|c: char| c.is_numeric());
    }
    if matches!(word.lower.as_str(), "i" | "i'm" | "i'd" | "i've" | "i'll") {
        return false;
    }
    if word.quoted || is_identifier(raw) {
        return true;
    }
    let mut chars = raw.chars();
    let capital = chars.next().is_some_and(char::is_uppercase);
    if chars.any(char::is_uppercase) {
        return true;
    }
    capital && !(word.first && is_opener(&word.lower))
}

/// Marks inside a word make it one of a program, an address or a language (`C++`, `C#`).
fn is_identifier(raw: &str) -> bool {
    raw.contains(['_', '/', '@', '#', '\\', '$', '(', '='])
        || raw.contains("::")
        || raw.contains("->")
        || raw.starts_with('-')
        || raw.ends_with("++")
        || raw.trim_end_matches('.').contains('.')
        || raw.starts_with('.')
}

/// Words a sentence begins with that are no names.
fn is_opener(word: &str) -> bool {
    is_function(word) || word.contains('\'') || lists::OPENERS.contains(word)
}
