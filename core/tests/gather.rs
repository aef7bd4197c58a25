//! What gathered embeddings promise when everything happens at once: each caller its own vectors, each request's money
//! divided among its callers to the nanodollar, and each call recorded once, whoever leaves when.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used)]

mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ossai::client::config::{Gather, ProviderConfig, UsageConfig};
use ossai::ledger::{Ledger, UsageFilter};
use ossai::{CallOptions, Client, Config, EmbeddingInput, EmbeddingRequest, Secret};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// Nanodollars per token of the model that is asked.
const PRICE: u64 = 20;

/// The inputs of the requests a vendor answered.
type Answered = Arc<Mutex<Vec<Vec<String>>>>;

/// How a vendor bills a text: otherwise than its public encoding counts it.
fn billed(text: &str) -> u64 {
    text.len() as u64 * 7 + 1
}

/// The number at a text's end.
fn number(text: &str) -> f32 {
    let digits = text.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}

async fn serve(mut stream: TcpStream, answered: Answered) {
    let mut buffer = Vec::new();
    while let Some((_, body)) = http::request(&mut stream, &mut buffer).await {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let texts: Vec<String> = match &body["input"] {
            Value::String(text) => vec![text.clone()],
            list => serde_json::from_value(list.clone()).unwrap(),
        };
        for _ in 0..200 {
            tokio::task::yield_now().await; // meanwhile others come
        }
        let tokens: u64 = texts.iter().map(|text| billed(text)).sum();
        let data: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| json!({"index": index, "embedding": [number(text), 0.5]}))
            .collect();
        let answer =
            json!({"data": data, "model": "m", "usage": {"prompt_tokens": tokens}}).to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        answered.lock().unwrap().push(texts);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn vendor() -> (String, Answered) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let answered = Answered::default();
    let log = Arc::clone(&answered);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&log)));
        }
    });
    (url, answered)
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_answered_divided_and_recorded_exactly_whoever_leaves_when() {
    const CALLERS: usize = 150;
    let (mut requests, mut left, mut shared) = (0, 0, 0);
    for seed in 0..6_u64 {
        let (url, answered) = vendor().await;
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("usage.db");
        let provider = ProviderConfig {
            base_url: Some(url),
            api_key: Some(Secret::new("sk-test")),
            ..ProviderConfig::default()
        };
        let client = Client::new(Config {
            providers: BTreeMap::from([("openai".to_owned(), provider)]),
            gather: Gather {
                enabled: true,
                max_inputs: Some(20),
                ..Gather::default()
            },
            usage: UsageConfig {
                ledger: Some(file.clone()),
                ..UsageConfig::default()
            },
            ..Config::default()
        })
        .unwrap();
        let mut numbers = Numbers(seed);
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let client = client.clone();
            let texts: Vec<String> = (0..=numbers.below(3))
                .map(|i| format!("c{caller} n{}", numbers.below(1_000) * 4 + i))
                .collect();
            let late = numbers.below(300);
            let patience = (numbers.below(4) == 0).then(|| numbers.below(600));
            tasks.spawn(async move {
                for _ in 0..late {
                    tokio::task::yield_now().await;
                }
                let request = EmbeddingRequest {
                    model: "openai/text-embedding-3-small".into(),
                    input: EmbeddingInput::Texts(texts.clone()),
                    ..EmbeddingRequest::default()
                };
                let options = CallOptions {
                    tags: BTreeMap::from([("caller".to_owned(), caller.to_string())]),
                    priority: Some(i32::try_from(caller % 5).unwrap()),
                    ..CallOptions::default()
                };
                let leaving = async {
                    match patience {
                        None => std::future::pending().await,
                        Some(turns) => {
                            for _ in 0..turns {
                                tokio::task::yield_now().await;
                            }
                        }
                    }
                };
                let answer = tokio::select! {
                    answer = client.embed_with(request, options) => answer.unwrap(),
                    () = leaving => return None,
                };
                let found: Vec<f32> = answer.embeddings.iter().map(|e| e.vector[0]).collect();
                let asked: Vec<f32> = texts.iter().map(|text| number(text)).collect();
                assert_eq!(found, asked, "seed {seed}, caller {caller}");
                Some((caller, answer.cost.total.unwrap().0))
            });
        }
        let told: BTreeMap<usize, u64> = tasks.join_all().await.into_iter().flatten().collect();
        assert!(client.close(Duration::from_secs(20)).await);
        drop(client);

        let ledger = Ledger::open(&file).unwrap();
        let rows = ledger.records(&UsageFilter::default(), 0, 1_000).unwrap();
        let mut recorded = BTreeMap::new();
        for (_, row) in rows {
            let caller: usize = row.tags["caller"].parse().unwrap();
            let before = recorded.insert(caller, (row.outcome, row.cost.map(|cost| cost.0)));
            assert_eq!(
                before, None,
                "seed {seed}: caller {caller} is recorded twice"
            );
        }
        for (caller, cost) in &told {
            assert_eq!(
                recorded[caller],
                ("ok".to_owned(), Some(*cost)),
                "seed {seed}"
            );
        }
        let answered = answered.lock().unwrap();
        let mut seen = BTreeSet::new();
        for texts in &*answered {
            let callers: BTreeSet<usize> = texts
                .iter()
                .map(|text| text[1..].split_once(' ').unwrap().0.parse().unwrap())
                .collect();
            for caller in &callers {
                assert!(seen.insert(*caller), "seed {seed}: {caller} was sent twice");
            }
            assert!(texts.len() <= 20, "seed {seed}");
            requests += 1;
            shared += usize::from(callers.len() > 1);
            // Where nobody waited for the answer any more nobody knows what it cost.
            if callers.iter().any(|caller| told.contains_key(caller)) {
                let tokens: u64 = texts.iter().map(|text| billed(text)).sum();
                let parts = callers.iter().map(|caller| recorded[caller].1.unwrap());
                assert_eq!(
                    parts.sum::<u64>(),
                    tokens * PRICE,
                    "seed {seed}: {callers:?}"
                );
                left += callers.len() - callers.iter().filter(|c| told.contains_key(c)).count();
            }
        }
        let sent = told.keys().filter(|caller| !seen.contains(caller)).count();
        assert_eq!(sent, 0, "seed {seed}: an answer without a request");
    }
    // It was a storm.
    assert!(
        shared > 20 && requests * 2 < 6 * CALLERS,
        "{shared} of {requests}"
    );
    assert!(left > 0, "nobody left a request that went on");
}
