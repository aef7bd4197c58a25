//! The loop itself: a turn, its tool calls, the next turn.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::handler::Approve;
use super::invoke::{Done, Invocation, message};
use super::options::{LoopOptions, OnError};
use super::set::Toolset;
use super::stream::{Outbox, ToolStream};
use super::tally::Tally;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{
    CallOptions, Completion, CompletionRequest, FinishReason, StreamEvent, Tool, ToolCall,
    ToolCallRecord, ToolChoice,
};

/// A client whose calls may use tools, made by [`Client::with_tools`]. Cheap to clone.
#[derive(Clone)]
pub struct ToolClient {
    client: Client,
    tools: Toolset,
    options: Arc<LoopOptions>,
    approve: Option<Arc<dyn Approve>>,
}

impl fmt::Debug for ToolClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolClient")
            .field("client", &self.client)
            .field("tools", &self.tools)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// The same client for calls that may use these tools: their handlers run until the model has its answer.
    #[must_use]
    pub fn with_tools(&self, tools: &Toolset) -> ToolClient {
        ToolClient {
            client: self.clone(),
            tools: tools.clone(),
            options: Arc::default(),
            approve: None,
        }
    }
}

impl ToolClient {
    /// With these bounds instead of the usual ones.
    #[must_use]
    pub fn options(mut self, options: LoopOptions) -> Self {
        self.options = Arc::new(options);
        self
    }

    /// Asks before each handler whether the call may run.
    #[must_use]
    pub fn approve(mut self, approve: impl Approve) -> Self {
        self.approve = Some(Arc::new(approve));
        self
    }

    /// [`Client::complete`], with the tool calls in between carried out.
    ///
    /// The request's own `tools` are those without handlers: when the model calls one, the answer comes back as it is.
    ///
    /// # Errors
    /// As [`Client::complete`], of whichever turn; `budget_exceeded` with the detail `max_turns` when the model still calls
    /// tools after the last one; `callback_error` when a handler failed and [`OnError::Fail`] is set. The error's `partial`
    /// has what the turns before gave and cost. Dropping the future cancels the turn under way and every handler.
    pub async fn complete(&self, request: impl Into<Arc<CompletionRequest>>) -> Result<Completion> {
        self.complete_with(request, CallOptions::default()).await
    }

    /// [`ToolClient::complete`] with options. `timeout_ms` and `max_cost` are those of the whole loop.
    ///
    /// # Errors
    /// As [`ToolClient::complete`].
    pub async fn complete_with(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<Completion> {
        self.begin(request.into(), options.into(), None)?
            .run()
            .await
    }

    /// [`Client::stream`], with the tool calls in between carried out: the events of every turn, and those of the calls.
    ///
    /// # Errors
    /// As [`ToolClient::complete`] until the first event; later ones come out of the stream.
    pub async fn stream(&self, request: impl Into<Arc<CompletionRequest>>) -> Result<ToolStream> {
        self.stream_with(request, CallOptions::default()).await
    }

    /// [`ToolClient::stream`] with options. `timeout_ms` counts for each turn until its first event.
    ///
    /// # Errors
    /// As [`ToolClient::stream`].
    pub async fn stream_with(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<ToolStream> {
        let outbox = Arc::<Outbox>::default();
        let run = self.begin(request.into(), options.into(), Some(Arc::clone(&outbox)))?;
        ToolStream::open(Box::pin(run.run()), outbox).await
    }

    fn begin(
        &self,
        mut request: Arc<CompletionRequest>,
        options: Arc<CallOptions>,
        outbox: Option<Arc<Outbox>>,
    ) -> Result<Run> {
        self.options.check()?;
        let all = Arc::make_mut(&mut request);
        for (i, tool) in all.tools.iter().enumerate() {
            if let Tool::Function(tool) = tool
                && self.tools.position(&tool.name).is_some()
            {
                return Err(Error::invalid(
                    format!("tools[{i}].name"),
                    "expected a name that no tool with a handler has",
                ));
            }
        }
        let handled = self
            .tools
            .specs()
            .map(|spec| Tool::Function(spec.definition()));
        all.tools.extend(handled);
        let core = self.client.core();
        let started = core.clock.now();
        // A stream's time is its first event's; a whole answer's is the loop's.
        let deadline = match outbox {
            Some(_) => None,
            None => Some(core.deadline(started, &options)?),
        };
        Ok(Run {
            of: self.clone(),
            request,
            options,
            outbox,
            started,
            deadline,
            tally: Tally::default(),
        })
    }
}

/// A loop under way.
struct Run {
    of: ToolClient,
    request: Arc<CompletionRequest>,
    options: Arc<CallOptions>,
    /// Where a stream's events go.
    outbox: Option<Arc<Outbox>>,
    started: Duration,
    deadline: Option<Duration>,
    tally: Tally,
}

impl Run {
    async fn run(mut self) -> Result<Completion> {
        let ended = self.turns().await;
        let took = self.now().saturating_sub(self.started);
        match ended {
            Ok(answer) => Ok(self.tally.finish(answer, took)),
            Err(error) => Err(self.tally.blame(error, took)),
        }
    }

    fn now(&self) -> Duration {
        self.of.client.core().clock.now()
    }

    async fn turns(&mut self) -> Result<Completion> {
        let mut turn = 1;
        loop {
            let answer = self.turn(turn).await?;
            self.tally.add(&answer);
            let (spoken, calls) = spoken(turn, &answer);
            self.tally.say(spoken.clone());
            if !self.goes_on(&answer, &calls) {
                return Ok(answer);
            }
            if turn >= self.of.options.max_turns {
                let text = format!(
                    "the model still calls tools after {turn} turns (`options.tools.max_turns`)"
                );
                return Err(Error::new(ErrorKind::BudgetExceeded, text).with(|fields| {
                    fields.field = Some("options.tools.max_turns".into());
                    fields.detail = Some("max_turns".into());
                }));
            }
            let (records, failed) = self.calls(turn, calls).await;
            self.tally.record(records.iter().cloned());
            if let Some(error) = failed {
                return Err(error);
            }
            let request = Arc::make_mut(&mut self.request);
            request.messages.push(spoken);
            for record in &records {
                let told = message(record);
                self.tally.say(told.clone());
                request.messages.push(told);
            }
            // A call that had to be made has been made; held to it the model would never answer.
            if matches!(
                request.tool_choice,
                Some(ToolChoice::Required | ToolChoice::Function(_))
            ) {
                request.tool_choice = Some(ToolChoice::Auto);
            }
            turn += 1;
        }
    }

    /// One answer of the model's.
    async fn turn(&self, turn: u32) -> Result<Completion> {
        let (request, options) = (Arc::clone(&self.request), self.options_of(turn)?);
        let Some(outbox) = &self.outbox else {
            return self.of.client.complete_with(request, options).await;
        };
        let mut stream = self.of.client.stream_with(request, options).await?;
        if turn > 1 {
            outbox.send(StreamEvent::Turn { turn }).await;
        }
        while let Some(event) = stream.next().await {
            match event? {
                StreamEvent::End { completion } => return Ok(*completion),
                event => outbox.send(event).await,
            }
        }
        let lost = "the stream ended without an answer";
        Err(Error::new(ErrorKind::Internal, lost))
    }

    /// A turn's options: what the turns before it have left of the time and the money, and a key of its own.
    fn options_of(&self, turn: u32) -> Result<Arc<CallOptions>> {
        if turn == 1 {
            return Ok(Arc::clone(&self.options));
        }
        let mut options = (*self.options).clone();
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_sub(self.now());
            if left.is_zero() {
                return Err(Error::timeout("wait", "total"));
            }
            let millis = left.as_nanos().div_ceil(1_000_000);
            options.timeout_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
        }
        options.max_cost = options
            .max_cost
            .map(|most| most.saturating_sub(self.tally.spent()));
        options.idempotency_key = options
            .idempotency_key
            .map(|key| format!("{key}-{turn}"))
            .filter(|key| key.len() <= 255);
        Ok(Arc::new(options))
    }

    /// Whether the answer waits for our tools: it was not cut short, and none of its calls is the caller's to carry out.
    fn goes_on(&self, answer: &Completion, calls: &[ToolCall]) -> bool {
        let cut = matches!(
            answer.finish_reason,
            FinishReason::Length
                | FinishReason::ContentFilter
                | FinishReason::Refusal
                | FinishReason::Pause
        );
        let theirs = |call: &ToolCall| {
            self.of.tools.position(&call.name).is_none()
                && self
                    .request
                    .tools
                    .iter()
                    .any(|tool| matches!(tool, Tool::Function(tool) if tool.name == call.name))
        };
        !cut && !calls.is_empty() && !calls.iter().any(theirs)
    }

    /// Carries a turn's calls out, several at once, and gives their records in the calls' order: of those that ended, when
    /// something ended the loop.
    async fn calls(&self, turn: u32, calls: Vec<ToolCall>) -> (Vec<ToolCallRecord>, Option<Error>) {
        let most = usize::try_from(self.of.options.max_parallel).unwrap_or(usize::MAX);
        let (notes, mut noted) = mpsc::unbounded_channel();
        // Dropping the set ends every handler in it.
        let mut at_work: JoinSet<(usize, Done)> = JoinSet::new();
        let mut records: Vec<Option<ToolCallRecord>> = calls.iter().map(|_| None).collect();
        let mut waiting = calls.into_iter().enumerate();
        let mut failure = None;
        loop {
            while at_work.len() < most
                && let Some((i, call)) = waiting.next()
            {
                let invocation = Invocation {
                    clock: Arc::clone(&self.of.client.core().clock),
                    tools: self.of.tools.clone(),
                    options: Arc::clone(&self.of.options),
                    approve: self.of.approve.clone(),
                    turn,
                    call,
                    deadline: self.deadline,
                    started: self.outbox.as_ref().map(|_| notes.clone()),
                };
                at_work.spawn(async move { (i, invocation.run().await) });
            }
            let joined = tokio::select! {
                biased;
                Some(note) = noted.recv() => {
                    self.tell(note).await;
                    continue;
                }
                joined = at_work.join_next() => joined,
            };
            let Some(joined) = joined else { break };
            while let Ok(note) = noted.try_recv() {
                self.tell(note).await;
            }
            let Ok((i, done)) = joined else {
                failure = Some(Error::new(ErrorKind::Internal, "a tool call was lost"));
                break;
            };
            if let Some(outbox) = &self.outbox {
                outbox
                    .send(StreamEvent::ToolResult(done.record.clone()))
                    .await;
            }
            let fails =
                self.of.options.on_error == OnError::Fail && done.record.outcome.is_the_handlers();
            if fails {
                failure = Some(failed(&done));
            }
            if let Some(place) = records.get_mut(i) {
                *place = Some(done.record);
            }
            if fails {
                break;
            }
        }
        if failure.is_none() && self.deadline.is_some_and(|deadline| self.now() >= deadline) {
            failure = Some(Error::timeout("wait", "total"));
        }
        (records.into_iter().flatten().collect(), failure)
    }

    async fn tell(&self, event: StreamEvent) {
        if let Some(outbox) = &self.outbox {
            outbox.send(event).await;
        }
    }
}

/// A handler's failure as the call's. What the handler said may hold what it is about: it is the source, not the message.
fn failed(done: &Done) -> Error {
    let Done { record, source } = done;
    let how = match record.outcome {
        crate::types::ToolOutcome::Timeout => "took too long",
        crate::types::ToolOutcome::InvalidOutput => "returned what it must not",
        _ => "failed",
    };
    let text = format!("the tool `{}` {how} (call {})", record.name, record.id);
    Error::new(ErrorKind::CallbackError, text).with(|fields| {
        fields.detail = Some(record.outcome.as_str().into());
        fields.source.clone_from(source);
    })
}

/// The answer as a message, with calls that can be answered: one without an id or a name gets one.
fn spoken(turn: u32, answer: &Completion) -> (crate::types::Message, Vec<ToolCall>) {
    let mut spoken = answer.to_message();
    for (i, call) in spoken.tool_calls.iter_mut().enumerate() {
        if call.id.is_empty() {
            call.id = format!("call_{turn}_{i}");
        }
        if call.name.is_empty() {
            call.name = "unnamed".into();
        }
    }
    let calls = spoken.tool_calls.clone();
    (spoken, calls)
}
