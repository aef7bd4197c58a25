//! Content blocks of a request that are parts of a message, whoever's it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ossai::{FilePart, ImagePart, Part, ReasoningPart, Result, TextPart};
use serde_json::Value;

use crate::dialect::openai::fields::{need, object, take};
use ossai::{Error, Extra};

pub(super) const STRING: &str = "expected a string";

/// A list of blocks, or the one text a string stands for.
pub(super) enum Blocks {
    Text(String),
    List(Vec<Value>),
}

/// Reads content at `path`.
pub(super) fn blocks(value: Option<Value>, path: &str) -> Result<Blocks> {
    match value {
        Some(Value::String(text)) => Ok(Blocks::Text(text)),
        Some(Value::Array(list)) => Ok(Blocks::List(list)),
        _ => Err(Error::invalid(
            path,
            "expected a string or a list of content blocks",
        )),
    }
}

/// The object of a block and its type.
pub(super) fn block(value: Value, path: &str) -> Result<(String, Extra)> {
    let mut block = object(value, path)?;
    let kind = need(&mut block, "type", &format!("{path}.type"), STRING)?;
    Ok((kind, block))
}

/// A block as a part; what has no typed place of ours goes on whole.
pub(super) fn part(kind: String, mut block: Extra, path: &str) -> Result<Part> {
    let at = |name: &str| format!("{path}.{name}");
    let typed = match kind.as_str() {
        "text" => Some(Part::Text(TextPart {
            text: need(&mut block, "text", &at("text"), STRING)?,
            extra: std::mem::take(&mut block),
        })),
        "image" => image(&mut block, &at("source"))?,
        "document" => document(&mut block, path)?,
        "thinking" => {
            let text = need(&mut block, "thinking", &at("thinking"), STRING)?;
            let signature: String = need(&mut block, "signature", &at("signature"), STRING)?;
            Some(Part::Reasoning(ReasoningPart {
                text,
                // What other providers' models think is not signed.
                signature: Some(signature).filter(|signature| !signature.is_empty()),
                redacted: None,
                extra: std::mem::take(&mut block),
            }))
        }
        "redacted_thinking" => Some(Part::Reasoning(ReasoningPart {
            redacted: Some(need(&mut block, "data", &at("data"), STRING)?),
            extra: std::mem::take(&mut block),
            ..ReasoningPart::default()
        })),
        _ => None,
    };
    Ok(typed.unwrap_or_else(|| {
        let mut whole = Extra::new();
        whole.insert("type".into(), kind.into());
        whole.extend(block);
        Part::Other(Value::Object(whole))
    }))
}

/// The fields of a `source` whose type is known and that has no others.
struct Source {
    kind: String,
    media_type: Option<String>,
    value: String,
}

fn source(block: &Extra, path: &str) -> Result<Option<Source>> {
    let Some(Value::Object(source)) = block.get("source") else {
        return Err(Error::invalid(path, "expected an object"));
    };
    let mut source = source.clone();
    let at = |name: &str| format!("{path}.{name}");
    let kind: String = need(&mut source, "type", &at("type"), STRING)?;
    let (name, typed) = match kind.as_str() {
        "base64" => ("data", true),
        "text" => ("data", false),
        "url" => ("url", false),
        "file" => ("file_id", false),
        _ => return Ok(None),
    };
    let value = need(&mut source, name, &at(name), STRING)?;
    let media_type: Option<String> = take(&mut source, "media_type", &at("media_type"), STRING)?;
    if typed && media_type.is_none() {
        return Err(Error::invalid(at("media_type"), STRING));
    }
    Ok(source.is_empty().then_some(Source {
        kind,
        media_type,
        value,
    }))
}

fn image(block: &mut Extra, path: &str) -> Result<Option<Part>> {
    let image = match source(block, path)? {
        Some(Source {
            kind,
            media_type,
            value,
        }) if kind == "base64" => ImagePart {
            data: Some(value),
            media_type,
            ..ImagePart::default()
        },
        Some(Source {
            kind,
            media_type: None,
            value,
        }) if kind == "url" => ImagePart {
            url: Some(value),
            ..ImagePart::default()
        },
        _ => return Ok(None),
    };
    block.shift_remove("source");
    Ok(Some(Part::Image(ImagePart {
        extra: std::mem::take(block),
        ..image
    })))
}

fn document(block: &mut Extra, path: &str) -> Result<Option<Part>> {
    let Some(source) = source(block, &format!("{path}.source"))? else {
        return Ok(None);
    };
    let Source {
        kind,
        media_type,
        value,
    } = source;
    let file = match (kind.as_str(), media_type.as_deref()) {
        ("base64", _) => FilePart {
            data: Some(value),
            media_type,
            ..FilePart::default()
        },
        // Ours holds every document's bytes alike; the core writes this one as text again.
        ("text", None | Some("text/plain")) => FilePart {
            data: Some(STANDARD.encode(value)),
            media_type: Some("text/plain".into()),
            ..FilePart::default()
        },
        ("url", None) => FilePart {
            url: Some(value),
            ..FilePart::default()
        },
        ("file", None) => FilePart {
            file_id: Some(value),
            ..FilePart::default()
        },
        _ => return Ok(None),
    };
    let filename = take(block, "title", &format!("{path}.title"), STRING)?;
    block.shift_remove("source");
    Ok(Some(Part::File(FilePart {
        filename,
        extra: std::mem::take(block),
        ..file
    })))
}
