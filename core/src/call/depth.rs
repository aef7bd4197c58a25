//! How deep the JSON inside a request may go. What programs build in memory has passed no parser's bound, and everything
//! that walks it (the key, the wire, a trace) does so on the stack.

use crate::error::{Error, Result};
use crate::types::{
    CompletionRequest, Content, EmbeddingRequest, Extra, Part, ResponseFormat, Tool,
};
use serde_json::Value;

/// Most levels of a value. Parsers stop at 128 for the whole document (behaviour §2.14), in which a value lies a few deep.
const MAX_DEPTH: usize = 120;

fn fits(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left > 0 && items.iter().all(|item| fits(item, left - 1)),
        Value::Object(members) => left > 0 && members.values().all(|value| fits(value, left - 1)),
        _ => true,
    }
}

fn check(value: &Value, path: impl FnOnce() -> String) -> Result<()> {
    if fits(value, MAX_DEPTH) {
        return Ok(());
    }
    Err(Error::invalid(
        path(),
        format_args!("expected at most {MAX_DEPTH} levels of JSON"),
    ))
}

fn members(extra: &Extra, path: impl Fn() -> String) -> Result<()> {
    for (name, value) in extra {
        check(value, || path() + name)?;
    }
    Ok(())
}

fn part(part: &Part, path: impl Fn() -> String) -> Result<()> {
    let extra = match part {
        Part::Text(part) => &part.extra,
        Part::Image(part) => &part.extra,
        Part::Audio(part) => &part.extra,
        Part::File(part) => &part.extra,
        Part::Reasoning(part) => &part.extra,
        Part::Other(value) => return check(value, path),
    };
    members(extra, || path() + ".")
}

/// Refuses what is nested too deep, naming where.
pub(crate) fn completion(request: &CompletionRequest) -> Result<()> {
    for (i, message) in request.messages.iter().enumerate() {
        members(&message.extra, || format!("messages[{i}]."))?;
        for (j, call) in message.tool_calls.iter().enumerate() {
            members(&call.extra, || format!("messages[{i}].tool_calls[{j}]."))?;
        }
        if let Content::Parts(parts) = &message.content {
            for (j, one) in parts.iter().enumerate() {
                part(one, || format!("messages[{i}].content[{j}]"))?;
            }
        }
    }
    for (i, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function(tool) => {
                if let Some(schema) = &tool.parameters {
                    check(schema, || format!("tools[{i}].parameters"))?;
                }
                members(&tool.extra, || format!("tools[{i}]."))?;
            }
            Tool::Provider(value) => check(value, || format!("tools[{i}]"))?,
        }
    }
    if let Some(ResponseFormat::JsonSchema { schema, .. }) = &request.response_format {
        check(schema, || "response_format.schema".to_owned())?;
    }
    members(&request.metadata, || "metadata.".to_owned())?;
    members(&request.extra, String::new)
}

/// The same for embeddings.
pub(crate) fn embedding(request: &EmbeddingRequest) -> Result<()> {
    members(&request.extra, String::new)
}
