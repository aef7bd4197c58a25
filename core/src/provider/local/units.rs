//! Cuts a passage into what can be quoted: sentences of its prose and comments, headings, table rows and lines of code.
//!
//! Units are ranges of the original text, so a large prompt is neither copied nor held twice; markup between the words
//! of a unit is taken out only when it is quoted.

use std::ops::Range;

use super::words::is_unspaced;

/// Longest quote, in bytes; a longer sentence is cut at a space.
const MAX_QUOTE: usize = 700;

/// Most units of a comment that are held for the line below it.
const MAX_HELD: usize = 64;
/// Most of that line that counts, in bytes.
const MAX_LINE: usize = 200;

/// What a passage is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Markdown or plain prose.
    Prose,
    /// Source code: prose stands in comments only.
    Source,
    /// Not said; told line by line.
    Unknown,
}

impl Syntax {
    /// Goes by the file name in a source such as `docs/guide.md:10-24`.
    pub(super) fn of(source: &str) -> Self {
        let path = source.rsplit_once(':').map_or(source, |(path, _)| path);
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        match name.rsplit_once('.') {
            None | Some(("", _)) => Self::Unknown,
            Some((_, extension)) => match extension.to_ascii_lowercase().as_str() {
                "md" | "mdx" | "markdown" | "txt" | "text" | "rst" | "adoc" | "org" | "tex" => {
                    Self::Prose
                }
                _ => Self::Source,
            },
        }
    }
}

/// What kind of text a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Prose,
    Row,
    Heading,
    Code,
}

/// One thing that can be quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
    /// The heading or the question it stands under, for the first units after it; in source code the line a comment
    /// stands above; else empty.
    pub(super) under: Range<usize>,
    /// It goes on after the cut.
    pub(super) cut: bool,
}

/// Calls `emit` with the units of `text` in order. One pass.
pub(super) fn each_unit(text: &str, syntax: Syntax, emit: &mut dyn FnMut(Unit)) {
    let mut cutter = Cutter {
        text,
        para: None,
        under: 0..0,
        since: 0,
        holds: false,
        held: Vec::new(),
        emit,
    };
    let mut fenced = false;
    let mut block: Option<&'static str> = None;
    let mut commented = false;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let was_commented = commented;
        let range;
        (commented, range) = comment(text, start..offset, syntax, &mut block);
        if commented != was_commented {
            cutter.flush();
        }
        let bare = text.get(range.clone()).unwrap_or("");
        let is_code_line = syntax == Syntax::Source && !commented;
        let attribute = bare.starts_with(['#', '@']) && !cutter.held.is_empty();
        cutter.holds =
            syntax == Syntax::Source && (commented || attribute) && cutter.held.len() < MAX_HELD;
        if !cutter.holds {
            cutter.release(range.start..floor(text, range.end.min(range.start + MAX_LINE)));
        }
        if is_code_line {
            fenced = false;
        }
        if bare.is_empty() {
            cutter.flush();
        } else if bare.starts_with("```") || bare.starts_with("~~~") {
            cutter.flush();
            fenced = !fenced;
        } else if fenced
            || is_code_line
            || syntax != Syntax::Prose && is_code(bare)
            || syntax == Syntax::Prose && is_markup(bare)
        {
            cutter.flush();
            cutter.whole(range, Kind::Code);
        } else if bare.starts_with('|') {
            cutter.flush();
            if bare.contains(char::is_alphanumeric) {
                cutter.whole(range, Kind::Row);
            }
        } else if let Some(skip) = heading(bare) {
            cutter.flush();
            cutter.whole(range.start + skip..range.end, Kind::Heading);
        } else {
            let skip = bullet(bare);
            if skip > 0 {
                cutter.flush();
            }
            cutter.extend(range.start + skip..range.end);
        }
    }
    cutter.flush();
    cutter.release(0..0);
}

/// The text of a unit for people: one line, without comment markers, white space folded.
pub(super) fn quote(text: &str, unit: &Unit, syntax: Syntax) -> String {
    let raw = text.get(unit.range.clone()).unwrap_or("");
    let mut out = String::new();
    let mut offset = 0;
    for line in raw.split_inclusive('\n') {
        let mut bare = line;
        if unit.kind == Kind::Prose && syntax != Syntax::Prose {
            let (_, text) = comment(raw, offset..offset + line.len(), syntax, &mut None);
            bare = raw.get(text).unwrap_or("");
            // The star of a block comment; a list item would have begun a unit of its own.
            bare = bare.strip_prefix("* ").unwrap_or(bare);
        }
        offset += line.len();
        for word in bare.split(|c: char| c.is_whitespace() || c.is_control()) {
            if word.is_empty() {
                continue;
            }
            let glued = out.chars().next_back().is_some_and(is_wide)
                && word.chars().next().is_some_and(is_wide);
            if !out.is_empty() && !glued {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    match unit.kind {
        Kind::Row => out = out.trim_matches(['|', ' ']).to_owned(),
        Kind::Code if out.contains('`') => out = format!("`` {out} ``"),
        Kind::Code => out = format!("`{out}`"),
        Kind::Prose | Kind::Heading => {}
    }
    if unit.cut {
        out.push_str(" …");
    }
    out
}

/// Characters that are written next to each other across a line break.
fn is_wide(c: char) -> bool {
    is_unspaced(c) && !matches!(u32::from(c), 0xAC00..=0xD7AF)
        || matches!(u32::from(c), 0x3000..=0x303F | 0xFF00..=0xFF65)
}

/// Whether the line is a comment of source code, and where its text is without marker and white space.
fn comment(
    text: &str,
    line: Range<usize>,
    syntax: Syntax,
    block: &mut Option<&'static str>,
) -> (bool, Range<usize>) {
    let raw = text.get(line.clone()).unwrap_or("");
    let mut bare = raw.trim();
    let mut start = line.start + (raw.len() - raw.trim_start().len());
    if syntax == Syntax::Prose {
        return (false, start..start + bare.len());
    }
    let mut commented = block.is_some();
    let skip = |bare: &mut &str, start: &mut usize, n: usize| {
        let rest = bare.get(n..).unwrap_or("");
        *start += bare.len() - rest.trim_start().len();
        *bare = rest.trim_start();
    };
    if block.is_none() {
        for (open, close) in [
            ("/*", "*/"),
            ("\"\"\"", "\"\"\""),
            ("'''", "'''"),
            ("<!--", "-->"),
        ] {
            if bare.starts_with(open) {
                skip(&mut bare, &mut start, open.len());
                *block = Some(close);
                commented = true;
            }
        }
    }
    if let Some(close) = *block {
        if let Some(at) = bare.find(close) {
            bare = bare.get(..at).unwrap_or("").trim_end();
            *block = None;
        }
        if close == "*/" {
            let stars = bare.len() - bare.trim_start_matches(['*', '!']).len();
            skip(&mut bare, &mut start, stars);
        }
    } else {
        for marker in ["///", "//!", "//", "--", ";;", "#!", "#"] {
            if let Some(rest) = bare.strip_prefix(marker)
                && (rest.is_empty()
                    || rest.starts_with(char::is_whitespace)
                    || marker.starts_with('/'))
                && (syntax == Syntax::Source || marker.starts_with('/'))
            {
                skip(&mut bare, &mut start, marker.len());
                commented = true;
                break;
            }
        }
    }
    if commented && bare.starts_with("//") {
        // A comment in the example of a comment.
        skip(&mut bare, &mut start, 2);
    }
    (commented, start..start + bare.len())
}

/// Length of the marker of a Markdown heading.
fn heading(line: &str) -> Option<usize> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    let text = rest.trim_start();
    ((1..=6).contains(&level) && rest.starts_with(' ') && !text.is_empty())
        .then_some(line.len() - text.len())
}

/// Length of a list or quotation marker, 0 without one.
fn bullet(line: &str) -> usize {
    let digits = line.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let marker = match line.chars().next() {
        Some(c @ ('-' | '*' | '+' | '•' | '>')) => c.len_utf8(),
        _ if digits > 0 && matches!(line.as_bytes().get(digits), Some(b'.' | b')')) => digits + 1,
        _ => return 0,
    };
    match line.get(marker..) {
        Some(rest) if rest.starts_with(' ') => line.len() - rest.trim_start().len(),
        _ => 0,
    }
}

/// Whether a line of unknown syntax looks like code rather than a sentence.
fn is_code(line: &str) -> bool {
    let symbols = line
        .bytes()
        .take(400)
        .filter(|b| b"{}[]()<>=;&|$\\_".contains(b))
        .count();
    let letters = line
        .chars()
        .take(400)
        .filter(|c| c.is_alphanumeric())
        .count();
    line.ends_with(['{', '}', ';']) && symbols > 0 || symbols * 3 > letters
}

/// Whether a line of Markdown is an image, a badge or HTML.
fn is_markup(line: &str) -> bool {
    line.starts_with("![")
        || line.starts_with("[![")
        || line.starts_with('<') && line.ends_with('>')
}

struct Cutter<'a> {
    text: &'a str,
    para: Option<Range<usize>>,
    under: Range<usize>,
    since: usize,
    /// Units of a comment are held until the line that they stand above is known.
    holds: bool,
    held: Vec<Unit>,
    emit: &'a mut dyn FnMut(Unit),
}

impl Cutter<'_> {
    fn extend(&mut self, range: Range<usize>) {
        match &mut self.para {
            Some(para) => para.end = range.end,
            None => self.para = Some(range),
        }
    }

    /// A line that is a unit by itself.
    fn whole(&mut self, range: Range<usize>, kind: Kind) {
        let cut = range.len() > MAX_QUOTE;
        let end = if cut {
            floor(self.text, range.start + MAX_QUOTE)
        } else {
            range.end
        };
        self.unit(range.start..end, kind, cut);
        if kind == Kind::Heading {
            (self.under, self.since) = (range.start..end, 0);
        }
    }

    fn unit(&mut self, range: Range<usize>, kind: Kind, cut: bool) {
        let under = if self.since < 2 {
            self.under.clone()
        } else {
            0..0
        };
        self.since += 1;
        let unit = Unit {
            range,
            kind,
            under,
            cut,
        };
        if self.holds {
            self.held.push(unit);
        } else {
            (self.emit)(unit);
        }
    }

    /// Emits what is held; `below` is the line of code below it, empty where there is none.
    fn release(&mut self, below: Range<usize>) {
        for mut unit in self.held.drain(..) {
            if unit.under.is_empty() {
                unit.under = below.clone();
            }
            (self.emit)(unit);
        }
    }

    /// Ends a paragraph: its sentences are units.
    fn flush(&mut self) {
        let Some(para) = self.para.take() else { return };
        let text = self.text.get(para.clone()).unwrap_or("");
        let base = para.start;
        sentences(text, &mut |range, cut| {
            let asks = text
                .get(range.clone())
                .is_some_and(|s| s.ends_with(['?', '？', '؟']));
            let range = base + range.start..base + range.end;
            self.unit(range.clone(), Kind::Prose, cut);
            if asks {
                (self.under, self.since) = (range, 0);
            }
        });
    }
}

/// Calls `emit` with the sentences of a paragraph, and whether one was cut for its length.
pub(super) fn sentences(text: &str, emit: &mut dyn FnMut(Range<usize>, bool)) {
    let mut start = 0;
    let mut space = 0;
    let mut chars = text.char_indices().peekable();
    let mut push = |range: Range<usize>, cut: bool| {
        let raw = text.get(range.clone()).unwrap_or("");
        let bare = raw.trim();
        if bare.contains(char::is_alphanumeric) {
            let start = range.start + raw.len() - raw.trim_start().len();
            emit(start..start + bare.len(), cut);
        }
    };
    while let Some((i, c)) = chars.next() {
        let mut end = i + c.len_utf8();
        if c.is_whitespace() {
            space = i;
        }
        let wide = matches!(c, '。' | '！' | '？' | '｡' | '．');
        if wide || matches!(c, '.' | '!' | '?' | '…' | '؟' | '۔' | '।' | '॥') {
            while let Some(&(j, closer)) = chars.peek() {
                if end - start > MAX_QUOTE
                    || !matches!(
                        closer,
                        '.' | '!'
                            | '?'
                            | '。'
                            | '！'
                            | '？'
                            | '"'
                            | '\''
                            | ')'
                            | ']'
                            | '”'
                            | '’'
                            | '»'
                            | '」'
                            | '』'
                            | '）'
                            | '*'
                            | '_'
                            | '`'
                    )
                {
                    break;
                }
                end = j + closer.len_utf8();
                chars.next();
            }
            let rest = text.get(end..).unwrap_or("");
            let ends = wide
                || rest.is_empty()
                || rest.starts_with(char::is_whitespace) && !goes_on(text.get(start..i), c, rest);
            if ends {
                push(start..end, false);
                (start, space) = (end, end);
            }
        }
        if end - start > MAX_QUOTE {
            let at = if space > start + MAX_QUOTE / 2 {
                space
            } else {
                end
            };
            push(start..at, true);
            (start, space) = (at, at);
        }
    }
    push(start..text.len(), false);
}

/// Whether a full stop after `before` is part of an abbreviation, or the sentence goes on in lower case.
fn goes_on(before: Option<&str>, stop: char, rest: &str) -> bool {
    if rest.trim_start().starts_with(char::is_lowercase) {
        return true;
    }
    let word = before
        .and_then(|b| b.rsplit(|c: char| c.is_whitespace() || c == '(').next())
        .unwrap_or("");
    let known = [
        "mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "cf", "fig", "no", "al",
        "approx", "ca", "incl", "resp", "pp", "eq",
    ];
    let initial = word.len() == 1 && word.starts_with(|c: char| c.is_ascii_uppercase());
    stop == '.' && (initial || known.iter().any(|k| k.eq_ignore_ascii_case(word)))
}

/// The largest character boundary at or below `at`.
pub(super) fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "units_tests.rs"]
mod tests;
