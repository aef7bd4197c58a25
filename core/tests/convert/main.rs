//! Promises of the conversions between the public types and the protocol.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap
)]

mod arbitrary;

use arbitrary::Gen;
use ossai::error::{Billed, Error, ErrorKind, KINDS};
use ossai::transport::convert::{
    ConvertError, error_from_status, event_message, options_message, read_event, should_retry,
    status_from_error,
};
use ossai::types::*;
use ossai_proto::v1 as pb;
use prost::Message as _;
use tonic::{Code, Status};

const SEEDS: u64 = 3000;

/// There and back over the bytes of the wire.
fn round<P, T>(value: &T) -> T
where
    P: for<'a> From<&'a T> + prost::Message + Default,
    T: TryFrom<P, Error = ConvertError>,
{
    T::try_from(P::decode(P::from(value).encode_to_vec().as_slice()).unwrap()).unwrap()
}

#[test]
fn requests_and_answers_come_back_equal() {
    for seed in 0..SEEDS {
        let g = &mut Gen::new(seed);
        let request = g.request();
        assert_eq!(
            round::<pb::CompletionRequest, _>(&request),
            request,
            "seed {seed}"
        );
        let completion = g.completion();
        assert_eq!(
            round::<pb::Completion, _>(&completion),
            completion,
            "seed {seed}"
        );
        let request = g.embedding_request();
        assert_eq!(
            round::<pb::EmbeddingRequest, _>(&request),
            request,
            "seed {seed}"
        );
        let response = g.embedding_response();
        assert_eq!(
            round::<pb::EmbeddingResult, _>(&response),
            response,
            "seed {seed}"
        );
        let model = g.model();
        assert_eq!(round::<pb::Model, _>(&model), model, "seed {seed}");
    }
}

#[test]
fn stream_events_come_back_equal_and_numbered() {
    for seed in 0..SEEDS {
        let event = Gen::new(seed).event();
        let bytes = event_message(seed + 1, &event).encode_to_vec();
        let message = pb::StreamCompletionResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(message.sequence, seed + 1);
        assert_eq!(
            read_event(message.event.unwrap()).unwrap(),
            Some(event),
            "seed {seed}"
        );
    }
}

#[test]
fn call_options_come_back_equal() {
    for seed in 0..SEEDS {
        let options = Gen::new(seed).options();
        let bytes = options_message(&options).encode_to_vec();
        let back = CallOptions::from(pb::CallOptions::decode(bytes.as_slice()).unwrap());
        assert_eq!(back, options, "seed {seed}");
    }
}

/// As it is after the headers of an HTTP/2 answer.
fn over_headers(status: &Status) -> (Status, usize) {
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    let size = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    (Status::from_header_map(&headers).unwrap(), size)
}

#[test]
fn errors_that_fit_into_headers_come_back_equal() {
    let mut whole = 0;
    for seed in 0..SEEDS {
        let error = Gen::new(seed).error();
        let (status, _) = over_headers(&status_from_error(&error));
        assert_eq!(i32::from(status.code()), error.kind().row().grpc);
        let back = error_from_status(status);
        let mut expected = serde_json::to_value(&error).unwrap();
        if pb::ErrorDetail::from(&error).encoded_len() <= 3 * 1024 {
            whole += 1;
        } else {
            expected.as_object_mut().unwrap().remove("partial");
        }
        assert_eq!(
            serde_json::to_value(&back).unwrap(),
            expected,
            "seed {seed}"
        );
    }
    assert!(
        whole > SEEDS / 2,
        "only {whole} were small enough to be compared whole"
    );
}

#[test]
fn no_error_is_too_large_for_the_headers_of_any_client() {
    for (length, attempts) in [
        (1, 1000),
        (10, 100),
        (30, 9),
        (60, 3),
        (300, 0),
        (100_000, 100),
    ] {
        let long = "漢字".repeat(length);
        let mut error = Error::new(ErrorKind::BudgetExceeded, &long).with(|f| {
            for text in [
                &mut f.field,
                &mut f.detail,
                &mut f.provider_code,
                &mut f.provider,
                &mut f.model,
                &mut f.request_id,
                &mut f.upstream_request_id,
                &mut f.phase,
                &mut f.scope,
                &mut f.gave_up,
            ] {
                *text = Some(long.clone());
            }
            f.retry_after_ms = Some(u64::MAX);
            f.attempts = vec![
                Attempt {
                    upstream_request_id: Some(long.clone()),
                    ..Attempt::default()
                };
                attempts
            ];
            f.partial = Some(Box::new(Completion::from(Answer {
                text: long.clone(),
                ..Answer::default()
            })));
        });
        for row in KINDS {
            error.fields_mut().kind = row.kind;
            let (status, size) = over_headers(&status_from_error(&error));
            assert!(size <= 8 * 1024, "{}, {length}: {size} bytes", row.name);
            assert_eq!(error_from_status(status).kind(), row.kind);
        }
    }
}

#[test]
fn a_status_has_the_standard_details_each_at_most_once() {
    let error = Error::invalid("messages[2].content", "expected text").with(|f| {
        f.retry_after_ms = Some(1500);
        f.model = Some("openai/gpt-4o".into());
    });
    let status = status_from_error(&error);
    let details = tonic_types::StatusExt::get_error_details(&status);
    let info = details.error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("INVALID_REQUEST", "ossai.dev")
    );
    assert_eq!(info.metadata["field"], "messages[2].content");
    assert_eq!(info.metadata["model"], "openai/gpt-4o");
    assert_eq!(
        details
            .retry_info()
            .unwrap()
            .retry_delay
            .unwrap()
            .as_millis(),
        1500
    );
    assert_eq!(
        details.bad_request().unwrap().field_violations[0].field,
        "messages[2].content"
    );
    assert!(details.quota_failure().is_none());

    let status = status_from_error(&Error::new(
        ErrorKind::BudgetExceeded,
        "over the day's budget",
    ));
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert_eq!(
        details.quota_failure().unwrap().violations[0].description,
        "over the day's budget"
    );
    for row in KINDS {
        let status = status_from_error(&Error::new(row.kind, "x"));
        let all = tonic_types::pb::Status::decode(status.details())
            .unwrap()
            .details;
        let mut urls: Vec<_> = all.iter().map(|any| any.type_url.as_str()).collect();
        urls.sort_unstable();
        urls.dedup();
        assert_eq!(urls.len(), all.len());
        assert!(urls.contains(&"type.googleapis.com/google.rpc.ErrorInfo"));
    }
}

#[test]
fn the_orchestrator_asks_for_a_retry_only_before_its_own_first_try() {
    let asks = |error: &Error| should_retry(&error_from_status(status_from_error(error)));
    let overloaded = Error::new(ErrorKind::Overloaded, "x");
    assert_eq!(asks(&overloaded), Some(true));
    assert_eq!(
        asks(&overloaded.with(|f| f.attempts = vec![Attempt::default()])),
        Some(false)
    );
    assert_eq!(asks(&Error::new(ErrorKind::CircuitOpen, "x")), Some(false));
    assert_eq!(
        asks(&Error::new(ErrorKind::BudgetExceeded, "x")),
        Some(false)
    );
    assert_eq!(
        should_retry(&Error::new(ErrorKind::Overloaded, "said by no server")),
        None
    );
}

#[test]
fn a_foreign_servers_status_gives_a_sensible_kind() {
    for (code, kind, retry) in [
        (Code::Cancelled, "cancelled", Some(false)),
        (Code::Unknown, "upstream_error", Some(false)),
        (Code::InvalidArgument, "invalid_request", Some(false)),
        (Code::DeadlineExceeded, "timeout", None),
        (Code::NotFound, "not_found", Some(false)),
        (Code::AlreadyExists, "invalid_request", Some(false)),
        (Code::PermissionDenied, "permission_denied", Some(false)),
        (Code::ResourceExhausted, "rate_limited", Some(false)),
        (Code::FailedPrecondition, "invalid_request", Some(false)),
        (Code::Aborted, "conflict", Some(true)),
        (Code::OutOfRange, "invalid_request", Some(false)),
        (Code::Unimplemented, "unsupported", Some(false)),
        (Code::Internal, "upstream_error", Some(false)),
        (Code::Unavailable, "upstream_error", Some(true)),
        (Code::DataLoss, "upstream_error", Some(false)),
        (Code::Unauthenticated, "authentication", Some(false)),
    ] {
        let error = error_from_status(Status::new(code, "their words"));
        assert_eq!(error.kind().name(), kind);
        assert_eq!(error.fields().grpc_code, Some(code.into()));
        assert_eq!(should_retry(&error), retry, "{code:?}");
    }
    let large = "Received message larger than max (5 vs. 4)";
    let error = error_from_status(Status::new(Code::ResourceExhausted, large.to_lowercase()));
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge);
}

#[test]
fn hints_of_foreign_servers_are_honoured() {
    use tonic_types::{ErrorDetails, StatusExt};
    let mut details = ErrorDetails::with_retry_info(Some(std::time::Duration::from_micros(2500)));
    details.add_bad_request_violation("prompt", "too odd");
    details.set_error_info(
        "RATE_LIMITED",
        "example.com",
        std::collections::HashMap::new(),
    );
    let status = Status::with_error_details(Code::InvalidArgument, "x", details);
    let error = error_from_status(status);
    assert_eq!(
        error.kind(),
        ErrorKind::InvalidRequest,
        "another domain's reason is not ours"
    );
    assert_eq!(
        error.fields().retry_after_ms,
        Some(3),
        "rounded up: a hint is a lower bound"
    );
    assert_eq!(error.fields().field.as_deref(), Some("prompt"));

    for (value, wait, retry) in [
        ("250", Some(250), true),
        ("-1", None, false),
        ("", None, false),
        ("soon", None, false),
    ] {
        let mut status = Status::new(Code::ResourceExhausted, "x");
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", value.parse().unwrap());
        let error = error_from_status(status);
        assert_eq!(error.fields().retry_after_ms, wait, "{value}");
        assert_eq!(should_retry(&error), Some(retry), "{value}");
    }
}

#[test]
fn an_error_of_a_newer_server_keeps_what_is_known() {
    let detail = pb::ErrorDetail {
        kind: "invented_later".into(),
        message: "m".into(),
        billed: 99,
        http_status: Some(1 << 20),
        ..Default::default()
    };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/ossai.orchestrator.v1.ErrorDetail".into(),
        value: detail.encode_to_vec(),
    };
    let rpc = tonic_types::pb::Status {
        code: 7,
        message: String::new(),
        details: vec![any],
    };
    let status = Status::with_details(Code::PermissionDenied, "m", rpc.encode_to_vec().into());
    let error = error_from_status(status);
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.fields().billed, Billed::Maybe);
    assert_eq!(error.fields().http_status, None);
    let garbage = Status::with_details(Code::NotFound, "m", vec![0xff; 64].into());
    assert_eq!(error_from_status(garbage).kind(), ErrorKind::NotFound);
}

#[test]
fn what_cannot_be_read_in_a_request_is_refused_by_its_path() {
    let message = |content| pb::CompletionRequest {
        messages: vec![pb::Message {
            role: 3,
            content: Some(content),
            ..Default::default()
        }],
        ..Default::default()
    };
    let parts = |kind| {
        pb::message::Content::Parts(pb::PartList {
            parts: vec![
                pb::Part {
                    kind: Some(pb::part::Kind::OtherJson("1".into())),
                },
                pb::Part { kind },
            ],
        })
    };
    let bad_extra = pb::TextPart {
        text: String::new(),
        extra_json: "[1]".into(),
    };
    let cases = [
        (message(parts(None)), "messages[0].content[1].type"),
        (
            message(parts(Some(pb::part::Kind::Text(bad_extra)))),
            "messages[0].content[1].extra",
        ),
        (
            message(parts(Some(pb::part::Kind::OtherJson("{".into())))),
            "messages[0].content[1].other_json",
        ),
        (
            pb::CompletionRequest {
                messages: vec![pb::Message {
                    role: 77,
                    ..Default::default()
                }],
                ..Default::default()
            },
            "messages[0].role",
        ),
        (
            pb::CompletionRequest {
                reasoning_effort: 99,
                ..Default::default()
            },
            "reasoning_effort",
        ),
        (
            pb::CompletionRequest {
                tool_choice: Some(pb::ToolChoice { choice: None }),
                ..Default::default()
            },
            "tool_choice",
        ),
        (
            pb::CompletionRequest {
                tools: vec![pb::Tool { kind: None }],
                ..Default::default()
            },
            "tools[0].type",
        ),
        (
            pb::CompletionRequest {
                metadata_json: "nul".into(),
                ..Default::default()
            },
            "metadata",
        ),
        (
            pb::CompletionRequest {
                extra_json: "[".repeat(100_000),
                ..Default::default()
            },
            "extra",
        ),
    ];
    for (request, field) in cases {
        let error = CompletionRequest::try_from(request).unwrap_err();
        assert_eq!(error.field, field);
        let error = error.invalid_request();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(error.fields().field.as_deref(), Some(field));
    }
}

#[test]
fn what_a_newer_server_adds_to_an_answer_is_skipped() {
    let completion = pb::Completion {
        parts: vec![
            pb::OutputPart { kind: None },
            pb::OutputPart {
                kind: Some(pb::output_part::Kind::Text(pb::OutputText {
                    text: "hi".into(),
                })),
            },
        ],
        finish_reason: "invented_later".into(),
        cost: Some(pb::Cost {
            status: 99,
            total_nano_usd: Some(5),
            ..Default::default()
        }),
        cache: Some(pb::CacheOutcome {
            status: 99,
            tier: 99,
            ..Default::default()
        }),
        attempts: vec![pb::Attempt {
            error: Some("invented_later".into()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let completion = Completion::try_from(completion).unwrap();
    assert_eq!(completion.parts, [OutputPart::Text { text: "hi".into() }]);
    assert_eq!(
        completion.finish_reason,
        FinishReason::Other("invented_later".into())
    );
    assert_eq!(completion.cost.status, CostStatus::Estimated);
    assert_eq!(completion.cache.tier, Some(CacheTier::Orchestrator));
    assert_eq!(completion.cache.status, CacheStatus::Bypass);
    assert_eq!(completion.attempts[0].error, Some(ErrorKind::UpstreamError));
}
