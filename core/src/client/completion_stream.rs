//! A streamed answer in a caller's hands.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Core;
use super::calls::Prepared;
use crate::cache::memory::{Entry, Value};
use crate::call::flight::Subscriber;
use crate::error::{Error, Result};
use crate::transport::timer::IdleTimer;
use crate::types::{Completion, OutputPart, StreamEvent};

/// Most events taken over at once.
const BATCH: usize = 256;

/// The events of a streamed answer, in order; the last of a good one is [`StreamEvent::End`].
///
/// Dropping it cancels the call: when nobody else listens the upstream connection is closed. A consumer that does not read
/// holds the upstream back once a bounded number of events waits for it, and is cut off with `stream_interrupted` (detail
/// `lagged`) only when others who share the stream have moved on too far.
pub struct CompletionStream {
    core: Arc<Core>,
    call: Prepared,
    source: Source,
    ready: VecDeque<StreamEvent>,
    scratch: Vec<StreamEvent>,
    first_token: Option<Duration>,
}

impl std::fmt::Debug for CompletionStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompletionStream")
            .field("model", &self.call.request.model)
            .finish_non_exhaustive()
    }
}

enum Source {
    Flight {
        subscriber: Subscriber<StreamEvent, Arc<Completion>>,
        ended: bool,
    },
    Done,
}

impl CompletionStream {
    /// Waits for the first event of a flight, at most until the call's deadline.
    pub(super) async fn open(
        core: Arc<Core>,
        call: Prepared,
        subscriber: Subscriber<StreamEvent, Arc<Completion>>,
    ) -> Result<Self> {
        let left = call.deadline.saturating_sub(call.started);
        let mut timer = IdleTimer::new(Arc::clone(&core.clock), left);
        let mut stream = Self {
            core,
            call,
            source: Source::Flight {
                subscriber,
                ended: false,
            },
            ready: VecDeque::new(),
            scratch: Vec::new(),
            first_token: None,
        };
        let filled = timer
            .limit(pin!(std::future::poll_fn(|cx| stream.poll_fill(cx))))
            .await;
        match filled {
            Some(Ok(())) => {
                if let Source::Flight { subscriber, .. } = &mut stream.source {
                    // From here on silence is limited, not the whole.
                    subscriber.set_deadline(None);
                }
                Ok(stream)
            }
            Some(Err(error)) => Err(error),
            None => {
                let Source::Flight { subscriber, .. } = &stream.source else {
                    return Ok(stream);
                };
                let error = subscriber.progress().timed_out("total");
                Err(stream.core.blame(&stream.call, error))
            }
        }
    }

    /// A kept answer with the boundaries it came in.
    pub(super) fn replay(core: Arc<Core>, call: Prepared, entry: &Entry) -> Self {
        let completion = core.hit(&call, entry);
        let mut ready: VecDeque<StreamEvent> = match &entry.value {
            Value::Completion {
                events: Some(events),
                ..
            } => events.iter().cloned().collect(),
            _ => events_of(&completion).into(),
        };
        ready.push_back(StreamEvent::End {
            completion: Box::new(completion),
        });
        Self {
            core,
            call,
            source: Source::Done,
            ready,
            scratch: Vec::new(),
            first_token: None,
        }
    }

    /// The next event; `None` after the end or an error.
    pub async fn next(&mut self) -> Option<Result<StreamEvent>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Reads to the end and gives the whole answer: what [`crate::Client::complete`] would have.
    ///
    /// # Errors
    /// Whatever ended the stream; the error's `partial` has what came before.
    pub async fn finish(mut self) -> Result<Completion> {
        while let Some(event) = self.next().await {
            if let StreamEvent::End { completion } = event? {
                return Ok(*completion);
            }
        }
        Err(Error::new(
            crate::error::ErrorKind::Internal,
            "the stream ended without an answer",
        ))
    }

    /// Events that can be had without waiting, at most a batch of them; bindings drain these in one crossing.
    pub fn take_ready(&mut self) -> impl Iterator<Item = StreamEvent> + '_ {
        self.ready.drain(..)
    }

    /// Whether all that is left of the stream is ready: nothing of it has to be waited for any more.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.source, Source::Done)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamEvent>>> {
        if self.ready.is_empty() {
            if matches!(self.source, Source::Done) {
                return Poll::Ready(None);
            }
            match self.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(())) => {}
            }
        }
        Poll::Ready(self.ready.pop_front().map(Ok))
    }

    /// Fills `ready` with at least one event.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Source::Flight { subscriber, ended } = &mut self.source else {
            return Poll::Ready(Ok(()));
        };
        if !*ended {
            match subscriber.poll_batch(cx, &mut self.scratch, BATCH) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(true)) => {
                    self.first_token
                        .get_or_insert_with(|| self.core.clock.now());
                    self.ready.extend(self.scratch.drain(..));
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(false)) => *ended = true,
                Poll::Ready(Err(error)) => {
                    self.source = Source::Done;
                    return Poll::Ready(Err(self.core.blame(&self.call, error)));
                }
            }
        }
        let Source::Flight { subscriber, .. } = &mut self.source else {
            return Poll::Ready(Ok(()));
        };
        let answer = match subscriber.poll_result(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(answer) => answer,
        };
        let joined = subscriber.joined();
        self.source = Source::Done;
        match answer {
            Ok(answer) => {
                let completion =
                    Box::new(
                        self.core
                            .deliver(&self.call, &answer, joined, self.first_token),
                    );
                self.ready.push_back(StreamEvent::End { completion });
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.core.blame(&self.call, error))),
        }
    }
}

impl futures_core::Stream for CompletionStream {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

/// A whole answer as events, one per part; their fold is the answer again.
pub(crate) fn events_of(completion: &Completion) -> Vec<StreamEvent> {
    let mut events = vec![StreamEvent::Start {
        id: completion.id.clone(),
        response_model: completion.response_model.clone(),
        created: completion.created,
    }];
    for (index, part) in (0_u32..).zip(&completion.parts) {
        match part {
            OutputPart::Text { text } => events.push(StreamEvent::TextDelta {
                index,
                text: text.clone(),
            }),
            OutputPart::Refusal { text } => events.push(StreamEvent::RefusalDelta {
                index,
                text: text.clone(),
            }),
            OutputPart::Reasoning(part) => events.push(StreamEvent::ReasoningDelta {
                index,
                text: part.text.clone(),
                signature: part.signature.clone(),
                redacted: part.redacted.clone(),
                extra: part.extra.clone(),
            }),
            OutputPart::ToolCall(call) => {
                events.push(StreamEvent::ToolCallStart {
                    index,
                    id: call.id.clone(),
                    name: call.name.clone(),
                    extra: call.extra.clone(),
                });
                events.push(StreamEvent::ToolCallDelta {
                    index,
                    arguments: call.arguments.clone(),
                });
            }
            OutputPart::Other(part) => events.push(StreamEvent::Part {
                index,
                part: part.clone(),
            }),
        }
    }
    if !completion.extra.is_empty() {
        events.push(StreamEvent::Extra {
            fields: completion.extra.clone(),
        });
    }
    events.push(StreamEvent::Finish {
        reason: completion.finish_reason.clone(),
        raw: completion.raw_finish_reason.clone(),
    });
    events.push(StreamEvent::Usage {
        usage: completion.usage.clone(),
        raw: completion.raw_usage.clone(),
    });
    events
}
