use serde_json::json;

use super::*;

const CREDENTIAL: [u8; 32] = [7; 32];

fn place() -> Place<'static> {
    Place {
        tenant: None,
        credential: &CREDENTIAL,
        provider: "openai",
        base_url: "https://api.openai.com/v1",
        endpoint: "openai_chat",
        model: "gpt-4o",
    }
}

fn key(request: serde_json::Value) -> Key {
    completion_key(&place(), &serde_json::from_value(request).unwrap())
}

fn full() -> serde_json::Value {
    json!({
        "model": "openai/gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
                {"type": "image", "url": "https://example.com/a.png", "detail": "low"},
                {"type": "audio", "data": "AAAA", "format": "wav"},
                {"type": "file", "file_id": "f1", "filename": "a.pdf"},
                {"type": "reasoning", "text": "t", "signature": "s"},
                {"type": "new_thing", "x": 1},
            ]},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}]},
            {"role": "tool", "content": "42", "tool_call_id": "c", "is_error": true, "name": "n"},
        ],
        "tools": [{"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}],
        "tool_choice": "required",
        "parallel_tool_calls": true,
        "response_format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true},
        "max_tokens": 10, "temperature": 0, "top_p": 0.5, "top_k": 3,
        "frequency_penalty": 0.1, "presence_penalty": 0.2, "seed": 1, "stop": ["a"],
        "reasoning_effort": "low", "service_tier": "flex", "metadata": {"a": "b"}, "user": "u",
        "logit_bias": {"1": 2.5},
    })
}

/// Every change of one leaf, one removal of a field or one removal of a list item.
fn mutations(value: &serde_json::Value, path: &str, out: &mut Vec<(String, serde_json::Value)>) {
    match value {
        Value::Object(fields) => {
            for name in fields.keys() {
                let mut removed = fields.clone();
                removed.remove(name);
                out.push((format!("{path}.{name} removed"), Value::Object(removed)));
                let mut inner = Vec::new();
                mutations(&fields[name], &format!("{path}.{name}"), &mut inner);
                for (what, changed) in inner {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), changed);
                    out.push((what, Value::Object(fields)));
                }
            }
        }
        Value::Array(items) => {
            for i in 0..items.len() {
                let mut removed = items.clone();
                removed.remove(i);
                out.push((format!("{path}[{i}] removed"), Value::Array(removed)));
                let mut inner = Vec::new();
                mutations(&items[i], &format!("{path}[{i}]"), &mut inner);
                for (what, changed) in inner {
                    let mut items = items.clone();
                    items[i] = changed;
                    out.push((what, Value::Array(items)));
                }
            }
        }
        Value::String(text) => out.push((path.into(), json!(format!("{text}x")))),
        Value::Number(n) => out.push((path.into(), json!(n.as_f64().unwrap_or(0.0) + 1.0))),
        Value::Bool(b) => out.push((path.into(), json!(!b))),
        Value::Null => {}
    }
}

#[test]
fn any_changed_or_missing_field_gives_another_key() {
    let base = full();
    let base_key = key(base.clone());
    let base_request: CompletionRequest = serde_json::from_value(base.clone()).unwrap();
    let mut all = Vec::new();
    mutations(&base, "", &mut all);
    let mut tried = 0;
    let mut seen = std::collections::HashMap::new();
    for (what, changed) in all {
        if what.starts_with(".model") {
            continue; // the place has it
        }
        // A change that no longer parses is not a request.
        let Ok(request) = serde_json::from_value::<CompletionRequest>(changed.clone()) else {
            continue;
        };
        if request == base_request {
            continue; // leaving out an empty content is no change
        }
        tried += 1;
        let key = completion_key(&place(), &request);
        assert_ne!(key, base_key, "{what}");
        if let Some(other) = seen.insert(key, (what.clone(), request.clone())) {
            assert_eq!(other.1, request, "{what} and {} share a key", other.0);
        }
    }
    assert!(tried > 60, "only {tried} changes were tried");
}

#[test]
fn the_place_is_part_of_the_key() {
    let request: CompletionRequest = serde_json::from_value(full()).unwrap();
    let other_credential = [8; 32];
    let mut keys = std::collections::HashSet::new();
    for place in [
        place(),
        Place {
            tenant: Some(""),
            ..place()
        },
        Place {
            tenant: Some("none"),
            ..place()
        },
        Place {
            credential: &other_credential,
            ..place()
        },
        Place {
            provider: "azure",
            ..place()
        },
        Place {
            base_url: "https://example.com",
            ..place()
        },
        Place {
            endpoint: "openai_responses",
            ..place()
        },
        Place {
            model: "gpt-4o-mini",
            ..place()
        },
        // The border between two fields cannot be moved.
        Place {
            provider: "openaih",
            base_url: "ttps://api.openai.com/v1",
            ..place()
        },
    ] {
        assert!(keys.insert(completion_key(&place, &request)), "{place:?}");
    }
}

#[test]
fn equal_numbers_and_any_field_order_give_one_key() {
    let base = key(json!({"model": "m", "messages": [], "x": {"a": 1, "b": 0}}));
    assert_eq!(
        base,
        key(json!({"x": {"b": -0.0, "a": 1.0}, "messages": [], "model": "m"}))
    );
    assert_ne!(
        base,
        key(json!({"model": "m", "messages": [], "x": {"a": 2, "b": 0}}))
    );
    assert_ne!(
        key(json!({"model": "m", "messages": [], "x": u64::MAX})),
        key(json!({"model": "m", "messages": [], "x": u64::MAX - 1})),
    );
    assert_ne!(
        key(json!({"model": "m", "messages": [], "temperature": 0.0})),
        key(json!({"model": "m", "messages": []})),
    );
    assert_eq!(
        key(json!({"model": "m", "messages": [], "temperature": 0.0})),
        key(json!({"model": "m", "messages": [], "temperature": -0.0})),
    );
}

#[test]
fn the_encoding_is_the_published_one() {
    // A store written by another version or platform must be readable: this digest may only change with SCHEMA.
    assert_eq!(
        key(full()).hex(),
        "465d2c89f700376c23f34ed5b8602af273afa476afb0d18b2c23821fc1db7934"
    );
}

#[test]
fn similar_requests_differ_in_the_last_users_text_and_in_nothing_else() {
    let similar = |value: Value| {
        let request: CompletionRequest = serde_json::from_value(value).unwrap();
        similar_key(&place(), &request)
    };
    let ask = |text: &str| {
        let mut request = full();
        let message = json!({"role": "user", "content": text});
        request["messages"].as_array_mut().unwrap().push(message);
        request
    };
    let (base, text) = similar(ask("How tall is it?")).unwrap();
    assert_eq!(text, "How tall is it?");
    assert_eq!(similar(ask("How high is it?")).unwrap().0, base);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut request = ask("How high is it?");
        change(&mut request);
        similar(request).unwrap().0
    };
    let mut all = Vec::new();
    mutations(&ask("How high is it?"), "", &mut all);
    let last = full()["messages"].as_array().unwrap().len();
    let mut tried = 0;
    for (what, changed) in all {
        let own = format!(".messages[{last}]");
        let Ok(request) = serde_json::from_value::<CompletionRequest>(changed) else {
            continue;
        };
        let before: CompletionRequest = serde_json::from_value(ask("How high is it?")).unwrap();
        if what.starts_with(".model") || what.starts_with(&own) || request == before {
            continue;
        }
        tried += 1;
        let key = similar_key(&place(), &request).map(|(key, _)| key);
        assert_ne!(key, Some(base), "{what}");
    }
    assert!(tried > 60, "only {tried} changes were tried");
    assert_ne!(changed(&|r| r["messages"][last]["name"] = json!("x")), base);
    let parts =
        |parts: Value| json!({"model": "m", "messages": [{"role": "user", "content": parts}]});
    let image = json!({"type": "image", "url": "https://example.com/a.png"});
    let seen = similar(parts(
        json!([image, {"type": "text", "text": "What is it?"}]),
    ))
    .unwrap();
    assert_ne!(
        seen.0,
        similar(parts(json!([{"type": "text", "text": "a"}])))
            .unwrap()
            .0
    );
    let two = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    assert!(similar(parts(two)).is_none());
    assert!(similar(parts(json!([image]))).is_none());
    let answered = json!({"model": "m", "messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]});
    assert!(similar(answered).is_none());
    assert!(similar(json!({"model": "m", "messages": []})).is_none());
}

#[test]
fn a_stream_has_its_own_key_and_comes_back() {
    let base = key(full());
    assert_ne!(base, base.as_stream());
    assert_eq!(base, base.as_stream().as_stream());
}
