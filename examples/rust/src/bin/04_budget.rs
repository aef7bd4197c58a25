//! Refuse a call that could cost more than it may, before anything is sent.

use ossai::{Client, CompletionRequest, Config, ErrorKind};

#[tokio::main]
async fn main() -> ossai::Result<()> {
    // A cent a day for each user, however many calls come at once.
    let config = Config::from_json(
        r#"{
            "budgets": {"limits": [{"scope": "user", "window": "day", "nano_usd": 10000000}]},
            "providers": {"openai": {"api_key": "not used"}}
        }"#,
    )?;
    let client = Client::new(config)?;
    let request = CompletionRequest {
        max_tokens: Some(16_000),
        user: Some("ada".into()),
        ..CompletionRequest::new("openai/gpt-4o", "Write a book.")
    };
    match client.complete(request).await {
        Err(error) if error.kind() == ErrorKind::BudgetExceeded => {
            println!("refused: {error}");
            for budget in &error.fields().budgets {
                println!("{budget:?}");
            }
            Ok(())
        }
        other => other.map(|answer| println!("not refused: {}", answer.text)),
    }
}
