//! The input of a Responses request as messages.
//!
//! An assistant's turn is several items here and one message with us. Its message goes on as long as the order of its
//! items survives in it: reasoning, texts and items of other kinds, then calls. `id` and `status` of items are the
//! vendor's bookkeeping of what it stored; only reasoning is known by its id.

use ossai::{Content, Error, Extra, Message, Part, Result, Role, ToolCall};
use serde_json::Value;

use super::items::read_reasoning;
use super::names::Names;
use super::parts;
use crate::dialect::openai::fields::{need, object, take};
use crate::dialect::openai::request::STRING;

/// Reads `input` to the end of the messages.
pub(super) fn read(input: Value, messages: &mut Vec<Message>, names: &mut Names) -> Result<()> {
    let items = match input {
        Value::String(text) => {
            names.message(0);
            messages.push(Message::user(text));
            return Ok(());
        }
        Value::Array(items) => items,
        _ => {
            return Err(Error::invalid(
                "input",
                "expected a string or a list of items",
            ));
        }
    };
    let mut turns = Turns {
        messages,
        names,
        open: None,
    };
    for (i, item) in items.into_iter().enumerate() {
        turns.item(item, i)?;
    }
    turns.close();
    Ok(())
}

struct Turns<'a> {
    messages: &'a mut Vec<Message>,
    names: &'a mut Names,
    /// An assistant's message that may go on.
    open: Option<Message>,
}

impl Turns<'_> {
    fn item(&mut self, item: Value, i: usize) -> Result<()> {
        let path = format!("input[{i}]");
        let at = |name: &str| format!("{path}.{name}");
        let mut item = object(item, &path)?;
        let kind: Option<String> = take(&mut item, "type", &at("type"), STRING)?;
        let is_message = kind.is_none() && item.contains_key("role");
        match kind.as_deref() {
            Some("message") => self.message(item, i, &path),
            None if is_message => self.message(item, i, &path),
            None => Err(Error::invalid(at("type"), STRING)),
            Some("reasoning") => {
                let part = Part::Reasoning(read_reasoning(item, &path)?);
                push_part(self.assistant(i, true), part);
                Ok(())
            }
            Some("function_call") => {
                bookkeeping(&mut item);
                let call = ToolCall {
                    id: need(&mut item, "call_id", &at("call_id"), STRING)?,
                    name: need(&mut item, "name", &at("name"), STRING)?,
                    arguments: need(
                        &mut item,
                        "arguments",
                        &at("arguments"),
                        "expected a string of JSON",
                    )?,
                    extra: item,
                };
                self.assistant(i, false).tool_calls.push(call);
                self.names.call(i);
                Ok(())
            }
            Some("function_call_output") => {
                bookkeeping(&mut item);
                let call = need(&mut item, "call_id", &at("call_id"), STRING)?;
                let content = parts::read(item.shift_remove("output"), &at("output"))?;
                self.other(
                    Message {
                        role: Role::Tool,
                        content,
                        tool_call_id: Some(call),
                        extra: item,
                        ..Message::default()
                    },
                    i,
                );
                Ok(())
            }
            Some("item_reference") => Err(Error::invalid(
                at("type"),
                "expected the item itself: nothing is stored here to refer to",
            )),
            Some(kind) => {
                item.insert("type".into(), kind.into());
                push_part(self.assistant(i, true), Part::Other(Value::Object(item)));
                Ok(())
            }
        }
    }

    fn message(&mut self, mut item: Extra, i: usize, path: &str) -> Result<()> {
        let at = |name: &str| format!("{path}.{name}");
        bookkeeping(&mut item);
        let role: String = need(&mut item, "role", &at("role"), "expected a role")?;
        let content = item.shift_remove("content");
        let role = match role.as_str() {
            "system" => Role::System,
            "developer" => Role::Developer,
            "user" => Role::User,
            "assistant" => {
                let parts = parts::read_output(content, &at("content"))?;
                self.said(parts, item, i);
                return Ok(());
            }
            _ => {
                return Err(Error::invalid(
                    at("role"),
                    "expected system, developer, user or assistant",
                ));
            }
        };
        let content = parts::read(content, &at("content"))?;
        self.other(
            Message {
                role,
                content,
                extra: item,
                ..Message::default()
            },
            i,
        );
        Ok(())
    }

    /// What the assistant said; what the item has of its own (`phase`) is its message's.
    fn said(&mut self, parts: Vec<Part>, extra: Extra, i: usize) {
        let joins = |message: &Message| {
            message.extra == extra || message.extra.is_empty() && !has_text(message)
        };
        if !self.open.as_ref().is_some_and(joins) {
            self.close();
        }
        let message = self.assistant(i, true);
        message.extra = extra;
        for part in parts {
            push_part(message, part);
        }
    }

    /// The assistant's message that goes on, or a new one; after a call nothing but calls has a place in it.
    fn assistant(&mut self, i: usize, is_content: bool) -> &mut Message {
        if is_content
            && self
                .open
                .as_ref()
                .is_some_and(|open| !open.tool_calls.is_empty())
        {
            self.close();
        }
        let names = &mut *self.names;
        self.open.get_or_insert_with(|| {
            names.message(i);
            Message::new(Role::Assistant, Content::Parts(Vec::new()))
        })
    }

    /// The assistant's message is whole.
    fn close(&mut self) {
        if let Some(mut message) = self.open.take() {
            if let Content::Parts(parts) = &message.content
                && parts.is_empty()
            {
                message.content = Content::default();
            }
            self.messages.push(message);
        }
    }

    fn other(&mut self, message: Message, i: usize) {
        self.close();
        self.names.message(i);
        self.messages.push(message);
    }
}

fn push_part(message: &mut Message, part: Part) {
    if let Content::Parts(parts) = &mut message.content {
        parts.push(part);
    }
}

fn has_text(message: &Message) -> bool {
    matches!(&message.content, Content::Parts(parts) if parts.iter().any(|part| matches!(part, Part::Text(_))))
}

fn bookkeeping(item: &mut Extra) {
    item.shift_remove("id");
    item.shift_remove("status");
}
