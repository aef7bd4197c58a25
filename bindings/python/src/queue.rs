//! The completion queue of one event loop, as that loop drains it.

use std::io::{PipeReader, Read};
use std::sync::Arc;
use std::time::Duration;

use ossai_facade::{Event, Parker, Queue, Reply, pipe};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::records;
use crate::{failure, write};

/// Most events taken over in one go, so that one busy client does not starve the loop's other work.
const BATCH: usize = 1024;

/// A queue that an event loop watches by a descriptor (`fileno`), or a helper thread waits for (`wait`).
#[pyclass(frozen, module = "ossai._native")]
pub(crate) struct LoopQueue {
    pub(crate) queue: Queue,
    wake: Wake,
}

enum Wake {
    Pipe(PipeReader),
    Parker(Arc<Parker>),
}

#[pymethods]
impl LoopQueue {
    #[new]
    fn new(descriptor: bool) -> PyResult<Self> {
        if descriptor {
            let (reader, wake) = pipe().map_err(|error| PyOSError::new_err(error.to_string()))?;
            return Ok(Self {
                queue: Queue::new(Arc::new(wake)),
                wake: Wake::Pipe(reader),
            });
        }
        let parker = Arc::new(Parker::default());
        Ok(Self {
            queue: Queue::new(Arc::clone(&parker)),
            wake: Wake::Parker(parker),
        })
    }

    /// What the loop watches; set it non-blocking. -1 when there is none.
    fn fileno(&self) -> i32 {
        match &self.wake {
            #[cfg(unix)]
            Wake::Pipe(reader) => std::os::fd::AsRawFd::as_raw_fd(reader),
            _ => -1,
        }
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Waits for a wake-up with the interpreter's lock released; for loops that cannot watch a descriptor.
    fn wait(&self, py: Python<'_>, seconds: f64) -> bool {
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        match &self.wake {
            Wake::Pipe(_) => false,
            Wake::Parker(parker) => py.detach(|| parker.wait(patience)),
        }
    }

    /// What has come: `(call, kind, payload)` with kind 0 an answer, 1 an exception, 2 a list of stream events, 3 the end
    /// of a stream (its last events), 4 a host call (`payload` its fields), 5 a host call that is taken back.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        if let Wake::Pipe(reader) = &self.wake {
            // Consume the wake-up before the drain; there is at most one byte, and none when somebody drained already.
            let _ = (&*reader).read(&mut [0; 8]);
        }
        let list = PyList::empty(py);
        for event in self.queue.drain(BATCH) {
            list.append(self::event(py, event)?)?;
        }
        Ok(list)
    }

    fn close(&self) {
        self.queue.close();
    }
}

fn event<'py>(py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyAny>> {
    let (id, kind, payload) = match event {
        Event::Reply {
            id,
            outcome: Ok(reply),
        } => (id.0, 0, self::reply(py, reply)?),
        Event::Reply {
            id,
            outcome: Err(error),
        } => (id.0, 1, failure::exception(py, &error)?),
        Event::Events { id, events } => {
            let last = matches!(events.last(), Some(ossai::StreamEvent::End { .. }));
            let kind = if last { 3 } else { 2 };
            (id.0, kind, records::events(py, events)?)
        }
        Event::HostCall(ref call) => (call.call.0, 4, write::serialized(py, &event)?),
        Event::HostCallCancelled { id } => (id.0, 5, py.None().into_bound(py)),
        _ => (0, -1, py.None().into_bound(py)),
    };
    Ok((id, kind, payload).into_pyobject(py)?.into_any())
}

/// An answer as Python's.
pub(crate) fn reply(py: Python<'_>, reply: Reply) -> PyResult<Bound<'_, PyAny>> {
    match reply {
        Reply::Completion(answer) => {
            Ok(Bound::new(py, records::Completion::from(*answer))?.into_any())
        }
        Reply::Embedding(answer) => {
            Ok(Bound::new(py, records::EmbeddingResponse::from(*answer))?.into_any())
        }
        Reply::Events(events) => records::events(py, events),
        Reply::Value(value) => write::json(py, &value),
        other => write::serialized(py, &other),
    }
}
