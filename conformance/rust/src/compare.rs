//! Traces of two languages held to each other: what a user of one sees, a user of the other sees too, down to every field.
//!
//! Which of two concurrent callers is first, and whether a deadline falls just before or just after a byte, is chance; so a
//! trace passes when it is one that the Rust client leaves as well, in one of a few runs of the same case.

use std::collections::{BTreeMap, BTreeSet};

use conformance::case::Road;
use conformance::load::Loaded;
use conformance::runner::run_case;
use conformance::trace;
use conformance::upstream_process::Upstream;
use serde_json::{Map, Value};

use crate::roads::Roads;

/// Most runs of each side.
pub(crate) const RUNS: usize = 8;

/// In what the trace of `client` is none of `reference`'s in so many `runs` of each; empty when it is one.
pub(crate) async fn compare(
    case: &Loaded,
    road: Road,
    (client, reference): (&Roads, &Roads),
    first: &Value,
    upstream: &Upstream,
    runs: usize,
) -> Vec<String> {
    let mut ours = vec![comparable(first)];
    let mut theirs: Vec<Value> = Vec::new();
    let mut failures = Vec::new();
    for run in 0..runs {
        let report = run_case(case, road, reference, upstream).await;
        theirs.push(comparable(&report.trace));
        if run > 0 {
            let report = run_case(case, road, client, upstream).await;
            ours.push(comparable(&report.trace));
        }
        if ours.iter().any(|trace| theirs.contains(trace)) {
            return Vec::new();
        }
        if run == 0 {
            differences("trace", &theirs[0], &ours[0], &mut failures);
        }
    }
    failures
}

/// What two runs of a case have in common whoever makes the calls: the answers, errors and streams. Copies of a call are
/// interchangeable: of them it keeps which outcomes there were. Ids of requests tell only who was first.
fn comparable(trace: &Value) -> Value {
    let mut kept = Map::new();
    if let Some(open) = trace.get("open") {
        kept.insert("open".into(), trace::normalise(open));
    }
    let mut calls: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, call) in trace
        .get("calls")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let mut call = trace::normalise(call);
        alike(&mut call);
        let name = name.split('[').next().unwrap_or(name);
        calls.entry(name).or_default().insert(call.to_string());
    }
    for (name, outcomes) in calls {
        let outcomes = outcomes
            .iter()
            .filter_map(|outcome| serde_json::from_str(outcome).ok())
            .collect();
        kept.insert(name.into(), Value::Array(outcomes));
    }
    kept.into()
}

/// Takes away what may differ between languages: ids of requests, and how whole numbers are written.
fn alike(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if name == "upstream_request_id" && !value.is_null() {
                    *value = "<id>".into();
                } else {
                    alike(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(alike),
        // JSON has one kind of number (RFC 8259 §6), and JavaScript writes 1.0 as 1.
        Value::Number(number) if number.is_f64() => {
            const EXACT: f64 = 9_007_199_254_740_992.0;
            let whole = number
                .as_f64()
                .filter(|number| number.fract() == 0.0 && number.abs() < EXACT);
            #[allow(clippy::cast_possible_truncation)] // whole and below 2⁵³
            if let Some(whole) = whole {
                *value = (whole as i64).into();
            }
        }
        _ => {}
    }
}

fn differences(path: &str, expected: &Value, got: &Value, out: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let names: BTreeSet<&String> = expected.keys().chain(got.keys()).collect();
            for name in names {
                let of =
                    |object: &Map<String, Value>| object.get(name).cloned().unwrap_or_default();
                differences(&format!("{path}.{name}"), &of(expected), &of(got), out);
            }
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            for (i, (expected, got)) in expected.iter().zip(got).enumerate() {
                differences(&format!("{path}[{i}]"), expected, got, out);
            }
        }
        _ if expected == got => {}
        _ => out.push(format!("{path}: {got}, from Rust {expected}")),
    }
}
