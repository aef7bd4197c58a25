//! Message content: text, images, audio, files, reasoning, and whatever a provider adds next.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use super::Extra;

/// The content of a message: a string, or a list of parts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Typed parts in order.
    Parts(Vec<Part>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Content {
    /// All text of the content, parts joined without a separator.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Text(text) => text.into(),
            Self::Parts(parts) => match parts.as_slice() {
                [Part::Text(part)] => part.text.as_str().into(),
                parts => parts
                    .iter()
                    .filter_map(|part| match part {
                        Part::Text(part) => Some(part.text.as_str()),
                        _ => None,
                    })
                    .collect::<String>()
                    .into(),
            },
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Parts(parts) => parts.is_empty(),
        }
    }
}

impl<T: Into<String>> From<T> for Content {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self::default()),
            Value::String(text) => Ok(Self::Text(text)),
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(i, item)| {
                    Part::from_value(item).map_err(|e| D::Error::custom(format!("[{i}]: {e}")))
                })
                .collect::<Result<_, _>>()
                .map(Self::Parts),
            _ => Err(D::Error::custom("expected a string or a list of parts")),
        }
    }
}

/// One part of a message.
///
/// In JSON each is an object with a `type`; a type this version does not know is kept whole as [`Part::Other`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text(TextPart),
    /// An image by address or by content.
    Image(ImagePart),
    /// Audio by content.
    Audio(AudioPart),
    /// A document by address, by content or by the provider's file id.
    File(FilePart),
    /// A model's reasoning, sent back in tool loops where the provider asks for it.
    Reasoning(ReasoningPart),
    /// A part of a type unknown here, passed on unchanged.
    #[serde(untagged)]
    Other(Value),
}

impl Part {
    fn from_value(value: Value) -> Result<Self, serde_json::Error> {
        let Some(kind) = value.get("type").and_then(Value::as_str) else {
            return Err(serde_json::Error::custom(
                "expected a part: an object with a `type`",
            ));
        };
        Ok(match kind {
            "text" => Self::Text(typed(value)?),
            "image" => Self::Image(typed(value)?),
            "audio" => Self::Audio(typed(value)?),
            "file" => Self::File(typed(value)?),
            "reasoning" => Self::Reasoning(typed(value)?),
            _ => Self::Other(value),
        })
    }

    /// A text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(TextPart {
            text: text.into(),
            extra: Extra::new(),
        })
    }
}

fn typed<T: serde::de::DeserializeOwned>(mut value: Value) -> Result<T, serde_json::Error> {
    if let Some(object) = value.as_object_mut() {
        object.shift_remove("type");
    }
    serde_json::from_value(value)
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextPart {
    /// The text.
    pub text: String,
    /// Provider fields (`cache_control` …).
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image: exactly one of `url` and `data`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImagePart {
    /// Where the provider fetches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The image itself, base64 (RFC 4648 §4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// `image/png`, `image/jpeg`, `image/gif`, `image/webp`; required with `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// `low`, `high`, `auto` or `original`, where the provider knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Provider fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Audio by content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AudioPart {
    /// The audio itself, base64.
    pub data: String,
    /// `wav`, `mp3` …
    pub format: String,
    /// Provider fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A document: exactly one of `url`, `data` and `file_id`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FilePart {
    /// Where the provider fetches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The document itself, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The provider's id of an uploaded file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<String>,
    /// `application/pdf` …; required with `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Name shown to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Provider fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A model's reasoning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReasoningPart {
    /// The reasoning as text, or its summary; empty where the provider hides it.
    #[serde(default)]
    pub text: String,
    /// The provider's proof that the reasoning is its own, needed to send it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Hidden reasoning, opaque (`redacted_thinking`, `encrypted_content`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<String>,
    /// Provider fields.
    #[serde(flatten)]
    pub extra: Extra,
}
