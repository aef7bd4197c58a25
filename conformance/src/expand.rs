//! Short forms in case files: `${name}` for values known when a case is loaded or started, and generated bulk.

use serde_json::{Map, Value};

/// Replaces `${name}` by what `lookup` gives: the value itself when the string is nothing else, its text inside a longer
/// string. Names that `lookup` does not know stay as they are. `$${` stands for a literal `${`.
pub fn substitute(value: &Value, lookup: &dyn Fn(&str) -> Option<Value>) -> Value {
    match value {
        Value::String(text) => substitute_text(text, lookup),
        Value::Array(items) => items.iter().map(|item| substitute(item, lookup)).collect(),
        Value::Object(object) => {
            let entries = object.iter().map(|(key, value)| {
                let key = match substitute_text(key, lookup) {
                    Value::String(key) => key,
                    _ => key.clone(),
                };
                (key, substitute(value, lookup))
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn substitute_text(text: &str, lookup: &dyn Fn(&str) -> Option<Value>) -> Value {
    if !text.contains("${") {
        return text.into();
    }
    let whole = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some(value) = whole.filter(|name| !name.contains('}')).and_then(lookup) {
        return value;
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("$${");
            rest = &after[2..];
            continue;
        }
        out.push_str(before);
        let found = after
            .find('}')
            .map(|end| (&after[2..end], &after[end + 1..]));
        match found.and_then(|(name, left)| Some((lookup(name)?, left))) {
            Some((Value::String(text), left)) => {
                out.push_str(&text);
                rest = left;
            }
            Some((value, left)) => {
                out.push_str(&value.to_string());
                rest = left;
            }
            None => {
                out.push_str("${");
                rest = &after[2..];
            }
        }
    }
    out.push_str(rest);
    out.into()
}

/// The last pass: `$${` becomes `${`, and a `${name}` that is still there is an error. Bulk is generated here:
/// `{"$repeat": {"value": v, "count": n}}` is a list of `n` times `v` with `${i}` counting from 0,
/// `{"$text": {"repeat": s, "count": n}}` is `s` repeated.
///
/// # Errors
/// Names the unknown variable or the wrong generator.
pub fn finish(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some(at) = rest.find("${") {
                if !rest[..at].ends_with('$') {
                    let name = rest[at..].split('}').next().unwrap_or_default();
                    return Err(format!("unknown variable `{name}}}`"));
                }
                rest = &rest[at + 2..];
            }
            Ok(text.replace("$${", "${").into())
        }
        Value::Array(items) => items.iter().map(finish).collect(),
        Value::Object(object) => {
            if let (1, Some(spec)) = (object.len(), object.get("$repeat")) {
                return repeat(spec);
            }
            if let (1, Some(spec)) = (object.len(), object.get("$text")) {
                let (Some(unit), Some(count)) =
                    (spec.get("repeat").and_then(Value::as_str), count(spec))
                else {
                    return Err("$text: expected `repeat` and `count`".into());
                };
                return match unit.len().saturating_mul(count) <= crate::script::MAX_BODY {
                    true => Ok(unit.repeat(count).into()),
                    false => Err("$text: too large".into()),
                };
            }
            object
                .iter()
                .map(|(key, value)| Ok((key.clone(), finish(value)?)))
                .collect::<Result<_, String>>()
                .map(Value::Object)
        }
        other => Ok(other.clone()),
    }
}

fn count(spec: &Value) -> Option<usize> {
    spec.get("count")
        .and_then(Value::as_u64)
        .and_then(|n| usize::try_from(n).ok())
}

fn repeat(spec: &Value) -> Result<Value, String> {
    let (Some(value), Some(count)) = (spec.get("value"), count(spec).filter(|n| *n <= 1_000_000))
    else {
        return Err("$repeat: expected `value` and `count` up to 1000000".into());
    };
    (0..count)
        .map(|i| {
            finish(&substitute(value, &|name| {
                (name == "i").then(|| Value::from(i))
            }))
        })
        .collect()
}

/// JSON Merge Patch (RFC 7396): objects merge, `null` removes, anything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lookup(name: &str) -> Option<Value> {
        match name {
            "status" => Some(json!(503)),
            "main.url" => Some(json!("http://127.0.0.1:9/s1")),
            _ => None,
        }
    }

    #[test]
    fn a_lone_variable_becomes_the_value_and_one_inside_a_string_its_text() {
        let got = substitute(
            &json!({"a": "${status}", "b": "${main.url}/v1 ${status}", "c": "${later}"}),
            &lookup,
        );
        assert_eq!(
            got,
            json!({"a": 503, "b": "http://127.0.0.1:9/s1/v1 503", "c": "${later}"})
        );
    }

    #[test]
    fn an_escaped_dollar_stays_literal_and_a_forgotten_variable_is_an_error() {
        let once = substitute(&json!("cost $${status} and ${status}"), &lookup);
        assert_eq!(finish(&once), Ok(json!("cost ${status} and 503")));
        assert!(finish(&json!(["${oops}"])).is_err());
    }

    #[test]
    fn bulk_is_generated_with_its_index() {
        let got = finish(
            &json!({"input": {"$repeat": {"value": "n${i}", "count": 3}}, "t": {"$text": {"repeat": "ab", "count": 2}}}),
        );
        assert_eq!(got, Ok(json!({"input": ["n0", "n1", "n2"], "t": "abab"})));
    }

    #[test]
    fn a_merge_patch_follows_rfc_7396() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut target, &json!({"a": {"b": null, "e": 3}, "d": [2, 3]}));
        assert_eq!(target, json!({"a": {"c": 2, "e": 3}, "d": [2, 3]}));
    }
}
