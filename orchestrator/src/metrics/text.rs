//! The text format Prometheus reads (version 0.0.4).

use std::fmt::Write as _;

use super::histogram::Histogram;
use super::{Metrics, Place};

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        for (bound, n) in histogram.cumulative() {
            let _ = writeln!(self.0, "{name}_bucket{{{labels},le=\"{bound}\"}} {n}");
        }
        let count = histogram.count();
        let _ = writeln!(self.0, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(self.0, "{name}_sum{{{labels}}} {}", histogram.sum());
        let _ = writeln!(self.0, "{name}_count{{{labels}}} {count}");
    }
}

/// `name="value"` for each, comma between them.
fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let _ = write!(text, "{name}=\"{value}\"");
    }
    text
}

fn gen_ai(place: &Place, more: &[(&str, &str)]) -> String {
    let mut pairs = vec![
        ("gen_ai_operation_name", place.operation),
        ("gen_ai_provider_name", &*place.provider),
        ("gen_ai_request_model", &*place.model),
    ];
    pairs.extend(more);
    labels(&pairs)
}

/// Nanodollars as dollars, exactly.
fn usd(nano: u128) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Metrics {
    /// All metrics as text.
    pub(crate) fn render(&self, in_flight: usize) -> String {
        let state = self.state();
        let mut out = Text(String::with_capacity(16 * 1024));

        let name = "gen_ai_client_operation_duration_seconds";
        out.family(
            name,
            "histogram",
            "Duration of calls, from their arrival to their end.",
        );
        for (call, histogram) in &state.durations {
            let stream = if call.streamed { "true" } else { "false" };
            let labels = gen_ai(
                &call.place,
                &[("error_type", &call.error), ("stream", stream)],
            );
            out.histogram(name, &labels, histogram);
        }
        let name = "gen_ai_client_operation_time_to_first_chunk_seconds";
        out.family(
            name,
            "histogram",
            "Time to the first chunk of streamed calls.",
        );
        for (place, histogram) in &state.first_tokens {
            out.histogram(name, &gen_ai(place, &[]), histogram);
        }
        let name = "gen_ai_client_token_usage";
        out.family(name, "histogram", "Tokens of answered calls.");
        for ((place, kind), histogram) in &state.tokens {
            out.histogram(
                name,
                &gen_ai(place, &[("gen_ai_token_type", kind)]),
                histogram,
            );
        }

        let of = |place: &Place| labels(&[("provider", &place.provider), ("model", &place.model)]);
        for (name, help) in [
            ("ossai_cost_usd_total", "Money spent at known prices."),
            (
                "ossai_saved_usd_total",
                "Money not spent thanks to caches and shared calls.",
            ),
            (
                "ossai_unknown_cost_calls_total",
                "Calls whose cost is not known.",
            ),
        ] {
            out.family(name, "counter", help);
            // Operations are summed: they are no label of these.
            let mut sums = std::collections::BTreeMap::<String, u128>::new();
            for (place, money) in &state.money {
                *sums.entry(of(place)).or_default() += match name {
                    "ossai_cost_usd_total" => money.spent,
                    "ossai_saved_usd_total" => money.saved,
                    _ => u128::from(money.unknown),
                };
            }
            for (labels, sum) in sums {
                let value = if name.ends_with("usd_total") {
                    usd(sum)
                } else {
                    sum.to_string()
                };
                out.value(name, &labels, value);
            }
        }

        let name = "ossai_cache_requests_total";
        out.family(name, "counter", "Calls by what the cache did for them.");
        for (result, n) in &state.caches {
            out.value(name, &labels(&[("result", result), ("cache", "exact")]), n);
        }
        let name = "ossai_coalesced_requests_total";
        out.family(name, "counter", "Calls that joined another's flight.");
        out.value(name, "", state.coalesced);
        let name = "ossai_retries_total";
        out.family(name, "counter", "Tries at providers after the first.");
        out.value(name, "", state.retries);
        let name = "ossai_http_responses_total";
        out.family(name, "counter", "Answers by route and status.");
        for ((route, status), n) in &state.responses {
            out.value(
                name,
                &labels(&[("route", route), ("status", &status.to_string())]),
                n,
            );
        }
        let name = "ossai_refusals_total";
        out.family(
            name,
            "counter",
            "Requests refused before a provider was asked, by reason.",
        );
        for (reason, n) in &state.refusals {
            out.value(name, &labels(&[("reason", reason)]), n);
        }
        let name = "ossai_inflight_requests";
        out.family(name, "gauge", "Requests under way.");
        out.value(name, "", in_flight);
        let name = "ossai_build_info";
        out.family(name, "gauge", "The version that runs.");
        out.value(name, &labels(&[("version", env!("CARGO_PKG_VERSION"))]), 1);
        out.0
    }
}
