//! Bounds: over each there is an answer, never growth.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Test, question};
use crate::upstream::{Act, Seen, Upstream};

#[tokio::test]
async fn requests_over_the_bound_are_refused_at_once_and_may_be_tried_again() {
    let mut upstream = Upstream::start().await;
    let (tell, told) = tokio::sync::oneshot::channel();
    upstream.then(Act::Wait(told));
    let test = Test::with(Some(&upstream), |config| {
        config.limits.concurrent_requests = 1
    })
    .await;
    let call = test
        .http
        .post(test.url("/v1/chat/completions"))
        .body(question("openai/gpt-4o-mini").to_string());
    let first = tokio::spawn(call.send());
    upstream.request().await;
    let refused = test.chat(&question("local/extract")).await;
    assert_eq!(
        (refused.status, refused.header("x-should-retry")),
        (503, "true")
    );
    assert_eq!(refused.error()["code"], "overloaded");
    assert_eq!(test.get("/livez").await.status, 200);
    tell.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(test.chat(&question("local/extract")).await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_whether_it_says_its_length_or_not() {
    let test = Test::with(None, |config| config.limits.body_bytes = 1000).await;
    let mut body = question("local/extract");
    assert_eq!(test.chat(&body).await.status, 200);
    body["user"] = "x".repeat(2000).into();
    let answer = test.chat(&body).await;
    assert_eq!(
        (answer.status, answer.header("x-should-retry")),
        (413, "false")
    );
    assert_eq!(answer.error()["code"], "request_too_large");
    let mut socket = TcpStream::connect(test.server.address()).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    socket
        .write_all(format!("{head}fff\r\n{}\r\n", "x".repeat(0xfff)).as_bytes())
        .await
        .unwrap();
    let mut start = [0; 12];
    socket.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_refused() {
    let test = Test::with(None, |config| config.limits.body_seconds = 1).await;
    let mut socket = TcpStream::connect(test.server.address()).await.unwrap();
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    tokio::time::timeout(Duration::from_secs(5), socket.read_exact(&mut start))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&start, b"HTTP/1.1 400");
}

#[tokio::test]
async fn a_head_that_stops_coming_or_never_begins_closes_the_connection() {
    let test = Test::with(None, |config| config.limits.header_seconds = 1).await;
    for head in ["", "PRI * HT", "GET /livez HTTP/1.1\r\nhost: loc"] {
        let mut socket = TcpStream::connect(test.server.address()).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{head:?} is still open");
        assert!(!String::from_utf8_lossy(&rest).contains("200"), "{head:?}");
    }
}

#[tokio::test]
async fn a_head_over_the_bound_is_refused() {
    let test = Test::with(None, |config| config.limits.header_bytes = 8 << 10).await;
    let answer = test
        .send(
            test.http
                .get(test.url("/livez"))
                .header("x-long", "x".repeat(16 << 10)),
        )
        .await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn json_deeper_than_128_is_refused() {
    let test = Test::start(None).await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [129, 100_000] {
        let answer = test
            .send(
                test.http
                    .post(test.url("/v1/chat/completions"))
                    .body(deep(depth)),
            )
            .await;
        assert_eq!(
            (answer.status, &answer.error()["param"]),
            (400, &json!("body"))
        );
        assert!(answer.text.contains("recursion"), "{}", answer.text);
    }
}

#[tokio::test]
async fn more_messages_than_the_bound_are_refused() {
    let test = Test::with(None, |config| config.limits.messages = 3).await;
    let with = |n: usize| json!({"model": "local/extract", "messages": vec![json!({"role": "user", "content": "x?"}); n]});
    assert_eq!(test.chat(&with(3)).await.status, 200);
    let answer = test.chat(&with(4)).await;
    assert_eq!(
        (answer.status, &answer.error()["param"]),
        (400, &json!("messages"))
    );
}

#[tokio::test]
async fn a_compressed_body_is_refused_not_unpacked() {
    let test = Test::start(None).await;
    let request = test
        .http
        .post(test.url("/v1/chat/completions"))
        .header("content-encoding", "gzip")
        .body("x");
    let answer = test.send(request).await;
    assert_eq!(
        (answer.status, &answer.error()["param"]),
        (400, &json!("content-encoding"))
    );
}

#[tokio::test]
async fn clients_of_more_tenants_than_the_bound_make_room_for_each_other() {
    let test = Test::with(None, |config| {
        config.limits.tenants = 1;
        config.auth = Some(ossai_orchestrator::Auth::Keys);
    })
    .await;
    let store = test.server.store();
    let keys = [
        store.create_key("a", "").unwrap().key,
        store.create_key("b", "").unwrap().key,
    ];
    let ask = async |key: &str| {
        let request = test
            .http
            .post(test.url("/v1/chat/completions"))
            .bearer_auth(key);
        test.send(request.body(question("local/extract").to_string()))
            .await
    };
    let known = async {
        while ask(&keys[1]).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), known)
        .await
        .unwrap();
    for key in [&keys[0], &keys[1], &keys[0]] {
        assert_eq!(ask(key).await.header("x-ossai-cache"), "miss");
    }
    assert_eq!(ask(&keys[0]).await.header("x-ossai-cache"), "hit");
}

#[tokio::test]
async fn a_silent_stream_shows_signs_of_life_even_before_its_first_event() {
    let mut upstream = Upstream::start().await;
    upstream.then(Act::Hang);
    let test = Test::with(Some(&upstream), |config| {
        config.limits.heartbeat_seconds = 1
    })
    .await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let mut response = test
        .http
        .post(test.url("/v1/chat/completions"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    for _ in 0..2 {
        assert_eq!(response.chunk().await.unwrap().unwrap(), ": ping\n\n");
    }
    upstream.request().await;
    drop(response);
    assert!(matches!(upstream.seen.recv().await, Some(Seen::Gone)));
}
