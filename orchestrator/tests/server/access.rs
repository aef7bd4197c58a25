//! Who gets in: keys, tenants, host names and origins.

use std::time::Duration;

use ossai_orchestrator::{Auth, GroupBy};
use serde_json::json;

use crate::support::{Answer, Test, question};
use crate::upstream::Upstream;

async fn with_keys(upstream: Option<&Upstream>) -> Test {
    Test::with(upstream, |config| config.auth = Some(Auth::Keys)).await
}

/// A key the running server knows already.
async fn key(test: &Test, tenant: &str) -> (String, String) {
    let created = test.server.store().create_key(tenant, "test").unwrap();
    let accepted = async {
        while ask(test, &created.key, "local/extract").await.status == 401 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), accepted)
        .await
        .expect("the key is not accepted");
    (created.entry.id, created.key)
}

async fn ask(test: &Test, key: &str, model: &str) -> Answer {
    let request = test
        .http
        .post(test.url("/v1/chat/completions"))
        .header("authorization", format!("Bearer {key}"));
    test.send(request.body(question(model).to_string())).await
}

#[tokio::test]
async fn a_missing_malformed_unknown_or_revoked_key_gets_the_same_answer() {
    let test = with_keys(None).await;
    let (id, good) = key(&test, "acme").await;
    assert_eq!(ask(&test, &good, "local/extract").await.status, 200);
    assert!(test.server.store().revoke_key(&id).unwrap());
    let refused = async {
        while ask(&test, &good, "local/extract").await.status == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused)
        .await
        .expect("the revoked key still holds");
    let other_id = good.replacen(&id, "0123456789abcdef", 1);
    let mut answers = vec![test.chat(&question("local/extract")).await];
    for wrong in [
        good.as_str(),
        &other_id,
        &good[..good.len() - 1],
        "sk-1",
        "",
        &"x".repeat(600),
    ] {
        answers.push(ask(&test, wrong, "local/extract").await);
    }
    let basic = test
        .http
        .post(test.url("/v1/chat/completions"))
        .header("authorization", format!("Basic {good}"));
    answers.push(test.send(basic).await);
    for answer in &answers {
        assert_eq!(
            (answer.status, answer.header("x-should-retry")),
            (401, "false")
        );
        assert_eq!(answer.text, answers[0].text);
    }
    let error = answers[0].error();
    assert_eq!(
        (&error["code"], &error["type"]),
        (&json!("invalid_api_key"), &json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn every_route_but_health_needs_a_key() {
    let test = with_keys(None).await;
    for path in [
        "/v1/models",
        "/v1/models/local/extract",
        "/ossai/v1/usage",
        "/nothing",
    ] {
        assert_eq!(test.get(path).await.status, 401, "{path}");
    }
    for path in [
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/ossai/v1/count",
        "/ossai/v1/estimate",
    ] {
        assert_eq!(test.post(path, &json!({})).await.status, 401, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(test.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn tenants_share_neither_cache_nor_usage() {
    let mut upstream = Upstream::start().await;
    let test = with_keys(Some(&upstream)).await;
    let (a_id, a) = key(&test, "acme").await;
    let (_, b) = key(&test, "bolt").await;
    for (tenant, cache) in [(&a, "miss"), (&a, "hit"), (&b, "miss")] {
        assert_eq!(
            ask(&test, tenant, "openai/gpt-4o-mini")
                .await
                .header("x-ossai-cache"),
            cache
        );
    }
    upstream.request().await;
    upstream.request().await;
    let store = test.server.store().clone();
    let all_written = async {
        let filter = ossai_orchestrator::UsageFilter {
            model: Some("openai/gpt-4o-mini".into()),
            ..Default::default()
        };
        while store.query_usage(&filter, &[]).unwrap()[0].calls < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all_written)
        .await
        .unwrap();
    let seen = async |key: &str| {
        let url = test.url("/ossai/v1/usage?group_by=tenant,model&model=openai/gpt-4o-mini");
        let request = test
            .http
            .get(url)
            .header("authorization", format!("Bearer {key}"));
        test.send(request.header("x-ossai-tenant", "acme"))
            .await
            .json()["rows"]
            .clone()
    };
    assert_eq!(seen(&b).await[0]["groups"]["tenant"], "bolt");
    assert_eq!(
        (&seen(&b).await[0]["calls"], &seen(&a).await[0]["calls"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(seen(&b).await.as_array().unwrap().len(), 1);
    let rows = test.recorded(&[GroupBy::Tenant, GroupBy::Key]).await;
    assert!(
        rows.iter()
            .any(|row| row.groups[0].1 == "acme" && row.groups[1].1 == a_id)
    );
}

#[tokio::test]
async fn a_foreign_host_name_is_refused_on_a_loopback_address() {
    let test = Test::with(None, |config| config.hosts = vec!["models.internal".into()]).await;
    let port = test.server.address().port();
    for (host, status) in [
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("169.254.169.254", 403),
        ("localhost", 200),
        ("app.localhost:1234", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.2", 200),
        ("[::1]:8080", 200),
        ("models.internal", 200),
        (&format!("127.0.0.1:{port}"), 200),
    ] {
        let answer = test
            .send(test.http.get(test.url("/livez")).header("host", host))
            .await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn an_origin_that_is_not_allowed_is_refused_and_no_cors_header_is_sent() {
    let test = Test::with(None, |config| {
        config.origins = vec!["https://app.example".into()]
    })
    .await;
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("https://app.example.evil", 403),
        ("https://app.example", 200),
    ] {
        let answer = test
            .send(test.http.get(test.url("/livez")).header("origin", origin))
            .await;
        assert_eq!(answer.status, status, "{origin}");
        assert!(
            answer
                .headers
                .keys()
                .all(|name| !name.as_str().starts_with("access-control"))
        );
    }
}
