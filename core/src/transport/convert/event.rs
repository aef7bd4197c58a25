//! Stream events.

use ossai_proto::v1 as pb;
use ossai_proto::v1::stream_completion_response::Event;

use super::completion::read_finish_reason;
use super::{ConvertError, extra_text, read_extra, read_json, read_json_option};
use crate::types::StreamEvent;

/// The message for the event with this number; numbers start at 1 and leave no gap.
#[must_use]
pub fn event_message(sequence: u64, event: &StreamEvent) -> pb::StreamCompletionResponse {
    pb::StreamCompletionResponse {
        sequence,
        event: Some(event.into()),
    }
}

impl From<&StreamEvent> for Event {
    fn from(event: &StreamEvent) -> Self {
        match event {
            StreamEvent::Start {
                id,
                response_model,
                created,
            } => Self::Start(pb::StreamStart {
                id: id.clone(),
                response_model: response_model.clone(),
                created: *created,
            }),
            StreamEvent::TextDelta { index, text } => Self::TextDelta(pb::TextDelta {
                index: *index,
                text: text.clone(),
            }),
            StreamEvent::RefusalDelta { index, text } => Self::RefusalDelta(pb::RefusalDelta {
                index: *index,
                text: text.clone(),
            }),
            StreamEvent::ReasoningDelta {
                index,
                text,
                signature,
                redacted,
                extra,
            } => Self::ReasoningDelta(pb::ReasoningDelta {
                index: *index,
                text: text.clone(),
                signature: signature.clone(),
                redacted: redacted.clone(),
                extra_json: extra_text(extra),
            }),
            StreamEvent::ToolCallStart {
                index,
                id,
                name,
                extra,
            } => Self::ToolCallStart(pb::ToolCallStart {
                index: *index,
                id: id.clone(),
                name: name.clone(),
                extra_json: extra_text(extra),
            }),
            StreamEvent::ToolCallDelta { index, arguments } => {
                Self::ToolCallDelta(pb::ToolCallDelta {
                    index: *index,
                    arguments: arguments.clone(),
                })
            }
            StreamEvent::Part { index, part } => Self::Part(pb::PartEvent {
                index: *index,
                part_json: part.to_string(),
            }),
            StreamEvent::Annotation {
                index,
                field,
                annotation,
            } => Self::Annotation(pb::AnnotationEvent {
                index: *index,
                field: field.clone(),
                annotation_json: annotation.to_string(),
            }),
            StreamEvent::Usage { usage, raw } => Self::Usage(pb::UsageEvent {
                usage: Some(usage.into()),
                raw_json: raw.as_ref().map(ToString::to_string),
            }),
            StreamEvent::Finish { reason, raw } => Self::Finish(pb::FinishEvent {
                reason: reason.as_str().into(),
                raw: raw.clone(),
            }),
            StreamEvent::Extra { fields } => Self::Extra(pb::ExtraEvent {
                fields_json: extra_text(fields),
            }),
            StreamEvent::End { completion } => Self::End(pb::StreamEnd {
                completion: Some((&**completion).into()),
            }),
            // A tool loop is its caller's: nothing of it is ever streamed to a peer.
            StreamEvent::Turn { .. }
            | StreamEvent::ToolStarted { .. }
            | StreamEvent::ToolResult(_) => Self::Heartbeat(pb::Heartbeat {}),
        }
    }
}

/// Reads an event; `None` is a heartbeat. (One of a kind unknown here is no [`Event`] at all.)
///
/// # Errors
/// The field that cannot be read.
pub fn read_event(event: Event) -> Result<Option<StreamEvent>, ConvertError> {
    Ok(Some(match event {
        Event::Heartbeat(pb::Heartbeat {}) => return Ok(None),
        Event::Start(pb::StreamStart {
            id,
            response_model,
            created,
        }) => StreamEvent::Start {
            id,
            response_model,
            created,
        },
        Event::TextDelta(pb::TextDelta { index, text }) => StreamEvent::TextDelta { index, text },
        Event::RefusalDelta(pb::RefusalDelta { index, text }) => {
            StreamEvent::RefusalDelta { index, text }
        }
        Event::ReasoningDelta(pb::ReasoningDelta {
            index,
            text,
            signature,
            redacted,
            extra_json,
        }) => StreamEvent::ReasoningDelta {
            index,
            text,
            signature,
            redacted,
            extra: read_extra(&extra_json, "reasoning_delta.extra")?,
        },
        Event::ToolCallStart(pb::ToolCallStart {
            index,
            id,
            name,
            extra_json,
        }) => {
            let extra = read_extra(&extra_json, "tool_call_start.extra")?;
            StreamEvent::ToolCallStart {
                index,
                id,
                name,
                extra,
            }
        }
        Event::ToolCallDelta(pb::ToolCallDelta { index, arguments }) => {
            StreamEvent::ToolCallDelta { index, arguments }
        }
        Event::Part(pb::PartEvent { index, part_json }) => StreamEvent::Part {
            index,
            part: read_json(&part_json, "part.part")?,
        },
        Event::Annotation(pb::AnnotationEvent {
            index,
            field,
            annotation_json,
        }) => StreamEvent::Annotation {
            index,
            field,
            annotation: read_json(&annotation_json, "annotation.annotation")?,
        },
        Event::Usage(pb::UsageEvent { usage, raw_json }) => StreamEvent::Usage {
            usage: usage.unwrap_or_default().into(),
            raw: read_json_option(raw_json, "usage.raw")?,
        },
        Event::Finish(pb::FinishEvent { reason, raw }) => StreamEvent::Finish {
            reason: read_finish_reason(&reason),
            raw,
        },
        Event::Extra(pb::ExtraEvent { fields_json }) => StreamEvent::Extra {
            fields: read_extra(&fields_json, "extra.fields")?,
        },
        Event::End(pb::StreamEnd { completion }) => {
            let completion = completion
                .ok_or_else(|| ConvertError::new("end.completion", "expected the answer"))?;
            let completion = completion
                .try_into()
                .map_err(|e: ConvertError| e.within("end.completion"))?;
            StreamEvent::End {
                completion: Box::new(completion),
            }
        }
    }))
}
