//! What `ask` says beside the answer: cost, counters, what an interrupted call used, and a dry run.

use std::time::SystemTime;

use ossai::cost::{self, PriceContext};
use ossai::observe::Stats;
use ossai::{
    CallOptions, Client, Completion, CompletionRequest, Cost, CostStatus, EstimateOptions, NanoUsd,
    Trace, Usage,
};
use serde_json::json;

use crate::failure::Failure;
use crate::global::{Global, shown};
use crate::money::amount;

/// One line: tokens, cost, cache, time.
pub(super) fn cost(answer: &Completion) {
    let usage = &answer.usage;
    let mut line = format!("{}: {} tokens in", answer.model, usage.input_tokens);
    if usage.cache_read_tokens > 0 {
        line.push_str(&format!(
            " ({} from the vendor's cache)",
            usage.cache_read_tokens
        ));
    }
    line.push_str(&format!(", {} out", usage.output_tokens));
    if usage.reasoning_tokens > 0 {
        line.push_str(&format!(" ({} reasoning)", usage.reasoning_tokens));
    }
    if usage.estimated {
        line.push_str(", counted here");
    }
    line.push_str(&match answer.cost.total {
        Some(total) => format!(", {total}"),
        None => ", cost unknown".into(),
    });
    let status = serde_json::to_value(answer.cache.status).unwrap_or_default();
    line.push_str(&format!(", cache {}", status.as_str().unwrap_or("-")));
    if answer.cache.joined {
        line.push_str(", shared");
    }
    if let Some(saved) = answer.cache.saved.filter(|saved| saved.0 > 0) {
        line.push_str(&format!(", saved {saved}"));
    }
    line.push_str(&format!(", {}", millis(answer.timing.total_us)));
    if let Some(first) = answer.timing.first_token_us {
        line.push_str(&format!(" (first token {})", millis(first)));
    }
    anstream::eprintln!("{line}");
}

#[allow(clippy::cast_precision_loss)]
fn millis(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1000.0)
}

/// One line: what several calls came down to.
pub(super) fn stats(stats: &Stats) {
    anstream::eprintln!(
        "{} calls: {} flights, {} joined, {} cache hits, {} upstream calls, {} spent, {} saved",
        stats.calls,
        stats.flights,
        stats.joined,
        stats.cache_hits,
        stats.attempts,
        stats.spent,
        stats.saved
    );
}

/// What a call that was cut off used: the vendor's count where one came, else our own.
pub(super) struct Used {
    pub(super) usage: Usage,
    pub(super) cost: Cost,
}

pub(super) fn used(client: &Client, request: &CompletionRequest, so_far: &Completion) -> Used {
    let mut usage = so_far.usage.clone();
    if usage.output_tokens == 0 && !so_far.text.is_empty() {
        usage.output_tokens = client.count_text(&request.model, &so_far.text).tokens;
        usage.estimated = true;
    }
    if usage.input_tokens == 0 {
        usage.input_tokens = client.count(request).map_or(0, |count| count.tokens);
        usage.estimated = true;
    }
    let cost = if request.model.starts_with("local/") {
        Cost {
            status: CostStatus::Exact,
            total: Some(NanoUsd::ZERO),
            ..Cost::default()
        }
    } else {
        let context = PriceContext {
            service_tier: request.service_tier.as_deref(),
            ..PriceContext::at(SystemTime::now())
        };
        let found = client.prices().find(&request.model);
        found
            .map(|found| cost::cost(&found, &usage, &context))
            .unwrap_or_default()
    };
    Used { usage, cost }
}

/// One line: what a call that was cut off used.
pub(super) fn partial(
    why: &str,
    client: &Client,
    request: &CompletionRequest,
    so_far: &Completion,
) {
    let Used { usage, cost } = used(client, request, so_far);
    let about = if usage.estimated { "about " } else { "" };
    anstream::eprintln!(
        "{why} after {about}{} tokens in, {} out, {}",
        usage.input_tokens,
        usage.output_tokens,
        cost.total.map_or_else(
            || "cost unknown".to_owned(),
            |total| format!("{about}{total}")
        )
    );
}

/// Why the call came out as it did, a line for each decision.
pub(super) fn trace(trace: &Trace) {
    for step in &trace.steps {
        let by = step
            .by
            .as_ref()
            .map_or(String::new(), |by| format!("{by}: "));
        let mut line = format!(
            "{:>9.3} ms  {by}{} {}",
            step.at_us as f64 / 1000.0,
            step.stage,
            step.outcome
        );
        if let Some(attempt) = step.attempt {
            line.push_str(&format!(" #{attempt}"));
        }
        if let Some(why) = &step.why {
            line.push_str(&format!(" ({why})"));
        }
        if let Some(wait) = step.wait_ms {
            line.push_str(&format!(" for {wait} ms"));
        }
        if !step.fields.is_empty() {
            line.push_str(&format!(": {}", step.fields.join(", ")));
        }
        anstream::eprintln!("{line}");
    }
    if trace.omitted > 0 {
        anstream::eprintln!("{} more decisions were left out", trace.omitted);
    }
}

/// The request as it would be sent, what it counts and costs, and the configuration with its keys hidden.
pub(super) fn dry_run(
    global: &Global,
    client: &Client,
    request: &CompletionRequest,
    options: &CallOptions,
) -> Result<(), Failure> {
    let count = client.count(request)?;
    let estimate = client.estimate(request, &EstimateOptions::default())?;
    if !global.json && !global.jsonl {
        anstream::eprintln!(
            "{}{} tokens in; {} to {}, expected {}; nothing was sent",
            if count.exact { "" } else { "about " },
            count.tokens,
            amount(estimate.low),
            amount(estimate.high),
            amount(estimate.expected)
        );
    }
    global.print_json(&json!({
        "request": request,
        "options": options,
        "tokens": count,
        "estimate": estimate,
        "key": client.key(request)?.hex(),
        "config": shown(client.config()),
    }))
}
