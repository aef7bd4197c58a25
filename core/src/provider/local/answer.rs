//! Writes the answer: quotes with their citations, cut where the caller wants it to end.

use std::fmt::Write as _;

use serde::Serialize;

use super::prompt::{self, Passage};
use super::rank::{Pick, Picks, pick};
use super::units::{Kind, quote};
use super::words::is_unspaced;
use crate::error::Result;
use crate::types::{CompletionRequest, FinishReason, ResponseFormat, Usage};

/// An answer by extraction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extract {
    /// The text in pieces of about a word, none empty: joined they are the answer, one by one a stream.
    pub pieces: Vec<String>,
    /// Where the quotes are from, in the order of their first quote.
    pub citations: Vec<Citation>,
    /// `stop`, or `length` when `max_tokens` cut it.
    pub finish_reason: FinishReason,
    /// Tokens of the messages' text and of the answer, as the caller counts them.
    pub usage: Usage,
}

/// A passage that was quoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Citation {
    /// Its number in the prompt.
    pub number: u32,
    /// Its source in the prompt, usually `path:first-last`; `messages[i], paragraph n` for plain prose.
    pub source: String,
}

/// Answers `request` from the passages in it; see [`super`] for the rules. `count` counts the tokens of a text.
///
/// # Errors
/// `invalid_request` for no messages, `max_tokens` 0 or an empty stop sequence; `unsupported` naming the field for what
/// an extractive model cannot do: a forced tool, a JSON schema, several answers, parts other than text.
pub fn answer(request: &CompletionRequest, count: &dyn Fn(&str) -> u64) -> Result<Extract> {
    let texts = prompt::texts(request)?;
    let prompt = prompt::read(request, &texts);
    let picks = pick(prompt.question, &prompt.passages);
    let json = matches!(request.response_format, Some(ResponseFormat::JsonObject));
    let (mut text, citations) = write(&prompt.passages, &picks, json);
    if let Some(end) = request
        .stop
        .iter()
        .filter_map(|stop| text.find(stop.as_str()))
        .min()
    {
        text.truncate(end);
    }
    let mut pieces = pieces(&text);
    let mut output_tokens = count(&text);
    let mut finish_reason = FinishReason::Stop;
    if let Some(limit) = request.max_tokens.filter(|&limit| output_tokens > limit) {
        finish_reason = FinishReason::Length;
        (pieces, output_tokens) = cut(pieces, limit, count);
    }
    let usage = Usage {
        input_tokens: texts
            .iter()
            .fold(0, |sum, text| count(text).saturating_add(sum)),
        output_tokens,
        ..Usage::default()
    };
    Ok(Extract {
        pieces,
        citations,
        finish_reason,
        usage,
    })
}

/// The longest run of pieces from the start that has at most `limit` tokens, and its tokens.
fn cut(mut pieces: Vec<String>, limit: u64, count: &dyn Fn(&str) -> u64) -> (Vec<String>, u64) {
    let (mut fits, mut over) = (0, pieces.len());
    let mut tokens = 0;
    while over - fits > 1 {
        let middle = fits + (over - fits) / 2;
        let n = count(&pieces.get(..middle).unwrap_or_default().concat());
        if n <= limit {
            (fits, tokens) = (middle, n);
        } else {
            over = middle;
        }
    }
    pieces.truncate(fits);
    (pieces, tokens)
}

/// Words with the white space before them; text without spaces in short runs.
fn pieces(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let (mut start, mut chars, mut in_word) = (0, 0, false);
    for (i, c) in text.char_indices() {
        let ends = c.is_whitespace() && in_word || is_unspaced(c) && chars >= 4;
        if ends {
            out.push(text.get(start..i).unwrap_or("").to_owned());
            (start, chars) = (i, 0);
        }
        in_word = !c.is_whitespace();
        chars += 1;
    }
    if start < text.len() {
        out.push(text.get(start..).unwrap_or("").to_owned());
    }
    out
}

#[derive(Serialize)]
struct JsonAnswer<'a> {
    answer: &'a str,
    citations: &'a [Citation],
}

fn write(passages: &[Passage<'_>], picks: &Picks, json: bool) -> (String, Vec<Citation>) {
    let (mut text, citations) = body(passages, picks);
    if json {
        // Strings and integers always serialise.
        let text = serde_json::to_string(&JsonAnswer {
            answer: &text,
            citations: &citations,
        })
        .unwrap_or_default();
        return (text, citations);
    }
    if !citations.is_empty() {
        let _ = write!(
            text,
            "\n\nQuoted by {}, which quotes passages and writes nothing itself:",
            super::EXTRACT
        );
        for Citation { number, source } in &citations {
            let _ = write!(text, "\n[{number}] {source}");
        }
    }
    (text, citations)
}

fn body(passages: &[Passage<'_>], picks: &Picks) -> (String, Vec<Citation>) {
    let what = format!(
        "I am {}, an offline extractive model: I only quote sentences of the passages in the prompt that match the question",
        super::EXTRACT
    );
    if passages.is_empty() {
        return (
            format!("{what}. This prompt has no passages to quote."),
            Vec::new(),
        );
    }
    if picks.picks.is_empty() {
        let n = passages.len();
        let of = if n == 1 {
            "the one passage".to_owned()
        } else {
            format!("any of the {n} passages")
        };
        return (
            format!("{what}. No sentence of {of} shares a word with it."),
            Vec::new(),
        );
    }
    let mut text = String::new();
    let mut citations: Vec<Citation> = Vec::new();
    if picks.guess {
        text.push_str("The passages may not answer this; the nearest they say is: ");
    }
    let mut rest = picks.picks.as_slice();
    while let Some(first) = rest.first() {
        let same = rest
            .iter()
            .take_while(|pick| pick.passage == first.passage)
            .count();
        let (group, others) = rest.split_at(same);
        rest = others;
        let Some(passage) = passages.get(first.passage) else {
            continue;
        };
        let syntax = passage.syntax();
        for Pick { unit, .. } in group {
            text.push_str(&quote(passage.text, unit, syntax));
            text.push(if unit.kind == Kind::Row { '\n' } else { ' ' });
        }
        text.pop();
        text.push(' ');
        let _ = write!(
            text,
            "[{}]{}",
            passage.number,
            if rest.is_empty() { "" } else { "\n\n" }
        );
        citations.push(Citation {
            number: passage.number,
            source: passage.source(),
        });
    }
    (text, citations)
}
