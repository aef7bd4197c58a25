//! What two questions must have in common beside their direction in an embedding's space before one's answer may be the
//! other's.
//!
//! Embeddings put "is it safe" next to "is it not safe" and 2 kg next to 3 kg. A gate looks at the letters: each is a
//! pure function of the two texts, symmetric, linear in their length, and refuses in doubt. What it refuses wrongly
//! costs a call, what it lets pass wrongly a false answer.

mod direction;
mod entities;
mod language;
mod lists;
mod measure;
mod negation;
mod numbers;
mod opposites;
mod substitution;
mod synonyms;
mod text;

use super::config::Gates;

/// Whether two texts differ in what a gate looks at.
type Differ = fn(&str, &str) -> bool;

/// The first gate, of those that are on, that keeps the two questions apart: `numbers`, `negation`, `entities`,
/// `language` or `direction`.
pub(crate) fn keeps_apart(gates: &Gates, a: &str, b: &str) -> Option<&'static str> {
    if a == b {
        return None;
    }
    let gates: [(bool, &'static str, Differ); 5] = [
        (gates.language, "language", language::differ),
        (gates.numbers, "numbers", numbers::differ),
        (gates.negation, "negation", negation::differ),
        (gates.entities, "entities", |a, b| {
            entities::differ(a, b) || substitution::differ(a, b)
        }),
        (gates.direction, "direction", direction::differ),
    ];
    gates
        .into_iter()
        .find(|(on, _, differ)| *on && differ(a, b))
        .map(|(_, name, _)| name)
}

#[cfg(test)]
mod tests;
