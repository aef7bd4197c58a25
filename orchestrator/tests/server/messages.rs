//! Anthropic's Messages API, over every provider.

use ossai_orchestrator::{Auth, GroupBy};
use serde_json::{Value, json};

use crate::support::{Answer, Test, data_lines};
use crate::upstream::{Act, Upstream, failure, good_stream};

fn ask(model: &str) -> Value {
    json!({"model": model, "max_tokens": 500, "temperature": 0, "messages": [
        {"role": "user", "content": "The sky is blue. Grass is green.\n\nWhat is the sky?"},
    ]})
}

async fn send(test: &Test, body: &Value) -> Answer {
    test.post("/v1/messages", body).await
}

/// The names of a stream's events, and what each is.
fn events(text: &str) -> Vec<(String, Value)> {
    let names = text.lines().filter_map(|line| line.strip_prefix("event: "));
    names.map(str::to_owned).zip(data_lines(text)).collect()
}

#[tokio::test]
async fn a_message_of_any_provider_comes_in_anthropics_form() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let answer = send(&test, &ask("openai/gpt-4o-mini")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({
            "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt-4o-mini-2024-07-18",
            "content": [{"type": "text", "text": "Hello."}],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 1000, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 100},
        })
    );
    assert_eq!(answer.header("x-ossai-model"), "openai/gpt-4o-mini");
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    let (_, sent) = upstream.request().await;
    assert_eq!(sent["messages"][0]["role"], "user");
    let local = send(&test, &ask("local/extract")).await.json();
    assert_eq!(local["content"][0]["type"], "text");
    let rows = test.recorded(&[GroupBy::Operation]).await;
    assert_eq!((rows[0].groups[0].1.as_str(), rows[0].calls), ("chat", 2));
}

#[tokio::test]
async fn a_streamed_message_has_anthropics_events_in_their_order() {
    let upstream = Upstream::start().await;
    upstream.then(Act::Stream(good_stream()));
    let test = Test::start(Some(&upstream)).await;
    let mut body = ask("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let answer = send(&test, &body).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/event-stream; charset=utf-8")
    );
    let events = events(&answer.text);
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    for (name, event) in &events {
        assert_eq!(event["type"], **name);
    }
    let last = &events[6].1;
    assert_eq!(
        (
            &last["delta"]["stop_reason"],
            &last["usage"]["output_tokens"]
        ),
        (&json!("end_turn"), &json!(100))
    );
    assert_eq!(last["ossai"]["attempts"], 1);
}

#[tokio::test]
async fn a_broken_stream_ends_with_an_error_event() {
    let upstream = Upstream::start().await;
    let mut broken = good_stream();
    broken.truncate(2);
    broken.push(json!({"error": {"message": "it broke", "type": "server_error"}}).to_string());
    upstream.then(Act::Stream(broken));
    let test = Test::start(Some(&upstream)).await;
    let mut body = ask("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let answer = send(&test, &body).await;
    let events = events(&answer.text);
    let (name, event) = events.last().unwrap();
    assert_eq!((name.as_str(), &event["type"]), ("error", &json!("error")));
    assert_eq!(event["error"]["type"], "api_error");
    assert_eq!(event["request_id"], answer.header("request-id"));
}

#[tokio::test]
async fn errors_have_the_status_and_body_of_anthropics_api() {
    let upstream = Upstream::start().await;
    upstream.then(failure(429, "retry-after: 600\r\n"));
    let test = Test::start(Some(&upstream)).await;
    let change = |name: &str, value: Value| {
        let mut body = ask("local/extract");
        body[name] = value;
        body
    };
    let image = json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}, {"type": "text", "text": "x"}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": "x"},
            {"type": "image", "source": {"type": "base64", "media_type": "", "data": "AAAA"}},
        ]},
    ]);
    for (body, status, kind, says) in [
        (ask("openai/gpt-4o-mini"), 429, "rate_limit_error", ""),
        (ask("local/nope"), 404, "not_found_error", ""),
        (ask("claude"), 404, "not_found_error", "provider/model"),
        (
            change("temperature", json!(9)),
            400,
            "invalid_request_error",
            "temperature: ",
        ),
        (
            change("max_tokens", json!(null)),
            400,
            "invalid_request_error",
            "max_tokens: ",
        ),
        (
            change("stop_sequences", json!([""])),
            400,
            "invalid_request_error",
            "stop_sequences[0]: ",
        ),
        (
            change("messages", image),
            400,
            "invalid_request_error",
            "messages[1].content[1].source.media_type: ",
        ),
        (json!([1]), 400, "invalid_request_error", "body: "),
    ] {
        let answer = send(&test, &body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let written = answer.json();
        assert_eq!(
            (&written["type"], &written["error"]["type"]),
            (&json!("error"), &json!(kind))
        );
        let message = written["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
        assert_eq!(written["request_id"], answer.header("request-id"));
        assert_eq!(answer.header("x-should-retry"), "false");
        if status == 429 {
            assert_eq!(answer.header("retry-after"), "600");
        }
    }
    let wrong = test.get("/v1/messages").await;
    assert_eq!(
        (wrong.status, &wrong.json()["type"]),
        (405, &json!("error"))
    );
    let nothing = test.get("/v1/messages/batches").await;
    assert_eq!(
        (nothing.status, &nothing.error()["type"]),
        (404, &json!("not_found_error"))
    );
    assert_eq!(
        test.get("/v1/messagesque").await.error()["code"],
        "not_found"
    );
}

#[tokio::test]
async fn tokens_of_a_message_are_counted_without_asking_anyone() {
    let test = Test::start(None).await;
    let count = async |body: &Value| test.post("/v1/messages/count_tokens", body).await;
    let mut body = ask("anthropic/claude-sonnet-4-5");
    body.as_object_mut().unwrap().shift_remove("max_tokens");
    let answer = count(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let few = answer.json()["input_tokens"].as_u64().unwrap();
    body["system"] = "Answer in one word.".into();
    let more = count(&body).await.json()["input_tokens"].as_u64().unwrap();
    assert!((10..60).contains(&few) && more > few, "{few} {more}");
    body["messages"] = json!("x");
    let refused = count(&body).await;
    assert_eq!(refused.status, 400);
    let message = refused.error()["message"].clone();
    assert!(message.as_str().unwrap().starts_with("messages: "));
}

#[tokio::test]
async fn a_key_is_taken_from_either_header_on_every_path() {
    let test = Test::with(None, |config| config.auth = Some(Auth::Keys)).await;
    let key = test.server.store().create_key("acme", "test").unwrap().key;
    let with = async |path: &str, name: &str, value: &str, body: &Value| {
        let request = test.http.post(test.url(path)).header(name, value);
        test.send(request.body(body.to_string())).await
    };
    let accepted = async {
        while with("/v1/messages", "x-api-key", &key, &ask("local/extract"))
            .await
            .status
            == 401
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), accepted)
        .await
        .expect("the key is not accepted");
    let bearer = format!("Bearer {key}");
    for path in [
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/chat/completions",
    ] {
        for (name, value) in [("x-api-key", &key), ("authorization", &bearer)] {
            let answer = with(path, name, value, &ask("local/extract")).await;
            assert_eq!(answer.status, 200, "{path} {name}: {}", answer.text);
        }
    }
    for (name, value) in [
        ("x-api-key", "sk-ant-1"),
        ("authorization", "Bearer x"),
        ("x-other", "x"),
    ] {
        let answer = with("/v1/messages", name, value, &ask("local/extract")).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.error()["type"], "authentication_error");
        assert_eq!(answer.json()["request_id"], answer.header("request-id"));
    }
}

#[tokio::test]
async fn a_silent_stream_shows_signs_of_life_as_pings() {
    let upstream = Upstream::start().await;
    upstream.then(Act::Hang);
    let test = Test::with(Some(&upstream), |config| {
        config.limits.heartbeat_seconds = 1
    })
    .await;
    let mut body = ask("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let request = test
        .http
        .post(test.url("/v1/messages"))
        .body(body.to_string());
    let mut response = request.send().await.unwrap();
    for _ in 0..2 {
        let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
        assert_eq!(response.chunk().await.unwrap().unwrap(), ping);
    }
}

#[tokio::test]
async fn models_have_anthropics_form_for_its_clients_and_openais_for_all_others() {
    let test = Test::start(None).await;
    let get = async |path: &str| {
        let request = test.http.get(test.url(path));
        test.send(request.header("anthropic-version", "2023-06-01"))
            .await
    };
    let first = get("/v1/models?limit=1").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let body = first.json();
    assert_eq!(
        (&body["has_more"], &body["first_id"]),
        (&json!(true), &body["last_id"])
    );
    assert_eq!(body["data"][0]["type"], "model");
    let after = body["last_id"].as_str().unwrap().replace('/', "%2F");
    let next = get(&format!("/v1/models?after_id={after}")).await.json();
    assert_eq!(next["has_more"], false);
    assert_ne!(next["first_id"], body["first_id"]);
    let one = get("/v1/models/local/extract").await.json();
    assert_eq!(
        (&one["id"], &one["display_name"]),
        (&json!("local/extract"), &json!("extract"))
    );
    assert_eq!(one["created_at"], "1970-01-01T00:00:00Z");
    for (path, status, word) in [
        ("/v1/models?limit=0", 400, "invalid_request_error"),
        ("/v1/models?after_id=gone", 400, "invalid_request_error"),
        ("/v1/models/local/nope", 404, "not_found_error"),
    ] {
        let refused = get(path).await;
        assert_eq!(
            (refused.status, &refused.error()["type"]),
            (status, &json!(word))
        );
        assert_eq!(refused.json()["request_id"], refused.header("request-id"));
        assert_eq!(refused.header("x-should-retry"), "false");
    }
    assert_eq!(test.get("/v1/models").await.json()["object"], "list");
    assert_eq!(
        test.get("/v1/models/local/extract").await.json()["object"],
        "model"
    );
}

fn claude() -> String {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    })
    .to_string()
}

#[tokio::test]
async fn betas_reach_anthropics_own_models_behind_the_operators_and_share_no_answer() {
    let mut upstream = Upstream::start().await;
    for _ in 0..3 {
        upstream.then(Act::Answer {
            status: 200,
            headers: "content-type: application/json\r\n".into(),
            body: claude(),
        });
    }
    let address = format!("http://{}/v1", upstream.address);
    let test = Test::with(Some(&upstream), |config| {
        let claude = config
            .client
            .providers
            .entry("anthropic".into())
            .or_default();
        claude.base_url = Some(address);
        claude.api_key = Some("sk-ant-test".into());
        claude
            .headers
            .insert("Anthropic-Beta".into(), "own-1".into());
    })
    .await;
    let with = async |model: &str, betas: &[&str]| {
        let mut request = test.http.post(test.url("/v1/messages"));
        for beta in betas {
            request = request.header("anthropic-beta", *beta);
        }
        test.send(request.body(ask(model).to_string())).await
    };
    let model = "anthropic/claude-sonnet-4-5";
    let sent = |head: String| {
        let line = head
            .lines()
            .find(|line| line.starts_with("anthropic-beta:"));
        line.map(str::to_owned)
    };
    for (betas, expected) in [
        (
            &["files-api-2025-04-14, other", "third"][..],
            "anthropic-beta: own-1,files-api-2025-04-14,other,third",
        ),
        // The answer under betas was not kept for one without them.
        (&[], "anthropic-beta: own-1"),
        // Nor is the one without them an answer under betas.
        (&["other"], "anthropic-beta: own-1,other"),
    ] {
        let answer = with(model, betas).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(sent(upstream.request().await.0).as_deref(), Some(expected));
    }
    assert_eq!(with(model, &[]).await.header("x-ossai-cache"), "hit");
    let other = with("openai/gpt-4o-mini", &["other"]).await;
    assert_eq!(other.status, 200, "{}", other.text);
    assert_eq!(
        sent(upstream.request().await.0),
        None,
        "it means nothing there"
    );
    let many = vec!["b"; 33].join(",");
    for wrong in ["two words", "a;b", many.as_str()] {
        let refused = with(model, &[wrong]).await;
        assert_eq!(refused.status, 400, "{wrong}");
        let message = refused.error()["message"].clone();
        assert!(
            message.as_str().unwrap().starts_with("anthropic-beta: "),
            "{message}"
        );
    }
}
