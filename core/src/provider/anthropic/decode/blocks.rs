//! Content blocks of the Messages API, from their start over their deltas to their stop.

use serde_json::Value;

use super::{Delta, MessagesStream};
use crate::Result;
use crate::provider::read::{Loose, decode_error, others, unreadable};
use crate::types::{Extra, StreamEvent};

/// Most parts of one answer.
const MAX_PARTS: usize = 4096;

/// A content block under way.
pub(super) enum Block {
    Text(u32),
    Thinking(u32),
    ToolUse {
        part: u32,
        input: Value,
        streamed: bool,
    },
    /// A block of another type: kept until it is whole.
    Other {
        part: u32,
        block: Value,
        json: String,
    },
}

impl MessagesStream {
    pub(super) fn next_part(&mut self) -> Result<u32> {
        if self.parts >= MAX_PARTS {
            return Err(decode_error("the answer has too many parts"));
        }
        let part = u32::try_from(self.parts).unwrap_or(u32::MAX);
        self.parts += 1;
        Ok(part)
    }

    pub(super) fn block_start(
        &mut self,
        index: u64,
        mut block: Value,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        let text = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
        let part = self.next_part()?;
        let block = match block["type"].as_str() {
            Some("text") => {
                out.push(StreamEvent::TextDelta {
                    index: part,
                    text: text("text"),
                });
                if let Some(citations) = block.get_mut("citations").and_then(Value::as_array_mut) {
                    let all = std::mem::take(citations);
                    out.extend(all.into_iter().map(|citation| cited(part, citation)));
                }
                Block::Text(part)
            }
            Some("thinking") => {
                let signature = Some(text("signature")).filter(|s| !s.is_empty());
                let extra = others(
                    &block,
                    &["type", "thinking", "signature", "text", "redacted"],
                );
                out.push(reasoning(part, text("thinking"), signature, None, extra));
                Block::Thinking(part)
            }
            Some("redacted_thinking") => {
                out.push(reasoning(
                    part,
                    String::new(),
                    None,
                    Some(text("data")),
                    Extra::new(),
                ));
                Block::Thinking(part)
            }
            Some("tool_use") => {
                let extra = others(&block, &["type", "id", "name", "input", "arguments"]);
                let (id, name) = (text("id"), text("name"));
                out.push(StreamEvent::ToolCallStart {
                    index: part,
                    id,
                    name,
                    extra,
                });
                let input = block.get_mut("input").map(Value::take).unwrap_or_default();
                Block::ToolUse {
                    part,
                    input,
                    streamed: false,
                }
            }
            _ => Block::Other {
                part,
                block,
                json: String::new(),
            },
        };
        self.blocks.insert(index, block);
        Ok(())
    }

    pub(super) fn delta(
        &mut self,
        index: u64,
        delta: Delta<'_>,
        data: &str,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        match self.blocks.get_mut(&index) {
            Some(Block::Text(part)) => match (delta.text, delta.citation) {
                (Loose::Str(text), _) => {
                    out.push(StreamEvent::TextDelta {
                        index: *part,
                        text: text.into_owned(),
                    });
                }
                (_, Loose::Other(citation)) => out.push(cited(*part, *citation)),
                _ => {}
            },
            Some(Block::Thinking(part)) => {
                let signature = delta.signature.text().map(str::to_owned);
                let text = delta.thinking.text().unwrap_or_default().to_owned();
                if signature.is_some() || !text.is_empty() {
                    out.push(reasoning(*part, text, signature, None, Extra::new()));
                }
            }
            Some(Block::ToolUse { part, streamed, .. }) => {
                if let Loose::Str(json) = delta.partial_json
                    && !json.is_empty()
                {
                    *streamed = true;
                    let arguments = json.into_owned();
                    out.push(StreamEvent::ToolCallDelta {
                        index: *part,
                        arguments,
                    });
                }
            }
            Some(Block::Other { block, json, .. }) => {
                self.held.add(data.len())?;
                if let Some(piece) = delta.partial_json.text() {
                    json.push_str(piece);
                } else if let Ok(event) = serde_json::from_str::<Value>(data) {
                    extend(block, &event["delta"]);
                }
            }
            None => return Err(decode_error("a delta for a content block that never began")),
        }
        Ok(())
    }

    pub(super) fn block_stop(&mut self, index: u64, out: &mut Vec<StreamEvent>) -> Result<()> {
        match self.blocks.remove(&index) {
            // Input that did not stream stands in the start, as in a whole answer.
            Some(Block::ToolUse {
                part,
                input,
                streamed: false,
            }) => {
                let arguments = if input.is_null() {
                    "{}".to_owned()
                } else {
                    input.to_string()
                };
                out.push(StreamEvent::ToolCallDelta {
                    index: part,
                    arguments,
                });
            }
            Some(Block::Other {
                part,
                mut block,
                json,
            }) => {
                if !json.is_empty() {
                    let input = serde_json::from_str(&json)
                        .map_err(|e| unreadable("the input of a block", &e))?;
                    if let Some(object) = block.as_object_mut() {
                        object.insert("input".to_owned(), input);
                    }
                }
                out.push(StreamEvent::Part {
                    index: part,
                    part: block,
                });
            }
            _ => {}
        }
        Ok(())
    }
}

fn cited(index: u32, annotation: Value) -> StreamEvent {
    StreamEvent::Annotation {
        index,
        field: "citations".to_owned(),
        annotation,
    }
}

fn reasoning(
    index: u32,
    text: String,
    signature: Option<String>,
    redacted: Option<String>,
    extra: Extra,
) -> StreamEvent {
    StreamEvent::ReasoningDelta {
        index,
        text,
        signature,
        redacted,
        extra,
    }
}

/// Adds the delta of a block of an unknown type: strings and lists grow, everything else is replaced.
fn extend(block: &mut Value, delta: &Value) {
    let (Some(block), Some(delta)) = (block.as_object_mut(), delta.as_object()) else {
        return;
    };
    for (name, value) in delta.iter().filter(|(name, _)| *name != "type") {
        match (block.get_mut(name), value) {
            (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more.iter().cloned()),
            _ => drop(block.insert(name.clone(), value.clone())),
        }
    }
}
