//! Embeddings: text or tokens in, vectors out.

use super::RawJson;
use serde::{Deserialize, Serialize};

use super::{Attempt, CacheOutcome, Cost, Extra, Timing, Trace, Usage};

/// One request for embeddings; inputs over a vendor's limits are split into several upstream calls and joined again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingRequest {
    /// `provider/model`.
    pub model: String,
    /// What to embed; at least one, none empty.
    pub input: EmbeddingInput,
    /// Length of the vectors, where the model can shorten them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// The end user, for the vendor's abuse detection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Provider fields (`input_type` …), sent unchanged.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What to embed: a string, a list of strings, a list of tokens, or a list of token lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// One text as tokens.
    Tokens(Vec<u32>),
    /// Several texts as tokens.
    TokenLists(Vec<Vec<u32>>),
}

impl Default for EmbeddingInput {
    fn default() -> Self {
        Self::Texts(Vec::new())
    }
}

impl EmbeddingInput {
    /// How many vectors it asks for.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(_) | Self::Tokens(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::TokenLists(lists) => lists.len(),
        }
    }

    /// Whether it asks for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One vector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// The place of its input.
    pub index: u32,
    /// The vector, 32-bit floats as the vendor sent them.
    pub vector: Vec<f32>,
}

/// The vectors, in the order of the inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmbeddingResponse {
    /// The model asked for, `provider/model`.
    pub model: String,
    /// The model that answered, as the vendor names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_model: Option<String>,
    /// One per input, in order.
    pub embeddings: Vec<Embedding>,
    /// Tokens used, over all upstream calls.
    pub usage: Usage,
    /// The vendor's usage object; a list when several calls were needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_usage: Option<RawJson>,
    /// What it cost.
    pub cost: Cost,
    /// What the cache and the shared calls did for it.
    pub cache: CacheOutcome,
    /// Every try at an upstream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Our id of the call.
    pub request_id: String,
    /// The vendor's request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<String>,
    /// Where the time went.
    pub timing: Timing,
    /// Why the call came out as it did, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
}
