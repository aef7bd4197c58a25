//! Numbers, in figures or words, with their signs, units, dates and versions.

use super::measure::{date_word, magnitude, number_word, short_unit, unit};
use super::text::Word;

/// Whether the texts name different numbers, or the same in another order, or other units, dates or operators.
pub(super) fn differ(a: &str, b: &str) -> bool {
    let (a, b) = (Figures::of(a), Figures::of(b));
    a.numbers != b.numbers || a.measures != b.measures
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// In the order they stand.
    pub(super) numbers: Vec<String>,
    /// Units and words of time, sorted.
    pub(super) measures: Vec<&'static str>,
}

impl Figures {
    pub(super) fn of(text: &str) -> Self {
        let mut out = Self::default();
        let mut spelt = Spelt::default();
        let mut after_number = false;
        let words = super::text::words(text);
        let marks = text.split_whitespace().filter(|chunk| is_mark(chunk));
        let mut operators: Vec<String> = marks.map(str::to_owned).collect();
        for (place, word) in words.iter().enumerate() {
            if word.raw.chars().any(char::is_numeric) {
                spelt.end(&mut out.numbers);
                out.digits(word.raw);
                after_number = true;
                continue;
            }
            let was_after = std::mem::take(&mut after_number);
            let next = words.get(place + 1);
            let before = next.is_some_and(|next| next.raw.chars().any(char::is_numeric));
            for piece in word.lower.split('-').filter(|piece| !piece.is_empty()) {
                if let Some(number) = number_word(piece) {
                    spelt.small(number, &mut out.numbers);
                    after_number = true;
                } else if let Some(times) = magnitude(piece) {
                    if !spelt.times(times) {
                        out.numbers.push(format!("×{times}"));
                    }
                    after_number = true;
                } else {
                    spelt.end(&mut out.numbers);
                    let unit = unit(piece)
                        .or_else(|| short_unit(piece).filter(|_| was_after))
                        .or_else(|| date_word(piece, is_named(word) || was_after || before));
                    out.measures.extend(unit);
                }
            }
        }
        spelt.end(&mut out.numbers);
        for symbol in text.chars() {
            out.measures.extend(symbol_unit(symbol));
        }
        out.measures.sort_unstable();
        out.numbers.append(&mut operators);
        out
    }

    /// The figures of one word, which may be glued to letters, signs and each other.
    fn digits(&mut self, word: &str) {
        let chars: Vec<char> = word.chars().collect();
        let at = |i: usize| chars.get(i).copied().unwrap_or(' ');
        let mut i = 0;
        while i < chars.len() {
            if !at(i).is_numeric() {
                if is_operator(at(i)) && (i > 0 || at(i) != '-') {
                    self.numbers.push(at(i).to_string());
                }
                i += 1;
                continue;
            }
            let mut number = String::new();
            if i == 1 && matches!(at(0), '-' | '−') {
                number.push('-');
            }
            let begin = i;
            while at(i).is_numeric() || (is_joint(at(i)) && at(i + 1).is_numeric()) {
                number.push(at(i));
                i += 1;
            }
            if is_grouped(chars.get(begin..i).unwrap_or_default()) {
                number.retain(|c| c != ',');
            }
            let mut suffix = String::new();
            while at(i).is_alphabetic() {
                suffix.extend(at(i).to_lowercase());
                i += 1;
            }
            match suffix.as_str() {
                "st" | "nd" | "rd" | "th" => {}
                _ => match unit(&suffix).or_else(|| short_unit(&suffix)) {
                    Some(unit) => self.measures.push(unit),
                    None => number.push_str(&suffix),
                },
            }
            self.numbers.push(number);
        }
    }
}

/// Between two digits it belongs to their number, date or version.
fn is_joint(c: char) -> bool {
    matches!(c, '.' | ',' | ':' | '/' | '-' | '\'' | '_')
}

fn is_operator(c: char) -> bool {
    matches!(
        c,
        '+' | '*'
            | '×'
            | '÷'
            | '/'
            | '^'
            | '='
            | '<'
            | '>'
            | '≤'
            | '≥'
            | '≠'
            | '±'
            | '√'
            | '!'
            | '-'
            | '−'
            | '|'
            | '&'
            | '~'
    )
}

/// A word that is nothing but an operator.
fn is_mark(chunk: &str) -> bool {
    chunk.len() <= 8 && chunk.chars().all(|c| is_operator(c) && c != '!')
}

/// `1,000` and `12,345,678`, not `1,5` and not `1,000,5`.
fn is_grouped(number: &[char]) -> bool {
    let mut groups = number.split(|c| *c == ',');
    let digits = |group: &[char]| group.iter().all(|c| c.is_numeric() || *c == '.');
    let head = groups.next().unwrap_or_default();
    let mut more = false;
    (1..=3).contains(&head.len())
        && digits(head)
        && groups.all(|group| {
            more = true;
            digits(group) && group.iter().take_while(|c| c.is_numeric()).count() == 3
        })
        && more
}

/// A word that stands like a name: `May`, not `may`.
fn is_named(word: &Word<'_>) -> bool {
    !word.first && word.raw.starts_with(char::is_uppercase)
}

fn symbol_unit(c: char) -> Option<&'static str> {
    Some(match c {
        '%' => "%",
        '‰' => "‰",
        '°' => "°",
        '$' => "usd",
        '€' => "eur",
        '£' => "gbp",
        '¥' => "jpy",
        '₹' => "inr",
        '√' => "√",
        '∑' => "∑",
        '∫' => "∫",
        'π' => "π",
        '∞' => "∞",
        _ => return None,
    })
}

/// A number in words under way: `twenty-five`, `two hundred`, `three million`.
#[derive(Default)]
struct Spelt {
    whole: Option<u64>,
    /// The last word was one of the tens, so a small one belongs to it.
    tens: bool,
}

impl Spelt {
    fn small(&mut self, number: u64, out: &mut Vec<String>) {
        match self.whole {
            Some(tens) if self.tens && number < 10 && number > 0 => {
                self.whole = Some(tens.saturating_add(number));
                self.tens = false;
            }
            Some(hundreds) if hundreds >= 100 && number < 100 && hundreds.is_multiple_of(100) => {
                self.whole = Some(hundreds.saturating_add(number));
                self.tens = number >= 20;
            }
            _ => {
                self.end(out);
                self.whole = Some(number);
                self.tens = number >= 20 && number.is_multiple_of(10);
            }
        }
    }

    fn times(&mut self, times: u64) -> bool {
        self.tens = false;
        match &mut self.whole {
            Some(whole) => {
                *whole = whole.saturating_mul(times);
                true
            }
            None => false,
        }
    }

    fn end(&mut self, out: &mut Vec<String>) {
        self.tens = false;
        out.extend(self.whole.take().map(|whole| whole.to_string()));
    }
}
