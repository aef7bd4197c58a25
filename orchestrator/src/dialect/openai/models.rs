//! The Models API.

use ossai::ModelInfo;
use serde_json::{Map, Value, json};

/// A list of models.
pub(crate) fn list(models: &[ModelInfo]) -> Value {
    json!({ "object": "list", "data": models.iter().map(one).collect::<Vec<_>>() })
}

/// One model.
pub(crate) fn one(model: &ModelInfo) -> Value {
    let mut body = Map::new();
    body.insert("id".into(), model.id.as_str().into());
    body.insert("object".into(), "model".into());
    body.insert("created".into(), model.created.unwrap_or(0).into());
    let owner = model
        .owned_by
        .as_deref()
        .or_else(|| model.id.split('/').next());
    body.insert("owned_by".into(), owner.unwrap_or_default().into());
    for (name, value) in &model.extra {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Value::Object(body)
}
