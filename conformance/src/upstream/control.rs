//! The control protocol: JSON over HTTP/1.1 on a port of its own.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::http1::{self, Request};
use super::listen;
use super::{Scripted, State};

pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Some(stream) = listen::accept(&listener).await {
        tokio::spawn(serve(stream, state.clone()));
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Ok(request) = http1::read(&mut stream, &mut buffer).await {
        let (status, body) = handle(&state, &request).await;
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream
            .write_all(&[head.as_bytes(), body.as_bytes()].concat())
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn handle(state: &State, request: &Request) -> (u16, Value) {
    let (path, query) = request.split_target();
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let no_script = || (404, json!({"error": "no such script"}));
    match (request.method.as_str(), segments.as_slice()) {
        ("POST", ["scripts"]) => {
            let script = match serde_json::from_slice(&request.body) {
                Ok(script) => script,
                Err(error) => return (400, json!({"error": format!("not JSON: {error}")})),
            };
            match state.register(script).await {
                Ok(registered) => (200, registered),
                Err(error) => (400, json!({"error": error})),
            }
        }
        ("GET", ["scripts", id, "log"]) => state
            .script(id)
            .map_or_else(no_script, |script| (200, log(&script))),
        ("GET", ["scripts", id, "wait"]) => match state.script(id) {
            Some(script) => wait(&script, query).await,
            None => no_script(),
        },
        ("DELETE", ["scripts", id]) => match state.remove(id) {
            true => (200, json!({})),
            false => no_script(),
        },
        _ => (404, json!({"error": "no such address"})),
    }
}

fn log(script: &Scripted) -> Value {
    serde_json::to_value(script.log()).unwrap_or_else(|error| json!({"error": error.to_string()}))
}

/// `?requests=n` waits for the n-th request, `?settled=1` until every response has ended; both at most `timeout_ms`
/// (5000) real milliseconds. Answers the log and whether it came to pass.
async fn wait(script: &Scripted, query: &str) -> (u16, Value) {
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)?
            .1
            .parse::<u64>()
            .ok()
    };
    let requests = usize::try_from(parameter("requests").unwrap_or(0)).unwrap_or(usize::MAX);
    let settled = parameter("settled").is_some();
    let limit = Duration::from_millis(parameter("timeout_ms").unwrap_or(5000).min(60_000));
    let mut changed = script.changed.subscribe();
    let reached = tokio::time::timeout(limit, async {
        loop {
            changed.borrow_and_update();
            let log = script.log();
            let open = log.requests.iter().any(|entry| entry.outcome.is_none());
            if log.requests.len() >= requests && !(settled && open) {
                return true;
            }
            if changed.changed().await.is_err() {
                return false;
            }
        }
    })
    .await
    .unwrap_or(false);
    (200, json!({"reached": reached, "log": log(script)}))
}
