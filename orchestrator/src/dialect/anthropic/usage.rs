//! Usage in Anthropic's form.

use ossai::Usage;
use serde_json::{Map, Value, json};

/// Our counts, and what else the provider's object of the same form says. Cached and written tokens are not among
/// `input_tokens` here.
pub(super) fn write(usage: &Usage, raw: Option<&Value>) -> Value {
    let cached = usage
        .cache_read_tokens
        .saturating_add(usage.cache_write_tokens);
    let mut body = Map::new();
    body.insert(
        "input_tokens".into(),
        usage.input_tokens.saturating_sub(cached).into(),
    );
    body.insert(
        "cache_creation_input_tokens".into(),
        usage.cache_write_tokens.into(),
    );
    body.insert(
        "cache_read_input_tokens".into(),
        usage.cache_read_tokens.into(),
    );
    body.insert("output_tokens".into(), usage.output_tokens.into());
    if let Some(raw) = raw
        .and_then(Value::as_object)
        .filter(|raw| is_of_this_form(raw))
    {
        for (name, value) in raw {
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        return Value::Object(body);
    }
    if usage.cache_write_tokens > 0 {
        let hour = usage.cache_write_1h_tokens;
        body.insert(
            "cache_creation".into(),
            json!({
                "ephemeral_5m_input_tokens": usage.cache_write_tokens.saturating_sub(hour),
                "ephemeral_1h_input_tokens": hour,
            }),
        );
    }
    if usage.reasoning_tokens > 0 {
        body.insert(
            "output_tokens_details".into(),
            json!({ "thinking_tokens": usage.reasoning_tokens }),
        );
    }
    if usage.web_searches > 0 {
        body.insert(
            "server_tool_use".into(),
            json!({ "web_search_requests": usage.web_searches }),
        );
    }
    for (name, word) in [
        ("service_tier", &usage.service_tier),
        ("speed", &usage.speed),
        ("inference_geo", &usage.region),
    ] {
        if let Some(word) = word {
            body.insert(name.into(), word.as_str().into());
        }
    }
    Value::Object(body)
}

/// OpenAI's Responses have `input_tokens`, too, with cached ones among them.
fn is_of_this_form(raw: &Map<String, Value>) -> bool {
    raw.contains_key("input_tokens")
        && !raw.contains_key("total_tokens")
        && !raw.contains_key("input_tokens_details")
}
