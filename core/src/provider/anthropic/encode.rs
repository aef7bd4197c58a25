//! Requests of the Messages API: everything but the messages themselves.

use serde_json::Value;

use super::messages;
use crate::provider::write::Obj;
use crate::provider::{Encode, WireBody};
use crate::types::{ReasoningEffort, ResponseFormat, Tool, ToolChoice};
use crate::{Error, Result};

/// The limit when neither the request nor the model table has one; the API requires it.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// OpenAI's parameters that callers carry along and this API refuses.
const OPENAI_ONLY: &[&str] = &[
    "audio",
    "include",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tool_calls",
    "modalities",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "store",
    "stream_options",
    "text",
    "top_logprobs",
    "truncation",
    "verbosity",
    "web_search_options",
];

pub(in crate::provider) fn encode(mut call: Encode<'_>) -> Result<WireBody> {
    let (req, traits) = (call.req, call.traits);
    let turns = messages::turns(&req.messages)?;
    let mut body = Vec::with_capacity(1024);
    Obj::write(&mut body, |o| {
        o.put("model", call.model);
        let default = traits.default_max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
        o.put("max_tokens", &req.max_tokens.unwrap_or(default));
        messages::write_system(o, &req.messages)?;
        messages::write_turns(o, &turns)?;
        if !req.tools.is_empty() {
            write_tools(o, &req.tools)?;
        }
        write_tool_choice(o, &call)?;
        if traits.no_sampling {
            call.drop_if("temperature", req.temperature.is_some());
            call.drop_if("top_p", req.top_p.is_some());
            call.drop_if("top_k", req.top_k.is_some());
        } else {
            o.some("temperature", &req.temperature);
            o.some("top_p", &req.top_p);
            o.some("top_k", &req.top_k);
        }
        if !req.stop.is_empty() {
            o.put("stop_sequences", &req.stop);
        }
        write_output_config(o, &mut call)?;
        o.some("service_tier", &req.service_tier);
        let user_id = req
            .user
            .as_deref()
            .or(req.metadata.get("user_id").and_then(Value::as_str));
        if let Some(user_id) = user_id {
            o.object("metadata", |o| {
                o.put("user_id", user_id);
                Ok::<(), Error>(())
            })?;
        }
        call.drop_if("metadata", req.metadata.keys().any(|key| key != "user_id"));
        call.drop_if("seed", req.seed.is_some());
        call.drop_if("frequency_penalty", req.frequency_penalty.is_some());
        call.drop_if("presence_penalty", req.presence_penalty.is_some());
        call.drop_if(
            "messages[].name",
            req.messages.iter().any(|m| m.name.is_some()),
        );
        if call.stream {
            o.put("stream", &true);
        }
        for name in OPENAI_ONLY {
            call.drop_if(name, req.extra.contains_key(*name));
        }
        call.drop_repeated(o, &["output_config"]);
        o.extra(&req.extra, &[OPENAI_ONLY, &["n"]].concat());
        Ok::<(), Error>(())
    })?;
    Ok(call.body("/messages", body))
}

fn write_tools(o: &mut Obj<'_>, tools: &[Tool]) -> Result<()> {
    o.array("tools", |out| {
        for tool in tools {
            match tool {
                Tool::Provider(value) => out.put(value),
                Tool::Function(function) => out.object(|o| {
                    o.put("name", &function.name);
                    o.some("description", &function.description);
                    match &function.parameters {
                        Some(schema) => o.put("input_schema", schema),
                        None => o.raw("input_schema", r#"{"type":"object","properties":{}}"#),
                    }
                    if function.strict == Some(true) {
                        o.put("strict", &true);
                    }
                    o.extra(&function.extra, &[]);
                    Ok::<(), Error>(())
                })?,
            }
        }
        Ok(())
    })
}

fn write_tool_choice(o: &mut Obj<'_>, call: &Encode<'_>) -> Result<()> {
    let single = call.req.parallel_tool_calls == Some(false);
    let (kind, name) = match &call.req.tool_choice {
        None if !single || call.req.tools.is_empty() => return Ok(()),
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Function(name)) => ("tool", Some(name)),
    };
    o.object("tool_choice", |o| {
        o.put("type", kind);
        if let Some(name) = name {
            o.put("name", name);
        }
        if single && kind != "none" {
            o.put("disable_parallel_tool_use", &true);
        }
        Ok(())
    })
}

/// Effort and answer schema live in one object; no effort at all is a switched-off thinking.
fn write_output_config(o: &mut Obj<'_>, call: &mut Encode<'_>) -> Result<()> {
    let effort = match call.req.reasoning_effort {
        None | Some(ReasoningEffort::None) => None,
        // The API's lowest.
        Some(ReasoningEffort::Minimal) => Some("low"),
        Some(effort) => Some(effort.as_str()),
    };
    if call.req.reasoning_effort == Some(ReasoningEffort::None) {
        o.raw("thinking", r#"{"type":"disabled"}"#);
    }
    let schema = match &call.req.response_format {
        Some(ResponseFormat::JsonSchema { schema, .. }) => Some(schema),
        Some(ResponseFormat::JsonObject) => {
            call.drop_param("response_format");
            None
        }
        Some(ResponseFormat::Text) | None => None,
    };
    if effort.is_none() && schema.is_none() {
        return Ok(());
    }
    o.object("output_config", |o| {
        if let Some(effort) = effort {
            o.put("effort", effort);
        }
        if let Some(schema) = schema {
            o.object("format", |o| {
                o.put("type", "json_schema");
                o.put("schema", schema);
                Ok::<(), Error>(())
            })?;
        }
        if let Some(own) = call.extra_object("output_config") {
            o.extra(own, &[]);
        }
        Ok(())
    })
}
