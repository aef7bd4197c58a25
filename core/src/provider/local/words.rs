//! Words of prose and code in one form, so that a question finds the text that answers it.
//!
//! `CompletionRequest`, `completion_request` and "completion requests" share their words. Nothing here depends on the
//! platform or a locale: the same text gives the same words everywhere.

/// Longest word looked at, in characters; the rest of a longer one is skipped.
const MAX_WORD: usize = 64;

/// Calls `emit` with every word of `text` that carries meaning, in order, in normal form.
///
/// Words are lower case with English plural, `-ing`, `-ed` and `-ion` endings taken off; identifiers are split at `_`
/// and at changes of case and also given whole; scripts written without spaces come as pairs of characters; Arabic loses
/// its vowel signs and article. Common English words (`the`, `why`) are left out. One pass, memory bounded by one word.
pub fn each_word(text: &str, mut emit: impl FnMut(&str)) {
    let mut word = String::new();
    let mut start = None;
    let mut plain = true;
    let mut pair: Option<(char, bool)> = None;
    for (i, c) in text.char_indices() {
        let unspaced = !c.is_ascii() && is_unspaced(c);
        if !unspaced && (c == '_' || c.is_alphanumeric() || is_arabic_mark(c)) {
            if start.is_none() {
                (start, plain) = (Some(i), true);
                alone(&mut pair, &mut word, &mut emit);
            }
            plain &= c.is_ascii_lowercase() || c.is_ascii_digit() || start == Some(i) && c != '_';
            continue;
        }
        if let Some(start) = start.take() {
            run(
                text.get(start..i).unwrap_or(""),
                plain,
                &mut word,
                &mut emit,
            );
        }
        if unspaced {
            if let Some((before, _)) = pair {
                word.clear();
                word.extend([before, c]);
                emit(&word);
            }
            pair = Some((c, pair.is_some()));
        } else {
            alone(&mut pair, &mut word, &mut emit);
        }
    }
    if let Some(start) = start {
        run(text.get(start..).unwrap_or(""), plain, &mut word, &mut emit);
    }
    alone(&mut pair, &mut word, &mut emit);
}

/// Ends a run of unspaced characters: one that stands alone has been in no pair and is a word.
fn alone(pair: &mut Option<(char, bool)>, word: &mut String, emit: &mut impl FnMut(&str)) {
    if let Some((c, false)) = pair.take() {
        word.clear();
        word.push(c);
        emit(word);
    }
}

/// Whether the script of `c` is written without spaces between words (or, for Hangul, glues particles to them).
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0xFF66..=0xFF9D
        | 0x20000..=0x3FFFF)
        && c.is_alphanumeric()
}

fn is_arabic_mark(c: char) -> bool {
    matches!(c, '\u{0640}' | '\u{064B}'..='\u{065F}' | '\u{0670}')
}

/// Emits the words of an identifier or a word; `plain` says that nothing in it needs splitting.
fn run(raw: &str, plain: bool, word: &mut String, emit: &mut impl FnMut(&str)) {
    word.clear();
    if plain && raw.is_ascii() {
        word.push_str(raw.get(..MAX_WORD).unwrap_or(raw));
        word.make_ascii_lowercase();
        return finish(word, emit);
    }
    let mut whole = String::new();
    let mut parts = 0;
    let mut before: Option<char> = None;
    let mut chars = raw.chars().take(MAX_WORD).peekable();
    while let Some(c) = chars.next() {
        let starts = c == '_'
            || c.is_uppercase()
                && before.is_some_and(|b| {
                    b.is_lowercase()
                        || b.is_uppercase() && chars.peek().is_some_and(|a| a.is_lowercase())
                });
        if starts && !word.is_empty() {
            parts += 1;
            finish(word, emit);
        }
        if c != '_' && !is_arabic_mark(c) {
            let plain = match c {
                'أ' | 'إ' | 'آ' => 'ا',
                'ة' => 'ه',
                'ى' => 'ي',
                c => c,
            };
            word.extend(plain.to_lowercase());
            whole.extend(plain.to_lowercase());
        }
        before = Some(c);
    }
    if !word.is_empty() {
        parts += 1;
        finish(word, emit);
    }
    if parts > 1 {
        emit(&whole);
    }
}

fn finish(word: &mut String, emit: &mut impl FnMut(&str)) {
    if word.len() > LONGEST_STOP || STOP.binary_search(&word.as_str()).is_err() {
        stem(word);
        emit(word);
    }
    word.clear();
}

/// Takes light endings off an English word, and the article off an Arabic one.
fn stem(word: &mut String) {
    if !word.is_ascii() {
        let bare = ["وال", "بال", "لل", "ال"]
            .iter()
            .find_map(|article| word.strip_prefix(article));
        if let Some(bare) = bare.filter(|bare| bare.chars().count() >= 3) {
            *word = bare.to_owned();
        }
        return;
    }
    if word.len() < 4 || word.bytes().any(|b| b.is_ascii_digit()) {
        return;
    }
    let ends = |word: &String, ending: &str| word.ends_with(ending);
    let cut = |word: &mut String, n: usize| word.truncate(word.len().saturating_sub(n));
    if word.len() > 4 && ends(word, "ies") {
        cut(word, 3);
        word.push('y');
    } else if ["sses", "xes", "zes", "ches", "shes"]
        .iter()
        .any(|e| word.ends_with(e))
    {
        cut(word, 2);
    } else if ends(word, "s") && !["ss", "us", "is"].iter().any(|e| word.ends_with(e)) {
        cut(word, 1);
    }
    let ending = if word.len() >= 6 && ends(word, "ing") {
        3
    } else if word.len() >= 5 && ends(word, "ed") && !ends(word, "eed") {
        2
    } else if word.len() >= 7 && (ends(word, "tion") || ends(word, "sion")) {
        3
    } else {
        0
    };
    let stem_end = word.len().saturating_sub(ending);
    if ending > 0 && word.bytes().take(stem_end).any(|b| b"aeiouy".contains(&b)) {
        cut(word, ending);
        if let [.., a, b] = word.as_bytes()
            && a == b
            && !b"lsz".contains(b)
        {
            cut(word, 1);
        } else if word.len() > 5 && ends(word, "ll") {
            cut(word, 1);
        }
    }
    if word.len() >= 5 && ends(word, "e") {
        cut(word, 1);
    }
}

const LONGEST_STOP: usize = 7;

/// Words too common to tell one sentence from another, sorted.
const STOP: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "being", "but", "by", "can", "could", "d", "did", "do", "does",
    "doing", "don", "during", "each", "for", "from", "had", "has", "have", "having", "he", "her",
    "here", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "ll", "m",
    "may", "me", "might", "mine", "more", "most", "much", "must", "my", "no", "nor", "not", "of",
    "on", "or", "our", "ours", "out", "over", "own", "please", "re", "s", "shall", "she", "should",
    "so", "some", "such", "t", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "to", "too", "until", "up", "us", "ve", "very", "was", "we", "were",
    "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with",
    "would", "you", "your", "yours",
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        each_word(text, |word| out.push(word.to_owned()));
        out
    }

    #[test]
    fn the_stop_words_are_sorted() {
        assert!(STOP.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(STOP.iter().map(|word| word.len()).max(), Some(LONGEST_STOP));
    }

    #[test]
    fn identifiers_and_prose_share_words() {
        assert_eq!(
            words("CompletionRequest"),
            ["complet", "request", "completionrequest"]
        );
        assert_eq!(
            words("completion_request"),
            ["complet", "request", "completionrequest"]
        );
        assert_eq!(words("Completed requests"), ["complet", "request"]);
        assert_eq!(words("HTTPServer"), ["http", "server", "httpserver"]);
        assert_eq!(words("__init__"), ["init"]);
    }

    #[test]
    fn endings_come_off() {
        for (a, b) in [
            ("caches", "caching"),
            ("cached", "cache"),
            ("retries", "retry"),
            ("cancelled", "cancels"),
            ("stopped", "stops"),
            ("estimation", "estimate"),
            ("boxes", "box"),
            ("filling", "fills"),
        ] {
            assert_eq!(words(a), words(b), "{a} {b}");
        }
        assert_eq!(
            words("status class this bed sing"),
            ["status", "class", "bed", "sing"]
        );
    }

    #[test]
    fn scripts_without_spaces_come_in_pairs() {
        assert_eq!(words("缓存命中"), ["缓存", "存命", "命中"]);
        assert_eq!(words("在 rust 里"), ["在", "rust", "里"]);
        assert_eq!(
            words("キャッシュは"),
            ["キャ", "ャッ", "ッシ", "シュ", "ュは"]
        );
    }

    #[test]
    fn arabic_loses_article_and_vowel_signs() {
        assert_eq!(words("القاهرة"), words("قاهره"));
        assert_eq!(words("كِتَابٌ"), words("كتاب"));
    }

    #[test]
    fn a_long_word_is_cut_and_odd_text_is_harmless() {
        let long = "x".repeat(1_000_000);
        assert_eq!(words(&long), ["x".repeat(MAX_WORD)]);
        for text in [
            "",
            "___",
            "\u{0301}\u{200d}",
            "🧑‍🚀🧑‍🚀",
            "\u{202e}abc",
            "ﷺ",
            "İstanbul ß ſ",
        ] {
            words(text);
        }
    }
}
