//! A streamed tool loop in a caller's hands: the loop runs while its events are read, and nowhere else.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::error::{Error, ErrorKind, Result};
use crate::types::{Completion, StreamEvent};

/// So many events wait for the reader; the loop waits from then on.
const ROOM: usize = 256;

/// Events on their way from the loop to its reader, who also drives the loop.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<VecDeque<StreamEvent>>);

impl Outbox {
    fn events(&self) -> std::sync::MutexGuard<'_, VecDeque<StreamEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an event over and waits while there is no room for the next. Nobody has to be woken for that: the reader
    /// takes all there is and then drives the loop on.
    pub(super) async fn send(&self, event: StreamEvent) {
        self.events().push_back(event);
        std::future::poll_fn(|_| match self.events().len() {
            waiting if waiting >= ROOM => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }
}

type Work = Pin<Box<dyn Future<Output = Result<Completion>> + Send>>;

/// The events of a call with tools, in order: those of every turn, with [`StreamEvent::Turn`] between them, and those of
/// the tool calls. The last of a good one is [`StreamEvent::End`] with the last turn's answer and the whole loop's cost.
///
/// Dropping it cancels the turn under way and every handler. Handlers run as tasks of the runtime's; the loop between
/// them goes on only while somebody reads.
pub struct ToolStream {
    work: Option<Work>,
    outbox: Arc<Outbox>,
    ready: VecDeque<StreamEvent>,
    failed: Option<Error>,
}

impl std::fmt::Debug for ToolStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolStream")
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

impl ToolStream {
    /// Waits for the first event.
    pub(super) async fn open(work: Work, outbox: Arc<Outbox>) -> Result<Self> {
        let mut stream = Self {
            work: Some(work),
            outbox,
            ready: VecDeque::new(),
            failed: None,
        };
        std::future::poll_fn(|cx| stream.poll_fill(cx)).await;
        match stream.failed.take() {
            Some(error) if stream.ready.is_empty() => Err(error),
            failed => {
                stream.failed = failed;
                Ok(stream)
            }
        }
    }

    /// The next event; `None` after the end or an error.
    pub async fn next(&mut self) -> Option<Result<StreamEvent>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Reads to the end and gives the whole answer: what [`super::ToolClient::complete`] would have.
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
            ErrorKind::Internal,
            "the stream ended without an answer",
        ))
    }

    /// Events that can be had without waiting; bindings drain these in one crossing.
    pub fn take_ready(&mut self) -> impl Iterator<Item = StreamEvent> + '_ {
        self.ready.drain(..)
    }

    /// Whether all that is left of a good stream is ready: nothing of it has to be waited for any more.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.work.is_none() && self.failed.is_none()
    }

    /// Drives the loop until there is something to read, or nothing more comes.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(());
        };
        let polled = work.as_mut().poll(cx);
        self.ready.append(&mut self.outbox.events());
        match polled {
            Poll::Pending if self.ready.is_empty() => return Poll::Pending,
            Poll::Pending => {}
            Poll::Ready(ended) => {
                self.work = None;
                match ended {
                    Ok(answer) => self.ready.push_back(StreamEvent::End {
                        completion: Box::new(answer),
                    }),
                    Err(error) => self.failed = Some(error),
                }
            }
        }
        Poll::Ready(())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamEvent>>> {
        if self.ready.is_empty() && self.poll_fill(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(match self.ready.pop_front() {
            Some(event) => Some(Ok(event)),
            None => self.failed.take().map(Err),
        })
    }
}

impl futures_core::Stream for ToolStream {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}
