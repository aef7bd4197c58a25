//! Requests of the Chat Completions API.

use crate::provider::media::{self, Source};
use crate::provider::write::{Arr, Obj};
use crate::provider::{Encode, WireBody};
use crate::types::{Content, Message, Part, ResponseFormat, Role, Tool, ToolChoice};
use crate::{Error, Result};

/// What the Responses API takes and this one does not.
const RESPONSES_ONLY: &[&str] = &[
    "context_management",
    "include",
    "max_tool_calls",
    "text",
    "truncation",
];

/// What an assistant's message without a text may have in its place.
const IN_PLACE_OF_TEXT: &[&str] = &["tool_calls", "function_call", "audio", "refusal"];

pub(in crate::provider) fn encode(mut call: Encode<'_>) -> Result<WireBody> {
    let (req, traits) = (call.req, call.traits);
    let reasons = traits.reasons(call.model);
    let developer = traits.developer_role.unwrap_or(reasons);
    let sampling = !traits.no_sampling;
    let mut body = Vec::with_capacity(1024);
    Obj::write(&mut body, |o| {
        o.put("model", call.model);
        o.array("messages", |messages| {
            for (i, message) in req.messages.iter().enumerate() {
                messages.object(|o| write_message(o, message, i, developer))?;
            }
            Ok::<(), Error>(())
        })?;
        if !req.tools.is_empty() {
            o.array("tools", |tools| {
                req.tools
                    .iter()
                    .try_for_each(|tool| write_tool(tools, tool))
            })?;
        }
        if let Some(choice) = &req.tool_choice {
            match choice {
                ToolChoice::Function(name) => o.object("tool_choice", |o| {
                    o.put("type", "function");
                    o.object("function", |o| {
                        o.put("name", name);
                        Ok::<(), Error>(())
                    })
                })?,
                simple => o.put("tool_choice", simple),
            }
        }
        o.some("parallel_tool_calls", &req.parallel_tool_calls);
        if let Some(format) = &req.response_format {
            o.object("response_format", |o| write_format(o, format))?;
        }
        let limit = match traits.uses_max_completion_tokens.unwrap_or(reasons) {
            true => "max_completion_tokens",
            false => "max_tokens",
        };
        o.some(limit, &req.max_tokens);
        if sampling {
            o.some("temperature", &req.temperature);
            o.some("top_p", &req.top_p);
            o.some("frequency_penalty", &req.frequency_penalty);
            o.some("presence_penalty", &req.presence_penalty);
        } else {
            call.drop_if("temperature", req.temperature.is_some());
            call.drop_if("top_p", req.top_p.is_some());
            call.drop_if("frequency_penalty", req.frequency_penalty.is_some());
            call.drop_if("presence_penalty", req.presence_penalty.is_some());
        }
        if sampling && !traits.no_top_k {
            o.some("top_k", &req.top_k);
        } else {
            call.drop_if("top_k", req.top_k.is_some());
        }
        o.some("seed", &req.seed);
        if !req.stop.is_empty() {
            o.put("stop", &req.stop);
        }
        o.some("reasoning_effort", &req.reasoning_effort);
        o.some("service_tier", &req.service_tier);
        if !req.metadata.is_empty() {
            o.put("metadata", &req.metadata);
        }
        o.some("user", &req.user);
        if call.stream {
            o.put("stream", &true);
            if !traits.no_stream_options {
                o.object("stream_options", |o| {
                    let own = call.extra_object("stream_options");
                    if own.is_none_or(|own| !own.contains_key("include_usage")) {
                        o.put("include_usage", &true);
                    }
                    if let Some(own) = own {
                        o.extra(own, &[]);
                    }
                    Ok::<(), Error>(())
                })?;
            }
        }
        call.drop_repeated(o, &["stream_options"]);
        if !req.extra.is_empty() {
            write_extra(o, &mut call);
        }
        Ok::<(), Error>(())
    })?;
    Ok(call.body("/chat/completions", body))
}

fn write_extra(o: &mut Obj<'_>, call: &mut Encode<'_>) {
    let extra = &call.req.extra;
    let mut skip = RESPONSES_ONLY.to_vec();
    // Gateways know `reasoning` with efforts and budgets; a wish for its summary alone is of the Responses API.
    if let Some(own) = call.extra_object("reasoning")
        && own
            .keys()
            .all(|key| matches!(key.as_str(), "summary" | "generate_summary" | "context"))
    {
        skip.push("reasoning");
    }
    for name in &skip {
        call.drop_if(name, extra.contains_key(*name));
    }
    // Without a stream its options are an error at OpenAI.
    if !call.stream {
        skip.push("stream_options");
    }
    o.extra(extra, &skip);
}

fn write_tool(tools: &mut Arr<'_>, tool: &Tool) -> Result<()> {
    match tool {
        Tool::Provider(value) => tools.put(value),
        Tool::Function(function) => tools.object(|o| {
            o.put("type", "function");
            o.object("function", |o| {
                o.put("name", &function.name);
                o.some("description", &function.description);
                o.some("parameters", &function.parameters);
                o.some("strict", &function.strict);
                o.extra(&function.extra, &[]);
                Ok::<(), Error>(())
            })
        })?,
    }
    Ok(())
}

fn write_format(o: &mut Obj<'_>, format: &ResponseFormat) -> Result<()> {
    match format {
        ResponseFormat::Text => o.put("type", "text"),
        ResponseFormat::JsonObject => o.put("type", "json_object"),
        ResponseFormat::JsonSchema {
            name,
            schema,
            strict,
            description,
        } => {
            o.put("type", "json_schema");
            o.object("json_schema", |o| {
                o.put("name", name);
                o.some("description", description);
                o.put("schema", schema);
                o.some("strict", strict);
                Ok::<(), Error>(())
            })?;
        }
    }
    Ok(())
}

fn write_message(o: &mut Obj<'_>, message: &Message, i: usize, developer: bool) -> Result<()> {
    let role = match message.role {
        Role::Developer if !developer => Role::System,
        role => role,
    };
    o.put("role", role.as_str());
    let mut reasoning = String::new();
    match &message.content {
        Content::Text(text) if text.is_empty() && stands_without_text(message) => {
            o.put("content", &None::<()>);
        }
        Content::Text(text) => o.put("content", text),
        Content::Parts(parts) => {
            // Reasoning another vendor signed means nothing here; what came as plain text goes back as it came.
            for part in parts {
                if let Part::Reasoning(r) = part
                    && r.signature.is_none()
                    && r.redacted.is_none()
                {
                    reasoning.push_str(&r.text);
                }
            }
            let sent = || {
                parts
                    .iter()
                    .filter(|part| !matches!(part, Part::Reasoning(_)))
            };
            if sent().next().is_none() && stands_without_text(message) {
                o.put("content", &None::<()>);
            } else {
                write_parts(o, parts, i)?;
            }
        }
    }
    o.some("name", &message.name);
    if !message.tool_calls.is_empty() {
        o.array("tool_calls", |calls| {
            for call in &message.tool_calls {
                calls.object(|o| {
                    o.put("id", &call.id);
                    o.put("type", "function");
                    o.object("function", |o| {
                        o.put("name", &call.name);
                        o.put("arguments", &call.arguments);
                        Ok::<(), Error>(())
                    })?;
                    o.extra(&call.extra, &[]);
                    Ok::<(), Error>(())
                })?;
            }
            Ok::<(), Error>(())
        })?;
    }
    o.some("tool_call_id", &message.tool_call_id);
    if !reasoning.is_empty() && !message.extra.contains_key("reasoning_content") {
        o.put("reasoning_content", &reasoning);
    }
    // A mark of the Responses API.
    o.extra(&message.extra, &["phase"]);
    Ok(())
}

/// Whether the official SDKs send `content: null`, as the API's own answers have it.
fn stands_without_text(message: &Message) -> bool {
    message.role == Role::Assistant
        && (!message.tool_calls.is_empty()
            || IN_PLACE_OF_TEXT
                .iter()
                .any(|name| message.extra.contains_key(*name)))
}

fn write_parts(o: &mut Obj<'_>, parts: &[Part], i: usize) -> Result<()> {
    // An assistant's text next to its reasoning was one string when it came.
    let mut texts = parts
        .iter()
        .filter(|part| !matches!(part, Part::Reasoning(_)));
    if parts.len() > 1
        && let (Some(Part::Text(text)), None) = (texts.next(), texts.next())
        && text.extra.is_empty()
    {
        o.put("content", &text.text);
        return Ok(());
    }
    o.array("content", |items| {
        for (j, part) in parts.iter().enumerate() {
            let path = || format!("messages[{i}].content[{j}]");
            match part {
                Part::Reasoning(_) => {}
                Part::Other(value) => items.put(value),
                Part::Text(text) => items.object(|o| {
                    o.put("type", "text");
                    o.put("text", &text.text);
                    o.extra(&text.extra, &[]);
                    Ok::<(), Error>(())
                })?,
                Part::Image(image) => items.object(|o| {
                    o.put("type", "image_url");
                    o.object("image_url", |o| {
                        match media::image(image, &path())? {
                            Source::Url(url) => o.put("url", url),
                            Source::Data { media_type, base64 } => {
                                o.joined("url", &[&"data:", &media_type, &";base64,", &base64]);
                            }
                            Source::FileId(_) => return Err(Error::invalid(path(), "expected an image")),
                        }
                        o.some("detail", &image.detail);
                        Ok(())
                    })?;
                    o.extra(&image.extra, &[]);
                    Ok::<(), Error>(())
                })?,
                Part::Audio(audio) => items.object(|o| {
                    o.put("type", "input_audio");
                    o.object("input_audio", |o| {
                        o.put("data", &audio.data);
                        o.put("format", &audio.format);
                        Ok::<(), Error>(())
                    })?;
                    o.extra(&audio.extra, &[]);
                    Ok::<(), Error>(())
                })?,
                Part::File(file) => items.object(|o| {
                    o.put("type", "file");
                    o.object("file", |o| {
                        match media::file(file, &path())? {
                            Source::FileId(id) => o.put("file_id", id),
                            Source::Data { media_type, base64 } => {
                                o.joined("file_data", &[&"data:", &media_type, &";base64,", &base64]);
                            }
                            Source::Url(_) => {
                                let expected = "expected `data` or `file_id`: chat completions take no address of a file";
                                return Err(Error::invalid(format!("{}.url", path()), expected));
                            }
                        }
                        o.some("filename", &file.filename);
                        Ok(())
                    })?;
                    o.extra(&file.extra, &[]);
                    Ok::<(), Error>(())
                })?,
            }
        }
        Ok(())
    })
}
