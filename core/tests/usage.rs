//! Every vendor's usage object is read as its golden file says.

#![allow(clippy::unwrap_used)]

use ossai::cost::usage::{UsageApi, normalise, usage_api};
use ossai::provider::Api;
use ossai::types::Usage;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Golden {
    api: UsageApi,
    raw: Value,
    usage: Usage,
}

#[test]
fn every_golden_usage_object_is_normalised_as_written() {
    let folder = "tests/golden/usage";
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let golden: Golden = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            normalise(golden.api, &golden.raw),
            golden.usage,
            "{}",
            path.display()
        );
        seen.push(golden.api);
    }
    for api in [
        UsageApi::OpenAiChat,
        UsageApi::OpenAiResponses,
        UsageApi::Anthropic,
        UsageApi::Bedrock,
        UsageApi::Gemini,
        UsageApi::XaiChat,
        UsageApi::XaiResponses,
        UsageApi::Perplexity,
        UsageApi::Cohere,
        UsageApi::OpenAiCompatible,
        UsageApi::OpenAiEmbedding,
    ] {
        assert!(seen.contains(&api), "{api:?} has no golden file");
    }
}

#[test]
fn the_provider_decides_how_a_shared_format_counts() {
    assert_eq!(usage_api("openai", Api::OpenAiChat), UsageApi::OpenAiChat);
    assert_eq!(usage_api("xai", Api::OpenAiChat), UsageApi::XaiChat);
    assert_eq!(
        usage_api("xai", Api::OpenAiResponses),
        UsageApi::XaiResponses
    );
    assert_eq!(
        usage_api("perplexity", Api::OpenAiChat),
        UsageApi::Perplexity
    );
    assert_eq!(usage_api("cohere", Api::OpenAiChat), UsageApi::Cohere);
    assert_eq!(
        usage_api("deepseek", Api::OpenAiChat),
        UsageApi::OpenAiCompatible
    );
    assert_eq!(
        usage_api("deepseek", Api::AnthropicMessages),
        UsageApi::Anthropic
    );
}

#[test]
fn cohere_over_openais_format_is_read_in_that_format() {
    let raw = serde_json::json!({"prompt_tokens": 7, "completion_tokens": 3});
    let usage = normalise(UsageApi::Cohere, &raw);
    assert_eq!((usage.input_tokens, usage.output_tokens), (7, 3));
}
