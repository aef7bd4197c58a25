//! Answers and streams of the Responses API.
//!
//! An item that was not streamed piece by piece is emitted whole when it is done, by the same code that reads a whole
//! answer; what was streamed already is not emitted again.

mod items;

use std::collections::HashMap;

use serde_json::Value;

use crate::Result;
use crate::cost::usage::{UsageApi, normalise};
use crate::provider::read::{
    Loose, decode_error, integer, interrupted, others, unreadable, wire_object,
};
use crate::provider::{Api, Progress, decode_stream_error};
use crate::transport::sse::SseEvent;
use crate::types::{Extra, FinishReason, StreamEvent};

const MAX_PARTS: usize = 4096;

/// Members of a response that are not passed on as unknown: read here, or the request's own said back.
const KNOWN: &[&str] = &[
    "background",
    "completed_at",
    "conversation",
    "created_at",
    "error",
    "frequency_penalty",
    "id",
    "incomplete_details",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "object",
    "output",
    "output_text",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "status",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "usage",
    "user",
];

wire_object!(Event {
    "delta" => delta: Loose<'a>,
    "text" => text: Loose<'a>,
    "refusal" => refusal: Loose<'a>,
    "arguments" => arguments: Loose<'a>,
    "output_index" => output_index: Loose<'a>,
    "content_index" => content_index: Loose<'a>,
    "summary_index" => summary_index: Loose<'a>,
    "item" => item: Loose<'a>,
    "response" => response: Loose<'a>,
    "annotation" => annotation: Loose<'a>,
    "type" => kind: Loose<'a>,
} ignore { "obfuscation" | "item_id" | "sequence_number" | "logprobs" | "part" | "event_id" });

/// Reads a whole answer.
pub(in crate::provider) fn whole(
    usage: UsageApi,
    body: &[u8],
    out: &mut Vec<StreamEvent>,
) -> Result<()> {
    let response: Value = serde_json::from_slice(body).map_err(|e| unreadable("the answer", &e))?;
    if response["output"].as_array().is_none() && response["error"].is_null() {
        return Err(decode_error("the answer has no `output`"));
    }
    let mut stream = ResponsesStream::new(usage);
    stream.start(&response, out);
    stream.finish(response, out)
}

/// A piece of an item: its place in the output, and which of the item's contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place(u64, Piece);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Piece {
    Content(u64),
    /// Reasoning, a call, or an item of another type.
    Item,
}

/// What was emitted of a piece.
#[derive(Default)]
struct Seen {
    index: u32,
    text: bool,
    /// Whether notes on it came as events.
    noted: bool,
    done: bool,
}

/// The state of one stream.
pub(in crate::provider) struct ResponsesStream {
    usage: UsageApi,
    started: bool,
    done: bool,
    seen: HashMap<Place, Seen>,
    calls: bool,
    refused: bool,
    /// Reasoning: the summary or content part last written to, for the gap between two.
    last_summary: Option<(u64, u64)>,
}

impl ResponsesStream {
    pub(in crate::provider) fn new(usage: UsageApi) -> Self {
        Self {
            usage,
            started: false,
            done: false,
            seen: HashMap::new(),
            calls: false,
            refused: false,
            last_summary: None,
        }
    }

    pub(in crate::provider) fn push(
        &mut self,
        event: &SseEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<Progress> {
        if self.done {
            return Ok(Progress::Done);
        }
        if event.data.trim().is_empty() || event.data == "[DONE]" {
            return Ok(Progress::More);
        }
        let parsed: Event<'_> =
            serde_json::from_str(event.data).map_err(|e| unreadable("an event", &e))?;
        let kind = parsed.kind.text().unwrap_or(event.event).to_owned();
        self.event(&kind, parsed, event.data, out)
    }

    pub(in crate::provider) fn end(&self) -> Result<()> {
        if self.done {
            Ok(())
        } else {
            Err(interrupted())
        }
    }

    fn event(
        &mut self,
        kind: &str,
        event: Event<'_>,
        data: &str,
        out: &mut Vec<StreamEvent>,
    ) -> Result<Progress> {
        let output = event.output_index.number().unwrap_or(0);
        let content = Place(
            output,
            Piece::Content(event.content_index.number().unwrap_or(0)),
        );
        let item = Place(output, Piece::Item);
        match kind {
            "response.output_text.delta" => self.text(content, event.delta, out)?,
            "response.output_text.done" => self.rest(content, event.text, Self::text, out)?,
            "response.refusal.delta" => self.refusal(content, event.delta, out)?,
            "response.refusal.done" => self.rest(content, event.refusal, Self::refusal, out)?,
            "response.function_call_arguments.delta" => self.arguments(item, event.delta, out)?,
            "response.function_call_arguments.done" => {
                self.rest(item, event.arguments, Self::arguments, out)?;
            }
            "response.reasoning_summary_text.delta" => {
                self.reasoning(item, event.summary_index.number(), event.delta, out)?;
            }
            "response.reasoning_text.delta" => {
                self.reasoning(item, event.content_index.number(), event.delta, out)?;
            }
            "response.output_text.annotation.added" => {
                if let Loose::Other(annotation) = event.annotation {
                    let seen = self.place(content)?;
                    seen.noted = true;
                    out.push(noted(seen.index, *annotation));
                }
            }
            "response.output_item.added" => {
                if let Loose::Other(added) = event.item {
                    self.added(output, &added, out)?;
                }
            }
            "response.output_item.done" => {
                if let Loose::Other(done) = event.item {
                    self.item(output, *done, out)?;
                }
            }
            "response.created" => {
                if let Some(response) = event.response.other() {
                    self.start(response, out);
                }
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled" => {
                let Loose::Other(response) = event.response else {
                    return Err(decode_error("the last event has no `response`"));
                };
                self.start(&response, out);
                self.finish(*response, out)?;
                return Ok(Progress::Done);
            }
            "error" => {
                let value = serde_json::from_str(data).unwrap_or(Value::Null);
                return Err(decode_stream_error(Api::OpenAiResponses, &value));
            }
            _ => {}
        }
        Ok(Progress::More)
    }

    fn start(&mut self, response: &Value, out: &mut Vec<StreamEvent>) {
        if !std::mem::replace(&mut self.started, true) {
            out.push(StreamEvent::Start {
                id: response["id"].as_str().unwrap_or_default().to_owned(),
                response_model: response["model"].as_str().map(str::to_owned),
                created: integer(&response["created_at"]),
            });
        }
    }

    fn place(&mut self, place: Place) -> Result<&mut Seen> {
        let index = self.seen.len();
        if index >= MAX_PARTS && !self.seen.contains_key(&place) {
            return Err(decode_error("the answer has too many parts"));
        }
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        Ok(self.seen.entry(place).or_insert(Seen {
            index,
            ..Seen::default()
        }))
    }

    /// A `done` event repeats what its deltas brought; it counts only where there were none.
    fn rest<'a>(
        &mut self,
        place: Place,
        text: Loose<'a>,
        emit: fn(&mut Self, Place, Loose<'a>, &mut Vec<StreamEvent>) -> Result<()>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        if self.seen.get(&place).is_some_and(|seen| seen.text) {
            return Ok(());
        }
        emit(self, place, text, out)
    }

    fn text(&mut self, place: Place, delta: Loose<'_>, out: &mut Vec<StreamEvent>) -> Result<()> {
        if let Loose::Str(text) = delta
            && !text.is_empty()
        {
            let seen = self.place(place)?;
            seen.text = true;
            out.push(StreamEvent::TextDelta {
                index: seen.index,
                text: text.into_owned(),
            });
        }
        Ok(())
    }

    fn refusal(
        &mut self,
        place: Place,
        delta: Loose<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        if let Some(text) = delta.text() {
            self.refused = true;
            let seen = self.place(place)?;
            seen.text = true;
            out.push(StreamEvent::RefusalDelta {
                index: seen.index,
                text: text.to_owned(),
            });
        }
        Ok(())
    }

    fn arguments(
        &mut self,
        place: Place,
        delta: Loose<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        // Arguments before their item, or of an item that is no function call, have no name to go by.
        if let (Some(text), Some(seen)) = (delta.text(), self.seen.get_mut(&place)) {
            seen.text = true;
            out.push(StreamEvent::ToolCallDelta {
                index: seen.index,
                arguments: text.to_owned(),
            });
        }
        Ok(())
    }

    fn reasoning(
        &mut self,
        place: Place,
        paragraph: Option<u64>,
        delta: Loose<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        let Some(delta) = delta.text() else {
            return Ok(());
        };
        let here = (place.0, paragraph.unwrap_or(0));
        let before = self.last_summary.replace(here);
        let seen = self.place(place)?;
        let gap = seen.text && before.is_some_and(|before| before != here);
        seen.text = true;
        let text = if gap {
            format!("\n\n{delta}")
        } else {
            delta.to_owned()
        };
        out.push(reasoning_delta(seen.index, text, None, Extra::new()));
        Ok(())
    }

    /// The response is over: items never seen, usage, the reason and unknown fields.
    fn finish(&mut self, mut response: Value, out: &mut Vec<StreamEvent>) -> Result<()> {
        let status = response["status"].as_str().unwrap_or_default().to_owned();
        if status == "failed" || response["error"].is_object() {
            return Err(decode_stream_error(Api::OpenAiResponses, &response));
        }
        self.done = true;
        if let Some(items) = response
            .get_mut("output")
            .and_then(Value::as_array_mut)
            .map(std::mem::take)
        {
            for (output, item) in (0..).zip(items) {
                self.item(output, item, out)?;
            }
        }
        if let Some(raw @ Value::Object(_)) = response.get_mut("usage").map(Value::take) {
            let mut usage = normalise(self.usage, &raw);
            if let Some(tier) = response["service_tier"].as_str() {
                usage.service_tier.get_or_insert_with(|| tier.to_owned());
            }
            let searches = &response["tool_usage"]["web_search"]["num_requests"];
            usage.web_searches = usage.web_searches.max(integer(searches).unwrap_or(0));
            out.push(StreamEvent::Usage {
                usage,
                raw: Some(raw.into()),
            });
        }
        let word = match status.as_str() {
            "incomplete" => response["incomplete_details"]["reason"]
                .as_str()
                .unwrap_or("incomplete"),
            status => status,
        };
        let reason = match word {
            "completed" if self.calls => FinishReason::ToolCalls,
            "completed" if self.refused => FinishReason::Refusal,
            "completed" => FinishReason::Stop,
            "max_output_tokens" => FinishReason::Length,
            "content_filter" => FinishReason::ContentFilter,
            "" => FinishReason::Other("unknown".into()),
            other => FinishReason::Other(other.to_owned()),
        };
        let raw = (!word.is_empty() && reason.as_str() != word).then(|| word.to_owned());
        out.push(StreamEvent::Finish { reason, raw });
        let fields = others(&response, KNOWN);
        if !fields.is_empty() {
            out.push(StreamEvent::Extra { fields });
        }
        Ok(())
    }
}

fn reasoning_delta(
    index: u32,
    text: String,
    redacted: Option<String>,
    extra: Extra,
) -> StreamEvent {
    StreamEvent::ReasoningDelta {
        index,
        text,
        signature: None,
        redacted,
        extra,
    }
}

fn noted(index: u32, annotation: Value) -> StreamEvent {
    StreamEvent::Annotation {
        index,
        field: "annotations".to_owned(),
        annotation,
    }
}
