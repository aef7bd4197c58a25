//! Hits of each cache tier, as a caller meets them.

use std::time::{Duration, Instant};

use ossai::types::CacheTier;
use ossai::{Client, CompletionRequest};
use serde_json::{Value, json};

use crate::meter::{Span, quantile, resident_mb};
use crate::ours::{MODEL, config};
use crate::work::prompt;
use crate::{Outcome, Plan};

/// Answers in the tier, and how often each is looked for.
const ANSWERS: usize = 500;
const ROUNDS: usize = 6;
/// How long what was written may take to be in the tier.
const WRITTEN: Duration = Duration::from_secs(30);

/// Every answer looked for in turn, one at a time. The tiers above are off; the disk's files may be in the system's own cache.
pub(crate) async fn hits(client: &str, plan: &Plan) -> Outcome<Value> {
    let (tier, beneath) = match client {
        "ossai-memory" => (CacheTier::Memory, json!({})),
        "ossai-redis" => {
            let url = plan.redis.as_deref().ok_or("expected --redis")?;
            // Slow looks are to be seen, and not to be misses after 100 ms.
            let redis = json!({"url": url, "timeout_ms": 5_000});
            (CacheTier::Redis, json!({"redis": redis}))
        }
        "ossai-disk" => {
            let folder = plan.folder.as_deref().ok_or("expected --folder")?;
            let disk = json!({"path": folder, "timeout_ms": 5_000});
            (CacheTier::Disk, json!({"disk": disk}))
        }
        _ => return Err(crate::USAGE.into()),
    };
    let opened = |memory: u64| {
        let mut cache = beneath.clone();
        cache["store"] = json!("all");
        cache["max_bytes"] = json!(memory);
        config(&plan.base(), json!({"cache": cache})).and_then(|config| Ok(Client::new(config)?))
    };
    let requests: Vec<_> = (0..ANSWERS)
        .map(|_| CompletionRequest::new(MODEL, prompt(plan.bytes)))
        .collect();
    let writer = opened(64 << 20)?;
    for request in &requests {
        writer.complete(request.clone()).await?;
    }
    let reader = if tier == CacheTier::Memory {
        writer
    } else {
        writer.close(WRITTEN).await;
        opened(0)?
    };
    let mut samples = Vec::with_capacity(ANSWERS * ROUNDS);
    // Connections and first-use tables belong to start-up.
    let (mut round, mut span) = (0, Span::start());
    while round <= ROUNDS {
        if round == 1 {
            (samples, span) = (Vec::with_capacity(ANSWERS * ROUNDS), Span::start());
        }
        for request in &requests {
            let request = request.clone();
            let start = Instant::now();
            let answer = reader.complete(request).await?;
            samples.push(start.elapsed());
            if round > 0 && (answer.cache.tier != Some(tier) || answer.text.len() != 10_000) {
                return Err(format!("expected a hit of the tier, found {:?}", answer.cache).into());
            }
        }
        round += 1;
    }
    let (cpu, _) = span.end();
    let n = samples.len() as f64;
    samples.sort_unstable();
    Ok(json!({
        "bytes": 10_000,
        "p50_us": quantile(&samples, 0.5),
        "p95_us": quantile(&samples, 0.95),
        "p99_us": quantile(&samples, 0.99),
        "cpu_us": cpu * 1e6 / n,
        "resident_mb": resident_mb(),
    }))
}
