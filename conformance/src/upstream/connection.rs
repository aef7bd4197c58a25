//! One connection: read a request, send what the script says, watch for the client leaving meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::http1::{self, Request};
use super::log::{Entry, Outcome};
use super::wire::Wire;
use super::{Scripted, State, unix_ms};
use crate::script::{Plan, RequestView, Response, Step, plan};

/// Whom a connection's requests are for.
pub(super) enum Target {
    /// The script named by the first segment of the path.
    Shared(Arc<State>),
    /// This script.
    Own(Arc<Scripted>),
}

/// Serves requests until either side ends the connection.
pub(super) async fn serve(mut stream: Wire, connection: u64, target: Target) {
    let mut buffer = Vec::new();
    while let Ok(mut request) = http1::read(&mut stream, &mut buffer).await {
        let scripted = match &target {
            Target::Own(scripted) => Some(scripted.clone()),
            Target::Shared(state) => find_script(state, &mut request),
        };
        let Some(scripted) = scripted else {
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 15\r\nconnection: close\r\n\r\nno such script\n";
            let _ = stream.write_all(answer).await;
            return;
        };
        match respond(&mut stream, &mut buffer, connection, &scripted, &request).await {
            Next::KeepAlive => {}
            Next::Close => {
                let _ = stream.shutdown().await;
                return;
            }
            Next::Reset => return stream.reset(),
        }
    }
}

/// Takes the script's prefix off the path.
fn find_script(state: &State, request: &mut Request) -> Option<Arc<Scripted>> {
    let rest = request.target.strip_prefix('/')?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (id, rest) = rest.split_at(end);
    let scripted = state.script(id)?;
    let prefix = format!("/{id}");
    let target = if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    (request.prefix, request.target) = (prefix, target);
    Some(scripted)
}

enum Next {
    KeepAlive,
    Close,
    Reset,
}

async fn respond(
    stream: &mut Wire,
    buffer: &mut Vec<u8>,
    connection: u64,
    scripted: &Scripted,
    request: &Request,
) -> Next {
    let (path, query) = request.split_target();
    let body = request.logged_body();
    let at_ms = scripted.now_ms();
    let (number, response) = scripted.take(Entry {
        connection,
        at_ms,
        at_unix_ms: unix_ms(),
        method: request.method.clone(),
        path: path.into(),
        query: query.into(),
        headers: request.headers.clone(),
        body: body.clone(),
        body_bytes: request.body.len(),
        ..Entry::default()
    });
    scripted.change(|seen| {
        if !seen.log.connections.contains(&connection) {
            seen.log.connections.push(connection);
        }
    });
    let host = request.header("host").unwrap_or_default();
    let view = RequestView {
        number,
        body,
        base: format!("http://{host}{}", request.prefix),
        earlier: scripted.submissions(number),
    };
    let plan = make_plan(response, &view);
    scripted.note(number, |entry| entry.status = Some(plan.status));

    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut stopped = scripted.stopped.subscribe();
    let mut sent = 0;
    let ended = tokio::select! {
        biased;
        ended = send(&mut writer, &plan, scripted.scale, &mut sent) => ended,
        outcome = watch_client(&mut reader, buffer) => (outcome, Next::Close),
        _ = stopped.wait_for(|stopped| *stopped) => (Outcome::Deleted, Next::Close),
    };
    let (outcome, next) = ended;
    let now = scripted.now_ms();
    scripted.note(number, |entry| {
        entry.outcome = Some(outcome);
        entry.done_ms = Some(now);
        entry.sent_bytes = sent;
        if matches!(outcome, Outcome::ClientClosed | Outcome::ClientReset) {
            entry.client_gone_ms = Some(now - at_ms);
            entry.client_gone_unix_ms = Some(unix_ms());
        }
    });
    next
}

fn make_plan(response: Option<Response>, request: &RequestView) -> Plan {
    let fault = |message: &str| Response {
        status: Some(500),
        body: serde_json::json!({"openai_error": {"type": "script_error", "message": message}}),
        headers: vec![("x-should-retry".into(), Some("false".into()))],
        ..Response::default()
    };
    let exhausted = || {
        fault(&format!(
            "the script has no response left for request {}",
            request.number
        ))
    };
    let response = response.unwrap_or_else(exhausted);
    plan(&response, request)
        .or_else(|error| plan(&fault(&error), request))
        .unwrap_or(Plan {
            steps: vec![Step::Close],
            keep_alive: false,
            status: 500,
        })
}

async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    plan: &Plan,
    scale: f64,
    sent: &mut usize,
) -> (Outcome, Next) {
    for step in &plan.steps {
        match step {
            Step::Write(bytes) => {
                if writer.write_all(bytes).await.is_err() || writer.flush().await.is_err() {
                    return (Outcome::ClientReset, Next::Close);
                }
                *sent += bytes.len();
            }
            // Even without time between them two pieces must leave as two writes, and others get their turn.
            Step::Wait(ms) if *ms <= 0.0 => tokio::task::yield_now().await,
            Step::Wait(ms) => {
                tokio::time::sleep(Duration::from_secs_f64(ms / 1000.0 / scale)).await
            }
            Step::Stall => std::future::pending().await,
            Step::Reset => return (Outcome::Reset, Next::Reset),
            Step::Close => return (Outcome::Closed, Next::Close),
        }
    }
    (
        Outcome::Sent,
        if plan.keep_alive {
            Next::KeepAlive
        } else {
            Next::Close
        },
    )
}

/// Ends when the client closes or resets; what it sends meanwhile is kept for the next request.
async fn watch_client(reader: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Outcome {
    loop {
        if buffer.len() > 1 << 20 {
            return std::future::pending().await;
        }
        match reader.read_buf(buffer).await {
            Ok(0) => return Outcome::ClientClosed,
            Ok(_) => {}
            Err(_) => return Outcome::ClientReset,
        }
    }
}
