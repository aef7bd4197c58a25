//! A session as Python sees it, for both clients: `begin` for event loops, `call` for threads that wait.

use std::sync::Arc;
use std::time::Duration;

use ossai::{CallOptions, CompletionRequest, Error, Result};
use ossai_facade::{
    Begin, CallId, Callbacks, Event, HostCallId, Op, Parker, Queue, ToolPlan, Work,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::queue::LoopQueue;
use crate::stream::Stream;
use crate::{failure, queue, read};

/// Credit a stream starts with, in events; topped up as they are read.
pub(crate) const CREDIT: u32 = 512;

/// How often a waiting main thread looks for signals (Ctrl-C).
const SIGNALS: Duration = Duration::from_millis(50);
/// How long other threads wait in one go.
const SLICE: Duration = Duration::from_secs(60);

/// One client of the core's.
#[pyclass(frozen, weakref, module = "ossai._native")]
pub(crate) struct Session(Arc<ossai_facade::Session>);

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (config, environment, queue=None, credentials=None))]
    fn new(
        py: Python<'_>,
        config: &str,
        environment: bool,
        queue: Option<&LoopQueue>,
        credentials: Option<Vec<(String, Option<String>)>>,
    ) -> PyResult<Self> {
        let callbacks = queue
            .zip(credentials)
            .map(|(queue, credentials)| Callbacks {
                queue: queue.queue.clone(),
                credentials,
            });
        py.detach(|| ossai_facade::Session::open_with(config, environment, callbacks))
            .map(|session| Self(Arc::new(session)))
            .map_err(|error| failure::raised(py, &error))
    }

    /// Begins an operation: its answer, or the id under which it comes to the queue. `tools` is the document of the tools
    /// whose handlers the program has (`options.tools` of the contract), for `complete` and `stream`.
    #[pyo3(signature = (op, request, options, queue, tools=None))]
    fn begin<'py>(
        &self,
        py: Python<'py>,
        op: &str,
        request: &Bound<'py, PyAny>,
        options: &Bound<'py, PyAny>,
        queue: &LoopQueue,
        tools: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let begun = match work(op, request, options).and_then(|work| with_tools(work, tools)) {
            Ok(work) => self.0.begin_work(work, &queue.queue),
            Err(error) => Begin::Ready(Err(error)),
        };
        match begun {
            Begin::Ready(Ok(reply)) => queue::reply(py, reply),
            Begin::Ready(Err(error)) => Err(failure::raised(py, &error)),
            Begin::Pending(id) => Ok(id.0.into_pyobject(py)?.into_any()),
        }
    }

    /// Carries an operation out and waits for its answer with the interpreter's lock released.
    fn call<'py>(
        &self,
        py: Python<'py>,
        op: &str,
        request: &Bound<'py, PyAny>,
        options: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mailbox = Mailbox::new();
        match self.start(op, request, options, &mailbox.queue) {
            Begin::Ready(Ok(reply)) => queue::reply(py, reply),
            Begin::Ready(Err(error)) => Err(failure::raised(py, &error)),
            Begin::Pending(id) => match mailbox.wait(py, &self.0, id)?.pop() {
                Some(Event::Reply {
                    outcome: Ok(reply), ..
                }) => queue::reply(py, reply),
                Some(Event::Reply {
                    outcome: Err(error),
                    ..
                }) => Err(failure::raised(py, &error)),
                _ => Err(failure::invalid_state(py, "the call has no answer")),
            },
        }
    }

    /// Begins a stream for a thread that waits.
    fn stream<'py>(
        &self,
        py: Python<'py>,
        request: &Bound<'py, PyAny>,
        options: &Bound<'py, PyAny>,
    ) -> PyResult<Stream> {
        let mailbox = Mailbox::new();
        let begun = self.start("stream", request, options, &mailbox.queue);
        Stream::new(Arc::clone(&self.0), mailbox, begun)
            .map_err(|error| failure::raised(py, &error))
    }

    fn cancel(&self, call: u64) -> bool {
        self.0.cancel(CallId(call))
    }

    fn grant(&self, call: u64, events: u32) {
        self.0.grant(CallId(call), events);
    }

    fn complete_host_call(&self, py: Python<'_>, id: u64, result: &str) -> PyResult<bool> {
        self.0
            .complete_host_call(HostCallId(id), result)
            .map_err(|error| failure::raised(py, &error))
    }

    fn close(&self) {
        self.0.close();
    }

    #[getter]
    fn is_of_this_process(&self) -> bool {
        self.0.is_of_this_process()
    }

    #[getter]
    fn calls_under_way(&self) -> usize {
        self.0.calls_under_way()
    }
}

impl Session {
    fn start(
        &self,
        op: &str,
        request: &Bound<'_, PyAny>,
        options: &Bound<'_, PyAny>,
        queue: &Queue,
    ) -> Begin {
        match work(op, request, options) {
            Ok(work) => self.0.begin_work(work, queue),
            Err(error) => Begin::Ready(Err(error)),
        }
    }
}

/// Reads an operation's arguments: the frequent ones straight into the core's types, the others through JSON.
fn work(op: &str, request: &Bound<'_, PyAny>, options: &Bound<'_, PyAny>) -> Result<Work> {
    let op = Op::from_name(op)?;
    let call_options =
        || -> Result<Arc<CallOptions>> { Ok(Arc::new(read::read("options", options)?)) };
    let completion =
        || -> Result<Arc<CompletionRequest>> { Ok(Arc::new(read::read("", request)?)) };
    Ok(match op {
        Op::Complete => Work::Complete(completion()?, call_options()?),
        Op::Stream => Work::Stream(completion()?, call_options()?, Some(CREDIT)),
        Op::Lookup => Work::Lookup(completion()?, call_options()?),
        Op::Explain => Work::Explain(completion()?, call_options()?),
        Op::Count => Work::Count(completion()?),
        Op::Embed => Work::Embed(Arc::new(read::read("", request)?), call_options()?),
        _ => {
            let text = |root: &str, value| -> Result<String> {
                let value: serde_json::Value = read::read(root, value)?;
                Ok(value.to_string())
            };
            Work::read(op, &text("", request)?, &text("options", options)?)?
        }
    })
}

/// The same operation with tools of the program's.
fn with_tools(work: Work, tools: Option<&str>) -> Result<Work> {
    let Some(tools) = tools else { return Ok(work) };
    let tools = Arc::new(ToolPlan::read(tools)?);
    match work {
        Work::Complete(request, options) => Ok(Work::CompleteWithTools(request, options, tools)),
        Work::Stream(request, options, credit) => {
            Ok(Work::StreamWithTools(request, options, credit, tools))
        }
        _ => Err(Error::invalid("tools", "only of `complete` and `stream`")),
    }
}

/// Where a waiting thread gets its events.
pub(crate) struct Mailbox {
    pub(crate) queue: Queue,
    parker: Arc<Parker>,
}

impl Mailbox {
    fn new() -> Self {
        let parker = Arc::new(Parker::default());
        Self {
            queue: Queue::new(Arc::clone(&parker)),
            parker,
        }
    }

    /// Waits for events with the interpreter's lock released. On the main thread signals are heard, and one that raises
    /// (Ctrl-C) cancels the call.
    pub(crate) fn wait(
        &self,
        py: Python<'_>,
        session: &ossai_facade::Session,
        id: CallId,
    ) -> PyResult<Vec<Event>> {
        let mut slice = SIGNALS;
        let mut asked = false;
        loop {
            let events = py.detach(|| {
                self.parker.wait(slice);
                self.queue.drain(usize::MAX)
            });
            if !events.is_empty() {
                return Ok(events);
            }
            let checked = py.check_signals().and_then(|()| {
                if !asked && !is_main_thread(py)? {
                    slice = SLICE;
                }
                asked = true;
                Ok(())
            });
            if let Err(signal) = checked {
                session.cancel(id);
                return Err(signal);
            }
            if !session.is_of_this_process() {
                let message = "the process forked while the call was under way";
                return Err(failure::raised(
                    py,
                    &Error::new(ossai::ErrorKind::InvalidState, message),
                ));
            }
        }
    }
}

/// Only Python's main thread hears signals.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    static THREADING: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let threading = THREADING.get_or_try_init(py, || py.import("threading").map(Bound::unbind))?;
    let threading = threading.bind(py);
    let here = threading.call_method0("get_ident")?;
    threading
        .call_method0("main_thread")?
        .getattr("ident")?
        .eq(here)
}
