//! The side of a flight that does the work.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use super::helm::Work;
use super::state::Flight;
#[cfg(test)]
use super::state::Phase;
use super::sync::Arc;
use super::wakers::{Ticket, Wakes};
use crate::error::{Error, ErrorKind, Result};

/// Publishes a flight's events and its result; belongs to the flight's own task.
///
/// Dropped without [`finish`](Self::finish) (a panic, a vanished task) it ends the flight with an `internal` error.
/// All its futures are cancel-safe, and several may wait at once.
#[derive(Debug)]
pub(crate) struct Publisher<E: Clone + Send, T: Clone + Send> {
    flight: Arc<Flight<E, T>>,
    outcome: Outcome<T>,
}

/// See [`Publisher::latest_deadline`]; outlives the publisher, and keeps no flight going.
#[derive(Debug)]
pub(crate) struct LatestDeadline<E: Clone + Send, T: Clone + Send>(Arc<Flight<E, T>>);

impl<E: Clone + Send, T: Clone + Send> LatestDeadline<E, T> {
    pub(crate) fn latest(&self) -> Option<Duration> {
        self.0.lock().latest_deadline()
    }
}

struct Outcome<T>(Option<Result<T>>);

impl<T> fmt::Debug for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcome")
    }
}

/// Nobody waits any more: the flight was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cancelled;

impl From<Cancelled> for Error {
    fn from(_: Cancelled) -> Self {
        Self::new(ErrorKind::Cancelled, "every caller has left")
    }
}

impl<E: Clone + Send, T: Clone + Send> Publisher<E, T> {
    pub(super) fn new(flight: Arc<Flight<E, T>>) -> Self {
        Self {
            flight,
            outcome: Outcome(None),
        }
    }

    pub(super) fn flight(&self) -> &Arc<Flight<E, T>> {
        &self.flight
    }

    /// Publishes one event of about `bytes` bytes; waits while the fastest reader is too far behind.
    ///
    /// # Errors
    /// [`Cancelled`] where nobody waits any more.
    #[cfg(test)]
    pub(crate) async fn publish(
        &self,
        event: E,
        bytes: usize,
    ) -> std::result::Result<(), Cancelled> {
        let mut queue = VecDeque::from([(event, bytes)]);
        self.publish_batch(&mut queue).await
    }

    /// Publishes the queue's events with their sizes in bytes, in order, until it is empty.
    ///
    /// What fits at once costs one lock and one wake-up per parked reader. Dropped while it waits, the rest stays in the
    /// queue.
    ///
    /// # Errors
    /// [`Cancelled`] where nobody waits any more.
    pub(crate) fn publish_batch<'a>(
        &'a self,
        queue: &'a mut VecDeque<(E, usize)>,
    ) -> PublishBatch<'a, E, T> {
        PublishBatch {
            publisher: self,
            queue,
            ticket: Ticket::default(),
        }
    }

    /// Publishes from the front of the queue what fits now; true where that was all of it.
    ///
    /// # Errors
    /// [`Cancelled`] where nobody waits any more.
    #[cfg(test)]
    pub(crate) fn try_publish(
        &self,
        queue: &mut VecDeque<(E, usize)>,
    ) -> std::result::Result<bool, Cancelled> {
        match self.offer(queue, None) {
            Poll::Ready(published) => published.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    fn offer(
        &self,
        queue: &mut VecDeque<(E, usize)>,
        wait: Option<(&mut Ticket, &Context<'_>)>,
    ) -> Poll<std::result::Result<(), Cancelled>> {
        let mut wakes = Wakes::default();
        let mut cut_off = 0;
        let mut stale = None;
        let mut state = self.flight.lock();
        let poll = if state.is_running() {
            let mut pushed = false;
            while let Some((_, bytes)) = queue.front()
                && state.log.fits(*bytes)
                && let Some((event, bytes)) = queue.pop_front()
            {
                cut_off += state.log.push(event, bytes);
                pushed = true;
            }
            if pushed {
                state.readers.drain_into(&mut wakes);
            }
            if queue.is_empty() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        } else {
            Poll::Ready(Err(Cancelled))
        };
        if let Some((ticket, cx)) = wait {
            stale = match poll {
                Poll::Ready(_) => state.senders.unpark(ticket),
                Poll::Pending => state.senders.park(ticket, cx.waker()),
            };
        }
        drop(state);
        drop(stale);
        if cut_off > 0 {
            let counters = &self.flight.home().counters;
            counters.lagged.fetch_add(cut_off as u64, Relaxed);
        }
        wakes.wake();
        poll
    }

    /// The latest deadline of those who wait, on the clock of [`join`](super::Flights::join)'s; `None` is unbounded.
    ///
    /// After cancellation it stays what it was. Look again when a timer of the work fires: a later deadline is found then, and
    /// an earlier one ends the flight by its subscribers' leaving.
    pub(crate) fn latest_deadline(&self) -> Option<Duration> {
        self.flight.lock().latest_deadline()
    }

    /// The same look, for who does the work together with that of others.
    pub(crate) fn deadlines(&self) -> LatestDeadline<E, T> {
        LatestDeadline(Arc::clone(&self.flight))
    }

    /// Whether the last subscriber has left.
    #[cfg(test)]
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self.flight.lock().phase, Phase::Cancelled)
    }

    /// Resolves when the last subscriber has left.
    pub(crate) fn cancelled(&self) -> Cancellation<'_, E, T> {
        Cancellation::of(&self.flight)
    }

    /// Ends the flight with this outcome, which all who wait get after the events before it.
    ///
    /// Whoever asks for the same key from here on starts anew, so store what is to be kept before.
    pub(crate) fn finish(mut self, outcome: Result<T>) {
        self.outcome.0 = Some(outcome);
    }
}

impl<E: Clone + Send, T: Clone + Send> Drop for Publisher<E, T> {
    fn drop(&mut self) {
        self.flight.end(self.outcome.0.take().unwrap_or_else(|| {
            let message = "the task of this call ended without a result";
            Err(Error::new(ErrorKind::Internal, message))
        }));
    }
}

/// Work that has to become a task, since it is no longer one caller's own.
pub(crate) struct Orphan<E: Clone + Send, T: Clone + Send> {
    pub(super) flight: Arc<Flight<E, T>>,
    pub(super) work: Work,
}

impl<E: Clone + Send, T: Clone + Send> Orphan<E, T> {
    /// Does the work, until it is over or the last subscriber has left.
    pub(crate) async fn run(self) {
        let Self { flight, mut work } = self;
        let mut left = Cancellation::of(&flight);
        std::future::poll_fn(|cx| {
            if Pin::new(&mut left).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            work.as_mut().poll(cx)
        })
        .await;
    }
}

/// The future of [`Publisher::publish_batch`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct PublishBatch<'a, E: Clone + Send, T: Clone + Send> {
    publisher: &'a Publisher<E, T>,
    queue: &'a mut VecDeque<(E, usize)>,
    ticket: Ticket,
}

impl<E: Clone + Send, T: Clone + Send> Future for PublishBatch<'_, E, T> {
    type Output = std::result::Result<(), Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.publisher
            .offer(this.queue, Some((&mut this.ticket, cx)))
    }
}

impl<E: Clone + Send, T: Clone + Send> Drop for PublishBatch<'_, E, T> {
    fn drop(&mut self) {
        if self.ticket.is_set() {
            let stale = self
                .publisher
                .flight
                .lock()
                .senders
                .unpark(&mut self.ticket);
            drop(stale);
        }
    }
}

/// Resolves when a flight's last subscriber has left, or when it is over.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Cancellation<'a, E: Clone + Send, T: Clone + Send> {
    flight: &'a Flight<E, T>,
    ticket: Ticket,
}

impl<'a, E: Clone + Send, T: Clone + Send> Cancellation<'a, E, T> {
    fn of(flight: &'a Flight<E, T>) -> Self {
        Self {
            flight,
            ticket: Ticket::default(),
        }
    }
}

impl<E: Clone + Send, T: Clone + Send> Future for Cancellation<'_, E, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut state = this.flight.lock();
        let (poll, stale) = if state.is_running() {
            let stale = state.cancel_watch.park(&mut this.ticket, cx.waker());
            (Poll::Pending, stale)
        } else {
            (Poll::Ready(()), state.cancel_watch.unpark(&mut this.ticket))
        };
        drop(state);
        drop(stale);
        poll
    }
}

impl<E: Clone + Send, T: Clone + Send> Drop for Cancellation<'_, E, T> {
    fn drop(&mut self) {
        if self.ticket.is_set() {
            let stale = self.flight.lock().cancel_watch.unpark(&mut self.ticket);
            drop(stale);
        }
    }
}
