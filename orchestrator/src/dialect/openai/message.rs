//! Messages of a Chat Completions request.

use ossai::{
    AudioPart, Content, Error, Extra, FilePart, ImagePart, Message, Part, Result, Role, TextPart,
    ToolCall,
};
use serde_json::Value;

use super::fields::{need, object, take};

const STRING: &str = "expected a string";

pub(super) fn read(value: Value, path: &str) -> Result<Message> {
    let mut m = object(value, path)?;
    let at = |name: &str| format!("{path}.{name}");
    let role: String = need(&mut m, "role", &at("role"), "expected a role")?;
    let role = match role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => {
            return Err(Error::invalid(
                at("role"),
                "expected `tool` instead of `function`",
            ));
        }
        _ => {
            return Err(Error::invalid(
                at("role"),
                "expected system, developer, user, assistant or tool",
            ));
        }
    };
    let content = match m.shift_remove("content") {
        None | Some(Value::Null) if role == Role::Assistant => Content::default(),
        Some(Value::String(text)) => Content::Text(text),
        Some(Value::Array(parts)) => Content::Parts(
            parts
                .into_iter()
                .enumerate()
                .map(|(i, value)| part(value, &format!("{path}.content[{i}]")))
                .collect::<Result<_>>()?,
        ),
        _ => {
            return Err(Error::invalid(
                at("content"),
                "expected a string or a list of parts",
            ));
        }
    };
    Ok(Message {
        role,
        content,
        name: take(&mut m, "name", &at("name"), STRING)?,
        tool_calls: tool_calls(&mut m, path)?,
        tool_call_id: take(&mut m, "tool_call_id", &at("tool_call_id"), STRING)?,
        is_error: false,
        extra: m,
    })
}

/// Calls of functions are typed; when one is of another kind or has fields inside that ours lack, the list goes whole.
fn tool_calls(m: &mut Extra, path: &str) -> Result<Vec<ToolCall>> {
    let path = format!("{path}.tool_calls");
    let Some(list) = take::<Vec<Value>>(m, "tool_calls", &path, "expected a list")? else {
        return Ok(Vec::new());
    };
    let is_plain = |call: &Value| {
        let function = call.get("function").and_then(Value::as_object);
        matches!(
            call.get("type").and_then(Value::as_str),
            None | Some("function")
        ) && function.is_none_or(|function| {
            function
                .keys()
                .all(|key| key == "name" || key == "arguments")
        })
    };
    if !list.iter().all(is_plain) {
        m.insert("tool_calls".into(), Value::Array(list));
        return Ok(Vec::new());
    }
    let read = |(i, value): (usize, Value)| {
        let at = |name: &str| format!("{path}[{i}].{name}");
        let mut call = object(value, &format!("{path}[{i}]"))?;
        call.shift_remove("type");
        let mut function: Extra =
            need(&mut call, "function", &at("function"), "expected an object")?;
        Ok(ToolCall {
            id: need(&mut call, "id", &at("id"), STRING)?,
            name: need(&mut function, "name", &at("function.name"), STRING)?,
            arguments: need(
                &mut function,
                "arguments",
                &at("function.arguments"),
                "expected a string of JSON",
            )?,
            extra: call,
        })
    };
    list.into_iter().enumerate().map(read).collect()
}

fn part(value: Value, path: &str) -> Result<Part> {
    let mut part = object(value, path)?;
    let kind: String = need(&mut part, "type", &format!("{path}.type"), STRING)?;
    let typed = match kind.as_str() {
        "text" => {
            let text = need(&mut part, "text", &format!("{path}.text"), STRING)?;
            return Ok(Part::Text(TextPart { text, extra: part }));
        }
        "image_url" => image(&mut part, path)?,
        "input_audio" => audio(&mut part, path)?,
        "file" => file(&mut part, path)?,
        _ => None,
    };
    Ok(typed.unwrap_or_else(|| {
        part.insert("type".into(), kind.into());
        Part::Other(Value::Object(part))
    }))
}

/// The inner object of a part, when all its fields are known here; else the part goes on whole.
fn inner(part: &Extra, name: &str, known: &[&str], path: &str) -> Result<Option<Extra>> {
    let Some(Value::Object(inner)) = part.get(name) else {
        return Err(Error::invalid(
            format!("{path}.{name}"),
            "expected an object",
        ));
    };
    Ok(inner
        .keys()
        .all(|key| known.contains(&&**key))
        .then(|| inner.clone()))
}

fn image(part: &mut Extra, path: &str) -> Result<Option<Part>> {
    let Some(mut image) = inner(part, "image_url", &["url", "detail"], path)? else {
        return Ok(None);
    };
    let url: String = need(&mut image, "url", &format!("{path}.image_url.url"), STRING)?;
    let detail = take(
        &mut image,
        "detail",
        &format!("{path}.image_url.detail"),
        STRING,
    )?;
    part.shift_remove("image_url");
    let extra = std::mem::take(part);
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
        extra,
        ..image
    })))
}

fn audio(part: &mut Extra, path: &str) -> Result<Option<Part>> {
    let Some(mut audio) = inner(part, "input_audio", &["data", "format"], path)? else {
        return Ok(None);
    };
    let data = need(
        &mut audio,
        "data",
        &format!("{path}.input_audio.data"),
        STRING,
    )?;
    let format = need(
        &mut audio,
        "format",
        &format!("{path}.input_audio.format"),
        STRING,
    )?;
    part.shift_remove("input_audio");
    Ok(Some(Part::Audio(AudioPart {
        data,
        format,
        extra: std::mem::take(part),
    })))
}

fn file(part: &mut Extra, path: &str) -> Result<Option<Part>> {
    let Some(mut file) = inner(part, "file", &["file_data", "file_id", "filename"], path)? else {
        return Ok(None);
    };
    let at = |name: &str| format!("{path}.file.{name}");
    let file_id: Option<String> = take(&mut file, "file_id", &at("file_id"), STRING)?;
    let data: Option<String> = take(&mut file, "file_data", &at("file_data"), STRING)?;
    let filename = take(&mut file, "filename", &at("filename"), STRING)?;
    let source = match (&file_id, data.as_deref().map(data_url)) {
        (Some(_), None) => FilePart {
            file_id,
            ..FilePart::default()
        },
        (None, Some(Some((media_type, data)))) => FilePart {
            data: Some(data.to_owned()),
            media_type: Some(media_type.to_owned()),
            ..FilePart::default()
        },
        (None, None) => {
            return Err(Error::invalid(
                format!("{path}.file"),
                "expected `file_id` or `file_data`",
            ));
        }
        _ => return Ok(None),
    };
    part.shift_remove("file");
    Ok(Some(Part::File(FilePart {
        filename,
        extra: std::mem::take(part),
        ..source
    })))
}

/// Media type and base64 text of a plain data URL (RFC 2397); one with parameters stays as it is.
pub(super) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    (!media_type.is_empty() && !media_type.contains(';')).then_some((media_type, data))
}
