//! Things the host has to do in the middle of a call: they leave as events and come back by id, so that no thread of
//! ours ever runs host code.
//!
//! A host call is pending until the host completes it, its time runs out or the call that wants it goes away; exactly one
//! of the three wins, and after the latter two the host hears `host_call_cancelled` and its late answer is ignored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ossai::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::calls::next_id;
use crate::event::Event;
use crate::queue::Queue;
use crate::session::CallId;

/// Most host calls of one session that wait at once; more are refused with `overloaded`.
const MAX_PENDING: usize = 4096;

/// Names a host call; never used twice in a process, below 2⁵³.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostCallId(pub u64);

/// What a host is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostCallKind {
    /// Run a tool's handler; the answer is its output.
    Tool,
    /// A provider's credential, `name` the provider; the answer is the credential, a string. Belongs to no call.
    Credential,
    /// May this tool call run? The answer is `true`, `false` or a string that says why not.
    Approval,
}

impl HostCallKind {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Credential => "credential",
            Self::Approval => "approval",
        }
    }
}

/// One thing the host is to do.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostCall {
    /// By which it is answered.
    pub id: HostCallId,
    /// The call in the middle of which it happens; 0 when it belongs to none.
    pub call: CallId,
    /// What is asked for.
    pub kind: HostCallKind,
    /// The tool's id.
    pub name: String,
    /// The model's id of the tool call.
    pub tool_call_id: String,
    /// The arguments: checked JSON.
    pub input: Box<RawValue>,
    /// How long the host has, in milliseconds; the time is kept here, whatever the host does.
    pub timeout_ms: u64,
}

/// Why the host could not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFailure {
    /// The host's name for it (an exception's class).
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What it says.
    pub message: String,
}

/// What came of a host call.
pub type HostResult = std::result::Result<Box<RawValue>, HostFailure>;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Document {
    Ok(Box<RawValue>),
    Error(HostFailure),
}

/// Reads `{"ok": …}` or `{"error": {"type", "message"}}`.
pub(crate) fn read_result(json: &str) -> Result<HostResult> {
    match crate::op::read("result", json)? {
        Document::Ok(value) => Ok(Ok(value)),
        Document::Error(failure) => Ok(Err(failure)),
    }
}

/// The host calls of a session that wait for an answer.
#[derive(Debug, Default)]
pub struct HostCalls {
    pending: Mutex<HashMap<u64, oneshot::Sender<HostResult>>>,
}

impl HostCalls {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<HostResult>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the host behind `queue` and waits for its answer, at most `timeout`.
    ///
    /// # Errors
    /// `timeout` when the host took too long, `overloaded` when too many calls wait for it. A host that failed is no error
    /// but its [`HostFailure`]. Dropping the future takes the question back.
    #[allow(clippy::too_many_arguments)]
    pub async fn ask(
        self: &Arc<Self>,
        queue: &Queue,
        call: CallId,
        kind: HostCallKind,
        name: &str,
        tool_call_id: &str,
        input: Box<RawValue>,
        timeout: Duration,
    ) -> Result<HostResult> {
        let question = self.question(queue, call, kind, name, tool_call_id, input, timeout);
        tokio::time::timeout(timeout, question)
            .await
            .unwrap_or_else(|_| Err(Error::timeout("wait", "attempt")))
    }

    /// [`HostCalls::ask`] whose time somebody else keeps: the host is told it, and here it has no end.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn question(
        &self,
        queue: &Queue,
        call: CallId,
        kind: HostCallKind,
        name: &str,
        tool_call_id: &str,
        input: Box<RawValue>,
        timeout: Duration,
    ) -> Result<HostResult> {
        let id = HostCallId(next_id());
        let (sender, answer) = oneshot::channel();
        {
            let mut pending = self.lock();
            if pending.len() >= MAX_PENDING {
                return Err(Error::new(
                    ErrorKind::Overloaded,
                    format!("{MAX_PENDING} handlers are under way"),
                ));
            }
            pending.insert(id.0, sender);
        }
        let _question = Question {
            calls: self,
            queue,
            id,
        };
        queue.push(Event::HostCall(HostCall {
            id,
            call,
            kind,
            name: name.into(),
            tool_call_id: tool_call_id.into(),
            input,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        }));
        answer
            .await
            .map_err(|_| Error::new(ErrorKind::Cancelled, "the client was closed"))
    }

    /// The host's answer; false when nobody waits for it any more.
    pub(crate) fn complete(&self, id: HostCallId, result: HostResult) -> bool {
        let waiting = self.lock().remove(&id.0);
        waiting.is_some_and(|sender| sender.send(result).is_ok())
    }
}

/// Takes the question back when nobody waits any more.
struct Question<'a> {
    calls: &'a HostCalls,
    queue: &'a Queue,
    id: HostCallId,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if self.calls.lock().remove(&self.id.0).is_some() {
            self.queue.push(Event::HostCallCancelled { id: self.id });
        }
    }
}
