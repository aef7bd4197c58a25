//! A Responses request as ours. Every field ends up typed or, unchanged, in `extra`; a form our types cannot hold whole
//! goes to `extra` under its own name and so to the provider as it came.

use ossai::{
    CallOptions, CompletionRequest, Error, Extra, Message, ReasoningEffort, ResponseFormat, Result,
    Tool, ToolChoice, ToolDefinition,
};
use serde_json::Value;

use super::echo::Echo;
use super::input;
use super::names::Names;
use crate::dialect::openai::fields::{need, object, take};
use crate::dialect::openai::request::{BOOLEAN, FORBIDDEN, NUMBER, STRING, WHOLE, options, stop};

const OBJECT: &str = "expected an object";

/// What needs answers or prompts kept at the server.
const STATEFUL: &[&str] = &["previous_response_id", "conversation", "prompt"];

/// Chat Completions' names of what this API has elsewhere.
const ELSEWHERE: &[(&str, &str)] = &[
    ("messages", "input"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
    ("verbosity", "text.verbosity"),
];

/// A request and how it wants its answer.
#[derive(Debug)]
pub(crate) struct ResponsesCall {
    pub(crate) request: CompletionRequest,
    pub(crate) options: CallOptions,
    pub(crate) stream: bool,
    /// What the answer says back of the request.
    pub(crate) echo: Echo,
    /// Where our messages came from.
    pub(crate) names: Names,
}

/// Reads a request; the model's name is as the caller wrote it.
///
/// # Errors
/// `invalid_request`; the field is named as OpenAI names it.
pub(crate) fn read(body: Value) -> Result<ResponsesCall> {
    let Value::Object(mut body) = body else {
        return Err(Error::invalid("body", "expected a JSON object"));
    };
    let options = options(&mut body)?;
    let o = &mut body;
    refuse(o)?;
    let echo = Echo::of(o);
    let stream = take(o, "stream", "stream", BOOLEAN)?.unwrap_or(false);
    if o.get("stream_options")
        .is_some_and(|value| !value.is_null())
        && !stream
    {
        return Err(Error::invalid(
            "stream_options",
            "expected only with `stream: true`",
        ));
    }
    let model = need(o, "model", "model", STRING)?;
    let mut names = Names::default();
    let mut messages = Vec::new();
    if let Some(text) = take::<String>(o, "instructions", "instructions", STRING)? {
        messages.push(Message::system(text));
        names.instructions();
    }
    let given = o.shift_remove("input").unwrap_or(Value::Null);
    input::read(given, &mut messages, &mut names)?;
    let (response_format, verbosity) = text(o)?;
    let reasoning_effort = reasoning(o)?;
    default_include(o);
    let max = "max_output_tokens";
    let request = CompletionRequest {
        model,
        messages,
        tools: tools(o)?,
        tool_choice: tool_choice(o)?,
        parallel_tool_calls: take(o, "parallel_tool_calls", "parallel_tool_calls", BOOLEAN)?,
        response_format,
        max_tokens: take(o, max, max, WHOLE)?,
        temperature: take(o, "temperature", "temperature", NUMBER)?,
        top_p: take(o, "top_p", "top_p", NUMBER)?,
        top_k: take(o, "top_k", "top_k", WHOLE)?,
        frequency_penalty: take(o, "frequency_penalty", "frequency_penalty", NUMBER)?,
        presence_penalty: take(o, "presence_penalty", "presence_penalty", NUMBER)?,
        seed: take(o, "seed", "seed", "expected a whole number")?,
        stop: stop(o)?,
        reasoning_effort,
        service_tier: take(o, "service_tier", "service_tier", STRING)?,
        metadata: take(o, "metadata", "metadata", OBJECT)?.unwrap_or_default(),
        user: take(o, "user", "user", STRING)?,
        extra: {
            if let Some(verbosity) = verbosity {
                o.insert("verbosity".into(), verbosity);
            }
            body
        },
    };
    Ok(ResponsesCall {
        request,
        options,
        stream,
        echo,
        names,
    })
}

/// Refuses by name what is not served, and takes out what goes without saying.
fn refuse(o: &mut Extra) -> Result<()> {
    for name in FORBIDDEN {
        if o.contains_key(*name) {
            return Err(Error::invalid(
                *name,
                "expected nothing: where calls go is the server's to say",
            ));
        }
    }
    for name in STATEFUL {
        if o.shift_remove(*name).is_some_and(|value| !value.is_null()) {
            return Err(Error::invalid(
                *name,
                "expected nothing: nothing is stored here, send the whole conversation as `input`",
            ));
        }
    }
    for (name, instead) in ELSEWHERE {
        if o.shift_remove(*name).is_some_and(|value| !value.is_null()) {
            return Err(Error::invalid(
                *name,
                format_args!("expected `{instead}` instead"),
            ));
        }
    }
    if take::<bool>(o, "background", "background", BOOLEAN)? == Some(true) {
        return Err(Error::invalid(
            "background",
            "expected false: nothing is stored here, use `stream`",
        ));
    }
    // Nothing is stored here; the provider is told the same by default.
    take::<bool>(o, "store", "store", BOOLEAN)?;
    Ok(())
}

/// What the client core asks for by itself needs no saying, and other APIs do not know it.
fn default_include(o: &mut Extra) {
    let is_default = match o.get("include") {
        Some(Value::Null) => true,
        Some(Value::Array(list)) => list
            .iter()
            .all(|entry| entry == "reasoning.encrypted_content"),
        _ => false,
    };
    if is_default {
        o.shift_remove("include");
    }
}

fn tools(o: &mut Extra) -> Result<Vec<Tool>> {
    let tools: Vec<Value> =
        take(o, "tools", "tools", "expected a list of tools")?.unwrap_or_default();
    let read = |(i, value): (usize, Value)| {
        let path = format!("tools[{i}]");
        let at = |name: &str| format!("{path}.{name}");
        let mut tool = object(value, &path)?;
        let kind: String = need(&mut tool, "type", &at("type"), STRING)?;
        if kind != "function" {
            tool.insert("type".into(), kind.into());
            return Ok(Tool::Provider(Value::Object(tool)));
        }
        Ok(Tool::Function(ToolDefinition {
            name: need(&mut tool, "name", &at("name"), STRING)?,
            description: take(&mut tool, "description", &at("description"), STRING)?,
            parameters: take::<Extra>(&mut tool, "parameters", &at("parameters"), OBJECT)?
                .map(Value::Object),
            strict: take(&mut tool, "strict", &at("strict"), BOOLEAN)?,
            extra: tool,
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
            Some("function") if choice.len() == 2 => match choice.get("name") {
                Some(Value::String(name)) => Some(ToolChoice::Function(name.clone())),
                _ => return Err(Error::invalid("tool_choice.name", STRING)),
            },
            Some(_) => {
                o.insert("tool_choice".into(), Value::Object(choice));
                None
            }
            None => return Err(Error::invalid("tool_choice.type", STRING)),
        },
        Some(_) => return Err(Error::invalid("tool_choice", expected)),
    })
}

/// The form of the answer, and how wordy it is to be; what else `text` has goes on as it is.
fn text(o: &mut Extra) -> Result<(Option<ResponseFormat>, Option<Value>)> {
    let Some(mut text) = take::<Extra>(o, "text", "text", OBJECT)? else {
        return Ok((None, None));
    };
    let verbosity: Option<String> = take(&mut text, "verbosity", "text.verbosity", STRING)?;
    let format = format(&mut text)?;
    if !text.is_empty() {
        o.insert("text".into(), Value::Object(text));
    }
    Ok((format, verbosity.map(Value::String)))
}

fn format(text: &mut Extra) -> Result<Option<ResponseFormat>> {
    let Some(mut format) = take::<Extra>(text, "format", "text.format", OBJECT)? else {
        return Ok(None);
    };
    let known = ["type", "name", "schema", "strict", "description"];
    let plain = format.keys().all(|key| known.contains(&key.as_str()));
    match format.get("type").and_then(Value::as_str) {
        Some("text") if format.len() == 1 => Ok(Some(ResponseFormat::Text)),
        Some("json_object") if format.len() == 1 => Ok(Some(ResponseFormat::JsonObject)),
        Some("json_schema") if plain => {
            let path = |name: &str| format!("text.format.{name}");
            let f = &mut format;
            Ok(Some(ResponseFormat::JsonSchema {
                name: need(f, "name", &path("name"), STRING)?,
                schema: Value::Object(need::<Extra>(f, "schema", &path("schema"), OBJECT)?),
                strict: take(f, "strict", &path("strict"), BOOLEAN)?,
                description: take(f, "description", &path("description"), STRING)?,
            }))
        }
        Some(_) => {
            text.insert("format".into(), Value::Object(format));
            Ok(None)
        }
        None => Err(Error::invalid("text.format.type", STRING)),
    }
}

/// A level this version does not know goes on as it is, as does what else `reasoning` has.
fn reasoning(o: &mut Extra) -> Result<Option<ReasoningEffort>> {
    let Some(mut reasoning) = take::<Extra>(o, "reasoning", "reasoning", OBJECT)? else {
        return Ok(None);
    };
    let word: Option<String> = take(&mut reasoning, "effort", "reasoning.effort", STRING)?;
    let known = word
        .as_deref()
        .and_then(|word| serde_json::from_value(Value::from(word)).ok());
    if let (None, Some(word)) = (known, word) {
        reasoning.insert("effort".into(), word.into());
    }
    reasoning.retain(|_, value| !value.is_null());
    if !reasoning.is_empty() {
        o.insert("reasoning".into(), Value::Object(reasoning));
    }
    Ok(known)
}
