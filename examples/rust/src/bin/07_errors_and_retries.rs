//! Errors are values with fields: what went wrong, where, what was tried, and whether a new call may work.

use ossai::{CallOptions, Client, CompletionRequest, Config};

#[tokio::main]
async fn main() -> ossai::Result<()> {
    // A server that is not there: three tries with waits between them, then the last real error.
    let config = Config::from_json(
        r#"{"providers": {"mine": {"base_url": "http://127.0.0.1:9/v1"}}, "retry": {"base_ms": 10}}"#,
    )?;
    let client = Client::new(config)?;
    if let Err(error) = client
        .complete(CompletionRequest::new("mine/model", "Hello"))
        .await
    {
        println!("{error}");
        println!("retriable by the caller: {}", error.is_retriable());
        for (n, attempt) in error.fields().attempts.iter().enumerate() {
            println!(
                "  try {}: {:?} after {} ms",
                n + 1,
                attempt.error,
                attempt.delay_ms
            );
        }
    }
    // A mistake names its field and costs nothing.
    let mut wrong = CompletionRequest::new("mine/model", "Hello");
    wrong.temperature = Some(7.0);
    if let Err(error) = client.complete(wrong).await {
        println!(
            "{error} (field: {})",
            error.fields().field.as_deref().unwrap_or("-")
        );
    }
    // Time for the whole call, waits and tries included.
    let options = CallOptions {
        timeout_ms: Some(5),
        ..CallOptions::default()
    };
    if let Err(error) = client
        .complete_with(CompletionRequest::new("mine/model", "Hello"), options)
        .await
    {
        println!(
            "{} ({})",
            error.kind().name(),
            error.fields().scope.as_deref().unwrap_or("-")
        );
    }
    Ok(())
}
