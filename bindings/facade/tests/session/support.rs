//! A host that waits, and an upstream that does what a script says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance::upstream_process::{Registered, Upstream};
use ossai_facade::{Begin, CallId, Event, Op, Parker, Queue, Session};
use serde_json::{Value, json};

/// Nothing here takes as long; what does hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Host {
    pub(crate) queue: Queue,
    parker: Arc<Parker>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let parker = Arc::new(Parker::default());
        Self {
            queue: Queue::new(Arc::clone(&parker)),
            parker,
        }
    }

    /// Waits for the next batch.
    pub(crate) fn next(&self) -> Vec<Event> {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            self.parker.wait(LIMIT);
            let events = self.queue.drain(usize::MAX);
            if !events.is_empty() {
                return events;
            }
        }
        panic!("no event within {LIMIT:?}");
    }

    /// Waits for the next event by itself; what came with it waits in `rest`.
    pub(crate) fn next_one(&self, rest: &mut VecDeque<Event>) -> Event {
        if rest.is_empty() {
            rest.extend(self.next());
        }
        rest.pop_front().expect("a batch is never empty")
    }

    /// Waits until the call has ended and gives everything that came for it, as JSON.
    pub(crate) fn finish(&self, id: CallId) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            for event in self.next() {
                assert_eq!(event.call(), Some(id));
                let last = event.is_last();
                seen.push(serde_json::from_str(&event.to_json()).expect("JSON"));
                if last {
                    return seen;
                }
            }
        }
    }

    /// The call's answer as its event; a quick upstream can answer before `begin` has returned.
    pub(crate) fn answer(&self, begun: Begin) -> Value {
        match begun {
            Begin::Ready(Ok(answer)) => {
                json!({"ok": serde_json::from_str::<Value>(&answer.to_json()).expect("JSON")})
            }
            Begin::Ready(Err(error)) => json!({ "error": error }),
            Begin::Pending(id) => {
                let mut seen = self.finish(id);
                assert_eq!(seen.len(), 1, "{seen:?}");
                seen.remove(0)
            }
        }
    }
}

pub(crate) fn pending(begun: Begin) -> CallId {
    match begun {
        Begin::Pending(id) => id,
        Begin::Ready(answer) => panic!("not under way: {answer:?}"),
    }
}

pub(crate) fn ready(begun: Begin) -> ossai::Result<Value> {
    match begun {
        Begin::Ready(answer) => answer.map(|a| serde_json::from_str(&a.to_json()).expect("JSON")),
        Begin::Pending(id) => panic!("{id:?} is under way"),
    }
}

/// A session before a scripted upstream. The runtime that drives the upstream is the test's, not the session's.
pub(crate) struct Stage {
    pub(crate) session: Session,
    pub(crate) upstream: Upstream,
    pub(crate) script: Registered,
    pub(crate) runtime: tokio::runtime::Runtime,
}

pub(crate) fn stage(script: Value) -> Stage {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("runtime");
    let (upstream, script) = runtime.block_on(async {
        let upstream = Upstream::here().await.expect("upstream");
        let script = upstream.register(&script).await.expect("script");
        (upstream, script)
    });
    let config = json!({"providers": {"openai": {
        "base_url": format!("{}/v1", script.base_url),
        "api_key": "sk-test",
        "api": "openai_chat",
    }}});
    Stage {
        session: Session::open(&config.to_string(), false).expect("session"),
        upstream,
        script,
        runtime,
    }
}

impl Stage {
    pub(crate) fn begin(&self, host: &Host, op: Op, request: &Value) -> Begin {
        self.session
            .begin(op, &request.to_string(), "", &host.queue)
    }

    /// Waits until the upstream has had so many requests.
    pub(crate) fn reached(&self, requests: u64) {
        let reached = self.runtime.block_on(self.upstream.wait_requests(
            &self.script.id,
            requests,
            10_000,
        ));
        assert_eq!(reached, Ok(true));
    }

    /// How the responses ended, once all have.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let log = self
            .runtime
            .block_on(self.upstream.settled_log(&self.script.id, 10_000))
            .expect("log");
        let log = serde_json::to_value(log).expect("JSON");
        let entries = log["requests"].as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|e| e["outcome"].as_str().unwrap_or("under way").to_owned())
            .collect()
    }
}

pub(crate) fn request(text: &str) -> Value {
    json!({
        "model": "openai/gpt-4o-mini",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
    })
}
