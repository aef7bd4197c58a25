//! What answers without bound cost in memory: the limit that stands over them, and a constant (fault matrix, "giant").
//!
//! Each answer is read in a process of its own, so that its peak is the peak of this one thing; the kernel counts it
//! (`VmHWM`, set back by `clear_refs`: proc(5)). The upstream is in the process that asks.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use conformance::upstream_process::Upstream;
use ossai::client::CompletionStream;
use ossai::{Client, CompletionRequest, Config, StreamEvent};
use serde_json::json;

const MIB: u64 = 1 << 20;
/// Sent as a body, as one line, or as comments.
const GIANT: u64 = 100 * MIB;
/// What a call takes beside its answer: buffers of a connection, a runtime, pages the allocator keeps.
const CONSTANT: u64 = 12 * MIB;

/// The process's largest resident size since it was set back.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// Answers a request on each connection with a head, `size` bytes of `filling` between `before` and `after`, and the end.
fn giant(
    size: u64,
    kind: &'static str,
    before: &'static str,
    filling: &'static str,
    after: &'static str,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                // A client that has seen enough closes the connection.
                let _ = answer(size, stream, kind, before, filling, after);
            });
        }
    });
    url
}

fn answer(
    size: u64,
    mut stream: TcpStream,
    kind: &str,
    before: &str,
    filling: &str,
    after: &str,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0; 4096];
    while !head.ends_with(b"}") {
        let read = stream.read(&mut byte)?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&byte[..read]);
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{before}"
    )?;
    let piece = filling.repeat(65_536 / filling.len());
    let mut left = size;
    while left > 0 {
        stream.write_all(piece.as_bytes())?;
        left = left.saturating_sub(piece.len() as u64);
    }
    stream.write_all(after.as_bytes())
}

/// Reads the answer at `url` in a process of its own. Gives how far its memory grew, and the length of the text or the
/// error's kind.
fn read_elsewhere(test: &str, url: &str, limits: serde_json::Value) -> (u64, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("OSSAI_TEST_READ", url)
        .env("OSSAI_TEST_LIMITS", limits.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find_map(|line| line.split_once("came to "));
    let (grown, came) = line.expect(&said).1.split_once(' ').unwrap();
    println!(
        "{test}: grew by {} MiB, {came}",
        grown.parse::<u64>().unwrap() / MIB
    );
    (grown.parse().unwrap(), came.to_owned())
}

/// In the process of its own: makes the call and tells. Gives whether this is one.
fn read_here(stream: bool) -> bool {
    let Ok(url) = std::env::var("OSSAI_TEST_READ") else {
        return false;
    };
    let limits: serde_json::Value =
        serde_json::from_str(&std::env::var("OSSAI_TEST_LIMITS").unwrap()).unwrap();
    let config = json!({
        "providers": {"p": {"kind": "openai", "api": "openai_chat", "base_url": url, "auth": "none"}},
        "limits": limits, "cache": {"enabled": false}, "retry": {"max_attempts": 1},
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::new(Config::from_json(&config.to_string()).unwrap()).unwrap();
        let request = CompletionRequest::new("p/m", "hi");
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak();
        let came = if stream {
            match client.stream(request).await {
                Ok(events) => text_of(events).await,
                Err(error) => error.kind().name().to_owned(),
            }
        } else {
            match client.complete(request).await {
                Ok(answer) => answer.into_answer().text.len().to_string(),
                Err(error) => error.kind().name().to_owned(),
            }
        };
        println!("came to {} {came}", peak().saturating_sub(before));
    });
    true
}

/// The length of a stream's text, or how it failed.
async fn text_of(mut events: CompletionStream) -> String {
    let mut length = 0;
    while let Some(event) = events.next().await {
        match event {
            Ok(StreamEvent::TextDelta { text, .. }) => length += text.len(),
            Ok(_) => {}
            Err(error) => return error.kind().name().to_owned(),
        }
    }
    length.to_string()
}

// With usage, so that no tokens are counted here, for which tables are read.
const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const OPENED: &str = r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":""#;
const CLOSED: &str = r#""}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
const CHUNK: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":""#;
const CHUNK_END: &str = concat!(
    "\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}\n\n",
    "data: [DONE]\n\n"
);
const WHOLE: &str = concat!(
    "\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],",
    "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}\n\n",
    "data: [DONE]\n\n"
);

// proves: 3.giant 2.14.sizes
#[test]
fn a_body_over_the_limit_costs_no_more_than_the_limit_and_a_constant() {
    if read_here(false) {
        return;
    }
    let url = giant(GIANT, JSON, OPENED, "x", CLOSED);
    let (grown, came) = read_elsewhere(
        "a_body_over_the_limit_costs_no_more_than_the_limit_and_a_constant",
        &url,
        json!({"max_response_bytes": 16 * MIB}),
    );
    assert_eq!(came, "response_too_large");
    assert!(grown <= 16 * MIB + CONSTANT, "{grown}");
}

// proves: 3.giant
#[test]
fn a_body_below_the_limit_is_delivered_in_a_few_copies_of_it() {
    if read_here(false) {
        return;
    }
    let url = giant(GIANT, JSON, OPENED, "x", CLOSED);
    let (grown, came) = read_elsewhere(
        "a_body_below_the_limit_is_delivered_in_a_few_copies_of_it",
        &url,
        json!({}),
    );
    assert_eq!(came, GIANT.to_string());
    assert!(grown <= 4 * GIANT + CONSTANT, "{grown}");
}

// proves: 3.giant
#[test]
fn a_line_over_the_limit_costs_no_more_than_the_limit_and_a_constant() {
    if read_here(true) {
        return;
    }
    let url = giant(GIANT, SSE, CHUNK, "x", CHUNK_END);
    let (grown, came) = read_elsewhere(
        "a_line_over_the_limit_costs_no_more_than_the_limit_and_a_constant",
        &url,
        json!({"max_event_bytes": 16 * MIB}),
    );
    assert_eq!(came, "response_too_large");
    assert!(grown <= 3 * 16 * MIB + CONSTANT, "{grown}");
}

// proves: 3.giant
#[test]
fn comments_without_end_cost_a_constant() {
    if read_here(true) {
        return;
    }
    let grown = [GIANT / 10, GIANT].map(|size| {
        let url = giant(size, SSE, "", ": no event, and no end of it\n\n..", WHOLE);
        let (grown, came) = read_elsewhere("comments_without_end_cost_a_constant", &url, json!({}));
        assert_eq!(came, "2");
        grown
    });
    let [few, many] = grown;
    assert!(many <= few + 4 * MIB, "{grown:?}");
    // What a whole stream takes, however much is passed over in it.
    assert!(many <= 20 * MIB + CONSTANT, "{grown:?}");
}

// proves: 3.bombs
#[test]
fn a_packed_bomb_costs_no_more_than_the_limit_and_a_constant() {
    if read_here(false) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let upstream = runtime.block_on(Upstream::here()).unwrap();
    let body =
        json!({"repeat": {"prefix": OPENED, "text": "x", "count": 60 * MIB, "suffix": CLOSED}});
    for (encoding, kind) in [
        (json!("gzip"), "response_too_large"),
        (json!(["gzip", "gzip"]), ""),
    ] {
        let script = json!({"default": {"body": body, "encoding": encoding}});
        let started = runtime.block_on(upstream.register(&script)).unwrap();
        let (grown, came) = read_elsewhere(
            "a_packed_bomb_costs_no_more_than_the_limit_and_a_constant",
            &format!("{}/v1", started.base_url),
            json!({"max_response_bytes": 16 * MIB}),
        );
        assert!(kind.is_empty() || came == kind, "{came}");
        assert!(came.parse::<u64>().is_err(), "{came}");
        assert!(grown <= 16 * MIB + CONSTANT, "{encoding}: {grown}");
    }
}
