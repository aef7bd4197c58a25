//! Completion requests.

use ossai_proto::v1 as pb;

use super::{
    ConvertError, Converted, extra_text, read_each, read_extra, read_json, read_json_option,
    write_each,
};
use crate::types::{
    CompletionRequest, ReasoningEffort, ResponseFormat, Tool, ToolChoice, ToolDefinition,
};

impl From<&CompletionRequest> for pb::CompletionRequest {
    fn from(request: &CompletionRequest) -> Self {
        let CompletionRequest {
            model,
            messages,
            tools,
            tool_choice,
            parallel_tool_calls,
            response_format,
            max_tokens,
            temperature,
            top_p,
            top_k,
            frequency_penalty,
            presence_penalty,
            seed,
            stop,
            reasoning_effort,
            service_tier,
            metadata,
            user,
            extra,
        } = request;
        Self {
            model: model.clone(),
            messages: write_each(messages),
            tools: write_each(tools),
            tool_choice: tool_choice.as_ref().map(Into::into),
            parallel_tool_calls: *parallel_tool_calls,
            response_format: response_format.as_ref().map(Into::into),
            max_tokens: *max_tokens,
            temperature: *temperature,
            top_p: *top_p,
            top_k: *top_k,
            frequency_penalty: *frequency_penalty,
            presence_penalty: *presence_penalty,
            seed: *seed,
            stop: stop.clone(),
            reasoning_effort: write_effort(*reasoning_effort).into(),
            service_tier: service_tier.clone(),
            metadata_json: extra_text(metadata),
            user: user.clone(),
            extra_json: extra_text(extra),
        }
    }
}

impl TryFrom<pb::CompletionRequest> for CompletionRequest {
    type Error = ConvertError;

    fn try_from(request: pb::CompletionRequest) -> Converted<Self> {
        let pb::CompletionRequest {
            model,
            messages,
            tools,
            tool_choice,
            parallel_tool_calls,
            response_format,
            max_tokens,
            temperature,
            top_p,
            top_k,
            frequency_penalty,
            presence_penalty,
            seed,
            stop,
            reasoning_effort,
            service_tier,
            metadata_json,
            user,
            extra_json,
        } = request;
        Ok(Self {
            model,
            messages: read_each(messages, "messages")?,
            tools: read_each(tools, "tools")?,
            tool_choice: tool_choice.map(TryInto::try_into).transpose()?,
            parallel_tool_calls,
            response_format: response_format.map(TryInto::try_into).transpose()?,
            max_tokens,
            temperature,
            top_p,
            top_k,
            frequency_penalty,
            presence_penalty,
            seed,
            stop,
            reasoning_effort: read_effort(reasoning_effort)?,
            service_tier,
            metadata: read_extra(&metadata_json, "metadata")?,
            user,
            extra: read_extra(&extra_json, "extra")?,
        })
    }
}

impl From<&Tool> for pb::Tool {
    fn from(tool: &Tool) -> Self {
        use pb::tool::Kind;
        Self {
            kind: Some(match tool {
                Tool::Function(function) => Kind::Function(function.into()),
                Tool::Provider(value) => Kind::ProviderJson(value.to_string()),
            }),
        }
    }
}

impl TryFrom<pb::Tool> for Tool {
    type Error = ConvertError;

    fn try_from(tool: pb::Tool) -> Converted<Self> {
        use pb::tool::Kind;
        match tool.kind {
            Some(Kind::Function(function)) => Ok(Self::Function(function.try_into()?)),
            Some(Kind::ProviderJson(text)) => {
                Ok(Self::Provider(read_json(&text, "provider_json")?))
            }
            None => Err(ConvertError::new(
                "type",
                "expected a tool of a kind this version knows",
            )),
        }
    }
}

impl From<&ToolDefinition> for pb::ToolDefinition {
    fn from(tool: &ToolDefinition) -> Self {
        let ToolDefinition {
            name,
            description,
            parameters,
            strict,
            extra,
        } = tool;
        Self {
            name: name.clone(),
            description: description.clone(),
            parameters_json: parameters.as_ref().map(ToString::to_string),
            strict: *strict,
            extra_json: extra_text(extra),
        }
    }
}

impl TryFrom<pb::ToolDefinition> for ToolDefinition {
    type Error = ConvertError;

    fn try_from(tool: pb::ToolDefinition) -> Converted<Self> {
        let pb::ToolDefinition {
            name,
            description,
            parameters_json,
            strict,
            extra_json,
        } = tool;
        Ok(Self {
            name,
            description,
            parameters: read_json_option(parameters_json, "parameters")?,
            strict,
            extra: read_extra(&extra_json, "extra")?,
        })
    }
}

impl From<&ToolChoice> for pb::ToolChoice {
    fn from(choice: &ToolChoice) -> Self {
        use pb::{ToolChoiceMode as Mode, tool_choice::Choice};
        Self {
            choice: Some(match choice {
                ToolChoice::Auto => Choice::Mode(Mode::Auto.into()),
                ToolChoice::None => Choice::Mode(Mode::None.into()),
                ToolChoice::Required => Choice::Mode(Mode::Required.into()),
                ToolChoice::Function(name) => Choice::Function(name.clone()),
            }),
        }
    }
}

impl TryFrom<pb::ToolChoice> for ToolChoice {
    type Error = ConvertError;

    fn try_from(choice: pb::ToolChoice) -> Converted<Self> {
        use pb::{ToolChoiceMode as Mode, tool_choice::Choice};
        let mode = match choice.choice {
            Some(Choice::Function(name)) => return Ok(Self::Function(name)),
            Some(Choice::Mode(mode)) => Mode::try_from(mode),
            None => Ok(Mode::Unspecified),
        };
        match mode {
            Ok(Mode::Auto) => Ok(Self::Auto),
            Ok(Mode::None) => Ok(Self::None),
            Ok(Mode::Required) => Ok(Self::Required),
            Ok(Mode::Unspecified) | Err(_) => Err(ConvertError::new(
                "tool_choice",
                "expected auto, none, required or a function's name",
            )),
        }
    }
}

impl From<&ResponseFormat> for pb::ResponseFormat {
    fn from(format: &ResponseFormat) -> Self {
        use pb::response_format::Kind;
        Self {
            kind: Some(match format {
                ResponseFormat::Text => Kind::Text(pb::TextFormat {}),
                ResponseFormat::JsonObject => Kind::JsonObject(pb::JsonObjectFormat {}),
                ResponseFormat::JsonSchema {
                    name,
                    schema,
                    strict,
                    description,
                } => Kind::JsonSchema(pb::JsonSchemaFormat {
                    name: name.clone(),
                    schema_json: schema.to_string(),
                    strict: *strict,
                    description: description.clone(),
                }),
            }),
        }
    }
}

impl TryFrom<pb::ResponseFormat> for ResponseFormat {
    type Error = ConvertError;

    fn try_from(format: pb::ResponseFormat) -> Converted<Self> {
        use pb::response_format::Kind;
        match format.kind {
            Some(Kind::Text(pb::TextFormat {})) => Ok(Self::Text),
            Some(Kind::JsonObject(pb::JsonObjectFormat {})) => Ok(Self::JsonObject),
            Some(Kind::JsonSchema(pb::JsonSchemaFormat {
                name,
                schema_json,
                strict,
                description,
            })) => Ok(Self::JsonSchema {
                name,
                schema: read_json(&schema_json, "response_format.schema")?,
                strict,
                description,
            }),
            None => Err(ConvertError::new(
                "response_format",
                "expected text, json_object or json_schema",
            )),
        }
    }
}

fn write_effort(effort: Option<ReasoningEffort>) -> pb::ReasoningEffort {
    match effort {
        None => pb::ReasoningEffort::Unspecified,
        Some(ReasoningEffort::None) => pb::ReasoningEffort::None,
        Some(ReasoningEffort::Minimal) => pb::ReasoningEffort::Minimal,
        Some(ReasoningEffort::Low) => pb::ReasoningEffort::Low,
        Some(ReasoningEffort::Medium) => pb::ReasoningEffort::Medium,
        Some(ReasoningEffort::High) => pb::ReasoningEffort::High,
        Some(ReasoningEffort::Xhigh) => pb::ReasoningEffort::Xhigh,
        Some(ReasoningEffort::Max) => pb::ReasoningEffort::Max,
    }
}

fn read_effort(effort: i32) -> Converted<Option<ReasoningEffort>> {
    Ok(match pb::ReasoningEffort::try_from(effort) {
        Ok(pb::ReasoningEffort::Unspecified) => None,
        Ok(pb::ReasoningEffort::None) => Some(ReasoningEffort::None),
        Ok(pb::ReasoningEffort::Minimal) => Some(ReasoningEffort::Minimal),
        Ok(pb::ReasoningEffort::Low) => Some(ReasoningEffort::Low),
        Ok(pb::ReasoningEffort::Medium) => Some(ReasoningEffort::Medium),
        Ok(pb::ReasoningEffort::High) => Some(ReasoningEffort::High),
        Ok(pb::ReasoningEffort::Xhigh) => Some(ReasoningEffort::Xhigh),
        Ok(pb::ReasoningEffort::Max) => Some(ReasoningEffort::Max),
        Err(_) => {
            return Err(ConvertError::new(
                "reasoning_effort",
                "expected none, minimal, low, medium, high, xhigh or max",
            ));
        }
    })
}
