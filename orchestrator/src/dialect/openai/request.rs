//! A Chat Completions request as ours. Every field ends up typed or, unchanged, in `extra`; a form our types cannot hold
//! whole (custom tool choices, schemas with fields of their own) goes to `extra` under its own name and so to the
//! provider as it came.

use ossai::{
    CallOptions, CompletionRequest, Error, Extra, ReasoningEffort, ResponseFormat, Result, Tool,
    ToolChoice, ToolDefinition,
};
use serde_json::Value;

use super::fields::{need, object, take};
use super::message;

/// What would let a caller steer the server's own connections or credentials (behaviour §4): refused, never passed on.
pub(super) const FORBIDDEN: &[&str] =
    &["api_base", "api_key", "base_url", "extra_headers", "proxy"];

pub(super) const NUMBER: &str = "expected a number";
pub(super) const WHOLE: &str = "expected a whole number, 0 or more";
pub(super) const STRING: &str = "expected a string";
pub(super) const BOOLEAN: &str = "expected true or false";

/// A request and how it wants its answer.
#[derive(Debug, Default)]
pub(crate) struct ChatCall {
    pub(crate) request: CompletionRequest,
    pub(crate) options: CallOptions,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

/// Reads a request; the model's name is as the caller wrote it.
///
/// # Errors
/// `invalid_request`; the field is named as OpenAI names it.
pub(crate) fn read(body: Value) -> Result<ChatCall> {
    let Value::Object(mut body) = body else {
        return Err(Error::invalid("body", "expected a JSON object"));
    };
    let options = options(&mut body)?;
    let o = &mut body;
    refuse_forbidden(o)?;
    for (name, instead) in [("functions", "tools"), ("function_call", "tool_choice")] {
        if o.get(name).is_some_and(|value| !value.is_null()) {
            return Err(Error::invalid(
                name,
                format_args!("expected `{instead}` instead"),
            ));
        }
        o.shift_remove(name);
    }
    let n: Option<u64> = take(o, "n", "n", "expected 1")?;
    if n.is_some_and(|n| n != 1) {
        return Err(Error::invalid(
            "n",
            "expected 1: send several requests for several answers",
        ));
    }
    let stream = take(o, "stream", "stream", BOOLEAN)?.unwrap_or(false);
    let include_usage = stream_options(o, stream)?;
    let max_tokens = {
        let old: Option<u64> = take(o, "max_tokens", "max_tokens", WHOLE)?;
        let new: Option<u64> = take(o, "max_completion_tokens", "max_completion_tokens", WHOLE)?;
        match (old, new) {
            (Some(old), Some(new)) if old != new => {
                return Err(Error::invalid(
                    "max_tokens",
                    "expected only one of `max_tokens` and `max_completion_tokens`",
                ));
            }
            (old, new) => new.or(old),
        }
    };
    let messages: Vec<Value> = need(o, "messages", "messages", "expected a list of messages")?;
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(i, value)| message::read(value, &format!("messages[{i}]")))
        .collect::<Result<_>>()?;
    let request = CompletionRequest {
        model: need(o, "model", "model", STRING)?,
        messages,
        tools: tools(o)?,
        tool_choice: tool_choice(o)?,
        parallel_tool_calls: take(o, "parallel_tool_calls", "parallel_tool_calls", BOOLEAN)?,
        response_format: response_format(o)?,
        max_tokens,
        temperature: take(o, "temperature", "temperature", NUMBER)?,
        top_p: take(o, "top_p", "top_p", NUMBER)?,
        top_k: take(o, "top_k", "top_k", WHOLE)?,
        frequency_penalty: take(o, "frequency_penalty", "frequency_penalty", NUMBER)?,
        presence_penalty: take(o, "presence_penalty", "presence_penalty", NUMBER)?,
        seed: take(o, "seed", "seed", "expected a whole number")?,
        stop: stop(o)?,
        reasoning_effort: reasoning_effort(o)?,
        service_tier: take(o, "service_tier", "service_tier", STRING)?,
        metadata: take(o, "metadata", "metadata", "expected an object")?.unwrap_or_default(),
        user: take(o, "user", "user", STRING)?,
        extra: body,
    };
    Ok(ChatCall {
        request,
        options,
        stream,
        include_usage,
    })
}

/// Refuses [`FORBIDDEN`] fields.
///
/// # Errors
/// `invalid_request` for the first of them.
pub(crate) fn refuse_forbidden(body: &Extra) -> Result<()> {
    match FORBIDDEN.iter().find(|name| body.contains_key(**name)) {
        Some(name) => Err(Error::invalid(
            *name,
            "expected nothing: where calls go is the server's to say",
        )),
        None => Ok(()),
    }
}

/// What the caller wants of *us*: the object `ossai` beside the vendor's fields.
pub(crate) fn options(body: &mut Extra) -> Result<CallOptions> {
    let Some(value) = body.shift_remove("ossai") else {
        return Ok(CallOptions::default());
    };
    let options: CallOptions = serde_path_to_error::deserialize(&value).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." {
            "ossai".into()
        } else {
            format!("ossai.{path}")
        };
        Error::invalid(path, error.into_inner())
    })?;
    for (name, given) in [
        ("headers", !options.headers.is_empty()),
        ("prices", options.prices.is_some()),
    ] {
        if given {
            return Err(Error::invalid(
                format!("ossai.{name}"),
                "expected nothing: the server sets it",
            ));
        }
    }
    Ok(options)
}

/// Usage is always asked for upstream; whether the caller sees it is its own choice.
fn stream_options(o: &mut Extra, stream: bool) -> Result<bool> {
    let path = "stream_options";
    let Some(mut options) = take::<Extra>(o, path, path, "expected an object")? else {
        return Ok(false);
    };
    if !stream {
        return Err(Error::invalid(path, "expected only with `stream: true`"));
    }
    let include = take(
        &mut options,
        "include_usage",
        "stream_options.include_usage",
        BOOLEAN,
    )?;
    if !options.is_empty() {
        o.insert(path.into(), Value::Object(options));
    }
    Ok(include.unwrap_or(false))
}

fn tools(o: &mut Extra) -> Result<Vec<Tool>> {
    let tools: Vec<Value> =
        take(o, "tools", "tools", "expected a list of tools")?.unwrap_or_default();
    let read = |(i, value): (usize, Value)| {
        let path = format!("tools[{i}]");
        let mut tool = object(value, &path)?;
        let kind: String = need(&mut tool, "type", &format!("{path}.type"), STRING)?;
        if kind != "function" {
            tool.insert("type".into(), kind.into());
            return Ok(Tool::Provider(Value::Object(tool)));
        }
        let path = format!("{path}.function");
        let mut function: Extra = need(&mut tool, "function", &path, "expected an object")?;
        Ok(Tool::Function(ToolDefinition {
            name: need(&mut function, "name", &format!("{path}.name"), STRING)?,
            description: take(
                &mut function,
                "description",
                &format!("{path}.description"),
                STRING,
            )?,
            parameters: take(
                &mut function,
                "parameters",
                &format!("{path}.parameters"),
                "expected an object",
            )?,
            strict: take(&mut function, "strict", &format!("{path}.strict"), BOOLEAN)?,
            // A provider's mark stands beside `function` or in it (`cache_control`).
            extra: tool.into_iter().chain(function).collect(),
        }))
    };
    tools.into_iter().enumerate().map(read).collect()
}

fn tool_choice(o: &mut Extra) -> Result<Option<ToolChoice>> {
    let expected = "expected \"auto\", \"none\", \"required\" or an object";
    Ok(match o.shift_remove("tool_choice") {
        None | Some(Value::Null) => None,
        Some(Value::String(word)) => Some(match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(Error::invalid("tool_choice", expected)),
        }),
        Some(Value::Object(choice)) => match choice.get("type").and_then(Value::as_str) {
            Some("function") if choice.len() == 2 => {
                let name = choice
                    .get("function")
                    .and_then(|function| function.get("name"))
                    .and_then(Value::as_str);
                let name =
                    name.ok_or_else(|| Error::invalid("tool_choice.function.name", STRING))?;
                Some(ToolChoice::Function(name.to_owned()))
            }
            Some(_) => {
                o.insert("tool_choice".into(), Value::Object(choice));
                None
            }
            None => return Err(Error::invalid("tool_choice.type", STRING)),
        },
        Some(_) => return Err(Error::invalid("tool_choice", expected)),
    })
}

fn response_format(o: &mut Extra) -> Result<Option<ResponseFormat>> {
    let path = "response_format";
    let Some(format) = take::<Extra>(o, path, path, "expected an object")? else {
        return Ok(None);
    };
    let whole = |o: &mut Extra, format: Extra| {
        o.insert(path.into(), Value::Object(format));
        Ok(None)
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") if format.len() == 1 => Ok(Some(ResponseFormat::Text)),
        Some("json_object") if format.len() == 1 => Ok(Some(ResponseFormat::JsonObject)),
        Some("json_schema") => {
            let Some(Value::Object(schema)) = format.get("json_schema") else {
                return Err(Error::invalid(
                    "response_format.json_schema",
                    "expected an object",
                ));
            };
            let known = ["name", "schema", "strict", "description"];
            if format.len() > 2
                || !schema.contains_key("schema")
                || schema.keys().any(|key| !known.contains(&&**key))
            {
                return whole(o, format);
            }
            let mut schema = schema.clone();
            let path = |name: &str| format!("response_format.json_schema.{name}");
            Ok(Some(ResponseFormat::JsonSchema {
                name: need(&mut schema, "name", &path("name"), STRING)?,
                schema: need(&mut schema, "schema", &path("schema"), "expected an object")?,
                strict: take(&mut schema, "strict", &path("strict"), BOOLEAN)?,
                description: take(&mut schema, "description", &path("description"), STRING)?,
            }))
        }
        Some(_) => whole(o, format),
        None => Err(Error::invalid("response_format.type", STRING)),
    }
}

pub(super) fn stop(o: &mut Extra) -> Result<Vec<String>> {
    match o.shift_remove("stop") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(many) => serde_json::from_value(many)
            .map_err(|_| Error::invalid("stop", "expected a string or a list of strings")),
    }
}

/// A level this version does not know goes on as it is.
fn reasoning_effort(o: &mut Extra) -> Result<Option<ReasoningEffort>> {
    let name = "reasoning_effort";
    let Some(word) = take::<String>(o, name, name, STRING)? else {
        return Ok(None);
    };
    let known = serde_json::from_value(Value::from(word.as_str())).ok();
    if known.is_none() {
        o.insert(name.into(), word.into());
    }
    Ok(known)
}
