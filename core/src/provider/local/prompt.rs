//! What a request asks and what it may be answered from.

use std::borrow::Cow;
use std::ops::Range;

use super::passages::parse;
use super::units::{Syntax, floor, sentences};
use crate::error::{Error, ErrorKind, Result};
use crate::types::{CompletionRequest, Content, Message, Part, ResponseFormat, Role, ToolChoice};

/// Most of a question that is read, in bytes.
const MAX_QUESTION: usize = 2000;
/// A paragraph shorter than this, in bytes, answers nothing.
const MIN_PARAGRAPH: usize = 8;

/// A text the answer may quote.
#[derive(Clone, Debug)]
pub(super) struct Passage<'a> {
    pub(super) number: u32,
    source: Source<'a>,
    pub(super) text: &'a str,
}

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Given(&'a str),
    Paragraph { message: usize, paragraph: u32 },
}

impl Passage<'_> {
    pub(super) fn source(&self) -> String {
        match self.source {
            Source::Given(source) => source.to_owned(),
            Source::Paragraph { message, paragraph } => {
                format!("messages[{message}], paragraph {paragraph}")
            }
        }
    }

    pub(super) fn syntax(&self) -> Syntax {
        match self.source {
            Source::Given(source) => Syntax::of(source),
            Source::Paragraph { .. } => Syntax::Unknown,
        }
    }
}

/// A request, read.
#[derive(Debug)]
pub(super) struct Prompt<'a> {
    pub(super) question: &'a str,
    pub(super) passages: Vec<Passage<'a>>,
}

/// The text of every message, or an error for what an extractive model cannot take.
pub(super) fn texts(request: &CompletionRequest) -> Result<Vec<Cow<'_, str>>> {
    if request.messages.is_empty() {
        return Err(Error::invalid("messages", "expected at least one message"));
    }
    if request.max_tokens == Some(0) {
        return Err(Error::invalid("max_tokens", "expected at least 1"));
    }
    if let Some(i) = request.stop.iter().position(String::is_empty) {
        return Err(Error::invalid(
            format!("stop[{i}]"),
            "expected a string that is not empty",
        ));
    }
    if matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Function(_))
    ) {
        return Err(unsupported(
            "tool_choice",
            "calls no tools; expected \"auto\" or \"none\"",
        ));
    }
    if matches!(
        request.response_format,
        Some(ResponseFormat::JsonSchema { .. })
    ) {
        return Err(unsupported(
            "response_format",
            "writes no other JSON than {\"answer\", \"citations\"}; expected \"text\" or \"json_object\"",
        ));
    }
    for (name, plain) in [
        ("n", serde_json::json!(1)),
        ("logprobs", serde_json::json!(false)),
    ] {
        if request
            .extra
            .get(name)
            .is_some_and(|value| !value.is_null() && *value != plain)
        {
            return Err(unsupported(
                name,
                format!("has one answer and no probabilities; expected {plain}"),
            ));
        }
    }
    request
        .messages
        .iter()
        .enumerate()
        .map(|(i, message)| text(i, message))
        .collect()
}

fn text(i: usize, message: &Message) -> Result<Cow<'_, str>> {
    let parts = match &message.content {
        Content::Text(text) => return Ok(text.into()),
        Content::Parts(parts) => parts,
    };
    let mut out: Vec<&str> = Vec::new();
    for (j, part) in parts.iter().enumerate() {
        match part {
            Part::Text(part) => out.push(&part.text),
            Part::Reasoning(_) => {}
            _ => {
                return Err(unsupported(
                    format!("messages[{i}].content[{j}]"),
                    "reads text only; expected a text part",
                ));
            }
        }
    }
    Ok(match out.as_slice() {
        [one] => (*one).into(),
        many => many.join("\n\n").into(),
    })
}

fn unsupported(field: impl Into<String>, why: impl std::fmt::Display) -> Error {
    let field = field.into();
    Error::new(
        ErrorKind::Unsupported,
        format!("{field}: {} {why}", super::EXTRACT),
    )
    .with(|fields| {
        fields.field = Some(field);
        fields.provider = Some(super::PROVIDER.into());
        fields.model = Some(super::EXTRACT.into());
    })
}

/// Finds question and passages. With a passages block anywhere, only blocks are quoted: the rest is instructions.
pub(super) fn read<'a>(request: &CompletionRequest, texts: &'a [Cow<'a, str>]) -> Prompt<'a> {
    let asking = request
        .messages
        .iter()
        .rposition(|message| message.role == Role::User);
    let mut question = "";
    let mut blocks = Vec::new();
    let mut has_block = false;
    let mut paragraphs = Vec::new();
    for (i, (message, text)) in request.messages.iter().zip(texts).enumerate() {
        let (found, outside) = parse(text);
        has_block |= !matches!(outside.as_slice(), [all] if *all == (0..text.len()));
        let asked = if asking == Some(i) {
            find_question(text, &outside)
        } else {
            0..0
        };
        if asking == Some(i) {
            question = text.get(asked.clone()).unwrap_or("");
        }
        for passage in found {
            let source = match passage.source {
                "" => Source::Paragraph {
                    message: i,
                    paragraph: 1,
                },
                source => Source::Given(source),
            };
            let number = if passage.source.is_empty() {
                blocks.len() as u32 + 1
            } else {
                passage.number
            };
            blocks.push(Passage {
                number,
                source,
                text: text.get(passage.text).unwrap_or(""),
            });
        }
        if message.role != Role::Assistant && !has_block {
            for range in [0..asked.start, asked.end..text.len()] {
                split_paragraphs(text.get(range).unwrap_or(""), i, &mut paragraphs);
            }
        }
    }
    if has_block {
        return Prompt {
            question,
            passages: blocks,
        };
    }
    if paragraphs.is_empty() && !question.ends_with(QUESTION_MARKS) {
        // "Summarise: one. Two. Three." on one line is its own text.
        let mut count = 0;
        sentences(question, &mut |_, _| count += 1);
        if count > 2 {
            split_paragraphs(question, asking.unwrap_or(0), &mut paragraphs);
            question = "";
        }
    }
    for (passage, number) in paragraphs.iter_mut().zip(1..) {
        passage.number = number;
    }
    Prompt {
        question,
        passages: paragraphs,
    }
}

/// Cuts prose at blank lines; each paragraph is a passage.
fn split_paragraphs<'a>(text: &'a str, message: usize, out: &mut Vec<Passage<'a>>) {
    let mut paragraph = out
        .last()
        .map_or(0, |last: &Passage<'_>| match last.source {
            Source::Paragraph {
                message: m,
                paragraph,
            } if m == message => paragraph,
            _ => 0,
        });
    let mut start = 0;
    let mut offset = 0;
    let mut close = |range: Range<usize>| {
        let text = text.get(range).unwrap_or("");
        if !text.trim().is_empty() {
            paragraph += 1;
        }
        if text.trim().len() >= MIN_PARAGRAPH {
            out.push(Passage {
                number: 0,
                source: Source::Paragraph { message, paragraph },
                text,
            });
        }
    };
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            close(start..offset);
            start = offset + line.len();
        }
        offset += line.len();
    }
    close(start..text.len());
}

const QUESTION_MARKS: [char; 3] = ['?', '？', '؟'];

/// Where the question stands: the last line outside of blocks if it asks, else the first line if that asks, else the last
/// line that asks, else the last line. Of the line, the last sentence that asks, or all of it.
fn find_question(text: &str, outside: &[Range<usize>]) -> Range<usize> {
    let (mut first, mut last, mut last_asking) = (None, None, None);
    for range in outside {
        let mut offset = range.start;
        for line in text.get(range.clone()).unwrap_or("").split_inclusive('\n') {
            let bare =
                offset + line.len() - line.trim_start().len()..offset + line.trim_end().len();
            offset += line.len();
            if bare.start >= bare.end {
                continue;
            }
            first = first.or(Some(bare.clone()));
            if asks(text, &bare) {
                last_asking = Some(bare.clone());
            }
            last = Some(bare);
        }
    }
    let (Some(first), Some(last)) = (first, last) else {
        return 0..0;
    };
    let line = if asks(text, &last) {
        last
    } else if asks(text, &first) {
        first
    } else {
        last_asking.unwrap_or(last)
    };
    let bare = text.get(line.clone()).unwrap_or("");
    let skipped = floor(bare, bare.len().saturating_sub(MAX_QUESTION));
    if skipped > 0 && !asks(text, &line) {
        return 0..0; // A text, not a question.
    }
    let near = line.start + skipped..line.end;
    let mut question = near.clone();
    let tail = text.get(near.clone()).unwrap_or("");
    sentences(tail, &mut |range, _| {
        if asks(tail, &range) {
            question = near.start + range.start..near.start + range.end;
        }
    });
    question
}

fn asks(text: &str, line: &Range<usize>) -> bool {
    let line = text.get(line.clone()).unwrap_or("");
    line.trim_end_matches(['"', '\'', ')', '”', '»', '」', '*', '_'])
        .ends_with(QUESTION_MARKS)
}
