//! A session: one client, opened from the one configuration document, and its calls.

use std::future::Future;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use ossai::{Client, Config, Error, ErrorKind, Result};

use crate::call::credit::Credit;
use crate::call::{self, Running, Task};
use crate::calls::{Calls, Entry, next_id};
use crate::credential::Callbacks;
use crate::host::{self, HostCallId, HostCalls};
use crate::op::{Answer, Carried, Op, Work};
use crate::process::{Close, Process, generation};
use crate::queue::Queue;
use crate::reply::Reply;
use crate::tools::Asker;

/// Names a call under way; never used twice in a process, below 2⁵³.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub u64);

/// What `begin` says.
#[derive(Debug)]
pub enum Begin {
    /// It is over: a memory hit, a mistake, a refusal, or an operation that never waits.
    Ready(Result<Reply>),
    /// It is under way; its events come to the queue.
    Pending(CallId),
}

/// One client of a host's. May be used from any thread; nothing blocks.
///
/// Opening one starts no thread, makes no runtime and opens no socket; the first call that has to wait does.
#[derive(Debug)]
pub struct Session(Option<Arc<Inner>>);

pub(crate) struct Inner {
    client: Client,
    generation: usize,
    pub(crate) calls: Calls,
    pub(crate) hosts: Arc<HostCalls>,
    registered: OnceLock<()>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("client", &self.client)
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Opens a session with this configuration document (`{}` has every default). With `environment`, what the document
    /// leaves out of `endpoint`, `api_key`, `tenant` and `prices` is taken from the `OSSAI_…` variables.
    ///
    /// # Errors
    /// `invalid_request` naming the configuration field that is wrong.
    pub fn open(config: &str, environment: bool) -> Result<Self> {
        Self::open_with(config, environment, None)
    }

    /// [`Session::open`] with credentials that the host gives while calls are made: each comes as a `credential` host call.
    ///
    /// # Errors
    /// As [`Session::open`]; also for a callback beside a configured key, and for one whose provider there is not.
    pub fn open_with(
        config: &str,
        environment: bool,
        callbacks: Option<Callbacks>,
    ) -> Result<Self> {
        call::guarded(|| {
            let mut config = Config::from_json(if config.is_empty() { "{}" } else { config })?;
            if environment {
                let here = Config::from_env();
                config.endpoint = config.endpoint.or(here.endpoint);
                config.api_key = config.api_key.or(here.api_key);
                config.tenant = config.tenant.or(here.tenant);
                config.prices = config.prices.or(here.prices);
            }
            let hosts = Arc::<HostCalls>::default();
            let credentials = callbacks.map(|callbacks| callbacks.sources(&hosts));
            let credentials = credentials.into_iter().flatten();
            Ok(Self(Some(Arc::new(Inner {
                client: Client::with_credentials(config, credentials)?,
                generation: generation(),
                calls: Calls::default(),
                hosts,
                registered: OnceLock::new(),
            }))))
        })
    }

    /// The session's insides, unless they belong to the other side of a fork.
    fn inner(&self) -> Result<&Arc<Inner>> {
        let inner = self
            .0
            .as_ref()
            .filter(|inner| inner.generation == generation());
        inner.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidState,
                "the client was opened before the process forked: open a new one in the child",
            )
        })
    }

    /// Whether the session belongs to this process and not to the parent it was forked from.
    #[must_use]
    pub fn is_of_this_process(&self) -> bool {
        self.inner().is_ok()
    }

    /// Begins an operation with arguments as JSON documents. Everything that can be said at once is said at once.
    #[must_use]
    pub fn begin(&self, op: Op, request: &str, options: &str, queue: &Queue) -> Begin {
        match call::guarded(|| Work::read(op, request, options)) {
            Ok(work) => self.begin_work(work, queue),
            Err(error) => Begin::Ready(Err(error)),
        }
    }

    /// Begins an operation with arguments as values.
    #[must_use]
    pub fn begin_work(&self, work: Work, queue: &Queue) -> Begin {
        call::guarded(|| self.try_begin(work, queue))
            .unwrap_or_else(|error| Begin::Ready(Err(error)))
    }

    fn try_begin(&self, work: Work, queue: &Queue) -> Result<Begin> {
        let inner = self.inner()?;
        let process = Process::current()?;
        process.check_open()?;
        let credit = work.credit().map(|credit| Arc::new(Credit::new(credit)));
        let id = CallId(next_id());
        let asker = || Asker {
            hosts: Arc::clone(&inner.hosts),
            queue: queue.clone(),
            call: id,
        };
        match work.carry(&inner.client, asker)? {
            Carried::Now(reply) => Ok(Begin::Ready(Ok(reply))),
            Carried::Later(running) => inner.launch(process, id, running, credit, queue),
        }
    }

    /// Ends a call without waiting: its connection is closed unless others share it. The host hears nothing more of it,
    /// except what is in the queue already. An unknown id is none of ours any more and no mistake.
    ///
    /// Returns whether the call was under way.
    pub fn cancel(&self, id: CallId) -> bool {
        let Ok(inner) = self.inner() else {
            return false;
        };
        let entry = inner.calls.end(id);
        if let Some(entry) = &entry {
            entry.stop();
        }
        entry.is_some()
    }

    /// Lets a stream send this many more events.
    pub fn grant(&self, id: CallId, events: u32) {
        if let Some(credit) = self.inner().ok().and_then(|inner| inner.calls.credit(id)) {
            credit.grant(events);
        }
    }

    /// Answers a host call with `{"ok": …}` or `{"error": {"type", "message"}}`; false when nobody waits for it any more.
    ///
    /// # Errors
    /// `invalid_request` for another document; the host call then still waits.
    pub fn complete_host_call(&self, id: HostCallId, result: &str) -> Result<bool> {
        let inner = self.inner()?;
        call::guarded(|| Ok(inner.hosts.complete(id, host::read_result(result)?)))
    }

    /// Where the session's calls ask the host.
    ///
    /// # Errors
    /// `invalid_state` on the wrong side of a fork.
    pub fn host_calls(&self) -> Result<&Arc<HostCalls>> {
        Ok(&self.inner()?.hosts)
    }

    /// How many calls are under way.
    #[must_use]
    pub fn calls_under_way(&self) -> usize {
        self.inner().map_or(0, |inner| inner.calls.len())
    }

    /// Refuses new calls and cancels those under way, whose hosts hear `cancelled`; does not wait. Further calls are
    /// harmless. [`Op::Close`] is the way to let calls finish first.
    pub fn close(&self) {
        if let Ok(inner) = self.inner() {
            inner.close(
                Duration::ZERO,
                ErrorKind::Cancelled,
                "the client was closed",
            );
        }
    }
}

impl Inner {
    /// Ends every call because the session is closed.
    pub(crate) fn cancel_all(&self) {
        self.calls
            .cancel_all(&Error::new(ErrorKind::Cancelled, "the client was closed"));
    }

    /// Polls once; what is not over then becomes a task.
    fn launch(
        self: &Arc<Self>,
        process: &'static Process,
        id: CallId,
        mut running: Running,
        credit: Option<Arc<Credit>>,
        queue: &Queue,
    ) -> Result<Begin> {
        let runtime = process.runtime()?;
        let _entered = runtime.enter();
        let running = match call::poll_once(&mut running) {
            Poll::Pending => running,
            Poll::Ready(Err(error)) => return Ok(Begin::Ready(Err(error))),
            Poll::Ready(Ok(Answer::Reply(reply))) => return Ok(Begin::Ready(Ok(reply))),
            Poll::Ready(Ok(Answer::Closed { .. })) if self.calls.len() == 0 => {
                return Ok(Begin::Ready(Ok(call::closed(true))));
            }
            Poll::Ready(Ok(Answer::Stream(stream))) if stream.is_whole() => {
                return Ok(Begin::Ready(Ok(call::all_ready(stream))));
            }
            Poll::Ready(Ok(answer)) => Box::pin(async move { Ok(answer) }) as Running,
        };
        self.registered.get_or_init(|| {
            let weak: Weak<Inner> = Arc::downgrade(self);
            process.register(weak);
        });
        self.calls.start(id, || {
            let live = process.enter();
            let task = call::drive(Arc::clone(self), id, queue.clone(), credit.clone(), running);
            let task = Task::new(async move {
                let _live = live;
                task.await;
            });
            Entry {
                abort: runtime.spawn(Arc::clone(&task).run()).abort_handle(),
                task,
                queue: queue.clone(),
                credit,
            }
        });
        Ok(Begin::Pending(id))
    }

    fn close(&self, patience: Duration, kind: ErrorKind, message: &str) {
        let client = self.client.clone();
        let mut closing: std::pin::Pin<Box<dyn Future<Output = bool> + Send>> =
            Box::pin(async move { client.close(patience).await });
        if let Some((process, runtime)) = Process::current()
            .ok()
            .and_then(|process| Some((process, process.started()?)))
        {
            let _entered = runtime.enter();
            // The first poll closes the door; the rest is waiting.
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            if closing.as_mut().poll(&mut context).is_pending() {
                let live = process.enter();
                runtime.spawn(async move {
                    let _live = live;
                    closing.await;
                });
            }
        } else {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = call::guarded(|| Ok(closing.as_mut().poll(&mut context).is_ready()));
        }
        self.calls.cancel_all(&Error::new(kind, message));
    }
}

impl Close for Inner {
    fn close_for_exit(&self, patience: Duration) {
        self.close(
            patience,
            ErrorKind::ShuttingDown,
            "the process is shutting down",
        );
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        match self.0.take() {
            // The parent's locks and connections: touching them here could wait for threads that are not in this process.
            Some(inner) if inner.generation != generation() => std::mem::forget(inner),
            Some(inner) => {
                inner.close(
                    Duration::ZERO,
                    ErrorKind::Cancelled,
                    "the client was dropped",
                );
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::wake::Parker;

    #[test]
    fn a_panic_ends_its_call_in_internal_and_the_session_stays_usable() {
        let session = Session::open("{}", false).expect("session");
        let inner = session.inner().expect("of this process");
        let process = Process::current().expect("a generation");
        let parker = Arc::new(Parker::default());
        let queue = Queue::new(Arc::clone(&parker));
        let launch = |running| {
            inner
                .launch(process, CallId(next_id()), running, None, &queue)
                .expect("begun")
        };

        let at_once = launch(Box::pin(async { panic!("on the caller's thread") }));
        let Begin::Ready(Err(error)) = at_once else {
            panic!("{at_once:?}")
        };
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(!error.to_string().contains("thread"), "{error}");

        let later = launch(Box::pin(async {
            tokio::task::yield_now().await;
            panic!("in the task")
        }));
        assert!(matches!(later, Begin::Pending(_)), "{later:?}");
        assert!(parker.wait(Duration::from_secs(10)));
        let event = queue.drain(1).remove(0);
        assert!(
            matches!(&event, Event::Reply { outcome: Err(error), .. } if error.kind() == ErrorKind::Internal),
            "{event:?}"
        );
        assert_eq!(session.calls_under_way(), 0);
        let stats = session.begin(Op::Stats, "", "", &queue);
        assert!(matches!(stats, Begin::Ready(Ok(_))));
    }
}
