//! The public vocabulary: what goes into a call and what comes back.
//!
//! These types are the one shape every language shares. Their serde form is what crosses language borders, what a
//! conformance case is written in and what the orchestrator speaks over gRPC, so a field added here appears everywhere
//! at once. Objects keep fields they do not know in `extra`, so that nothing a caller wrote is lost on the way.

mod budget;
mod completion;
mod content;
mod embedding;
mod event;
mod invalidation;
mod message;
mod model;
mod money;
mod options;
mod raw;
mod request;
mod tool_run;
mod trace;
mod usage;

pub use budget::BudgetRefusal;
pub use completion::{
    Answer, Attempt, CacheOutcome, CacheStatus, CacheTier, Completion, FinishReason, OutputPart,
    Timing,
};
pub use content::{AudioPart, Content, FilePart, ImagePart, Part, ReasoningPart, TextPart};
pub use embedding::{Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse};
pub use event::StreamEvent;
pub use invalidation::{Invalidated, Invalidation};
pub use message::{Message, Role, ToolCall};
pub use model::{Health, HealthStatus, ModelInfo};
pub use money::NanoUsd;
pub use options::{CacheOptions, CallOptions, PromptCache, Unsupported};
pub use raw::RawJson;
pub use request::{
    CompletionRequest, ReasoningEffort, ResponseFormat, Tool, ToolChoice, ToolDefinition,
};
pub use tool_run::{ToolCallRecord, ToolFailure, ToolOutcome, ToolRun, ToolTurn};
pub use trace::{MAX_STEPS, Trace, TraceStep};
pub use usage::{Cost, CostStatus, Usage};

/// Fields a type does not know, kept verbatim and passed on to the provider.
pub type Extra = serde_json::Map<String, serde_json::Value>;
