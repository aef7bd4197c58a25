//! Our stream events as Chat Completion chunks.

use std::collections::HashMap;

use ossai::call::annotate;
use ossai::{Extra, StreamEvent};
use serde_json::{Map, Value, json};

use super::chat::{finish_reason, head, usage};

/// Turns events into chunks, one `data` line of JSON each.
#[derive(Debug)]
pub(crate) struct Chunks {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    begun: bool,
    /// Our part's index → the tool call's own.
    calls: HashMap<u32, usize>,
    /// Notes on parts: in this format they come together.
    notes: Extra,
}

impl Chunks {
    /// Chunks with these words until the provider gives its own.
    pub(crate) fn new(id: &str, model: &str, created: u64, include_usage: bool) -> Self {
        Self {
            id: id.to_owned(),
            model: model.to_owned(),
            created,
            include_usage,
            begun: false,
            calls: HashMap::new(),
            notes: Extra::new(),
        }
    }

    /// Adds what an event becomes: nothing, or one chunk.
    pub(crate) fn push(&mut self, event: &StreamEvent, out: &mut Vec<Value>) {
        match event {
            StreamEvent::Start {
                id,
                response_model,
                created,
            } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                if let Some(model) = response_model {
                    self.model.clone_from(model);
                }
                self.created = created.unwrap_or(self.created);
                if !std::mem::replace(&mut self.begun, true) {
                    out.push(
                        self.delta(json!({ "role": "assistant", "content": "", "refusal": null })),
                    );
                }
            }
            StreamEvent::TextDelta { text, .. } => out.push(self.delta(json!({ "content": text }))),
            StreamEvent::RefusalDelta { text, .. } => {
                out.push(self.delta(json!({ "refusal": text })))
            }
            StreamEvent::ReasoningDelta { text, .. } if !text.is_empty() => {
                out.push(self.delta(json!({ "reasoning_content": text })));
            }
            StreamEvent::ToolCallStart {
                index,
                id,
                name,
                extra,
            } => {
                let next = self.calls.len();
                let at = *self.calls.entry(*index).or_insert(next);
                let mut call = Map::new();
                call.insert("index".into(), at.into());
                call.insert("id".into(), id.as_str().into());
                call.insert("type".into(), "function".into());
                call.insert("function".into(), json!({ "name": name, "arguments": "" }));
                for (name, value) in extra {
                    call.entry(name.as_str()).or_insert_with(|| value.clone());
                }
                out.push(self.delta(json!({ "tool_calls": [call] })));
            }
            StreamEvent::ToolCallDelta { index, arguments } => {
                if let Some(at) = self.calls.get(index) {
                    let call = json!({ "index": at, "function": { "arguments": arguments } });
                    out.push(self.delta(json!({ "tool_calls": [call] })));
                }
            }
            StreamEvent::Annotation {
                index,
                field,
                annotation,
            } => annotate(&mut self.notes, *index, field, annotation.clone()),
            StreamEvent::Finish { reason, .. } => {
                let notes = std::mem::take(&mut self.notes);
                if !notes.is_empty() {
                    out.push(self.extra(&notes));
                }
                out.push(self.chunk(json!([{
                    "index": 0, "delta": {}, "logprobs": null, "finish_reason": finish_reason(reason),
                }])));
            }
            StreamEvent::Extra { fields } => out.push(self.extra(fields)),
            StreamEvent::End { completion } if self.include_usage => {
                let mut chunk = self.chunk(json!([]));
                chunk["usage"] = usage(&completion.usage, completion.raw_usage.as_deref());
                out.push(chunk);
            }
            // Usage stands in the last chunk; parts of kinds unknown here have no place in this format.
            _ => {}
        }
    }

    fn chunk(&self, choices: Value) -> Value {
        let mut body = head("chat.completion.chunk", &self.id, self.created, &self.model);
        body.insert("choices".into(), choices);
        if self.include_usage {
            body.insert("usage".into(), Value::Null);
        }
        Value::Object(body)
    }

    fn delta(&self, delta: Value) -> Value {
        self.chunk(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }]))
    }

    fn extra(&self, fields: &Extra) -> Value {
        let mut delta = Map::new();
        let mut outer = Map::new();
        let mut logprobs = Value::Null;
        for (name, value) in fields {
            match name.as_str() {
                "logprobs" => logprobs = super::chat::logprobs(value),
                "annotations" | "audio" | "reasoning_details" => {
                    drop(delta.insert(name.clone(), value.clone()))
                }
                _ => drop(outer.insert(name.clone(), value.clone())),
            }
        }
        let mut chunk = self.chunk(
            json!([{ "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": null }]),
        );
        if let Some(body) = chunk.as_object_mut() {
            for (name, value) in outer {
                body.entry(name).or_insert(value);
            }
        }
        chunk
    }
}
