//! Expectations as data: a value matches a pattern when everything the pattern names is there.
//!
//! Objects match as subsets, arrays element by element with equal length, numbers by value (integers exactly). An object
//! whose keys begin with `$` holds operators, all of which must hold. An unknown operator is an error when a case is
//! loaded, never a silent pass.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

/// Every operator with what it asks.
pub const OPERATORS: &[(&str, &str)] = &[
    ("$any", "true: the value is there, whatever it is"),
    ("$absent", "true: the value is not there, or null"),
    ("$gt", "greater than a number"),
    ("$gte", "greater than or equal to a number"),
    ("$lt", "less than a number"),
    ("$lte", "less than or equal to a number"),
    ("$approx", "[number, tolerance]: within the tolerance"),
    (
        "$int",
        "exactly this integer, written as a string of digits (money)",
    ),
    ("$regex", "a string in which the expression is found"),
    (
        "$len",
        "the length of a string in Unicode scalars, of an array or of an object matches",
    ),
    (
        "$contains",
        "for an array: these patterns match elements in this order; for a string: it holds this text",
    ),
    (
        "$prefix",
        "for an array: its first elements match these; for a string: it begins with this text",
    ),
    ("$each", "every element matches"),
    (
        "$at",
        "{index: pattern}: these elements match; negative indices count from the end",
    ),
    ("$not", "the pattern does not match"),
    ("$one_of", "at least one of the patterns matches"),
    ("$exact", "deep equality instead of a subset"),
    (
        "$same",
        "equal to every other value marked with this name in the case",
    ),
    (
        "$distinct",
        "different from every other value marked with this name in the case",
    ),
    ("$json", "a string of JSON whose value matches"),
    ("$join", "for an array of strings: joined, it matches"),
];

/// Values marked by `$same` and `$distinct`, kept over all checks of one case.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    same: BTreeMap<String, Value>,
    distinct: BTreeMap<String, Vec<Value>>,
}

/// Checks that a pattern is well formed.
///
/// # Errors
/// Names the operator that is unknown or has a wrong argument.
pub fn check(pattern: &Value) -> Result<(), String> {
    match pattern {
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(object) => {
            let operators = object.keys().filter(|key| key.starts_with('$')).count();
            if operators > 0 && operators < object.len() {
                return Err("operators and plain keys in one object".into());
            }
            if operators == 0 {
                return object.values().try_for_each(check);
            }
            object
                .iter()
                .try_for_each(|(name, argument)| check_operator(name, argument))
        }
        _ => Ok(()),
    }
}

fn check_operator(name: &str, argument: &Value) -> Result<(), String> {
    let ok = match name {
        "$any" | "$absent" => argument == &Value::Bool(true),
        "$gt" | "$gte" | "$lt" | "$lte" => argument.is_number(),
        "$approx" => {
            matches!(argument.as_array().map(Vec::as_slice), Some([a, b]) if a.is_number() && b.is_number())
        }
        "$int" => argument
            .as_str()
            .is_some_and(|text| text.parse::<i128>().is_ok()),
        "$regex" => return regex(argument).map(|_| ()),
        "$same" | "$distinct" => argument.is_string(),
        "$contains" | "$prefix" => {
            return match argument {
                Value::Array(items) => items.iter().try_for_each(check),
                Value::String(_) => Ok(()),
                _ => Err(format!("{name}: expected an array or a string")),
            };
        }
        "$one_of" => {
            return argument
                .as_array()
                .ok_or_else(|| format!("{name}: expected an array"))?
                .iter()
                .try_for_each(check);
        }
        "$at" => {
            let object = argument
                .as_object()
                .ok_or("$at: expected an object of indices")?;
            if object.keys().any(|key| key.parse::<i64>().is_err()) {
                return Err("$at: expected integer keys".into());
            }
            return object.values().try_for_each(check);
        }
        "$len" | "$each" | "$not" | "$json" | "$join" => return check(argument),
        "$exact" => true,
        _ => return Err(format!("{name}: unknown operator")),
    };
    if ok {
        Ok(())
    } else {
        Err(format!("{name}: wrong argument {argument}"))
    }
}

fn regex(argument: &Value) -> Result<Regex, String> {
    let text = argument.as_str().ok_or("$regex: expected a string")?;
    Regex::new(text).map_err(|e| format!("$regex: {e}"))
}

/// Everything in which `actual` does not match `pattern`, each with its path; empty when it matches. `None` is a value
/// that is not there.
pub fn mismatches(
    pattern: &Value,
    actual: Option<&Value>,
    path: &str,
    captures: &mut Captures,
) -> Vec<String> {
    let mut out = Vec::new();
    walk(pattern, actual, path, captures, &mut out);
    out
}

/// Whether `actual` matches `pattern`, outside of any case.
#[must_use]
pub fn matches(pattern: &Value, actual: Option<&Value>) -> bool {
    mismatches(pattern, actual, "", &mut Captures::default()).is_empty()
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".into(), Value::to_string);
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn walk(
    pattern: &Value,
    actual: Option<&Value>,
    path: &str,
    captures: &mut Captures,
    out: &mut Vec<String>,
) {
    match (pattern, actual) {
        (Value::Object(object), _) if object.keys().any(|key| key.starts_with('$')) => {
            for (name, argument) in object {
                operator(name, argument, actual, path, captures, out);
            }
        }
        (Value::Object(object), Some(Value::Object(found))) => {
            for (key, pattern) in object {
                walk(
                    pattern,
                    found.get(key),
                    &format!("{path}.{key}"),
                    captures,
                    out,
                );
            }
        }
        (Value::Array(patterns), Some(Value::Array(items))) => {
            if patterns.len() != items.len() {
                let shown = shown(actual);
                out.push(format!(
                    "{path}: expected {} elements, got {}: {shown}",
                    patterns.len(),
                    items.len()
                ));
                return;
            }
            for (i, (pattern, item)) in patterns.iter().zip(items).enumerate() {
                walk(pattern, Some(item), &format!("{path}[{i}]"), captures, out);
            }
        }
        (pattern, Some(actual)) if equal(pattern, actual) => {}
        _ => out.push(format!(
            "{path}: expected {}, got {}",
            shown(Some(pattern)),
            shown(actual)
        )),
    }
}

/// Deep equality in which `1` and `1.0` are the same number and integers compare exactly.
#[must_use]
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => value
            .as_i64()
            .map(i128::from)
            .or_else(|| value.as_u64().map(i128::from)),
    }
}

fn operator(
    name: &str,
    argument: &Value,
    actual: Option<&Value>,
    path: &str,
    captures: &mut Captures,
    out: &mut Vec<String>,
) {
    let number = actual.and_then(Value::as_f64);
    let limit = argument.as_f64();
    let compare =
        |test: fn(f64, f64) -> bool| matches!((number, limit), (Some(a), Some(b)) if test(a, b));
    let nested = |pattern: &Value,
                  actual: Option<&Value>,
                  path: String,
                  captures: &mut Captures,
                  out: &mut Vec<String>| {
        walk(pattern, actual, &path, captures, out);
    };
    let ok = match name {
        "$any" => actual.is_some_and(|value| !value.is_null()),
        "$absent" => actual.is_none_or(Value::is_null),
        "$gt" => compare(|a, b| a > b),
        "$gte" => compare(|a, b| a >= b),
        "$lt" => compare(|a, b| a < b),
        "$lte" => compare(|a, b| a <= b),
        "$approx" => {
            let wanted = argument.get(0).and_then(Value::as_f64);
            let tolerance = argument.get(1).and_then(Value::as_f64);
            matches!((number, wanted, tolerance), (Some(a), Some(b), Some(t)) if (a - b).abs() <= t)
        }
        "$int" => actual
            .and_then(integer)
            .is_some_and(|a| integer(argument) == Some(a)),
        "$regex" => {
            let text = actual.and_then(Value::as_str);
            matches!((text, regex(argument)), (Some(text), Ok(regex)) if regex.is_match(text))
        }
        "$len" => {
            let length = match actual {
                Some(Value::Array(items)) => Some(items.len()),
                Some(Value::Object(object)) => Some(object.len()),
                Some(Value::String(text)) => Some(text.chars().count()),
                _ => None,
            };
            match length {
                Some(length) => {
                    nested(
                        argument,
                        Some(&Value::from(length)),
                        format!("{path}.length"),
                        captures,
                        out,
                    );
                    return;
                }
                None => false,
            }
        }
        "$contains" => match (argument, actual) {
            (Value::Array(patterns), Some(Value::Array(items))) => {
                let mut rest = items.iter();
                patterns.iter().all(|pattern| {
                    rest.by_ref().any(|item| {
                        let mut tried = captures.clone();
                        let hit = mismatches(pattern, Some(item), path, &mut tried).is_empty();
                        if hit {
                            *captures = tried;
                        }
                        hit
                    })
                })
            }
            (Value::String(part), Some(Value::String(text))) => text.contains(part),
            _ => false,
        },
        "$prefix" => match (argument, actual) {
            (Value::Array(patterns), Some(Value::Array(items)))
                if items.len() >= patterns.len() =>
            {
                for (i, (pattern, item)) in patterns.iter().zip(items).enumerate() {
                    nested(pattern, Some(item), format!("{path}[{i}]"), captures, out);
                }
                return;
            }
            (Value::String(part), Some(Value::String(text))) => text.starts_with(part.as_str()),
            _ => false,
        },
        "$each" => match actual {
            Some(Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    nested(argument, Some(item), format!("{path}[{i}]"), captures, out);
                }
                return;
            }
            _ => false,
        },
        "$at" => match (argument, actual) {
            (Value::Object(patterns), Some(Value::Array(items))) => {
                for (key, pattern) in patterns {
                    let index = key.parse::<i64>().unwrap_or(i64::MAX);
                    let index = if index < 0 {
                        index + items.len() as i64
                    } else {
                        index
                    };
                    let item = usize::try_from(index).ok().and_then(|i| items.get(i));
                    nested(pattern, item, format!("{path}[{key}]"), captures, out);
                }
                return;
            }
            _ => false,
        },
        "$not" => !mismatches(argument, actual, path, &mut captures.clone()).is_empty(),
        "$one_of" => argument.as_array().into_iter().flatten().any(|pattern| {
            let mut tried = captures.clone();
            let hit = mismatches(pattern, actual, path, &mut tried).is_empty();
            if hit {
                *captures = tried;
            }
            hit
        }),
        "$exact" => actual.is_some_and(|actual| equal(argument, actual)),
        "$same" | "$distinct" => match (argument.as_str(), actual) {
            (Some(mark), Some(actual)) if name == "$same" => equal(
                captures
                    .same
                    .entry(mark.into())
                    .or_insert_with(|| actual.clone()),
                actual,
            ),
            (Some(mark), Some(actual)) => {
                let seen = captures.distinct.entry(mark.into()).or_default();
                let fresh = !seen.iter().any(|value| equal(value, actual));
                seen.push(actual.clone());
                fresh
            }
            _ => false,
        },
        "$json" => match actual
            .and_then(Value::as_str)
            .map(serde_json::from_str::<Value>)
        {
            Some(Ok(value)) => {
                nested(
                    argument,
                    Some(&value),
                    format!("{path}(json)"),
                    captures,
                    out,
                );
                return;
            }
            _ => false,
        },
        "$join" => match actual.and_then(Value::as_array) {
            Some(items) => {
                let text: String = items.iter().filter_map(Value::as_str).collect();
                nested(
                    argument,
                    Some(&Value::from(text)),
                    format!("{path}(joined)"),
                    captures,
                    out,
                );
                return;
            }
            None => false,
        },
        _ => false,
    };
    if !ok {
        out.push(format!(
            "{path}: expected {name} {}, got {}",
            shown(Some(argument)),
            shown(actual)
        ));
    }
}
