//! Prometheus metrics: `gen_ai_*` as the OpenTelemetry conventions translate, `ossai_*` for what they lack.
//!
//! Few labels, none of them a tenant's, a user's or a request's; the pairs of provider and model are bounded, what is
//! over the bound is `other`.

mod histogram;
mod text;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use histogram::Histogram;

use crate::store::UsageRow;

/// Boundaries of durations: OpenTelemetry's, with three more for models that think for minutes.
const SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];
/// Boundaries of token counts: OpenTelemetry's.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// One finished call.
pub(crate) struct Sample<'a> {
    pub(crate) row: &'a UsageRow,
    pub(crate) streamed: bool,
    pub(crate) latency: Duration,
    pub(crate) first_token: Option<Duration>,
}

pub(crate) struct Metrics {
    most_models: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    models: HashSet<(String, String)>,
    durations: BTreeMap<Call, Histogram>,
    first_tokens: BTreeMap<Place, Histogram>,
    tokens: BTreeMap<(Place, &'static str), Histogram>,
    money: BTreeMap<Place, Money>,
    caches: BTreeMap<&'static str, u64>,
    coalesced: u64,
    retries: u64,
    responses: BTreeMap<(&'static str, u16), u64>,
    refusals: BTreeMap<&'static str, u64>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    operation: &'static str,
    provider: String,
    model: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    place: Place,
    /// Empty when it went well.
    error: String,
    streamed: bool,
}

/// In nanodollars.
#[derive(Clone, Copy, Default)]
struct Money {
    spent: u128,
    saved: u128,
    unknown: u64,
}

impl Metrics {
    pub(crate) fn new(most_models: usize) -> Self {
        Self {
            most_models,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a finished call.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn record(&self, sample: &Sample<'_>) {
        let Sample {
            row,
            streamed,
            latency,
            first_token,
        } = *sample;
        let mut state = self.state();
        let place = state.place(row, self.most_models);
        let error = if row.outcome == "ok" {
            String::new()
        } else {
            row.outcome.clone()
        };
        let call = Call {
            place: place.clone(),
            error,
            streamed,
        };
        state
            .durations
            .entry(call)
            .or_insert_with(|| Histogram::new(SECONDS))
            .observe(latency.as_secs_f64());
        if let Some(first) = first_token {
            let histogram = state
                .first_tokens
                .entry(place.clone())
                .or_insert_with(|| Histogram::new(SECONDS));
            histogram.observe(first.as_secs_f64());
        }
        if row.outcome == "ok" && row.cache != "hit" && row.joined == 0 {
            for (kind, tokens) in [
                ("input", row.usage.input_tokens),
                ("output", row.usage.output_tokens),
            ] {
                let histogram = state
                    .tokens
                    .entry((place.clone(), kind))
                    .or_insert_with(|| Histogram::new(TOKENS));
                histogram.observe(tokens as f64);
            }
        }
        let money = state.money.entry(place).or_default();
        match row.cost {
            Some(cost) => money.spent += u128::from(cost.0),
            None => money.unknown += 1,
        }
        money.saved += u128::from(row.saved.unwrap_or_default().0);
        let result = match (row.joined > 0, row.cache.as_str()) {
            (true, _) => "coalesced",
            (_, "hit") => "hit",
            (_, "miss") => "miss",
            _ => "bypass",
        };
        *state.caches.entry(result).or_default() += 1;
        state.coalesced += u64::from(row.joined);
        state.retries += u64::from(row.attempts.saturating_sub(1));
    }

    /// Counts money that no call was told of.
    pub(crate) fn untold(&self, row: &UsageRow) {
        let mut state = self.state();
        let place = state.place(row, self.most_models);
        let money = state.money.entry(place).or_default();
        money.spent += u128::from(row.cost.unwrap_or_default().0);
    }

    /// Counts a request that was refused before its provider was asked.
    pub(crate) fn refused(&self, reason: &'static str) {
        *self.state().refusals.entry(reason).or_default() += 1;
    }

    /// Counts an HTTP answer of any route.
    pub(crate) fn responded(&self, route: &'static str, status: u16) {
        *self.state().responses.entry((route, status)).or_default() += 1;
    }
}

impl State {
    fn place(&mut self, row: &UsageRow, most: usize) -> Place {
        let operation = if row.operation == "embeddings" {
            "embeddings"
        } else {
            "chat"
        };
        let pair = (row.provider.clone(), row.model.clone());
        // A name nobody knows is a caller's invention: no label for it.
        let known = row.outcome != "not_found" && row.outcome != "invalid_request";
        let (provider, model) = if self.models.contains(&pair) {
            pair
        } else if known && self.models.len() < most {
            self.models.insert(pair.clone());
            pair
        } else {
            ("other".into(), "other".into())
        };
        Place {
            operation,
            provider,
            model,
        }
    }
}

#[cfg(test)]
mod tests {
    use ossai::NanoUsd;

    use super::*;

    fn row(model: &str) -> UsageRow {
        UsageRow {
            operation: "chat".into(),
            provider: model.split('/').next().unwrap_or_default().into(),
            model: model.into(),
            outcome: "ok".into(),
            cost: Some(NanoUsd(1_500_000_000)),
            ..UsageRow::default()
        }
    }

    fn record(metrics: &Metrics, row: &UsageRow) {
        metrics.record(&Sample {
            row,
            streamed: false,
            latency: Duration::from_millis(30),
            first_token: None,
        });
    }

    #[test]
    fn models_over_the_bound_are_counted_as_other() {
        let metrics = Metrics::new(2);
        for model in ["a/1", "a/2", "a/3", "a/4", "a/1"] {
            record(&metrics, &row(model));
        }
        let text = metrics.render(0);
        assert!(
            text.contains(r#"ossai_cost_usd_total{provider="a",model="a/1"} 3"#),
            "{text}"
        );
        assert!(
            text.contains(r#"ossai_cost_usd_total{provider="other",model="other"} 3"#),
            "{text}"
        );
        assert!(!text.contains("a/3"));
    }

    #[test]
    fn a_name_that_is_no_model_gets_no_label() {
        let metrics = Metrics::new(2);
        record(
            &metrics,
            &UsageRow {
                outcome: "not_found".into(),
                ..row("evil\"\n/x")
            },
        );
        let text = metrics.render(0);
        assert!(!text.contains("evil"));
    }

    #[test]
    fn labels_are_escaped() {
        let metrics = Metrics::new(2);
        record(&metrics, &row("a/\"\\\n"));
        assert!(metrics.render(0).contains(r#"model="a/\"\\\n""#));
    }

    #[test]
    fn buckets_are_cumulative_and_end_in_infinity() {
        let metrics = Metrics::new(2);
        record(&metrics, &row("a/1"));
        let text = metrics.render(3);
        let bucket = |le: &str, n: u64| {
            let line = format!(
                "gen_ai_client_operation_duration_seconds_bucket{{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"a\",gen_ai_request_model=\"a/1\",error_type=\"\",stream=\"false\",le=\"{le}\"}} {n}\n"
            );
            assert!(text.contains(&line), "{line}{text}");
        };
        bucket("0.02", 0);
        bucket("0.04", 1);
        bucket("655.36", 1);
        bucket("+Inf", 1);
        assert!(text.contains("ossai_inflight_requests 3\n"));
    }
}
