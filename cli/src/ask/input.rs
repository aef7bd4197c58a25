//! From arguments, files and standard input to a request.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use ossai::{Client, CompletionRequest, Content, ImagePart, Message, Part, ResponseFormat};
use serde_json::Value;

use super::Ask;
use super::over::{Source, retrieve};
use crate::failure::Failure;
use crate::io::piped;
use crate::model;

/// Largest attached file, in bytes.
const MAX_FILE: u64 = 64 << 20;

impl Ask {
    /// The request, and the sources of its passages.
    pub(super) async fn request(
        &self,
        client: &Client,
    ) -> Result<(CompletionRequest, Vec<Source>), Failure> {
        let question = self.prompt.join(" ");
        let question = if question == "-" {
            String::new()
        } else {
            question
        };
        let text = match (piped()?, question.is_empty()) {
            (Some(piped), true) => piped,
            (Some(piped), false) => format!("{}\n\n{question}", piped.trim_end()),
            (None, false) => question,
            (None, true) => {
                return Err(Failure::usage(
                    "PROMPT",
                    "expected a question, or text on standard input",
                ));
            }
        };
        // Read before anybody is asked: a misspelt path should not cost a round trip.
        let attached = self
            .file
            .iter()
            .map(|path| attach(path))
            .collect::<Result<Vec<_>, _>>()?;
        let response_format = self.schema.as_deref().map(response_format).transpose()?;
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(Message::system(system.as_str()));
        }
        let mut sources = Vec::new();
        if self.over.is_empty() {
            messages.push(Message::user(text));
        } else {
            let (found, passages) = retrieve(&self.over, &text, usize::from(self.passages))?;
            messages.extend(found);
            sources = passages;
        }
        if let Some(last) = messages.last_mut()
            && !attached.is_empty()
        {
            last.content = with_attached(attached, std::mem::take(&mut last.content));
        }
        let model = match &self.model {
            Some(model) => model.trim().to_owned(),
            None => model::default_model(client).await?,
        };
        model::check(client, &model)?;
        let request = CompletionRequest {
            model,
            messages,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            seed: self.seed,
            response_format,
            ..CompletionRequest::default()
        };
        Ok((request, sources))
    }
}

/// Attachments before the question, as the vendors advise.
fn with_attached(mut parts: Vec<Part>, question: Content) -> Content {
    match question {
        Content::Text(text) => parts.push(Part::text(text)),
        Content::Parts(more) => parts.extend(more),
    }
    Content::Parts(parts)
}

fn attach(path: &Path) -> Result<Part, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::path(path, &error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::usage(
            "--file",
            format_args!(
                "{}: expected at most {} MiB",
                path.display(),
                MAX_FILE >> 20
            ),
        ));
    }
    if let Some(media_type) = image_type(&bytes) {
        return Ok(Part::Image(ImagePart {
            data: Some(base64::engine::general_purpose::STANDARD.encode(&bytes)),
            media_type: Some(media_type.into()),
            ..ImagePart::default()
        }));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(Part::text(format!("{}:\n{text}", path.display()))),
        _ => Err(Failure::usage(
            "--file",
            format_args!(
                "{}: expected text, or a PNG, JPEG, GIF or WebP image",
                path.display()
            ),
        )),
    }
}

/// By the first bytes, as names lie.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    [
        (bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "image/png"),
        (bytes.starts_with(b"\xff\xd8\xff"), "image/jpeg"),
        (bytes.starts_with(b"GIF8"), "image/gif"),
        (webp, "image/webp"),
    ]
    .into_iter()
    .find_map(|(is, name)| is.then_some(name))
}

fn response_format(schema: &str) -> Result<ResponseFormat, Failure> {
    let text = if schema.trim_start().starts_with('{') {
        schema.to_owned()
    } else {
        std::fs::read_to_string(schema).map_err(|error| Failure::path(Path::new(schema), &error))?
    };
    let schema: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::usage("--schema", format_args!("expected JSON: {error}")))?;
    if !schema.is_object() {
        return Err(Failure::usage("--schema", "expected a JSON object"));
    }
    Ok(ResponseFormat::JsonSchema {
        name: "answer".into(),
        schema,
        strict: None,
        description: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_first_bytes() {
        assert_eq!(image_type(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(image_type(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(image_type(b"GIF89a"), Some("image/gif"));
        assert_eq!(image_type(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(image_type(b"RIFF\0\0\0\0WAVEfmt "), None);
        assert_eq!(image_type(b""), None);
    }

    #[test]
    fn a_schema_is_an_object() {
        assert!(response_format("{\"type\":\"object\"}").is_ok());
        assert!(response_format("{\"type\":").is_err());
        assert!(response_format("/nowhere/schema.json").is_err());
    }
}
