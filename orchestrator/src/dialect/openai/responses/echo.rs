//! What an answer says back of its request, as the vendor's does.

use ossai::Extra;
use serde_json::{Map, Value, json};

/// Fields said back as they came, with what stands there when they did not.
fn fields() -> [(&'static str, Value); 18] {
    [
        ("background", json!(false)),
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("max_tool_calls", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", json!(true)),
        ("previous_response_id", Value::Null),
        ("prompt_cache_key", Value::Null),
        ("reasoning", json!({ "effort": null, "summary": null })),
        ("safety_identifier", Value::Null),
        ("temperature", Value::Null),
        ("text", json!({ "format": { "type": "text" } })),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("top_logprobs", json!(0)),
        ("top_p", Value::Null),
        ("truncation", json!("disabled")),
        ("user", Value::Null),
    ]
}

/// The request's fields in the form of the answer's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Echo(Map<String, Value>);

impl Echo {
    pub(super) fn of(request: &Extra) -> Self {
        let said = fields().into_iter().map(|(name, default)| {
            let value = match (request.get(name), default) {
                (None | Some(Value::Null), default) => default,
                // Members the caller left out stay as they are by default.
                (Some(Value::Object(given)), Value::Object(mut default)) if name != "metadata" => {
                    default.extend(given.clone());
                    Value::Object(default)
                }
                (Some(given), _) => given.clone(),
            };
            (name.to_owned(), value)
        });
        let mut echo: Map<String, Value> = said.collect();
        echo.insert("store".into(), false.into());
        Self(echo)
    }

    /// Adds the fields to an answer's.
    pub(super) fn write(&self, body: &mut Map<String, Value>) {
        for (name, value) in &self.0 {
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        }
    }
}
