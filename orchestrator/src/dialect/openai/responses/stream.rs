//! Our stream events as those of a Response, in the vendor's order: an item is done before the next begins.
//!
//! Servers may mix the pieces of their parts. Text or reasoning that goes on after something else came between is an
//! item of its own then, and a call stays open until its arguments are whole JSON.

use ossai::{Completion, Error, StreamEvent, ToolCall};
use serde_json::{Map, Value, json};

use super::echo::Echo;
use super::names::Names;
use super::open::{Item, Open};
use super::response::{self, Notes};
use crate::dialect::openai::error;

/// Turns events into events of the Responses API.
#[derive(Debug)]
pub(crate) struct Events {
    pub(super) id: String,
    model: String,
    created: u64,
    echo: Echo,
    names: Names,
    begun: bool,
    sequence: u64,
    /// The items, each beside the number of our part; null until it is done.
    pub(super) output: Vec<(u32, Value)>,
    /// Items not done, in the order they began.
    pub(super) open: Vec<Open>,
}

impl Events {
    /// Events with these words until the provider gives its own.
    pub(crate) fn new(id: &str, model: &str, created: u64, echo: Echo, names: Names) -> Self {
        Self {
            id: id.to_owned(),
            model: model.to_owned(),
            created,
            echo,
            names,
            begun: false,
            sequence: 0,
            output: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Adds what an event becomes.
    pub(crate) fn push(&mut self, event: &StreamEvent, now: u64, out: &mut Vec<Value>) {
        if let StreamEvent::Start {
            id,
            response_model,
            created,
        } = event
            && !self.begun
        {
            if !id.is_empty() {
                self.id.clone_from(id);
            }
            if let Some(model) = response_model {
                self.model.clone_from(model);
            }
            self.created = created.unwrap_or(self.created);
        }
        self.begin(out);
        match event {
            StreamEvent::TextDelta { index, text } => {
                let item = self.item(*index, out, || Item::Text(String::new()));
                let Open { at, id, item, .. } = item;
                if let Item::Text(all) = item {
                    all.push_str(text);
                    let delta = json!({
                        "item_id": id, "output_index": at, "content_index": 0, "delta": text, "logprobs": [],
                    });
                    self.emit("response.output_text.delta", delta, out);
                }
            }
            StreamEvent::RefusalDelta { index, text } => {
                let item = self.item(*index, out, || Item::Refusal(String::new()));
                let Open { at, id, item, .. } = item;
                if let Item::Refusal(all) = item {
                    all.push_str(text);
                    let delta = json!({
                        "item_id": id, "output_index": at, "content_index": 0, "delta": text,
                    });
                    self.emit("response.refusal.delta", delta, out);
                }
            }
            StreamEvent::ReasoningDelta {
                index,
                text,
                signature,
                redacted,
                extra,
            } => self.reasoning(*index, text, [signature, redacted], extra, out),
            StreamEvent::ToolCallStart {
                index,
                id,
                name,
                extra,
            } => {
                self.item(*index, out, || {
                    Item::Call(ToolCall {
                        id: id.clone(),
                        name: name.clone(),
                        arguments: String::new(),
                        extra: extra.clone(),
                    })
                });
            }
            StreamEvent::ToolCallDelta { index, arguments } => {
                let open = self.open.iter_mut().find(|open| open.index == *index);
                if let Some(Open { at, id, item, .. }) = open
                    && let Item::Call(call) = item
                {
                    call.arguments.push_str(arguments);
                    let delta = json!({ "item_id": id, "output_index": at, "delta": arguments });
                    self.emit("response.function_call_arguments.delta", delta, out);
                }
            }
            StreamEvent::Part { index, part } => {
                self.close(false, &mut Notes::default(), out);
                let at = self.output.len();
                self.output.push((*index, part.clone()));
                let item = json!({ "output_index": at, "item": part });
                self.emit("response.output_item.added", item.clone(), out);
                self.emit("response.output_item.done", item, out);
            }
            StreamEvent::Annotation {
                index,
                field,
                annotation,
            } if field == "annotations" => self.note(*index, annotation, out),
            StreamEvent::End { completion } => self.end(completion, now, out),
            // They stand in the last event.
            _ => {}
        }
    }

    /// The end of a bad stream.
    pub(crate) fn fail(&mut self, error: Error, out: &mut Vec<Value>) {
        let body = error::write_flat(&self.names.rename(error));
        let of = |name: &str| body["error"][name].clone();
        let code = match of("code") {
            Value::Null => of("type"),
            code => code,
        };
        if self.begun {
            let mut response = self.response();
            response.insert("status".into(), "failed".into());
            let done = self.output.iter().map(|(_, item)| item);
            let done: Vec<&Value> = done.filter(|item| !item.is_null()).collect();
            response.insert("output".into(), json!(done));
            response.insert(
                "error".into(),
                json!({ "code": code, "message": of("message") }),
            );
            self.emit("response.failed", json!({ "response": response }), out);
        } else {
            let event = json!({ "code": code, "message": of("message"), "param": of("param") });
            self.emit("error", event, out);
        }
    }

    fn begin(&mut self, out: &mut Vec<Value>) {
        if !std::mem::replace(&mut self.begun, true) {
            let response = json!({ "response": self.response() });
            self.emit("response.created", response.clone(), out);
            self.emit("response.in_progress", response, out);
        }
    }

    fn end(&mut self, answer: &Completion, now: u64, out: &mut Vec<Value>) {
        let mut notes = Notes::of(answer);
        self.close(true, &mut notes, out);
        // Notes on texts that were done before they came stand in the whole answer only.
        for (part, item) in &mut self.output {
            if let Some(text) = item.pointer_mut("/content/0")
                && text["type"] == "output_text"
            {
                let late = notes.annotations(*part as usize);
                if !late.is_empty() {
                    text["annotations"] = late.into();
                }
            }
        }
        let output = std::mem::take(&mut self.output);
        let output = output.into_iter().map(|(_, item)| item).collect();
        let mut body = self.head();
        response::end(&mut body, answer, output, now);
        self.echo.write(&mut body);
        let name = match response::incomplete(answer) {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        self.emit(name, json!({ "response": body }), out);
    }

    fn head(&self) -> Map<String, Value> {
        response::head(&self.id, self.created, &self.model)
    }

    fn response(&self) -> Map<String, Value> {
        let mut body = self.head();
        self.echo.write(&mut body);
        body
    }

    pub(super) fn emit(&mut self, kind: &str, fields: Value, out: &mut Vec<Value>) {
        let mut event = Map::new();
        event.insert("type".into(), kind.into());
        event.insert("sequence_number".into(), self.sequence.into());
        self.sequence += 1;
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        out.push(Value::Object(event));
    }
}
