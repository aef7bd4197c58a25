//! Cuts text into the pieces that are merged separately: the published split patterns, by hand.
//!
//! The patterns (tiktoken's `openai_public.py`) are regular expressions with look-ahead and backtracking; a general
//! engine spends most of the time of a count on them. Here each is a deterministic scan: ASCII first, without
//! decoding, and the general scan for the rest. The comments name the alternative of the pattern that a line stands for.

use std::cell::Cell;

use super::class::{self, *};

/// Which published split pattern an encoding uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// o200k_base and o200k_harmony.
    O200k,
    /// cl100k_base.
    Cl100k,
    /// gpt2, r50k_base, p50k_base and p50k_edit.
    Gpt2,
}

/// A text under scan, and whether a decision so far depended on where the text ends.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    met_end: Cell<bool>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            met_end: Cell::new(false),
        }
    }

    /// Whether a scan looked past the last byte: if not, text added later can't change any piece found so far.
    pub(super) fn met_end(&self) -> bool {
        self.met_end.get()
    }

    /// End of the piece that starts at `at`, which must lie before the end of the text and where a piece can start.
    #[inline(always)]
    pub(super) fn piece_end<const PATTERN: u8>(&self, at: usize) -> usize {
        if PATTERN == O200K {
            match self.ascii_o200k(at) {
                Some(end) => end,
                None => self.o200k(at),
            }
        } else if PATTERN == CL100K {
            match self.ascii_cl100k(at) {
                Some(end) => end,
                None => self.cl100k(at),
            }
        } else {
            self.gpt2(at)
        }
    }

    /// The byte at a position, 0 past the end.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        match self.bytes.get(at) {
            Some(b) => *b,
            None => {
                self.met_end.set(true);
                0
            }
        }
    }

    /// Class and width of the character at a position; `END` and 0 past the end.
    #[inline(always)]
    fn class(&self, at: usize) -> (u8, usize) {
        match class::decode(self.bytes, at) {
            Some((code, width)) => (class::of(code), width),
            None => {
                self.met_end.set(true);
                (END, 0)
            }
        }
    }

    /// End of the run of characters whose class is in `set`.
    #[inline]
    fn run(&self, mut at: usize, set: u8) -> usize {
        loop {
            let (class, width) = self.class(at);
            if class & set == 0 {
                return at;
            }
            at += width;
        }
    }

    /// End after a contraction (`'s 't 're 've 'm 'll 'd`, any case) at a position, or the position itself.
    /// Case folding makes U+017F (long s) an `s`.
    #[inline]
    fn contraction(&self, at: usize) -> usize {
        if self.byte(at) != b'\'' {
            return at;
        }
        let length = match self.byte(at + 1) | 0x20 {
            b's' | b't' | b'm' | b'd' => 2,
            b'l' if self.byte(at + 2) | 0x20 == b'l' => 3,
            b'r' | b'v' if self.byte(at + 2) | 0x20 == b'e' => 3,
            // 0xC5 0xBF is U+017F; the | 0x20 above turned 0xC5 into 0xE5.
            0xe5 if self.byte(at + 1) == 0xc5 && self.byte(at + 2) == 0xbf => 3,
            _ => 0,
        };
        at + length
    }

    /// `\p{N}{1,3}`.
    fn digits(&self, mut at: usize) -> usize {
        for _ in 0..3 {
            let (class, width) = self.class(at);
            if class & NUMBER == 0 {
                break;
            }
            at += width;
        }
        at
    }

    /// White space at `at`: `\s*[\r\n]+`, `\s+(?!\S)`, `\s+`; with `end_first`, `\s+$` goes before them;
    /// without `newlines` the first of them is absent.
    fn white(&self, at: usize, end_first: bool, newlines: bool) -> usize {
        let (mut end, mut last, mut after_newline) = (at, at, None);
        let at_end = loop {
            let (class, width) = self.class(end);
            if class & WHITE == 0 {
                break class == END;
            }
            last = end;
            end += width;
            if class == NEWLINE {
                after_newline = Some(end);
            }
        };
        match after_newline {
            _ if at_end && end_first => end,
            Some(position) if newlines => position,
            _ if at_end || last == at => end,
            // The last white-space character goes with what follows it.
            _ => last,
        }
    }

    /// The letters of an o200k word from `at`: `U*W+` or else `U+W*`, where U is upper, uncased or mark and W is lower,
    /// uncased or mark. Says the end, and whether the first form matched; `None` if neither does.
    #[inline]
    fn o200k_letters(&self, at: usize) -> Option<(usize, bool)> {
        let (mut end, mut after_common) = (at, None);
        loop {
            let (class, width) = self.class(end);
            if class & (UPPER | UNCASED | MARK) != 0 {
                end += width;
                if class != UPPER {
                    after_common = Some(end);
                }
            } else if class == LOWER {
                return Some((self.run(end, LOWER | UNCASED | MARK), true));
            } else {
                break;
            }
        }
        match after_common {
            // No lower-case letter follows: U* gives back until the last character that is also in W.
            Some(common) => Some((common, true)),
            None if end > at => Some((end, false)),
            None => None,
        }
    }

    fn o200k(&self, at: usize) -> usize {
        let (first, width) = self.class(at);
        if first == NUMBER {
            return self.digits(at);
        }
        let mut word = None;
        if first & LETTER != 0 {
            word = self.o200k_letters(at).map(|(end, _)| end);
        } else if first != NEWLINE {
            // [^\r\n\p{L}\p{N}]? takes the first character; a mark can also begin the letters itself,
            // which is tried before the second form.
            word = match self.o200k_letters(at + width) {
                Some((end, true)) => Some(end),
                _ if first == MARK => Some(at + width),
                Some((end, false)) => Some(end),
                None => None,
            };
        }
        if let Some(end) = word {
            return self.contraction(end);
        }
        self.punctuation(at, true)
            .unwrap_or_else(|| self.white(at, false, true))
    }

    /// ` ?[^\s\p{L}\p{N}]+[\r\n]*`, where o200k also takes slashes after it.
    fn punctuation(&self, at: usize, slash: bool) -> Option<usize> {
        let start = at + usize::from(self.byte(at) == b' ');
        let mut end = self.run(start, PUNCTUATION);
        if end == start {
            return None;
        }
        while matches!(self.byte(end), b'\r' | b'\n') || (slash && self.byte(end) == b'/') {
            end += 1;
        }
        Some(end)
    }

    fn cl100k(&self, at: usize) -> usize {
        let end = self.contraction(at);
        if end > at {
            return end;
        }
        let (first, width) = self.class(at);
        if first == NUMBER {
            return self.digits(at);
        }
        if first & LETTER != 0 {
            return self.run(at, LETTER);
        }
        if first != NEWLINE {
            let start = at + width;
            let end = self.run(start, LETTER);
            if end > start {
                return end;
            }
        }
        self.punctuation(at, false)
            .unwrap_or_else(|| self.white(at, true, true))
    }

    fn gpt2(&self, at: usize) -> usize {
        if self.byte(at) == b'\'' {
            match self.byte(at + 1) {
                b's' | b'd' | b'm' | b't' => return at + 2,
                b'l' if self.byte(at + 2) == b'l' => return at + 3,
                b'v' | b'r' if self.byte(at + 2) == b'e' => return at + 3,
                _ => {}
            }
        }
        let start = at + usize::from(self.byte(at) == b' ');
        let (class, _) = self.class(start);
        for set in [LETTER, NUMBER, PUNCTUATION] {
            if class & set != 0 {
                return self.run(start, set);
            }
        }
        self.white(at, true, false)
    }

    /// `o200k` for a piece of ASCII that is followed by an ASCII character; `None` for all else.
    #[inline(always)]
    fn ascii_o200k(&self, at: usize) -> Option<usize> {
        let bytes = self.bytes;
        let first = ASCII[usize::from(*bytes.get(at)?)];
        let start = at + usize::from(first & (OTHER | SPACE) != 0);
        let mut end = start;
        while ASCII[usize::from(*bytes.get(end)?)] == UPPER {
            end += 1;
        }
        end = lower_run(bytes, end);
        if end > start {
            // A byte above ASCII may go on with the word; an apostrophe may begin a contraction.
            return match *bytes.get(end)? {
                b'\'' => {
                    let after = self.contraction(end);
                    bytes.get(after + 2).map(|_| after)
                }
                0x80.. => None,
                _ => Some(end),
            };
        }
        self.ascii_rest(at, first, true)
    }

    /// `cl100k` for a piece of ASCII that is followed by an ASCII character; `None` for all else.
    #[inline(always)]
    fn ascii_cl100k(&self, at: usize) -> Option<usize> {
        let bytes = self.bytes;
        let byte = *bytes.get(at)?;
        let first = ASCII[usize::from(byte)];
        if byte == b'\'' {
            return None;
        }
        let start = at + usize::from(first & (OTHER | SPACE) != 0);
        let mut end = start;
        loop {
            end = lower_run(bytes, end);
            match ASCII[usize::from(*bytes.get(end)?)] {
                UPPER => end += 1,
                END => return None,
                _ => break,
            }
        }
        if end > start {
            return Some(end);
        }
        self.ascii_rest(at, first, false)
    }

    /// Digits, punctuation and white space in ASCII, where no word begins; `slash` tells o200k from cl100k.
    #[inline(always)]
    fn ascii_rest(&self, at: usize, first: u8, slash: bool) -> Option<usize> {
        let class = |at: usize| self.bytes.get(at).map(|b| ASCII[usize::from(*b)]);
        if first == NUMBER {
            for end in at + 1..at + 3 {
                match class(end)? {
                    END => return None,
                    NUMBER => {}
                    _ => return Some(end),
                }
            }
            return Some(at + 3);
        }
        let start = at + usize::from(self.bytes.get(at) == Some(&b' '));
        if class(start)? == OTHER {
            let mut end = start + 1;
            while class(end)? == OTHER {
                end += 1;
            }
            loop {
                match *self.bytes.get(end)? {
                    b'\r' | b'\n' => end += 1,
                    b'/' if slash => end += 1,
                    // It may go on with the punctuation.
                    0x80.. => return None,
                    _ => return Some(end),
                }
            }
        }
        if first & WHITE == 0 {
            return None;
        }
        let (mut end, mut after_newline) = (at, None);
        loop {
            match class(end)? {
                NEWLINE => {
                    end += 1;
                    after_newline = Some(end);
                }
                SPACE => end += 1,
                END => return None,
                _ => break,
            }
        }
        Some(match after_newline {
            Some(position) => position,
            None if end == at + 1 => end,
            None => end - 1,
        })
    }
}

/// [`Pattern`] as a constant parameter, so that each count loop is compiled for its pattern.
pub(super) const O200K: u8 = Pattern::O200k as u8;
pub(super) const CL100K: u8 = Pattern::Cl100k as u8;
pub(super) const GPT2: u8 = Pattern::Gpt2 as u8;

/// End of the run of ASCII lower-case letters from `at`, eight bytes at a time.
#[inline(always)]
fn lower_run(bytes: &[u8], mut at: usize) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let seven = word & !HIGH;
        // Adding 0x1f carries into the top bit from 'a' on, adding 0x05 from '{' on.
        let lower =
            (seven + 0x1f1f_1f1f_1f1f_1f1f) & !(seven + 0x0505_0505_0505_0505) & !word & HIGH;
        if lower != HIGH {
            return at + ((lower ^ HIGH).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(u8::is_ascii_lowercase) {
        at += 1;
    }
    at
}
