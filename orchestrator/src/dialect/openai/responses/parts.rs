//! Contents of input items.

use ossai::{AudioPart, Content, Error, Extra, FilePart, ImagePart, Part, Result, TextPart};
use serde_json::Value;

use crate::dialect::openai::fields::{need, object, take};
use crate::dialect::openai::message::data_url;
use crate::dialect::openai::request::STRING;

const EXPECTED: &str = "expected a string or a list of parts";

/// What a user, the instructions or a tool say.
pub(super) fn read(content: Option<Value>, path: &str) -> Result<Content> {
    match content {
        Some(Value::String(text)) => Ok(Content::Text(text)),
        Some(Value::Array(parts)) => Ok(Content::Parts(
            parts
                .into_iter()
                .enumerate()
                .map(|(i, value)| part(value, &format!("{path}[{i}]")))
                .collect::<Result<_>>()?,
        )),
        _ => Err(Error::invalid(path, EXPECTED)),
    }
}

/// What an assistant said: texts. Their annotations and probabilities say of them what no model reads again.
pub(super) fn read_output(content: Option<Value>, path: &str) -> Result<Vec<Part>> {
    let parts = match content {
        Some(Value::String(text)) => return Ok(vec![Part::text(text)]),
        Some(Value::Array(parts)) => parts,
        _ => return Err(Error::invalid(path, EXPECTED)),
    };
    let read = |(i, value): (usize, Value)| {
        let path = format!("{path}[{i}]");
        let mut part = object(value, &path)?;
        let kind: String = need(&mut part, "type", &format!("{path}.type"), STRING)?;
        let name = match kind.as_str() {
            "output_text" | "input_text" | "text" => "text",
            "refusal" => "refusal",
            _ => {
                return Err(Error::invalid(
                    format!("{path}.type"),
                    "expected output_text or refusal from an assistant",
                ));
            }
        };
        let text: String = need(&mut part, name, &format!("{path}.{name}"), STRING)?;
        Ok(Part::text(text))
    };
    parts.into_iter().enumerate().map(read).collect()
}

fn part(value: Value, path: &str) -> Result<Part> {
    let mut part = object(value, path)?;
    let kind: String = need(&mut part, "type", &format!("{path}.type"), STRING)?;
    let typed = match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            let text = need(&mut part, "text", &format!("{path}.text"), STRING)?;
            return Ok(Part::Text(TextPart { text, extra: part }));
        }
        "input_image" => image(&mut part, path)?,
        "input_audio" => audio(&mut part, path)?,
        "input_file" => file(&mut part, path)?,
        _ => None,
    };
    Ok(typed.unwrap_or_else(|| {
        part.insert("type".into(), kind.into());
        Part::Other(Value::Object(part))
    }))
}

/// A field that is there, as a string; the part keeps it.
fn given(part: &Extra, name: &str, path: &str) -> Result<Option<String>> {
    match part.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Error::invalid(format!("{path}.{name}"), STRING)),
    }
}

/// An image by address or by content; one by the vendor's file id goes on as it is.
fn image(part: &mut Extra, path: &str) -> Result<Option<Part>> {
    let url = given(part, "image_url", path)?;
    let file_id = given(part, "file_id", path)?;
    let url = match (url, file_id) {
        (Some(url), None) => url,
        (None, None) => {
            return Err(Error::invalid(
                format!("{path}.image_url"),
                "expected an address or a data URL",
            ));
        }
        _ => return Ok(None),
    };
    let detail = take(part, "detail", &format!("{path}.detail"), STRING)?;
    part.shift_remove("image_url");
    part.shift_remove("file_id");
    let image = match data_url(&url) {
        Some((media_type, data)) => ImagePart {
            data: Some(data.to_owned()),
            media_type: Some(media_type.to_owned()),
            ..ImagePart::default()
        },
        None => ImagePart {
            url: Some(url),
            ..ImagePart::default()
        },
    };
    Ok(Some(Part::Image(ImagePart {
        detail,
        extra: std::mem::take(part),
        ..image
    })))
}

fn audio(part: &mut Extra, path: &str) -> Result<Option<Part>> {
    let path = format!("{path}.input_audio");
    let Some(Value::Object(mut audio)) = part.get("input_audio").cloned() else {
        return Err(Error::invalid(path, "expected an object"));
    };
    if audio.keys().any(|key| key != "data" && key != "format") {
        return Ok(None);
    }
    let data = need(&mut audio, "data", &format!("{path}.data"), STRING)?;
    let format = need(&mut audio, "format", &format!("{path}.format"), STRING)?;
    part.shift_remove("input_audio");
    Ok(Some(Part::Audio(AudioPart {
        data,
        format,
        extra: std::mem::take(part),
    })))
}

/// A file by address, id or content; one in a form of its own goes on as it is.
fn file(part: &mut Extra, path: &str) -> Result<Option<Part>> {
    let url = given(part, "file_url", path)?;
    let id = given(part, "file_id", path)?;
    let data = given(part, "file_data", path)?;
    let source = match (url, id, data) {
        (Some(url), None, None) => FilePart {
            url: Some(url),
            ..FilePart::default()
        },
        (None, Some(id), None) => FilePart {
            file_id: Some(id),
            ..FilePart::default()
        },
        (None, None, Some(data)) => match data_url(&data) {
            Some((media_type, data)) => FilePart {
                data: Some(data.to_owned()),
                media_type: Some(media_type.to_owned()),
                ..FilePart::default()
            },
            None => return Ok(None),
        },
        (None, None, None) => {
            return Err(Error::invalid(
                path,
                "expected `file_url`, `file_id` or `file_data`",
            ));
        }
        _ => return Ok(None),
    };
    let filename = take(part, "filename", &format!("{path}.filename"), STRING)?;
    for name in ["file_url", "file_id", "file_data"] {
        part.shift_remove(name);
    }
    Ok(Some(Part::File(FilePart {
        filename,
        extra: std::mem::take(part),
        ..source
    })))
}
