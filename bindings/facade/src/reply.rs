//! Answers, as values for bindings that read them field by field and as JSON for those that do not.

use ossai::{Completion, EmbeddingResponse, StreamEvent};
use serde::Serialize;
use serde_json::Value;

/// The answer of an operation. Its JSON is the public types' own, the same that conformance traces hold.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Reply {
    /// Of `complete`, and of `lookup` where the memory has the answer.
    Completion(Box<Completion>),
    /// Of `embed`.
    Embedding(Box<EmbeddingResponse>),
    /// Of `stream` when the whole answer was at hand: every event, the last one `end`.
    Events(Vec<StreamEvent>),
    /// Of everything else.
    Value(Value),
}

impl Reply {
    pub(crate) fn value(value: impl Serialize) -> ossai::Result<Self> {
        serde_json::to_value(value)
            .map(Self::Value)
            .map_err(|error| {
                ossai::Error::new(ossai::ErrorKind::Internal, "an answer has no JSON form")
                    .with_source(error)
            })
    }

    /// The answer as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps with string keys and numbers that are finite or null: there is nothing in it that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
