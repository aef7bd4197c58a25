//! Print an answer as it is written; the last event carries the whole of it.

use std::io::Write;

use ossai::{Client, CompletionRequest, StreamEvent};

#[tokio::main]
async fn main() -> ossai::Result<()> {
    let model = std::env::var("OSSAI_MODEL").unwrap_or_else(|_| "local/extract".into());
    let client = Client::from_env()?;
    let request = CompletionRequest::new(
        model,
        "Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\nWhat bounds a cache?",
    );
    let mut stream = client.stream(request).await?;
    while let Some(event) = stream.next().await {
        match event? {
            StreamEvent::TextDelta { text, .. } => {
                print!("{text}");
                let _ = std::io::stdout().flush();
            }
            StreamEvent::End { completion } => {
                println!("\n[{} output tokens]", completion.usage.output_tokens);
            }
            _ => {}
        }
    }
    Ok(())
}
