//! `/v1/responses` over HTTP, with a provider that speaks chat completions behind it.

use ossai_orchestrator::GroupBy;
use serde_json::{Value, json};

use crate::support::{Answer, Test, data_lines};
use crate::upstream::{Act, Upstream, chunk, failure, good_stream};

const PATH: &str = "/v1/responses";

fn question(model: &str) -> Value {
    json!({"model": model, "input": "The sky is blue. Grass is green.\n\nWhat is the sky?", "temperature": 0})
}

/// The names of the events and their data; a name is its data's type.
fn events(answer: &Answer) -> Vec<Value> {
    let data = data_lines(&answer.text);
    let names: Vec<&str> = answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    let types: Vec<&str> = data
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(names, types);
    for (i, event) in data.iter().enumerate() {
        assert_eq!(event["sequence_number"], i);
    }
    data
}

#[tokio::test]
async fn an_answer_has_the_form_the_headers_and_the_row_of_a_call() {
    let mut upstream = Upstream::start().await;
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["instructions"] = "Be brief".into();
    body["max_output_tokens"] = 9.into();
    body["include"] = json!(["reasoning.encrypted_content"]);
    body["store"] = true.into();
    let answer = test.post(PATH, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-ossai-cost-usd"), "0.00021");
    assert_eq!(answer.header("x-ossai-model"), "openai/gpt-4o-mini");
    let said = answer.json();
    assert_eq!(
        (&said["object"], &said["status"], &said["store"]),
        (&json!("response"), &json!("completed"), &json!(false))
    );
    assert_eq!(said["model"], "gpt-4o-mini-2024-07-18");
    assert_eq!(said["output"][0]["content"][0]["text"], "Hello.");
    assert_eq!(said["instructions"], "Be brief");
    assert_eq!(
        (
            &said["usage"]["input_tokens"],
            &said["usage"]["output_tokens"],
            &said["usage"]["total_tokens"]
        ),
        (&json!(1000), &json!(100), &json!(1100))
    );
    let (_, sent) = upstream.request().await;
    assert_eq!(
        sent["messages"][0],
        json!({"role": "system", "content": "Be brief"})
    );
    assert_eq!(sent["max_tokens"], 9);
    assert!(sent.get("include").is_none() && sent.get("store").is_none());
    let rows = test.recorded(&[GroupBy::Model]).await;
    assert_eq!((rows[0].calls, rows[0].cost.0), (1, 210_000));
}

#[tokio::test]
async fn a_stream_has_the_events_of_the_api_and_no_done() {
    let upstream = Upstream::start().await;
    upstream.then(Act::Stream(good_stream()));
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let answer = test.post(PATH, &body).await;
    assert_eq!(
        answer.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    assert!(!answer.text.contains("[DONE]"));
    let events = events(&answer);
    let text: String = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(text, "Hello.");
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], text);
    assert_eq!(last["response"]["usage"]["total_tokens"], 1100);
    assert_eq!(
        last["ossai"],
        json!({"cost_usd": "0.00021", "cache": "miss", "attempts": 1})
    );
}

#[tokio::test]
async fn a_call_of_a_function_goes_out_and_its_result_comes_back() {
    let mut upstream = Upstream::start().await;
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    let asks = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [call]}}]});
    upstream.then(Act::Answer {
        status: 200,
        headers: String::new(),
        body: asks.to_string(),
    });
    let test = Test::start(Some(&upstream)).await;
    let user = json!({"role": "user", "content": "Hi"});
    let mut body = json!({"model": "openai/gpt-4o-mini", "input": [user],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}]});
    let first = test.post(PATH, &body).await.json();
    let item = &first["output"][0];
    assert_eq!(
        (&item["type"], &item["call_id"], &item["arguments"]),
        (
            &json!("function_call"),
            &json!("call_1"),
            &json!("{\"a\":1}")
        )
    );
    upstream.request().await;
    body["input"] =
        json!([user, item, {"type": "function_call_output", "call_id": "call_1", "output": "2"}]);
    assert_eq!(test.post(PATH, &body).await.status, 200);
    let (_, sent) = upstream.request().await;
    assert_eq!(
        sent["messages"],
        json!([user, {"role": "assistant", "content": null, "tool_calls": [call]}, {"role": "tool", "content": "2", "tool_call_id": "call_1"}])
    );
    assert_eq!(sent["tools"][0]["function"]["strict"], true);
}

#[tokio::test]
async fn errors_have_the_status_and_body_of_the_api_and_name_its_fields() {
    let upstream = Upstream::start().await;
    upstream.then(failure(401, ""));
    let test = Test::start(Some(&upstream)).await;
    for (change, status, code, param) in [
        (
            json!({}),
            401,
            json!("provider_authentication"),
            json!(null),
        ),
        (
            json!({"model": "nobody/nope"}),
            404,
            json!("model_not_found"),
            json!("model"),
        ),
        (json!({"input": []}), 400, json!(null), json!("input")),
        (
            json!({"previous_response_id": "resp_1"}),
            400,
            json!(null),
            json!("previous_response_id"),
        ),
        (
            json!({"background": true}),
            400,
            json!(null),
            json!("background"),
        ),
        (
            json!({"temperature": 9}),
            400,
            json!(null),
            json!("temperature"),
        ),
        (
            json!({"tools": [{"type": "function", "name": "no good"}]}),
            400,
            json!(null),
            json!("tools[0].name"),
        ),
    ] {
        let mut body = question("openai/gpt-4o-mini");
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = test.post(PATH, &body).await;
        let error = answer.error();
        assert_eq!(answer.status, status, "{change}: {}", answer.text);
        assert_eq!((&error["code"], &error["param"]), (&code, &param));
        assert_eq!(answer.header("x-should-retry"), "false");
        assert_eq!(error.as_object().unwrap().len(), 4);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_response_failed() {
    let upstream = Upstream::start().await;
    let error = json!({"error": {"message": "it broke", "type": "server_error"}}).to_string();
    upstream.then(Act::Stream(vec![chunk("Hel"), error]));
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let answer = test.post(PATH, &body).await;
    let events = events(&answer);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["status"]),
        (&json!("response.failed"), &json!("failed"))
    );
    assert!(last["response"]["error"]["message"].is_string());
    assert_eq!(test.recorded(&[]).await[0].errors, 1);
}

#[tokio::test]
async fn a_silent_stream_shows_signs_of_life() {
    let upstream = Upstream::start().await;
    upstream.then(Act::Hang);
    let test = Test::with(Some(&upstream), |config| {
        config.limits.heartbeat_seconds = 1
    })
    .await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let request = test.http.post(test.url(PATH)).body(body.to_string());
    let mut response = request.send().await.unwrap();
    for _ in 0..2 {
        assert_eq!(response.chunk().await.unwrap().unwrap(), ": ping\n\n");
    }
}

#[tokio::test]
async fn tokens_of_a_request_are_counted_without_asking_anyone() {
    let test = Test::start(None).await;
    let count = async |body: &Value| test.post("/v1/responses/input_tokens", body).await;
    let mut body = question("openai/gpt-4o-mini");
    let answer = count(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["object"], "response.input_tokens");
    let few = answer.json()["input_tokens"].as_u64().unwrap();
    body["instructions"] = "Answer in one word.".into();
    let more = count(&body).await.json()["input_tokens"].as_u64().unwrap();
    assert!((10..60).contains(&few) && more > few, "{few} {more}");
    body["input"] = 1.into();
    let refused = count(&body).await;
    assert_eq!(
        (refused.status, &refused.error()["param"]),
        (400, &json!("input"))
    );
    body["previous_response_id"] = "r".into();
    assert_eq!(count(&body).await.status, 400);
}
