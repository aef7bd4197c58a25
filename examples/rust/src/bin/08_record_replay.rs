//! Answers out of a file: no key, no network, no cost. `RECORD=1` asks the provider instead, and writes the file anew.

use ossai::client::config::{Cassette, CassetteMode};
use ossai::{Client, CompletionRequest, Config, StreamEvent};

#[tokio::main]
async fn main() -> ossai::Result<()> {
    let client = Client::new(Config {
        cassette: Some(Cassette {
            path: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../cassettes/sky.json").into()),
            mode: match std::env::var_os("RECORD") {
                Some(_) => CassetteMode::Record,
                None => CassetteMode::Replay,
            },
            ..Cassette::default()
        }),
        ..Config::default()
    })?;
    let ask = |text| CompletionRequest::new("openai/gpt-4o-mini", text);

    // On the file the first try meets a 429; the retry runs as with a provider.
    let answer = client.complete(ask("Why is the sky blue?")).await?;
    println!("{} ({} tries)", answer.text, answer.attempts.len());

    let mut stream = client.stream(ask("Why is the sky blue?")).await?;
    while let Some(event) = stream.next().await {
        if let StreamEvent::TextDelta { text, .. } = event? {
            print!("{text}|");
        }
    }
    println!();

    // What is not on it is an error that says in what it differs.
    if let Err(error) = client.complete(ask("Why is the grass green?")).await {
        println!("{error}");
    }
    Ok(())
}
