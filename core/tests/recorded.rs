//! What a client's own ledger promises: every direct flight once, however it ends, and never in a call's way.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used)]

mod http;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ossai::client::config::{ProviderConfig, UsageConfig};
use ossai::cost::PriceTable;
use ossai::ledger::{GroupBy, Ledger, UsageFilter, UsageRow};
use ossai::{
    CallOptions, Client, CompletionRequest, Config, EmbeddingInput, EmbeddingRequest, NanoUsd,
    Secret,
};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A vendor whose answers wait for a permit each; what it was asked is counted by them.
struct Vendor {
    url: String,
    permits: Arc<Semaphore>,
    asked: Arc<Semaphore>,
}

const CHAT: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":
    {"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010}}"#;
const EMBEDDING: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,0.5]}],"model":
    "text-embedding-3-small","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
const REFUSAL: &str = r#"{"error":{"message":"no","type":"invalid_request_error"}}"#;

async fn serve(mut stream: TcpStream, permits: Arc<Semaphore>, asked: Arc<Semaphore>) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = http::request(&mut stream, &mut buffer).await {
        let body = String::from_utf8_lossy(&body).into_owned();
        asked.add_permits(1);
        permits.acquire().await.unwrap().forget();
        let (status, body) = match (head.contains("/embeddings"), body.contains("refuse")) {
            (true, _) => ("200 OK", EMBEDDING),
            (_, true) => ("400 Bad Request", REFUSAL),
            _ => ("200 OK", CHAT),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Vendor {
    async fn start(permits: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (permits, asked) = (
            Arc::new(Semaphore::new(permits)),
            Arc::new(Semaphore::new(0)),
        );
        let (to_serve, seen) = (Arc::clone(&permits), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&to_serve), Arc::clone(&seen)));
            }
        });
        Self {
            url,
            permits,
            asked,
        }
    }

    fn config(&self, ledger: &Path) -> Config {
        let provider = ProviderConfig {
            base_url: Some(self.url.clone()),
            api_key: Some(Secret::new("sk-test")),
            ..ProviderConfig::default()
        };
        Config {
            providers: BTreeMap::from([("openai".to_owned(), provider)]),
            tenant: Some("acme".into()),
            usage: UsageConfig {
                ledger: Some(ledger.to_owned()),
                ..UsageConfig::default()
            },
            ..Config::default()
        }
    }
}

fn question(text: &str) -> CompletionRequest {
    CompletionRequest {
        temperature: Some(0.0),
        user: Some("ann".into()),
        ..CompletionRequest::new("openai/gpt-4o-mini", text)
    }
}

fn vectors() -> EmbeddingRequest {
    EmbeddingRequest {
        model: "openai/text-embedding-3-small".into(),
        input: EmbeddingInput::Text("a".into()),
        ..EmbeddingRequest::default()
    }
}

fn tagged() -> CallOptions {
    CallOptions {
        tags: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        ..CallOptions::default()
    }
}

fn read(path: &Path) -> Vec<UsageRow> {
    let ledger = Ledger::open(path).unwrap();
    let rows = ledger.records(&UsageFilter::default(), 0, 100_000).unwrap();
    rows.into_iter().map(|(_, row)| row).collect()
}

async fn close(client: Client) {
    assert!(client.close(Duration::from_secs(20)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_of_fifty_callers_is_one_record_with_forty_nine_joined() {
    let (folder, vendor) = (TempDir::new().unwrap(), Vendor::start(0).await);
    let path = folder.path().join("usage.db");
    let client = Client::new(vendor.config(&path)).unwrap();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.complete_with(question("why?"), tagged()).await })
        })
        .collect();
    let all = async {
        while client.stats().waiters < 50 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .unwrap();
    vendor.permits.add_permits(1);
    let mut saved = 0;
    for call in calls {
        saved += call
            .await
            .unwrap()
            .unwrap()
            .cache
            .saved
            .map_or(0, |saved| saved.0);
    }
    // Another one finds it in the memory.
    let hit = client
        .complete_with(question("why?"), tagged())
        .await
        .unwrap();
    let stats = client.stats();
    close(client).await;
    let rows = read(&path);
    assert_eq!(rows.len(), 2, "{rows:?}");
    let (flight, found) = (&rows[0], &rows[1]);
    assert_eq!(
        (flight.calls, flight.joined, &*flight.cache),
        (50, 49, "miss")
    );
    assert_eq!(
        (&*flight.tenant, flight.user.as_deref(), &*flight.outcome),
        ("acme", Some("ann"), "ok")
    );
    assert_eq!(
        (&*flight.operation, &*flight.provider, &*flight.model),
        ("chat", "openai", "openai/gpt-4o-mini")
    );
    assert_eq!((flight.usage.input_tokens, flight.attempts), (1000, 1));
    assert_eq!(flight.tags, tagged().tags);
    assert!(flight.latency_us > 0 && flight.time > 0 && !flight.price_version.is_empty());
    let cost = flight.cost.unwrap();
    assert_eq!(flight.saved, Some(NanoUsd(saved)));
    assert_eq!(saved, cost.0 * 49);
    assert_eq!(
        (found.calls, found.joined, &*found.cache, found.cost),
        (1, 0, "hit", Some(NanoUsd::ZERO))
    );
    assert_eq!((found.saved, hit.cache.saved), (Some(cost), Some(cost)));
    assert_eq!(found.usage.input_tokens, 0);
    // The sums are what the client itself has counted.
    let ledger = Ledger::open(&path).unwrap();
    let sum = &ledger
        .sums(&UsageFilter::default(), &[GroupBy::Tenant])
        .unwrap()[0];
    assert_eq!(
        (sum.calls, sum.joined, sum.cache_hits),
        (stats.calls, stats.joined, 1)
    );
    assert_eq!((sum.cost, sum.saved), (stats.spent, stats.saved));
    let again = ledger
        .reprice(&UsageFilter::default(), PriceTable::embedded())
        .unwrap();
    assert_eq!(
        (again.same, again.different, again.other_version),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn what_failed_was_left_or_ran_out_of_time_is_recorded_as_that() {
    let (folder, vendor) = (TempDir::new().unwrap(), Vendor::start(2).await);
    let path = folder.path().join("usage.db");
    let client = Client::new(vendor.config(&path)).unwrap();
    client.complete(question("refuse me")).await.unwrap_err();
    client.embed(vectors()).await.unwrap();
    client.embed(vectors()).await.unwrap();
    // From here on the vendor keeps silent.
    let hasty = CallOptions {
        timeout_ms: Some(50),
        ..CallOptions::default()
    };
    client
        .complete_with(question("late"), hasty)
        .await
        .unwrap_err();
    vendor.asked.acquire_many(3).await.unwrap().forget();
    let left = tokio::spawn({
        let client = client.clone();
        async move { client.complete(question("left")).await }
    });
    vendor.asked.acquire().await.unwrap().forget();
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    close(client).await;
    let rows = read(&path);
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                &*row.operation,
                &*row.outcome,
                &*row.cache,
                row.usage.input_tokens,
                row.cost,
            )
        })
        .collect();
    let priced = rows[1].cost.unwrap();
    assert!(priced > NanoUsd::ZERO);
    assert_eq!(
        told,
        [
            ("chat", "invalid_request", "miss", 0, Some(NanoUsd::ZERO)),
            ("embeddings", "ok", "miss", 7, Some(priced)),
            ("embeddings", "ok", "hit", 0, Some(NanoUsd::ZERO)),
            // It was sent, and nobody knows what it costs.
            ("chat", "timeout", "miss", 0, None),
            ("chat", "cancelled", "miss", 0, None),
        ]
    );
    assert_eq!(rows[2].saved, Some(priced));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_cannot_be_written_fails_and_delays_no_call_and_what_is_lost_is_counted() {
    let (folder, vendor) = (TempDir::new().unwrap(), Vendor::start(1).await);
    let path = folder.path().join("usage.db");
    // Another program holds the file for as long as this lasts.
    Ledger::open(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let client = Client::new(vendor.config(&path)).unwrap();
    client.complete(question("one")).await.unwrap();
    for _ in 0..20_000 {
        client.complete(question("one")).await.unwrap();
    }
    let lost = client.stats().unrecorded;
    assert!((5_000..=10_001).contains(&lost), "{lost}");
    other.execute_batch("COMMIT").unwrap();
    close(client).await;
    let rows = read(&path);
    assert_eq!(rows.len() as u64 + lost, 20_001);
}

#[tokio::test]
async fn what_goes_over_an_orchestrator_is_not_recorded_here_and_what_goes_past_it_is() {
    let (folder, vendor) = (TempDir::new().unwrap(), Vendor::start(1).await);
    let path = folder.path().join("usage.db");
    // Nobody listens there.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    drop(silent);
    let mut config = vendor.config(&path);
    config.endpoint = Some(address);
    config.retry.base_ms = 1;
    let without = Client::new(config.clone()).unwrap();
    without.complete(question("one")).await.unwrap_err();
    close(without).await;
    assert!(!path.exists());
    config.fallback.direct = true;
    let past = Client::new(config).unwrap();
    past.complete(question("one")).await.unwrap();
    close(past).await;
    let rows = read(&path);
    assert_eq!((rows.len(), &*rows[0].outcome, rows[0].calls), (1, "ok", 1));
    assert!(rows[0].cost > Some(NanoUsd::ZERO));
}

#[tokio::test]
async fn records_are_written_when_the_last_handle_goes_without_being_closed() {
    let (folder, vendor) = (TempDir::new().unwrap(), Vendor::start(1).await);
    let path = folder.path().join("deep/er/usage.db");
    let client = Client::new(vendor.config(&path)).unwrap();
    client.complete(question("one")).await.unwrap();
    drop(client);
    assert_eq!(read(&path).len(), 1);
}

#[tokio::test]
async fn records_past_their_retention_go_and_without_a_ledger_there_is_no_file() {
    let (folder, vendor) = (TempDir::new().unwrap(), Vendor::start(2).await);
    let path = folder.path().join("usage.db");
    let old = UsageRow {
        time: 5,
        ..UsageRow::default()
    };
    Ledger::open(&path).unwrap().record(&[old]).unwrap();
    let client = Client::new(vendor.config(&path)).unwrap();
    client.complete(question("one")).await.unwrap();
    close(client).await;
    let rows = read(&path);
    assert_eq!((rows.len(), &*rows[0].tenant), (1, "acme"));
    let mut config = vendor.config(&folder.path().join("none.db"));
    config.usage = UsageConfig::default();
    let client = Client::new(config).unwrap();
    client.complete(question("two")).await.unwrap();
    assert_eq!(client.stats().unrecorded, 0);
    close(client).await;
    assert!(!folder.path().join("none.db").exists());
}
