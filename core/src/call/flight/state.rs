//! What a flight is between its start and its end, under one lock.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::Duration;

use super::deadlines::Deadlines;
use super::helm::Helm;
use super::log::Log;
use super::sync::{Arc, Mutex, MutexGuard};
use super::wakers::{Ticket, WakerSet, Wakes};
use super::{Cancelled, Home, Key, Want};
use crate::call::progress::Progress;
use crate::error::Result;

/// One flight.
#[derive(Debug)]
pub(super) struct Flight<E: Clone + Send, T: Clone + Send> {
    state: Mutex<State<E, T>>,
    pub(super) helm: Helm,
    /// `None` for a private flight.
    key: Option<Key>,
    home: Arc<Home<E, T>>,
    /// What the work has done so far, for those whose own time runs out.
    progress: std::sync::Arc<Progress>,
}

/// How far a flight is. It only ever goes from running to one of the others.
pub(super) enum Phase<T> {
    Running,
    /// The last subscriber left; the publisher may not know yet.
    Cancelled,
    /// Shared, so that waiters copy it outside the lock.
    Done(std::sync::Arc<Result<T>>),
}

impl<T> fmt::Debug for Phase<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "Running",
            Self::Cancelled => "Cancelled",
            Self::Done(_) => "Done",
        })
    }
}

#[derive(Debug)]
pub(super) struct State<E, T> {
    pub(super) phase: Phase<T>,
    pub(super) log: Log<E>,
    deadlines: Deadlines,
    /// Readers at the end of the log.
    pub(super) readers: WakerSet,
    /// Those who wait for the result only.
    pub(super) finals: WakerSet,
    /// Publications that wait for room.
    pub(super) senders: WakerSet,
    /// Who wants to know that the flight is cancelled.
    pub(super) cancel_watch: WakerSet,
}

/// Where a subscriber stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the event of this number.
    Reading(u64),
    /// It wants the result only.
    Final,
    /// It was cut off, and has left.
    Out,
}

impl<E: Clone, T> State<E, T> {
    fn add(&mut self, want: Want, deadline: Option<Duration>) -> Place {
        self.deadlines.add(deadline);
        match want {
            Want::Events => Place::Reading(self.log.add_reader()),
            Want::Result => {
                self.log.add_skipper();
                Place::Final
            }
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// What the waiters get, once there is something to get.
    pub(super) fn outcome(&self) -> Option<std::sync::Arc<Result<T>>> {
        match &self.phase {
            Phase::Running => None,
            // Nobody who is still served can see this; should it be wrong, an error beats a hang.
            Phase::Cancelled => Some(std::sync::Arc::new(Err(Cancelled.into()))),
            Phase::Done(outcome) => Some(std::sync::Arc::clone(outcome)),
        }
    }

    /// Takes a subscriber's waker out; drop it after the lock.
    pub(super) fn unpark(&mut self, place: Place, ticket: &mut Ticket) -> Option<Waker> {
        match place {
            Place::Reading(_) => self.readers.unpark(ticket),
            Place::Final => self.finals.unpark(ticket),
            Place::Out => None,
        }
    }

    pub(super) fn latest_deadline(&self) -> Option<Duration> {
        self.deadlines.latest()
    }

    /// Gives one subscriber another deadline.
    pub(super) fn replace_deadline(&mut self, old: Option<Duration>, new: Option<Duration>) {
        if self.is_running() {
            self.deadlines.remove(old);
            self.deadlines.add(new);
        }
    }

    /// Wakes the publications that wait for room, if there is enough of it.
    pub(super) fn wake_senders(&mut self, wakes: &mut Wakes) {
        if self.log.is_roomy() {
            self.senders.drain_into(wakes);
        }
    }

    /// Turns a reader into one who wants the result only.
    pub(super) fn skip_to_result(&mut self, cursor: u64, wakes: &mut Wakes) {
        self.log.add_skipper();
        self.log.remove_reader(cursor);
        self.wake_senders(wakes);
    }

    /// Takes a subscriber away; says whether that cancelled the flight.
    pub(super) fn leave(
        &mut self,
        place: Place,
        deadline: Option<Duration>,
        wakes: &mut Wakes,
    ) -> bool {
        match place {
            Place::Reading(cursor) => self.log.remove_reader(cursor),
            Place::Final => self.log.remove_skipper(),
            Place::Out => return false,
        }
        if !self.is_running() {
            return false;
        }
        // Those who were cut off and have not noticed yet wait for nothing that could still come.
        if self.log.served() == 0 {
            self.phase = Phase::Cancelled;
            self.senders.drain_into(wakes);
            self.cancel_watch.drain_into(wakes);
            return true;
        }
        self.deadlines.remove(deadline);
        false
    }
}

impl<E: Clone + Send, T: Clone + Send> Flight<E, T> {
    /// A flight with its first subscriber.
    pub(super) fn new(
        home: Arc<Home<E, T>>,
        key: Option<Key>,
        want: Want,
        deadline: Option<Duration>,
    ) -> (Arc<Self>, Place) {
        let mut state = State {
            phase: Phase::Running,
            log: Log::new(home.limits, key.is_some()),
            deadlines: Deadlines::default(),
            readers: WakerSet::default(),
            finals: WakerSet::default(),
            senders: WakerSet::default(),
            cancel_watch: WakerSet::default(),
        };
        let place = state.add(want, deadline);
        let state = Mutex::new(state);
        let progress = std::sync::Arc::default();
        (
            Arc::new(Self {
                state,
                helm: Helm::new(),
                key,
                home,
                progress,
            }),
            place,
        )
    }

    pub(super) fn progress(&self) -> &std::sync::Arc<Progress> {
        &self.progress
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    pub(super) fn home(&self) -> &Home<E, T> {
        &self.home
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<E, T>> {
        self.state.lock()
    }

    /// Adds a subscriber, unless the flight is over or its first events are gone and wanted.
    pub(super) fn subscribe(
        &self,
        want: Want,
        deadline: Option<Duration>,
    ) -> Option<(Place, Wakes)> {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        if !state.is_running() || (want == Want::Events && !state.log.is_whole()) {
            return None;
        }
        let place = state.add(want, deadline);
        if place == Place::Final {
            state.wake_senders(&mut wakes);
        }
        Some((place, wakes))
    }

    /// Ends the flight: shares the outcome, takes the entry out of the map, wakes all who wait.
    pub(super) fn end(&self, outcome: Result<T>) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let unwanted = if state.is_running() {
            state.phase = Phase::Done(std::sync::Arc::new(outcome));
            state.readers.drain_into(&mut wakes);
            state.finals.drain_into(&mut wakes);
            None
        } else {
            Some(outcome)
        };
        drop(state);
        drop(unwanted);
        self.home.remove(self);
        wakes.wake();
        self.home.land();
    }

    /// After the lock: counts a flight that the last one's leaving cancelled, and wakes.
    pub(super) fn left(&self, cancelled: bool, wakes: Wakes) {
        if cancelled {
            self.home.counters.cancelled.fetch_add(1, Relaxed);
            self.home.remove(self);
            self.helm.abandon();
        }
        wakes.wake();
    }
}
