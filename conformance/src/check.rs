//! Holds a case's trace and its upstreams' logs against its expectations.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::case::{Call, Case};
use crate::matcher::{Captures, mismatches};
use crate::trace;
use crate::upstream::{Entry, Log, header_object};

/// Compares a trace with a case's expectations.
#[must_use]
pub fn check(case: &Case, trace: &Value, logs: &BTreeMap<String, Log>) -> Vec<String> {
    let mut out = Vec::new();
    let mut captures = Captures::default();
    let expect = &case.expect;
    match &expect.open {
        Some(pattern) => out.extend(mismatches(
            pattern,
            trace.get("open"),
            "open",
            &mut captures,
        )),
        None => {
            if let Some(open) = trace.get("open") {
                out.push(format!("the client does not open: {open}"));
                return out;
            }
        }
    }
    let secrets = trace::secrets(&case.config);
    let success = json!({"ok": {"$any": true}});
    let empty = Map::new();
    let traces = trace
        .get("calls")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    for call in &case.calls {
        if expect.open.is_some() {
            break;
        }
        let pattern = expect.calls.get(&call.id).unwrap_or(&success);
        for copy in copies(call) {
            let actual = traces.get(&copy);
            out.extend(mismatches(pattern, actual, &copy, &mut captures));
            let broken = actual
                .map(|actual| trace::broken_promises(actual, &secrets))
                .unwrap_or_default();
            // A look-up that finds nothing, counts and lists are no answers to fold; only the common promises apply.
            out.extend(broken.into_iter().map(|text| format!("{copy}: {text}")));
        }
    }
    for count in &expect.counts {
        let call = case.calls.iter().find(|call| call.id == count.of);
        let names = call.map(copies).unwrap_or_default();
        let hits = names
            .iter()
            .filter(|name| {
                mismatches(
                    &count.matching,
                    traces.get(*name),
                    "",
                    &mut captures.clone(),
                )
                .is_empty()
            })
            .count();
        out.extend(mismatches(
            &count.n,
            Some(&hits.into()),
            &format!("counts of {}", count.of),
            &mut captures,
        ));
    }
    if let Some(pattern) = &expect.stats {
        out.extend(mismatches(
            pattern,
            trace.get("stats"),
            "stats",
            &mut captures,
        ));
    }
    let files = trace.get("files").and_then(Value::as_object);
    for (name, pattern) in &expect.files {
        let text = files.and_then(|files| files.get(name));
        out.extend(mismatches(
            pattern,
            text,
            &format!("files.{name}"),
            &mut captures,
        ));
    }
    for (name, text) in files.unwrap_or(&empty) {
        let text = text.as_str().unwrap_or_default();
        if secrets.iter().any(|secret| text.contains(secret.as_str())) {
            out.push(format!(
                "files.{name}: a secret of the configuration is in it"
            ));
        }
    }
    for (name, seen) in &expect.upstreams {
        let Some(log) = logs.get(name) else { continue };
        let requests: Value = log.requests.iter().map(entry_view).collect();
        let gaps: Value = log
            .requests
            .windows(2)
            .map(|pair| pair[1].at_ms - pair[0].at_ms)
            .collect();
        let views = [
            (&seen.requests, Value::from(log.requests.len()), "requests"),
            (&seen.requests_match, requests, "requests_match"),
            (
                &seen.connections,
                Value::from(log.connections.len()),
                "connections",
            ),
            (&seen.gaps_ms, gaps, "gaps_ms"),
        ];
        for (pattern, actual, what) in views {
            if let Some(pattern) = pattern {
                out.extend(mismatches(
                    pattern,
                    Some(&actual),
                    &format!("upstreams.{name}.{what}"),
                    &mut captures,
                ));
            }
        }
        if let Some(limit) = seen.cancelled_within_ms {
            check_cancelled(name, log, traces, limit, &mut out);
        }
    }
    out
}

fn copies(call: &Call) -> Vec<String> {
    match call.copies {
        Some(n) => (0..n).map(|i| format!("{}[{i}]", call.id)).collect(),
        None => vec![call.id.clone()],
    }
}

fn entry_view(entry: &Entry) -> Value {
    let mut view = serde_json::to_value(entry).unwrap_or_default();
    if let Some(view) = view.as_object_mut() {
        view.insert("headers".into(), header_object(&entry.headers));
    }
    view
}

fn check_cancelled(
    name: &str,
    log: &Log,
    traces: &Map<String, Value>,
    limit: f64,
    out: &mut Vec<String>,
) {
    let at = traces
        .values()
        .filter_map(|call| call.get("cancelled_at_unix_ms")?.as_f64())
        .fold(f64::MIN, f64::max);
    match log
        .requests
        .last()
        .and_then(|entry| entry.client_gone_unix_ms)
    {
        _ if at == f64::MIN => out.push(format!("upstreams.{name}: no call was cancelled")),
        None => out.push(format!(
            "upstreams.{name}: the cancelled call never left the socket"
        )),
        Some(gone) if gone - at > limit => {
            out.push(format!(
                "upstreams.{name}: the socket was left {:.0} ms after the cancellation",
                gone - at
            ));
        }
        Some(_) => {}
    }
}
