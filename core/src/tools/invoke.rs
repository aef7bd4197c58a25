//! One tool call: find the tool, check the input, ask for approval, run the handler, check the output.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedSender;

use super::handler::{Approval, Approve, Cancel, CancelOnDrop, ToolContext, ToolError};
use super::options::LoopOptions;
use super::schema::{Fault, Schema};
use super::set::Toolset;
use crate::call::pipeline::micros;
use crate::retry::Clock;
use crate::transport::timer::IdleTimer;
use crate::types::{Message, StreamEvent, ToolCall, ToolCallRecord, ToolFailure, ToolOutcome};

/// Most bytes of a handler's output, as JSON.
const MAX_OUTPUT: usize = 1 << 20;
/// Most characters of a handler's error that the model is told.
const MAX_MESSAGE: usize = 4096;

/// A tool call on its way.
pub(super) struct Invocation {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tools: Toolset,
    pub(super) options: Arc<LoopOptions>,
    pub(super) approve: Option<Arc<dyn Approve>>,
    pub(super) turn: u32,
    pub(super) call: ToolCall,
    /// When the whole call must be over.
    pub(super) deadline: Option<Duration>,
    /// Hears that the handler begins.
    pub(super) started: Option<UnboundedSender<StreamEvent>>,
}

/// What came of a call: the record, and what is beneath its failure.
pub(super) struct Done {
    pub(super) record: ToolCallRecord,
    pub(super) source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Why there is no output.
struct Refused {
    outcome: ToolOutcome,
    failure: ToolFailure,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Refused {
    fn new(outcome: ToolOutcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            failure: ToolFailure {
                kind: outcome.as_str().into(),
                message: message.into(),
                path: None,
            },
            source: None,
        }
    }

    fn misfit(outcome: ToolOutcome, what: &str, fault: Fault) -> Self {
        let Fault { path, message } = fault;
        let at = if path.is_empty() {
            String::new()
        } else {
            format!("{path}: ")
        };
        let mut refused = Self::new(outcome, format!("{what} {at}{message}"));
        refused.failure.path = Some(path);
        refused
    }

    fn of(error: ToolError) -> Self {
        let message = shortened(error.message);
        if let Some(path) = error.input {
            let fault = Fault { path, message };
            return Self::misfit(ToolOutcome::InvalidInput, MISFIT, fault);
        }
        Self {
            outcome: ToolOutcome::Failed,
            failure: ToolFailure {
                kind: error.kind,
                message,
                path: None,
            },
            source: error.source,
        }
    }
}

const MISFIT: &str = "the arguments do not fit:";

impl Invocation {
    pub(super) async fn run(self) -> Done {
        let began = self.clock.now();
        let mut record = ToolCallRecord {
            turn: self.turn,
            id: self.call.id.clone(),
            name: self.call.name.clone(),
            ..ToolCallRecord::default()
        };
        let outcome = self.attempt(&mut record).await;
        record.duration_us = micros(self.clock.now().saturating_sub(began));
        let mut source = None;
        match outcome {
            Ok(output) => record.output = Some(output),
            Err(refused) => {
                record.outcome = refused.outcome;
                record.error = Some(refused.failure);
                source = refused.source;
            }
        }
        Done { record, source }
    }

    async fn attempt(&self, record: &mut ToolCallRecord) -> Result<Value, Refused> {
        let Some(ready) = self
            .tools
            .position(&self.call.name)
            .and_then(|i| self.tools.0.get(i))
        else {
            let known: Vec<&str> = self.tools.specs().map(|spec| spec.name.as_str()).collect();
            return Err(Refused::new(
                ToolOutcome::UnknownTool,
                format!("there is no such tool; there are: {}", known.join(", ")),
            ));
        };
        record.tool_id = Some(ready.spec.id.clone());
        let (arguments, input) = self.read(record, ready.input.as_ref())?;
        let cancel = Arc::<Cancel>::default();
        let context = |timeout| ToolContext {
            tool: Arc::clone(&ready.spec),
            tool_call_id: self.call.id.clone(),
            turn: self.turn,
            arguments: Arc::clone(&arguments),
            timeout,
            cancel: Arc::clone(&cancel),
        };
        let _fires = CancelOnDrop(Arc::clone(&cancel));
        if let Some(approve) = &self.approve {
            let timeout = self.left(Duration::from_millis(self.options.approval_timeout_ms));
            let asked = caught(|| approve.ask(input.clone(), context(timeout)));
            match self.within(timeout, asked, "the approval").await? {
                Approval::Yes => {}
                Approval::No(None) => {
                    return Err(Refused::new(
                        ToolOutcome::Denied,
                        "the call was not approved",
                    ));
                }
                Approval::No(Some(reason)) => {
                    let text = format!("the call was not approved: {}", shortened(reason));
                    return Err(Refused::new(ToolOutcome::Denied, text));
                }
            }
        }
        if let Some(started) = &self.started {
            // Nobody listens any more: then nobody waits either, and this is dropped soon.
            let _ = started.send(StreamEvent::ToolStarted {
                turn: self.turn,
                id: self.call.id.clone(),
                name: self.call.name.clone(),
                input: input.clone(),
            });
        }
        let timeout = self.left(self.options.timeout(ready.spec.timeout_ms));
        let running = caught(|| ready.tool.handler.call(input, context(timeout)));
        let output = self.within(timeout, running, "the tool").await?;
        if crate::cache::memory::json_bytes(&output) > MAX_OUTPUT {
            return Err(Refused::new(
                ToolOutcome::InvalidOutput,
                format!("the tool's result is larger than {MAX_OUTPUT} bytes"),
            ));
        }
        if let Some(schema) = &ready.output {
            schema.check(&output).map_err(|fault| {
                let what = "the tool's result does not fit its schema:";
                Refused::misfit(ToolOutcome::InvalidOutput, what, fault)
            })?;
        }
        Ok(output)
    }

    /// The arguments: JSON that fits. A model that has nothing to say may leave them out.
    fn read(
        &self,
        record: &mut ToolCallRecord,
        schema: Option<&Schema>,
    ) -> Result<(Arc<str>, Value), Refused> {
        let written = self.call.arguments.trim();
        let written = if written.is_empty() { "{}" } else { written };
        let input: Value = serde_json::from_str(written).map_err(|error| {
            let message = format!("the arguments are no JSON: {error}");
            Refused::new(ToolOutcome::InvalidInput, message)
        })?;
        record.input = Some(input.clone());
        let misfit = |fault| Refused::misfit(ToolOutcome::InvalidInput, MISFIT, fault);
        match schema {
            Some(schema) => schema.check(&input).map_err(misfit)?,
            None if !input.is_object() => {
                return Err(misfit(Fault {
                    path: String::new(),
                    message: "expected an object".into(),
                }));
            }
            None => {}
        }
        Ok((written.into(), input))
    }

    /// What there is of `limit` until the whole call must be over.
    fn left(&self, limit: Duration) -> Duration {
        self.deadline.map_or(limit, |deadline| {
            limit.min(deadline.saturating_sub(self.clock.now()))
        })
    }

    async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, ToolError>>,
        who: &str,
    ) -> Result<T, Refused> {
        let mut timer = IdleTimer::new(Arc::clone(&self.clock), timeout);
        match timer.limit(pin!(work)).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(Refused::of(error)),
            None => Err(Refused::new(
                ToolOutcome::Timeout,
                format!("{who} took longer than {} ms", timeout.as_millis()),
            )),
        }
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        None => text,
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, ToolError>> + Send + 'a>>;

/// Host code with its panics as errors; what they say stays in the program.
fn caught<'a, T>(begin: impl FnOnce() -> Work<'a, T>) -> Caught<'a, T> {
    Caught(catch_unwind(AssertUnwindSafe(begin)).ok())
}

struct Caught<'a, T>(Option<Work<'a, T>>);

impl<T> Future for Caught<'_, T> {
    type Output = Result<T, ToolError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self
            .0
            .as_mut()
            .and_then(|work| catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))).ok());
        polled.unwrap_or_else(|| Poll::Ready(Err(ToolError::new("panic", "it panicked"))))
    }
}

/// The record as the message that tells the model.
pub(super) fn message(record: &ToolCallRecord) -> Message {
    let content = match (&record.output, &record.error) {
        (_, Some(error)) if record.outcome == ToolOutcome::Failed => {
            format!("{}: {}", error.kind, error.message)
        }
        (_, Some(error)) => error.message.clone(),
        (Some(Value::String(text)), None) => text.clone(),
        (Some(output), None) => output.to_string(),
        (None, None) => Value::Object(Map::new()).to_string(),
    };
    Message {
        is_error: record.error.is_some(),
        ..Message::tool(record.id.clone(), content)
    }
}
