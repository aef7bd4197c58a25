//! What a stream's callers have seen of another process's copy of it, and the rest of a copy that begins with the same.
//!
//! Nothing that was shown can be taken back. So when the other process is gone, or has left its answer whole, what comes
//! next is held against what was shown: what is equal is not shown again, and where it is not equal the stream breaks.

use std::collections::VecDeque;

use super::fold::Fold;
use crate::error::{Billed, Error, ErrorKind, Result};
use crate::types::{Completion, ReasoningPart, StreamEvent};

/// The events shown: adjacent pieces of one part as one, and what tells nothing of the answer's content left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    events: Vec<StreamEvent>,
    fold: Fold,
}

/// Whether an event tells of the answer's making, not of its content: two copies may differ in it.
pub(super) fn is_about(event: &StreamEvent) -> bool {
    matches!(
        event,
        StreamEvent::Start { .. } | StreamEvent::Usage { .. } | StreamEvent::Extra { .. }
    )
}

/// The text of a piece of a part, which the next piece goes on with.
fn piece(event: &StreamEvent) -> Option<&str> {
    match event {
        StreamEvent::TextDelta { text, .. } | StreamEvent::RefusalDelta { text, .. } => Some(text),
        StreamEvent::ToolCallDelta { arguments, .. } => Some(arguments),
        StreamEvent::ReasoningDelta {
            text,
            signature: None,
            redacted: None,
            extra,
            ..
        } if extra.is_empty() => Some(text),
        _ => None,
    }
}

fn piece_mut(event: &mut StreamEvent) -> Option<&mut String> {
    match event {
        StreamEvent::TextDelta { text, .. }
        | StreamEvent::RefusalDelta { text, .. }
        | StreamEvent::ReasoningDelta { text, .. } => Some(text),
        StreamEvent::ToolCallDelta { arguments, .. } => Some(arguments),
        _ => None,
    }
}

/// Whether two pieces are of the same part.
fn go_together(a: &StreamEvent, b: &StreamEvent) -> bool {
    use StreamEvent::{ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta};
    if piece(a).is_none() || piece(b).is_none() {
        return false;
    }
    match (a, b) {
        (TextDelta { index: a, .. }, TextDelta { index: b, .. })
        | (RefusalDelta { index: a, .. }, RefusalDelta { index: b, .. })
        | (ReasoningDelta { index: a, .. }, ReasoningDelta { index: b, .. })
        | (ToolCallDelta { index: a, .. }, ToolCallDelta { index: b, .. }) => a == b,
        _ => false,
    }
}

/// Takes the text of a piece of reasoning apart from its signature: the two may come together or one after the other.
fn apart(event: StreamEvent) -> (Option<StreamEvent>, StreamEvent) {
    match event {
        StreamEvent::ReasoningDelta {
            index,
            text,
            signature,
            redacted,
            extra,
        } if !text.is_empty()
            && (signature.is_some() || redacted.is_some() || !extra.is_empty()) =>
        {
            let bare = ReasoningPart::default();
            let first = StreamEvent::ReasoningDelta {
                index,
                text,
                signature: bare.signature,
                redacted: bare.redacted,
                extra: bare.extra,
            };
            let rest = StreamEvent::ReasoningDelta {
                index,
                text: String::new(),
                signature,
                redacted,
                extra,
            };
            (Some(first), rest)
        }
        event => (None, event),
    }
}

impl Shown {
    /// Adds what is shown now.
    ///
    /// # Errors
    /// As [`Fold::push`].
    pub(crate) fn push(&mut self, event: &StreamEvent) -> Result<()> {
        self.fold.push(event)?;
        if is_about(event) {
            return Ok(());
        }
        let (first, rest) = apart(event.clone());
        for event in first.into_iter().chain([rest]) {
            if piece(&event).is_some_and(str::is_empty) {
                continue;
            }
            match self.events.last_mut() {
                Some(last) if go_together(last, &event) => {
                    if let (Some(all), Some(more)) = (piece_mut(last), piece(&event)) {
                        all.push_str(more);
                    }
                }
                _ => self.events.push(event),
            }
        }
        Ok(())
    }

    /// What was shown, as far as it goes.
    pub(crate) fn partial(&self) -> Completion {
        self.fold.partial()
    }

    /// An error as those see it to whom something was shown.
    pub(crate) fn broken(&self, error: Error) -> Error {
        if error.fields().partial.is_some() {
            return error;
        }
        interrupted(&error).with(|fields| {
            fields.billed = Billed::Maybe;
            fields.partial = Some(Box::new(self.partial()));
        })
    }

    /// What to hold the next copy against.
    pub(crate) fn skip(&self) -> Skip {
        Skip {
            events: self.events.iter().cloned().collect(),
            read: 0,
            partial: Some(Box::new(self.partial())),
        }
    }
}

/// The error of a stream that broke for this reason after something of it was shown.
pub(super) fn interrupted(error: &Error) -> Error {
    let cause = error.fields();
    let message = format!("the stream broke: {}", cause.message);
    Error::new(ErrorKind::StreamInterrupted, message).with(|fields| {
        fields.detail = Some(cause.kind.name().into());
        fields.provider_code.clone_from(&cause.provider_code);
        fields.http_status = cause.http_status;
        (fields.upstream_request_id).clone_from(&cause.upstream_request_id);
        fields.retry_after_ms = cause.retry_after_ms;
    })
}

/// What of the shown has not come yet in a copy that is to go on with it.
#[derive(Debug, Default)]
pub(crate) struct Skip {
    events: VecDeque<StreamEvent>,
    /// How much of the first one has come.
    read: usize,
    /// What was shown, for the error that says so.
    partial: Option<Box<Completion>>,
}

impl Skip {
    /// Leaves of these events what was not shown.
    ///
    /// # Errors
    /// `stream_interrupted`, with what was shown in `partial`, where they are others.
    pub(crate) fn pass(&mut self, events: &mut Vec<StreamEvent>) -> Result<()> {
        if self.events.is_empty() {
            return Ok(());
        }
        let mut left = Vec::with_capacity(events.len());
        for event in events.drain(..) {
            if self.events.is_empty() {
                left.push(event);
                continue;
            }
            if is_about(&event) {
                continue;
            }
            let (first, rest) = apart(event);
            for event in first.into_iter().chain([rest]) {
                left.extend(self.one(event)?);
            }
        }
        *events = left;
        Ok(())
    }

    /// The copy has ended.
    ///
    /// # Errors
    /// As [`Skip::pass`], where more was shown than it has.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.events.is_empty() {
            true => Ok(()),
            false => Err(self.differs()),
        }
    }

    /// What is left of an event.
    fn one(&mut self, mut event: StreamEvent) -> Result<Option<StreamEvent>> {
        let Some(shown) = self.events.front() else {
            return Ok(Some(event));
        };
        if piece(&event).is_some_and(str::is_empty) {
            return Ok(None);
        }
        if !go_together(shown, &event) {
            if self.read > 0 || *shown != event {
                return Err(self.differs());
            }
            self.events.pop_front();
            return Ok(None);
        }
        let known = piece(shown).and_then(|text| text.get(self.read..));
        let (Some(known), Some(new)) = (known, piece_mut(&mut event)) else {
            return Err(self.differs());
        };
        if known.starts_with(new.as_str()) {
            self.read += new.len();
            if known.len() == new.len() {
                self.next();
            }
            return Ok(None);
        }
        // More of this part than was shown: then nothing that follows it was.
        if new.starts_with(known) && self.events.len() == 1 {
            new.drain(..known.len());
            self.next();
            return Ok(Some(event));
        }
        Err(self.differs())
    }

    fn next(&mut self) {
        self.events.pop_front();
        self.read = 0;
    }

    fn differs(&mut self) -> Error {
        self.events.clear();
        let text =
            "the process whose stream was given on is gone, and another one begins otherwise";
        let partial = self.partial.take();
        Error::new(ErrorKind::StreamInterrupted, text).with(|fields| {
            fields.detail = Some("differs".into());
            fields.billed = Billed::Yes;
            fields.partial = partial;
        })
    }
}

#[cfg(test)]
#[path = "shown_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
