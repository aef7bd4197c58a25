//! Flights: one piece of upstream work that serves all identical calls under way.
//!
//! Callers [`join`](Flights::join) by key and get a [`Subscriber`]; the first also gets the [`Publisher`], for the work. The
//! work is done by the polls of the caller that started it while that one is alone, and by a task of its own from the moment
//! a second one waits for it (see [`helm`]). Nobody leads: no subscriber's leaving fails or restarts the others, and the
//! last one's cancels the work (`behaviour.md` §2.8). Nothing here spawns, sleeps or does I/O; the futures run on any executor.
//!
//! **What is atomic.** A flight's phase stands under the flight's own lock and decides alone whether a caller can still
//! join: an ended or cancelled flight is never joined, though its entry may stay in the map for the moment until whoever
//! ended it takes it out, or a newcomer puts its own flight in its place. So "publish the result and remove the entry",
//! and "cancel and remove the entry", are one step for every caller. An entry is removed only by the flight it names.
//!
//! Locks nest in one order: map shard, then flight or gate. Nothing is woken and nothing of the caller's is dropped
//! under a lock, except events that fall out of the log.

mod deadlines;
mod helm;
mod log;
mod publisher;
mod state;
mod subscriber;
mod sync;
mod wakers;

#[cfg(all(test, ossai_loom))]
#[allow(clippy::unwrap_used)]
mod models;
#[cfg(all(test, not(ossai_loom)))]
mod stress;
#[cfg(all(test, not(ossai_loom)))]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) use log::Limits;
pub(crate) use publisher::{Cancelled, LatestDeadline, Orphan, Publisher};
pub(crate) use subscriber::Subscriber;

use crate::cache::memory::DigestHasher;
use crate::error::{Error, ErrorKind, Result};
use state::Flight;
use sync::{Arc, Mutex};
use wakers::{Ticket, WakerSet, Wakes};

/// What identical calls have in common (`behaviour.md` §2.11).
pub(crate) type Key = [u8; 32];

/// A model has a single shard so that there is less to explore.
const SHARDS: usize = if cfg!(ossai_loom) { 1 } else { 64 };

/// What a caller wants of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Every event from the first on, then the result.
    Events,
    /// The result only; such a caller can join at any time and holds nobody back.
    Result,
}

/// How a caller came by its flight.
#[derive(Debug)]
pub(crate) enum Join<E: Clone + Send, T: Clone + Send> {
    /// It takes part in a flight under way.
    Joined(Subscriber<E, T>),
    /// It started one, and has to see to the work that publishes.
    Started(Subscriber<E, T>, Publisher<E, T>),
}

/// Counters since the start, and two present numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Flights started, private ones included.
    pub(crate) flights_started: u64,
    /// Callers that took part in a flight which was under way.
    pub(crate) joined: u64,
    /// Flights cancelled because the last subscriber left.
    pub(crate) cancelled: u64,
    /// Readers cut off because they fell behind the log.
    pub(crate) lagged: u64,
    /// Flights whose publisher is at work now.
    pub(crate) active_flights: u64,
    /// Subscribers there are now.
    pub(crate) active_waiters: u64,
}

/// The flights of one client; a cheap handle, all clones are the same flights.
#[derive(Debug)]
pub(crate) struct Flights<E: Clone + Send, T: Clone + Send> {
    home: Arc<Home<E, T>>,
}

impl<E: Clone + Send, T: Clone + Send> Clone for Flights<E, T> {
    fn clone(&self) -> Self {
        let home = Arc::clone(&self.home);
        Self { home }
    }
}

type Shard<E, T> = Mutex<HashMap<Key, Arc<Flight<E, T>>, BuildHasherDefault<DigestHasher>>>;

/// What all flights of a client share.
#[derive(Debug)]
struct Home<E: Clone + Send, T: Clone + Send> {
    limits: Limits,
    shards: Box<[Shard<E, T>]>,
    gate: Mutex<Gate>,
    counters: Counters,
}

/// Lets flights start until shutdown, and counts those at work.
#[derive(Debug, Default)]
struct Gate {
    closed: bool,
    active: u64,
    idle: WakerSet,
}

/// Plain counters: nothing is decided by them, so no order is asked of them (nor are they part of the models).
#[derive(Debug, Default)]
struct Counters {
    started: AtomicU64,
    joined: AtomicU64,
    cancelled: AtomicU64,
    lagged: AtomicU64,
    waiters: AtomicU64,
}

impl<E: Clone + Send, T: Clone + Send> Flights<E, T> {
    /// No flights yet; `limits` hold for each one.
    pub(crate) fn new(limits: Limits) -> Self {
        let shards = (0..SHARDS)
            .map(|_| Mutex::new(HashMap::default()))
            .collect();
        Self {
            home: Arc::new(Home {
                limits,
                shards,
                gate: Mutex::new(Gate::default()),
                counters: Counters::default(),
            }),
        }
    }

    /// Joins the flight of this key, or starts one where there is none, or none that can still give what is wanted.
    ///
    /// `deadline` is the caller's own, on the client's monotonic clock, `None` for unbounded; it is not enforced here but
    /// counts in [`Publisher::latest_deadline`].
    ///
    /// # Errors
    /// `shutting_down` after [`shutdown`](Self::shutdown), where a flight would have to be started.
    pub(crate) fn join(
        &self,
        key: Key,
        want: Want,
        deadline: Option<Duration>,
    ) -> Result<Join<E, T>> {
        let mut shard = self.home.shard(&key).lock();
        if let Some(flight) = shard.get(&key)
            && let Some((place, wakes)) = flight.subscribe(want, deadline)
        {
            let flight = Arc::clone(flight);
            drop(shard);
            wakes.wake();
            self.home.counters.joined.fetch_add(1, Relaxed);
            return Ok(Join::Joined(Subscriber::new(flight, place, deadline, true)));
        }
        let (subscriber, publisher) = self.start(Some(key), want, deadline)?;
        let replaced = shard.insert(key, Arc::clone(publisher.flight()));
        drop(shard);
        drop(replaced);
        Ok(Join::Started(subscriber, publisher))
    }

    /// Starts a flight that nobody can join, for a call that may not share its answer.
    ///
    /// # Errors
    /// `shutting_down` after [`shutdown`](Self::shutdown).
    pub(crate) fn start_private(
        &self,
        want: Want,
        deadline: Option<Duration>,
    ) -> Result<(Subscriber<E, T>, Publisher<E, T>)> {
        self.start(None, want, deadline)
    }

    fn start(
        &self,
        key: Option<Key>,
        want: Want,
        deadline: Option<Duration>,
    ) -> Result<(Subscriber<E, T>, Publisher<E, T>)> {
        let mut gate = self.home.gate.lock();
        if gate.closed {
            return Err(Error::new(ErrorKind::ShuttingDown, "the client is closing"));
        }
        gate.active += 1;
        drop(gate);
        self.home.counters.started.fetch_add(1, Relaxed);
        let (flight, place) = Flight::new(Arc::clone(&self.home), key, want, deadline);
        let subscriber = Subscriber::new(Arc::clone(&flight), place, deadline, false);
        Ok((subscriber, Publisher::new(flight)))
    }

    /// Whether a call of this key would find a flight to join. It may have ended by the time the call is made.
    pub(crate) fn is_under_way(&self, key: &Key) -> bool {
        self.home.shard(key).lock().contains_key(key)
    }

    /// The numbers for metrics.
    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.home.counters;
        Stats {
            flights_started: counters.started.load(Relaxed),
            joined: counters.joined.load(Relaxed),
            cancelled: counters.cancelled.load(Relaxed),
            lagged: counters.lagged.load(Relaxed),
            active_flights: self.home.gate.lock().active,
            active_waiters: counters.waiters.load(Relaxed),
        }
    }

    /// Lets no flight start from now on, and waits until the last publisher is gone, those of cancelled flights included.
    ///
    /// Flights under way can still be joined. The gate closes at this call, not at the first poll.
    pub(crate) fn shutdown(&self) -> Idle<E, T> {
        self.home.gate.lock().closed = true;
        self.idle()
    }

    /// Waits for a moment at which no publisher is at work.
    pub(crate) fn idle(&self) -> Idle<E, T> {
        Idle {
            home: Arc::clone(&self.home),
            ticket: Ticket::default(),
        }
    }
}

impl<E: Clone + Send, T: Clone + Send> Home<E, T> {
    fn shard(&self, key: &Key) -> &Shard<E, T> {
        // Keys are digests, so that any of their bytes spreads them evenly; the maps go by the first ones.
        &self.shards[usize::from(key[31]) % self.shards.len()]
    }

    /// Takes this flight's entry out of the map, unless another flight has its place.
    fn remove(&self, flight: &Flight<E, T>) {
        let Some(key) = flight.key() else { return };
        let mut shard = self.shard(key).lock();
        let removed = match shard.get(key) {
            Some(entry) if std::ptr::eq(&**entry, flight) => shard.remove(key),
            _ => None,
        };
        drop(shard);
        drop(removed);
    }

    /// Counts one publisher less.
    fn land(&self) {
        let mut wakes = Wakes::default();
        let mut gate = self.gate.lock();
        gate.active -= 1;
        if gate.active == 0 {
            gate.idle.drain_into(&mut wakes);
        }
        drop(gate);
        wakes.wake();
    }
}

/// Resolves when no publisher is at work; see [`Flights::idle`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Idle<E: Clone + Send, T: Clone + Send> {
    home: Arc<Home<E, T>>,
    ticket: Ticket,
}

impl<E: Clone + Send, T: Clone + Send> Future for Idle<E, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut gate = this.home.gate.lock();
        let (poll, stale) = if gate.active == 0 {
            (Poll::Ready(()), gate.idle.unpark(&mut this.ticket))
        } else {
            (Poll::Pending, gate.idle.park(&mut this.ticket, cx.waker()))
        };
        drop(gate);
        drop(stale);
        poll
    }
}

impl<E: Clone + Send, T: Clone + Send> Drop for Idle<E, T> {
    fn drop(&mut self) {
        if self.ticket.is_set() {
            let stale = self.home.gate.lock().idle.unpark(&mut self.ticket);
            drop(stale);
        }
    }
}
