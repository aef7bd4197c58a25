//! Answers and streams of the Chat Completions API and the servers that imitate it.
//!
//! A whole answer is read as a stream of one chunk, so both give the same result by construction. The chunk is parsed
//! into borrowed structs: a text delta costs one allocation, that of its text.

mod calls;

use serde_json::Value;
use serde_json::value::RawValue;

use self::calls::{Call, start_call};
use crate::Result;
use crate::cost::usage::{UsageApi, normalise_text};
use crate::provider::read::{Held, Loose, decode_error, interrupted, unreadable, wire_object};
use crate::provider::{Api, Progress, decode_stream_error};
use crate::transport::sse::SseEvent;
use crate::types::{Extra, FinishReason, RawJson, StreamEvent};

/// Most tool calls and parts of one answer.
const MAX_PARTS: usize = 4096;

wire_object!(Chunk {
    "id" => id: Loose<'a>,
    "object" => object: Loose<'a>,
    "created" => created: Loose<'a>,
    "model" => model: Loose<'a>,
    "choices" => choices: Option<Vec<Choice<'a>>>,
    "usage" => usage: Option<&'a RawValue>,
    "error" => error: Loose<'a>,
    "service_tier" => service_tier: Loose<'a>,
    "system_fingerprint" => system_fingerprint: Loose<'a>,
} ignore { "obfuscation" });

wire_object!(Choice {
    "index" => index: Loose<'a>,
    "delta" => delta: Option<Delta<'a>>,
    "message" => message: Option<Box<Delta<'a>>>,
    "finish_reason" => finish_reason: Loose<'a>,
    "logprobs" => logprobs: Loose<'a>,
} ignore { "obfuscation" });

wire_object!(Delta {
    "content" => content: Loose<'a>,
    "reasoning" => reasoning: Loose<'a>,
    "reasoning_content" => reasoning_content: Loose<'a>,
    "refusal" => refusal: Loose<'a>,
    "tool_calls" => tool_calls: Option<Vec<CallDelta<'a>>>,
    "function_call" => function_call: Option<FunctionDelta<'a>>,
} ignore { "role" });

wire_object!(CallDelta {
    "index" => index: Loose<'a>,
    "id" => id: Loose<'a>,
    "function" => function: Option<FunctionDelta<'a>>,
} ignore { "type" });

wire_object!(FunctionDelta {
    "name" => name: Loose<'a>,
    "arguments" => arguments: Loose<'a>,
} ignore { "parsed_arguments" });

/// Reads a whole answer.
pub(in crate::provider) fn whole(
    usage: UsageApi,
    body: &[u8],
    out: &mut Vec<StreamEvent>,
) -> Result<()> {
    let chunk: Chunk<'_> =
        serde_json::from_slice(body).map_err(|e| unreadable("the answer", &e))?;
    let mut stream = ChatStream::new(usage);
    let answers = chunk
        .choices
        .as_ref()
        .is_some_and(|choices| !choices.is_empty());
    stream.chunk(chunk, body, true, out)?;
    if !answers {
        return Err(decode_error("the answer has no `choices`"));
    }
    stream.flush(out)
}

/// The state of one stream.
pub(in crate::provider) struct ChatStream {
    usage: UsageApi,
    started: bool,
    done: bool,
    finished: bool,
    text: Option<u32>,
    reasoning: Option<u32>,
    refusal: Option<u32>,
    calls: Vec<Call>,
    parts: u32,
    tier: Option<String>,
    fingerprint: Option<String>,
    extra: Extra,
    /// The chunk left something here until the end; how much all such chunks did.
    kept: bool,
    held: Held,
}

impl ChatStream {
    pub(in crate::provider) fn new(usage: UsageApi) -> Self {
        Self {
            usage,
            started: false,
            done: false,
            finished: false,
            text: None,
            reasoning: None,
            refusal: None,
            calls: Vec::new(),
            parts: 0,
            tier: None,
            fingerprint: None,
            extra: Extra::new(),
            kept: false,
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
        if event.data == "[DONE]" {
            if !self.started {
                return Err(decode_error("the stream ended before its first chunk"));
            }
            self.flush(out)?;
            return Ok(Progress::Done);
        }
        if event.event == "error" {
            let value = serde_json::from_str(event.data).unwrap_or(Value::Null);
            return Err(decode_stream_error(Api::OpenAiChat, &value));
        }
        if event.data.trim().is_empty() {
            return Ok(Progress::More);
        }
        let chunk = serde_json::from_str(event.data).map_err(|e| unreadable("a chunk", &e))?;
        self.chunk(chunk, event.data.as_bytes(), false, out)?;
        if std::mem::take(&mut self.kept) {
            self.held.add(event.data.len())?;
        }
        Ok(Progress::More)
    }

    pub(in crate::provider) fn end(&mut self, out: &mut Vec<StreamEvent>) -> Result<()> {
        match (self.done, self.finished) {
            (true, _) => Ok(()),
            (false, true) => self.flush(out),
            (false, false) => Err(interrupted()),
        }
    }

    fn chunk(
        &mut self,
        chunk: Chunk<'_>,
        raw: &[u8],
        whole: bool,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        if !chunk.error.is_null() || chunk.object.text() == Some("error") {
            let value = serde_json::from_slice(raw).unwrap_or(Value::Null);
            return Err(decode_stream_error(Api::OpenAiChat, &value));
        }
        if !self.started && (chunk.choices.is_some() || !chunk.id.is_null()) {
            self.started = true;
            out.push(StreamEvent::Start {
                id: chunk.id.id().unwrap_or_default(),
                response_model: chunk.model.text().map(str::to_owned),
                created: chunk.created.number(),
            });
        }
        keep(&mut self.tier, &chunk.service_tier);
        keep(&mut self.fingerprint, &chunk.system_fingerprint);
        self.extra.extend(chunk.extra);
        for choice in chunk.choices.into_iter().flatten() {
            if choice.index.number().unwrap_or(0) == 0 {
                self.choice(choice, whole, out)?;
            }
        }
        if let Some(raw) = chunk.usage.map(RawValue::get)
            && raw.starts_with('{')
        {
            let mut usage = normalise_text(self.usage, raw);
            usage.service_tier = usage.service_tier.or_else(|| self.tier.clone());
            out.push(StreamEvent::Usage {
                usage,
                raw: Some(RawJson::checked(raw)),
            });
        }
        Ok(())
    }

    fn choice(
        &mut self,
        choice: Choice<'_>,
        whole: bool,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        let delta = if whole {
            choice.message.map(|message| *message)
        } else {
            choice.delta
        };
        if let Some(delta) = delta {
            self.delta(delta, whole, out)?;
        }
        if let Loose::Other(logprobs) = choice.logprobs {
            let all = self.extra.entry("logprobs").or_insert(Value::Null);
            self.kept = true;
            merge(all, *logprobs);
        }
        self.extra.extend(choice.extra);
        let finish = choice.finish_reason;
        if !self.finished && (whole || finish.text().is_some()) {
            self.finished = finish.text().is_some();
            let (reason, raw) = self.finish_reason(finish.text());
            out.push(StreamEvent::Finish { reason, raw });
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta<'_>, whole: bool, out: &mut Vec<StreamEvent>) -> Result<()> {
        // Servers in transition send the same piece under both names.
        if let Some(text) = delta.reasoning_content.text().or(delta.reasoning.text()) {
            self.reason(text, out)?;
        }
        match delta.content {
            Loose::Str(text) if !text.is_empty() => {
                let index = part(&mut self.text, &mut self.parts)?;
                out.push(StreamEvent::TextDelta {
                    index,
                    text: text.into_owned(),
                });
            }
            Loose::Other(value) => {
                if let Value::Array(parts) = *value {
                    self.content_parts(parts, out)?;
                }
            }
            _ => {}
        }
        if let Some(text) = delta.refusal.text() {
            let index = part(&mut self.refusal, &mut self.parts)?;
            out.push(StreamEvent::RefusalDelta {
                index,
                text: text.to_owned(),
            });
        }
        for (at, mut call) in (0_u64..).zip(delta.tool_calls.into_iter().flatten()) {
            if whole {
                // A list's entries are calls of their own whatever numbers and ids they have.
                call.index = Loose::Int(at);
            }
            if call
                .index
                .number()
                .is_some_and(|index| index >= MAX_PARTS as u64)
            {
                return Err(decode_error("a tool call's index is out of bounds"));
            }
            self.call(call, out)?;
        }
        if let Some(function) = delta.function_call
            && !(function.name.is_null() && function.arguments.is_null())
        {
            let index = Loose::Int(0);
            let call = CallDelta {
                index,
                function: Some(function),
                ..CallDelta::default()
            };
            self.call(call, out)?;
        }
        for (name, value) in delta.extra {
            match name.as_str() {
                // Whole answers have the empty list, streams leave it out.
                "annotations" if value.as_array().is_some_and(Vec::is_empty) => {}
                // They come in pieces.
                "annotations" | "audio" | "reasoning_details" => {
                    self.kept = true;
                    merge(self.extra.entry(name).or_insert(Value::Null), value);
                }
                _ => drop(self.extra.insert(name, value)),
            }
        }
        Ok(())
    }

    fn reason(&mut self, text: &str, out: &mut Vec<StreamEvent>) -> Result<()> {
        let index = part(&mut self.reasoning, &mut self.parts)?;
        out.push(StreamEvent::ReasoningDelta {
            index,
            text: text.to_owned(),
            signature: None,
            redacted: None,
            extra: Extra::new(),
        });
        Ok(())
    }

    /// Mistral's reasoning models send their content as a list of parts.
    fn content_parts(&mut self, parts: Vec<Value>, out: &mut Vec<StreamEvent>) -> Result<()> {
        for value in parts {
            match value.get("type").and_then(Value::as_str) {
                Some("text") => {
                    if let Some(text) = value["text"].as_str().filter(|text| !text.is_empty()) {
                        let index = part(&mut self.text, &mut self.parts)?;
                        out.push(StreamEvent::TextDelta {
                            index,
                            text: text.to_owned(),
                        });
                    }
                }
                Some("thinking") => {
                    let thinking = &value["thinking"];
                    let pieces = thinking
                        .as_array()
                        .map_or(std::slice::from_ref(thinking), Vec::as_slice);
                    for piece in pieces {
                        let text = piece.as_str().or_else(|| piece["text"].as_str());
                        if let Some(text) = text.filter(|text| !text.is_empty()) {
                            self.reason(text, out)?;
                        }
                    }
                }
                _ => {
                    let index = part(&mut None, &mut self.parts)?;
                    out.push(StreamEvent::Part { index, part: value });
                }
            }
        }
        Ok(())
    }

    fn finish_reason(&self, raw: Option<&str>) -> (FinishReason, Option<String>) {
        let Some(raw) = raw else {
            return (FinishReason::Other("unknown".into()), None);
        };
        let reason = match raw {
            "length" | "max_tokens" | "model_length" => FinishReason::Length,
            "tool_calls" | "function_call" => FinishReason::ToolCalls,
            "content_filter" => FinishReason::ContentFilter,
            // A forced function call stops with `stop` at OpenAI and several servers.
            "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" => {
                if !self.calls.is_empty() {
                    FinishReason::ToolCalls
                } else if self.refusal.is_some() {
                    FinishReason::Refusal
                } else {
                    FinishReason::Stop
                }
            }
            other => FinishReason::Other(other.to_owned()),
        };
        let differs = reason.as_str() != raw;
        (reason, differs.then(|| raw.to_owned()))
    }

    fn flush(&mut self, out: &mut Vec<StreamEvent>) -> Result<()> {
        self.done = true;
        for (at, call) in self.calls.iter_mut().enumerate() {
            if call.part.is_none() {
                let index = part(&mut call.part, &mut self.parts)?;
                start_call(call, at, index, "", out);
            }
        }
        for (name, word) in [
            ("service_tier", &self.tier),
            ("system_fingerprint", &self.fingerprint),
        ] {
            if let Some(word) = word {
                self.extra
                    .insert(name.to_owned(), Value::String(word.clone()));
            }
        }
        if !self.extra.is_empty() {
            out.push(StreamEvent::Extra {
                fields: std::mem::take(&mut self.extra),
            });
        }
        Ok(())
    }
}

/// The index of a part, the next free one when it is new.
fn part(slot: &mut Option<u32>, parts: &mut u32) -> Result<u32> {
    if let Some(index) = *slot {
        return Ok(index);
    }
    let index = *parts;
    if index as usize >= MAX_PARTS {
        return Err(decode_error("the answer has too many parts"));
    }
    *parts += 1;
    *slot = Some(index);
    Ok(index)
}

/// Keeps a word that comes again with every chunk, without storing it again.
fn keep(slot: &mut Option<String>, word: &Loose<'_>) {
    if let Some(word) = word.text()
        && slot.as_deref() != Some(word)
    {
        *slot = Some(word.to_owned());
    }
}

/// Adds a piece of a value that comes in pieces: lists and the strings of `data` and `transcript` are joined.
fn merge(all: &mut Value, piece: Value) {
    match (all, piece) {
        (Value::Array(all), Value::Array(piece)) => all.extend(piece),
        (Value::Object(all), Value::Object(piece)) => {
            for (name, value) in piece {
                match (all.get_mut(&name), value) {
                    (_, Value::Null) => {}
                    (Some(Value::String(text)), Value::String(more))
                        if matches!(name.as_str(), "data" | "transcript") =>
                    {
                        text.push_str(&more);
                    }
                    (Some(list @ Value::Array(_)), more @ Value::Array(_)) => merge(list, more),
                    (_, value) => drop(all.insert(name, value)),
                }
            }
        }
        (all @ Value::Null, Value::Object(piece)) => {
            *all = Value::Object(piece.into_iter().filter(|(_, v)| !v.is_null()).collect());
        }
        (all, piece) => *all = piece,
    }
}
