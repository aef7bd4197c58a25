//! Items of a streamed answer between their first event and their last.

use ossai::{Extra, ReasoningPart, ToolCall};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::items;
use super::response::{Notes, flat};
use super::stream::Events;

#[derive(Debug)]
pub(super) struct Open {
    /// Our part.
    pub(super) index: u32,
    /// Its place in the output.
    pub(super) at: usize,
    pub(super) id: String,
    pub(super) item: Item,
    /// The notes on it that were told.
    notes: Vec<Value>,
}

#[derive(Debug)]
pub(super) enum Item {
    Text(String),
    Refusal(String),
    Reasoning(ReasoningPart),
    Call(ToolCall),
}

impl Item {
    /// Whether nothing can follow.
    fn is_whole(&self) -> bool {
        match self {
            Self::Call(call) => serde_json::from_str::<IgnoredAny>(&call.arguments).is_ok(),
            _ => true,
        }
    }

    /// The item as it begins.
    fn begin(&self, id: &str) -> Value {
        match self {
            Self::Text(_) | Self::Refusal(_) => items::message(id, "in_progress", json!([])),
            Self::Reasoning(_) => json!({ "id": id, "type": "reasoning", "summary": [] }),
            Self::Call(call) => items::function_call(id, "in_progress", call),
        }
    }
}

impl Events {
    /// The open item of a part; a new one begins when what is whole before it is done.
    pub(super) fn item(
        &mut self,
        index: u32,
        out: &mut Vec<Value>,
        new: impl FnOnce() -> Item,
    ) -> &mut Open {
        let at = match self.open.iter().position(|open| open.index == index) {
            Some(at) => at,
            None => {
                self.close(false, &mut Notes::default(), out);
                self.begin_item(index, new(), out);
                self.open.len() - 1
            }
        };
        &mut self.open[at]
    }

    fn begin_item(&mut self, index: u32, item: Item, out: &mut Vec<Value>) {
        let at = self.output.len();
        let id = match &item {
            Item::Text(_) | Item::Refusal(_) => items::item_id("msg", &self.id, at),
            Item::Call(_) => items::item_id("fc", &self.id, at),
            Item::Reasoning(part) => match part.extra.get("id").and_then(Value::as_str) {
                Some(id) => id.to_owned(),
                None => items::item_id("rs", &self.id, at),
            },
        };
        self.output.push((index, Value::Null));
        let begun = json!({ "output_index": at, "item": item.begin(&id) });
        self.emit("response.output_item.added", begun, out);
        let part = match &item {
            Item::Text(_) => Some(items::output_text("", Vec::new(), Vec::new())),
            Item::Refusal(_) => Some(items::refusal("")),
            _ => None,
        };
        if let Some(part) = part {
            let part =
                json!({ "item_id": id, "output_index": at, "content_index": 0, "part": part });
            self.emit("response.content_part.added", part, out);
        }
        self.open.push(Open {
            index,
            at,
            id,
            item,
            notes: Vec::new(),
        });
    }

    /// A note on a text, while it is open: those that come later stand in the whole answer.
    pub(super) fn note(&mut self, index: u32, annotation: &Value, out: &mut Vec<Value>) {
        if self.open.iter().all(|open| open.index != index)
            && self.output.iter().any(|(part, _)| *part == index)
        {
            return;
        }
        let Open {
            at,
            id,
            item: Item::Text(_),
            notes,
            ..
        } = self.item(index, out, || Item::Text(String::new()))
        else {
            return;
        };
        let annotation = flat(annotation.clone());
        let added = json!({
            "item_id": id, "output_index": at, "content_index": 0, "annotation_index": notes.len(),
            "annotation": annotation,
        });
        notes.push(annotation);
        self.emit("response.output_text.annotation.added", added, out);
    }

    pub(super) fn reasoning(
        &mut self,
        index: u32,
        text: &str,
        [signature, redacted]: [&Option<String>; 2],
        extra: &Extra,
        out: &mut Vec<Value>,
    ) {
        let new = || {
            Item::Reasoning(ReasoningPart {
                extra: extra.clone(),
                ..ReasoningPart::default()
            })
        };
        let Open { at, id, item, .. } = self.item(index, out, new);
        let Item::Reasoning(part) = item else {
            return;
        };
        let is_first = part.text.is_empty();
        part.text.push_str(text);
        if signature.is_some() {
            part.signature.clone_from(signature);
        }
        if redacted.is_some() {
            part.redacted.clone_from(redacted);
        }
        let news = extra
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        part.extra.extend(news);
        if text.is_empty() {
            return;
        }
        let (at, id) = (*at, id.clone());
        if is_first {
            let part = json!({
                "item_id": id, "output_index": at, "summary_index": 0, "part": items::summary_text(""),
            });
            self.emit("response.reasoning_summary_part.added", part, out);
        }
        let delta = json!({ "item_id": id, "output_index": at, "summary_index": 0, "delta": text });
        self.emit("response.reasoning_summary_text.delta", delta, out);
    }

    /// Ends the items that are whole, or all.
    pub(super) fn close(&mut self, all: bool, notes: &mut Notes, out: &mut Vec<Value>) {
        for open in std::mem::take(&mut self.open) {
            if all || open.item.is_whole() {
                self.done(&open, notes, out);
            } else {
                self.open.push(open);
            }
        }
    }

    fn done(&mut self, open: &Open, notes: &mut Notes, out: &mut Vec<Value>) {
        let Open {
            index,
            at,
            id,
            item,
            notes: told,
        } = open;
        let content = |mut fields: Value| {
            fields["item_id"] = id.as_str().into();
            fields["output_index"] = (*at).into();
            fields
        };
        let whole = match item {
            Item::Text(text) => {
                // The answer's own list begins with those that were told.
                let mut annotations = told.clone();
                annotations.extend(
                    notes
                        .annotations(*index as usize)
                        .into_iter()
                        .skip(told.len()),
                );
                for (i, annotation) in annotations.iter().enumerate().skip(told.len()) {
                    let added = json!({ "content_index": 0, "annotation_index": i, "annotation": annotation });
                    self.emit("response.output_text.annotation.added", content(added), out);
                }
                let logprobs = notes.logprobs();
                let done = json!({ "content_index": 0, "text": text, "logprobs": logprobs });
                self.emit("response.output_text.done", content(done), out);
                let part = items::output_text(text, annotations, logprobs);
                let done = json!({ "content_index": 0, "part": part });
                self.emit("response.content_part.done", content(done), out);
                items::message(id, "completed", json!([part]))
            }
            Item::Refusal(text) => {
                let done = json!({ "content_index": 0, "refusal": text });
                self.emit("response.refusal.done", content(done), out);
                let part = items::refusal(text);
                let done = json!({ "content_index": 0, "part": part });
                self.emit("response.content_part.done", content(done), out);
                items::message(id, "completed", json!([part]))
            }
            Item::Reasoning(part) => {
                if !part.text.is_empty() {
                    let done = json!({ "summary_index": 0, "text": part.text });
                    self.emit("response.reasoning_summary_text.done", content(done), out);
                    let done =
                        json!({ "summary_index": 0, "part": items::summary_text(&part.text) });
                    self.emit("response.reasoning_summary_part.done", content(done), out);
                }
                items::reasoning(id, part)
            }
            Item::Call(call) => {
                let done = json!({ "name": call.name, "arguments": call.arguments });
                self.emit("response.function_call_arguments.done", content(done), out);
                items::function_call(id, "completed", call)
            }
        };
        let done = json!({ "output_index": at, "item": &whole });
        self.emit("response.output_item.done", done, out);
        if let Some((_, place)) = self.output.get_mut(*at) {
            *place = whole;
        }
    }
}
