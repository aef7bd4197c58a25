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
async fn sums_are_those_of_the_records_and_filters_comparisons_and_the_dearest_are_told() {
    let upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    for (user, team) in [("ann", "blue"), ("bob", "red"), ("ann", "red")] {
        let mut body = question("openai/gpt-4o-mini");
        body["user"] = user.into();
        body["service_tier"] = "flex".into();
        body["ossai"] = json!({"cache": {"no_cache": true}, "tags": {"team": team}});
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
    let get = async |query: &str| test.get(&format!("/ossai/v1/usage{query}")).await.json();
    let first = get("/records?page_size=2").await;
    let token = first["next_page_token"].as_str().unwrap();
    let second = get(&format!("/records?page_size=2&page_token={token}")).await;
    assert_eq!(second["next_page_token"], "");
    let mut records = first["records"].as_array().unwrap().clone();
    records.extend(second["records"].as_array().unwrap().clone());
    assert_eq!(records.len(), 3);
    let record = &records[0];
    assert_eq!(
        (
            &record["tenant"],
            &record["user"],
            &record["tags"],
            &record["operation"],
            &record["outcome"]
        ),
        (
            &json!("default"),
            &json!("ann"),
            &json!({"team": "blue"}),
            &json!("chat"),
            &json!("ok")
        )
    );
    assert_eq!(
        (
            &record["usage"]["input_tokens"],
            &record["usage"]["service_tier"],
            &record["calls"]
        ),
        (&json!(1000), &json!("flex"), &json!(1))
    );
    assert!(
        record["price_version"].as_str().unwrap().starts_with("20")
            && record["latency_us"].as_u64() > Some(0)
    );
    let spent = |rows: &[serde_json::Value]| -> u64 {
        rows.iter()
            .map(|row| row["cost_nano_usd"].as_u64().unwrap())
            .sum()
    };
    assert!(spent(&records) > 0);
    for grouping in ["tag", "tag:team,user", "hour,outcome", "key,provider"] {
        let told = get(&format!("?group_by={grouping}")).await;
        assert_eq!(
            spent(told["rows"].as_array().unwrap()),
            spent(&records),
            "{grouping}"
        );
    }
    let red = get("?tag=team%3Dred&user=bob").await;
    assert_eq!(red["rows"][0]["calls"], 1);
    let top = get("?group_by=user&top=1").await;
    assert_eq!(
        (&top["rows"][0]["groups"], &top["rest"]["calls"]),
        (&json!({"user": "ann"}), &json!(1))
    );
    let trend = get("/trend?group_by=model").await;
    assert_eq!(trend["rows"][0]["change_nano_usd"], spent(&records));
    assert_eq!(
        get("/anomalies?group_by=model&period=hour").await,
        json!({"anomalies": []})
    );
    let again = test
        .server
        .store()
        .usage()
        .reprice(&Default::default(), ossai::cost::PriceTable::embedded())
        .unwrap();
    assert_eq!(
        (again.same, again.different, again.recorded.0),
        (3, 0, spent(&records))
    );
    for (query, param) in [
        ("?tag=team", "tag"),
        ("?top=1&page_size=1", "page_size"),
        ("/records?group_by=model", "group_by"),
        ("/trend?group_by=day", "group_by"),
        ("/trend?since=2026-11-02&until=2026-11-01", "until"),
        ("/anomalies?period=week", "period"),
        ("?min_calls=1", "min_calls"),
    ] {
        let answer = test.get(&format!("/ossai/v1/usage{query}")).await;
        assert_eq!(
            (answer.status, &answer.error()["param"]),
            (400, &json!(param)),
            "{query}"
        );
    }
}

#[tokio::test]
async fn records_older_than_the_retention_go_when_the_server_starts() {
    use ossai_orchestrator::{Store, UsageFilter, UsageRow};
    let test = Test::with(None, |config| {
        config.usage.retention_days = 30;
        let store = Store::open(config.data_dir.as_ref().unwrap()).unwrap();
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let row = |days: i64| UsageRow {
            time: now - days * 86_400_000,
            ..UsageRow::default()
        };
        store.record(&[row(31), row(29), row(400)]).unwrap();
    })
    .await;
    let left = async {
        loop {
            let left = test
                .server
                .store()
                .usage()
                .records(&UsageFilter::default(), 0, 10)
                .unwrap();
            if left.len() < 3 {
                return left.len();
            }
            tokio::task::yield_now().await;
        }
    };
    let left = tokio::time::timeout(std::time::Duration::from_secs(5), left).await;
    assert_eq!(left.unwrap(), 1);
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
