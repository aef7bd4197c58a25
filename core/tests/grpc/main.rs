//! Promises of the road to an orchestrator.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

mod raw;
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ossai::error::{Billed, Error, ErrorKind};
use ossai::transport::convert::should_retry;
use ossai::transport::grpc::{GrpcConfig, GrpcRoad, Meta, NOT_PROCESSED};
use ossai::types::*;
use server::{Seen, echo, refusal, start};
use tokio::net::TcpListener;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

fn road(address: impl ToString) -> GrpcRoad {
    GrpcRoad::connect_lazy(&address.to_string(), GrpcConfig::default()).unwrap()
}

fn ask(model: &str) -> CompletionRequest {
    CompletionRequest::new(format!("test/{model}"), "hello")
}

async fn complete(road: &GrpcRoad, model: &str, meta: Meta<'_>) -> Result<Completion, Error> {
    road.complete(&ask(model), &CallOptions::default(), meta)
        .await
}

/// All events of a stream, and the error it ended in.
async fn events(road: &GrpcRoad, model: &str, meta: Meta<'_>) -> (Vec<StreamEvent>, Option<Error>) {
    let options = CallOptions {
        stream_idle_timeout_ms: Some(200),
        ..CallOptions::default()
    };
    let stream = match road.stream(&ask(model), &options, meta).await {
        Ok(stream) => stream,
        Err(error) => return (vec![], Some(error)),
    };
    let mut all: Vec<_> = stream.collect().await;
    let error = all.pop_if(|last| last.is_err()).and_then(Result::err);
    (all.into_iter().map(Result::unwrap).collect(), error)
}

fn in_ms(millis: u64) -> Meta<'static> {
    Meta {
        timeout: Some(Duration::from_millis(millis)),
        ..Meta::default()
    }
}

#[tokio::test]
async fn a_completion_comes_back_whole() {
    let (address, _seen) = start(None).await;
    let mut request = ask("echo");
    request
        .extra
        .insert("logit_bias".into(), serde_json::json!({"50256": -100}));
    let answer = road(address)
        .complete(&request, &CallOptions::default(), Meta::default())
        .await;
    assert_eq!(answer.unwrap(), echo(&request));
}

#[tokio::test]
async fn metadata_and_options_reach_the_server() {
    let (address, mut seen) = start(None).await;
    let meta = Meta {
        api_key: Some("sk-test"),
        tenant: Some("acme"),
        request_id: Some("5a1f"),
        idempotency_key: Some("ossai-1"),
        timeout: Some(Duration::from_secs(30)),
        traceparent: Some("00-1-2-01"),
    };
    let options = CallOptions {
        coalesce: Some(true),
        idempotency_key: Some("x".into()),
        ..CallOptions::default()
    };
    road(address)
        .complete(&ask("echo"), &options, meta)
        .await
        .unwrap();
    let Some(Seen::Call(metadata, options)) = seen.recv().await else {
        panic!("no call")
    };
    for (key, value) in [
        ("authorization", "Bearer sk-test"),
        ("x-ossai-tenant", "acme"),
        ("x-request-id", "5a1f"),
        ("traceparent", "00-1-2-01"),
        ("x-ossai-protocol", "1"),
        ("grpc-timeout", "30000000u"),
    ] {
        assert_eq!(metadata.get(key).unwrap(), value, "{key}");
    }
    assert!(
        metadata
            .get("user-agent")
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("ossai-rust/")
    );
    assert_eq!(options.coalesce, Some(true));
    assert_eq!(options.request_id.as_deref(), Some("5a1f"));
    assert_eq!(options.idempotency_key.as_deref(), Some("ossai-1"));
}

#[tokio::test]
async fn a_streams_time_goes_as_time_to_its_first_event() {
    let (address, mut seen) = start(None).await;
    let (_, error) = events(&road(address), "echo", in_ms(30_000)).await;
    assert!(error.is_none());
    let Some(Seen::Call(metadata, options)) = seen.recv().await else {
        panic!("no call")
    };
    assert!(metadata.get("grpc-timeout").is_none());
    assert_eq!(options.first_event_timeout_ms, Some(30_000));
}

#[tokio::test]
async fn a_stream_gives_its_events_without_heartbeats_and_unknown_ones() {
    let (address, _seen) = start(None).await;
    let (all, error) = events(&road(address), "echo", Meta::default()).await;
    assert!(error.is_none());
    let end = StreamEvent::End {
        completion: Box::new(echo(&ask("echo"))),
    };
    assert_eq!(
        all,
        [
            StreamEvent::TextDelta {
                index: 0,
                text: "hello".into()
            },
            end
        ]
    );
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server_within_a_second() {
    let (address, mut seen) = start(None).await;
    let road = road(address);
    let call = tokio::spawn({
        let road = road.clone();
        async move { complete(&road, "hang", Meta::default()).await }
    });
    assert!(matches!(seen.recv().await, Some(Seen::Call(..))));
    let begin = Instant::now();
    call.abort();
    assert!(matches!(seen.recv().await, Some(Seen::Dropped)));
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    complete(&road, "echo", Meta::default()).await.unwrap();
}

#[tokio::test]
async fn a_dropped_stream_is_cancelled_at_the_server_within_a_second() {
    let (address, mut seen) = start(None).await;
    let road = road(address);
    let stream = road
        .stream(&ask("hang"), &CallOptions::default(), Meta::default())
        .await
        .unwrap();
    let mut stream = Box::pin(stream);
    assert!(stream.next().await.unwrap().is_ok());
    assert!(matches!(seen.recv().await, Some(Seen::Call(..))));
    let begin = Instant::now();
    drop(stream);
    assert!(matches!(seen.recv().await, Some(Seen::Dropped)));
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over_and_the_server_is_told() {
    let (address, mut seen) = start(None).await;
    let error = complete(&road(address), "hang", in_ms(50))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.fields().scope.as_deref()),
        (ErrorKind::Timeout, Some("total"))
    );
    assert_eq!(error.fields().billed, Billed::Maybe);
    assert!(matches!(seen.recv().await, Some(Seen::Call(..))));
    assert!(matches!(seen.recv().await, Some(Seen::Dropped)));
    let error = complete(&road(address), "echo", in_ms(0))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_stream_times_out_before_its_first_event_and_when_it_falls_silent() {
    let (address, _seen) = start(None).await;
    let road = road(address);
    let (all, error) = events(&road, "silent", in_ms(50)).await;
    assert_eq!(
        (all.len(), error.unwrap().fields().phase.as_deref()),
        (0, Some("first_byte"))
    );
    let (all, error) = events(&road, "hang", in_ms(30_000)).await;
    assert_eq!(
        (all.len(), error.unwrap().fields().phase.as_deref()),
        (1, Some("idle"))
    );
}

#[tokio::test]
async fn an_error_comes_back_with_all_its_fields() {
    let (address, _seen) = start(None).await;
    let road = road(address);
    let expected = serde_json::to_value(refusal()).unwrap();
    let error = complete(&road, "refuse", Meta::default())
        .await
        .unwrap_err();
    assert_eq!(serde_json::to_value(&error).unwrap(), expected);
    assert_eq!(
        should_retry(&error),
        Some(false),
        "the orchestrator tried already"
    );
    for (model, before) in [("refuse", 0), ("refuse-late", 1)] {
        let (all, error) = events(&road, model, Meta::default()).await;
        assert_eq!(all.len(), before);
        assert_eq!(
            serde_json::to_value(error.unwrap()).unwrap(),
            expected,
            "{model}"
        );
    }
}

#[tokio::test]
async fn a_stream_without_its_end_or_with_a_hole_is_an_error() {
    let (address, _seen) = start(None).await;
    let road = road(address);
    let (all, error) = events(&road, "cut", Meta::default()).await;
    let error = error.unwrap();
    assert_eq!((all.len(), error.kind()), (1, ErrorKind::StreamInterrupted));
    assert!(!error.is_retriable() && error.fields().billed == Billed::Yes);
    let (all, error) = events(&road, "gap", Meta::default()).await;
    assert_eq!(
        (all.len(), error.unwrap().fields().field.as_deref()),
        (1, Some("sequence"))
    );
}

#[tokio::test]
async fn another_protocol_version_and_an_empty_answer_are_errors() {
    let (address, _seen) = start(None).await;
    let error = complete(&road(address), "other-version", Meta::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionIncompatible);
    let error = complete(&road(address), "empty", Meta::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DecodeError);
}

#[tokio::test]
async fn messages_over_a_limit_are_errors_on_either_side() {
    let (address, _seen) = start(None).await;
    let big = CompletionRequest::new("test/echo", "a".repeat(3000));
    for (send, receive, kind) in [
        (1000, 1 << 20, ErrorKind::RequestTooLarge),
        (1 << 20, 1000, ErrorKind::ResponseTooLarge),
    ] {
        let config = GrpcConfig {
            max_send_bytes: send,
            max_receive_bytes: receive,
            ..GrpcConfig::default()
        };
        let road = GrpcRoad::connect_lazy(&address.to_string(), config).unwrap();
        let error = road
            .complete(&big, &CallOptions::default(), Meta::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
    }
    // The server's limit is tonic's 4 MiB.
    let huge = CompletionRequest::new("test/echo", "a".repeat(5 << 20));
    let error = road(address)
        .complete(&huge, &CallOptions::default(), Meta::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge, "{error}");
}

#[tokio::test]
async fn embeddings_larger_than_a_message_otherwise_may_be_arrive() {
    let (address, _seen) = start(None).await;
    let request = EmbeddingRequest {
        model: "test/embed".into(),
        input: EmbeddingInput::Texts(vec!["a".into(); 1000]),
        dimensions: Some(3072),
        ..EmbeddingRequest::default()
    };
    let answer = road(address)
        .embed(&request, &CallOptions::default(), Meta::default())
        .await
        .unwrap();
    assert_eq!(answer.embeddings.len(), 1000);
    assert_eq!(answer.embeddings[999].vector, vec![999.0; 3072]);
}

#[tokio::test]
async fn models_are_listed_over_all_pages() {
    let (address, _seen) = start(None).await;
    let models = road(address).models(Meta::default()).await.unwrap();
    let ids: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["test/0", "test/1", "test/2"]);
}

#[tokio::test]
async fn health_says_whether_the_orchestrator_takes_calls() {
    let (address, _seen) = start(None).await;
    let health = road(address).health(Meta::default()).await.unwrap();
    assert_eq!(
        (health.status, health.message),
        (HealthStatus::Serving, None)
    );
    let health = road("127.0.0.1:1").health(Meta::default()).await.unwrap();
    assert_eq!(health.status, HealthStatus::NotServing);
    assert!(health.message.unwrap().starts_with("connect_failed"));
}

#[tokio::test]
async fn a_failed_connection_says_what_failed() {
    let error = complete(&road("127.0.0.1:1"), "echo", Meta::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectFailed);
    assert_eq!(error.fields().detail.as_deref(), Some("refused"));
    assert!(error.is_retriable() && error.fields().billed == Billed::No);

    // RFC 6761: names under `invalid` never exist.
    let road = GrpcRoad::connect_lazy("http://ossai.invalid:1", GrpcConfig::default()).unwrap();
    let error = complete(&road, "echo", Meta::default()).await.unwrap_err();
    assert_eq!(error.fields().detail.as_deref(), Some("dns"), "{error}");
}

#[tokio::test]
async fn a_connection_that_takes_too_long_fails_for_all_who_wait_at_once() {
    // Accepts and never answers the TLS handshake.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let limit = Duration::from_millis(300);
    let config = GrpcConfig {
        tls: Some(trust(&[])),
        connect_timeout: limit,
        ..GrpcConfig::default()
    };
    let road = GrpcRoad::connect_lazy(&endpoint, config).unwrap();
    let begin = Instant::now();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let road = road.clone();
            tokio::spawn(async move { complete(&road, "echo", Meta::default()).await })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectFailed);
        assert_eq!(error.fields().detail.as_deref(), Some("timeout"));
    }
    assert!(begin.elapsed() < limit * 4, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn what_was_not_processed_is_told_from_what_may_have_been() {
    for (bytes, close, not_processed) in [
        (
            raw::frame(raw::RST_STREAM, 0, 1, &7u32.to_be_bytes()),
            false,
            true,
        ),
        (raw::frame(raw::GOAWAY, 0, 0, &[0; 8]), false, true),
        (raw::frame(raw::GOAWAY, 0, 0, &[0; 8]), true, true),
        (
            raw::frame(raw::RST_STREAM, 0, 1, &8u32.to_be_bytes()),
            false,
            false,
        ),
        (
            raw::frame(raw::RST_STREAM, 0, 1, &2u32.to_be_bytes()),
            false,
            false,
        ),
        // GOAWAY that names the stream as processed, then the end of the connection.
        (
            raw::frame(raw::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
            true,
            false,
        ),
        (
            raw::frame(raw::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 11]),
            true,
            false,
        ),
        (vec![], true, false),
    ] {
        let address = raw::serve(bytes.clone(), close).await;
        let error = complete(&road(address), "echo", Meta::default())
            .await
            .unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::TransportInterrupted,
            "{bytes:?}: {error}"
        );
        assert!(error.is_retriable());
        let detail = not_processed.then_some(NOT_PROCESSED);
        assert_eq!(
            error.fields().detail.as_deref(),
            detail,
            "{bytes:?}: {error}"
        );
        let billed = if not_processed {
            Billed::No
        } else {
            Billed::Maybe
        };
        assert_eq!(error.fields().billed, billed);
        assert_eq!(should_retry(&error), None);
    }
}

// proves: 3.restart
#[tokio::test]
async fn a_call_that_meets_an_orchestrator_shutting_down_is_tried_again_on_a_new_connection() {
    let (address, _seen) = start(None).await;
    let config = ossai::Config {
        endpoint: Some(address.to_string()),
        testing: ossai::client::config::Testing {
            time_scale: Some(50),
            seed: Some(7),
            ..ossai::client::config::Testing::default()
        },
        ..ossai::Config::default()
    };
    let client = ossai::Client::new(config).unwrap();
    let answer = client.complete(ask("going")).await.unwrap();
    let kinds: Vec<_> = answer.attempts.iter().map(|a| a.error).collect();
    assert_eq!(kinds, [Some(ErrorKind::ShuttingDown)]);
}

#[tokio::test]
async fn a_provider_is_asked_past_an_orchestrator_that_may_be_paying_only_for_a_safe_call() {
    for safe in [None, Some(false), Some(true)] {
        let address = raw::serve(vec![], true).await;
        let config = ossai::Config::from_json(
            &serde_json::json!({"endpoint": address.to_string(), "fallback": {"direct": true}})
                .to_string(),
        );
        let client = ossai::Client::new(config.unwrap()).unwrap();
        let options = CallOptions {
            safe,
            max_attempts: Some(1),
            ..CallOptions::default()
        };
        let request = CompletionRequest::new("local/extract", "hello");
        let outcome = client.complete_with(request, options).await;
        if safe == Some(true) {
            let answer = outcome.unwrap();
            assert_eq!(
                answer.attempts.last().unwrap().endpoint.as_deref(),
                Some("config.fallback.direct")
            );
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TransportInterrupted);
            assert_eq!(error.fields().billed, Billed::Maybe);
        }
    }
}

#[tokio::test]
async fn status_details_that_do_not_decode_do_no_harm() {
    let headers = [
        ("content-type", "application/grpc"),
        ("grpc-status", "5"),
        ("grpc-message", "no such thing"),
        ("grpc-status-details-bin", "!!!"),
    ];
    let address = raw::serve(raw::answer(&headers), false).await;
    let error = complete(&road(address), "echo", Meta::default())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "not_found: no such thing");

    // The same in trailers.
    let mut bytes = raw::answer(&headers[..1]);
    bytes[4] = 0x4; // END_HEADERS without END_STREAM
    let mut trailers = raw::answer(&headers[1..]);
    trailers.remove(9); // no `:status`
    trailers[2] -= 1;
    bytes.extend(trailers);
    let address = raw::serve(bytes, false).await;
    let (_, error) = events(&road(address), "echo", Meta::default()).await;
    assert_eq!(error.unwrap().to_string(), "not_found: no such thing");
}

#[tokio::test]
async fn credentials_go_in_the_clear_only_to_this_machine_unless_allowed() {
    let meta = Meta {
        api_key: Some("sk-secret"),
        timeout: Some(Duration::ZERO),
        ..Meta::default()
    };
    let road = GrpcRoad::connect_lazy("http://192.0.2.1:8080", GrpcConfig::default()).unwrap();
    let error = complete(&road, "echo", meta).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.fields().field.as_deref()),
        (ErrorKind::InvalidRequest, Some("endpoint"))
    );
    assert!(!format!("{error:?} {road:?}").contains("sk-secret"));

    let config = GrpcConfig {
        allow_plaintext: true,
        ..GrpcConfig::default()
    };
    let road = GrpcRoad::connect_lazy("http://192.0.2.1:8080", config).unwrap();
    assert_eq!(
        complete(&road, "echo", meta).await.unwrap_err().kind(),
        ErrorKind::Timeout
    );
}

#[tokio::test]
async fn metadata_that_is_no_header_is_refused_by_name() {
    let road = road("localhost:1");
    for (name, meta) in [
        (
            "api_key",
            Meta {
                api_key: Some("a\nb"),
                ..Meta::default()
            },
        ),
        (
            "tenant",
            Meta {
                tenant: Some("é"),
                ..Meta::default()
            },
        ),
        (
            "request_id",
            Meta {
                request_id: Some("\0"),
                ..Meta::default()
            },
        ),
        (
            "traceparent",
            Meta {
                traceparent: Some("\r"),
                ..Meta::default()
            },
        ),
    ] {
        let error = complete(&road, "echo", meta).await.unwrap_err();
        assert_eq!(error.fields().field.as_deref(), Some(name));
    }
}

#[test]
fn a_road_needs_no_runtime_until_its_first_call() {
    road("localhost:8080");
    let error = GrpcRoad::connect_lazy("ossai.example:443", GrpcConfig::default()).unwrap_err();
    assert_eq!(error.fields().field.as_deref(), Some("tls"));
}

fn trust(certificates: &[rcgen::Certificate]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.der().clone()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn tls_is_verified_and_a_bad_certificate_is_not_worth_a_retry() {
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let ours = made("localhost");
    let identity =
        tonic::transport::Identity::from_pem(ours.cert.pem(), ours.signing_key.serialize_pem());
    let (address, _seen) = start(Some(identity)).await;
    let at = |host: &str, tls| {
        let config = GrpcConfig {
            tls: Some(tls),
            ..GrpcConfig::default()
        };
        GrpcRoad::connect_lazy(&format!("https://{host}:{}", address.port()), config).unwrap()
    };
    let meta = Meta {
        api_key: Some("sk-test"),
        ..Meta::default()
    };
    let good = at("localhost", trust(std::slice::from_ref(&ours.cert)));
    assert_eq!(complete(&good, "echo", meta).await.unwrap().text, "hello");
    let wrong_root = at("localhost", trust(&[made("localhost").cert]));
    let wrong_name = at("127.0.0.1", trust(&[ours.cert]));
    for road in [wrong_root, wrong_name] {
        let error = complete(&road, "echo", meta).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.fields().detail.as_deref()),
            (ErrorKind::ConnectFailed, Some("tls"))
        );
        assert!(!error.is_retriable());
    }
}
