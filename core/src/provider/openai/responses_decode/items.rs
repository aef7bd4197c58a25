//! Output items of the Responses API: what each type becomes, streamed or whole.

use serde_json::Value;

use super::{Piece, Place, ResponsesStream, noted, reasoning_delta};
use crate::Result;
use crate::provider::read::{Loose, others};
use crate::types::StreamEvent;

impl ResponsesStream {
    /// An item begins: it takes its place among the parts, and a call gets its name.
    pub(super) fn added(
        &mut self,
        output: u64,
        item: &Value,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        match item["type"].as_str() {
            Some("message") => {}
            Some("function_call") => self.start_call(output, item, out)?,
            Some(_) => drop(self.place(Place(output, Piece::Item))?),
            None => {}
        }
        Ok(())
    }

    pub(super) fn start_call(
        &mut self,
        output: u64,
        item: &Value,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        let place = Place(output, Piece::Item);
        let known = self.seen.contains_key(&place);
        let index = self.place(place)?.index;
        if !known {
            self.calls = true;
            let id = item["call_id"]
                .as_str()
                .or(item["id"].as_str())
                .unwrap_or_default();
            let id = if id.is_empty() {
                format!("call_{output}")
            } else {
                id.to_owned()
            };
            let name = item["name"].as_str().unwrap_or_default().to_owned();
            let known = ["type", "id", "call_id", "name", "arguments", "status"];
            out.push(StreamEvent::ToolCallStart {
                index,
                id,
                name,
                extra: others(item, &known),
            });
        }
        Ok(())
    }

    /// An item is whole: what was not streamed of it is emitted.
    pub(super) fn item(
        &mut self,
        output: u64,
        item: Value,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        let place = Place(output, Piece::Item);
        match item["type"].as_str() {
            Some("message") => return self.message(output, item, out),
            Some("function_call") => {
                self.start_call(output, &item, out)?;
                let arguments = item["arguments"].as_str().unwrap_or_default();
                self.rest(place, Loose::Str(arguments.into()), Self::arguments, out)?;
            }
            Some("reasoning") => {
                let seen = self.place(place)?;
                if !std::mem::replace(&mut seen.done, true) {
                    let text = if std::mem::replace(&mut seen.text, true) {
                        String::new()
                    } else {
                        reasoning_text(&item)
                    };
                    let redacted = item["encrypted_content"].as_str().map(str::to_owned);
                    let known = [
                        "type",
                        "summary",
                        "content",
                        "encrypted_content",
                        "status",
                        "text",
                        "signature",
                        "redacted",
                    ];
                    out.push(reasoning_delta(
                        seen.index,
                        text,
                        redacted,
                        others(&item, &known),
                    ));
                }
            }
            _ => {
                let seen = self.place(place)?;
                if !std::mem::replace(&mut seen.done, true) {
                    out.push(StreamEvent::Part {
                        index: seen.index,
                        part: item,
                    });
                }
            }
        }
        Ok(())
    }

    pub(super) fn message(
        &mut self,
        output: u64,
        mut item: Value,
        out: &mut Vec<StreamEvent>,
    ) -> Result<()> {
        let Some(contents) = item
            .get_mut("content")
            .and_then(Value::as_array_mut)
            .map(std::mem::take)
        else {
            return Ok(());
        };
        for (at, mut content) in (0..).zip(contents) {
            let place = Place(output, Piece::Content(at));
            match content["type"].as_str() {
                Some("output_text") => {
                    let streamed = self.seen.get(&place).is_some_and(|seen| seen.text);
                    if !streamed {
                        let text = content["text"].as_str().unwrap_or_default();
                        self.text(place, Loose::Str(text.into()), out)?;
                    }
                    // Annotations may be streamed, or come with the item only.
                    let annotations = content.get_mut("annotations").and_then(Value::as_array_mut);
                    if let Some(all) = annotations.map(std::mem::take)
                        && !all.is_empty()
                    {
                        let seen = self.place(place)?;
                        if !std::mem::replace(&mut seen.noted, true) {
                            out.extend(all.into_iter().map(|note| noted(seen.index, note)));
                        }
                    }
                }
                Some("refusal") => {
                    let text = content["refusal"].as_str().unwrap_or_default();
                    self.rest(place, Loose::Str(text.into()), Self::refusal, out)?;
                }
                _ => {
                    let seen = self.place(place)?;
                    if !std::mem::replace(&mut seen.done, true) {
                        out.push(StreamEvent::Part {
                            index: seen.index,
                            part: content,
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The summary where there is one, else the reasoning itself, paragraphs apart.
fn reasoning_text(item: &Value) -> String {
    let texts = |key: &str| {
        let list = item[key].as_array().map_or(&[][..], Vec::as_slice);
        let texts: Vec<&str> = list
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect();
        texts.join("\n\n")
    };
    let summary = texts("summary");
    if summary.is_empty() {
        texts("content")
    } else {
        summary
    }
}
