//! Stream events, and their fold to the answer a non-streamed call would have given.

use super::RawJson;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Completion, Extra, FinishReason, ToolCallRecord, Usage};

/// One event of a streamed completion.
///
/// `index` numbers the parts of the answer in order of their first event, so that folding events by it gives
/// [`Answer::parts`](super::Answer::parts). Exactly one [`StreamEvent::End`] closes a good stream; an error ends it instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StreamEvent {
    /// The vendor accepted the request.
    Start {
        /// The vendor's id of the answer.
        id: String,
        /// The model that answers, as the vendor names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        response_model: Option<String>,
        /// When, in seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<u64>,
    },
    /// More text of a text part.
    TextDelta {
        /// Which part.
        index: u32,
        /// The piece.
        text: String,
    },
    /// More text of a refusal.
    RefusalDelta {
        /// Which part.
        index: u32,
        /// The piece.
        text: String,
    },
    /// More reasoning.
    ReasoningDelta {
        /// Which part.
        index: u32,
        /// The piece; may be empty when only a signature arrives.
        #[serde(default)]
        text: String,
        /// The signature, once known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        /// Hidden reasoning, opaque.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redacted: Option<String>,
        /// Provider fields of the reasoning part.
        #[serde(default, skip_serializing_if = "Extra::is_empty")]
        extra: Extra,
    },
    /// A tool call begins.
    ToolCallStart {
        /// Which part.
        index: u32,
        /// The id the result must name.
        id: String,
        /// Which tool.
        name: String,
        /// Provider fields of the call.
        #[serde(default, skip_serializing_if = "Extra::is_empty")]
        extra: Extra,
    },
    /// More of a tool call's arguments.
    ToolCallDelta {
        /// Which part.
        index: u32,
        /// The piece of JSON text.
        arguments: String,
    },
    /// A whole part of a kind unknown here.
    Part {
        /// Which part.
        index: u32,
        /// The part, unchanged.
        part: Value,
    },
    /// A note on a part: a citation, a source.
    ///
    /// The answer has it in its `extra`, in the list that `field` names, with the part's number as `part_index`.
    Annotation {
        /// Which part.
        index: u32,
        /// `citations` (Anthropic) or `annotations` (OpenAI).
        field: String,
        /// The vendor's object, unchanged.
        annotation: Value,
    },
    /// Usage so far; a later one replaces it.
    Usage {
        /// Normalised.
        usage: Usage,
        /// The vendor's object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raw: Option<RawJson>,
    },
    /// The model stopped.
    Finish {
        /// Why.
        reason: FinishReason,
        /// The vendor's own word, where it differs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raw: Option<String>,
    },
    /// Fields of the vendor's answer that are unknown here.
    Extra {
        /// The fields; later ones replace earlier ones of the same name.
        fields: Extra,
    },
    /// A further turn of a tool loop begins: its parts are numbered anew, and the answer is the last turn's.
    Turn {
        /// Which turn, from 2: the first begins with the stream.
        turn: u32,
    },
    /// A tool's handler begins: the arguments fit and the call is approved.
    ToolStarted {
        /// The turn whose answer made the call.
        turn: u32,
        /// The model's id of the call.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments.
        input: Value,
    },
    /// What came of a tool call. Calls of one turn end in any order.
    ToolResult(ToolCallRecord),
    /// The end, with the whole answer: what `complete` would have returned.
    End {
        /// The answer.
        completion: Box<Completion>,
    },
}
