//! The generic runner starts upstreams, times calls, cancels and checks; shown with the smallest client there is.

use std::fs;
use std::path::PathBuf;

use conformance::case::{Op, Road};
use conformance::disturb::Disturbance;
use conformance::load::load;
use conformance::runner::{Client, Driver, EventSink, Invocation, Report, Setup, run_case};
use conformance::upstream_process::Upstream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Raw;
struct RawClient(String);

impl Driver for Raw {
    type Client = RawClient;

    async fn open(&self, setup: Setup) -> Result<RawClient, Value> {
        let url = setup.config["providers"]["openai"]["base_url"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        match url.strip_prefix("http://") {
            Some(rest) => Ok(RawClient(rest.to_owned())),
            None => Err(json!({"kind": "invalid_request", "message": "base_url"})),
        }
    }

    async fn open_beside(&self, _: &Self::Client, setup: Setup) -> Result<Self::Client, Value> {
        self.open(setup).await
    }
}

impl Client for RawClient {
    /// One request, no retries; a stream hands on its data lines as text.
    async fn call(&self, call: Invocation, mut events: EventSink) -> Result<Value, Value> {
        let failed = |error: std::io::Error| json!({"kind": "transport_interrupted", "message": error.to_string()});
        let (host, prefix) = self.0.split_once('/').unwrap_or((&self.0, ""));
        let mut stream = TcpStream::connect(host).await.map_err(failed)?;
        let body = call.request.to_string();
        let head = format!(
            "POST /{prefix}/chat/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.map_err(failed)?;
        let mut bytes = Vec::new();
        let mut seen = 0;
        while stream.read_buf(&mut bytes).await.map_err(failed)? > 0 {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let pieces: Vec<&str> = text
                .split("data: ")
                .skip(1)
                .filter_map(|rest| rest.split_once('\n'))
                .map(|p| p.0)
                .collect();
            while call.op == Op::Stream && seen < pieces.len() {
                events
                    .event(json!({"type": "text_delta", "index": 0, "text": pieces[seen]}))
                    .await;
                seen += 1;
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        Ok(
            json!({"text": serde_json::from_str::<Value>(body).unwrap_or_default()["choices"][0]["message"]["content"]}),
        )
    }

    async fn stats(&self) -> Value {
        json!({"flights": 0})
    }

    async fn disturb(&self, _: &Disturbance) -> Result<(), String> {
        Err("nothing befalls this one".into())
    }

    async fn close(&self) {}
}

async fn run(name: &str, case: Value) -> Vec<Report> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("folder");
    let file = folder.join("case.json");
    fs::write(&file, case.to_string()).expect("file");
    let upstream = Upstream::here().await.expect("upstream");
    let mut reports = Vec::new();
    for loaded in load(&folder, &file).expect("loads") {
        reports.push(run_case(&loaded, Road::Direct, &Raw, &upstream).await);
    }
    reports
}

fn case(body: Value) -> Value {
    let mut case = json!({
        "name": "case", "promise": "p", "rules": ["r"], "roads": ["direct"], "provider": "openai_chat",
        "upstreams": {"main": {"default": {"body": {"openai_chat": {"text": "Hi"}}, "headers": [["connection", "close"]]}}},
        "calls": [{"id": "a", "op": "complete", "request": {"model": "m"}}],
        "expect": {"calls": {"a": {"ok": {"text": "Hi"}}}, "upstreams": {"main": {"requests": 1}}},
    });
    conformance::expand::merge(&mut case, &body);
    case
}

#[tokio::test]
async fn a_case_that_holds_passes_and_a_flipped_expectation_fails() {
    let good = run("good", case(json!({}))).await;
    assert_eq!(good[0].failures, Vec::<String>::new());
    for (name, flipped) in [
        (
            "text",
            json!({"expect": {"calls": {"a": {"ok": {"text": "Ho"}}}}}),
        ),
        (
            "requests",
            json!({"expect": {"upstreams": {"main": {"requests": 2}}}}),
        ),
        ("stats", json!({"expect": {"stats": {"flights": 1}}})),
        (
            "open",
            json!({"expect": {"open": {"error": {"kind": "invalid_request"}}}}),
        ),
        (
            "body",
            json!({"expect": {"upstreams": {"main": {"requests_match": [{"body": {"model": "n"}}]}}}}),
        ),
    ] {
        assert_eq!(
            run(name, case(flipped)).await[0].failures.len(),
            1,
            "{name}"
        );
    }
}

#[tokio::test]
async fn rows_of_a_table_are_cases_of_their_own() {
    let reports = run("table", case(json!({
        "table": [{"name": "one", "text": "1"}, {"name": "two", "text": "2", "patch": {"expect": {"calls": {"a": {"ok": {"text": "x"}}}}}}],
        "upstreams": {"main": {"default": {"body": {"openai_chat": {"text": "${text}"}}}}},
        "expect": {"calls": {"a": {"ok": {"text": "${text}"}}}},
    }))).await;
    assert_eq!(
        (reports[0].id.as_str(), reports[0].failures.len()),
        ("case[one]", 0)
    );
    assert_eq!(
        (reports[1].id.as_str(), reports[1].failures.len()),
        ("case[two]", 1)
    );
}

#[tokio::test]
async fn copies_run_at_once_and_are_counted() {
    let reports = run("copies", case(json!({
        "calls": [
            {"id": "a", "op": "complete", "copies": 5, "request": {"model": "m"}},
            {"id": "b", "op": "complete", "request": {"model": "n"}, "start": {"on_request": 5}},
        ],
        "upstreams": {"main": {"default": {"delay_ms": 2000}}},
        "expect": {
            "upstreams": {"main": {"requests": 6, "connections": 6}},
            "counts": [{"of": "a", "matching": {"ok": {"text": "Hi"}}, "n": 5}],
        },
    }))).await;
    assert_eq!(reports[0].failures, Vec::<String>::new());
}

#[tokio::test]
async fn a_cancelled_call_leaves_the_socket_and_the_time_is_checked() {
    let streamed = json!({
        "upstreams": {"main": {"default": {"body": {"openai_chat": null, "sse": ["one", "two", "three"]}, "stall_after": {"event": 2}}}},
        "calls": [{"id": "a", "op": "stream", "request": {"model": "m"}, "cancel_after_events": 2}],
        "expect": {
            "calls": {"a": {"ok": null, "error": {"kind": "cancelled"}, "deltas": ["one", "two"]}},
            "upstreams": {"main": {"requests": 1, "cancelled_within_ms": 1000}},
        },
    });
    assert_eq!(
        run("cancelled", case(streamed.clone())).await[0].failures,
        Vec::<String>::new()
    );
    let mut impossible = streamed;
    conformance::expand::merge(
        &mut impossible,
        &json!({"expect": {"upstreams": {"main": {"cancelled_within_ms": -1}}}}),
    );
    assert_eq!(
        run("impossible", case(impossible)).await[0].failures.len(),
        1
    );
}

#[tokio::test]
async fn faults_in_a_case_file_are_found_when_it_is_loaded() {
    for (name, fault, part) in [
        (
            "variable",
            json!({"config": {"x": "${nowhere.url}"}}),
            "nowhere.url",
        ),
        (
            "operator",
            json!({"expect": {"stats": {"a": {"$ge": 1}}}}),
            "$ge",
        ),
        (
            "start",
            json!({"calls": [{"id": "a", "op": "complete", "start": {"after": "z"}}]}),
            "no call `z`",
        ),
        (
            "field",
            json!({"calls": [{"id": "a", "op": "complete", "requst": {}}]}),
            "requst",
        ),
        (
            "script",
            json!({"upstreams": {"main": {"default": {"body": {"openai_chat": {"x": 1}}}}}}),
            "openai_chat",
        ),
    ] {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-{name}"));
        fs::create_dir_all(&folder).expect("folder");
        fs::write(folder.join("case.json"), case(fault).to_string()).expect("file");
        let error = load(&folder, &folder.join("case.json")).expect_err("refused");
        assert!(error.contains(part), "{name}: {error}");
    }
}
