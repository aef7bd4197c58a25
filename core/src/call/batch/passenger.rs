//! One request in a batch, and whether anybody waits for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::lock;
use crate::call::flight::LatestDeadline;
use crate::call::key::Key;
use crate::call::pipeline::{Failure, Flight, Success, micros};
use crate::call::progress::Progress;
use crate::retry::Clock;
use crate::types::{Completion, StreamEvent, TraceStep};

/// A caller who leaves so shortly before its time is over has run out of it: over an orchestrator the two cannot be told apart.
const AS_GOOD_AS_OVER: Duration = Duration::from_secs(2);

/// Held until a caller has what it was told; nothing ever comes through it.
pub(super) type Told = tokio::sync::mpsc::Sender<std::convert::Infallible>;

/// What a request is told.
pub(super) enum Reply {
    /// What came of it.
    Outcome(Result<Success<Completion>, Failure>, Option<Told>),
    /// What came of it for one who was gone by then, and paid.
    Paid(Success<Completion>, Told),
    /// Its batch came to nothing for reasons not its own: go into another.
    Again,
    /// Another call for the same takes it over.
    Taken,
}

/// Whether anybody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Somebody does.
    Here,
    /// Nobody has time any more; the answer may still be asked for.
    OutOfTime,
    /// Nobody wants it.
    Left,
}

/// One request.
pub(super) struct Passenger {
    clock: Arc<dyn Clock>,
    progress: Arc<Progress>,
    /// Whose client's it is, for that client's end.
    pub(super) owner: usize,
    seat: Mutex<Seat>,
}

struct Seat {
    mood: Mood,
    key: Key,
    /// Until it is sent.
    body: Option<Bytes>,
    reply: Option<oneshot::Sender<Reply>>,
    arrived: Duration,
    boarded: Option<Duration>,
    /// Who is to hear that the mood has changed.
    driver: Option<Arc<Notify>>,
}

impl Passenger {
    pub(super) fn new(flight: &Flight) -> (Self, oneshot::Receiver<Reply>) {
        let (sender, reply) = oneshot::channel();
        let clock = Arc::clone(&flight.core.clock);
        let seat = Seat {
            mood: Mood::Here,
            key: Key([0; 32]),
            body: None,
            reply: Some(sender),
            arrived: clock.now(),
            boarded: None,
            driver: None,
        };
        let passenger = Self {
            clock,
            progress: Arc::clone(&flight.progress),
            owner: Arc::as_ptr(&flight.core) as usize,
            seat: Mutex::new(seat),
        };
        (passenger, reply)
    }

    /// What it asks, before it goes anywhere.
    pub(super) fn seat(&self, key: Key, body: Bytes) {
        let mut seat = lock(&self.seat);
        seat.key = key;
        // Whoever has left before is not sent.
        seat.body = (seat.mood == Mood::Here).then_some(body);
        if seat.mood != Mood::Here {
            seat.reply = None;
        }
    }

    /// For another time.
    pub(super) fn again(&self) -> oneshot::Receiver<Reply> {
        let (sender, reply) = oneshot::channel();
        lock(&self.seat).reply = Some(sender);
        reply
    }

    pub(super) fn key(&self) -> Key {
        lock(&self.seat).key
    }

    pub(super) fn mood(&self) -> Mood {
        lock(&self.seat).mood
    }

    pub(super) fn bytes(&self) -> usize {
        lock(&self.seat).body.as_ref().map_or(0, Bytes::len)
    }

    /// What is sent of it; nothing where its caller has left.
    pub(super) fn body(&self) -> Option<Bytes> {
        let mut seat = lock(&self.seat);
        let body = seat.body.take();
        body.filter(|_| seat.mood == Mood::Here)
    }

    /// From now on the vendor may have it.
    pub(super) fn board(&self) {
        let mut seat = lock(&self.seat);
        let now = self.clock.now();
        seat.body = None;
        if seat.boarded.replace(now).is_none() {
            let waited = now.saturating_sub(seat.arrived);
            self.progress.queued(micros(waited));
        }
        drop(seat);
        self.progress.phase.sent();
    }

    /// When that was.
    pub(super) fn boarded(&self) -> Option<Duration> {
        lock(&self.seat).boarded
    }

    /// Who drives its batch.
    pub(super) fn driven_by(&self, driver: &Arc<Notify>) {
        lock(&self.seat).driver = Some(Arc::clone(driver));
    }

    pub(super) fn tell(&self, reply: Reply) {
        let sender = lock(&self.seat).reply.take();
        if let Some(sender) = sender {
            // Its task waits for nothing else.
            let _ = sender.send(reply);
        }
    }

    pub(super) fn note(&self, outcome: &'static str, vendor: Option<&str>) {
        self.progress.trace.note(&*self.clock, || {
            let fields = vendor.map(str::to_owned).into_iter().collect();
            TraceStep::new("batch", outcome).fields(fields)
        });
    }

    fn leave(&self, mood: Mood) {
        let mut seat = lock(&self.seat);
        seat.mood = mood;
        let waiting = seat.body.take().is_some();
        // Not sent yet: it is not going to be.
        let reply = if waiting { seat.reply.take() } else { None };
        let driver = seat.driver.clone();
        drop(seat);
        drop(reply);
        if let Some(driver) = driver {
            driver.notify_one();
        }
    }
}

type Deadlines = LatestDeadline<StreamEvent, Arc<Completion>>;

/// A caller who waits; dropped when it has its answer, when its time is over, or when it has left.
pub(super) struct Here {
    passenger: Arc<Passenger>,
    deadlines: Deadlines,
    clock: Arc<dyn Clock>,
}

impl Here {
    pub(super) fn new(
        passenger: Arc<Passenger>,
        deadlines: Deadlines,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            passenger,
            deadlines,
            clock: Arc::clone(clock),
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // An orchestrator is given more time than those have who wait now, and told how much that is.
        let patience = self.passenger.progress.patience();
        let latest = self
            .deadlines
            .latest()
            .unwrap_or(Duration::MAX)
            .min(patience);
        let soon = self.clock.now().saturating_add(AS_GOOD_AS_OVER);
        self.passenger.leave(if soon >= latest {
            Mood::OutOfTime
        } else {
            Mood::Left
        });
    }
}
