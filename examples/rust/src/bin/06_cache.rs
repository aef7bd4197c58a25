//! The same question twice: the second answer comes out of memory, and fifty at once share one flight.

use std::sync::Arc;

use ossai::{Client, CompletionRequest, Config};

#[tokio::main]
async fn main() -> ossai::Result<()> {
    let client = Client::new(Config::default())?;
    let request = Arc::new(CompletionRequest::new(
        "local/extract",
        "The memory cache is looked up on the caller's thread.\n\nWhere is the memory cache looked up?",
    ));
    let first = client.complete(Arc::clone(&request)).await?;
    let second = client.complete(Arc::clone(&request)).await?;
    println!(
        "first: {:?}, second: {:?}",
        first.cache.status, second.cache.status
    );
    client.clear_cache();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (client, request) = (client.clone(), Arc::clone(&request));
            tokio::spawn(async move { client.complete(request).await })
        })
        .collect();
    for call in calls {
        if let Ok(answer) = call.await {
            answer?;
        }
    }
    let stats = client.stats();
    println!(
        "52 calls: {} flights, {} joined, {} from the cache",
        stats.flights, stats.joined, stats.cache_hits
    );
    Ok(())
}
