//! Ask once and read the answer, what it used and what it cost.
//!
//! Runs offline with the built-in model; `OSSAI_MODEL=openai/gpt-4o-mini` and a key ask a real one.

use ossai::{Client, CompletionRequest, Message};

#[tokio::main]
async fn main() -> ossai::Result<()> {
    let model = std::env::var("OSSAI_MODEL").unwrap_or_else(|_| "local/extract".into());
    let client = Client::from_env()?;
    let request = CompletionRequest {
        model,
        messages: vec![
            Message::system(
                "A flight is the one piece of upstream work that serves all identical calls under way. \
                 Nobody leads a flight, so nobody's cancellation fails the others.",
            ),
            Message::user("Who leads a flight?"),
        ],
        ..CompletionRequest::default()
    };
    let answer = client.complete(request).await?;
    println!("{}", answer.text);
    println!(
        "finish: {}, tokens: {} in, {} out",
        answer.finish_reason.as_str(),
        answer.usage.input_tokens,
        answer.usage.output_tokens
    );
    match answer.cost.total {
        Some(total) => println!("cost: {total}"),
        None => println!("cost: unknown, the model has no price"),
    }
    Ok(())
}
