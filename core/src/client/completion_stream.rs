//! A streamed answer in a caller's hands.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::Value as Json;

use super::Core;
use super::prepare::Prepared;
use crate::cache::memory::{Entry, Value};
use crate::call::PART_INDEX;
use crate::call::flight::Subscriber;
use crate::error::{Error, Result};
use crate::transport::timer::IdleTimer;
use crate::types::{Completion, Extra, OutputPart, StreamEvent};

/// Most events taken over at once.
const BATCH: usize = 256;
/// How often a call that was left behind before its first event looks for another flight.
const REJOINS: u32 = 3;

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

impl Source {
    fn of(subscriber: Subscriber<StreamEvent, Arc<Completion>>) -> Self {
        Self::Flight {
            subscriber,
            ended: false,
        }
    }
}

/// Whether the reader was cut off because the others had moved on too far.
fn is_lagged(error: &Error) -> bool {
    let fields = error.fields();
    fields.kind == crate::error::ErrorKind::StreamInterrupted
        && fields.detail.as_deref() == Some("lagged")
}

impl CompletionStream {
    /// Waits for the first event of a flight, at most until the call's deadline.
    pub(super) async fn open(
        core: Arc<Core>,
        call: Prepared,
        subscriber: Subscriber<StreamEvent, Arc<Completion>>,
    ) -> Result<Self> {
        let mut stream = Self {
            core,
            call,
            source: Source::of(subscriber),
            ready: VecDeque::new(),
            scratch: Vec::new(),
            first_token: None,
        };
        let mut again = 0;
        loop {
            let left = stream.call.deadline.saturating_sub(stream.core.clock.now());
            let mut timer = IdleTimer::new(Arc::clone(&stream.core.clock), left);
            let filled = timer
                .limit(pin!(std::future::poll_fn(|cx| stream.poll_fill(cx))))
                .await;
            match filled {
                Some(Ok(())) => {
                    if let Source::Flight { subscriber, .. } = &mut stream.source {
                        // From here on silence is limited, not the whole.
                        subscriber.set_deadline(None);
                    }
                    return Ok(stream);
                }
                // Nothing has reached the caller: another flight serves it as well as the one that left it behind.
                Some(Err(error)) if is_lagged(&error) && again < REJOINS => {
                    again += 1;
                    let subscriber = stream.core.depart(&stream.call, true)?;
                    stream.source = Source::of(subscriber);
                }
                Some(Err(error)) => return Err(error),
                None => {
                    let Source::Flight { subscriber, .. } = &stream.source else {
                        return Ok(stream);
                    };
                    let error = subscriber.progress().timed_out("total");
                    return Err(stream.core.blame(&stream.call, error));
                }
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
                    if !subscriber.joined() && !is_lagged(&error) {
                        subscriber.progress().told();
                    }
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
        if !joined {
            subscriber.progress().told();
        }
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
    let mut extra = completion.extra.clone();
    let mut notes = notes_of(&mut extra, completion.parts.len())
        .into_iter()
        .peekable();
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
        let of_part = |note: &(u32, String, Json)| note.0 == index;
        while let Some((index, field, annotation)) = notes.next_if(of_part) {
            events.push(StreamEvent::Annotation {
                index,
                field,
                annotation,
            });
        }
    }
    if !extra.is_empty() {
        events.push(StreamEvent::Extra { fields: extra });
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

/// Takes the notes on parts out of the fields that are lists of nothing else, in the order of the parts.
fn notes_of(extra: &mut Extra, parts: usize) -> Vec<(u32, String, Json)> {
    let part_of = |note: &Json| {
        let index = note.as_object()?.get(PART_INDEX)?.as_u64()?;
        u32::try_from(index).ok().filter(|&i| (i as usize) < parts)
    };
    let mut notes = Vec::new();
    for field in ["annotations", "citations"] {
        let Some(Json::Array(list)) = extra.get(field) else {
            continue;
        };
        // Events come part by part: a list in another order would not be this list when it is folded again.
        let places: Option<Vec<u32>> = list.iter().map(part_of).collect();
        if places.is_none_or(|places| places.is_empty() || !places.is_sorted()) {
            continue;
        }
        if let Some(Json::Array(list)) = extra.shift_remove(field) {
            for mut note in list {
                if let Some(index) = part_of(&note) {
                    note.as_object_mut()
                        .map(|note| note.shift_remove(PART_INDEX));
                    notes.push((index, field.to_owned(), note));
                }
            }
        }
    }
    notes.sort_by_key(|(index, ..)| *index);
    notes
}

#[cfg(all(test, not(ossai_loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::call::flight::{Join, Want};
    use crate::types::CallOptions;
    use crate::{Client, CompletionRequest, Config};

    fn delta(text: &str) -> StreamEvent {
        StreamEvent::TextDelta {
            index: 0,
            text: text.into(),
        }
    }

    // proves: 2.8.7
    #[tokio::test]
    async fn who_was_left_behind_before_its_first_event_gets_a_flight_of_its_own() {
        let mut config = Config::default();
        config.limits.max_stream_log_bytes = 1;
        let client = Client::new(config).unwrap();
        let request = Arc::new(CompletionRequest {
            temperature: Some(0.0),
            ..CompletionRequest::new("local/extract", "The sky is blue.\n\nWhat is the sky?")
        });
        let call = client
            .core
            .prepare(Arc::clone(&request), Arc::new(CallOptions::default()))
            .unwrap();
        let key = call.key.as_stream().0;
        let Ok(Join::Started(mut first, publisher)) =
            client.core.flights.join(key, Want::Events, None)
        else {
            panic!("a new flight");
        };
        let mut second = Box::pin(client.stream(request));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert_eq!(client.stats().joined, 1);
        let mut read = Vec::new();
        for text in ["a", "b", "c"] {
            publisher.publish(delta(text), 1).await.unwrap();
            first.next_batch(&mut read, 1).await.unwrap();
        }
        let answer = second.await.unwrap().finish().await.unwrap();
        assert!(answer.text.contains("blue"), "{}", answer.text);
        assert_eq!((read.len(), client.stats().flights), (3, 2));
    }
}
