//! A text as words, the way all gates read it.

use super::lists;

/// A word without the marks around it.
#[derive(Debug)]
pub(super) struct Word<'a> {
    /// As it is written.
    pub(super) raw: &'a str,
    /// In lower case, with straight apostrophes and without a possessive `'s`.
    pub(super) lower: String,
    /// It begins a sentence.
    pub(super) first: bool,
    /// Quotation marks open right before it.
    pub(super) quoted: bool,
    /// A comma or another mark follows it.
    pub(super) stops: bool,
}

const OPENING: [char; 18] = [
    '(', '[', '{', '<', '"', '\'', '“', '”', '„', '‘', '’', '«', '»', '¿', '¡', '*', '`', '「',
];
const CLOSING: [char; 25] = [
    ')', ']', '}', '>', '"', '\'', '“', '”', '‘', '’', '«', '»', ',', ';', ':', '!', '?', '.', '…',
    '*', '`', '」', '。', '？', '、',
];
const QUOTES: [char; 9] = ['"', '\'', '“', '„', '‘', '«', '»', '`', '「'];

/// The words of a text, in order.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    for line in text.split(['\n', '\r']) {
        let mut first = true;
        for chunk in line.split(|c: char| c.is_whitespace() || c == '–' || c == '—') {
            let inner = chunk.trim_start_matches(OPENING);
            let opened = &chunk[..chunk.len() - inner.len()];
            let raw = inner.trim_end_matches(CLOSING);
            if raw.is_empty() {
                continue;
            }
            let after = &inner[raw.len()..];
            words.push(Word {
                raw,
                lower: lower(raw),
                first,
                quoted: opened.contains(QUOTES),
                stops: !after.is_empty(),
            });
            first = after.contains(['.', '!', '?', '。', '？']);
        }
    }
    words
}

fn lower(raw: &str) -> String {
    let lower = raw.to_lowercase().replace('’', "'");
    match lower.strip_suffix("'s") {
        Some(owner) if !matches!(owner, "it" | "that" | "what" | "who" | "let") => owner.to_owned(),
        _ => lower,
    }
}

/// Words that carry no subject of their own.
pub(super) fn is_function(word: &str) -> bool {
    lists::FUNCTION.contains(word)
}
