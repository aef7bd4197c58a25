//! A Messages request as ours. Fields we have get their types; all others go on unchanged.

use ossai::{
    CallOptions, CompletionRequest, Error, Extra, ReasoningEffort, ResponseFormat, Result,
};
use serde_json::Value;

use super::content::STRING;
use super::names::Names;
use super::tools::{BOOLEAN, tool_choice, tools};
use super::turn::Turns;
use crate::dialect::openai::fields::{need, object, take};
use crate::dialect::openai::request::{options, refuse_forbidden};

const WHOLE: &str = "expected a whole number";
const NUMBER: &str = "expected a number";

/// Fields of ours that this API has under another name, or not at all: passed on they would say something twice.
const NOT_HERE: &[(&str, &str)] = &[
    (
        "frequency_penalty",
        "expected nothing: this API has no such field",
    ),
    ("max_completion_tokens", "expected `max_tokens` instead"),
    (
        "parallel_tool_calls",
        "expected `tool_choice.disable_parallel_tool_use` instead",
    ),
    (
        "presence_penalty",
        "expected nothing: this API has no such field",
    ),
    (
        "reasoning_effort",
        "expected `output_config.effort` instead",
    ),
    ("response_format", "expected `output_config.format` instead"),
    ("seed", "expected nothing: this API has no such field"),
    ("stop", "expected `stop_sequences` instead"),
    ("user", "expected `metadata.user_id` instead"),
];

/// What a caller asks for.
#[derive(Debug)]
pub(crate) struct MessagesCall {
    pub(crate) request: CompletionRequest,
    pub(crate) options: CallOptions,
    pub(crate) stream: bool,
    /// The caller's names of what an error may be about.
    pub(crate) names: Names,
}

/// Reads the body of `POST /v1/messages`.
///
/// # Errors
/// `invalid_request` for the field, by its name in the caller's body.
pub(crate) fn read(body: Value) -> Result<MessagesCall> {
    let mut body = object(body, "body")?;
    let max_tokens: u64 = need(&mut body, "max_tokens", "max_tokens", WHOLE)?;
    let mut call = counted(body)?;
    call.request.max_tokens = Some(max_tokens);
    Ok(call)
}

/// Reads the body of `POST /v1/messages/count_tokens`: the same but for a limit that none needs.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_count(body: Value) -> Result<MessagesCall> {
    let mut body = object(body, "body")?;
    let max_tokens = take(&mut body, "max_tokens", "max_tokens", WHOLE)?;
    let mut call = counted(body)?;
    call.request.max_tokens = max_tokens;
    Ok(call)
}

fn counted(mut body: Extra) -> Result<MessagesCall> {
    let o = &mut body;
    let options = options(o)?;
    refuse_forbidden(o)?;
    for (name, expected) in NOT_HERE {
        if o.get(*name).is_some_and(|value| !value.is_null()) {
            return Err(Error::invalid(*name, expected));
        }
        o.shift_remove(*name);
    }
    let stream = take(o, "stream", "stream", BOOLEAN)?.unwrap_or(false);
    let model = need(o, "model", "model", STRING)?;
    let mut turns = Turns::default();
    turns.system(o.shift_remove("system"))?;
    let messages: Vec<Value> = need(o, "messages", "messages", "expected a list of messages")?;
    if messages.is_empty() {
        return Err(Error::invalid("messages", "expected at least one message"));
    }
    for (i, value) in messages.into_iter().enumerate() {
        turns.turn(value, format!("messages[{i}]"))?;
    }
    let tools = tools(o)?;
    let (tool_choice, parallel_tool_calls) = tool_choice(o, &tools)?;
    let (effort, response_format) = output_config(o)?;
    let (metadata, user) = metadata(o)?;
    let request = CompletionRequest {
        model,
        messages: turns.messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        temperature: take(o, "temperature", "temperature", NUMBER)?,
        top_p: take(o, "top_p", "top_p", NUMBER)?,
        top_k: take(o, "top_k", "top_k", WHOLE)?,
        stop: take(
            o,
            "stop_sequences",
            "stop_sequences",
            "expected a list of strings",
        )?
        .unwrap_or_default(),
        reasoning_effort: match effort {
            Some(effort) => Some(effort),
            None => thinking(o)?,
        },
        service_tier: take(o, "service_tier", "service_tier", STRING)?,
        metadata,
        user,
        extra: body,
        ..CompletionRequest::default()
    };
    Ok(MessagesCall {
        request,
        options,
        stream,
        names: turns.names,
    })
}

/// Thinking switched off is an effort of ours where none is named; all other settings are the vendor's alone.
fn thinking(o: &mut Extra) -> Result<Option<ReasoningEffort>> {
    let Some(thinking) = take::<Extra>(o, "thinking", "thinking", "expected an object")? else {
        return Ok(None);
    };
    let Some(kind) = thinking.get("type").and_then(Value::as_str) else {
        return Err(Error::invalid("thinking.type", STRING));
    };
    if kind == "disabled" && thinking.len() == 1 {
        return Ok(Some(ReasoningEffort::None));
    }
    o.insert("thinking".into(), Value::Object(thinking));
    Ok(None)
}

/// Effort and form of the answer, where ours has them; what is left of the object goes on.
fn output_config(o: &mut Extra) -> Result<(Option<ReasoningEffort>, Option<ResponseFormat>)> {
    let path = "output_config";
    let Some(mut config) = take::<Extra>(o, path, path, "expected an object")? else {
        return Ok((None, None));
    };
    let effort: Option<String> = take(&mut config, "effort", "output_config.effort", STRING)?;
    let known = match effort.as_deref() {
        Some("low") => Some(ReasoningEffort::Low),
        Some("medium") => Some(ReasoningEffort::Medium),
        Some("high") => Some(ReasoningEffort::High),
        Some("xhigh") => Some(ReasoningEffort::Xhigh),
        Some("max") => Some(ReasoningEffort::Max),
        Some(other) => {
            config.insert("effort".into(), other.into());
            None
        }
        None => None,
    };
    let path = "output_config.format";
    let mut format = None;
    if let Some(whole) = take::<Extra>(&mut config, "format", path, "expected an object")? {
        let kind: Option<&str> = whole.get("type").and_then(Value::as_str);
        match kind {
            None => return Err(Error::invalid(format!("{path}.type"), STRING)),
            Some("json_schema") if whole.len() == 2 && whole.contains_key("schema") => {
                let mut whole = whole;
                let schema: Extra = need(
                    &mut whole,
                    "schema",
                    "output_config.format.schema",
                    "expected a JSON Schema object",
                )?;
                format = Some(ResponseFormat::JsonSchema {
                    // Others want a name, which this API has not; the schema always holds here.
                    name: "answer".into(),
                    schema: Value::Object(schema),
                    strict: Some(true),
                    description: None,
                });
            }
            Some(_) => drop(config.insert("format".into(), Value::Object(whole))),
        }
    }
    if !config.is_empty() {
        o.insert("output_config".into(), Value::Object(config));
    }
    Ok((known, format))
}

/// The end user, and what else is there.
fn metadata(o: &mut Extra) -> Result<(Extra, Option<String>)> {
    let path = "metadata";
    let mut metadata: Extra = take(o, path, path, "expected an object")?.unwrap_or_default();
    let user = take(&mut metadata, "user_id", "metadata.user_id", STRING)?;
    Ok((metadata, user))
}
