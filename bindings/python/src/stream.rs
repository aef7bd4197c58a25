//! A stream for a thread that waits: an iterator over events.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, TryLockError};

use ossai::{Error, Result, StreamEvent};
use ossai_facade::{Begin, CallId, Event, Reply};
use pyo3::prelude::*;

use crate::session::Mailbox;
use crate::{failure, records};

/// A streamed answer. Leaving it early (`close`, or dropping it) cancels the call.
#[pyclass(frozen, module = "ossai._native")]
pub(crate) struct Stream {
    session: Arc<ossai_facade::Session>,
    mailbox: Mailbox,
    /// The call, when it was not answered at once.
    id: Option<CallId>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<StreamEvent>,
    error: Option<Error>,
    /// Nothing more comes after `ready` and `error`.
    ended: bool,
    /// Events taken since credit was last granted.
    taken: u32,
}

impl Stream {
    pub(crate) fn new(
        session: Arc<ossai_facade::Session>,
        mailbox: Mailbox,
        begun: Begin,
    ) -> Result<Self> {
        let mut state = State::default();
        let id = match begun {
            Begin::Pending(id) => Some(id),
            Begin::Ready(answer) => {
                if let Reply::Events(events) = answer? {
                    state.ready = events.into();
                }
                state.ended = true;
                None
            }
        };
        Ok(Self {
            session,
            mailbox,
            id,
            state: Mutex::new(state),
        })
    }
}

#[pymethods]
impl Stream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(failure::invalid_state(
                    py,
                    "another thread is reading the stream",
                ));
            }
        };
        loop {
            if let Some(event) = state.ready.pop_front() {
                state.taken += 1;
                return records::event(py, event).map(Some);
            }
            if let Some(error) = state.error.take() {
                return Err(failure::raised(py, &error));
            }
            let Some(id) = self.id.filter(|_| !state.ended) else {
                return Ok(None);
            };
            if !self.session.is_of_this_process() {
                return Err(failure::invalid_state(
                    py,
                    "the stream was begun before the process forked",
                ));
            }
            let taken = std::mem::take(&mut state.taken);
            if taken > 0 {
                self.session.grant(id, taken);
            }
            let events = self.mailbox.wait(py, &self.session, id);
            for event in events.inspect_err(|_| state.ended = true)? {
                state.ended |= event.is_last();
                match event {
                    Event::Events { events, .. } => state.ready.extend(events),
                    Event::Reply {
                        outcome: Err(error),
                        ..
                    } => state.error = Some(error),
                    _ => {}
                }
            }
        }
    }

    /// Ends the stream: nothing more comes, and the call is cancelled unless it is over.
    fn close(&self) {
        if let Some(id) = self.id {
            self.session.cancel(id);
        }
        if let Ok(mut state) = self.state.try_lock() {
            *state = State {
                ended: true,
                ..State::default()
            };
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.session.cancel(id);
        }
    }
}
