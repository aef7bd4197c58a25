//! Tools whose handlers are the host's: each call of one leaves as a host call of its own and comes back by id.

use std::collections::VecDeque;
use std::sync::Arc;

use ossai::client::config::without_value;
use ossai::tools::{
    Approval, ApprovalFuture, Approve, LoopOptions, RunnableTool, ToolClient, ToolContext,
    ToolError, ToolFuture, ToolHandler, ToolSpec, ToolStream, Toolset,
};
use ossai::{Client, CompletionStream, Error, Result, StreamEvent};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::host::{HostCallKind, HostCalls, HostResult};
use crate::queue::Queue;
use crate::session::CallId;

/// The tools of a call whose handlers the host has, and how their loop runs.
#[derive(Clone, Debug, Default)]
pub struct ToolPlan {
    /// The tools; each call of one comes as a `tool` host call.
    pub specs: Vec<ToolSpec>,
    /// Whether the host is asked before each, by an `approval` host call.
    pub approve: bool,
    /// The loop's bounds.
    pub options: LoopOptions,
}

impl ToolPlan {
    /// Reads `{"specs": […], "approve": false, "max_turns": …}`: beside the two, the loop's options.
    ///
    /// # Errors
    /// `invalid_request` naming the field under `options.tools`.
    pub fn read(json: &str) -> Result<Self> {
        Self::from_map(crate::op::read("options.tools", json)?)
    }

    pub(crate) fn from_map(mut document: Map<String, Value>) -> Result<Self> {
        let none = || Value::Array(Vec::new());
        let specs = document.remove("specs").unwrap_or_else(none);
        let approve = match document.remove("approve") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(approve)) => approve,
            Some(_) => {
                let field = "options.tools.approve";
                return Err(Error::invalid(field, "expected true or false"));
            }
        };
        Ok(Self {
            specs: value("options.tools.specs", specs)?,
            approve,
            options: value("options.tools", Value::Object(document))?,
        })
    }

    /// The client whose calls may use the tools.
    pub(crate) fn client(&self, client: &Client, asker: &Asker) -> Result<ToolClient> {
        let tools = self.specs.iter().map(|spec| {
            let handler = asker.clone();
            RunnableTool::new(spec.clone(), handler)
        });
        let client = client
            .with_tools(&Toolset::new(tools)?)
            .options(self.options.clone());
        Ok(if self.approve {
            client.approve(asker.clone())
        } else {
            client
        })
    }
}

fn value<T: serde::de::DeserializeOwned>(root: &str, value: Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = match path.as_str() {
            "." => root.to_owned(),
            path if path.starts_with('[') => format!("{root}{path}"),
            path => format!("{root}.{path}"),
        };
        Error::invalid(field, without_value(&error.into_inner().to_string()))
    })
}

/// Asks the host of one call.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) hosts: Arc<HostCalls>,
    pub(crate) queue: Queue,
    pub(crate) call: CallId,
}

impl Asker {
    async fn ask(
        &self,
        kind: HostCallKind,
        context: &ToolContext,
    ) -> std::result::Result<Box<RawValue>, ToolError> {
        // To the digit as the model wrote them; the core has checked that they are JSON.
        let input = RawValue::from_string(context.arguments.to_string())?;
        // The core keeps the time: when it is up this future is dropped, and the host hears of it.
        let answer: HostResult = self
            .hosts
            .question(
                &self.queue,
                self.call,
                kind,
                &context.tool.id,
                &context.tool_call_id,
                input,
                context.timeout,
            )
            .await?;
        answer.map_err(|failure| match failure.kind.as_str() {
            // What only the host's types can say of the input.
            "invalid_input" => ToolError::invalid_input("", failure.message),
            _ => ToolError::new(failure.kind, failure.message),
        })
    }
}

impl ToolHandler for Asker {
    fn call(&self, _: Value, context: ToolContext) -> ToolFuture<'_> {
        Box::pin(async move {
            let output = self.ask(HostCallKind::Tool, &context).await?;
            Ok(serde_json::from_str(output.get())?)
        })
    }
}

impl Approve for Asker {
    fn ask(&self, _: Value, context: ToolContext) -> ApprovalFuture<'_> {
        Box::pin(async move {
            let answer = Asker::ask(self, HostCallKind::Approval, &context).await?;
            match serde_json::from_str(answer.get())? {
                Value::Bool(true) => Ok(Approval::Yes),
                Value::Bool(false) => Ok(Approval::No(None)),
                Value::String(reason) => Ok(Approval::No(Some(reason))),
                _ => Err(ToolError::new(
                    "TypeError",
                    "the approval is neither true nor false nor a reason",
                )),
            }
        })
    }
}

/// A stream of events, of one turn or of a whole loop.
pub(crate) enum Events {
    Plain(Box<CompletionStream>),
    Loop(Box<ToolStream>),
}

impl Events {
    pub(crate) async fn next(&mut self) -> Option<Result<StreamEvent>> {
        match self {
            Self::Plain(stream) => stream.next().await,
            Self::Loop(stream) => stream.next().await,
        }
    }

    /// What can be had without waiting.
    pub(crate) fn take_ready(&mut self, into: &mut VecDeque<StreamEvent>) {
        match self {
            Self::Plain(stream) => into.extend(stream.take_ready()),
            Self::Loop(stream) => into.extend(stream.take_ready()),
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_whole(),
            Self::Loop(stream) => stream.is_whole(),
        }
    }
}
