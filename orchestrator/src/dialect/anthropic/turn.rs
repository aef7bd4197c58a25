//! A caller's turns as our messages: a tool's result is a message of its own, and so is what a model said after a call.

use ossai::{Content, Error, Extra, Message, Part, Result, Role, ToolCall};
use serde_json::Value;

use super::content::{Blocks, STRING, block, blocks, part};
use super::names::{Names, Origin};
use crate::dialect::openai::fields::{need, object, take};

/// Messages as they are read, with their origins.
#[derive(Default)]
pub(super) struct Turns {
    pub(super) messages: Vec<Message>,
    pub(super) names: Names,
}

impl Turns {
    fn add(&mut self, message: Message, origin: Origin) {
        self.messages.push(message);
        self.names.0.push(origin);
    }

    /// Instructions; `null` is none.
    pub(super) fn system(&mut self, value: Option<Value>) -> Result<()> {
        let path = "system";
        let content = match value {
            None | Some(Value::Null) => return Ok(()),
            value => match blocks(value, path)? {
                Blocks::Text(text) => Content::Text(text),
                Blocks::List(list) => Content::Parts(parts(list, path)?),
            },
        };
        let origin = Origin {
            path: path.into(),
            ..Origin::default()
        };
        self.add(Message::system(content), origin);
        Ok(())
    }

    /// One element of `messages`.
    pub(super) fn turn(&mut self, value: Value, path: String) -> Result<()> {
        let mut turn = object(value, &path)?;
        let at = |name: &str| format!("{path}.{name}");
        let role: String = need(
            &mut turn,
            "role",
            &at("role"),
            "expected user, assistant or system",
        )?;
        let role = match role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => {
                return Err(Error::invalid(
                    at("role"),
                    "expected user, assistant or system",
                ));
            }
        };
        let content = blocks(turn.shift_remove("content"), &at("content"))?;
        if let Some(name) = turn.keys().next() {
            return Err(Error::invalid(
                at(name),
                "expected only `role` and `content`",
            ));
        }
        match (content, role) {
            (Blocks::Text(text), role) => self.add(
                Message::new(role, text),
                Origin {
                    path,
                    ..Origin::default()
                },
            ),
            (Blocks::List(list), Role::System) => {
                let content = Content::Parts(parts(list, &at("content"))?);
                self.add(
                    Message::system(content),
                    Origin {
                        path,
                        ..Origin::default()
                    },
                );
            }
            (Blocks::List(list), Role::Assistant) => self.assistant(list, path)?,
            (Blocks::List(list), _) => self.user(list, path)?,
        }
        Ok(())
    }

    /// Results of tools come first, as the API wants them.
    fn user(&mut self, list: Vec<Value>, path: String) -> Result<()> {
        let nothing = list.is_empty();
        let mut rest = Vec::new();
        let mut places = Vec::new();
        for (i, value) in list.into_iter().enumerate() {
            let path = format!("{path}.content[{i}]");
            let (kind, block) = block(value, &path)?;
            match kind.as_str() {
                "tool_result" => {
                    let message = result(block, &path)?;
                    self.add(
                        message,
                        Origin {
                            path,
                            ..Origin::default()
                        },
                    );
                }
                _ => {
                    rest.push(part(kind, block, &path)?);
                    places.push(i);
                }
            }
        }
        if nothing || !rest.is_empty() {
            self.add(
                Message {
                    role: Role::User,
                    content: Content::Parts(rest),
                    ..Message::default()
                },
                Origin {
                    path,
                    parts: places,
                    calls: Vec::new(),
                },
            );
        }
        Ok(())
    }

    /// Ours has a message's calls after its content, so what follows a call begins another message of the same turn.
    fn assistant(&mut self, list: Vec<Value>, path: String) -> Result<()> {
        let start = || Origin {
            path: path.clone(),
            ..Origin::default()
        };
        let (mut parts, mut calls, mut origin) = (Vec::new(), Vec::new(), start());
        for (i, value) in list.into_iter().enumerate() {
            let path = format!("{path}.content[{i}]");
            let (kind, block) = block(value, &path)?;
            if kind == "tool_use" {
                calls.push(call(block, &path)?);
                origin.calls.push(i);
                continue;
            }
            if !calls.is_empty() {
                let message = assistant(std::mem::take(&mut parts), std::mem::take(&mut calls));
                self.add(message, std::mem::replace(&mut origin, start()));
            }
            parts.push(part(kind, block, &path)?);
            origin.parts.push(i);
        }
        self.add(assistant(parts, calls), origin);
        Ok(())
    }
}

fn assistant(parts: Vec<Part>, tool_calls: Vec<ToolCall>) -> Message {
    let content = if parts.is_empty() {
        Content::default()
    } else {
        Content::Parts(parts)
    };
    Message {
        role: Role::Assistant,
        content,
        tool_calls,
        ..Message::default()
    }
}

fn parts(list: Vec<Value>, path: &str) -> Result<Vec<Part>> {
    let read = |(i, value)| {
        let path = format!("{path}[{i}]");
        let (kind, block) = block(value, &path)?;
        part(kind, block, &path)
    };
    list.into_iter().enumerate().map(read).collect()
}

fn call(mut block: Extra, path: &str) -> Result<ToolCall> {
    let at = |name: &str| format!("{path}.{name}");
    let input: Extra = need(&mut block, "input", &at("input"), "expected an object")?;
    Ok(ToolCall {
        id: need(&mut block, "id", &at("id"), STRING)?,
        name: need(&mut block, "name", &at("name"), STRING)?,
        arguments: Value::Object(input).to_string(),
        extra: block,
    })
}

fn result(mut block: Extra, path: &str) -> Result<Message> {
    let at = |name: &str| format!("{path}.{name}");
    let content = match block.shift_remove("content") {
        None | Some(Value::Null) => Content::default(),
        value => match blocks(value, &at("content"))? {
            Blocks::Text(text) => Content::Text(text),
            Blocks::List(list) => Content::Parts(parts(list, &at("content"))?),
        },
    };
    let id: String = need(&mut block, "tool_use_id", &at("tool_use_id"), STRING)?;
    let failed = take(
        &mut block,
        "is_error",
        &at("is_error"),
        "expected true or false",
    )?;
    Ok(Message {
        is_error: failed.unwrap_or(false),
        extra: block,
        ..Message::tool(id, content)
    })
}
