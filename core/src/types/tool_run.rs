//! What a tool loop did: its turns, its tool calls, and the messages they added to the conversation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Attempt, CacheOutcome, Cost, FinishReason, Message, Timing, Trace, Usage};

/// A call's tool loop, beside the answer it ended with. The answer's own cost, usage, attempts and times are those of all
/// turns together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolRun {
    /// Every answer that was asked of the model, in order.
    pub turns: Vec<ToolTurn>,
    /// Every tool call, in the order in which the model made them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCallRecord>,
    /// What was added to the request's messages: answers and tool results, the last answer included. The request's
    /// messages and these are the whole conversation, ready to go on.
    pub messages: Vec<Message>,
}

/// One answer of the model's within a tool loop, with what it cost by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolTurn {
    /// Our id of the turn's call.
    pub request_id: String,
    /// The model that answered, as the vendor names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_model: Option<String>,
    /// Why the model stopped.
    pub finish_reason: FinishReason,
    /// Tokens used.
    pub usage: Usage,
    /// What the turn cost: nothing on a cache hit.
    pub cost: Cost,
    /// What the cache and the shared calls did for it.
    pub cache: CacheOutcome,
    /// Every try at an upstream, in order; empty on a cache hit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Where the time went.
    pub timing: Timing,
    /// Why the turn came out as it did, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
}

/// One tool call and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolCallRecord {
    /// The turn whose answer made it, from 1.
    pub turn: u32,
    /// The model's id of it.
    pub id: String,
    /// The tool's name, as the model called it.
    pub name: String,
    /// The tool's id; absent where there is no such tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_id: Option<String>,
    /// The arguments; absent where they were no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What came of it.
    pub outcome: ToolOutcome,
    /// What the handler returned, where that is what the model was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What the model was told instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ToolFailure>,
    /// From the call to its result, approval included, in microseconds.
    pub duration_us: u64,
}

/// What came of a tool call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolOutcome {
    /// The handler returned, and the model has its output.
    #[default]
    Ok,
    /// There is no such tool; the model was told which there are.
    UnknownTool,
    /// The arguments are no JSON or do not fit the input schema; no handler ran.
    InvalidInput,
    /// The call was not approved; no handler ran.
    Denied,
    /// The handler, or the approval callback, failed.
    Failed,
    /// The handler, or the approval callback, took too long.
    Timeout,
    /// What the handler returned is too large or does not fit the output schema.
    InvalidOutput,
}

impl ToolOutcome {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::UnknownTool => "unknown_tool",
            Self::InvalidInput => "invalid_input",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::InvalidOutput => "invalid_output",
        }
    }

    /// Whether the handler is to blame: what the option `on_error: fail` is about.
    #[must_use]
    pub fn is_the_handlers(self) -> bool {
        matches!(self, Self::Failed | Self::Timeout | Self::InvalidOutput)
    }
}

/// Why a tool call has no output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolFailure {
    /// The host's own name for it (an exception's class), or ours: the outcome's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the model was told.
    pub message: String,
    /// The first value that does not fit its schema, as a path (`stops[2].city`); empty for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
