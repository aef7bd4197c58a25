//! Another word in one word's place: "how do I cool a room", "how do I heat a room".
//!
//! Sentence encoders put two such questions the closer together the longer the rest is that they share, whatever the word
//! means. Where all but one expression is the same, that one is the question. Whether it only says the same otherwise
//! ("repair", "fix") is not to be known from the letters: a short list has the commonest cases, any other costs a call.

use super::language;
use super::measure::{date_word, magnitude, number_word, unit};
use super::opposites::sides;
use super::synonyms;
use super::text::{Word, is_function, words};

/// Words that one expression may have: "red wine" where the other text has "coffee".
const EXPRESSION: usize = 2;

/// Whether the texts differ in one expression alone, and in more than its form.
pub(super) fn differ(a: &str, b: &str) -> bool {
    let (in_a, in_b) = (said(a), said(b));
    let (one, other, shared) = apart(&in_a, &in_b);
    let fits = |words: &[Word<'_>]| (1..=EXPRESSION).contains(&words.len());
    if !shared || !fits(one) || !fits(other) {
        return false;
    }
    // Of words that ask, and of figures, other rules decide.
    let english = [a, b].map(|text| language::language(text) == Some("en"));
    let bare = |word: &Word<'_>, english: bool| {
        is_function(&word.lower)
            || (!english && language::is_common(&word.lower))
            || (word.first && ASKING.contains(&word.lower.as_str()))
            || is_measure(word)
    };
    if one.iter().any(|word| bare(word, english[0])) || other.iter().any(|w| bare(w, english[1])) {
        return false;
    }
    one.len() != other.len()
        || one
            .iter()
            .zip(other)
            .any(|(one, other)| !is_alike(&one.lower, &other.lower))
}

/// First words of which any asks for an account of what follows.
const ASKING: [&str; 10] = [
    "explain",
    "describe",
    "define",
    "outline",
    "show",
    "list",
    "name",
    "state",
    "present",
    "illustrate",
];

/// A text's words without articles, which change with the noun they stand before.
fn said(text: &str) -> Vec<Word<'_>> {
    let mut words = words(text);
    words.retain(|word| !is_article(&word.lower));
    words
}

fn is_article(word: &str) -> bool {
    matches!(
        word,
        "a" | "an"
            | "the"
            | "der"
            | "die"
            | "das"
            | "den"
            | "dem"
            | "ein"
            | "eine"
            | "einen"
            | "einem"
            | "einer"
            | "le"
            | "la"
            | "les"
            | "un"
            | "une"
            | "el"
            | "los"
            | "las"
            | "una"
            | "il"
            | "lo"
            | "gli"
            | "o"
            | "os"
            | "um"
            | "uma"
            | "het"
            | "een"
    )
}

/// What is left of two texts without their common beginning and end, and whether there is any.
fn apart<'a, 't>(
    mut a: &'a [Word<'t>],
    mut b: &'a [Word<'t>],
) -> (&'a [Word<'t>], &'a [Word<'t>], bool) {
    let before = a.len();
    while let ([x, rest_a @ ..], [y, rest_b @ ..]) = (a, b)
        && x.lower == y.lower
    {
        (a, b) = (rest_a, rest_b);
    }
    while let ([rest_a @ .., x], [rest_b @ .., y]) = (a, b)
        && x.lower == y.lower
    {
        (a, b) = (rest_a, rest_b);
    }
    (a, b, a.len() < before)
}

/// Numbers, units and days, which the gate of numbers reads as what they mean: "2 kg" is "two kilos".
fn is_measure(word: &Word<'_>) -> bool {
    let measures = |piece: &str| {
        number_word(piece).is_some()
            || magnitude(piece).is_some()
            || unit(piece).is_some()
            || date_word(piece, false).is_some()
    };
    word.raw.contains(char::is_numeric) || word.lower.split('-').any(measures)
}

/// The same word in another form or spelling, one that has the same opposites, or one that usually means the same.
fn is_alike(a: &str, b: &str) -> bool {
    sides(a).iter().any(|side| sides(b).contains(side)) || synonyms::are(a, b)
}
