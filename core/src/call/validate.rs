//! Checks a request before anything is sent, so that a mistake costs nothing and names its field.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::types::{
    CallOptions, CompletionRequest, Content, EmbeddingInput, EmbeddingRequest, Part,
    ResponseFormat, Role, Tool, ToolChoice,
};

/// Most messages of a request and most items of an embedding (behaviour §4).
const MAX_MESSAGES: usize = 10_000;
/// Most inputs of an embedding request before it is split.
const MAX_INPUTS: usize = 1_000_000;

/// Splits `provider/model`.
pub(crate) fn split_model(model: &str) -> Result<(&str, &str)> {
    match model.split_once('/') {
        Some((provider, name)) if !provider.is_empty() && !name.is_empty() => {
            no_controls("model", model)?;
            Ok((provider, name))
        }
        _ => Err(Error::invalid(
            "model",
            "expected `provider/model`, for example `openai/gpt-4o-mini`",
        )),
    }
}

/// Refuses what no provider could answer or what would reach the wire as something else.
pub(crate) fn completion(request: &CompletionRequest) -> Result<()> {
    if request.messages.is_empty() {
        return Err(Error::invalid("messages", "expected at least one message"));
    }
    if request.messages.len() > MAX_MESSAGES {
        return Err(Error::invalid(
            "messages",
            format_args!("expected at most {MAX_MESSAGES}"),
        ));
    }
    for (i, message) in request.messages.iter().enumerate() {
        let path = |rest: &str| format!("messages[{i}]{rest}");
        if message.role == Role::Tool && message.tool_call_id.as_deref().is_none_or(str::is_empty) {
            return Err(Error::invalid(
                path(".tool_call_id"),
                "expected the id of the call it answers",
            ));
        }
        if message.role != Role::Assistant && !message.tool_calls.is_empty() {
            return Err(Error::invalid(
                path(".tool_calls"),
                "expected only in assistant messages",
            ));
        }
        for (j, call) in message.tool_calls.iter().enumerate() {
            if call.name.is_empty() {
                return Err(Error::invalid(
                    path(&format!(".tool_calls[{j}].name")),
                    "expected a name",
                ));
            }
        }
        if let Content::Parts(parts) = &message.content {
            for (j, part) in parts.iter().enumerate() {
                check_part(part, || path(&format!(".content[{j}]")))?;
            }
        }
    }
    check_tools(request)?;
    for (name, value, low, high) in [
        ("temperature", request.temperature, 0.0, 2.0),
        ("top_p", request.top_p, 0.0, 1.0),
        ("frequency_penalty", request.frequency_penalty, -2.0, 2.0),
        ("presence_penalty", request.presence_penalty, -2.0, 2.0),
    ] {
        if let Some(value) = value
            && !(low..=high).contains(&value)
        {
            return Err(Error::invalid(
                name,
                format_args!("expected a number from {low} to {high}"),
            ));
        }
    }
    if request.max_tokens == Some(0) {
        return Err(Error::invalid("max_tokens", "expected at least 1"));
    }
    if let Some(i) = request.stop.iter().position(String::is_empty) {
        return Err(Error::invalid(
            format!("stop[{i}]"),
            "expected a non-empty string",
        ));
    }
    for name in ["stream", "stream_options", "n", "best_of"] {
        let Some(value) = request.extra.get(name) else {
            continue;
        };
        match name {
            "stream" => {
                return Err(Error::invalid(
                    "stream",
                    "call `stream` instead of setting it",
                ));
            }
            "stream_options" => {}
            _ if value.as_u64() == Some(1) || value.is_null() => {}
            _ => {
                return Err(Error::invalid(
                    name,
                    "expected 1: send several calls for several answers",
                ));
            }
        }
    }
    super::depth::completion(request)
}

fn check_part(part: &Part, path: impl Fn() -> String) -> Result<()> {
    let one_of = |set: &[(&str, bool)]| -> Result<()> {
        if set.iter().filter(|(_, is_set)| *is_set).count() == 1 {
            return Ok(());
        }
        let names: Vec<_> = set.iter().map(|(name, _)| format!("`{name}`")).collect();
        Err(Error::invalid(
            path(),
            format_args!("expected exactly one of {}", names.join(", ")),
        ))
    };
    let typed = |data: bool, media_type: &Option<String>| -> Result<()> {
        if data && media_type.as_deref().is_none_or(str::is_empty) {
            return Err(Error::invalid(
                format!("{}.media_type", path()),
                "expected with `data`",
            ));
        }
        Ok(())
    };
    match part {
        Part::Image(part) => {
            one_of(&[("url", part.url.is_some()), ("data", part.data.is_some())])?;
            typed(part.data.is_some(), &part.media_type)
        }
        Part::File(part) => {
            one_of(&[
                ("url", part.url.is_some()),
                ("data", part.data.is_some()),
                ("file_id", part.file_id.is_some()),
            ])?;
            typed(part.data.is_some(), &part.media_type)
        }
        Part::Audio(part) if part.data.is_empty() => Err(Error::invalid(
            format!("{}.data", path()),
            "expected base64 audio",
        )),
        _ => Ok(()),
    }
}

fn check_tools(request: &CompletionRequest) -> Result<()> {
    let mut names = std::collections::HashSet::new();
    for (i, tool) in request.tools.iter().enumerate() {
        let Tool::Function(tool) = tool else { continue };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !(1..=128).contains(&tool.name.len()) || !tool.name.chars().all(allowed) {
            return Err(Error::invalid(
                format!("tools[{i}].name"),
                "expected 1 to 128 of A-Z a-z 0-9 _ - .",
            ));
        }
        if !names.insert(tool.name.as_str()) {
            return Err(Error::invalid(
                format!("tools[{i}].name"),
                "expected a name no other tool has",
            ));
        }
        if tool
            .parameters
            .as_ref()
            .is_some_and(|schema| !schema.is_object())
        {
            return Err(Error::invalid(
                format!("tools[{i}].parameters"),
                "expected a JSON Schema object",
            ));
        }
    }
    match &request.tool_choice {
        Some(ToolChoice::Function(name)) if !names.contains(name.as_str()) => {
            return Err(Error::invalid(
                "tool_choice.name",
                "expected the name of one of `tools`",
            ));
        }
        Some(ToolChoice::Required) if request.tools.is_empty() => {
            return Err(Error::invalid(
                "tool_choice",
                "expected `tools` to choose from",
            ));
        }
        _ => {}
    }
    if let Some(ResponseFormat::JsonSchema { schema, .. }) = &request.response_format
        && !schema.is_object()
    {
        return Err(Error::invalid(
            "response_format.schema",
            "expected a JSON Schema object",
        ));
    }
    Ok(())
}

/// The same for embeddings.
pub(crate) fn embedding(request: &EmbeddingRequest) -> Result<()> {
    if request.input.is_empty() {
        return Err(Error::invalid("input", "expected at least one text"));
    }
    if request.input.len() > MAX_INPUTS {
        return Err(Error::invalid(
            "input",
            format_args!("expected at most {MAX_INPUTS}"),
        ));
    }
    if request.dimensions == Some(0) {
        return Err(Error::invalid("dimensions", "expected at least 1"));
    }
    let empty = match &request.input {
        EmbeddingInput::Text(text) => text.is_empty().then_some(None),
        EmbeddingInput::Tokens(tokens) => tokens.is_empty().then_some(None),
        EmbeddingInput::Texts(texts) => texts.iter().position(String::is_empty).map(Some),
        EmbeddingInput::TokenLists(lists) => lists.iter().position(Vec::is_empty).map(Some),
    };
    match empty {
        None => super::depth::embedding(request),
        Some(None) => Err(Error::invalid("input", "expected a non-empty text")),
        Some(Some(i)) => Err(Error::invalid(
            format!("input[{i}]"),
            "expected a non-empty text",
        )),
    }
}

/// Refuses a call that is `batch` and is none a vendor's batch takes.
pub(crate) fn no_batch(options: &CallOptions, expected: &str) -> Result<()> {
    match options.batch {
        Some(true) => Err(Error::invalid("options.batch", expected)),
        _ => Ok(()),
    }
}

/// Refuses options that cannot be followed, before anything is sent.
pub(crate) fn options(options: &CallOptions) -> Result<()> {
    if options.max_attempts == Some(0) {
        return Err(Error::invalid(
            "options.max_attempts",
            "expected at least 1",
        ));
    }
    if let Some(key) = &options.idempotency_key
        && (!(1..=255).contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err(Error::invalid(
            "options.idempotency_key",
            "expected 1 to 255 visible ASCII characters",
        ));
    }
    if options
        .priority
        .is_some_and(|priority| !(-10..=10).contains(&priority))
    {
        return Err(Error::invalid(
            "options.priority",
            "expected a whole number from -10 to 10",
        ));
    }
    if options.hedge_after_ms == Some(0) {
        return Err(Error::invalid(
            "options.hedge_after_ms",
            "expected at least 1",
        ));
    }
    let copied = options.hedge.unwrap_or(options.hedge_after_ms.is_some());
    if copied && options.safe != Some(true) {
        return Err(Error::invalid(
            "options.hedge",
            "expected `safe` to be true beside it: a second copy of the call must do no harm",
        ));
    }
    if options.is_batch() {
        if copied {
            return Err(Error::invalid(
                "options.hedge",
                "expected none beside `batch`: what is not urgent is not late",
            ));
        }
        if options
            .fallbacks
            .as_ref()
            .is_some_and(|list| !list.is_empty())
        {
            return Err(Error::invalid(
                "options.fallbacks",
                "expected none beside `batch`: a model of a batch is asked once",
            ));
        }
    }
    if let Some(models) = &options.fallbacks {
        super::fallback::check_models("options.fallbacks", models)?;
    }
    if let Some(kinds) = &options.fallback_on {
        super::fallback::check_kinds("options.fallback_on", kinds)?;
    }
    if options.cache.no_cache && options.cache.refresh {
        return Err(Error::invalid(
            "options.cache",
            "expected at most one of `no_cache` and `refresh`",
        ));
    }
    headers("options.headers", &options.headers)?;
    if let Some(trace) = &options.traceparent {
        traceparent(trace)?;
    }
    for (name, value) in &options.tags {
        no_controls("options.tags", name)?;
        no_controls("options.tags", value)?;
    }
    Ok(())
}

/// Refuses what an orchestrator does not take from its callers: it would be dropped on the way without a word.
pub(crate) fn remote_options(options: &CallOptions) -> Result<()> {
    if options.prices.is_some() {
        return Err(Error::invalid(
            "options.prices",
            "not over an orchestrator: prices are its own",
        ));
    }
    if !options.headers.is_empty() {
        return Err(Error::invalid(
            "options.headers",
            "not over an orchestrator: it sends its own headers",
        ));
    }
    Ok(())
}

/// `version-trace_id-parent_id-flags` in lower-case hexadecimal (W3C Trace Context, §3.2).
fn traceparent(text: &str) -> Result<()> {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    let parts: Vec<&str> = text.split('-').collect();
    let good = match parts.as_slice() {
        [version, trace, parent, flags, more @ ..] => {
            hex(version, 2)
                && *version != "ff"
                && hex(trace, 32)
                && !zero(trace)
                && hex(parent, 16)
                && !zero(parent)
                && hex(flags, 2)
                && (more.is_empty() || *version != "00")
        }
        _ => false,
    };
    if good {
        return no_controls("options.traceparent", text);
    }
    Err(Error::invalid(
        "options.traceparent",
        "expected a W3C trace context, `00-<32 hex>-<16 hex>-<2 hex>`",
    ))
}

/// Refuses header names and values that could break out of their line (behaviour §2.14).
pub(crate) fn headers(path: &str, headers: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in headers {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(Error::invalid(
                path,
                "expected header names of RFC 9110 token characters",
            ));
        }
        no_controls(&format!("{path}.{name}"), value)?;
    }
    Ok(())
}

/// Refuses control characters, CR, LF and NUL first among them.
pub(crate) fn no_controls(path: &str, text: &str) -> Result<()> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Error::invalid(path, "expected no control characters"));
    }
    Ok(())
}
