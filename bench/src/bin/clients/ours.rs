//! The core under measurement.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use ossai::client::config::{Coalesce, ProviderConfig, Store};
use ossai::{CallOptions, CompletionRequest, Config, StreamEvent};
use serde_json::{Value, json};

use crate::meter::{Span, quantile, resident_mb};
use crate::work::{prompt, upstream_calls};
use crate::{Outcome, Plan, Target};

pub(crate) const MODEL: &str = "openai/gpt-4o-mini";

#[derive(Clone)]
pub(crate) struct Ossai {
    client: ossai::Client,
}

impl Ossai {
    /// Retries, deadlines, shared flights, prices and counters as they come; the cache if `store`.
    pub(crate) fn new(base: &str, store: bool) -> Outcome<Self> {
        let mut config = Config::default();
        let provider = ProviderConfig {
            base_url: Some(base.to_owned()),
            api_key: Some(String::from("sk-bench").into()),
            ..ProviderConfig::default()
        };
        config.providers.insert("openai".into(), provider);
        config.coalesce = Coalesce::All;
        config.cache.enabled = store;
        config.cache.store = Store::All;
        Ok(Self {
            client: ossai::Client::new(config)?,
        })
    }
}

/// A configuration with the one provider at `base`, and what else it is to have.
pub(crate) fn config(base: &str, more: Value) -> Outcome<Config> {
    let mut config = json!({"providers": {"openai": {"base_url": base, "api_key": "sk-bench"}}});
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    Ok(Config::from_json(&config.to_string())?)
}

impl Ossai {
    /// As [`Ossai::new`] without the cache, with three budgets that every call counts against, or with none.
    pub(crate) fn budgeted(base: &str, is_budgeted: bool) -> Outcome<Self> {
        let most = 1_000_000_000_000_000_u64;
        let limits = json!([
            {"window": "day", "nano_usd": most, "tokens": most},
            {"window": "month", "nano_usd": most, "tokens": most},
            {"scope": "model", "window": "hour", "tokens": most},
        ]);
        let limits = if is_budgeted { limits } else { json!([]) };
        let more =
            json!({"coalesce": "all", "cache": {"enabled": false}, "budgets": {"limits": limits}});
        Ok(Self {
            client: ossai::Client::new(config(base, more)?)?,
        })
    }
}

impl Target for Ossai {
    async fn call(&self, prompt: String) -> Outcome<usize> {
        let request = CompletionRequest::new(MODEL, prompt);
        Ok(self.client.complete(request).await?.text.len())
    }

    async fn stream(&self, prompt: String) -> Outcome<usize> {
        let request = CompletionRequest::new(MODEL, prompt);
        let mut stream = self.client.stream(request).await?;
        let mut with_text = 0;
        while let Some(event) = stream.next().await {
            if let StreamEvent::TextDelta { text, .. } = event? {
                with_text += usize::from(!text.is_empty());
            }
        }
        Ok(with_text)
    }
}

const LOOK_UPS: usize = 20_000;

/// What is asked again and again, with its answer in the cache.
async fn primed(base: &str, bytes: usize) -> Outcome<(ossai::Client, Arc<CompletionRequest>)> {
    let client = Ossai::new(base, true)?.client;
    let request = Arc::new(CompletionRequest::new(MODEL, prompt(bytes)));
    client.complete(Arc::clone(&request)).await?;
    Ok((client, request))
}

fn look_ups(bytes: usize) -> usize {
    (LOOK_UPS * 2_000 / bytes.max(2_000)).max(500)
}

fn latency(bytes: usize, mut samples: Vec<std::time::Duration>, cpu: f64) -> Value {
    let n = samples.len() as f64;
    samples.sort_unstable();
    json!({
        "bytes": bytes,
        "p50_us": quantile(&samples, 0.5),
        "p95_us": quantile(&samples, 0.95),
        "cpu_us": cpu * 1e6 / n,
        "resident_mb": resident_mb(),
    })
}

/// `complete`, answered by the memory cache.
pub(crate) async fn hit(base: &str, bytes: usize) -> Outcome<Value> {
    let (client, request) = primed(base, bytes).await?;
    let n = look_ups(bytes);
    let options = Arc::new(CallOptions::default());
    let mut samples = Vec::with_capacity(n);
    for _ in 0..n {
        let start = Instant::now();
        let answer = client
            .complete_with(Arc::clone(&request), Arc::clone(&options))
            .await?;
        drop(std::hint::black_box(answer));
        samples.push(start.elapsed());
    }
    // Again without a clock between, for the CPU.
    let span = Span::start();
    for _ in 0..n {
        let call = client.complete_with(Arc::clone(&request), Arc::clone(&options));
        drop(std::hint::black_box(call.await?));
    }
    let (cpu, _) = span.end();
    Ok(latency(bytes, samples, cpu))
}

/// `lookup`, which needs no runtime: what the bindings call.
pub(crate) async fn hit_lookup(base: &str, bytes: usize) -> Outcome<Value> {
    let (client, request) = primed(base, bytes).await?;
    let n = look_ups(bytes);
    let options = Arc::new(CallOptions::default());
    let mut samples = Vec::with_capacity(n);
    for _ in 0..n {
        let start = Instant::now();
        let answer = client.lookup(&request, &options)?.ok_or("a miss")?;
        drop(std::hint::black_box(answer));
        samples.push(start.elapsed());
    }
    let span = Span::start();
    for _ in 0..n {
        let answer = client.lookup(&request, &options)?.ok_or("a miss")?;
        drop(std::hint::black_box(answer));
    }
    let (cpu, _) = span.end();
    Ok(latency(bytes, samples, cpu))
}

pub(crate) async fn count_hits(plan: &Plan) -> Outcome<Value> {
    let (client, request) = primed(&plan.base(), plan.bytes).await?;
    let options = Arc::new(CallOptions::default());
    let mut bytes = 0;
    for _ in 0..plan.at {
        bytes += client
            .lookup(&request, &options)?
            .ok_or("a miss")?
            .text
            .len();
    }
    Ok(json!({ "at": plan.at, "read": bytes }))
}

/// Waiters on one flight: the price of joining (all there is before the wait), and of everything up to the answer.
pub(crate) async fn join(plan: &Plan) -> Outcome<Value> {
    let client = Ossai::new(&plan.base(), false)?.client;
    client
        .complete(CompletionRequest::new(MODEL, prompt(plan.bytes)))
        .await?;
    upstream_calls(&plan.url).await?;
    let request = Arc::new(CompletionRequest::new(MODEL, prompt(plan.bytes)));
    let options = Arc::new(CallOptions::default());
    let mut calls: Vec<_> = (0..plan.at)
        .map(|_| {
            let client = client.clone();
            let (request, options) = (Arc::clone(&request), Arc::clone(&options));
            Box::pin(async move { client.complete_with(request, options).await })
        })
        .collect();
    let span = Span::start();
    for call in &mut calls {
        let first = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(early) = first {
            return Err(format!("answered before its upstream: {early:?}").into());
        }
    }
    let (_, joining) = span.end();
    let tasks: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut joined = 0_usize;
    for task in tasks {
        joined += usize::from(task.await??.cache.joined);
    }
    let (cpu, wall) = span.end();
    let upstream = upstream_calls(&plan.url).await?;
    if upstream != 1 || joined + 1 != plan.at {
        return Err(format!("{upstream} upstream calls, {joined} joined").into());
    }
    Ok(json!({
        "at": plan.at,
        "upstream": upstream,
        "join_us": joining * 1e6 / plan.at as f64,
        "cpu_us": cpu * 1e6 / plan.at as f64,
        "wall_ms": wall * 1e3,
        "resident_mb": resident_mb(),
    }))
}
