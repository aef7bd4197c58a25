//! Plays a case's scripted handlers for the Rust client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance::tools::{Doing, Tools};
use ossai::tools::{
    Approval, LoopOptions, RunnableTool, ToolClient, ToolContext, ToolError, ToolSpec, Toolset,
};
use ossai::{Client, CompletionRequest};
use serde_json::Value;

use crate::roads::{fields, typed};

/// What happens at each call of a handler, in turn.
struct Script {
    does: Vec<Doing>,
    calls: AtomicUsize,
    client: Client,
}

impl Script {
    fn new(does: &[Doing], client: &Client) -> Arc<Self> {
        Arc::new(Self {
            does: does.to_vec(),
            calls: AtomicUsize::new(0),
            client: client.clone(),
        })
    }

    async fn play(&self, input: Value) -> Result<Value, ToolError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let one = self.does.get(call).or(self.does.last());
        let one = one.cloned().unwrap_or_default();
        if let Some(ms) = one.after_ms {
            tokio::time::sleep(Duration::from_secs_f64(ms.max(0.0) / 1000.0)).await;
        }
        if one.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(thrown) = one.throws {
            return Err(ToolError::new(thrown.kind, thrown.message));
        }
        if let Some(request) = one.completes {
            let request: CompletionRequest = serde_json::from_value(request)?;
            let answer = self.client.complete(request).await?;
            return Ok(answer.text.clone().into());
        }
        Ok(if one.echoes {
            input
        } else {
            one.returns.unwrap_or_default()
        })
    }
}

/// The client with the case's tools.
pub(crate) fn client(client: &Client, tools: &Tools) -> Result<ToolClient, Value> {
    let mut runnable = Vec::new();
    for (i, handler) in tools.handlers.iter().enumerate() {
        let spec: ToolSpec = typed(&format!("tools[{i}]"), &handler.tool.clone().into())?;
        let script = Script::new(&handler.does, client);
        runnable.push(RunnableTool::new(spec, move |input, _: ToolContext| {
            let script = Arc::clone(&script);
            async move { script.play(input).await }
        }));
    }
    let options: LoopOptions = typed("options.tools", &tools.options.clone().into())?;
    let tooled = Toolset::new(runnable).map_err(|error| fields(&error))?;
    let tooled = client.with_tools(&tooled).options(options);
    let Some(approve) = &tools.approve else {
        return Ok(tooled);
    };
    let scripts: Vec<(String, Arc<Script>)> = approve
        .iter()
        .map(|(name, does)| (name.clone(), Script::new(does, client)))
        .collect();
    Ok(tooled.approve(move |input, context: ToolContext| {
        let found = scripts
            .iter()
            .find(|(name, _)| *name == context.tool.name)
            .map(|(_, script)| Arc::clone(script));
        async move {
            let Some(script) = found else {
                return Ok(Approval::Yes);
            };
            Ok(match script.play(input).await? {
                Value::Bool(true) => Approval::Yes,
                Value::String(reason) => Approval::No(Some(reason)),
                _ => Approval::No(None),
            })
        }
    }))
}
