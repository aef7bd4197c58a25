//! What binds a tenant and a key: rates, places, models and money.

use std::time::Duration;

use ossai::{Client, CompletionRequest, Config, ErrorKind};
use ossai_orchestrator::{Allowance, Auth, Tenant};
use ossai_proto::v1 as pb;
use pb::completion_service_client::CompletionServiceClient;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{Answer, Test, question};
use crate::upstream::{Act, Upstream};

/// A server with one key of these limits.
async fn limited(upstream: Option<&Upstream>, limits: Allowance) -> (Test, String) {
    let test = Test::with(upstream, |config| config.auth = Some(Auth::Keys)).await;
    let key = key(&test, "acme", &limits).await;
    (test, key)
}

/// A key the running server knows already; waiting for it uses nothing of its limits.
async fn key(test: &Test, tenant: &str, limits: &Allowance) -> String {
    let store = test.server.store();
    let made = store.create_limited_key(tenant, "test", limits).unwrap();
    test.server.refresh_keys().await;
    made.key
}

async fn post(test: &Test, key: &str, path: &str, body: &Value) -> Answer {
    let request = test.http.post(test.url(path)).bearer_auth(key);
    test.send(request.body(body.to_string())).await
}

async fn ask(test: &Test, key: &str) -> Answer {
    post(
        test,
        key,
        "/v1/chat/completions",
        &question("local/extract"),
    )
    .await
}

fn requests(rate: u64) -> Allowance {
    Allowance {
        requests_per_minute: Some(rate),
        ..Allowance::default()
    }
}

#[tokio::test]
async fn requests_over_a_keys_rate_are_refused_with_a_hint_before_their_body_is_read() {
    let (test, key) = limited(None, requests(2)).await;
    assert_eq!(ask(&test, &key).await.status, 200);
    assert_eq!(ask(&test, &key).await.status, 200);
    let answer = post(&test, &key, "/v1/chat/completions", &json!("no request")).await;
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert_eq!(answer.header("x-should-retry"), "true");
    let hint: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&hint), "{hint}");
    let error = answer.error();
    assert_eq!(
        (&error["code"], &error["param"]),
        (
            &json!("rate_limit_exceeded"),
            &json!("key.requests_per_minute")
        )
    );
    let other = self::key(&test, "acme", &requests(2)).await;
    assert_eq!(ask(&test, &other).await.status, 200);
    let metrics = test.get("/metrics").await.text;
    let line = r#"ossai_refusals_total{reason="requests_per_minute"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn over_grpc_a_rate_is_resource_exhausted_with_retry_info_and_the_client_waits_for_it() {
    let (test, key) = limited(None, requests(1)).await;
    let channel = tonic::transport::Channel::from_shared(test.url("")).unwrap();
    let mut plain = CompletionServiceClient::new(channel.connect().await.unwrap());
    let request = || {
        let asked = CompletionRequest::new("local/extract", "The sky is blue. What is the sky?");
        let mut request = tonic::Request::new(pb::CreateCompletionRequest {
            request: Some((&asked).into()),
            options: None,
        });
        let value = format!("Bearer {key}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    };
    plain.create_completion(request()).await.unwrap();
    let status = plain.create_completion(request()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let delay = status
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    assert!(delay > Duration::from_secs(50), "{delay:?}");
    // The hint does not fit into the call's time: it says so at once instead of trying again.
    let client = Client::new(Config {
        endpoint: Some(test.url("")),
        api_key: Some(key.as_str().into()),
        ..Config::default()
    })
    .unwrap();
    let options = ossai::CallOptions {
        timeout_ms: Some(5_000),
        ..ossai::CallOptions::default()
    };
    let asked = CompletionRequest::new("local/extract", "What?");
    let error = client.complete_with(asked, options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    let fields = error.fields();
    assert_eq!(fields.field.as_deref(), Some("key.requests_per_minute"));
    assert!(fields.retry_after_ms.is_some_and(|millis| millis > 50_000));
}

#[tokio::test]
async fn a_tenants_bounds_are_shared_by_its_keys_and_leave_other_tenants_alone() {
    let test = Test::with(None, |config| {
        config.auth = Some(Auth::Keys);
        let limits = requests(2);
        config.tenants.insert("noisy".into(), Tenant { limits });
    })
    .await;
    let none = Allowance::default();
    let (one, two) = (
        key(&test, "noisy", &none).await,
        key(&test, "noisy", &none).await,
    );
    let quiet = key(&test, "quiet", &none).await;
    assert_eq!(ask(&test, &one).await.status, 200);
    assert_eq!(ask(&test, &two).await.status, 200);
    for key in [&one, &two] {
        let answer = ask(&test, key).await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.error()["param"], "tenant.requests_per_minute");
    }
    for _ in 0..20 {
        assert_eq!(ask(&test, &quiet).await.status, 200);
    }
}

#[tokio::test]
async fn one_noisy_tenant_cannot_take_every_place() {
    let upstream = Upstream::start().await;
    for _ in 0..4 {
        upstream.then(Act::Hang);
    }
    let test = Test::with(Some(&upstream), |config| {
        config.auth = Some(Auth::Keys);
        config.limits.concurrent_requests = 5;
    })
    .await;
    let none = Allowance::default();
    let (noisy, quiet) = (
        key(&test, "noisy", &none).await,
        key(&test, "quiet", &none).await,
    );
    let mut upstream = upstream;
    let mut hanging = Vec::new();
    for i in 0..4 {
        let mut body = question("openai/gpt-4o-mini");
        body["seed"] = i.into();
        let call = test
            .http
            .post(test.url("/v1/chat/completions"))
            .bearer_auth(&noisy);
        hanging.push(tokio::spawn(call.body(body.to_string()).send()));
        upstream.request().await;
    }
    let answer = ask(&test, &noisy).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, "1"),
        "{}",
        answer.text
    );
    assert_eq!(answer.error()["param"], "tenant.concurrency");
    for _ in 0..5 {
        assert_eq!(ask(&test, &quiet).await.status, 200);
    }
    for call in hanging {
        call.abort();
    }
}

#[tokio::test]
async fn tokens_are_reserved_by_estimate_and_settled_by_use() {
    let upstream = Upstream::start().await;
    let limits = Allowance {
        tokens_per_minute: Some(1_150),
        ..Allowance::default()
    };
    let (test, key) = limited(Some(&upstream), limits).await;
    let mut body = question("openai/gpt-4o-mini");
    body["max_tokens"] = 400.into();
    // It reserves some 420 and uses 1,100; the next one's reservation then does not fit.
    let answer = post(&test, &key, "/v1/chat/completions", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    body["seed"] = 1.into();
    let answer = post(&test, &key, "/v1/chat/completions", &body).await;
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert_eq!(answer.error()["param"], "key.tokens_per_minute");
    let hint: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=21).contains(&hint), "{hint}");
    body["messages"][0]["content"] = "word ".repeat(2_000).into();
    let answer = post(&test, &key, "/v1/chat/completions", &body).await;
    assert_eq!(
        (answer.status, answer.header("x-should-retry")),
        (413, "false"),
        "{}",
        answer.text
    );
    assert_eq!(answer.error()["param"], "key.tokens_per_minute");
    let input =
        json!({"model": "openai/text-embedding-3-small", "input": vec!["word ".repeat(300); 5]});
    let answer = post(&test, &key, "/v1/embeddings", &input).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
}

#[tokio::test]
async fn only_allowed_models_are_asked_listed_or_fallen_back_to() {
    let limits = Allowance {
        models: Some(vec!["openai/gpt-4o-mini".into(), "local/*".into()]),
        ..Allowance::default()
    };
    let upstream = Upstream::start().await;
    let (test, key) = limited(Some(&upstream), limits).await;
    let chat = "/v1/chat/completions";
    assert_eq!(ask(&test, &key).await.status, 200);
    let answer = post(&test, &key, chat, &question("openai/gpt-4o")).await;
    assert_eq!(
        (answer.status, answer.header("x-should-retry")),
        (403, "false")
    );
    assert_eq!(answer.error()["param"], "model");
    let input = json!({"model": "openai/text-embedding-3-small", "input": "x"});
    assert_eq!(
        post(&test, &key, "/v1/embeddings", &input).await.status,
        403
    );
    let mut body = question("openai/gpt-4o-mini");
    body["ossai"] = json!({"fallbacks": ["local/extract", "openai/gpt-4o"]});
    let answer = post(&test, &key, chat, &body).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(answer.error()["param"], "ossai.fallbacks[1]");
    let list = test.http.get(test.url("/v1/models")).bearer_auth(&key);
    let list = test.send(list).await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().collect();
    assert!(!ids.is_empty());
    for model in ids {
        let id = model["id"].as_str().unwrap();
        assert!(
            id == "openai/gpt-4o-mini" || id.starts_with("local/"),
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_call_is_bounded_in_tokens_and_cost_whatever_its_caller_asks() {
    let mut upstream = Upstream::start().await;
    let limits = Allowance {
        max_tokens: Some(100),
        max_cost_nano_usd: Some(50_000),
        ..Allowance::default()
    };
    let (test, key) = limited(Some(&upstream), limits).await;
    let chat = "/v1/chat/completions";
    let mut body = question("openai/gpt-4o-mini");
    body["max_tokens"] = 101.into();
    let answer = post(&test, &key, chat, &body).await;
    assert_eq!(
        (answer.status, &answer.error()["param"]),
        (400, &json!("max_tokens"))
    );
    body["max_tokens"] = 100.into();
    let answer = post(&test, &key, chat, &body).await;
    assert_eq!(answer.status, 402, "{}", answer.text);
    assert_eq!(answer.header("x-should-retry"), "false");
    body["ossai"] = json!({"max_cost": 1_000_000_000_u64});
    assert_eq!(post(&test, &key, chat, &body).await.status, 402);
    body["n"] = 2.into();
    assert_eq!(post(&test, &key, chat, &body).await.error()["param"], "n");
    let cheap = Allowance {
        max_tokens: Some(100),
        ..Allowance::default()
    };
    let key = self::key(&test, "acme", &cheap).await;
    assert_eq!(
        post(&test, &key, chat, &question("openai/gpt-4o-mini"))
            .await
            .status,
        200
    );
    let (_, sent) = upstream.request().await;
    let most = sent
        .get("max_tokens")
        .or_else(|| sent.get("max_completion_tokens"));
    assert_eq!(most, Some(&json!(100)));
}

#[tokio::test]
async fn changed_limits_and_rotated_keys_hold_without_a_restart() {
    let (test, key) = limited(None, requests(1)).await;
    assert_eq!(ask(&test, &key).await.status, 200);
    assert_eq!(ask(&test, &key).await.status, 429);
    let store = test.server.store();
    let id = store.list_keys().unwrap()[0].id.clone();
    store.limit_key(&id, &requests(1_000)).unwrap();
    test.server.refresh_keys().await;
    assert_eq!(ask(&test, &key).await.status, 200);
    let new = store.rotate_key(&id, Duration::from_secs(3600)).unwrap();
    test.server.refresh_keys().await;
    assert_eq!(new.entry.limits, requests(1_000));
    assert_eq!(
        ask(&test, &key).await.status,
        200,
        "both hold for the overlap"
    );
    assert_eq!(ask(&test, &new.key).await.status, 200);
    let newest = store.rotate_key(&new.entry.id, Duration::ZERO).unwrap();
    test.server.refresh_keys().await;
    assert_eq!(ask(&test, &new.key).await.status, 401);
    assert_eq!(ask(&test, &newest.key).await.status, 200);
    assert!(store.rotate_key(&new.entry.id, Duration::ZERO).is_err());
}

#[tokio::test]
async fn a_caller_cannot_steer_the_servers_connections_or_see_its_credentials() {
    let upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    for name in ["api_base", "base_url", "api_key", "extra_headers", "proxy"] {
        for path in ["/v1/chat/completions", "/v1/embeddings"] {
            let mut body = question("openai/gpt-4o-mini");
            if path.ends_with("embeddings") {
                body = json!({"model": "openai/text-embedding-3-small", "input": "x"});
            }
            body[name] = "http://169.254.169.254/".into();
            let answer = test.post(path, &body).await;
            assert_eq!(answer.status, 400, "{name}: {}", answer.text);
            assert_eq!(answer.error()["param"], name);
        }
    }
    for (name, value) in [("headers", json!({"x": "y"})), ("prices", json!({}))] {
        let mut body = question("openai/gpt-4o-mini");
        body["ossai"] = json!({name: value});
        assert_eq!(test.chat(&body).await.status, 400, "{name}");
    }
    let channel = tonic::transport::Channel::from_shared(test.url("")).unwrap();
    let mut plain = CompletionServiceClient::new(channel.connect().await.unwrap());
    let mut asked = CompletionRequest::new("openai/gpt-4o-mini", "x");
    asked.extra.insert("base_url".into(), json!("http://x"));
    let request = pb::CreateCompletionRequest {
        request: Some((&asked).into()),
        options: None,
    };
    let status = plain.create_completion(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    upstream.then(crate::upstream::failure(401, ""));
    let refused = test.chat(&question("openai/gpt-4o-mini")).await;
    assert!(!refused.text.contains("sk-provider"), "{}", refused.text);
    assert!(
        refused
            .headers
            .values()
            .all(|value| !value.as_bytes().windows(11).any(|w| w == b"sk-provider"))
    );
}
