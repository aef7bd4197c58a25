//! The case files are sound: they load on every road they name, satisfy the published schema, and are as many as promised.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use conformance::case::Road;
use conformance::load::load_all;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    PathBuf::from("cases")
}

#[test]
fn every_case_loads_and_there_are_at_least_a_hundred_and_ten() {
    let cases = load_all(&folder()).unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids.len(), cases.len(), "two cases of one name");
    assert!(cases.len() >= 110, "{}", cases.len());
    let both = cases
        .iter()
        .filter(|case| case.roads.contains(&Road::Orchestrator))
        .count();
    assert!(
        both * 2 > cases.len(),
        "most promises hold on both roads: {both} of {}",
        cases.len()
    );
}

#[test]
fn every_case_satisfies_the_schema() {
    let schema = schema();
    let mut faults = Vec::new();
    for case in load_all(&folder()).unwrap_or_default() {
        let text = fs::read_to_string(&case.file).expect("readable");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        faults.extend(
            violations(&schema, &schema, &value, "")
                .into_iter()
                .map(|f| format!("{}: {f}", case.id)),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    let schema = schema();
    let good = json!({"name": "n", "promise": "p", "rules": ["r"], "roads": ["direct"], "calls": [], "expect": {}});
    assert_eq!(
        violations(&schema, &schema, &good, ""),
        Vec::<String>::new()
    );
    for (key, bad) in [
        ("surprise", json!(1)),
        ("roads", json!(["air"])),
        ("calls", json!([{"id": "a", "op": "sing"}])),
        ("calls", json!([{"id": "a"}])),
        ("upstreams", json!({"main": {"responses": [{"statsu": 1}]}})),
        (
            "upstreams",
            json!({"main": {"responses": [{"stall_after": {"line": 1}}]}}),
        ),
        ("expect", json!({"cals": {}})),
    ] {
        let mut case = good.clone();
        case[key] = bad;
        assert!(!violations(&schema, &schema, &case, "").is_empty(), "{key}");
    }
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../case.schema.json")).expect("the schema is JSON")
}

/// The part of JSON Schema 2020-12 that our schema uses; any other keyword is a fault, so that none is skipped unseen.
fn violations(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut out = Vec::new();
    let Some(keywords) = schema.as_object() else {
        return if schema == &json!(false) {
            vec![format!("{path}: not allowed")]
        } else {
            out
        };
    };
    let integer = value.is_i64() || value.is_u64();
    for (keyword, argument) in keywords {
        match (keyword.as_str(), argument) {
            ("$schema" | "$id" | "$defs" | "title" | "description" | "default", _) => {}
            ("$ref", Value::String(reference)) => {
                let target = root
                    .pointer(reference.trim_start_matches('#'))
                    .expect("a reference inside the schema");
                out.extend(violations(root, target, value, path));
            }
            ("type", types) => {
                let is = |name: &Value| match name.as_str().unwrap_or_default() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "number" => value.is_number(),
                    "integer" => integer,
                    other => panic!("type {other}"),
                };
                let allowed = types
                    .as_array()
                    .map_or_else(|| is(types), |types| types.iter().any(is));
                if !allowed {
                    out.push(format!("{path}: expected {types}, got {value}"));
                }
            }
            ("enum", Value::Array(values)) if !values.contains(value) => {
                out.push(format!("{path}: not one of {argument}"))
            }
            ("enum", Value::Array(_)) => {}
            ("anyOf", Value::Array(schemas)) => {
                let all: Vec<_> = schemas
                    .iter()
                    .map(|schema| violations(root, schema, value, path))
                    .collect();
                if all.iter().all(|faults| !faults.is_empty()) {
                    out.push(format!("{path}: fits none of {} forms: {all:?}", all.len()));
                }
            }
            ("required", Value::Array(names)) => {
                for name in names.iter().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        out.push(format!("{path}: `{name}` is missing"));
                    }
                }
            }
            ("properties" | "additionalProperties", _) => {}
            ("items", schema) => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    out.extend(violations(root, schema, item, &format!("{path}[{i}]")));
                }
            }
            ("pattern", Value::String(pattern)) => {
                let regex = regex_lite::Regex::new(pattern).expect("a regular expression");
                if value.as_str().is_some_and(|text| !regex.is_match(text)) {
                    out.push(format!("{path}: does not match {pattern}"));
                }
            }
            ("minItems", n) => {
                if value
                    .as_array()
                    .is_some_and(|items| (items.len() as u64) < n.as_u64().unwrap_or(0))
                {
                    out.push(format!("{path}: fewer than {n} elements"));
                }
            }
            ("maxProperties", n) => {
                if value
                    .as_object()
                    .is_some_and(|object| object.len() as u64 > n.as_u64().unwrap_or(0))
                {
                    out.push(format!("{path}: more than {n} keys"));
                }
            }
            _ => panic!("the test's validator does not know `{keyword}`"),
        }
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        let named = keywords
            .get("properties")
            .and_then(|properties| properties.get(key));
        if let Some(schema) = named.or_else(|| keywords.get("additionalProperties")) {
            out.extend(violations(root, schema, value, &format!("{path}.{key}")));
        }
    }
    out
}
