//! Folds stream events to the answer a non-streamed call would have given, so that both roads end in one type.

use serde_json::Value;

use crate::cache::memory::json_bytes;
use crate::types::{
    Answer, Completion, Extra, FinishReason, OutputPart, ReasoningPart, StreamEvent, ToolCall,
};
use crate::{Error, ErrorKind, Result};

/// Highest part index accepted, so that a hostile stream cannot make the list of parts huge.
const MAX_INDEX: u32 = 4096;
/// Most bytes of text, reasoning and arguments, the bound of a non-streamed body.
const MAX_BYTES: usize = 128 << 20;
/// Where a note on a part says which.
pub(crate) const PART_INDEX: &str = "part_index";

/// Collects the events of one stream.
///
/// Until a [`StreamEvent::Finish`] was seen the finish reason is `unknown`, which no cache takes for a whole answer.
/// A [`StreamEvent::End`] replaces everything by the answer it carries.
#[derive(Clone, Debug)]
pub struct Fold {
    parts: Vec<Option<OutputPart>>,
    rest: Answer,
    /// The answer that came with the end.
    end: Option<Box<Completion>>,
    bytes: usize,
}

impl Default for Fold {
    fn default() -> Self {
        Self::new()
    }
}

impl Fold {
    /// An empty fold.
    #[must_use]
    pub fn new() -> Self {
        let rest = Answer {
            finish_reason: FinishReason::Other("unknown".into()),
            ..Answer::default()
        };
        Self {
            parts: Vec::new(),
            rest,
            end: None,
            bytes: 0,
        }
    }

    /// Adds one event.
    ///
    /// # Errors
    /// `decode_error` for a part index above 4096 or a part that changes its kind; `response_too_large` above 128 MiB.
    pub fn push(&mut self, event: &StreamEvent) -> Result<()> {
        match event {
            StreamEvent::Start {
                id,
                response_model,
                created,
            } => {
                self.rest.id.clone_from(id);
                self.rest.response_model.clone_from(response_model);
                self.rest.created = *created;
            }
            StreamEvent::TextDelta { index, text } => {
                self.grow(text.len())?;
                match self.slot(*index, || OutputPart::Text {
                    text: String::new(),
                })? {
                    OutputPart::Text { text: all } => all.push_str(text),
                    _ => return Err(changed(*index)),
                }
            }
            StreamEvent::RefusalDelta { index, text } => {
                self.grow(text.len())?;
                match self.slot(*index, || OutputPart::Refusal {
                    text: String::new(),
                })? {
                    OutputPart::Refusal { text: all } => all.push_str(text),
                    _ => return Err(changed(*index)),
                }
            }
            StreamEvent::ReasoningDelta {
                index,
                text,
                signature,
                redacted,
                extra,
            } => {
                let hidden = [signature, redacted];
                self.grow(
                    text.len() + hidden.into_iter().flatten().map(String::len).sum::<usize>(),
                )?;
                let new = || OutputPart::Reasoning(ReasoningPart::default());
                let OutputPart::Reasoning(part) = self.slot(*index, new)? else {
                    return Err(changed(*index));
                };
                part.text.push_str(text);
                if signature.is_some() {
                    part.signature.clone_from(signature);
                }
                if redacted.is_some() {
                    part.redacted.clone_from(redacted);
                }
                part.extra
                    .extend(extra.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            StreamEvent::ToolCallStart {
                index,
                id,
                name,
                extra,
            } => {
                let start = ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                    extra: extra.clone(),
                };
                let mut fresh = false;
                let new = || {
                    fresh = true;
                    OutputPart::ToolCall(start)
                };
                self.slot(*index, new)?;
                if !fresh {
                    return Err(changed(*index));
                }
            }
            StreamEvent::ToolCallDelta { index, arguments } => {
                self.grow(arguments.len())?;
                match self.slot(*index, || OutputPart::ToolCall(ToolCall::default()))? {
                    OutputPart::ToolCall(call) => call.arguments.push_str(arguments),
                    _ => return Err(changed(*index)),
                }
            }
            StreamEvent::Part { index, part } => {
                *self.slot(*index, || OutputPart::Other(part.clone()))? =
                    OutputPart::Other(part.clone());
            }
            StreamEvent::Annotation {
                index,
                field,
                annotation,
            } => {
                self.grow(json_bytes(annotation))?;
                annotate(&mut self.rest.extra, *index, field, annotation.clone());
            }
            StreamEvent::Usage { usage, raw } => {
                self.rest.usage = usage.clone();
                self.rest.raw_usage.clone_from(raw);
            }
            StreamEvent::Finish { reason, raw } => {
                self.rest.finish_reason = reason.clone();
                self.rest.raw_finish_reason.clone_from(raw);
            }
            StreamEvent::Extra { fields } => {
                self.rest
                    .extra
                    .extend(fields.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            // The answer of a tool loop is its last turn's.
            StreamEvent::Turn { .. } => *self = Self::new(),
            StreamEvent::ToolStarted { .. } | StreamEvent::ToolResult(_) => {}
            StreamEvent::End { completion } => {
                self.end = Some(completion.clone());
            }
        }
        Ok(())
    }

    /// [`Fold::push`] of an event that nobody else needs: what is in it is moved, not copied.
    ///
    /// # Errors
    /// As [`Fold::push`].
    pub fn take(&mut self, event: StreamEvent) -> Result<()> {
        match event {
            StreamEvent::TextDelta { index, text } => {
                self.grow(text.len())?;
                let new = || OutputPart::Text {
                    text: String::new(),
                };
                match self.slot(index, new)? {
                    OutputPart::Text { text: all } if all.is_empty() => *all = text,
                    OutputPart::Text { text: all } => all.push_str(&text),
                    _ => return Err(changed(index)),
                }
                Ok(())
            }
            StreamEvent::Usage { usage, raw } => {
                self.rest.usage = usage;
                self.rest.raw_usage = raw;
                Ok(())
            }
            StreamEvent::Extra { fields } if self.rest.extra.is_empty() => {
                self.rest.extra = fields;
                Ok(())
            }
            StreamEvent::End { completion } => {
                self.end = Some(completion);
                Ok(())
            }
            event => self.push(&event),
        }
    }

    /// The answer.
    #[must_use]
    pub fn finish(self) -> Completion {
        let Self {
            parts,
            mut rest,
            end,
            ..
        } = self;
        if let Some(end) = end {
            return *end;
        }
        rest.parts = parts.into_iter().flatten().collect();
        rest.text = text_of(&rest.parts);
        rest.into()
    }

    /// What has come so far.
    #[must_use]
    pub fn partial(&self) -> Completion {
        self.clone().finish()
    }

    fn slot(&mut self, index: u32, new: impl FnOnce() -> OutputPart) -> Result<&mut OutputPart> {
        if index > MAX_INDEX {
            return Err(decode_error(format!(
                "part index {index} is above {MAX_INDEX}"
            )));
        }
        let index = index as usize;
        if self.parts.len() <= index {
            self.parts.resize_with(index + 1, || None);
        }
        match self.parts.get_mut(index) {
            Some(slot) => Ok(slot.get_or_insert_with(new)),
            None => Err(decode_error("part index out of range")),
        }
    }

    fn grow(&mut self, by: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(by);
        if self.bytes > MAX_BYTES {
            let message = format!("the streamed answer is longer than {MAX_BYTES} bytes");
            return Err(Error::new(ErrorKind::ResponseTooLarge, message));
        }
        Ok(())
    }
}

/// Adds an annotation of a part to the list `field` of an answer, with the part's number in it: what a
/// [`StreamEvent::Annotation`] does to the answer.
pub fn annotate(extra: &mut Extra, index: u32, field: &str, mut annotation: Value) {
    if let Some(object) = annotation.as_object_mut() {
        object.insert(PART_INDEX.to_owned(), index.into());
    }
    match extra.get_mut(field) {
        Some(Value::Array(all)) => all.push(annotation),
        _ => {
            extra.insert(field.to_owned(), Value::Array(vec![annotation]));
        }
    }
}

fn text_of(parts: &[OutputPart]) -> String {
    let mut texts = parts.iter().filter_map(|part| match part {
        OutputPart::Text { text } => Some(text.as_str()),
        _ => None,
    });
    let Some(first) = texts.next() else {
        return String::new();
    };
    texts.fold(first.to_owned(), |mut all, text| {
        all.push_str(text);
        all
    })
}

fn changed(index: u32) -> Error {
    decode_error(format!("part {index} of the answer changes its kind"))
}

fn decode_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::DecodeError, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(index: u32, text: &str) -> StreamEvent {
        StreamEvent::TextDelta {
            index,
            text: text.into(),
        }
    }

    #[test]
    fn deltas_of_one_index_join_and_parts_keep_the_order_of_their_indices() {
        let mut fold = Fold::new();
        for event in [text(1, "b"), text(0, "a"), text(1, "c")] {
            fold.push(&event).unwrap();
        }
        assert_eq!(fold.partial().text, "abc");
        assert_eq!(fold.finish().parts.len(), 2);
    }

    #[test]
    fn an_index_above_the_bound_is_a_decode_error() {
        let mut fold = Fold::new();
        fold.push(&text(4096, "")).unwrap();
        assert_eq!(
            fold.push(&text(4097, "")).unwrap_err().kind(),
            ErrorKind::DecodeError
        );
    }

    #[test]
    fn a_part_that_changes_its_kind_is_a_decode_error() {
        let mut fold = Fold::new();
        fold.push(&text(0, "a")).unwrap();
        let call = StreamEvent::ToolCallDelta {
            index: 0,
            arguments: "{}".into(),
        };
        assert_eq!(fold.push(&call).unwrap_err().kind(), ErrorKind::DecodeError);
    }

    #[test]
    fn a_stream_without_a_finish_is_not_complete() {
        let mut fold = Fold::new();
        fold.push(&text(0, "a")).unwrap();
        assert!(!fold.finish().finish_reason.is_complete());
    }

    #[test]
    fn the_end_event_replaces_what_was_folded() {
        let mut whole = Completion::from(Answer {
            text: "whole".into(),
            parts: vec![OutputPart::Text {
                text: "whole".into(),
            }],
            ..Answer::default()
        });
        whole.request_id = "r".into();
        let mut fold = Fold::new();
        fold.push(&text(0, "who")).unwrap();
        fold.push(&StreamEvent::End {
            completion: Box::new(whole.clone()),
        })
        .unwrap();
        assert_eq!(fold.finish(), whole);
    }
}
