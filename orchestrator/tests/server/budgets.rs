//! Budgets of a server's callers: refused before a provider is asked, kept in its folder, each tenant's own.

use ossai::{Client, CompletionRequest, Config, ErrorKind};
use ossai_orchestrator::{Allowance, Auth, Server};
use serde_json::{Value, json};

use crate::support::{Answer, Test, config, question};
use crate::upstream::Upstream;

fn limits(limits: Value) -> ossai::budget::config::Budgets {
    serde_json::from_value(json!({ "limits": limits })).unwrap()
}

fn call(seed: u64) -> Value {
    let mut body = question("openai/gpt-4o-mini");
    body["max_tokens"] = 100.into();
    body["seed"] = seed.into();
    body
}

async fn key(test: &Test, tenant: &str) -> String {
    let made = test
        .server
        .store()
        .create_limited_key(tenant, "test", &Allowance::default())
        .unwrap();
    test.server.refresh_keys().await;
    made.key
}

async fn post(test: &Test, key: &str, body: &Value) -> Answer {
    let request = test.http.post(test.url("/v1/chat/completions"));
    test.send(request.bearer_auth(key).body(body.to_string()))
        .await
}

// proves: 2.12.refusal, 4.budgets
#[tokio::test]
async fn a_call_over_its_budget_is_402_and_not_to_be_tried_again_and_no_provider_is_asked() {
    let mut upstream = Upstream::start().await;
    let test = Test::with(Some(&upstream), |config| {
        config.client.budgets = limits(json!([{"window": "day", "tokens": 1_300}]));
    })
    .await;
    // The provider says that it used 1,100.
    assert_eq!(test.chat(&call(1)).await.status, 200);
    upstream.request().await;
    let answer = test.chat(&call(2)).await;
    assert_eq!(
        (answer.status, answer.header("x-should-retry")),
        (402, "false"),
        "{}",
        answer.text
    );
    let error = answer.error();
    assert_eq!(
        (&error["code"], &error["type"]),
        (&json!("budget_exceeded"), &json!("insufficient_quota"))
    );
    let client = Client::new(Config {
        endpoint: Some(test.server.address().to_string()),
        ..Config::default()
    })
    .unwrap();
    let request = CompletionRequest {
        max_tokens: Some(150),
        ..CompletionRequest::new("openai/gpt-4o-mini", "What is the sky?")
    };
    let error = client.complete(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExceeded);
    assert!(!error.is_retriable() && error.fields().attempts.is_empty());
    let refused = &error.fields().budgets[0];
    assert_eq!(
        (&*refused.scope, refused.name.as_deref(), &*refused.unit),
        ("tenant", Some("default"), "tokens")
    );
    assert_eq!(
        (
            refused.limit,
            refused.spent,
            refused.held,
            refused.available
        ),
        (1_300, 1_100, 0, 200)
    );
    assert!(upstream.seen.try_recv().is_err(), "a provider was asked");
}

#[tokio::test]
async fn what_was_spent_is_kept_over_a_restart_and_is_each_tenants_own() {
    let upstream = Upstream::start().await;
    let budgets = limits(json!([
        {"window": "total", "tokens": 5_000},
        {"scope": "key", "window": "total", "tokens": 1_300},
    ]));
    let change = |config: &mut ossai_orchestrator::ServeConfig| {
        config.auth = Some(Auth::Keys);
        config.client.budgets = budgets.clone();
    };
    let test = Test::with(Some(&upstream), change).await;
    let (first, second, other) = (
        key(&test, "acme").await,
        key(&test, "acme").await,
        key(&test, "other").await,
    );
    assert_eq!(post(&test, &first, &call(1)).await.status, 200);
    assert_eq!(post(&test, &first, &call(2)).await.status, 402);
    let Test {
        server,
        http,
        folder,
    } = test;
    server.shutdown(std::future::pending()).await;
    let mut again = config(&folder, Some(&upstream));
    change(&mut again);
    let test = Test {
        server: Server::start(again).await.unwrap(),
        http,
        folder,
    };
    assert_eq!(post(&test, &first, &call(3)).await.status, 402);
    // The budget is a key's, another key of the tenant has its own.
    assert_eq!(post(&test, &second, &call(4)).await.status, 200);
    assert_eq!(post(&test, &other, &call(5)).await.status, 200);
    let asked = test.http.get(test.url("/ossai/v1/budgets"));
    let shown = test.send(asked.bearer_auth(&other)).await.json();
    let shown = shown["budgets"].as_array().unwrap();
    assert_eq!(shown.len(), 2, "{shown:?}");
    for budget in shown {
        let whose = budget["tenant"].as_str().or(budget["name"].as_str());
        assert_eq!(whose, Some("other"), "{budget}");
        assert_eq!(budget["spent_tokens"], 1_100);
        assert_eq!(budget["held_tokens"], 0);
    }
}
