//! Refuse a call that could cost more than it may, before anything is sent.

use ossai::{CallOptions, Client, CompletionRequest, Config, ErrorKind, NanoUsd};

#[tokio::main]
async fn main() -> ossai::Result<()> {
    let client = Client::new(Config::default())?;
    let request = CompletionRequest {
        max_tokens: Some(100_000),
        ..CompletionRequest::new("openai/gpt-4o", "Write a book.")
    };
    let options = CallOptions {
        max_cost: Some(NanoUsd(10_000_000)),
        ..CallOptions::default()
    };
    match client.complete_with(request, options).await {
        Err(error) if error.kind() == ErrorKind::BudgetExceeded => println!("refused: {error}"),
        other => println!("not refused: {:?}", other.map(|answer| answer.text.clone())),
    }
    Ok(())
}
