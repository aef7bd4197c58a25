//! Prints what gathering saves: calls, requests and waits of embeddings, with it and without, against an upstream on this
//! machine that takes 50 ms for a request. Figures are counts and times of that upstream, so a debug build will do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ossai::{Client, Config, EmbeddingInput, EmbeddingRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TAKES: Duration = Duration::from_millis(50);
const CALLS: usize = 40;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap_or_else(|e| panic!("{e}"));
    runtime.block_on(async {
        let requests = Arc::new(AtomicU64::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|e| panic!("{e}"));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("{e}"));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&counter)));
            }
        });
        println!("callers  gather    calls  requests   saved   p50 ms   p95 ms");
        for callers in [1, 4, 16, 64] {
            for gather in [false, true] {
                requests.store(0, Relaxed);
                let mut times = run(&address.to_string(), callers, gather).await;
                times.sort_unstable();
                let (calls, sent) = (times.len(), requests.load(Relaxed));
                let at = |share: usize| {
                    times
                        .get(calls * share / 100)
                        .map_or(0.0, |t| t.as_secs_f64() * 1e3)
                };
                println!(
                    "{callers:>7}  {gather:<6}  {calls:>7}  {sent:>8}  {:>5.1}%  {:>7.1}  {:>7.1}",
                    100.0 * (1.0 - sent as f64 / calls as f64),
                    at(50),
                    at(95),
                );
            }
        }
    });
}

/// So many callers, each of which asks for one text after the other, none of them asked for before.
async fn run(address: &str, callers: usize, gather: bool) -> Vec<Duration> {
    let config = format!(
        r#"{{"providers": {{"openai": {{"base_url": "http://{address}/v1", "api_key": "k"}}}}, "gather": {{"enabled": {gather}}}}}"#
    );
    let config = Config::from_json(&config).unwrap_or_else(|e| panic!("{e}"));
    let client = Client::new(config).unwrap_or_else(|e| panic!("{e}"));
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let client = client.clone();
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(CALLS);
            for call in 0..CALLS {
                let request = EmbeddingRequest {
                    model: "openai/text-embedding-3-small".into(),
                    input: EmbeddingInput::Text(format!("caller {caller}, call {call}")),
                    ..EmbeddingRequest::default()
                };
                let start = Instant::now();
                let answer = client.embed(request).await;
                assert!(answer.is_ok_and(|answer| answer.embeddings.len() == 1));
                times.push(start.elapsed());
            }
            times
        });
    }
    tasks.join_all().await.concat()
}

/// Answers every request on a connection with as many vectors as it has inputs.
async fn serve(mut stream: TcpStream, requests: Arc<AtomicU64>) {
    let mut held = Vec::new();
    loop {
        let (head, length) = loop {
            if let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&held[..end]).to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"))
                    .and_then(|length| length.trim().parse::<usize>().ok());
                break (end + 4, length.unwrap_or(0));
            }
            if stream.read_buf(&mut held).await.unwrap_or(0) == 0 {
                return;
            }
        };
        while held.len() < head + length {
            if stream.read_buf(&mut held).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body: serde_json::Value =
            serde_json::from_slice(&held[head..head + length]).unwrap_or_default();
        held.drain(..head + length);
        let inputs = body["input"].as_array().map_or(1, Vec::len);
        requests.fetch_add(1, Relaxed);
        tokio::time::sleep(TAKES).await;
        let data: Vec<_> = (0..inputs)
            .map(|index| serde_json::json!({"index": index, "embedding": [0.5, 0.25]}))
            .collect();
        let answer =
            serde_json::json!({"data": data, "model": "m", "usage": {"prompt_tokens": inputs}})
                .to_string();
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if stream.write_all(whole.as_bytes()).await.is_err() {
            return;
        }
    }
}
