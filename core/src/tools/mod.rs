//! The tool loop: a call whose tools have handlers goes on until the model has its answer.
//!
//! The model asks for tools, their handlers run, their results go back, and so on, within bounds: turns, calls at once,
//! time per call, money and time for the whole. What the model gets wrong (arguments that are no JSON or do not fit, tools
//! there are not) goes back to it as an error it can mend; so does a handler's failure unless the caller wants to know of
//! it. Every turn is a call like any other: cached, shared, retried, paced and counted.
//!
//! ```
//! use ossai::tools::{RunnableTool, ToolSpec, Toolset};
//! use serde_json::json;
//!
//! # async fn run(client: ossai::Client) -> ossai::Result<()> {
//! let spec = ToolSpec {
//!     description: Some("The weather of a city.".into()),
//!     input_schema: Some(json!({
//!         "type": "object",
//!         "properties": {"city": {"type": "string"}},
//!         "required": ["city"],
//!     })),
//!     ..ToolSpec::new("weather")
//! };
//! let weather = RunnableTool::new(spec, |input: serde_json::Value, _context| async move {
//!     Ok(json!({"city": input["city"], "sky": "rain"}))
//! });
//! let request = ossai::CompletionRequest::new("openai/gpt-4o-mini", "Do I need an umbrella in Oslo?");
//! let answer = client
//!     .with_tools(&Toolset::new([weather])?)
//!     .complete(request)
//!     .await?;
//! println!("{} ({:?})", answer.text, answer.cost.total);
//! # Ok(())
//! # }
//! ```

mod handler;
mod invoke;
mod options;
mod run;
mod schema;
mod set;
mod spec;
mod stream;
mod tally;
#[cfg(feature = "schema")]
mod typed;

pub use handler::{
    Approval, ApprovalFuture, Approve, ToolContext, ToolError, ToolFuture, ToolHandler,
};
pub use options::{LoopOptions, OnError};
pub use run::ToolClient;
pub use set::{RunnableTool, Toolset};
pub use spec::ToolSpec;
pub use stream::ToolStream;
