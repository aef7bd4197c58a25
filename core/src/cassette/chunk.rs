//! Pieces of bodies, kept to the byte: what is written as `json` or `data` is what comes out the same when it is read again,
//! all else is `text`, or `base64` where it is none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A piece of a body; exactly one of `text`, `base64`, `json` and `data`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Chunk {
    /// From the request to it; as the one before where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// A JSON document without white space.
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    /// The type of a server-sent event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// The data of a server-sent event; what is no string is written as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

impl Chunk {
    /// Written as `json` or `data` where that is the same to the byte.
    pub(super) fn of(ms: u64, bytes: &[u8], is_json: bool) -> Self {
        let chunk = Self {
            ms: Some(ms),
            ..Self::default()
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Self {
                base64: Some(BASE64.encode(bytes)),
                ..chunk
            };
        };
        let exact = |other: &Self| other.bytes().is_ok_and(|written| written == bytes);
        if is_json && let Ok(value) = serde_json::from_str::<Value>(text) {
            let json = Self {
                json: Some(value),
                ..chunk.clone()
            };
            if exact(&json) {
                return json;
            }
        }
        if let Some(event) = text.strip_suffix("\n\n") {
            let (name, data) = match event.strip_prefix("event: ") {
                Some(rest) => rest
                    .split_once("\ndata: ")
                    .map_or((None, None), |(name, data)| (Some(name), Some(data))),
                None => (None, event.strip_prefix("data: ")),
            };
            if let Some(data) = data.filter(|data| !data.contains(['\n', '\r'])) {
                let parsed = serde_json::from_str::<Value>(data)
                    .ok()
                    .filter(|value| !value.is_null());
                let event = Self {
                    event: name.map(str::to_owned),
                    data: Some(parsed.unwrap_or_else(|| data.into())),
                    ..chunk.clone()
                };
                if exact(&event) {
                    return event;
                }
            }
        }
        Self {
            text: Some(text.to_owned()),
            ..chunk
        }
    }

    /// The bytes on the wire, or what is wrong with it.
    pub(super) fn bytes(&self) -> std::result::Result<Vec<u8>, &'static str> {
        let ways = [
            self.text.is_some(),
            self.base64.is_some(),
            self.json.is_some(),
            self.data.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() != 1 {
            return Err("expected exactly one of `text`, `base64`, `json` and `data`");
        }
        if self.event.is_some() && self.data.is_none() {
            return Err("expected `data` beside `event`");
        }
        if let Some(text) = &self.text {
            return Ok(text.clone().into_bytes());
        }
        if let Some(text) = &self.base64 {
            return BASE64
                .decode(text)
                .map_err(|_| "expected base64 (RFC 4648 §4)");
        }
        if let Some(json) = &self.json {
            return Ok(json.to_string().into_bytes());
        }
        let data = match &self.data {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        Ok(match &self.event {
            Some(name) => format!("event: {name}\ndata: {data}\n\n"),
            None => format!("data: {data}\n\n"),
        }
        .into_bytes())
    }

    /// The content type of a body that has it and says none.
    pub(super) fn content_type(&self) -> Option<&'static str> {
        if self.data.is_some() {
            return Some("text/event-stream");
        }
        self.json.as_ref().map(|_| "application/json")
    }
}
