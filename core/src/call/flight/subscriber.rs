//! The side of a flight that a caller holds.

use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use super::helm::Work;
use super::publisher::Orphan;
use super::state::{Flight, Place};
use super::sync::Arc;
use super::wakers::{Ticket, Wakes};
use crate::error::{Error, ErrorKind, Result};

/// One caller's part in a flight.
///
/// Dropping it leaves the flight, which goes on for the others; the last one's leaving cancels it. The deadline is the
/// caller's to enforce: race these futures against it, and drop the subscriber when it has passed.
#[derive(Debug)]
pub(crate) struct Subscriber<E: Clone + Send, T: Clone + Send> {
    flight: Arc<Flight<E, T>>,
    place: Place,
    deadline: Option<Duration>,
    joined: bool,
    /// Among the state's `readers` or `finals`, as `place` says.
    ticket: Ticket,
    /// Makes the work a task, for the caller that started the flight: until then its own polls do the work.
    steers: Option<fn(Orphan<E, T>)>,
}

fn lagged() -> Error {
    let message = "this reader fell behind the events kept for it";
    Error::new(ErrorKind::StreamInterrupted, message)
        .with(|fields| fields.detail = Some("lagged".into()))
}

impl<E: Clone + Send, T: Clone + Send> Subscriber<E, T> {
    pub(super) fn new(
        flight: Arc<Flight<E, T>>,
        place: Place,
        deadline: Option<Duration>,
        joined: bool,
    ) -> Self {
        flight.home().counters.waiters.fetch_add(1, Relaxed);
        Self {
            flight,
            place,
            deadline,
            joined,
            ticket: Ticket::default(),
            steers: None,
        }
    }

    /// What the flight has done so far.
    pub(crate) fn progress(&self) -> &std::sync::Arc<crate::call::progress::Progress> {
        self.flight.progress()
    }

    /// Gives the flight its work, which this caller's polls do from now on until somebody else waits for it too; `spawn`
    /// makes it a task then. A poll with a waker that wakes nobody does no work.
    pub(crate) fn steer(&mut self, work: Work, spawn: fn(Orphan<E, T>)) {
        self.steers = Some(spawn);
        if let Some(work) = self.flight.helm.give(work) {
            let flight = Arc::clone(&self.flight);
            spawn(Orphan { flight, work });
        }
    }

    /// The work, if it must become a task because this caller, who joined, depends on it too.
    pub(crate) fn orphan(&self) -> Option<Orphan<E, T>> {
        let work = self.flight.helm.want()?;
        let flight = Arc::clone(&self.flight);
        Some(Orphan { flight, work })
    }

    /// Does some of the work, if it is this caller's.
    fn work(&mut self, cx: &mut Context<'_>) {
        let Some(spawn) = self.steers else { return };
        // What the work publishes would wake its own doer, who is awake and looks at it next.
        self.unpark();
        if let Some(work) = self.flight.helm.steer(cx) {
            let flight = Arc::clone(&self.flight);
            spawn(Orphan { flight, work });
        }
    }

    /// Whether the flight was under way when this caller came.
    pub(crate) fn joined(&self) -> bool {
        self.joined
    }

    /// Changes the deadline that counts for this caller in [`Publisher::latest_deadline`](super::Publisher::latest_deadline),
    /// as when a stream has begun and only its idle time is bounded from there on.
    pub(crate) fn set_deadline(&mut self, deadline: Option<Duration>) {
        let old = std::mem::replace(&mut self.deadline, deadline);
        if old != deadline && self.place != Place::Out {
            self.flight.lock().replace_deadline(old, deadline);
        }
    }

    /// Adds up to `max` (at least one) events to `out` and gives true; false where the flight ended well and all are read.
    ///
    /// # Errors
    /// The flight's own, after the events before it; `stream_interrupted` with detail `lagged` where this reader was cut off.
    pub(crate) fn poll_batch(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<E>,
        max: usize,
    ) -> Poll<Result<bool>> {
        if let (Place::Reading(cursor), Some(_)) = (self.place, self.steers) {
            let has_nothing = self.flight.lock().log.is_read(cursor);
            if has_nothing {
                self.work(cx);
            }
        }
        let Place::Reading(ref mut cursor) = self.place else {
            return self.poll_result(cx).map_ok(|_| false);
        };
        let mut wakes = Wakes::default();
        let mut guard = self.flight.lock();
        let state = &mut *guard;
        let Some(count) = state.log.read(cursor, max.max(1), out) else {
            drop(guard);
            return Poll::Ready(Err(self.cut_off()));
        };
        let outcome = if count == 0 { state.outcome() } else { None };
        let waits = count == 0 && outcome.is_none();
        if count > 0 {
            state.wake_senders(&mut wakes);
        }
        let stale = if waits {
            state.readers.park(&mut self.ticket, cx.waker())
        } else {
            state.readers.unpark(&mut self.ticket)
        };
        drop(guard);
        drop(stale);
        wakes.wake();
        match outcome.as_deref() {
            Some(Ok(_)) => Poll::Ready(Ok(false)),
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            None if waits => Poll::Pending,
            None => Poll::Ready(Ok(true)),
        }
    }

    /// Waits for the result; events not read yet are given up.
    ///
    /// # Errors
    /// The flight's own; `stream_interrupted` with detail `lagged` where this reader was cut off.
    pub(crate) fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.work(cx);
        let mut wakes = Wakes::default();
        let mut was_reader = None;
        let mut guard = self.flight.lock();
        let state = &mut *guard;
        if let Place::Reading(cursor) = self.place {
            if state.log.is_past(cursor) {
                drop(guard);
                return Poll::Ready(Err(self.cut_off()));
            }
            was_reader = state.readers.unpark(&mut self.ticket);
            state.skip_to_result(cursor, &mut wakes);
            self.place = Place::Final;
        }
        if self.place == Place::Out {
            drop(guard);
            return Poll::Ready(Err(lagged()));
        }
        let outcome = state.outcome();
        let stale = match outcome {
            Some(_) => state.finals.unpark(&mut self.ticket),
            None => state.finals.park(&mut self.ticket, cx.waker()),
        };
        drop(guard);
        drop((was_reader, stale));
        wakes.wake();
        match outcome {
            Some(outcome) => Poll::Ready((*outcome).clone()),
            None => Poll::Pending,
        }
    }

    /// [`poll_batch`](Self::poll_batch) as a future; dropped while it waits, nothing is lost.
    #[cfg(test)]
    pub(crate) fn next_batch<'a>(
        &'a mut self,
        out: &'a mut Vec<E>,
        max: usize,
    ) -> NextBatch<'a, E, T> {
        NextBatch {
            subscriber: self,
            out,
            max,
        }
    }

    /// [`poll_result`](Self::poll_result) as a future; dropped while it waits, it can be asked for again.
    pub(crate) fn result(&mut self) -> ResultOf<'_, E, T> {
        ResultOf { subscriber: self }
    }

    /// Leaves because the log has gone past this reader.
    fn cut_off(&mut self) -> Error {
        self.leave();
        self.place = Place::Out;
        lagged()
    }

    fn leave(&mut self) {
        let mut wakes = Wakes::default();
        let mut guard = self.flight.lock();
        let state = &mut *guard;
        let stale = state.unpark(self.place, &mut self.ticket);
        let cancelled = state.leave(self.place, self.deadline, &mut wakes);
        drop(guard);
        drop(stale);
        self.flight.left(cancelled, wakes);
    }

    /// Takes the waker out that a dropped future left parked.
    fn unpark(&mut self) {
        if self.ticket.is_set() {
            let stale = self.flight.lock().unpark(self.place, &mut self.ticket);
            drop(stale);
        }
    }
}

impl<E: Clone + Send, T: Clone + Send> Drop for Subscriber<E, T> {
    fn drop(&mut self) {
        self.flight.home().counters.waiters.fetch_sub(1, Relaxed);
        if self.place != Place::Out {
            self.leave();
        }
    }
}

/// The future of [`Subscriber::next_batch`].
#[cfg(test)]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct NextBatch<'a, E: Clone + Send, T: Clone + Send> {
    subscriber: &'a mut Subscriber<E, T>,
    out: &'a mut Vec<E>,
    max: usize,
}

#[cfg(test)]
impl<E: Clone + Send, T: Clone + Send> Future for NextBatch<'_, E, T> {
    type Output = Result<bool>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        let this = self.get_mut();
        this.subscriber.poll_batch(cx, this.out, this.max)
    }
}

#[cfg(test)]
impl<E: Clone + Send, T: Clone + Send> Drop for NextBatch<'_, E, T> {
    fn drop(&mut self) {
        self.subscriber.unpark();
    }
}

/// The future of [`Subscriber::result`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct ResultOf<'a, E: Clone + Send, T: Clone + Send> {
    subscriber: &'a mut Subscriber<E, T>,
}

impl<E: Clone + Send, T: Clone + Send> Future for ResultOf<'_, E, T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.get_mut().subscriber.poll_result(cx)
    }
}

impl<E: Clone + Send, T: Clone + Send> Drop for ResultOf<'_, E, T> {
    fn drop(&mut self) {
        self.subscriber.unpark();
    }
}
