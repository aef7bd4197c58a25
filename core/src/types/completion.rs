//! The answer to a completion request.

use super::RawJson;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    Content, Cost, Extra, Message, NanoUsd, Part, ReasoningPart, Role, ToolCall, ToolRun, Trace,
    Usage,
};

/// A finished answer, with what it cost and how it came about.
///
/// What the model said is shared by everybody who gets it (callers of one flight, later hits of the cache) and read
/// through this type as if it were its own: `completion.text`. Writing to it makes a copy first if it is shared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Completion {
    /// What the model answered.
    #[serde(flatten)]
    pub answer: Arc<Answer>,
    /// What it cost the caller: nothing on a cache hit.
    pub cost: Cost,
    /// What the cache and the shared calls did for it.
    pub cache: CacheOutcome,
    /// Every try at an upstream, in order; empty on a cache hit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Our id of the call.
    pub request_id: String,
    /// Where the time went.
    pub timing: Timing,
    /// Why the call came out as it did, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
    /// What the call's tool loop did, where the call had tools with handlers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_run: Option<Box<ToolRun>>,
}

impl std::ops::Deref for Completion {
    type Target = Answer;

    fn deref(&self) -> &Answer {
        &self.answer
    }
}

impl std::ops::DerefMut for Completion {
    fn deref_mut(&mut self) -> &mut Answer {
        Arc::make_mut(&mut self.answer)
    }
}

impl Completion {
    /// What the model answered, to take apart; copied if it is shared.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        Arc::unwrap_or_clone(self.answer)
    }
}

impl From<Answer> for Completion {
    fn from(answer: Answer) -> Self {
        Self {
            answer: Arc::new(answer),
            ..Self::default()
        }
    }
}

/// What a model answered and used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The vendor's id of the answer.
    pub id: String,
    /// The model asked for, `provider/model`.
    pub model: String,
    /// The model that answered, as the vendor names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_model: Option<String>,
    /// When the vendor made it, in seconds since 1970, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// All text of the answer.
    pub text: String,
    /// The answer in order: text, reasoning, refusals, tool calls.
    pub parts: Vec<OutputPart>,
    /// Why the model stopped.
    pub finish_reason: FinishReason,
    /// The vendor's own word for it, where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_finish_reason: Option<String>,
    /// Tokens used.
    pub usage: Usage,
    /// The vendor's usage object, unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_usage: Option<RawJson>,
    /// The vendor's request id, for its support.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<String>,
    /// Parameters that were left out because the model does not take them, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped_params: Vec<String>,
    /// Fields of the vendor's answer that are unknown here (`system_fingerprint`, `logprobs` …).
    #[serde(skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

impl Answer {
    /// The tool calls of the answer, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            OutputPart::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// The answer as a message to append to the conversation, reasoning included where it must be sent back.
    #[must_use]
    pub fn to_message(&self) -> Message {
        let mut parts = Vec::new();
        for part in &self.parts {
            match part {
                OutputPart::Text { text } | OutputPart::Refusal { text } => {
                    parts.push(Part::text(text));
                }
                OutputPart::Reasoning(reasoning) => parts.push(Part::Reasoning(reasoning.clone())),
                OutputPart::ToolCall(_) => {}
                OutputPart::Other(value) => parts.push(Part::Other(value.clone())),
            }
        }
        let content = match parts.as_slice() {
            [] => Content::default(),
            [Part::Text(part)] => Content::Text(part.text.clone()),
            _ => Content::Parts(parts),
        };
        Message {
            role: Role::Assistant,
            content,
            tool_calls: self.tool_calls().cloned().collect(),
            ..Message::default()
        }
    }
}

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutputPart {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// The model declined, in its own words.
    Refusal {
        /// What it said.
        text: String,
    },
    /// Reasoning the provider shows, or must get back.
    Reasoning(ReasoningPart),
    /// A tool to call.
    ToolCall(ToolCall),
    /// Anything else, unchanged.
    #[serde(untagged)]
    Other(Value),
}

/// Why the model stopped. A word unknown here is kept as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The answer is complete.
    #[default]
    Stop,
    /// The token limit cut it.
    Length,
    /// It waits for tool results.
    ToolCalls,
    /// The vendor's filter cut it.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// The vendor paused a long turn; send the conversation again to go on.
    Pause,
    /// Something else, in the vendor's words.
    Other(String),
}

impl FinishReason {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Refusal => "refusal",
            Self::Pause => "pause",
            Self::Other(other) => other,
        }
    }

    /// Reads the name in JSON.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            "refusal" => Self::Refusal,
            "pause" => Self::Pause,
            other => Self::Other(other.into()),
        }
    }

    /// Whether the answer is whole and may be stored: it stopped by itself or waits for tools.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Stop | Self::ToolCalls)
    }
}

impl Serialize for FinishReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FinishReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_name(&String::deserialize(deserializer)?))
    }
}

/// What the cache did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CacheStatus {
    /// The answer came out of a cache.
    Hit,
    /// It was looked for and not there.
    Miss,
    /// The call did not ask the cache: the policy or the caller said so.
    #[default]
    Bypass,
}

/// Which cache answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CacheTier {
    /// This process.
    Memory,
    /// The shared store.
    Redis,
    /// This machine.
    Disk,
    /// A similar request's answer.
    Semantic,
    /// The orchestrator's cache.
    Orchestrator,
}

/// What the cache and the shared calls did for a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheOutcome {
    /// Hit, miss or not asked.
    pub status: CacheStatus,
    /// Which cache answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<CacheTier>,
    /// How old the stored answer was, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// The call joined another's flight instead of starting one.
    pub joined: bool,
    /// Money not spent thanks to the cache or the shared call; absent when the price is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<NanoUsd>,
    /// The answer's time was over: it was given while a new one is fetched, or because none could be had.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// How near the question is whose answer this is, where that was another one: the cosine of the two vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    /// What looking for a similar question cost, which is no part of `cost`; absent where nothing was looked for, and where
    /// the price is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup_cost: Option<NanoUsd>,
}

/// One try at an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// The error kind, or absent when it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<crate::error::ErrorKind>,
    /// The HTTP status, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The wait before this try, in milliseconds.
    pub delay_ms: u64,
    /// The vendor's request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<String>,
    /// From sending to the end of the try, in microseconds.
    pub duration_us: u64,
    /// The model asked, `provider/model`, where the call may fall back to another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// It ran beside the try that decided, whose time contains its own: one of the two copies of a hedged call.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub parallel: bool,
    /// Which further address was asked, as a path of the configuration; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Where a call's time went, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// Waiting for a place or for pacing before the first try.
    pub queue_us: u64,
    /// From the call to the first token, for streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_us: Option<u64>,
    /// From the call to its end.
    pub total_us: u64,
    /// Our own share: the whole less queueing, waiting between tries and the upstream's time.
    pub overhead_us: u64,
}
