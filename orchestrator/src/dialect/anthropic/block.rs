//! Parts of an answer as content blocks.

use ossai::{Completion, OutputPart, ReasoningPart, ToolCall};
use serde_json::{Map, Value, json};

/// All blocks of an answer.
pub(super) fn all(answer: &Completion) -> Vec<Value> {
    let mut blocks = Vec::new();
    for (part, index) in answer.parts.iter().zip(0_u64..) {
        match part {
            // The API takes no empty text back.
            OutputPart::Text { text } | OutputPart::Refusal { text } if text.is_empty() => {}
            OutputPart::Text { text } | OutputPart::Refusal { text } => {
                let mut block = json!({ "type": "text", "text": text });
                let cited = citations(answer, index);
                if !cited.is_empty() {
                    block["citations"] = cited.into();
                }
                blocks.push(block);
            }
            OutputPart::Reasoning(part) => reasoning(part, &mut blocks),
            OutputPart::ToolCall(call) => blocks.push(tool_use(call)),
            OutputPart::Other(value) => blocks.push(value.clone()),
            _ => {}
        }
    }
    blocks
}

/// Whether a citation is of a block of this API: the core notes its part's place in it.
pub(super) fn is_of_block(citation: &Value) -> bool {
    citation.get("part_index").is_some_and(Value::is_u64)
}

fn citations(answer: &Completion, index: u64) -> Vec<Value> {
    let all = answer.extra.get("citations").and_then(Value::as_array);
    let mut cited: Vec<Value> = all
        .into_iter()
        .flatten()
        .filter(|citation| citation["part_index"].as_u64() == Some(index))
        .cloned()
        .collect();
    for citation in &mut cited {
        if let Some(citation) = citation.as_object_mut() {
            citation.shift_remove("part_index");
        }
    }
    cited
}

/// What a model thought; without a signature where its provider gives none. What is hidden is a block of its own.
fn reasoning(part: &ReasoningPart, blocks: &mut Vec<Value>) {
    let mut add = |mut block: Map<String, Value>| {
        for (name, value) in &part.extra {
            block.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        blocks.push(Value::Object(block));
    };
    if !part.text.is_empty() || part.redacted.is_none() {
        let signature = part.signature.as_deref().unwrap_or_default();
        add(map(
            json!({ "type": "thinking", "thinking": part.text, "signature": signature }),
        ));
    }
    if let Some(data) = &part.redacted {
        add(map(json!({ "type": "redacted_thinking", "data": data })));
    }
}

pub(super) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn tool_use(call: &ToolCall) -> Value {
    let input = match call.arguments.trim() {
        "" => json!({}),
        // Cut off by a limit it is no JSON: what there is is worth more than nothing.
        text => serde_json::from_str(text).unwrap_or_else(|_| json!(call.arguments)),
    };
    let mut block =
        map(json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input }));
    for (name, value) in &call.extra {
        block.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Value::Object(block)
}
