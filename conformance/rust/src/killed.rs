//! A process that dies between two steps of a call, as no process that answers for itself can.

use std::process::Stdio;

use ossai::{CallOptions, Client, CompletionRequest, Config};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// The argument that makes this program that process.
pub(crate) const ARGUMENT: &str = "--streams-until-killed";

/// Starts it, hands it the configuration and the request, and kills it (SIGKILL) once it has the first event.
pub(crate) async fn after_its_first_event(config: &Value, request: &Value) -> Result<(), String> {
    let told = |e: std::io::Error| format!("the process to be killed: {e}");
    let program = std::env::current_exe().map_err(told)?;
    let mut child = Command::new(program)
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(told)?;
    if let Some(mut stdin) = child.stdin.take() {
        let lines = format!("{config}\n{request}\n");
        stdin.write_all(lines.as_bytes()).await.map_err(told)?;
    }
    let stdout = child.stdout.take().ok_or("it has no standard output")?;
    let line = BufReader::new(stdout).lines().next_line().await;
    let line = line.map_err(told)?.unwrap_or_default();
    child.kill().await.map_err(told)?;
    if line == "event" {
        Ok(())
    } else {
        Err(format!("no event came in the process to be killed: {line}"))
    }
}

/// What it does: says when the first event of its stream is there, and waits for its end.
pub(crate) async fn run() -> Result<(), String> {
    let mut lines = std::io::stdin().lines();
    let mut next = || {
        let line = lines.next().unwrap_or(Ok(String::new()));
        line.map_err(|e| e.to_string())
    };
    let config = Config::from_json(&next()?).map_err(|e| e.to_string())?;
    let request: CompletionRequest = serde_json::from_str(&next()?).map_err(|e| e.to_string())?;
    let client = Client::new(config).map_err(|e| e.to_string())?;
    let stream = client.stream_with(request, CallOptions::default()).await;
    let mut stream = stream.map_err(|e| e.to_string())?;
    match stream.next().await {
        Some(Ok(_)) => println!("event"),
        Some(Err(error)) => return Err(error.to_string()),
        None => return Err("the stream ended".into()),
    }
    std::future::pending().await
}
