//! One try over the orchestrator's road.
//!
//! The orchestrator has retried already by the time it answers with an error of an upstream: such an error names its
//! attempts, and trying again here would multiply them. Only what it refuses itself may be tried again.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::pipeline::{Failure, Flight, Success, millis};
use super::stream::Relay;
use crate::client::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::convert::should_retry;
use crate::transport::grpc::{Events, From, GrpcRoad, Meta, NOT_PROCESSED, Thread};
use crate::types::{
    CacheTier, CallOptions, Completion, CompletionRequest, EmbeddingRequest, EmbeddingResponse,
    StreamEvent, TraceStep,
};

/// Waits before each try at going on with a stream that brings no event, in milliseconds: an orchestrator keeps it for
/// about a second.
const GO_ON_AFTER: [u64; 3] = [0, 100, 300];
/// Most events taken over from one read.
const BATCH: usize = 256;

impl Flight {
    pub(crate) fn road(&self) -> Result<&GrpcRoad> {
        self.route.road()
    }

    pub(crate) fn meta(&self) -> Meta<'_> {
        Meta {
            api_key: self.core.config.api_key.as_ref().map(Secret::expose),
            tenant: self.core.config.tenant.as_deref(),
            request_id: self.request_id.strip_prefix("ossai-"),
            idempotency_key: Some(self.idempotency_key.as_str()).filter(|key| !key.is_empty()),
            timeout: self.time_left(),
            traceparent: None,
        }
    }

    /// What is left until the latest moment anybody waits for. A call that others may still join is given the time this
    /// client's calls have: each caller's own deadline is kept here, and the last one's leaving ends it there.
    fn time_left(&self) -> Option<Duration> {
        let deadline = self.progress.open_until()?;
        Some(deadline.saturating_sub(self.core.clock.now()))
    }

    /// The call's options with what this client's configuration says of single tries.
    fn remote_options(&self) -> CallOptions {
        let timeouts = &self.core.config.timeouts;
        let mut options = CallOptions::clone(&self.options);
        options.trace = Some(self.progress.trace.is_on());
        if let Some(fallbacks) = &self.fallbacks {
            options.fallbacks = Some(fallbacks.models.clone());
            options.fallback_on = Some(fallbacks.on.clone());
        }
        if options.safe == Some(true) && !options.is_batch() {
            let hedge = &self.core.config.hedge;
            options.hedge = options.hedge.or(hedge.enabled.then_some(true));
            if options.hedge == Some(true) {
                options.hedge_after_ms = options.hedge_after_ms.or(hedge.after_ms);
            }
        }
        options.attempt_timeout_ms = options.attempt_timeout_ms.or(timeouts.attempt_ms);
        options.first_byte_timeout_ms = options.first_byte_timeout_ms.or(timeouts.first_byte_ms);
        options.patience_ms = self
            .progress
            .deadline()
            .filter(|deadline| self.progress.open_until() > Some(*deadline))
            .map(|deadline| millis(deadline.saturating_sub(self.core.clock.now())));
        options
    }

    pub(crate) async fn complete_remotely(
        &self,
        request: &CompletionRequest,
    ) -> Result<Success<Completion>, Failure> {
        self.progress.phase.sent();
        let value = self
            .road()?
            .complete(request, &self.remote_options(), self.meta())
            .await
            .map_err(answered)?;
        Ok(Success {
            value,
            status: None,
            upstream_request_id: None,
        })
    }

    pub(crate) async fn embed_remotely(
        &self,
        request: &EmbeddingRequest,
    ) -> Result<Success<EmbeddingResponse>, Failure> {
        self.progress.phase.sent();
        let value = self
            .road()?
            .embed(request, &self.remote_options(), self.meta())
            .await
            .map_err(answered)?;
        Ok(Success {
            value,
            status: None,
            upstream_request_id: None,
        })
    }

    /// Passes the orchestrator's events on; its own end brings the answer, priced and settled.
    pub(crate) async fn stream_remotely(
        &self,
        request: &CompletionRequest,
        relay: &mut Relay<'_>,
    ) -> Result<Completion, Failure> {
        self.progress.phase.sent();
        let options = self.remote_options();
        let (mut stream, thread) = self
            .road()?
            .open_stream(From::Start(request), &options, self.meta())
            .await
            .map_err(answered)?;
        let mut events = Vec::new();
        let mut gone_on = 0;
        let mut seen = 0;
        loop {
            // Whatever has arrived is one batch.
            let read = std::future::poll_fn(|cx| {
                loop {
                    match stream.as_mut().poll_next(cx) {
                        Poll::Ready(Some(Ok(StreamEvent::End { completion }))) => {
                            return Poll::Ready(Ok(Some(completion)));
                        }
                        Poll::Ready(Some(Ok(event))) => events.push(event),
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                        Poll::Ready(None) => {
                            return Poll::Ready(Err(Error::new(
                                ErrorKind::TransportInterrupted,
                                "the orchestrator's stream ended without its end",
                            )));
                        }
                        Poll::Pending if events.is_empty() => return Poll::Pending,
                        Poll::Pending => return Poll::Ready(Ok(None)),
                    }
                    if events.len() >= BATCH {
                        return Poll::Ready(Ok(None));
                    }
                }
            })
            .await;
            if let Err(error) = relay.pass(&mut events).await {
                return Err(relay.broken(error));
            }
            let error = match read {
                Ok(None) => continue,
                Ok(Some(completion)) => return Ok(*completion),
                Err(error) => error,
            };
            if let Some(thread) = thread.as_ref().filter(|thread| thread.was_cut()) {
                if thread.seen() > seen {
                    (seen, gone_on) = (thread.seen(), 0);
                }
                if let Some(rest) = self.go_on(thread, &options, &mut gone_on).await {
                    stream = rest;
                    continue;
                }
            }
            let failure = answered(error);
            let broken = relay.broken(failure.error);
            return Err(Failure {
                should_retry: failure.should_retry,
                unprocessed: failure.unprocessed,
                exhausted: failure.exhausted,
                ..broken
            });
        }
    }

    /// The rest of a stream whose connection broke, if the orchestrator still has it.
    async fn go_on(
        &self,
        thread: &Arc<Thread>,
        options: &CallOptions,
        gone_on: &mut usize,
    ) -> Option<Events> {
        let core = &self.core;
        while let Some(wait) = GO_ON_AFTER.get(*gone_on) {
            *gone_on += 1;
            core.clock.sleep(Duration::from_millis(*wait)).await;
            let meta = Meta {
                // The time for its first event is over or running; what is left to bound is the way there.
                timeout: Some(Duration::from_millis(core.config.timeouts.connect_ms)),
                ..self.meta()
            };
            let outcome = self
                .road()
                .ok()?
                .open_stream(From::Thread(thread), options, meta)
                .await;
            match outcome {
                Ok((rest, _)) => {
                    self.progress
                        .trace
                        .note(&*core.clock, || TraceStep::new("resume", "resumed"));
                    return Some(rest);
                }
                Err(error) => {
                    let refused = should_retry(&error).is_some();
                    self.progress.trace.note(&*core.clock, || {
                        TraceStep::new("resume", if refused { "refused" } else { "failed" })
                            .why(error.kind().name())
                    });
                    if refused {
                        return None;
                    }
                }
            }
        }
        None
    }
}

/// What the orchestrator's error means for another try.
fn answered(error: Error) -> Failure {
    let fields = error.fields();
    Failure {
        exhausted: !fields.attempts.is_empty(),
        unprocessed: fields.detail.as_deref() == Some(NOT_PROCESSED),
        should_retry: should_retry(&error).map(|retry| retry.to_string()),
        ..Failure::from(error)
    }
}

/// A hit in the orchestrator's own memory is, from here, a hit in the orchestrator.
pub(crate) fn seen_from_here(tier: &mut Option<CacheTier>) {
    if tier.is_some() {
        *tier = Some(CacheTier::Orchestrator);
    }
}
