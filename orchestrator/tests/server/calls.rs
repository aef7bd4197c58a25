//! Calls over HTTP: what goes to the provider and what comes back.

use std::time::Duration;

use ossai_orchestrator::GroupBy;
use serde_json::{Value, json};

use crate::support::{Test, data_lines, question, within_a_second};
use crate::upstream::{Act, Seen, Upstream, chunk, failure, good_stream};

#[tokio::test]
async fn an_offline_model_answers_without_any_provider() {
    let test = Test::start(None).await;
    let answer = test.chat(&question("local/extract")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    assert!(
        body["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .contains("The sky is blue.")
    );
    assert_eq!(
        (&body["object"], &body["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("stop"))
    );
}

#[tokio::test]
async fn the_headers_say_what_a_call_cost_and_who_answered() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let first = test.chat(&question("openai/gpt-4o-mini")).await;
    assert_eq!(first.status, 200, "{}", first.text);
    // 1000 × $0.15/M + 100 × $0.60/M.
    assert_eq!(first.header("x-ossai-cost-usd"), "0.00021");
    assert_eq!(first.header("x-ossai-cache"), "miss");
    assert_eq!(first.header("x-ossai-provider"), "openai");
    assert_eq!(first.header("x-ossai-model"), "openai/gpt-4o-mini");
    assert_eq!(first.header("x-ossai-attempts"), "1");
    assert!(first.header("x-ossai-overhead-ms").parse::<f64>().unwrap() < 10_000.0);
    assert!(first.header("x-request-id").starts_with("req_"));
    assert_eq!(first.json()["model"], "gpt-4o-mini-2024-07-18");
    let second = test.chat(&question("openai/gpt-4o-mini")).await;
    assert_eq!(
        (
            second.header("x-ossai-cost-usd"),
            second.header("x-ossai-cache")
        ),
        ("0.00", "hit")
    );
    assert_eq!(second.header("x-ossai-attempts"), "0");
    let (head, body) = upstream.request().await;
    assert!(
        head.contains("authorization: Bearer sk-provider-secret"),
        "{head}"
    );
    assert_eq!(body["model"], "gpt-4o-mini");
    assert!(
        upstream.seen.try_recv().is_err(),
        "the hit asked the provider"
    );

    let rows = test.recorded(&[GroupBy::Model]).await;
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(
        (row.calls, row.cache_hits, row.errors, row.joined),
        (2, 1, 0, 0)
    );
    assert_eq!(
        (row.cost.0, row.saved.0, row.unknown_cost_calls),
        (210_000, 210_000, 0)
    );
    assert_eq!(
        (row.usage.input_tokens, row.usage.output_tokens),
        (1000, 100),
        "a hit uses no tokens"
    );
}

#[tokio::test]
async fn unknown_fields_of_a_request_reach_the_provider() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["logit_bias"] = json!({"1": -100});
    body["chat_template_kwargs"] = json!({"a": [1, null]});
    body["ossai"] = json!({"tags": {"team": "blue"}, "cache": {"no_cache": true}});
    assert_eq!(test.chat(&body).await.header("x-ossai-cache"), "bypass");
    let (_, sent) = upstream.request().await;
    assert_eq!(sent["logit_bias"], body["logit_bias"]);
    assert_eq!(sent["chat_template_kwargs"], body["chat_template_kwargs"]);
    assert!(sent.get("ossai").is_none());
    let rows = test.recorded(&[GroupBy::Tag("team".into())]).await;
    assert_eq!(rows[0].groups, [("tag:team".to_owned(), "blue".to_owned())]);
}

#[tokio::test]
async fn a_stream_passes_events_on_and_ends_with_usage_and_done() {
    let upstream = Upstream::start().await;
    upstream.then(Act::Stream(good_stream()));
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let answer = test.chat(&body).await;
    assert_eq!(
        answer.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(answer.header("x-ossai-model"), "openai/gpt-4o-mini");
    let lines = data_lines(&answer.text);
    let text: String = lines
        .iter()
        .filter_map(|line| line["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "Hello.");
    assert_eq!(lines.last().unwrap(), "[DONE]");
    let usage = &lines[lines.len() - 2];
    assert_eq!(
        (&usage["choices"], &usage["usage"]["total_tokens"]),
        (&json!([]), &json!(1100))
    );
    assert_eq!(
        usage["ossai"],
        json!({"cost_usd": "0.00021", "cache": "miss", "attempts": 1})
    );
    // A replay from the cache has the same pieces.
    let again = test.chat(&body).await;
    let pieces = |text: &str| -> Vec<Value> {
        data_lines(text)
            .iter()
            .map(|line| line["choices"].clone())
            .filter(|choices| !choices.is_null())
            .collect()
    };
    assert_eq!(pieces(&again.text), pieces(&answer.text));
    assert_eq!(test.recorded(&[]).await[0].cost.0, 210_000);
}

#[tokio::test]
async fn line_ends_in_a_streamed_text_cannot_break_its_events() {
    let upstream = Upstream::start().await;
    let nasty = "a\r\n\r\ndata: [DONE]\n\nevent: x\u{2028}\u{85}";
    let finish =
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string();
    upstream.then(Act::Stream(vec![chunk(nasty), finish]));
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let answer = test.chat(&body).await;
    assert!(!answer.text.contains('\r'));
    let lines = data_lines(&answer.text);
    assert_eq!(lines.iter().filter(|line| **line == "[DONE]").count(), 1);
    let text: String = lines
        .iter()
        .filter_map(|line| line["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, nasty);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_an_error_event_and_without_done() {
    let upstream = Upstream::start().await;
    let error = json!({"error": {"message": "it broke", "type": "server_error"}}).to_string();
    upstream.then(Act::Stream(vec![chunk("Hel"), error]));
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let answer = test.chat(&body).await;
    assert_eq!(answer.status, 200);
    let lines = data_lines(&answer.text);
    let last = lines.last().unwrap();
    assert!(last["error"]["message"].is_string(), "{last}");
    assert!(lines.iter().all(|line| line != "[DONE]"));
    let rows = test.recorded(&[GroupBy::Outcome]).await;
    assert_ne!(rows[0].groups[0].1, "ok");
    assert_eq!(rows[0].errors, 1);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_the_provider_within_a_second() {
    let mut upstream = Upstream::start().await;
    upstream.then(Act::StreamAndHang(vec![chunk("Hel")]));
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let mut response = test
        .http
        .post(test.url("/v1/chat/completions"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    upstream.request().await;
    drop(response);
    assert!(matches!(
        within_a_second(upstream.seen.recv()).await,
        Some(Seen::Gone)
    ));
    let rows = test.recorded(&[GroupBy::Outcome]).await;
    assert_eq!(rows[0].groups[0].1, "cancelled");
    assert_eq!(
        (rows[0].cost.0, rows[0].unknown_cost_calls),
        (0, 1),
        "its cost is unknown, not nothing"
    );
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_provider_within_a_second() {
    let mut upstream = Upstream::start().await;
    upstream.then(Act::Hang);
    let test = Test::start(Some(&upstream)).await;
    let call = test
        .http
        .post(test.url("/v1/chat/completions"))
        .body(question("openai/gpt-4o-mini").to_string());
    let call = tokio::spawn(call.send());
    upstream.request().await;
    call.abort();
    assert!(matches!(
        within_a_second(upstream.seen.recv()).await,
        Some(Seen::Gone)
    ));
}

#[tokio::test]
async fn identical_calls_at_once_ask_the_provider_once() {
    let mut upstream = Upstream::start().await;
    let (tell, told) = tokio::sync::oneshot::channel();
    upstream.then(Act::Wait(told));
    let test = Test::start(Some(&upstream)).await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let call = test.http.post(test.url("/v1/chat/completions"));
            tokio::spawn(call.body(question("openai/gpt-4o-mini").to_string()).send())
        })
        .collect();
    upstream.request().await;
    // All of them wait before the provider answers.
    let all_wait = async {
        while !test
            .get("/metrics")
            .await
            .text
            .contains("ossai_inflight_requests 50\n")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_wait)
        .await
        .unwrap();
    tell.send(()).unwrap();
    let mut caches = Vec::new();
    for call in calls {
        let response = call.await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        caches.push(
            response.headers()["x-ossai-cache"]
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(caches.iter().filter(|cache| *cache == "miss").count(), 1);
    assert!(
        upstream.seen.try_recv().is_err(),
        "the provider was asked twice"
    );
    let row = &test.recorded(&[]).await[0];
    assert_eq!(
        (row.calls, row.joined + row.cache_hits, row.cost.0),
        (50, 49, 210_000)
    );
    assert_eq!(row.saved.0, 49 * 210_000);
}

#[tokio::test]
async fn what_a_shared_call_cost_is_recorded_although_the_one_who_began_it_has_left() {
    let mut upstream = Upstream::start().await;
    let (tell, told) = tokio::sync::oneshot::channel();
    upstream.then(Act::Wait(told));
    let test = Test::start(Some(&upstream)).await;
    let call = |user: &str| {
        let mut body = question("openai/gpt-4o-mini");
        body["ossai"] = json!({"tags": {"who": user}});
        let call = test.http.post(test.url("/v1/chat/completions"));
        tokio::spawn(call.body(body.to_string()).send())
    };
    let under_way = async |calls: u32| {
        let line = format!("ossai_inflight_requests {calls}\n");
        let there = async {
            while !test.get("/metrics").await.text.contains(&line) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), there).await;
        waited.unwrap();
    };
    let first = call("first");
    upstream.request().await;
    let second = call("second");
    under_way(2).await;
    first.abort();
    under_way(1).await;
    tell.send(()).unwrap();
    let response = second.await.unwrap().unwrap();
    assert_eq!(response.headers()["x-ossai-cache"], "coalesced");
    let spent = "ossai_cost_usd_total{provider=\"openai\",model=\"openai/gpt-4o-mini\"} 0.00021\n";
    assert!(test.get("/metrics").await.text.contains(spent));
    let rows = test.recorded(&[GroupBy::Tag("who".into())]).await;
    let of = |who: &str| {
        let row = rows.iter().find(|row| row.groups[0].1 == who).unwrap();
        (row.calls, row.errors, row.cost.0, row.saved.0)
    };
    // The one who began it pays for it; the other one was spared it.
    assert_eq!(of("first"), (1, 1, 210_000, 0));
    assert_eq!(of("second"), (1, 0, 0, 210_000));
}

#[tokio::test]
async fn a_providers_failure_is_tried_again_here_and_not_by_the_client() {
    let upstream = Upstream::start().await;
    upstream
        .then(failure(500, ""))
        .then(failure(500, ""))
        .then(failure(500, ""));
    let test = Test::start(Some(&upstream)).await;
    let answer = test.chat(&question("openai/gpt-4o-mini")).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    assert_eq!(answer.header("x-should-retry"), "false");
    assert_eq!(answer.error()["type"], "server_error");
    upstream.then(failure(500, ""));
    let answer = test.chat(&question("openai/gpt-4o-mini")).await;
    assert_eq!(
        (answer.status, answer.header("x-ossai-attempts")),
        (200, "2")
    );
}

#[tokio::test]
async fn a_providers_rate_limit_says_when_to_come_back() {
    let upstream = Upstream::start().await;
    upstream.then(failure(429, "retry-after: 600\r\n"));
    let test = Test::start(Some(&upstream)).await;
    let answer = test.chat(&question("openai/gpt-4o-mini")).await;
    assert_eq!(
        (
            answer.status,
            answer.header("retry-after"),
            answer.header("x-should-retry")
        ),
        (429, "600", "false")
    );
    assert_eq!(answer.error()["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn errors_have_the_status_and_body_of_the_api() {
    let upstream = Upstream::start().await;
    upstream.then(failure(401, ""));
    let test = Test::start(Some(&upstream)).await;
    let message = json!([{"role": "user", "content": "x"}]);
    for (body, status, kind, code, param) in [
        (
            question("openai/gpt-4o-mini"),
            401,
            "authentication_error",
            json!("provider_authentication"),
            json!(null),
        ),
        (
            question("local/nope"),
            404,
            "invalid_request_error",
            json!("model_not_found"),
            json!("model"),
        ),
        (
            question("nobody/nope"),
            404,
            "invalid_request_error",
            json!("model_not_found"),
            json!("model"),
        ),
        (
            question("gpt-4o"),
            404,
            "invalid_request_error",
            json!("model_not_found"),
            json!("model"),
        ),
        (
            json!({"model": "local/extract", "messages": message, "n": 2}),
            400,
            "invalid_request_error",
            json!(null),
            json!("n"),
        ),
        (
            json!({"model": "local/extract", "messages": message, "temperature": 9}),
            400,
            "invalid_request_error",
            json!(null),
            json!("temperature"),
        ),
        (
            json!({"model": "local/extract", "messages": []}),
            400,
            "invalid_request_error",
            json!(null),
            json!("messages"),
        ),
        (
            json!([1]),
            400,
            "invalid_request_error",
            json!(null),
            json!("body"),
        ),
    ] {
        let answer = test.chat(&body).await;
        let error = answer.error();
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(
            (&error["type"], &error["code"], &error["param"]),
            (&json!(kind), &code, &param),
            "{body}"
        );
        assert_eq!(answer.header("x-should-retry"), "false");
        assert!(error["message"].is_string() && !answer.text.contains("sk-provider"));
        assert_eq!(error.as_object().unwrap().len(), 4);
    }
    let unnamed = test.chat(&question("gpt-4o")).await.error()["message"].clone();
    assert!(unnamed.as_str().unwrap().contains("provider/model"));
    let bad = test
        .send(
            test.http
                .post(test.url("/v1/chat/completions"))
                .body("{\"model\": "),
        )
        .await;
    assert_eq!((bad.status, &bad.error()["param"]), (400, &json!("body")));
}

#[tokio::test]
async fn a_model_without_a_provider_goes_to_the_default_one() {
    let mut upstream = Upstream::start().await;
    let test = Test::with(Some(&upstream), |config| {
        config.default_provider = Some("openai".into())
    })
    .await;
    let answer = test.chat(&question("gpt-4o-mini")).await;
    assert_eq!(
        (answer.status, answer.header("x-ossai-model")),
        (200, "openai/gpt-4o-mini")
    );
    assert_eq!(upstream.request().await.1["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn embeddings_come_as_floats_or_base64() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let mut body = json!({"model": "openai/text-embedding-3-small", "input": "sky", "dimensions": 2, "user": "u"});
    let floats = test.post("/v1/embeddings", &body).await;
    assert_eq!(
        floats.json()["data"][0]["embedding"],
        json!([1.0, 0.5]),
        "{}",
        floats.text
    );
    assert_eq!(
        floats.json()["usage"],
        json!({"prompt_tokens": 3, "total_tokens": 3})
    );
    let (_, sent) = upstream.request().await;
    assert_eq!(
        (&sent["dimensions"], &sent["encoding_format"]),
        (&json!(2), &json!("base64"))
    );
    body["encoding_format"] = "base64".into();
    let base64 = test.post("/v1/embeddings", &body).await;
    assert_eq!(base64.json()["data"][0]["embedding"], "AACAPwAAAD8=");
    assert_eq!(base64.header("x-ossai-cache"), "hit");
    let tokens = test
        .post(
            "/v1/embeddings",
            &json!({"model": "openai/m", "input": [1, 2]}),
        )
        .await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    let rows = test.recorded(&[GroupBy::Operation, GroupBy::User]).await;
    let groups: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.groups[0].1.as_str(),
                row.groups[1].1.as_str(),
                row.calls,
            )
        })
        .collect();
    assert_eq!(groups, [("embeddings", "", 1), ("embeddings", "u", 2)]);
}

#[tokio::test]
async fn models_are_listed_with_their_provider_and_found_encoded_or_not() {
    let upstream = Upstream::start().await;
    let list = json!({"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model", "created": 7, "owned_by": "openai"}]});
    let act = || Act::Answer {
        status: 200,
        headers: String::new(),
        body: list.to_string(),
    };
    upstream.then(act()).then(act());
    let test = Test::start(Some(&upstream)).await;
    let body = test.get("/v1/models").await.json();
    let ids: Vec<_> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert!(
        ids.contains(&"local/extract") && ids.contains(&"openai/gpt-4o-mini"),
        "{ids:?}"
    );
    for path in [
        "/v1/models/openai/gpt-4o-mini",
        "/v1/models/openai%2Fgpt-4o-mini",
    ] {
        let model = test.get(path).await.json();
        assert_eq!(
            (&model["id"], &model["created"]),
            (&json!("openai/gpt-4o-mini"), &json!(7))
        );
    }
    let missing = test.get("/v1/models/local/nope").await;
    assert_eq!(
        (missing.status, &missing.error()["code"]),
        (404, &json!("model_not_found"))
    );
}

#[tokio::test]
async fn an_idempotency_key_reaches_the_provider_as_one_of_the_tenants_own() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let call = || {
        test.http
            .post(test.url("/v1/chat/completions"))
            .header("idempotency-key", "order-17")
            .header("x-ossai-cache", "no-cache")
            .body(question("openai/gpt-4o-mini").to_string())
    };
    let mut keys = Vec::new();
    // What failed is not replayed: the provider sees the key again.
    upstream.then(failure(400, ""));
    for status in [400, 200] {
        assert_eq!(test.send(call()).await.status, status);
        let (head, _) = upstream.request().await;
        keys.push(
            head.lines()
                .find(|line| line.starts_with("idempotency-key:"))
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(keys[0], keys[1]);
    assert!(!keys[0].contains("order-17"));
}
