//! The measurements every client can take part in.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::meter::{Span, resident_mb};
use crate::{Outcome, Plan, Target};

/// A prompt of that size that was never asked before, so that nothing can be shared or remembered.
pub(crate) fn prompt(bytes: usize) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut prompt = format!("{:020} ", NEXT.fetch_add(1, Relaxed));
    const WORDS: &str =
        "Why is the sky blue, and why is it red in the evening? Answer in two sentences. ";
    while prompt.len() < bytes {
        let rest = bytes - prompt.len();
        prompt.push_str(WORDS.get(..rest).unwrap_or(WORDS));
    }
    prompt.truncate(bytes.max(20));
    prompt
}

async fn load<T: Target>(client: &T, at: usize, seconds: f64, bytes: usize) -> Outcome<u64> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> = (0..at)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut calls = 0;
                while Instant::now() < end {
                    client.call(prompt(bytes)).await?;
                    calls += 1;
                }
                Ok::<u64, crate::Failure>(calls)
            })
        })
        .collect();
    let mut calls = 0;
    for task in tasks {
        calls += task.await??;
    }
    Ok(calls)
}

pub(crate) async fn calls<T: Target>(client: T, plan: &Plan) -> Outcome<Value> {
    // Connections, lazily read certificates and first-use tables belong to start-up.
    load(&client, plan.at, 0.2, plan.bytes).await?;
    let span = Span::start();
    let calls = load(&client, plan.at, plan.seconds, plan.bytes).await?;
    let (cpu, wall) = span.end();
    Ok(json!({
        "at": plan.at,
        "bytes": plan.bytes,
        "calls": calls,
        "cpu_us": cpu * 1e6 / calls as f64,
        "per_s": calls as f64 / wall,
        "resident_mb": resident_mb(),
    }))
}

pub(crate) async fn sizes<T: Target>(client: T, plan: &Plan) -> Outcome<Value> {
    let repeats = (20_000_000 / plan.bytes.max(1)).clamp(4, 500);
    for _ in 0..2 {
        client.call(prompt(plan.bytes)).await?;
    }
    let (mut cpu, mut wall) = (0.0, 0.0);
    for _ in 0..repeats {
        let prompt = prompt(plan.bytes);
        let span = Span::start();
        client.call(prompt).await?;
        let used = span.end();
        cpu += used.0;
        wall += used.1;
    }
    let repeats = repeats as f64;
    Ok(
        json!({ "bytes": plan.bytes, "cpu_us": cpu * 1e6 / repeats, "wall_us": wall * 1e6 / repeats, "resident_mb": resident_mb() }),
    )
}

pub(crate) async fn burst<T: Target>(client: T, plan: &Plan) -> Outcome<Value> {
    for _ in 0..5 {
        check_events(client.stream(prompt(plan.bytes)).await?, 2_000)?;
    }
    let end = Instant::now() + Duration::from_secs_f64(plan.seconds);
    let (mut events, span) = (0, Span::start());
    while Instant::now() < end {
        events += client.stream(prompt(plan.bytes)).await?;
    }
    let (cpu, wall) = span.end();
    Ok(
        json!({ "events": events, "cpu_us": cpu * 1e6 / events as f64, "per_s": events as f64 / wall }),
    )
}

pub(crate) async fn paced<T: Target>(client: T) -> Outcome<Value> {
    let span = Span::start();
    let events = client.stream(prompt(330)).await?;
    let (cpu, wall) = span.end();
    check_events(events, 1_000)?;
    Ok(
        json!({ "events": events, "cpu_us": cpu * 1e6 / events as f64, "per_s": events as f64 / wall }),
    )
}

fn check_events(events: usize, expected: usize) -> Outcome<()> {
    if events == expected {
        return Ok(());
    }
    Err(format!("expected {expected} events with text, found {events}").into())
}

pub(crate) async fn identical<T: Target>(client: T, plan: &Plan) -> Outcome<Value> {
    client.call(prompt(plan.bytes)).await?;
    upstream_calls(&plan.url).await?;
    let prompt = prompt(plan.bytes);
    let span = Span::start();
    let tasks: Vec<_> = (0..plan.at)
        .map(|_| {
            let (client, prompt) = (client.clone(), prompt.clone());
            tokio::spawn(async move { client.call(prompt).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let (cpu, wall) = span.end();
    Ok(json!({
        "at": plan.at,
        "upstream": upstream_calls(&plan.url).await?,
        "cpu_us": cpu * 1e6 / plan.at as f64,
        "wall_ms": wall * 1e3,
    }))
}

pub(crate) async fn startup<T: Target>(client: T, plan: &Plan, made: Duration) -> Outcome<Value> {
    client.call(prompt(plan.bytes)).await?;
    let answered = plan.started.elapsed();
    Ok(json!({
        "client_ms": made.as_secs_f64() * 1e3,
        "first_answer_ms": answered.as_secs_f64() * 1e3,
        "resident_mb": resident_mb(),
    }))
}

pub(crate) async fn count<T: Target>(client: T, plan: &Plan, stream: bool) -> Outcome<Value> {
    let mut bytes = 0;
    for _ in 0..plan.at {
        bytes += match stream {
            true => client.stream(prompt(plan.bytes)).await?,
            false => client.call(prompt(plan.bytes)).await?,
        };
    }
    Ok(json!({ "at": plan.at, "read": bytes }))
}

/// How many calls the upstream has answered since it was last asked.
pub(crate) async fn upstream_calls(url: &str) -> Outcome<u64> {
    let address = url.trim_start_matches("http://");
    let mut socket = tokio::net::TcpStream::connect(address).await?;
    socket.write_all(b"GET /count HTTP/1.1\r\n\r\n").await?;
    let mut answer = [0; 256];
    let n = socket.read(&mut answer).await?;
    let text = std::str::from_utf8(answer.get(..n).unwrap_or_default())?;
    Ok(text.rsplit("\r\n\r\n").next().unwrap_or_default().parse()?)
}
