//! Our answer as a Message.

use ossai::{Completion, Extra, FinishReason};
use serde_json::{Map, Value, json};

use super::{block, usage};

/// This API's words for why a model stopped.
const STOP_REASONS: &[&str] = &[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
];

/// The answer as Anthropic gives it.
pub(crate) fn write(answer: &Completion) -> Value {
    let id = if answer.id.is_empty() {
        &answer.request_id
    } else {
        &answer.id
    };
    let model = answer.response_model.as_deref().unwrap_or(&answer.model);
    let mut body = head(id, model);
    body.insert("content".into(), block::all(answer).into());
    body.extend(stopped(
        &answer.finish_reason,
        answer.raw_finish_reason.as_deref(),
        &answer.extra,
    ));
    body.insert(
        "usage".into(),
        usage::write(&answer.usage, answer.raw_usage.as_deref()),
    );
    for (name, value) in others(&answer.extra) {
        body.entry(name).or_insert(value);
    }
    Value::Object(body)
}

/// The fields every answer begins with.
pub(super) fn head(id: &str, model: &str) -> Map<String, Value> {
    block::map(json!({ "id": id, "type": "message", "role": "assistant", "model": model }))
}

/// Why it stopped: the vendor's own word where it is one of this API's.
pub(super) fn stopped(
    reason: &FinishReason,
    raw: Option<&str>,
    extra: &Extra,
) -> Map<String, Value> {
    let raw = raw.filter(|raw| STOP_REASONS.contains(raw));
    let word = raw.unwrap_or_else(|| match reason {
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter | FinishReason::Refusal => "refusal",
        FinishReason::Pause => "pause_turn",
        reason => reason.as_str(),
    });
    let sequence = extra.get("stop_sequence").cloned().unwrap_or_default();
    block::map(json!({ "stop_reason": word, "stop_sequence": sequence }))
}

/// Fields of the vendor's answer that stand beside ours; citations of blocks stand in them.
pub(super) fn others(extra: &Extra) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in extra {
        match (name.as_str(), value) {
            ("stop_sequence", _) => {}
            ("citations", Value::Array(list)) if list.iter().all(block::is_of_block) => {}
            _ => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    fields
}
