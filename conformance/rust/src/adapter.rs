//! A client in another language, driven over its standard input and output, so that what a case means stands in one place
//! and an adapter is a page of code over that language's public API.
//!
//! One JSON document a line, each way; many questions may be open at once, told apart by `id`:
//!
//! | to the adapter | its answer |
//! |---|---|
//! | `{"id", "do": "open", "config"}` | `{"id", "ok": null}`, after which the client is named by this id, or `{"id", "error": fields}` |
//! | `{"id", "do": "call", "client", "op", "request", "options", "tools"}`, `tools` null or as in cases with the waits in real time | `{"id", "ok": answer}` or `{"id", "error": fields}`; before it, for a stream, `{"id", "event"}` for each event |
//! | `{"id", "do": "next"}` | the adapter takes no event out of its stream before it has this for the one before |
//! | `{"id", "do": "cancel"}` | cancels that call in the language's own way; no answer |
//! | `{"id", "do": "stats", "client"}`, `{"id", "do": "close", "client"}` | `{"id", "ok": …}` |
//! | `{"id", "do": "shut", "client"}` | as `close`, and calls on that client are still to come |
//!
//! It ends when its standard input closes.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conformance::runner::{EventSink, Invocation};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Answers by the question they belong to; a question that nobody waits for any more has none. `None` once the adapter has
/// ended and no answer can come.
type Waiting = Arc<Mutex<Option<HashMap<u64, mpsc::UnboundedSender<Value>>>>>;

fn lock(waiting: &Waiting) -> MutexGuard<'_, Option<HashMap<u64, mpsc::UnboundedSender<Value>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running adapter.
pub(crate) struct Adapter {
    lines: mpsc::UnboundedSender<String>,
    waiting: Waiting,
    next: AtomicU64,
    child: Child,
}

impl Adapter {
    /// Starts it; `command` is split at spaces.
    pub(crate) fn start(command: &str) -> Result<Self, String> {
        let mut words = command.split_whitespace();
        let program = words.next().ok_or("--client: expected a command")?;
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("cannot start {command}: {e}"))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the adapter has no standard input or output".into());
        };
        let (lines, mut to_send) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = to_send.recv().await {
                if stdin.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let answers = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(answer) = serde_json::from_str::<Value>(&line) else {
                    eprintln!("not JSON from the adapter: {line}");
                    continue;
                };
                let id = answer.get("id").and_then(Value::as_u64).unwrap_or(0);
                if let Some(waiting) = lock(&answers).as_ref().and_then(|open| open.get(&id)) {
                    let _ = waiting.send(answer);
                }
            }
            // Whoever still waits, and whoever asks from now on, learns that no answer comes.
            *lock(&answers) = None;
        });
        Ok(Self {
            lines,
            waiting,
            next: AtomicU64::new(1),
            child,
        })
    }

    fn send(&self, document: &Value) {
        let _ = self.lines.send(format!("{document}\n"));
    }

    /// Puts a question; the guard cancels it when it is dropped before its answer.
    fn ask(&self, mut question: Value) -> Question<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::unbounded_channel();
        if let Some(open) = lock(&self.waiting).as_mut() {
            open.insert(id, sender);
        }
        question["id"] = id.into();
        self.send(&question);
        Question {
            adapter: self,
            id,
            answers,
            answered: false,
        }
    }

    /// Opens a client; its number.
    pub(crate) async fn open(&self, config: &Value) -> Result<u64, Value> {
        let mut question = self.ask(json!({"do": "open", "config": config}));
        question.answer(None).await?;
        Ok(question.id)
    }

    /// Ends it with SIGQUIT, at which a Go program writes down where each of its goroutines stands.
    pub(crate) async fn quit(&self) {
        let Some(process) = self.child.id() else {
            return;
        };
        let _ = Command::new("kill")
            .args(["-QUIT", &process.to_string()])
            .status()
            .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    /// Makes a call.
    pub(crate) async fn call(
        &self,
        client: u64,
        call: &Invocation,
        events: &mut EventSink,
    ) -> Result<Value, Value> {
        self.ask(json!({
            "do": "call",
            "client": client,
            "op": call.op,
            "request": call.request,
            "options": call.options,
            "tools": call.tools,
        }))
        .answer(Some(events))
        .await
    }

    /// `stats` or `close`.
    pub(crate) async fn tell(&self, client: u64, what: &str) -> Result<Value, Value> {
        self.ask(json!({"do": what, "client": client}))
            .answer(None)
            .await
    }
}

struct Question<'a> {
    adapter: &'a Adapter,
    id: u64,
    answers: mpsc::UnboundedReceiver<Value>,
    answered: bool,
}

impl Question<'_> {
    async fn answer(&mut self, mut events: Option<&mut EventSink>) -> Result<Value, Value> {
        loop {
            let Some(mut answer) = self.answers.recv().await else {
                self.answered = true;
                return Err(json!({"kind": "internal", "message": "the adapter has ended"}));
            };
            if let (Some(event), Some(sink)) = (answer.get_mut("event"), events.as_deref_mut()) {
                sink.event(event.take()).await;
                self.adapter.send(&json!({"id": self.id, "do": "next"}));
                continue;
            }
            self.answered = true;
            return match answer.get_mut("error") {
                Some(error) => Err(error.take()),
                None => Ok(answer.get_mut("ok").map(Value::take).unwrap_or_default()),
            };
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if let Some(open) = lock(&self.adapter.waiting).as_mut() {
            open.remove(&self.id);
        }
        if !self.answered {
            self.adapter.send(&json!({"id": self.id, "do": "cancel"}));
        }
    }
}
