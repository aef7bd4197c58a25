//! Between the public vocabulary and the protocol's messages, both ways and without loss.
//!
//! Writing (`From<&core> for proto`) cannot fail. Reading (`TryFrom<proto> for core`) can, since the peer is another
//! program: [`ConvertError`] names the field, and the server makes `invalid_request` of it and the client
//! `decode_error`. Both sides name every field of the other, so that a field added to one does not compile until it is
//! converted. What a newer peer may add is read as `ossai/orchestrator/v1/*.proto` says: refused in a request, where
//! leaving it out would change the question, and skipped in an answer.

mod cache;
mod completion;
mod content;
mod embedding;
mod error;
mod event;
mod metadata;
mod options;
mod request;
mod usage;

pub(crate) use error::TOO_LARGE;
pub use error::{error_from_status, should_retry, status_from_error};
pub use event::{event_message, read_event};
pub use metadata::{check_protocol, stamp_protocol, time_left, timeout_value};
pub use options::options_message;

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::types::Extra;

/// A message that cannot be read: which field, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    /// The path of the field (`messages[2].content[0].extra`).
    pub field: String,
    /// What was expected there.
    pub expected: String,
}

impl ConvertError {
    fn new(field: &str, expected: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            expected: expected.into(),
        }
    }

    /// The same fault one level further out.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        let dot = if self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{outer}{dot}{}", self.field);
        self
    }

    /// What a server answers: the caller's request is wrong.
    #[must_use]
    pub fn invalid_request(self) -> Error {
        Error::invalid(self.field, self.expected)
    }

    /// What a client says of such an answer.
    #[must_use]
    pub fn decode_error(self) -> Error {
        Error::new(
            ErrorKind::DecodeError,
            format!("{}: {}", self.field, self.expected),
        )
        .with(|fields| fields.field = Some(self.field))
    }
}

impl std::fmt::Display for ConvertError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.expected)
    }
}

impl std::error::Error for ConvertError {}

type Converted<T> = Result<T, ConvertError>;

/// A JSON object as text; the empty one as the empty text.
fn extra_text(extra: &Extra) -> String {
    if extra.is_empty() {
        return String::new();
    }
    // A map of strings to values has no way to fail.
    serde_json::to_string(extra).unwrap_or_default()
}

fn read_extra(text: &str, field: &str) -> Converted<Extra> {
    if text.is_empty() {
        return Ok(Extra::new());
    }
    serde_json::from_str(text)
        .map_err(|error| ConvertError::new(field, format!("expected a JSON object ({error})")))
}

fn read_json(text: &str, field: &str) -> Converted<Value> {
    serde_json::from_str(text)
        .map_err(|error| ConvertError::new(field, format!("expected JSON ({error})")))
}

fn read_json_option<T: From<Value>>(text: Option<String>, field: &str) -> Converted<Option<T>> {
    text.map(|text| read_json(&text, field).map(T::from))
        .transpose()
}

/// Reads each item; a fault names its place.
fn read_each<P, T: TryFrom<P, Error = ConvertError>>(
    items: Vec<P>,
    field: &str,
) -> Converted<Vec<T>> {
    items
        .into_iter()
        .enumerate()
        .map(|(i, item)| T::try_from(item).map_err(|e| e.within(&format!("{field}[{i}]"))))
        .collect()
}

fn write_each<'a, T, P: From<&'a T>>(items: &'a [T]) -> Vec<P> {
    items.iter().map(P::from).collect()
}
