//! What the form of a question says about its answer: a reason, a number, a definition. English only.

use std::collections::HashMap;

use super::words::each_word;

/// A sign to look for in a sentence.
pub(super) enum Cue<'a> {
    /// Why: "so", "because" …
    Reason,
    /// When, how many: a digit.
    Quantity,
    /// What is it: "**It**: …", "It is …"; with the words of the question.
    Meaning(&'a HashMap<String, u32>),
    /// No sign.
    None,
}

impl<'a> Cue<'a> {
    /// The largest weight there is.
    pub(super) const MOST: f64 = 2.0;

    pub(super) fn of(question: &str, words: &'a HashMap<String, u32>) -> Self {
        let question = question.to_lowercase();
        let asked: Vec<&str> = question
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .collect();
        let asks = |word: &str| asked.contains(&word);
        if asks("why") {
            Self::Reason
        } else if asks("when")
            || asks("how")
                && ["many", "much", "long", "large", "often"]
                    .iter()
                    .any(|w| asks(w))
        {
            Self::Quantity
        } else if let ["what" | "who", "is" | "are" | "s" | "does", ..] | ["define", ..] =
            asked.as_slice()
        {
            Self::Meaning(words)
        } else {
            Self::None
        }
    }

    /// How much more a sentence is worth for having the sign: 1 without it, at most [`Self::MOST`].
    pub(super) fn weight(&self, text: &str) -> f64 {
        const REASONS: [&str; 7] = [
            "because",
            "so",
            "since",
            "therefore",
            "otherwise",
            "reason",
            "hence",
        ];
        let (fits, weight) = match self {
            Self::Reason => {
                let mut words = text.split(|c: char| !c.is_alphabetic());
                (
                    words.any(|word| {
                        REASONS
                            .iter()
                            .any(|reason| word.eq_ignore_ascii_case(reason))
                    }),
                    1.25,
                )
            }
            Self::Quantity => (text.contains(char::is_numeric), 1.25),
            Self::Meaning(words) => (defines(text, words), Self::MOST),
            Self::None => (false, 1.0),
        };
        if fits { weight } else { 1.0 }
    }
}

/// Whether the text begins by naming what is asked for and nothing else.
fn defines(text: &str, words: &HashMap<String, u32>) -> bool {
    let end = [":", " is ", " are ", " means "]
        .iter()
        .filter_map(|sign| text.find(sign))
        .min();
    let Some(named) = end
        .and_then(|end| text.get(..end))
        .filter(|named| named.len() <= 60)
    else {
        return false;
    };
    let (mut known, mut other) = (0, 0);
    each_word(named, |word| {
        *if words.contains_key(word) {
            &mut known
        } else {
            &mut other
        } += 1
    });
    known > 0 && other == 0
}
