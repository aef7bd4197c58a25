//! Cuts a file into passages that stand for themselves: sections of Markdown, items of code.

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The file, as [`super::walk::Found::name`] has it.
    pub path: String,
    /// Its first line, from 1.
    pub first: u32,
    /// Its last line.
    pub last: u32,
    /// The lines, as they are in the file.
    pub text: String,
}

impl Passage {
    /// How it is cited: `path:first-last`.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{}:{}-{}", self.path, self.first, self.last)
    }
}

/// Most lines of a passage.
const MAX_LINES: usize = 40;
/// Most bytes of a passage; a longer line is cut into passages of its own.
const MAX_BYTES: usize = 2400;

/// Appends the passages of `text` to `out`: ranges of lines without blank lines at their ends.
///
/// A passage ends before a Markdown heading, or, the longer it is the more readily, before a top-level block of code or a
/// paragraph; never inside a fenced block of code unless that is longer than a passage.
pub fn split(path: &str, text: &str, out: &mut Vec<Passage>) {
    let markdown = matches!(path.rsplit_once('.'), Some((_, "md" | "mdx" | "markdown")));
    let mut open = Open {
        path,
        first: 0,
        text: String::new(),
        last: 0,
        lines: 0,
    };
    let (mut fenced, mut blank_before) = (false, true);
    for (i, line) in text.lines().enumerate() {
        let bare = line.trim();
        // Also in the comments of code.
        let fence = bare
            .trim_start_matches(['/', '!', '*', '#', ' '])
            .starts_with("```");
        let may_end_at = if markdown && !fenced && line.starts_with('#') {
            6
        } else if fenced || !blank_before || bare.is_empty() {
            MAX_LINES
        } else if !markdown && !line.starts_with(char::is_whitespace) {
            12
        } else {
            24
        };
        if open.lines >= may_end_at || open.text.len() + line.len() > MAX_BYTES {
            open.close(out);
        }
        fenced ^= fence;
        blank_before = bare.is_empty();
        let mut rest = line;
        while rest.len() > MAX_BYTES {
            let end = (0..=MAX_BYTES)
                .rev()
                .find(|&at| rest.is_char_boundary(at))
                .unwrap_or(rest.len());
            let (piece, after) = rest.split_at(end);
            open.push(i, piece);
            open.close(out);
            rest = after;
        }
        open.push(i, rest);
    }
    open.close(out);
}

/// The passage being gathered.
struct Open<'a> {
    path: &'a str,
    first: usize,
    last: usize,
    lines: usize,
    text: String,
}

impl Open<'_> {
    fn push(&mut self, line: usize, text: &str) {
        let blank = text.trim().is_empty();
        if self.text.is_empty() {
            if blank {
                return;
            }
            self.first = line;
        } else {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.lines += 1;
        if !blank {
            self.last = line;
        }
    }

    fn close(&mut self, out: &mut Vec<Passage>) {
        let text = std::mem::take(&mut self.text);
        self.lines = 0;
        if text.contains(char::is_alphanumeric) {
            let number = |line: usize| u32::try_from(line + 1).unwrap_or(u32::MAX);
            out.push(Passage {
                path: self.path.to_owned(),
                first: number(self.first),
                last: number(self.last),
                text: text.trim_end().to_owned(),
            });
        }
    }
}
