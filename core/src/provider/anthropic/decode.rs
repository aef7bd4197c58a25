//! Answers and streams of the Messages API. A whole answer is read block by block through the stream's own code.

mod blocks;

use std::collections::HashMap;

use serde_json::Value;

use self::blocks::Block;
use crate::Result;
use crate::cost::usage::{UsageApi, normalise};
use crate::provider::read::{Held, Loose, decode_error, interrupted, unreadable, wire_object};
use crate::provider::{Api, Progress, decode_stream_error};
use crate::transport::sse::SseEvent;
use crate::types::{Extra, FinishReason, StreamEvent};

wire_object!(Event {
    "type" => kind: Loose<'a>,
    "index" => index: Loose<'a>,
    "delta" => delta: Option<Delta<'a>>,
    "content_block" => content_block: Loose<'a>,
    "message" => message: Loose<'a>,
    "usage" => usage: Loose<'a>,
} ignore { "obfuscation" });

wire_object!(Delta {
    "type" => kind: Loose<'a>,
    "text" => text: Loose<'a>,
    "partial_json" => partial_json: Loose<'a>,
    "thinking" => thinking: Loose<'a>,
    "signature" => signature: Loose<'a>,
    "citation" => citation: Loose<'a>,
    "stop_reason" => stop_reason: Loose<'a>,
} ignore { "estimated_tokens" });

/// Reads a whole answer.
pub(in crate::provider) fn whole(
    usage: UsageApi,
    body: &[u8],
    out: &mut Vec<StreamEvent>,
) -> Result<()> {
    let mut message: Value =
        serde_json::from_slice(body).map_err(|e| unreadable("the answer", &e))?;
    if message["type"] == "error" || message["error"].is_object() {
        return Err(decode_stream_error(Api::AnthropicMessages, &message));
    }
    let Some(blocks) = message.get_mut("content").and_then(Value::as_array_mut) else {
        return Err(decode_error("the answer has no `content`"));
    };
    let blocks = std::mem::take(blocks);
    let stop = message["stop_reason"].as_str().map(str::to_owned);
    let mut stream = MessagesStream::new(usage);
    stream.message_start(message, out);
    for (index, block) in (0..).zip(blocks) {
        stream.block_start(index, block, out)?;
        stream.block_stop(index, out)?;
    }
    stream.stopped(stop.as_deref(), out);
    stream.flush(out);
    Ok(())
}

/// The state of one stream.
pub(in crate::provider) struct MessagesStream {
    api: UsageApi,
    started: bool,
    done: bool,
    finished: bool,
    parts: usize,
    blocks: HashMap<u64, Block>,
    usage: Value,
    extra: Extra,
    held: Held,
}

impl MessagesStream {
    pub(in crate::provider) fn new(api: UsageApi) -> Self {
        Self {
            api,
            started: false,
            done: false,
            finished: false,
            parts: 0,
            blocks: HashMap::new(),
            usage: Value::Null,
            extra: Extra::new(),
            held: Held::default(),
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
        if event.event == "ping" || event.data.trim().is_empty() {
            return Ok(Progress::More);
        }
        let parsed: Event<'_> =
            serde_json::from_str(event.data).map_err(|e| unreadable("an event", &e))?;
        let index = parsed.index.number().unwrap_or(0);
        match parsed.kind.text().unwrap_or(event.event) {
            "content_block_delta" => {
                let Some(delta) = parsed.delta else {
                    return Err(decode_error("a content_block_delta has no `delta`"));
                };
                self.delta(index, delta, event.data, out)?;
            }
            "content_block_start" => {
                self.held.add(event.data.len())?;
                self.block_start(index, parsed.content_block.into_value(), out)?;
            }
            "content_block_stop" => self.block_stop(index, out)?,
            "message_start" => self.message_start(parsed.message.into_value(), out),
            "message_delta" => {
                if let Some(delta) = parsed.delta {
                    self.stopped(delta.stop_reason.text(), out);
                    self.extra.extend(delta.extra);
                }
                self.extra.extend(parsed.extra);
                if let Loose::Other(usage) = parsed.usage {
                    self.used(*usage, out);
                }
            }
            "message_stop" => {
                self.flush(out);
                return Ok(Progress::Done);
            }
            "error" => {
                let value = serde_json::from_str(event.data).unwrap_or(Value::Null);
                return Err(decode_stream_error(Api::AnthropicMessages, &value));
            }
            _ => {}
        }
        Ok(Progress::More)
    }

    pub(in crate::provider) fn end(&mut self, out: &mut Vec<StreamEvent>) -> Result<()> {
        match (self.done, self.finished) {
            (true, _) => {}
            (false, true) => self.flush(out),
            (false, false) => return Err(interrupted()),
        }
        Ok(())
    }

    fn message_start(&mut self, message: Value, out: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        out.push(StreamEvent::Start {
            id: message["id"].as_str().unwrap_or_default().to_owned(),
            response_model: message["model"].as_str().map(str::to_owned),
            created: None,
        });
        let Value::Object(message) = message else {
            return;
        };
        for (name, value) in message {
            match name.as_str() {
                "id" | "type" | "role" | "model" | "content" | "stop_reason" => {}
                "usage" => self.used(value, out),
                _ if value.is_null() => {}
                _ => drop(self.extra.insert(name, value)),
            }
        }
    }

    fn used(&mut self, usage: Value, out: &mut Vec<StreamEvent>) {
        if usage.is_object() {
            accumulate(&mut self.usage, usage);
            let usage = normalise(self.api, &self.usage);
            out.push(StreamEvent::Usage {
                usage,
                raw: Some(self.usage.clone().into()),
            });
        }
    }

    fn stopped(&mut self, raw: Option<&str>, out: &mut Vec<StreamEvent>) {
        let Some(raw) = raw else { return };
        self.finished = true;
        let reason = match raw {
            "end_turn" | "stop_sequence" => FinishReason::Stop,
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "tool_use" => FinishReason::ToolCalls,
            "pause_turn" => FinishReason::Pause,
            "refusal" => FinishReason::Refusal,
            other => FinishReason::Other(other.to_owned()),
        };
        let differs = reason.as_str() != raw;
        out.push(StreamEvent::Finish {
            reason,
            raw: differs.then(|| raw.to_owned()),
        });
    }

    fn flush(&mut self, out: &mut Vec<StreamEvent>) {
        self.done = true;
        let fields = std::mem::take(&mut self.extra);
        if !fields.is_empty() {
            out.push(StreamEvent::Extra { fields });
        }
    }
}

/// Usage is cumulative and comes in parts; some servers repeat a count as 0 that they told before.
fn accumulate(all: &mut Value, more: Value) {
    match (all, more) {
        (_, Value::Null) => {}
        (Value::Object(all), Value::Object(more)) => {
            for (name, value) in more {
                match all.get_mut(&name) {
                    Some(known) => accumulate(known, value),
                    None => drop(all.insert(name, value)),
                }
            }
        }
        (Value::Number(all), Value::Number(more)) => {
            if more.as_f64() > all.as_f64() {
                *all = more;
            }
        }
        (all, more) => *all = more,
    }
}
