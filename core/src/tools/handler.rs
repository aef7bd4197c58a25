//! What runs when the model calls a tool, what it is told about the call, and how it fails.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use super::spec::ToolSpec;

/// What a handler answers with.
pub type ToolFuture<'a> = Pin<Box<dyn Future<Output = Result<Value, ToolError>> + Send + 'a>>;

/// What an approval callback answers with.
pub type ApprovalFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Approval, ToolError>> + Send + 'a>>;

/// A tool's handler. Every async function of the input and the context is one.
///
/// Each call runs as a task of its own: one that blocks its thread, panics or never ends harms no other. Dropping the
/// future means that nobody waits any more: the time ran out, or the call that wanted the result is over. A handler may
/// use the client.
pub trait ToolHandler: Send + Sync + 'static {
    /// Runs the tool. The input fits the tool's schema.
    fn call(&self, input: Value, context: ToolContext) -> ToolFuture<'_>;
}

impl<F, O> ToolHandler for F
where
    F: Fn(Value, ToolContext) -> O + Send + Sync + 'static,
    O: Future<Output = Result<Value, ToolError>> + Send + 'static,
{
    fn call(&self, input: Value, context: ToolContext) -> ToolFuture<'_> {
        Box::pin(self(input, context))
    }
}

/// Whether a tool call may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// It may.
    Yes,
    /// It may not; the model is told, and why where there is a reason.
    No(Option<String>),
}

/// Asked before each handler, once the input is known to fit. Every async function of the input and the context is one.
pub trait Approve: Send + Sync + 'static {
    /// Whether this call may run. An error is the handler's failure as far as the loop is concerned: nothing runs.
    fn ask(&self, input: Value, context: ToolContext) -> ApprovalFuture<'_>;
}

impl<F, O> Approve for F
where
    F: Fn(Value, ToolContext) -> O + Send + Sync + 'static,
    O: Future<Output = Result<Approval, ToolError>> + Send + 'static,
{
    fn ask(&self, input: Value, context: ToolContext) -> ApprovalFuture<'_> {
        Box::pin(self(input, context))
    }
}

/// What a handler knows of the call it serves. Cheap to clone, may be sent to other threads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ToolContext {
    /// The tool.
    pub tool: Arc<ToolSpec>,
    /// The model's id of the tool call.
    pub tool_call_id: String,
    /// The turn whose answer made the call, from 1.
    pub turn: u32,
    /// The arguments as the model wrote them, to the digit.
    pub arguments: Arc<str>,
    /// How long there is for it, from its start: the tool's time or what is left of the whole call's.
    pub timeout: Duration,
    pub(super) cancel: Arc<Cancel>,
}

impl ToolContext {
    /// Whether nobody waits for the result any more. For work that a dropped future does not end: other threads, processes.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.fired.load(Ordering::Acquire)
    }

    /// Ends when nobody waits for the result any more.
    pub async fn cancelled(&self) {
        let mut fired = pin!(self.cancel.notify.notified());
        fired.as_mut().enable();
        if !self.is_cancelled() {
            fired.await;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Cancel {
    fired: AtomicBool,
    notify: Notify,
}

/// Fires when the work it stands beside is over or dropped.
pub(super) struct CancelOnDrop(pub(super) Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.fired.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }
}

/// Why a handler could not. Made of any error by `?`.
///
/// Kind and message are told to the model and stand in the transcript; the error beneath is only the source of a
/// `callback_error`.
pub struct ToolError {
    /// Its name: an exception's class in other languages; `error` for Rust's errors.
    pub kind: String,
    /// What it says.
    pub message: String,
    /// The input value it is about, as a path, where the input is to blame.
    pub(super) input: Option<String>,
    pub(super) source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl ToolError {
    /// A failure with a name and a message.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            input: None,
            source: None,
        }
    }

    /// The input fits its schema and is wrong all the same, at this path: the model is told so and no handler is to blame.
    pub fn invalid_input(path: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            input: Some(path.into()),
            ..Self::new("invalid_input", expected)
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self {
            message: error.to_string(),
            source: Some(Arc::new(error)),
            ..Self::new("error", "")
        }
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolError")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
