//! One answer per idempotency key, over HTTP and gRPC.

use ossai::{CompletionRequest, EmbeddingInput, EmbeddingRequest};
use ossai_orchestrator::{Allowance, Auth};
use ossai_proto::v1 as pb;
use pb::completion_service_client::CompletionServiceClient;
use pb::embedding_service_client::EmbeddingServiceClient;
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Answer, Test, question};
use crate::upstream::{Act, Upstream, chunk, failure, good_stream};

/// A request no cache keeps.
fn warm() -> Value {
    let mut body = question("openai/gpt-4o-mini");
    body["temperature"] = 1.into();
    body
}

async fn send(test: &Test, key: &str, path: &str, body: &Value) -> Answer {
    let request = test
        .http
        .post(test.url(path))
        .header("idempotency-key", key);
    test.send(request.body(body.to_string())).await
}

async fn chat(test: &Test, key: &str, body: &Value) -> Answer {
    send(test, key, "/v1/chat/completions", body).await
}

#[tokio::test]
async fn a_finished_call_is_replayed_and_its_provider_asked_once() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let first = chat(&test, "k1", &warm()).await;
    assert_eq!(
        (first.status, first.header("idempotent-replayed")),
        (200, "")
    );
    let again = chat(&test, "k1", &warm()).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (200, "true")
    );
    assert_eq!(again.text, first.text);
    assert_eq!(
        again.header("x-ossai-cost-usd"),
        first.header("x-ossai-cost-usd")
    );
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(
        chat(&test, "k2", &warm())
            .await
            .header("idempotent-replayed"),
        ""
    );
    let input = json!({"model": "openai/text-embedding-3-small", "input": "x"});
    let first = send(&test, "k1e", "/v1/embeddings", &input).await;
    let again = send(&test, "k1e", "/v1/embeddings", &input).await;
    assert_eq!(
        (again.header("idempotent-replayed"), &again.text),
        ("true", &first.text)
    );
    for _ in 0..3 {
        upstream.request().await;
    }
    assert!(
        upstream.seen.try_recv().is_err(),
        "a provider was asked again"
    );
}

#[tokio::test]
async fn another_request_under_a_known_key_is_422_and_one_under_way_is_409() {
    let mut upstream = Upstream::start().await;
    let (tell, told) = tokio::sync::oneshot::channel();
    upstream.then(Act::Wait(told));
    let test = Test::start(Some(&upstream)).await;
    let call = test.http.post(test.url("/v1/chat/completions"));
    let call = call.header("idempotency-key", "k").body(warm().to_string());
    let first = tokio::spawn(call.send());
    upstream.request().await;
    let busy = chat(&test, "k", &warm()).await;
    assert_eq!(
        (
            busy.status,
            busy.header("x-should-retry"),
            busy.header("retry-after")
        ),
        (409, "true", "1")
    );
    let mut other = warm();
    other["user"] = "someone".into();
    for _ in 0..2 {
        let wrong = chat(&test, "k", &other).await;
        assert_eq!(
            (wrong.status, wrong.header("x-should-retry")),
            (422, "false")
        );
        assert_eq!(wrong.error()["param"], "idempotency-key");
        if !first.is_finished() {
            break;
        }
    }
    tell.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(chat(&test, "k", &other).await.status, 422);
    assert_eq!(chat(&test, "k", &warm()).await.status, 200);
}

#[tokio::test]
async fn what_was_refused_or_failed_is_not_kept() {
    let upstream = Upstream::start().await;
    let test = Test::with(Some(&upstream), |config| {
        config.client.retry.max_attempts = 1
    })
    .await;
    let bad = json!({"model": 1});
    assert_eq!(chat(&test, "k", &bad).await.status, 400);
    upstream.then(failure(500, ""));
    let failed = chat(&test, "k", &warm()).await;
    assert_eq!(failed.status, 502, "{}", failed.text);
    let good = chat(&test, "k", &warm()).await;
    assert_eq!((good.status, good.header("idempotent-replayed")), (200, ""));
    for wrong in ["", "x".repeat(256).as_str()] {
        assert_eq!(chat(&test, wrong, &warm()).await.status, 400);
    }
}

#[tokio::test]
async fn a_stream_is_replayed_whole_and_a_broken_one_is_not() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let mut body = warm();
    body["stream"] = true.into();
    upstream.then(Act::Answer {
        status: 200,
        headers: "x: y\r\n".into(),
        body: "no events".into(),
    });
    let broken = chat(&test, "k", &body).await;
    assert_ne!(broken.header("idempotent-replayed"), "true");
    upstream.request().await;
    upstream.then(Act::Stream(vec![chunk("Hel")]));
    let cut = chat(&test, "s", &body).await;
    assert_eq!(cut.status, 200);
    assert!(
        cut.text.contains("error") || cut.text.contains("[DONE]"),
        "{}",
        cut.text
    );
    let was_good = !cut.text.contains("\"error\"");
    upstream.then(Act::Stream(good_stream()));
    let next = chat(&test, "s", &body).await;
    assert_eq!(next.header("idempotent-replayed") == "true", was_good);
    upstream.then(Act::Stream(good_stream()));
    let first = chat(&test, "t", &body).await;
    let again = chat(&test, "t", &body).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert!(
        again
            .header("content-type")
            .starts_with("text/event-stream")
    );
    assert_eq!(again.text, first.text);
    assert!(again.text.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn two_callers_never_get_each_others_answers() {
    let mut upstream = Upstream::start().await;
    let test = Test::with(Some(&upstream), |config| config.auth = Some(Auth::Keys)).await;
    let mut texts = Vec::new();
    for tenant in ["a", "a", "b"] {
        let store = test.server.store();
        let made = store
            .create_limited_key(tenant, "", &Allowance::default())
            .unwrap();
        test.server.refresh_keys().await;
        let request = test
            .http
            .post(test.url("/v1/chat/completions"))
            .bearer_auth(&made.key)
            .header("idempotency-key", "same");
        let answer = test.send(request.body(warm().to_string())).await;
        assert_eq!(
            (answer.status, answer.header("idempotent-replayed")),
            (200, "")
        );
        upstream.request().await;
        texts.push(answer.text);
    }
    assert_eq!(texts.len(), 3);
}

#[tokio::test]
async fn grpc_calls_and_streams_are_replayed_too() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let channel = Channel::from_shared(test.url(""))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = CompletionServiceClient::new(channel.clone());
    let options = |key: &str| {
        Some(pb::CallOptions {
            idempotency_key: Some(key.into()),
            ..pb::CallOptions::default()
        })
    };
    let asked = |text: &str| {
        let request = CompletionRequest::new("openai/gpt-4o-mini", text);
        Some((&request).into())
    };
    let create = |text: &str, key: &str| pb::CreateCompletionRequest {
        request: asked(text),
        options: options(key),
    };
    let first = client.create_completion(create("x", "k")).await.unwrap();
    assert!(first.metadata().get("idempotent-replayed").is_none());
    let again = client.create_completion(create("x", "k")).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    assert_eq!(first.get_ref(), again.get_ref());
    let wrong = client
        .create_completion(create("y", "k"))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    upstream.request().await;

    upstream.then(Act::Stream(good_stream()));
    let mut streams = Vec::new();
    for _ in 0..2 {
        let request = pb::StreamCompletionRequest {
            request: asked("z"),
            options: options("s"),
            ..pb::StreamCompletionRequest::default()
        };
        let mut stream = client
            .stream_completion(request)
            .await
            .unwrap()
            .into_inner();
        let mut messages = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            messages.push(message);
        }
        streams.push(messages);
    }
    assert!(streams[0].len() > 2);
    assert_eq!(streams[0], streams[1]);
    upstream.request().await;

    let mut client = EmbeddingServiceClient::new(channel);
    let request = EmbeddingRequest {
        model: "openai/text-embedding-3-small".into(),
        input: EmbeddingInput::Text("x".into()),
        ..EmbeddingRequest::default()
    };
    let embed = || pb::CreateEmbeddingRequest {
        request: Some((&request).into()),
        options: options("e"),
    };
    let first = client.create_embedding(embed()).await.unwrap();
    let again = client.create_embedding(embed()).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    assert_eq!(first.get_ref(), again.get_ref());
    upstream.request().await;
    assert!(upstream.seen.try_recv().is_err());
}
