//! One usage object out of every vendor's, because each counts differently and a wrong reading is a wrong bill.
//!
//! The rules are those of the vendors' pages and of the extractors in genai-prices 0.2.3. A count that is absent, null
//! or no number is 0; a negative one is 0; a fraction is cut; one too large saturates. A part never exceeds the whole it
//! belongs to: it is cut to it.

use serde_json::Value;

use super::tree::Tree;
use crate::provider::Api;
use crate::types::Usage;

/// Whose way of counting a usage object follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UsageApi {
    /// OpenAI Chat Completions.
    #[serde(rename = "openai_chat")]
    OpenAiChat,
    /// OpenAI Responses.
    #[serde(rename = "openai_responses")]
    OpenAiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Amazon Bedrock Converse.
    Bedrock,
    /// Google Gemini (`usageMetadata`).
    Gemini,
    /// xAI's chat completions, which leave reasoning out of the output.
    XaiChat,
    /// xAI's responses, which do not.
    XaiResponses,
    /// Perplexity.
    Perplexity,
    /// Cohere v2.
    Cohere,
    /// Any server that speaks OpenAI's chat completions.
    #[serde(rename = "openai_compatible")]
    OpenAiCompatible,
    /// OpenAI embeddings.
    #[serde(rename = "openai_embedding")]
    OpenAiEmbedding,
}

/// How the answers of `provider` over `api` count.
#[must_use]
pub fn usage_api(provider: &str, api: Api) -> UsageApi {
    match (api, provider) {
        (Api::AnthropicMessages, _) => UsageApi::Anthropic,
        (Api::OpenAiResponses, "xai") => UsageApi::XaiResponses,
        (Api::OpenAiResponses, _) => UsageApi::OpenAiResponses,
        (Api::OpenAiChat, "openai" | "azure") => UsageApi::OpenAiChat,
        (Api::OpenAiChat, "xai") => UsageApi::XaiChat,
        (Api::OpenAiChat, "perplexity") => UsageApi::Perplexity,
        (Api::OpenAiChat, "cohere") => UsageApi::Cohere,
        (Api::OpenAiChat, _) => UsageApi::OpenAiCompatible,
    }
}

/// The names of a whole and of its parts.
const PROMPT: [&str; 2] = ["prompt_tokens", "prompt_tokens_details"];
const COMPLETION: [&str; 2] = ["completion_tokens", "completion_tokens_details"];
const INPUT: [&str; 2] = ["input_tokens", "input_tokens_details"];
const OUTPUT: [&str; 2] = ["output_tokens", "output_tokens_details"];

/// Reads a vendor's usage object.
///
/// `raw` is the object itself (`usage`, Gemini's `usageMetadata`). Counts the vendor does not send are 0; nothing fails.
#[must_use]
pub fn normalise(api: UsageApi, raw: &Value) -> Usage {
    read(api, &Tree::from(raw))
}

/// [`normalise`] of an object that is still text.
pub(crate) fn normalise_text(api: UsageApi, raw: &str) -> Usage {
    serde_json::from_str(raw).map_or_else(|_| Usage::default(), |raw: Tree<'_>| read(api, &raw))
}

fn read(api: UsageApi, raw: &Tree<'_>) -> Usage {
    let usage = match api {
        UsageApi::OpenAiChat => openai(raw, PROMPT, COMPLETION),
        UsageApi::OpenAiResponses | UsageApi::XaiResponses => openai(raw, INPUT, OUTPUT),
        UsageApi::OpenAiCompatible => compatible(raw),
        UsageApi::XaiChat => {
            let mut usage = compatible(raw);
            usage.output_tokens = usage.output_tokens.saturating_add(usage.reasoning_tokens);
            usage
        }
        UsageApi::Perplexity => perplexity(raw),
        UsageApi::Cohere => cohere(raw),
        UsageApi::Anthropic => anthropic(raw),
        UsageApi::Bedrock => bedrock(raw),
        UsageApi::Gemini => gemini(raw),
        UsageApi::OpenAiEmbedding => Usage {
            input_tokens: first(raw, &["prompt_tokens", "input_tokens", "total_tokens"]),
            ..Usage::default()
        },
    };
    clamped(usage)
}

fn openai(raw: &Tree<'_>, input: [&str; 2], output: [&str; 2]) -> Usage {
    let [input, of_input] = input;
    let [output, of_output] = output;
    let (of_input, of_output) = (&raw[of_input], &raw[of_output]);
    Usage {
        input_tokens: count(raw, input),
        output_tokens: count(raw, output),
        cache_read_tokens: count(of_input, "cached_tokens"),
        cache_write_tokens: count(of_input, "cache_write_tokens"),
        cache_write_12h_tokens: count(&of_input["cache_write_tokens_details"], "ttl_12h_tokens"),
        reasoning_tokens: count(of_output, "reasoning_tokens"),
        audio_input_tokens: count(of_input, "audio_tokens"),
        audio_cache_read_tokens: count(&of_input["cached_tokens_details"], "audio_tokens"),
        audio_output_tokens: count(of_output, "audio_tokens"),
        image_input_tokens: count(of_input, "image_tokens"),
        service_tier: word(raw, "service_tier"),
        ..Usage::default()
    }
}

/// OpenAI's shape with what servers put beside it: DeepSeek's `prompt_cache_hit_tokens`, Moonshot's `cached_tokens`,
/// gateways' Anthropic names, and the names of the Responses API.
fn compatible(raw: &Tree<'_>) -> Usage {
    let mut usage = openai(raw, PROMPT, COMPLETION);
    if raw.get("prompt_tokens").is_none() && raw.get("input_tokens").is_some() {
        usage = openai(raw, INPUT, OUTPUT);
    }
    if usage.cache_read_tokens == 0 {
        let names = [
            "prompt_cache_hit_tokens",
            "cached_tokens",
            "cache_read_input_tokens",
        ];
        usage.cache_read_tokens = first(raw, &names);
    }
    if usage.cache_write_tokens == 0 {
        usage.cache_write_tokens = count(raw, "cache_creation_input_tokens");
    }
    if usage.reasoning_tokens == 0 {
        usage.reasoning_tokens = count(raw, "reasoning_tokens");
    }
    usage
}

/// Reasoning and citations stand beside the completion and are billed with it.
fn perplexity(raw: &Tree<'_>) -> Usage {
    let mut usage = compatible(raw);
    usage.citation_tokens = count(raw, "citation_tokens");
    usage.output_tokens = usage
        .output_tokens
        .saturating_add(usage.reasoning_tokens)
        .saturating_add(usage.citation_tokens);
    usage.web_searches = count(raw, "num_search_queries");
    usage
}

/// `tokens` is what the model saw, `billed_units` what is charged. Their OpenAI-compatible address sends OpenAI's shape.
fn cohere(raw: &Tree<'_>) -> Usage {
    let billed = &raw["billed_units"];
    if !billed.is_object() {
        return compatible(raw);
    }
    Usage {
        input_tokens: count(billed, "input_tokens"),
        output_tokens: count(billed, "output_tokens"),
        cache_read_tokens: count(raw, "cached_tokens"),
        ..Usage::default()
    }
}

/// The input comes in three disjoint parts. With `iterations` (compaction, fallback) the top level holds only the last
/// one, and the bill is their sum; an advisor's iterations belong to another model and are not in it.
fn anthropic(raw: &Tree<'_>) -> Usage {
    let mut usage = raw["iterations"]
        .items()
        .iter()
        .filter(|i| i["type"].text() != Some("advisor_message"))
        .map(anthropic_tokens)
        .fold(Usage::default(), sum);
    let top = anthropic_tokens(raw);
    if usage.total_tokens() < top.total_tokens() {
        usage = top;
    }
    usage.reasoning_tokens = count(&raw["output_tokens_details"], "thinking_tokens");
    usage.web_searches = count(&raw["server_tool_use"], "web_search_requests");
    usage.service_tier = word(raw, "service_tier");
    usage.speed = word(raw, "speed");
    usage.region = word(raw, "inference_geo");
    usage
}

fn anthropic_tokens(raw: &Tree<'_>) -> Usage {
    let by_ttl = &raw["cache_creation"];
    let hour = count(by_ttl, "ephemeral_1h_input_tokens");
    let write = count(raw, "cache_creation_input_tokens")
        .max(count(by_ttl, "ephemeral_5m_input_tokens").saturating_add(hour));
    let read = count(raw, "cache_read_input_tokens");
    Usage {
        input_tokens: count(raw, "input_tokens")
            .saturating_add(write)
            .saturating_add(read),
        output_tokens: count(raw, "output_tokens"),
        cache_read_tokens: read,
        cache_write_tokens: write,
        cache_write_1h_tokens: hour,
        ..Usage::default()
    }
}

fn sum(a: Usage, b: Usage) -> Usage {
    Usage {
        input_tokens: a.input_tokens.saturating_add(b.input_tokens),
        output_tokens: a.output_tokens.saturating_add(b.output_tokens),
        cache_read_tokens: a.cache_read_tokens.saturating_add(b.cache_read_tokens),
        cache_write_tokens: a.cache_write_tokens.saturating_add(b.cache_write_tokens),
        cache_write_1h_tokens: a
            .cache_write_1h_tokens
            .saturating_add(b.cache_write_1h_tokens),
        ..Usage::default()
    }
}

fn bedrock(raw: &Tree<'_>) -> Usage {
    let read = count(raw, "cacheReadInputTokens");
    let write = count(raw, "cacheWriteInputTokens");
    let hour = raw["cacheDetails"]
        .items()
        .iter()
        .filter(|detail| detail["ttl"].text() == Some("1h"))
        .fold(0_u64, |all, detail| {
            all.saturating_add(count(detail, "inputTokens"))
        });
    Usage {
        input_tokens: count(raw, "inputTokens")
            .saturating_add(read)
            .saturating_add(write),
        output_tokens: count(raw, "outputTokens"),
        cache_read_tokens: read,
        cache_write_tokens: write,
        cache_write_1h_tokens: hour,
        ..Usage::default()
    }
}

fn gemini(raw: &Tree<'_>) -> Usage {
    let thoughts = count(raw, "thoughtsTokenCount");
    Usage {
        input_tokens: count(raw, "promptTokenCount")
            .saturating_add(count(raw, "toolUsePromptTokenCount")),
        output_tokens: count(raw, "candidatesTokenCount").saturating_add(thoughts),
        cache_read_tokens: count(raw, "cachedContentTokenCount"),
        reasoning_tokens: thoughts,
        audio_input_tokens: modality(&raw["promptTokensDetails"], "AUDIO"),
        audio_cache_read_tokens: modality(&raw["cacheTokensDetails"], "AUDIO"),
        audio_output_tokens: modality(&raw["candidatesTokensDetails"], "AUDIO"),
        image_input_tokens: modality(&raw["promptTokensDetails"], "IMAGE"),
        ..Usage::default()
    }
}

fn modality(details: &Tree<'_>, name: &str) -> u64 {
    details
        .items()
        .iter()
        .filter(|detail| detail["modality"].text() == Some(name))
        .fold(0_u64, |all, detail| {
            all.saturating_add(count(detail, "tokenCount"))
        })
}

fn clamped(mut u: Usage) -> Usage {
    u.cache_read_tokens = u.cache_read_tokens.min(u.input_tokens);
    u.cache_write_tokens = u
        .cache_write_tokens
        .min(u.input_tokens - u.cache_read_tokens);
    u.cache_write_1h_tokens = u.cache_write_1h_tokens.min(u.cache_write_tokens);
    u.cache_write_12h_tokens = u
        .cache_write_12h_tokens
        .min(u.cache_write_tokens - u.cache_write_1h_tokens);
    u.audio_input_tokens = u.audio_input_tokens.min(u.input_tokens);
    u.image_input_tokens = u
        .image_input_tokens
        .min(u.input_tokens - u.audio_input_tokens);
    u.audio_cache_read_tokens = u
        .audio_cache_read_tokens
        .min(u.cache_read_tokens)
        .min(u.audio_input_tokens);
    u.reasoning_tokens = u.reasoning_tokens.min(u.output_tokens);
    u.citation_tokens = u.citation_tokens.min(u.output_tokens - u.reasoning_tokens);
    u.audio_output_tokens = u.audio_output_tokens.min(u.output_tokens);
    u
}

fn first(object: &Tree<'_>, names: &[&str]) -> u64 {
    names
        .iter()
        .map(|name| count(object, name))
        .find(|n| *n > 0)
        .unwrap_or(0)
}

fn count(object: &Tree<'_>, name: &str) -> u64 {
    match object.get(name) {
        Some(Tree::Number(n)) => *n,
        _ => 0,
    }
}

fn word(object: &Tree<'_>, name: &str) -> Option<String> {
    object[name].text().map(str::to_owned)
}
