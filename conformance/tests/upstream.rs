//! The scripted upstream does exactly what it is told, seen from a raw socket.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use conformance::upstream::Outcome;
use conformance::upstream_process::{Registered, Upstream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn script(upstream: &Upstream, script: Value) -> Registered {
    upstream
        .register(&script)
        .await
        .expect("the script is accepted")
}

fn address(at: &Registered) -> (String, String) {
    let rest = at.base_url.strip_prefix("http://").expect("http");
    let (host, prefix) = rest
        .split_once('/')
        .map_or((rest, String::new()), |(h, p)| (h, format!("/{p}")));
    (host.to_owned(), prefix)
}

async fn send(at: &Registered, path: &str, body: &str) -> TcpStream {
    let (host, prefix) = address(at);
    let mut stream = TcpStream::connect(&host).await.expect("connects");
    let request = format!(
        "POST {prefix}{path} HTTP/1.1\r\nHost: x\r\nX-Case: A\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("writes");
    stream
}

/// Reads until the connection ends, or nothing has come for a second.
async fn read_all(stream: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut out = Vec::new();
    let mut end = None;
    loop {
        match tokio::time::timeout(Duration::from_secs(1), stream.read_buf(&mut out)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                end = Some(error.kind());
                break;
            }
            Err(_) => {
                end = Some(ErrorKind::TimedOut);
                break;
            }
        }
    }
    (String::from_utf8_lossy(&out).into_owned(), end)
}

async fn exchange(at: &Registered, body: &str) -> (String, Option<ErrorKind>) {
    let mut stream = send(at, "/v1/x", body).await;
    read_all(&mut stream).await
}

const BARE: &str = r#"[["date",null],["content-type",null],["connection","close"]]"#;

fn bare() -> Value {
    serde_json::from_str(BARE).expect("json")
}

#[tokio::test]
async fn the_binary_prints_its_control_address_and_ends_with_standard_input() {
    let binary = Path::new(env!("CARGO_BIN_EXE_scripted-upstream"));
    let upstream = Upstream::spawn(binary).await.expect("starts");
    let at = script(
        &upstream,
        json!({"responses": [{"headers": bare(), "body": "hi"}]}),
    )
    .await;
    assert!(exchange(&at, "{}").await.0.ends_with("\r\n\r\nhi"));

    let mut child = tokio::process::Command::new(binary)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    drop(child.stdin.take());
    let status = tokio::time::timeout(Duration::from_secs(5), child.wait())
        .await
        .expect("it ends")
        .expect("status");
    assert!(status.success());
}

#[tokio::test]
async fn bytes_leave_exactly_as_scripted() {
    let upstream = Upstream::here().await.expect("starts");
    let at = script(
        &upstream,
        json!({"responses": [
            {"status": 503, "headers": bare(), "body": "busy"},
            {"raw_head": "HTTP/1.1 200\r\nBad Header\r\n\r\n", "body": "raw"},
            {"headers": bare(), "body": {"sse": ["a", {"id": "7", "data": {"x": 1}}]}},
        ]}),
    )
    .await;
    let first =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy";
    assert_eq!(exchange(&at, "").await, (first.into(), None));
    assert_eq!(
        exchange(&at, "").await,
        ("HTTP/1.1 200\r\nBad Header\r\n\r\nraw".into(), None)
    );
    let third = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                 9\r\ndata: a\n\n\r\n15\r\nid: 7\ndata: {\"x\":1}\n\n\r\n0\r\n\r\n";
    assert_eq!(exchange(&at, "").await, (third.into(), None));
    let (left, _) = exchange(&at, "").await;
    assert!(
        left.starts_with("HTTP/1.1 500") && left.contains("no response left for request 4"),
        "{left}"
    );
}

#[tokio::test]
async fn the_log_keeps_order_headers_body_and_connection() {
    let upstream = Upstream::here().await.expect("starts");
    let at = script(&upstream, json!({"default": {"body": "ok"}})).await;
    let mut stream = send(&at, "/v1/a?q=1", r#"{"n":1}"#).await;
    let mut buffer = [0; 1024];
    assert!(stream.read(&mut buffer).await.expect("reads") > 0);
    let (_, prefix) = address(&at);
    let second = format!("GET {prefix}/v1/b HTTP/1.1\r\n\r\n");
    stream
        .write_all(second.as_bytes())
        .await
        .expect("the connection is kept");
    assert!(upstream.wait_requests(&at.id, 2, 2000).await.expect("log"));
    let log = upstream.settled_log(&at.id, 2000).await.expect("log");
    let [a, b] = log.requests.as_slice() else {
        panic!("two requests")
    };
    assert_eq!(
        (a.path.as_str(), a.query.as_str(), &a.body),
        ("/v1/a", "q=1", &json!({"n": 1}))
    );
    assert_eq!(a.headers[1], ("x-case".to_owned(), "A".to_owned()));
    assert_eq!((b.method.as_str(), b.connection), ("GET", a.connection));
    assert_eq!(log.connections.len(), 1);
    assert!(b.at_ms >= a.at_ms);
}

#[tokio::test]
async fn a_reset_is_seen_as_a_reset_and_a_close_as_an_end() {
    let upstream = Upstream::here().await.expect("starts");
    let at = script(&upstream, json!({"responses": [
        {"reset_after": {"head": 0}, "body": "never"},
        {"headers": bare(), "body": "0123456789", "reset_after": 4, "pauses": [{"after": 4, "ms": 20}]},
        {"headers": bare(), "body": "0123456789", "close_after": 4},
    ]})).await;
    assert_eq!(
        exchange(&at, "").await,
        (String::new(), Some(ErrorKind::ConnectionReset))
    );
    let (text, end) = exchange(&at, "").await;
    assert!(text.ends_with("\r\n\r\n0123"), "{text}");
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
    let (text, end) = exchange(&at, "").await;
    assert!(
        text.contains("content-length: 10") && text.ends_with("\r\n\r\n0123"),
        "{text}"
    );
    assert_eq!(end, None);
}

#[tokio::test]
async fn a_stall_holds_the_connection_and_the_clients_leaving_is_timed() {
    let upstream = Upstream::here().await.expect("starts");
    let at = script(
        &upstream,
        json!({"responses": [{"body": "0123456789", "stall_after": 4}], "time_scale": 10}),
    )
    .await;
    let mut stream = send(&at, "/", "").await;
    let (text, end) = read_all(&mut stream).await;
    assert!(text.ends_with("0123"));
    assert_eq!(end, Some(ErrorKind::TimedOut));
    assert!(
        upstream.log(&at.id).await.expect("log").requests[0]
            .outcome
            .is_none()
    );
    drop(stream);
    let log = upstream.settled_log(&at.id, 2000).await.expect("log");
    assert_eq!(log.requests[0].outcome, Some(Outcome::ClientClosed));
    let gone = log.requests[0].client_gone_ms.expect("timed");
    assert!(
        (10_000.0..20_000.0).contains(&gone),
        "one real second is ten of the case, got {gone}"
    );
}

#[tokio::test]
async fn delays_are_divided_by_the_time_scale() {
    let upstream = Upstream::here().await.expect("starts");
    let at = script(&upstream, json!({
        "responses": [{"headers": bare(), "body": "abc", "chunks": "bytes", "delay_ms": 1000, "chunk_delay_ms": 1000}],
        "time_scale": 20,
    })).await;
    let start = Instant::now();
    assert!(exchange(&at, "").await.0.ends_with("abc"));
    assert!(
        (150..900).contains(&start.elapsed().as_millis()),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn heads_drip_byte_by_byte_and_headers_flood() {
    let upstream = Upstream::here().await.expect("starts");
    let at = script(
        &upstream,
        json!({"responses": [
            {"headers": bare(), "head_byte_delay_ms": 1, "body": "x"},
            {"headers": bare(), "header_flood": {"count": 100, "bytes": 1000}},
        ]}),
    )
    .await;
    let start = Instant::now();
    let (text, _) = exchange(&at, "").await;
    assert!(
        text.ends_with("\r\n\r\nx")
            && start.elapsed() >= Duration::from_millis(text.len() as u64 - 2)
    );
    assert!(exchange(&at, "").await.0.len() > 100_000);
}

#[tokio::test]
async fn gzip_bodies_unpack_to_what_was_scripted() {
    let upstream = Upstream::here().await.expect("starts");
    let at = script(&upstream, json!({"responses": [
        {"headers": bare(), "encoding": "gzip", "body": {"repeat": {"text": "0", "count": 1_000_000}}},
    ]})).await;
    let mut stream = send(&at, "/", "").await;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("reads");
    let split = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head")
        + 4;
    assert!(bytes.len() < 5_000);
    let mut unpacked = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&bytes[split..]);
    std::io::Read::read_to_end(&mut decoder, &mut unpacked).expect("gzip");
    assert_eq!(unpacked.len(), 1_000_000);
}

#[tokio::test]
async fn responses_are_picked_by_matcher_and_used_as_often_as_said() {
    let upstream = Upstream::here().await.expect("starts");
    let at = script(
        &upstream,
        json!({"responses": [
            {"headers": bare(), "when": {"body": {"model": "b"}}, "times": 2, "body": "for b"},
            {"headers": bare(), "body": "any"},
        ]}),
    )
    .await;
    let mut got = Vec::new();
    for body in [
        r#"{"model":"b","x":1}"#,
        r#"{"model":"a"}"#,
        r#"{"model":"b"}"#,
        r#"{"model":"b"}"#,
    ] {
        got.push(
            exchange(&at, body)
                .await
                .0
                .rsplit("\r\n")
                .next()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    assert_eq!(got[..3], ["for b", "any", "for b"]);
    assert!(got[3].contains("script_error"));
}

#[tokio::test]
async fn ports_refuse_close_reset_hang_and_never_accept() {
    let upstream = Upstream::here().await.expect("starts");
    let connect = async |how: &str| {
        let at = script(&upstream, json!({"listen": how})).await;
        let host = address(&at).0;
        let connected =
            tokio::time::timeout(Duration::from_millis(400), TcpStream::connect(host)).await;
        (at, connected)
    };
    let (_, refused) = connect("refuse").await;
    assert_eq!(
        refused.expect("at once").map_err(|e| e.kind()).map(|_| ()),
        Err(ErrorKind::ConnectionRefused)
    );
    let (at, closed) = connect("accept_close").await;
    assert_eq!(
        read_all(&mut closed.expect("at once").expect("connects")).await,
        (String::new(), None)
    );
    assert_eq!(
        upstream.log(&at.id).await.expect("log").connections.len(),
        1
    );
    let (_, reset) = connect("accept_reset").await;
    if let Ok(mut stream) = reset.expect("at once") {
        assert_eq!(
            read_all(&mut stream).await.1,
            Some(ErrorKind::ConnectionReset)
        );
    }
    let (_, hanging) = connect("accept_hang").await;
    let mut stream = hanging.expect("at once").expect("connects");
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("writes");
    assert_eq!(
        read_all(&mut stream).await,
        (String::new(), Some(ErrorKind::TimedOut))
    );
    if cfg!(target_os = "linux") {
        assert!(
            connect("no_accept").await.1.is_err(),
            "a full backlog leaves a connect attempt hanging"
        );
    }
}

#[tokio::test]
async fn bad_scripts_are_refused_with_the_place() {
    let upstream = Upstream::here().await.expect("starts");
    for (script, part) in [
        (json!({"responses": [{"statsu": 200}]}), "statsu"),
        (
            json!({"responses": [{"body": {"openai_chat": {"txt": "x"}}}]}),
            "txt",
        ),
        (
            json!({"responses": [{"body": "x", "stall_after": 9}]}),
            "beyond",
        ),
        (
            json!({"responses": [{"when": {"body": {"$regexp": "x"}}}]}),
            "$regexp",
        ),
        (json!({"listen": "tls"}), "tls"),
        (json!({"time_scale": 0}), "time_scale"),
    ] {
        let error = upstream.register(&script).await.expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn vendor_bodies_have_the_vendors_shape() {
    let upstream = Upstream::here().await.expect("starts");
    let calls =
        json!([{"id": "c1", "name": "f", "arguments": "{\"a\":1}", "pieces": ["{\"a\"", ":1}"]}]);
    let at = script(&upstream, json!({"responses": [
        {"headers": bare(), "body": {"openai_chat": {"text": "Hi", "usage": {"input": 3, "cache_read": 2}}}},
        {"headers": bare(), "body": {"openai_chat_stream": {"deltas": ["H", "i"], "tool_calls": calls}}},
        {"headers": bare(), "body": {"openai_responses_stream": {"deltas": ["H", "i"]}}},
        {"headers": bare(), "body": {"anthropic": {"text": "Hi", "tool_calls": calls}}},
        {"headers": bare(), "body": {"anthropic_stream": {"deltas": ["H", "i"], "tool_calls": calls}}},
        {"headers": bare(), "body": {"openai_embeddings": {"auto": 3}}},
    ]})).await;
    let body = |text: &str| text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
    let json_of = |text: &str| serde_json::from_str::<Value>(&body(text)).expect("JSON");
    let chat = json_of(&exchange(&at, "").await.0);
    assert_eq!(chat["choices"][0]["message"]["content"], "Hi");
    assert_eq!(chat["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
    let stream = exchange(&at, "").await.0;
    for part in [
        r#""content":"H""#,
        r#""finish_reason":"tool_calls""#,
        r#""choices":[]"#,
        "data: [DONE]",
    ] {
        assert!(stream.contains(part), "{part}");
    }
    let responses = exchange(&at, "").await.0;
    for part in [
        "event: response.created\n",
        "event: response.output_text.delta\n",
        "event: response.completed\n",
        r#""sequence_number":8"#,
    ] {
        assert!(responses.contains(part), "{part}: {responses}");
    }
    let anthropic = json_of(&exchange(&at, "").await.0);
    assert_eq!(anthropic["content"][1]["input"], json!({"a": 1}));
    assert_eq!(anthropic["stop_reason"], "tool_use");
    let events = exchange(&at, "").await.0;
    for part in [
        "event: message_start\n",
        r#""partial_json":":1}""#,
        r#""output_tokens":7"#,
        "event: message_stop\n",
    ] {
        assert!(events.contains(part), "{part}");
    }
    let embeddings = json_of(
        &exchange(
            &at,
            r#"{"input":["item 12","b"],"encoding_format":"float"}"#,
        )
        .await
        .0,
    );
    assert_eq!(embeddings["data"][0]["embedding"], json!([7.0, 12.0, 0.5]));
    assert_eq!(embeddings["usage"]["prompt_tokens"], 2);
}
