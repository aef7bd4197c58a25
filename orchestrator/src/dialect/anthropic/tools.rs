//! Tools of a request, and which of them must be called.

use ossai::{Error, Extra, Result, Tool, ToolChoice, ToolDefinition};
use serde_json::Value;

use super::content::STRING;
use crate::dialect::openai::fields::{need, object, take};

pub(super) const BOOLEAN: &str = "expected true or false";

pub(super) fn tools(o: &mut Extra) -> Result<Vec<Tool>> {
    let tools: Vec<Value> =
        take(o, "tools", "tools", "expected a list of tools")?.unwrap_or_default();
    let read = |(i, value): (usize, Value)| {
        let path = format!("tools[{i}]");
        let at = |name: &str| format!("{path}.{name}");
        let mut tool = object(value, &path)?;
        match tool.get("type") {
            None | Some(Value::Null) => {}
            Some(Value::String(kind)) if kind == "custom" => {}
            // One the vendor knows by its type.
            Some(Value::String(_)) => return Ok(Tool::Provider(Value::Object(tool))),
            Some(_) => return Err(Error::invalid(at("type"), STRING)),
        }
        tool.shift_remove("type");
        let schema: Extra = need(
            &mut tool,
            "input_schema",
            &at("input_schema"),
            "expected a JSON Schema object",
        )?;
        Ok(Tool::Function(ToolDefinition {
            name: need(&mut tool, "name", &at("name"), STRING)?,
            description: take(&mut tool, "description", &at("description"), STRING)?,
            parameters: Some(Value::Object(schema)),
            strict: take(&mut tool, "strict", &at("strict"), BOOLEAN)?,
            extra: tool,
        }))
    };
    tools.into_iter().enumerate().map(read).collect()
}

/// The choice, and whether only one tool may be called in a turn; a form ours cannot hold goes on whole.
pub(super) fn tool_choice(
    o: &mut Extra,
    tools: &[Tool],
) -> Result<(Option<ToolChoice>, Option<bool>)> {
    let path = "tool_choice";
    let Some(whole) = take::<Extra>(o, path, path, "expected an object")? else {
        return Ok((None, None));
    };
    let mut choice = whole.clone();
    let kind: String = need(&mut choice, "type", "tool_choice.type", STRING)?;
    let single = take(
        &mut choice,
        "disable_parallel_tool_use",
        "tool_choice.disable_parallel_tool_use",
        BOOLEAN,
    )?;
    let read = match kind.as_str() {
        "auto" => Some(ToolChoice::Auto),
        "any" => Some(ToolChoice::Required),
        "none" => Some(ToolChoice::None),
        "tool" => {
            let name: String = need(&mut choice, "name", "tool_choice.name", STRING)?;
            (!is_providers(tools, &name)).then_some(ToolChoice::Function(name))
        }
        _ => None,
    };
    if read.is_none() || !choice.is_empty() {
        o.insert(path.into(), Value::Object(whole));
        return Ok((None, None));
    }
    Ok((read, (single == Some(true)).then_some(false)))
}

/// Whether the name is that of a tool the vendor runs.
fn is_providers(tools: &[Tool], name: &str) -> bool {
    tools.iter().any(|tool| match tool {
        Tool::Provider(tool) => tool.get("name").and_then(Value::as_str) == Some(name),
        Tool::Function(_) => false,
    })
}
