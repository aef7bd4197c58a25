//! The flight of a streamed completion.
//!
//! Until the first event has reached a caller a broken stream is tried again like any other call. After it, never: the
//! caller has part of an answer, and a second one would begin differently. What came is in the error's `partial`.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::attempt::{Outgoing, request_id};
use super::budget::Billable;
use super::flight::Publisher;
use super::fold::Fold;
use super::pipeline::{Failure, Flight, Success, Try};
use super::shown::{Skip, interrupted, is_about};
use crate::cache::memory::event_bytes;
use crate::cache::turn::Lease;
use crate::client::config::ProviderKind;
use crate::error::{Billed, Error, ErrorKind, Result};
use crate::provider::{self, Progress as Decoded, StreamDecoder};
use crate::transport::sse::{SseEvent, SseParser};
use crate::types::{Completion, StreamEvent, Usage};

/// Events after which a batch is published although more may be ready.
const BATCH: usize = 64;

/// The log of a stream's events, shared by everyone who listens.
pub(crate) type EventLog = Publisher<StreamEvent, Arc<Completion>>;

/// What a stream leaves behind.
pub(crate) struct Streamed {
    pub(crate) completion: Completion,
    /// The events as they came, if they are to be kept and were few enough.
    pub(crate) events: Option<Vec<StreamEvent>>,
}

/// Passes events on and remembers what a broken or finished stream must answer with.
pub(crate) struct Relay<'a> {
    flight: &'a Flight,
    log: &'a EventLog,
    /// The turn it was asked in, for other processes that want the events too, and how many of them were given on.
    lease: Option<&'a Lease>,
    given: usize,
    /// What listeners were shown of another process's copy.
    skip: Skip,
    fold: Fold,
    kept: Option<Vec<StreamEvent>>,
    kept_bytes: usize,
    max_kept: usize,
    /// Events held back: one that only says that an answer begins commits nobody.
    held: Vec<StreamEvent>,
    queue: VecDeque<(StreamEvent, usize)>,
    committed: bool,
}

impl<'a> Relay<'a> {
    fn new(flight: &'a Flight, events: &Events<'a>, max_kept: usize) -> Self {
        Self {
            flight,
            log: events.log,
            lease: events.lease,
            given: 0,
            skip: flight
                .progress
                .shown(|shown| shown.skip())
                .unwrap_or_default(),
            fold: Fold::new(),
            kept: events.keep.then(Vec::new),
            kept_bytes: 0,
            max_kept,
            held: Vec::new(),
            queue: VecDeque::new(),
            committed: false,
        }
    }

    /// Publishes what was decoded from one read, waiting while no listener has room.
    pub(super) async fn pass(&mut self, events: &mut Vec<StreamEvent>) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        for event in events.iter() {
            self.fold.push(event)?;
            if let Some(kept) = &mut self.kept {
                self.kept_bytes += size_of::<StreamEvent>() + event_bytes(event);
                if self.kept_bytes > self.max_kept {
                    self.kept = None;
                } else {
                    kept.push(event.clone());
                }
            }
        }
        self.skip.pass(events)?;
        if events.is_empty() {
            return Ok(());
        }
        if !self.committed {
            self.held.append(events);
            if self.held.iter().all(is_about) {
                return Ok(());
            }
            self.claim()?;
            std::mem::swap(&mut self.held, events);
            self.committed = true;
        }
        if let (Some(lease), Some(kept)) = (self.lease, &self.kept) {
            lease.give_on(kept, &mut self.given);
        }
        self.publish(events).await
    }

    /// Of two copies of a call only one may have its events published.
    fn claim(&self) -> Result<()> {
        match &self.flight.racer {
            None => Ok(()),
            Some(racer) => racer.claim(self.flight.core.clock.now()),
        }
    }

    async fn publish(&mut self, events: &mut Vec<StreamEvent>) -> Result<()> {
        let sized = events.drain(..).map(|event| {
            let bytes = size_of::<StreamEvent>() + event_bytes(&event);
            (event, bytes)
        });
        self.queue.extend(sized);
        // Cancelled means that nobody listens: the flight is being dropped anyway.
        self.log
            .publish_batch(&mut self.queue)
            .await
            .map_err(Error::from)
    }

    /// The error of a stream that broke, as its callers see it.
    pub(super) fn broken(&self, error: Error) -> Failure {
        if !self.committed {
            return Failure {
                // It goes on with what was shown of another copy, or not at all.
                committed: error.fields().partial.is_some(),
                ..Failure::from(error)
            };
        }
        let partial = self.fold.partial();
        let error = match error.kind() {
            ErrorKind::DecodeError
            | ErrorKind::ResponseTooLarge
            | ErrorKind::Internal
            | ErrorKind::StreamInterrupted => error,
            // The name of what fired is worth more than the one word for all of them.
            ErrorKind::Timeout => error.with(|fields| fields.retriable = false),
            _ => interrupted(&error),
        };
        let error = error.with(|fields| {
            fields.billed = Billed::Yes;
            fields.partial = Some(Box::new(partial));
        });
        Failure {
            committed: true,
            ..Failure::from(error)
        }
    }

    async fn finish(mut self, events: &mut Vec<StreamEvent>) -> Result<Streamed, Failure> {
        let passed = self.pass(events).await;
        if let Err(error) = passed.and_then(|()| self.skip.end()) {
            return Err(self.broken(error));
        }
        // A good answer may consist of its opening alone.
        if !self.committed {
            self.claim()?;
            std::mem::swap(&mut self.held, events);
            self.publish(events).await?;
        }
        Ok(Streamed {
            completion: std::mem::take(&mut self.fold).finish(),
            events: self.kept.take(),
        })
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        // A stream that is dropped half-way has cost what came of it.
        if self.flight.budgets().is_some() {
            let partial = self.fold.partial();
            if !partial.parts.is_empty() || partial.usage.input_tokens > 0 {
                self.flight.saw(partial);
            }
        }
    }
}

/// A streamed completion: events go to the log as they come.
pub(crate) struct Events<'a> {
    pub(crate) call: &'a Outgoing,
    pub(crate) log: &'a EventLog,
    /// Whether the events are to be kept for a cache.
    pub(crate) keep: bool,
    /// The turn it is asked in, where processes ask in turn.
    pub(crate) lease: Option<&'a Lease>,
}

impl Try for Events<'_> {
    type Value = Streamed;

    fn billable(&self) -> Billable<'_> {
        self.call.billable()
    }

    fn used(&self, flight: &Flight, value: &Streamed) -> Usage {
        self.call.used(flight, &value.completion)
    }

    async fn attempt(&self, flight: &Flight) -> Result<Success<Streamed>, Failure> {
        flight.stream(self).await
    }
}

impl Flight {
    async fn stream(&self, asked: &Events<'_>) -> Result<Success<Streamed>, Failure> {
        let call = asked.call;
        let phase = self.phase();
        let max_kept =
            usize::try_from(self.core.config.limits.max_stream_log_bytes).unwrap_or(usize::MAX);
        let mut relay = Relay::new(self, asked, max_kept);
        let mut events = Vec::new();
        if self.route.is_orchestrator {
            // Boxed: the state of this road would be moved about by every call of the other.
            let completion = Box::pin(self.stream_remotely(&call.request, &mut relay)).await?;
            let streamed = relay.finish(&mut events).await?;
            let value = Streamed {
                completion,
                ..streamed
            };
            return Ok(Success {
                value,
                status: None,
                upstream_request_id: None,
            });
        }
        if self.route.kind == ProviderKind::Local {
            let counter = self.core.tokens();
            events = provider::local::events(&call.request, &|text| counter.count(text) as u64)?;
            // The flight ends a stream itself, when it knows cost and timing.
            events.retain(|event| !matches!(event, StreamEvent::End { .. }));
            let value = relay.finish(&mut events).await?;
            return Ok(Success {
                value,
                status: None,
                upstream_request_id: None,
            });
        }
        let mut response = self.post(&call.wire, "text/event-stream", phase).await?;
        let status = response.status.as_u16();
        let upstream_request_id = request_id(response.headers());
        let media_type = response.media_type();
        if media_type != "text/event-stream" {
            return Err(Error::new(
                ErrorKind::UnexpectedContentType,
                format!("expected `text/event-stream`, found `{media_type}`"),
            )
            .with(|fields| {
                fields.http_status = Some(status);
                fields.upstream_request_id = upstream_request_id;
                fields.billed = Billed::Maybe;
            })
            .into());
        }
        let max_event =
            usize::try_from(self.core.config.limits.max_event_bytes).unwrap_or(usize::MAX);
        let mut parser = SseParser::new(max_event);
        let mut decoder = StreamDecoder::new(self.route.api, self.route.usage_api);
        loop {
            // Whatever has arrived is one batch: listeners are woken once for it.
            let ready = if events.is_empty() || events.len() >= BATCH {
                Poll::Pending
            } else {
                let mut chunk = pin!(response.chunk(phase));
                std::future::poll_fn(|cx| Poll::Ready(chunk.as_mut().poll(cx))).await
            };
            let chunk = match ready {
                Poll::Ready(chunk) => chunk,
                Poll::Pending => {
                    if let Err(error) = relay.pass(&mut events).await {
                        return Err(relay.broken(error));
                    }
                    response.chunk(phase).await
                }
            };
            let chunk = match chunk {
                Ok(chunk) => chunk,
                // Events that precede a fault are delivered before it.
                Err(error) => {
                    let passed = relay.pass(&mut events).await;
                    return Err(relay.broken(passed.err().unwrap_or(error)));
                }
            };
            let Some(chunk) = chunk else {
                let ended = decoder.end(&mut events);
                if let Err(error) = relay.pass(&mut events).await.and(ended) {
                    return Err(relay.broken(not_ended(error, relay.committed)));
                }
                break;
            };
            let mut done = false;
            let fed = parser.feed(&chunk, &mut |event: SseEvent<'_>| {
                // What follows the vendor's own end is no part of the answer.
                if !done {
                    done = decoder.push(&event, &mut events)? == Decoded::Done;
                }
                Ok(())
            });
            if let Err(error) = fed {
                let passed = relay.pass(&mut events).await;
                return Err(relay.broken(passed.err().unwrap_or(error)));
            }
            if done {
                break;
            }
        }
        let value = relay.finish(&mut events).await?;
        Ok(Success {
            value,
            status: Some(status),
            upstream_request_id,
        })
    }
}

/// A stream that ended without its end before anything was delivered is a broken connection and may be tried again.
fn not_ended(error: Error, committed: bool) -> Error {
    if committed || error.kind() != ErrorKind::StreamInterrupted {
        return error;
    }
    Error::new(
        ErrorKind::TransportInterrupted,
        error.fields().message.clone(),
    )
    .with(|fields| fields.billed = Billed::Maybe)
}
