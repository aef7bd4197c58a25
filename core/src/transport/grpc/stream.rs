//! Reading a streamed completion.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use ossai_proto::v1 as pb;
use tokio::time::{Instant, timeout, timeout_at};

use super::fault;
use crate::error::{Billed, Error, ErrorKind};
use crate::transport::convert::read_event;
use crate::types::StreamEvent;

/// How long the status after the last event may take before the stream is dropped without it.
const TRAILER_GRACE: Duration = Duration::from_secs(1);

type Messages = tonic::Streaming<pb::StreamCompletionResponse>;

/// Where a stream is, for going on with it when its connection breaks.
#[derive(Debug)]
pub(crate) struct Thread {
    token: String,
    seen: AtomicU64,
    cut: AtomicBool,
}

impl Thread {
    pub(super) fn new(token: String) -> Self {
        Self {
            token,
            seen: AtomicU64::new(0),
            cut: AtomicBool::new(false),
        }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// The number of the last event that came.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// Whether its connection broke, and not the stream; asking takes the mark away.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut.swap(false, Relaxed)
    }
}

pub(super) struct Reader {
    pub(super) messages: Messages,
    pub(super) thread: Option<Arc<Thread>>,
    /// Until the first event this holds, from then on `idle`.
    pub(super) deadline: Option<Instant>,
    pub(super) idle: Duration,
}

struct State {
    reader: Reader,
    next: u64,
    begun: bool,
    phase: Phase,
}

#[derive(PartialEq)]
enum Phase {
    Open,
    /// The last event is out; the status may still come.
    Ended,
    Failed,
}

impl Reader {
    /// The events, ended by [`StreamEvent::End`] or one error.
    pub(super) fn events(self) -> impl Stream<Item = Result<StreamEvent, Error>> + Send + 'static {
        let seen = self.thread.as_ref().map_or(0, |thread| thread.seen());
        let state = State {
            reader: self,
            next: seen.saturating_add(1),
            begun: seen > 0,
            phase: Phase::Open,
        };
        unfold(state, |mut state| async move {
            match state.phase {
                Phase::Open => {}
                Phase::Ended => {
                    // Reading the status lets the RPC end by itself; dropping it before would look like a cancellation.
                    let _ = timeout(TRAILER_GRACE, state.reader.messages.message()).await;
                    return None;
                }
                Phase::Failed => return None,
            }
            let event = state.next_event().await;
            match &event {
                Ok(StreamEvent::End { .. }) => state.phase = Phase::Ended,
                Ok(_) => {}
                Err(_) => state.phase = Phase::Failed,
            }
            Some((event, state))
        })
    }
}

impl State {
    async fn next_event(&mut self) -> Result<StreamEvent, Error> {
        loop {
            let message = self.message().await?;
            let Some(event) = message.event else {
                // Of a kind unknown here, but numbered.
                self.count(message.sequence)?;
                continue;
            };
            let Some(event) = read_event(event).map_err(|e| e.decode_error())? else {
                continue;
            };
            self.count(message.sequence)?;
            self.begun = true;
            return Ok(event);
        }
    }

    async fn message(&mut self) -> Result<pb::StreamCompletionResponse, Error> {
        let message = self.reader.messages.message();
        let message = if self.begun {
            timeout(self.reader.idle, message).await.map_err(|_| {
                Error::timeout("idle", "attempt").with(|fields| fields.billed = Billed::Yes)
            })?
        } else if let Some(deadline) = self.reader.deadline {
            timeout_at(deadline, message)
                .await
                .map_err(|_| fault::timed_out())?
        } else {
            message.await
        };
        match message {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.broken("it ended before its last event")),
            Err(status) => {
                let error = fault::read(status, 0);
                if error.kind() == ErrorKind::TransportInterrupted
                    && let Some(thread) = &self.reader.thread
                {
                    thread.cut.store(true, Relaxed);
                }
                if self.begun && error.kind() == ErrorKind::TransportInterrupted {
                    return Err(self.broken(&error.fields().message).with_source(error));
                }
                Err(error)
            }
        }
    }

    fn count(&mut self, sequence: u64) -> Result<(), Error> {
        if sequence != self.next {
            let message = format!("expected event {}, got {sequence}", self.next);
            return Err(Error::new(ErrorKind::DecodeError, message)
                .with(|fields| fields.field = Some("sequence".into())));
        }
        if let Some(thread) = &self.reader.thread {
            thread.seen.store(sequence, Relaxed);
        }
        self.next += 1;
        Ok(())
    }

    fn broken(&self, why: &str) -> Error {
        let kind = if self.begun {
            ErrorKind::StreamInterrupted
        } else {
            ErrorKind::TransportInterrupted
        };
        let billed = if self.begun {
            Billed::Yes
        } else {
            Billed::Maybe
        };
        Error::new(kind, format!("the stream broke: {why}")).with(|fields| fields.billed = billed)
    }
}
