//! Messages as the Messages API wants them: instructions apart, roles taking turns, tool results first in the user's.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::provider::media::{self, Source};
use crate::provider::write::{Arr, Obj};
use crate::types::{Content, FilePart, Message, Part, ReasoningPart, Role};
use crate::{Error, ErrorKind, Result};

/// Members of a message that only OpenAI's format has.
const OPENAI_ONLY: &[&str] = &[
    "annotations",
    "audio",
    "function_call",
    "phase",
    "reasoning",
    "reasoning_content",
    "refusal",
];

/// One turn: consecutive messages of one side, with their places in the request.
pub(super) struct Turn<'a> {
    assistant: bool,
    messages: Vec<(usize, &'a Message)>,
}

/// Groups the messages into turns; system messages are not among them and an assistant's empty one is left out.
pub(super) fn turns(messages: &[Message]) -> Result<Vec<Turn<'_>>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let assistant = match message.role {
            Role::System | Role::Developer => continue,
            Role::Assistant if message.content.is_empty() && message.tool_calls.is_empty() => {
                continue;
            }
            role => role == Role::Assistant,
        };
        match turns.last_mut() {
            Some(turn) if turn.assistant == assistant => turn.messages.push((i, message)),
            _ => turns.push(Turn {
                assistant,
                messages: vec![(i, message)],
            }),
        }
    }
    if turns.is_empty() {
        return Err(Error::invalid(
            "messages",
            "expected at least one message beside the instructions",
        ));
    }
    Ok(turns)
}

/// Writes the instructions: a string, or blocks where there are several in a message or one has fields of its own
/// (`cache_control`).
pub(super) fn write_system(o: &mut Obj<'_>, messages: &[Message]) -> Result<()> {
    let system = || {
        messages
            .iter()
            .enumerate()
            .filter(|(_, message)| matches!(message.role, Role::System | Role::Developer))
            .filter(|(_, message)| !message.content.is_empty())
    };
    let plain = |message: &Message| {
        message.extra.get("cache_control").is_none()
            && match &message.content {
                Content::Text(_) => true,
                Content::Parts(parts) => {
                    matches!(parts.as_slice(), [Part::Text(text)] if text.extra.is_empty())
                }
            }
    };
    if system().next().is_none() {
        return Ok(());
    }
    if system().all(|(_, message)| plain(message)) {
        let texts: Vec<Cow<'_, str>> = system()
            .map(|(_, message)| message.content.text())
            .collect();
        o.put("system", &texts.join("\n\n"));
        return Ok(());
    }
    o.array("system", |blocks| {
        system().try_for_each(|(i, message)| write_content(blocks, message, i))
    })
}

/// Writes the turns.
pub(super) fn write_turns(o: &mut Obj<'_>, turns: &[Turn<'_>]) -> Result<()> {
    o.array("messages", |out| {
        for turn in turns {
            out.object(|o| {
                o.put("role", if turn.assistant { "assistant" } else { "user" });
                match turn.messages.as_slice() {
                    [(_, message)] if is_plain(message) => o.put("content", &message.content),
                    messages => o.array("content", |blocks| write_blocks(blocks, messages))?,
                }
                for (_, message) in &turn.messages {
                    if message.role != Role::Tool {
                        let skip = [OPENAI_ONLY, &["cache_control"]].concat();
                        o.extra(&message.extra, &skip);
                    }
                }
                Ok::<(), Error>(())
            })?;
        }
        Ok(())
    })
}

fn is_plain(message: &Message) -> bool {
    message.role != Role::Tool
        && message.tool_calls.is_empty()
        && !message.extra.contains_key("cache_control")
        && matches!(&message.content, Content::Text(_))
}

fn write_blocks(blocks: &mut Arr<'_>, messages: &[(usize, &Message)]) -> Result<()> {
    // The API wants the results before anything else of the turn.
    for (i, message) in messages
        .iter()
        .filter(|(_, message)| message.role == Role::Tool)
    {
        write_result(blocks, message, *i)?;
    }
    for (i, message) in messages
        .iter()
        .filter(|(_, message)| message.role != Role::Tool)
    {
        write_content(blocks, message, *i)?;
        for (j, call) in message.tool_calls.iter().enumerate() {
            let arguments = match call.arguments.trim() {
                "" => "{}",
                text if text.starts_with('{')
                    && serde_json::from_str::<IgnoredAny>(text).is_ok() =>
                {
                    text
                }
                _ => {
                    let path = format!("messages[{i}].tool_calls[{j}].arguments");
                    return Err(Error::invalid(path, "expected a JSON object"));
                }
            };
            blocks.object(|o| {
                o.put("type", "tool_use");
                o.put("id", &*tool_id(&call.id));
                o.put("name", &call.name);
                o.raw("input", arguments);
                o.extra(&call.extra, &[]);
                Ok::<(), Error>(())
            })?;
        }
    }
    Ok(())
}

fn write_result(blocks: &mut Arr<'_>, message: &Message, i: usize) -> Result<()> {
    blocks.object(|o| {
        o.put("type", "tool_result");
        o.put(
            "tool_use_id",
            &*tool_id(message.tool_call_id.as_deref().unwrap_or_default()),
        );
        match &message.content {
            Content::Text(text) => o.put("content", text),
            Content::Parts(parts) => o.array("content", |out| write_parts(out, parts, i, None))?,
        }
        if message.is_error {
            o.put("is_error", &true);
        }
        o.extra(&message.extra, OPENAI_ONLY);
        Ok(())
    })
}

fn write_content(blocks: &mut Arr<'_>, message: &Message, i: usize) -> Result<()> {
    // A mark on the message is one on its last block.
    let mark = message.extra.get("cache_control");
    match &message.content {
        Content::Text(text) if text.is_empty() => Ok(()),
        Content::Text(text) => write_parts(blocks, &[Part::text(text)], i, mark),
        Content::Parts(parts) => write_parts(blocks, parts, i, mark),
    }
}

fn write_parts(blocks: &mut Arr<'_>, parts: &[Part], i: usize, mark: Option<&Value>) -> Result<()> {
    for (j, part) in parts.iter().enumerate() {
        let mark = mark.filter(|_| j + 1 == parts.len());
        let path = || format!("messages[{i}].content[{j}]");
        let end = |o: &mut Obj<'_>, extra| {
            if let Some(mark) = mark {
                o.put("cache_control", mark);
            }
            o.extra(extra, &[]);
        };
        match part {
            // The API refuses empty text blocks.
            Part::Text(text) if text.text.is_empty() => {}
            Part::Text(text) => blocks.object(|o| {
                o.put("type", "text");
                o.put("text", &text.text);
                end(o, &text.extra);
                Ok::<(), Error>(())
            })?,
            Part::Image(image) => blocks.object(|o| {
                o.put("type", "image");
                let source = media::image(image, &path())?;
                o.object("source", |o| {
                    write_source(o, &source);
                    Ok::<(), Error>(())
                })?;
                end(o, &image.extra);
                Ok::<(), Error>(())
            })?,
            Part::File(file) => blocks.object(|o| {
                o.put("type", "document");
                o.object("source", |o| write_document(o, file, &path()))?;
                o.some("title", &file.filename);
                end(o, &file.extra);
                Ok::<(), Error>(())
            })?,
            Part::Audio(_) => {
                let message = format!("{}: this API takes no audio", path());
                let error = Error::new(ErrorKind::Unsupported, message);
                return Err(error.with(|fields| fields.field = Some(path())));
            }
            Part::Reasoning(reasoning) => write_reasoning(blocks, reasoning)?,
            Part::Other(value) => blocks.put(value),
        }
    }
    Ok(())
}

/// Thinking goes back with its signature; reasoning without one, or of another vendor (it has an `id`), would be
/// refused and is left out.
fn write_reasoning(blocks: &mut Arr<'_>, part: &ReasoningPart) -> Result<()> {
    match (&part.redacted, &part.signature) {
        _ if part.extra.contains_key("id") => Ok(()),
        (Some(data), _) => blocks.object(|o| {
            o.put("type", "redacted_thinking");
            o.put("data", data);
            Ok(())
        }),
        (None, Some(signature)) => blocks.object(|o| {
            o.put("type", "thinking");
            o.put("thinking", &part.text);
            o.put("signature", signature);
            o.extra(&part.extra, &[]);
            Ok(())
        }),
        (None, None) => Ok(()),
    }
}

fn write_source(o: &mut Obj<'_>, source: &Source<'_>) {
    match source {
        Source::Url(url) => {
            o.put("type", "url");
            o.put("url", url);
        }
        Source::Data { media_type, base64 } => {
            o.put("type", "base64");
            o.put("media_type", media_type);
            o.put("data", base64);
        }
        Source::FileId(id) => {
            o.put("type", "file");
            o.put("file_id", id);
        }
    }
}

fn write_document(o: &mut Obj<'_>, file: &FilePart, path: &str) -> Result<()> {
    let source = media::file(file, path)?;
    // Plain text is the one document the API wants as it is.
    if let Source::Data {
        media_type: "text/plain",
        base64,
    } = source
    {
        let text = STANDARD
            .decode(base64)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(text) = text else {
            return Err(Error::invalid(
                format!("{path}.data"),
                "expected base64 of UTF-8 text",
            ));
        };
        o.put("type", "text");
        o.put("media_type", "text/plain");
        o.put("data", &text);
    } else {
        write_source(o, &source);
    }
    Ok(())
}

/// The API takes only `A-Za-z0-9_-` in ids; other vendors' ids are brought to that, alike in call and result.
fn tool_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(id.chars().map(|c| if fits(c) { c } else { '_' }).collect())
}
