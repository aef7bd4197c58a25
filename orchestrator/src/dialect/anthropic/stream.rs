//! Our stream events as those of a Message, one content block after the other.

use std::collections::VecDeque;

use ossai::{Extra, FinishReason, RawJson, StreamEvent, Usage};
use serde_json::{Value, json};

use super::message::{head, others, stopped};
use super::{block, usage};

/// A block that has begun and not ended.
#[derive(Debug)]
struct Open {
    part: u32,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Text,
    Thinking,
    /// Another part may begin only when the arguments are whole.
    Tool(Scan),
}

/// How far a JSON object has come, byte by byte.
#[derive(Debug, Default, PartialEq)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    whole: bool,
}

impl Scan {
    fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.whole |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

/// Turns events into Anthropic's, each a JSON object whose `type` is the event's name.
#[derive(Debug)]
pub(crate) struct Events {
    id: String,
    model: String,
    begun: bool,
    blocks: u64,
    open: Option<Open>,
    /// What came for other parts while a tool call was not whole.
    waiting: Vec<StreamEvent>,
    usage: Usage,
    raw_usage: Option<RawJson>,
    finish: (FinishReason, Option<String>),
    extra: Extra,
}

impl Events {
    /// Events with these words until the provider gives its own.
    pub(crate) fn new(id: &str, model: &str) -> Self {
        Self {
            id: id.to_owned(),
            model: model.to_owned(),
            begun: false,
            blocks: 0,
            open: None,
            waiting: Vec::new(),
            usage: Usage::default(),
            raw_usage: None,
            finish: (FinishReason::Stop, None),
            extra: Extra::new(),
        }
    }

    /// Adds what an event becomes; `last` stands in the `message_delta` beside the usage.
    pub(crate) fn push(
        &mut self,
        event: &StreamEvent,
        last: impl FnOnce() -> Option<Value>,
        out: &mut Vec<Value>,
    ) {
        match event {
            StreamEvent::Start {
                id, response_model, ..
            } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                if let Some(model) = response_model {
                    self.model.clone_from(model);
                }
                // The first usage, which Anthropic's own models tell at once, belongs into the beginning.
            }
            StreamEvent::Usage { usage, raw } => {
                self.usage.clone_from(usage);
                self.raw_usage.clone_from(raw);
                self.begin(out);
            }
            StreamEvent::Finish { reason, raw } => self.finish = (reason.clone(), raw.clone()),
            StreamEvent::Extra { fields } => self.extra.extend(fields.clone()),
            StreamEvent::End { completion } => {
                self.usage.clone_from(&completion.usage);
                self.raw_usage.clone_from(&completion.raw_usage);
                self.end(last(), out);
            }
            event => {
                self.begin(out);
                self.content(event, out);
            }
        }
    }

    /// A sign of life.
    pub(crate) fn ping(&mut self, out: &mut Vec<Value>) {
        out.push(json!({ "type": "ping" }));
    }

    fn begin(&mut self, out: &mut Vec<Value>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut message = head(&self.id, &self.model);
        message.insert("content".into(), json!([]));
        message.insert("stop_reason".into(), Value::Null);
        message.insert("stop_sequence".into(), Value::Null);
        message.insert("usage".into(), self.usage());
        out.push(json!({ "type": "message_start", "message": message }));
        self.ping(out);
    }

    fn usage(&self) -> Value {
        usage::write(&self.usage, self.raw_usage.as_deref())
    }

    fn end(&mut self, last: Option<Value>, out: &mut Vec<Value>) {
        self.begin(out);
        self.stop_block(out);
        // Nothing more comes: in the order of their parts those that waited are whole.
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(part_of);
        for event in &waiting {
            if self.open.as_ref().map(|open| Some(open.part)) != Some(part_of(event)) {
                self.stop_block(out);
            }
            self.piece(event, out);
        }
        self.stop_block(out);
        let mut delta = stopped(&self.finish.0, self.finish.1.as_deref(), &self.extra);
        for (name, value) in others(&self.extra) {
            delta.entry(name).or_insert(value);
        }
        let mut event = block::map(json!({ "type": "message_delta", "delta": delta }));
        event.insert("usage".into(), self.usage());
        if let Some(last) = last {
            event.insert("ossai".into(), last);
        }
        out.push(Value::Object(event));
        out.push(json!({ "type": "message_stop" }));
    }

    /// An event of one part, and what waited for it.
    fn content(&mut self, event: &StreamEvent, out: &mut Vec<Value>) {
        self.place(event, out);
        let mut queue = VecDeque::new();
        loop {
            if self.open.as_ref().is_none_or(Open::is_whole) {
                for event in self.waiting.drain(..).rev() {
                    queue.push_front(event);
                }
            }
            let Some(event) = queue.pop_front() else {
                return;
            };
            self.place(&event, out);
        }
    }

    /// Writes an event, or lets it wait.
    fn place(&mut self, event: &StreamEvent, out: &mut Vec<Value>) {
        let Some(part) = part_of(event) else { return };
        if let Some(open) = self.open.as_ref().filter(|open| open.part != part) {
            if !open.is_whole() {
                self.waiting.push(event.clone());
                return;
            }
            self.stop_block(out);
        }
        self.piece(event, out);
    }

    /// An event of the part that is open, or begins now.
    fn piece(&mut self, event: &StreamEvent, out: &mut Vec<Value>) {
        match event {
            // The API takes no empty text back.
            StreamEvent::TextDelta { index, text } | StreamEvent::RefusalDelta { index, text }
                if !text.is_empty() =>
            {
                self.start_once(
                    *index,
                    Kind::Text,
                    out,
                    || json!({ "type": "text", "text": "" }),
                );
                self.delta(json!({ "type": "text_delta", "text": text }), out);
            }
            StreamEvent::ReasoningDelta {
                index,
                text,
                signature,
                redacted,
                extra,
            } => {
                let fields = |block: Value| {
                    let mut block = block::map(block);
                    for (name, value) in extra {
                        block.entry(name.as_str()).or_insert_with(|| value.clone());
                    }
                    Value::Object(block)
                };
                if !text.is_empty() || redacted.is_none() {
                    self.start_once(*index, Kind::Thinking, out, || {
                        fields(json!({ "type": "thinking", "thinking": "", "signature": "" }))
                    });
                }
                if !text.is_empty() {
                    self.delta(json!({ "type": "thinking_delta", "thinking": text }), out);
                }
                if let Some(signature) = signature {
                    let delta = json!({ "type": "signature_delta", "signature": signature });
                    self.delta(delta, out);
                }
                if let Some(data) = redacted {
                    let block = fields(json!({ "type": "redacted_thinking", "data": data }));
                    self.whole(block, out);
                }
            }
            StreamEvent::ToolCallStart {
                index,
                id,
                name,
                extra,
            } => {
                self.start_once(*index, Kind::Tool(Scan::default()), out, || {
                    let mut block = block::map(
                        json!({ "type": "tool_use", "id": id, "name": name, "input": {} }),
                    );
                    for (name, value) in extra {
                        block.entry(name.as_str()).or_insert_with(|| value.clone());
                    }
                    Value::Object(block)
                });
            }
            StreamEvent::ToolCallDelta { arguments, .. } => {
                // Pieces of a call that has ended are blanks behind its arguments.
                if let Some(Open {
                    kind: Kind::Tool(scan),
                    ..
                }) = &mut self.open
                {
                    scan.push(arguments);
                    let delta = json!({ "type": "input_json_delta", "partial_json": arguments });
                    self.delta(delta, out);
                }
            }
            StreamEvent::Part { part, .. } => self.whole(part.clone(), out),
            StreamEvent::Annotation {
                index,
                field,
                annotation,
            } if field == "citations" => {
                self.start_once(
                    *index,
                    Kind::Text,
                    out,
                    || json!({ "type": "text", "text": "" }),
                );
                let delta = json!({ "type": "citations_delta", "citation": annotation });
                self.delta(delta, out);
            }
            _ => {}
        }
    }

    fn start_once(
        &mut self,
        part: u32,
        kind: Kind,
        out: &mut Vec<Value>,
        block: impl FnOnce() -> Value,
    ) {
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            return;
        }
        self.stop_block(out);
        out.push(json!({
            "type": "content_block_start", "index": self.blocks, "content_block": block(),
        }));
        self.open = Some(Open { part, kind });
    }

    fn delta(&self, delta: Value, out: &mut Vec<Value>) {
        out.push(json!({ "type": "content_block_delta", "index": self.blocks, "delta": delta }));
    }

    fn stop_block(&mut self, out: &mut Vec<Value>) {
        if self.open.take().is_some() {
            out.push(json!({ "type": "content_block_stop", "index": self.blocks }));
            self.blocks += 1;
        }
    }

    /// A block that comes in one piece.
    fn whole(&mut self, block: Value, out: &mut Vec<Value>) {
        self.stop_block(out);
        out.push(json!({
            "type": "content_block_start", "index": self.blocks, "content_block": block,
        }));
        out.push(json!({ "type": "content_block_stop", "index": self.blocks }));
        self.blocks += 1;
    }
}

impl Open {
    fn is_whole(&self) -> bool {
        match &self.kind {
            Kind::Tool(scan) => scan.whole,
            Kind::Text | Kind::Thinking => true,
        }
    }
}

fn part_of(event: &StreamEvent) -> Option<u32> {
    match event {
        StreamEvent::TextDelta { index, .. }
        | StreamEvent::RefusalDelta { index, .. }
        | StreamEvent::ReasoningDelta { index, .. }
        | StreamEvent::ToolCallStart { index, .. }
        | StreamEvent::ToolCallDelta { index, .. }
        | StreamEvent::Annotation { index, .. }
        | StreamEvent::Part { index, .. } => Some(*index),
        _ => None,
    }
}
