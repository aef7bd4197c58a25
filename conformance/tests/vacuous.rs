//! No case passes by itself: a client that does nothing right fails every one of them.

use std::path::Path;
use std::sync::Arc;

use conformance::case::Op;
use conformance::disturb::Disturbance;
use conformance::load::load_all;
use conformance::runner::{Client, Driver, EventSink, Invocation, Setup, run_case};
use conformance::upstream_process::Upstream;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Gives the same outcome to everything and never asks an upstream.
#[derive(Clone)]
struct Stuck(Result<Value, Value>);

impl Driver for Stuck {
    type Client = Self;

    async fn open(&self, _: Setup) -> Result<Self, Value> {
        Ok(self.clone())
    }

    async fn open_beside(&self, _: &Self, _: Setup) -> Result<Self, Value> {
        Ok(self.clone())
    }
}

impl Client for Stuck {
    async fn call(&self, call: Invocation, mut events: EventSink) -> Result<Value, Value> {
        if let (Op::Stream, Ok(answer)) = (call.op, &self.0) {
            let text = answer["text"].clone();
            events
                .event(json!({"type": "text_delta", "index": 0, "text": text}))
                .await;
            events
                .event(json!({"type": "end", "completion": answer}))
                .await;
        }
        self.0.clone()
    }

    async fn stats(&self) -> Value {
        json!({})
    }

    async fn disturb(&self, _: &Disturbance) -> Result<(), String> {
        Ok(())
    }

    async fn close(&self) {}
}

async fn passing(driver: Stuck) -> Vec<String> {
    let folder = Path::new("cases");
    let cases = load_all(folder).unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    let upstream = Arc::new(Upstream::here().await.expect("upstream"));
    let places = Arc::new(Semaphore::new(16));
    let mut running = JoinSet::new();
    for case in cases {
        for road in case.roads.clone() {
            let (case, driver, upstream, places) = (
                case.clone(),
                driver.clone(),
                upstream.clone(),
                places.clone(),
            );
            running.spawn(async move {
                let _place = places.acquire().await;
                run_case(&case, road, &driver, &upstream).await
            });
        }
    }
    let mut passed = Vec::new();
    for report in running.join_all().await {
        if report.failures.is_empty() {
            passed.push(format!("{} on {}", report.id, report.road.name()));
        }
    }
    passed.sort();
    passed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_only_fails_passes_no_case() {
    let error = json!({"kind": "internal", "message": "nothing works"});
    assert_eq!(passing(Stuck(Err(error))).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_makes_up_its_answers_passes_no_case() {
    let answer =
        json!({"text": "Hi", "parts": [{"type": "text", "text": "Hi"}], "finish_reason": "stop"});
    assert_eq!(passing(Stuck(Ok(answer))).await, Vec::<String>::new());
}
