//! Requests of the Responses API, stateless unless the caller asks for more.

use crate::provider::media::{self, Source};
use crate::provider::write::{Arr, Obj};
use crate::provider::{Encode, WireBody};
use crate::types::{Content, Message, Part, ReasoningPart, ResponseFormat, Role, Tool, ToolChoice};
use crate::{Error, Result};

/// What chat completions take and this API does not.
const CHAT_ONLY: &[&str] = &[
    "n",
    "logprobs",
    "logit_bias",
    "prediction",
    "modalities",
    "audio",
];

pub(in crate::provider) fn encode(mut call: Encode<'_>) -> Result<WireBody> {
    let (req, traits) = (call.req, call.traits);
    let stored = req
        .extra
        .get("store")
        .and_then(serde_json::Value::as_bool)
        .unwrap_or(false);
    let mut body = Vec::with_capacity(1024);
    Obj::write(&mut body, |o| {
        o.put("model", call.model);
        o.array("input", |items| {
            req.messages
                .iter()
                .enumerate()
                .try_for_each(|(i, message)| write_message(items, message, i, stored))
        })?;
        if !req.tools.is_empty() {
            o.array("tools", |tools| {
                for tool in &req.tools {
                    match tool {
                        Tool::Provider(value) => tools.put(value),
                        Tool::Function(function) => tools.object(|o| {
                            o.put("type", "function");
                            o.put("name", &function.name);
                            o.some("description", &function.description);
                            // Both are required here; absent strictness means strict, unlike with chat completions.
                            match &function.parameters {
                                Some(schema) => o.put("parameters", schema),
                                None => o.raw("parameters", r#"{"type":"object","properties":{}}"#),
                            }
                            o.put("strict", &function.strict.unwrap_or(false));
                            o.extra(&function.extra, &[]);
                            Ok::<(), Error>(())
                        })?,
                    }
                }
                Ok::<(), Error>(())
            })?;
        }
        match &req.tool_choice {
            None => {}
            Some(ToolChoice::Function(name)) => o.object("tool_choice", |o| {
                o.put("type", "function");
                o.put("name", name);
                Ok::<(), Error>(())
            })?,
            Some(simple) => o.put("tool_choice", simple),
        }
        o.some("parallel_tool_calls", &req.parallel_tool_calls);
        // Chat completions have it on top.
        let verbosity = req.extra.get("verbosity");
        if req.response_format.is_some() || verbosity.is_some() {
            o.object("text", |o| {
                if let Some(format) = &req.response_format {
                    o.object("format", |o| write_format(o, format))?;
                }
                if let Some(own) = call.extra_object("text") {
                    o.extra(own, &[]);
                }
                if let Some(verbosity) = verbosity
                    && !o.has("verbosity")
                {
                    o.put("verbosity", verbosity);
                }
                Ok::<(), Error>(())
            })?;
        }
        if let Some(effort) = req.reasoning_effort {
            o.object("reasoning", |o| {
                o.put("effort", effort.as_str());
                if let Some(own) = call.extra_object("reasoning") {
                    o.extra(own, &[]);
                }
                Ok::<(), Error>(())
            })?;
        }
        o.some("max_output_tokens", &req.max_tokens);
        if traits.no_sampling {
            call.drop_if("temperature", req.temperature.is_some());
            call.drop_if("top_p", req.top_p.is_some());
        } else {
            o.some("temperature", &req.temperature);
            o.some("top_p", &req.top_p);
        }
        call.drop_if("top_k", req.top_k.is_some());
        call.drop_if("frequency_penalty", req.frequency_penalty.is_some());
        call.drop_if("presence_penalty", req.presence_penalty.is_some());
        call.drop_if("seed", req.seed.is_some());
        call.drop_if("stop", !req.stop.is_empty());
        call.drop_if(
            "messages[].name",
            req.messages.iter().any(|m| m.name.is_some()),
        );
        o.some("service_tier", &req.service_tier);
        if !req.metadata.is_empty() {
            o.put("metadata", &req.metadata);
        }
        o.some("user", &req.user);
        if !req.extra.contains_key("store") {
            o.put("store", &false);
        }
        // Without storage the reasoning of a tool loop lives on only in what we send back.
        if !stored && traits.reasons(call.model) && !req.extra.contains_key("include") {
            o.put("include", &["reasoning.encrypted_content"]);
        }
        if call.stream {
            o.put("stream", &true);
        }
        // `include_usage` is of chat completions; the other stream options exist here too.
        if let Some(own) = call.extra_object("stream_options")
            && call.stream
            && own.keys().any(|key| key != "include_usage")
        {
            o.object("stream_options", |o| {
                o.extra(own, &["include_usage"]);
                Ok::<(), Error>(())
            })?;
        }
        for name in CHAT_ONLY.iter().filter(|name| **name != "n") {
            call.drop_if(name, req.extra.contains_key(*name));
        }
        call.drop_repeated(o, &["reasoning", "text", "stream_options"]);
        let mut skip = CHAT_ONLY.to_vec();
        skip.extend(["stream_options", "verbosity"]);
        o.extra(&req.extra, &skip);
        Ok::<(), Error>(())
    })?;
    Ok(call.body("/responses", body))
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
            o.put("name", name);
            o.some("description", description);
            o.put("schema", schema);
            o.some("strict", strict);
        }
    }
    Ok(())
}

fn write_message(items: &mut Arr<'_>, message: &Message, i: usize, stored: bool) -> Result<()> {
    match message.role {
        Role::Assistant => write_assistant(items, message, i, stored),
        Role::Tool => items.object(|o| {
            o.put("type", "function_call_output");
            o.some("call_id", &message.tool_call_id);
            match &message.content {
                Content::Text(text) => o.put("output", text),
                Content::Parts(parts) => o.array("output", |out| write_parts(out, parts, i))?,
            }
            o.extra(&message.extra, &[]);
            Ok(())
        }),
        role => items.object(|o| {
            o.put("type", "message");
            o.put("role", role.as_str());
            match &message.content {
                Content::Text(text) => o.put("content", text),
                Content::Parts(parts) => o.array("content", |out| write_parts(out, parts, i))?,
            }
            o.extra(&message.extra, &[]);
            Ok(())
        }),
    }
}

/// An assistant's turn is several items: its reasoning, its text and its calls, in the order they came.
fn write_assistant(items: &mut Arr<'_>, message: &Message, i: usize, stored: bool) -> Result<()> {
    let text = |items: &mut Arr<'_>, text: &str| {
        items.object(|o| {
            o.put("type", "message");
            o.put("role", "assistant");
            o.put("content", text);
            // What chat completions put beside a message has no place in an item.
            let known = [
                "refusal",
                "annotations",
                "audio",
                "function_call",
                "reasoning",
                "reasoning_content",
            ];
            o.extra(&message.extra, &known);
            Ok::<(), Error>(())
        })
    };
    match &message.content {
        Content::Text(content) if content.is_empty() => {}
        Content::Text(content) => text(items, content)?,
        Content::Parts(parts) => {
            for (j, part) in parts.iter().enumerate() {
                match part {
                    Part::Text(part) if part.text.is_empty() => {}
                    Part::Text(part) => text(items, &part.text)?,
                    Part::Reasoning(reasoning) => write_reasoning(items, reasoning, stored)?,
                    Part::Other(item) => items.put(item),
                    _ => {
                        let path = format!("messages[{i}].content[{j}]");
                        return Err(Error::invalid(
                            path,
                            "expected text or reasoning from an assistant",
                        ));
                    }
                }
            }
        }
    }
    for call in &message.tool_calls {
        items.object(|o| {
            o.put("type", "function_call");
            o.put("call_id", &call.id);
            o.put("name", &call.name);
            o.put("arguments", &call.arguments);
            o.extra(&call.extra, &[]);
            Ok::<(), Error>(())
        })?;
    }
    Ok(())
}

/// Reasoning goes back only where the API can know it: by its encrypted content, or by its id when it is stored.
/// Reasoning of other vendors has no id of this API's and is left out.
fn write_reasoning(items: &mut Arr<'_>, part: &ReasoningPart, stored: bool) -> Result<()> {
    if !part.extra.contains_key("id") || (part.redacted.is_none() && !stored) {
        return Ok(());
    }
    items.object(|o| {
        o.put("type", "reasoning");
        // Several paragraphs stand in `extra` as they came.
        if !part.extra.contains_key("summary") {
            o.array("summary", |summary| match part.text.as_str() {
                "" => Ok::<(), Error>(()),
                text => summary.object(|o| {
                    o.put("type", "summary_text");
                    o.put("text", text);
                    Ok(())
                }),
            })?;
        }
        o.some("encrypted_content", &part.redacted);
        o.extra(&part.extra, &[]);
        Ok(())
    })
}

fn write_parts(items: &mut Arr<'_>, parts: &[Part], i: usize) -> Result<()> {
    for (j, part) in parts.iter().enumerate() {
        let path = || format!("messages[{i}].content[{j}]");
        match part {
            Part::Reasoning(_) => {}
            Part::Other(value) => items.put(value),
            Part::Text(text) => items.object(|o| {
                o.put("type", "input_text");
                o.put("text", &text.text);
                o.extra(&text.extra, &[]);
                Ok::<(), Error>(())
            })?,
            Part::Image(image) => items.object(|o| {
                o.put("type", "input_image");
                match media::image(image, &path())? {
                    Source::Url(url) => o.put("image_url", url),
                    Source::Data { media_type, base64 } => {
                        o.joined("image_url", &[&"data:", &media_type, &";base64,", &base64]);
                    }
                    Source::FileId(id) => o.put("file_id", id),
                }
                // The API's types have `detail` as required.
                o.put("detail", image.detail.as_deref().unwrap_or("auto"));
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
                o.put("type", "input_file");
                match media::file(file, &path())? {
                    Source::Url(url) => o.put("file_url", url),
                    Source::FileId(id) => o.put("file_id", id),
                    Source::Data { media_type, base64 } => {
                        o.joined("file_data", &[&"data:", &media_type, &";base64,", &base64]);
                    }
                }
                o.some("filename", &file.filename);
                o.extra(&file.extra, &[]);
                Ok::<(), Error>(())
            })?,
        }
    }
    Ok(())
}
