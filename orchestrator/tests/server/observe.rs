//! What can be seen of a server: metrics, usage, counts and estimates.

use ossai_orchestrator::Auth;
use serde_json::json;

use crate::support::{Test, question};
use crate::upstream::Upstream;

#[tokio::test]
async fn metrics_have_the_names_and_few_labels() {
    let upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    test.chat(&question("openai/gpt-4o-mini")).await;
    test.chat(&question("openai/gpt-4o-mini")).await;
    test.chat(&question("local/nope")).await;
    let answer = test.get("/metrics").await;
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    for line in [
        "ossai_cost_usd_total{provider=\"openai\",model=\"openai/gpt-4o-mini\"} 0.00021\n",
        "ossai_saved_usd_total{provider=\"openai\",model=\"openai/gpt-4o-mini\"} 0.00021\n",
        "ossai_cache_requests_total{result=\"hit\",cache=\"exact\"} 1\n",
        "ossai_cache_requests_total{result=\"miss\",cache=\"exact\"} 1\n",
        "ossai_coalesced_requests_total 0\n",
        "ossai_inflight_requests 0\n",
        "ossai_http_responses_total{route=\"chat_completions\",status=\"404\"} 1\n",
        "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"openai/gpt-4o-mini\",gen_ai_token_type=\"input\"} 1000\n",
        "gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"other\",gen_ai_request_model=\"other\",error_type=\"not_found\",stream=\"false\"} 1\n",
    ] {
        assert!(answer.text.contains(line), "{line}{}", answer.text);
    }
    assert!(!answer.text.contains("nope") && !answer.text.contains("tenant"));
}

#[tokio::test]
async fn metrics_move_to_a_port_of_their_own() {
    let test = Test::with(None, |config| {
        config.auth = Some(Auth::Keys);
        config.metrics_bind = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    assert_eq!(test.get("/metrics").await.status, 404);
    let own = format!("http://{}/metrics", test.server.metrics_address().unwrap());
    let answer = test.send(test.http.get(own)).await;
    assert!(answer.text.contains("ossai_build_info"));
}

#[tokio::test]
async fn usage_is_summed_by_what_one_asks_for_page_by_page() {
    let test = Test::start(None).await;
    for user in ["ann", "bob", "ann"] {
        let mut body = question("local/extract");
        body["user"] = user.into();
        body["ossai"] = json!({"cache": {"no_cache": true}});
        assert_eq!(test.chat(&body).await.status, 200);
    }
    let written = async {
        while test.get("/ossai/v1/usage").await.json()["rows"][0]["calls"] != 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), written)
        .await
        .unwrap();
    let first = test
        .get("/ossai/v1/usage?group_by=user,model&page_size=1")
        .await
        .json();
    assert_eq!(
        first["rows"][0]["groups"],
        json!({"user": "ann", "model": "local/extract"})
    );
    assert_eq!(
        (
            &first["rows"][0]["calls"],
            &first["rows"][0]["cost_nano_usd"]
        ),
        (&json!(2), &json!(0))
    );
    let token = first["next_page_token"].as_str().unwrap();
    let second = test
        .get(&format!(
            "/ossai/v1/usage?group_by=user,model&page_size=1&page_token={token}"
        ))
        .await
        .json();
    assert_eq!(
        (
            &second["rows"][0]["groups"]["user"],
            &second["next_page_token"]
        ),
        (&json!("bob"), &json!(""))
    );
    let none = test
        .get("/ossai/v1/usage?since=2099-01-01&group_by=user")
        .await
        .json();
    assert_eq!(none["rows"], json!([]));
    for (query, param) in [
        ("group_by=nothing", "group_by"),
        ("since=yesterday", "since"),
        ("until=2026-02-30", "until"),
        ("page_token=x", "page_token"),
        ("unknown=1", "query"),
    ] {
        let answer = test.get(&format!("/ossai/v1/usage?{query}")).await;
        assert_eq!(
            (answer.status, &answer.error()["param"]),
            (400, &json!(param)),
            "{query}"
        );
    }
}

#[tokio::test]
async fn tokens_are_counted_and_costs_estimated_without_a_call() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let text = test
        .post(
            "/ossai/v1/count",
            &json!({"model": "openai/gpt-4o-mini", "text": "hello world"}),
        )
        .await
        .json();
    assert_eq!(
        (&text["tokens"], &text["exact"], &text["encoding"]),
        (&json!(2), &json!(true), &json!("o200k_base"))
    );
    let request = test
        .post("/ossai/v1/count", &question("openai/gpt-4o-mini"))
        .await
        .json();
    assert!(request["tokens"].as_u64().unwrap() > 10);
    let mut question = question("openai/gpt-4o-mini");
    question["max_tokens"] = 1000.into();
    let estimate = test
        .post(
            "/ossai/v1/estimate",
            &json!({"request": question, "output_tokens": 100}),
        )
        .await
        .json();
    let money = |name: &str| estimate[name].as_u64().unwrap();
    assert!(
        money("low") < money("expected") && money("expected") < money("high"),
        "{estimate}"
    );
    assert!(upstream.seen.try_recv().is_err());
    let wrong = test
        .post("/ossai/v1/estimate", &json!({"request": {}, "surprise": 1}))
        .await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn the_callers_request_id_comes_back_if_it_is_a_sane_one() {
    let test = Test::start(None).await;
    let long = "x".repeat(129);
    for (sent, same) in [("my-id-1", true), (long.as_str(), false), ("a b", false)] {
        let answer = test
            .send(
                test.http
                    .get(test.url("/livez"))
                    .header("x-request-id", sent),
            )
            .await;
        assert_eq!(answer.header("x-request-id") == sent, same, "{sent}");
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn what_is_not_there_says_so_in_the_form_of_the_api() {
    let test = Test::start(None).await;
    let missing = test.get("/v1/nothing").await;
    assert_eq!(
        (missing.status, missing.header("x-should-retry")),
        (404, "false")
    );
    assert!(missing.error()["message"].is_string());
    let method = test.get("/v1/chat/completions").await;
    assert_eq!(
        (method.status, method.header("x-should-retry")),
        (405, "false")
    );
}
