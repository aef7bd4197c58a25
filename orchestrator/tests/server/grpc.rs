//! The gRPC services, called by the core's own client and by plain ones.

use std::time::Duration;

use ossai::{
    Client, CompletionRequest, Config, EmbeddingInput, EmbeddingRequest, ErrorKind, HealthStatus,
    StreamEvent,
};
use ossai_orchestrator::{Auth, GroupBy};
use ossai_proto::v1 as pb;
use pb::completion_service_client::CompletionServiceClient;
use pb::cost_service_client::CostServiceClient;
use pb::model_service_client::ModelServiceClient;
use pb::token_service_client::TokenServiceClient;
use pb::usage_service_client::UsageServiceClient;
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Test, within_a_second};
use crate::upstream::{Act, Seen, Upstream, chunk, failure, good_stream};

fn client(test: &Test, key: Option<&str>) -> Client {
    Client::new(Config {
        endpoint: Some(test.url("")),
        api_key: key.map(Into::into),
        ..Config::default()
    })
    .unwrap()
}

async fn channel(test: &Test) -> Channel {
    Channel::from_shared(test.url(""))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

fn question(model: &str) -> CompletionRequest {
    CompletionRequest {
        temperature: Some(0.0),
        ..CompletionRequest::new(model, "The sky is blue.\n\nWhat is the sky?")
    }
}

#[tokio::test]
async fn the_cores_client_completes_streams_embeds_and_lists_through_the_server() {
    let upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let client = client(&test, None);
    let answer = client
        .complete(question("openai/gpt-4o-mini"))
        .await
        .unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.cost.total.unwrap().0),
        ("Hello.", 210_000)
    );
    upstream.then(Act::Stream(good_stream()));
    let mut stream = client
        .stream(CompletionRequest::new("openai/gpt-4o-mini", "again"))
        .await
        .unwrap();
    let mut text = String::new();
    let mut end = None;
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            StreamEvent::TextDelta { text: piece, .. } => text.push_str(&piece),
            StreamEvent::End { completion } => end = Some(completion),
            _ => {}
        }
    }
    assert_eq!(
        (text.as_str(), end.unwrap().text.as_str()),
        ("Hello.", "Hello.")
    );
    let request = EmbeddingRequest {
        model: "openai/text-embedding-3-small".into(),
        input: EmbeddingInput::Text("sky".into()),
        ..EmbeddingRequest::default()
    };
    assert_eq!(
        client.embed(request).await.unwrap().embeddings[0].vector,
        [1.0, 0.5]
    );
    assert_eq!(
        client.health().await.unwrap()[0].status,
        HealthStatus::Serving
    );
    upstream.then(failure(404, ""));
    assert!(
        client
            .models(None)
            .await
            .unwrap()
            .iter()
            .any(|model| model.id == "local/extract")
    );
    let rows = test.recorded(&[GroupBy::Operation]).await;
    assert_eq!(
        rows.iter()
            .map(|row| (row.calls, row.cost.0 > 0))
            .collect::<Vec<_>>(),
        [(2, true), (1, true)]
    );
}

#[tokio::test]
async fn an_error_crosses_whole_and_is_not_tried_again_by_the_client() {
    let mut upstream = Upstream::start().await;
    upstream
        .then(failure(500, ""))
        .then(failure(500, ""))
        .then(failure(500, ""));
    let test = Test::start(Some(&upstream)).await;
    let error = client(&test, None)
        .complete(question("openai/gpt-4o-mini"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UpstreamError);
    assert_eq!(error.fields().provider.as_deref(), Some("openai"));
    for _ in 0..3 {
        upstream.request().await;
    }
    assert!(upstream.seen.try_recv().is_err(), "tries were multiplied");
    let error = client(&test, None)
        .complete(question("local/nope"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_key_is_checked_before_anything_else() {
    let test = Test::with(None, |config| config.auth = Some(Auth::Keys)).await;
    let error = client(&test, None)
        .complete(question("local/extract"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let status = TokenServiceClient::new(channel(&test).await)
        .count_tokens(pb::CountTokensRequest::default())
        .await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let key = test.server.store().create_key("acme", "").unwrap().key;
    let accepted = async {
        while client(&test, Some(&key))
            .complete(question("local/extract"))
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), accepted)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_time_a_caller_leaves_bounds_the_call_and_cancels_the_provider() {
    let mut upstream = Upstream::start().await;
    upstream.then(Act::Hang);
    let test = Test::start(Some(&upstream)).await;
    let message = pb::CreateCompletionRequest {
        request: Some((&question("openai/gpt-4o-mini")).into()),
        options: None,
    }
    .encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    // By hand: tonic's client keeps the time itself, too, and would end the call from its side.
    let http = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge();
    let answer = http
        .build()
        .unwrap()
        .post(test.url("/ossai.orchestrator.v1.CompletionService/CreateCompletion"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "500m")
        .body([&[0], &length[..], &message].concat());
    let answer = tokio::time::timeout(Duration::from_secs(5), answer.send()).await;
    let answer = answer.unwrap().unwrap();
    let deadline_exceeded = (Code::DeadlineExceeded as i32).to_string();
    assert_eq!(answer.headers()["grpc-status"], deadline_exceeded.as_str());
    upstream.request().await;
    assert!(matches!(
        within_a_second(upstream.seen.recv()).await,
        Some(Seen::Gone)
    ));
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_the_provider_within_a_second() {
    let mut upstream = Upstream::start().await;
    upstream.then(Act::StreamAndHang(vec![chunk("Hel")]));
    let test = Test::start(Some(&upstream)).await;
    let mut client = CompletionServiceClient::new(channel(&test).await);
    let request = pb::StreamCompletionRequest {
        request: Some((&question("openai/gpt-4o-mini")).into()),
        options: None,
        ..pb::StreamCompletionRequest::default()
    };
    let mut stream = client
        .stream_completion(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().sequence, 1);
    upstream.request().await;
    drop(stream);
    assert!(matches!(
        within_a_second(upstream.seen.recv()).await,
        Some(Seen::Gone)
    ));
}

#[tokio::test]
async fn wrong_messages_are_invalid_arguments_by_field() {
    let test = Test::start(None).await;
    let mut client = CompletionServiceClient::new(channel(&test).await);
    let status = client
        .create_completion(pb::CreateCompletionRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("request"), "{status}");
    let mut models = ModelServiceClient::new(channel(&test).await);
    let status = models
        .list_models(pb::ListModelsRequest {
            page_size: -1,
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut request = Request::new(pb::ListModelsRequest::default());
    request
        .metadata_mut()
        .insert("x-ossai-protocol", "2".parse().unwrap());
    assert_eq!(
        models.list_models(request).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn models_come_page_by_page() {
    let test = Test::start(None).await;
    let mut client = ModelServiceClient::new(channel(&test).await);
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = client
            .list_models(pb::ListModelsRequest {
                page_size: 1,
                page_token,
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.models.len(), 1);
        ids.push(page.models[0].id.clone());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["local/extract", "local/hash"]);
}

#[tokio::test]
async fn tokens_costs_and_usage_have_their_services() {
    use pb::count_tokens_request::Input;
    let test = Test::start(None).await;
    let mut tokens = TokenServiceClient::new(channel(&test).await);
    for model in ["o200k_base", "openai/gpt-4o-mini"] {
        let request = pb::CountTokensRequest {
            model: model.into(),
            input: Some(Input::Text("hello world".into())),
        };
        let count = tokens
            .count_tokens(request)
            .await
            .unwrap()
            .into_inner()
            .count
            .unwrap();
        assert_eq!((count.tokens, count.exact), (2, true), "{model}");
    }
    let mut costs = CostServiceClient::new(channel(&test).await);
    let completion = CompletionRequest {
        max_tokens: Some(50),
        ..question("openai/gpt-4o-mini")
    };
    let request = pb::EstimateCostRequest {
        input: Some(pb::estimate_cost_request::Input::Completion(
            (&completion).into(),
        )),
        expected_output_tokens: Some(10),
    };
    let estimate = costs.estimate_cost(request).await.unwrap().into_inner();
    let nano = |cost: Option<pb::Cost>| cost.unwrap().total_nano_usd.unwrap();
    assert_eq!(
        (estimate.expected_output_tokens, estimate.high_output_tokens),
        (10, 50)
    );
    assert!(nano(estimate.low) < nano(estimate.expected.clone()));
    assert!(nano(estimate.expected) < nano(estimate.high));

    client(&test, None)
        .complete(question("local/extract"))
        .await
        .unwrap();
    let mut usage = UsageServiceClient::new(channel(&test).await);
    let request = || pb::QueryUsageRequest {
        group_by: vec!["model".into(), "day".into()],
        ..Default::default()
    };
    let row = async {
        loop {
            let rows = usage
                .query_usage(request())
                .await
                .unwrap()
                .into_inner()
                .rows;
            if let Some(row) = rows.into_iter().next() {
                return row;
            }
            tokio::task::yield_now().await;
        }
    };
    let row = tokio::time::timeout(Duration::from_secs(5), row)
        .await
        .unwrap();
    assert_eq!(
        (row.calls, row.groups[0].value.as_str()),
        (1, "local/extract")
    );
    let records = usage
        .list_usage_records(pb::ListUsageRecordsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .records;
    assert_eq!((records.len(), &*records[0].model), (1, "local/extract"));
    assert_eq!((records[0].cost_nano_usd, records[0].calls), (Some(0), 1));
    let top = pb::QueryUsageRequest {
        top: 1,
        ..request()
    };
    let top = usage.query_usage(top).await.unwrap().into_inner();
    assert_eq!((top.rows[0].calls, top.rest.unwrap().calls), (1, 0));
    let other = pb::UsageFilter {
        model: "local/hash".into(),
        ..Default::default()
    };
    let trend = |filter| pb::QueryUsageTrendRequest {
        filter,
        ..Default::default()
    };
    let told = usage.query_usage_trend(trend(None)).await.unwrap();
    let told = told.into_inner();
    let row = &told.rows[0];
    assert_eq!(row.current.as_ref().map(|sum| sum.calls), Some(1));
    assert_eq!(row.previous.as_ref().map(|sum| sum.calls), Some(0));
    let told = usage.query_usage_trend(trend(Some(other))).await.unwrap();
    let rows = told.into_inner().rows;
    assert_eq!(rows[0].current.as_ref().map(|sum| sum.calls), Some(0));
    let found = usage
        .list_usage_anomalies(pb::ListUsageAnomaliesRequest::default())
        .await
        .unwrap();
    assert!(found.into_inner().anomalies.is_empty());
    let status = usage
        .query_usage(pb::QueryUsageRequest {
            group_by: vec!["x".into()],
            ..Default::default()
        })
        .await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn health_turns_to_not_serving_before_connections_are_refused() {
    let test = Test::with(None, |config| config.shutdown.notice_seconds = 3600).await;
    let mut health = HealthClient::new(channel(&test).await);
    for service in [
        "",
        "ossai.orchestrator.v1.CompletionService",
        "ossai.orchestrator.v1.UsageService",
    ] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        assert_eq!(
            health.check(request).await.unwrap().into_inner().status(),
            ServingStatus::Serving
        );
    }
    let mut watch = health
        .watch(HealthCheckRequest {
            service: String::new(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let (now, hurry) = tokio::sync::oneshot::channel::<()>();
    let ending = tokio::spawn(test.server.shutdown(async { drop(hurry.await) }));
    let turned = tokio::time::timeout(Duration::from_secs(5), watch.message())
        .await
        .unwrap();
    assert_eq!(turned.unwrap().unwrap().status(), ServingStatus::NotServing);
    drop((watch, health));
    now.send(()).unwrap();
    ending.await.unwrap();
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    use tonic_reflection::pb::{v1, v1alpha};
    let test = Test::start(None).await;
    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(channel(&test).await);
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([ask]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!()
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in ["Completion", "Embedding", "Model", "Token", "Cost", "Usage"] {
        assert!(
            names.contains(&format!("ossai.orchestrator.v1.{name}Service")),
            "{names:?}"
        );
    }
    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(channel(&test).await);
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([ask]))
        .await
        .unwrap()
        .into_inner();
    assert!(answers.message().await.unwrap().is_some());
}

#[tokio::test]
async fn a_message_over_the_bound_is_refused() {
    let test = Test::with(None, |config| config.limits.grpc_message_bytes = 1000).await;
    let mut request = question("local/extract");
    request.user = Some("x".repeat(2000));
    let error = client(&test, None).complete(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge);
}

#[tokio::test]
async fn an_unknown_service_is_unimplemented() {
    let test = Test::start(None).await;
    let channel = channel(&test).await;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::ListModelsRequest, pb::ListModelsResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/nobody.v1.Nothing/Do");
    let status = grpc
        .unary(Request::new(pb::ListModelsRequest::default()), path, codec)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}
