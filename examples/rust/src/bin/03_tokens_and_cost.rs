//! Count tokens offline and see what a call would cost before making it.

use ossai::tokens::Encoding;
use ossai::{Client, CompletionRequest, Config, EstimateOptions};

fn main() -> ossai::Result<()> {
    let client = Client::new(Config::default())?;
    if let Some(encoding) = Encoding::get("o200k_base") {
        let text = "Tokens are counted in the binary, with no network.";
        println!("{} tokens in {} bytes", encoding.count(text), text.len());
        println!("cut to 4 tokens: {:?}", encoding.truncate(text, 4));
    }
    for model in [
        "openai/gpt-4o-mini",
        "openai/gpt-5",
        "anthropic/claude-sonnet-4-6",
    ] {
        let request = CompletionRequest {
            max_tokens: Some(500),
            ..CompletionRequest::new(model, "Summarise the history of tea in three paragraphs.")
        };
        let count = client.count(&request)?;
        let estimate = client.estimate(&request, &EstimateOptions::default())?;
        let amount = |amount: Option<ossai::NanoUsd>| {
            amount.map_or_else(|| "unknown".to_owned(), |amount| amount.to_string())
        };
        println!(
            "{model}: {} input tokens ({}), at most {}",
            count.tokens,
            if count.exact { "exact" } else { "estimated" },
            amount(estimate.high)
        );
    }
    Ok(())
}
