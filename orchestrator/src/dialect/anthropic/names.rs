//! What a caller's request calls the fields that ours counts and names otherwise, so that errors name the caller's.

use ossai::Error;

/// Where one of our messages came from.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The caller's path: `system`, `messages[2]`, or `messages[2].content[0]` for a tool's result.
    pub(super) path: String,
    /// Our parts' places among the caller's blocks; empty where they are the same.
    pub(super) parts: Vec<usize>,
    /// Our tool calls' places among the caller's blocks.
    pub(super) calls: Vec<usize>,
}

/// The origins of all messages, in the order of ours.
#[derive(Debug, Default)]
pub(crate) struct Names(pub(super) Vec<Origin>);

impl Names {
    /// The error with the caller's name of its field, in its message too.
    pub(crate) fn rename(&self, error: Error) -> Error {
        let Some(field) = error.fields().field.clone() else {
            return error;
        };
        let name = self.of(&field);
        if name == field {
            return error;
        }
        error.with(|fields| {
            if let Some(rest) = fields.message.strip_prefix(&field) {
                fields.message = format!("{name}{rest}");
            }
            fields.field = Some(name);
        })
    }

    fn of(&self, field: &str) -> String {
        if let Some(rest) = field.strip_prefix("options.") {
            return format!("ossai.{rest}");
        }
        if let Some(rest) = field.strip_prefix("stop[") {
            return format!("stop_sequences[{rest}");
        }
        if field == "response_format" || field.starts_with("response_format.") {
            return field.replacen("response_format", "output_config.format", 1);
        }
        if field == "reasoning_effort" {
            return "output_config.effort".into();
        }
        if field == "parallel_tool_calls" {
            return "tool_choice.disable_parallel_tool_use".into();
        }
        if let Some(tool) = field
            .strip_suffix(".parameters")
            .filter(|_| field.starts_with("tools["))
        {
            return format!("{tool}.input_schema");
        }
        let message = numbered(field, "messages")
            .and_then(|(index, rest)| Some((self.0.get(index)?, rest)))
            .map(|(origin, rest)| origin.name(rest));
        message.unwrap_or_else(|| field.to_owned())
    }
}

impl Origin {
    fn name(&self, rest: &str) -> String {
        let path = &self.path;
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        if path == "system" {
            return match rest.strip_prefix("content") {
                Some(part) => format!("system{part}"),
                None => path.clone(),
            };
        }
        if let Some((index, rest)) = numbered(rest, "tool_calls") {
            let at = self.calls.get(index).copied().unwrap_or(index);
            let rest = rest.replacen(".arguments", ".input", 1);
            return format!("{path}.content[{at}]{rest}");
        }
        if let Some((index, rest)) = numbered(rest, "content") {
            let at = self.parts.get(index).copied().unwrap_or(index);
            let inside = matches!(rest, ".media_type" | ".data" | ".url");
            let source = if inside { ".source" } else { "" };
            return format!("{path}.content[{at}]{source}{rest}");
        }
        match rest {
            "" => path.clone(),
            "tool_call_id" => format!("{path}.tool_use_id"),
            _ => format!("{path}.{rest}"),
        }
    }
}

/// `name[3].rest` as 3 and `.rest`.
fn numbered<'a>(field: &'a str, name: &str) -> Option<(usize, &'a str)> {
    let (index, rest) = field
        .strip_prefix(name)?
        .strip_prefix('[')?
        .split_once(']')?;
    Some((index.parse().ok()?, rest))
}
