//! A streamed answer on its way out, whatever the wire: its events, its end in the books, and signs of life between.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream as _;
use ossai::{CompletionStream, Error, Result, StreamEvent};
use tokio::time::{Instant, Sleep, sleep};

use crate::call::{Call, Trailer};

pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<CompletionStream>> + Send>>;

enum Source {
    Opening(Opening),
    Open(Box<CompletionStream>),
    Done,
}

/// What comes out.
// An item is made and taken apart at once: boxing each would cost more than moving it.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Item {
    /// An event; with the last one what it came to.
    Event(StreamEvent, Option<Trailer>),
    /// The end of a bad stream.
    Failed(Error),
    /// Nothing for a while.
    Silence,
}

/// The stream. Dropping it, as the server does when its client has gone, cancels the call.
pub(crate) struct Live {
    source: Source,
    call: Call,
    /// After so long without an event a sign of life goes out.
    heartbeat: Duration,
    silence: Pin<Box<Sleep>>,
}

impl Live {
    /// Waits for the first event, so that what fails before it has a status of its own, but not longer than a heartbeat.
    ///
    /// # Errors
    /// Those of the call until then.
    pub(crate) async fn open(mut call: Call, mut opening: Opening) -> Result<Self> {
        let heartbeat = call.heartbeat();
        let source = match tokio::time::timeout(heartbeat, &mut opening).await {
            Ok(Ok(stream)) => Source::Open(Box::new(stream)),
            Ok(Err(error)) => {
                call.failed(&error);
                return Err(error);
            }
            Err(_) => Source::Opening(opening),
        };
        Ok(Self {
            source,
            call,
            heartbeat,
            silence: Box::pin(sleep(heartbeat)),
        })
    }

    /// Ends it with an error of the server's own.
    pub(crate) fn cut(&mut self, error: Error) -> Item {
        self.call.failed(&error);
        self.source = Source::Done;
        Item::Failed(error)
    }

    pub(crate) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let polled = loop {
            match &mut self.source {
                Source::Done => return Poll::Ready(None),
                Source::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => self.source = Source::Open(Box::new(stream)),
                    Poll::Ready(Err(error)) => break Poll::Ready(Some(Err(error))),
                    Poll::Pending => break Poll::Pending,
                },
                Source::Open(stream) => break Pin::new(&mut **stream).poll_next(cx),
            }
        };
        let item = match polled {
            Poll::Ready(Some(Ok(event))) => self.event(event),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(self.cut(error))),
            Poll::Ready(None) => {
                self.source = Source::Done;
                return Poll::Ready(None);
            }
            Poll::Pending if self.silence.as_mut().poll(cx).is_ready() => Item::Silence,
            Poll::Pending => return Poll::Pending,
        };
        self.silence.as_mut().reset(Instant::now() + self.heartbeat);
        Poll::Ready(Some(item))
    }

    fn event(&mut self, event: StreamEvent) -> Item {
        if !matches!(event, StreamEvent::Start { .. }) {
            self.call.first_token();
        }
        let trailer = match &event {
            StreamEvent::End { completion } => {
                self.source = Source::Done;
                Some(self.call.completed(completion))
            }
            _ => None,
        };
        Item::Event(event, trailer)
    }
}
