//! Output items: what each part of an answer is here, and how reasoning comes back.
//!
//! `encrypted_content` is this API's one place for a proof that reasoning is the vendor's own. That of other vendors
//! travels in it under a prefix of ours, so that a tool loop over this API works with their reasoning models, too.

use ossai::{Extra, ReasoningPart, Result, ToolCall};
use serde_json::{Map, Value, json};

use crate::dialect::openai::fields::take;
use crate::dialect::openai::request::STRING;

/// Before the signature of another vendor's reasoning.
const SIGNED: &str = "ossai-signature:";
/// Before hidden reasoning of another vendor.
const HIDDEN: &str = "ossai-hidden:";
/// Ids of reasoning that has none of its vendor's begin so.
const OWN_REASONING: &str = "rs_ossai_";

/// The id of an item that has none: `msg_…`, `fc_…`, `rs_…`.
pub(super) fn item_id(kind: &str, answer: &str, at: usize) -> String {
    let answer = answer.strip_prefix("resp_").unwrap_or(answer);
    format!("{kind}_ossai_{answer}_{at}")
}

/// An assistant's message of these contents.
pub(super) fn message(id: &str, status: &str, content: Value) -> Value {
    json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content })
}

/// A text, whole or at its beginning.
pub(super) fn output_text(text: &str, annotations: Vec<Value>, logprobs: Vec<Value>) -> Value {
    json!({ "type": "output_text", "annotations": annotations, "logprobs": logprobs, "text": text })
}

pub(super) fn refusal(text: &str) -> Value {
    json!({ "type": "refusal", "refusal": text })
}

pub(super) fn summary_text(text: &str) -> Value {
    json!({ "type": "summary_text", "text": text })
}

pub(super) fn function_call(id: &str, status: &str, call: &ToolCall) -> Value {
    let mut item = Map::new();
    item.insert("id".into(), id.into());
    item.insert("type".into(), "function_call".into());
    item.insert("status".into(), status.into());
    item.insert("arguments".into(), call.arguments.as_str().into());
    item.insert("call_id".into(), call.id.as_str().into());
    item.insert("name".into(), call.name.as_str().into());
    for (name, value) in &call.extra {
        item.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Value::Object(item)
}

/// Reasoning; `id` is for one that has none of its own.
pub(super) fn reasoning(id: &str, part: &ReasoningPart) -> Value {
    let own = part.extra.get("id").and_then(Value::as_str);
    let mut item = Map::new();
    item.insert("id".into(), own.unwrap_or(id).into());
    item.insert("type".into(), "reasoning".into());
    let summary = match part.text.as_str() {
        "" => json!([]),
        text => json!([summary_text(text)]),
    };
    item.insert("summary".into(), summary);
    let proof = match (&part.signature, &part.redacted) {
        (Some(signature), _) => Some(format!("{SIGNED}{signature}")),
        (None, Some(hidden)) if own.is_none() => Some(format!("{HIDDEN}{hidden}")),
        (None, hidden) => hidden.clone(),
    };
    if let Some(proof) = proof {
        item.insert("encrypted_content".into(), proof.into());
    }
    for (name, value) in &part.extra {
        item.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Value::Object(item)
}

/// Reasoning that comes back.
pub(super) fn read_reasoning(mut item: Extra, path: &str) -> Result<ReasoningPart> {
    let at = |name: &str| format!("{path}.{name}");
    item.shift_remove("type");
    item.shift_remove("status");
    let mut texts = |name: &str| -> Result<(String, Vec<Value>)> {
        let list: Vec<Value> =
            take(&mut item, name, &at(name), "expected a list of texts")?.unwrap_or_default();
        let texts: Vec<&str> = list
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect();
        Ok((texts.join("\n\n"), list))
    };
    let (summary, summaries) = texts("summary")?;
    let (content, contents) = texts("content")?;
    let text = if summary.is_empty() { content } else { summary };
    let proof: Option<String> = take(
        &mut item,
        "encrypted_content",
        &at("encrypted_content"),
        STRING,
    )?;
    // Several paragraphs are one text with us; to their own vendor they go back as they came.
    if summaries.len() > 1 {
        item.insert("summary".into(), summaries.into());
    }
    if !contents.is_empty() {
        item.insert("content".into(), contents.into());
    }
    let (mut signature, mut redacted) = (None, None);
    if let Some(proof) = proof {
        match (proof.strip_prefix(SIGNED), proof.strip_prefix(HIDDEN)) {
            (Some(text), _) => signature = Some(text.to_owned()),
            (_, Some(text)) => redacted = Some(text.to_owned()),
            _ => redacted = Some(proof),
        }
    }
    let is_ours = item
        .get("id")
        .and_then(Value::as_str)
        .is_some_and(|id| id.starts_with(OWN_REASONING));
    if is_ours {
        item.shift_remove("id");
    }
    Ok(ReasoningPart {
        text,
        signature,
        redacted,
        extra: item,
    })
}
