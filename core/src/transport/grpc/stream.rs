//! Reading a streamed completion.

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

pub(super) struct Reader {
    pub(super) messages: Messages,
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
        let state = State {
            reader: self,
            next: 1,
            begun: false,
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
