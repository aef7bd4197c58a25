//! What a flight has done so far, for those who look at it from outside: its callers, its record, the answer's own account.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::elsewhere::Reached;
use super::pace::Pace;
use super::pipeline::nanos;
use super::recorded::Slot;
use super::semantic::Probe;
use super::shown::Shown;
use crate::error::Error;
use crate::observe::Recorder;
use crate::transport::http::Phase;
use crate::types::{Attempt, Completion};

/// A part of an answer that nobody got to the end of.
pub(super) type Seen = Mutex<Option<Box<Completion>>>;

/// What a flight has done so far; its callers read it when their own time runs out.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// What was decided on the way, if one of the callers asked for it.
    pub(crate) trace: Recorder,
    pub(crate) pace: Pace,
    /// Time spent waiting for a turn before tries, in microseconds.
    queued_us: AtomicU64,
    attempts: Mutex<Vec<Attempt>>,
    /// Copies of the request, beside the one that was answered, that may be billed.
    pub(super) losers: AtomicU32,
    /// What came of a stream whose try was dropped, where a budget has to know.
    pub(super) seen: Seen,
    /// How often `max_tokens` was lowered to what a budget had left.
    pub(super) clamps: AtomicU32,
    /// What an orchestrator has done with it.
    pub(super) reached: Reached,
    /// The latest moment anybody waits for, in nanoseconds of the client's clock; 0 while none is set.
    pub(super) deadline: AtomicU64,
    /// Until when an orchestrator shall go on with it although nobody waits so long yet; likewise.
    open_until: AtomicU64,
    /// What is known of its question, where there is a semantic cache.
    pub(super) probe: OnceLock<Option<Box<Probe>>>,
    /// What its callers were shown of another process's stream.
    pub(super) shown: OnceLock<Box<Mutex<Shown>>>,
    /// What is written down of it, and how many have joined it, where there is a ledger of usage.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
    pub(super) record: Slot,
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
    pub(super) joined: AtomicU32,
    /// The latest moment the callers of a client, who are one caller here, wait for; `u64::MAX` where nobody told.
    patience: Patience,
    /// The gathered request its work is part of, while it is.
    carrier: OnceLock<Box<Mutex<Option<Arc<Progress>>>>>,
}

/// See [`CallOptions::patience_ms`].
#[derive(Debug)]
struct Patience(AtomicU64);

impl Default for Patience {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Progress {
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = self
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(carrier) = self.carrier() {
            attempts.extend(carrier.attempts());
        }
        attempts
    }

    /// A look at what its callers were shown of another process's stream, if they were.
    pub(super) fn shown<T>(&self, look: impl FnOnce(&mut Shown) -> T) -> Option<T> {
        let shown = self.shown.get()?;
        Some(look(
            &mut shown.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// An error as its callers see it: where they were shown a part, as one with it.
    pub(super) fn after_showing(&self, error: Error) -> Error {
        match self.shown.get() {
            None => error,
            Some(shown) => {
                let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.broken(error)
            }
        }
    }

    /// From here on its work is part of a gathered request.
    pub(super) fn carried_by(&self, carrier: &Arc<Self>) {
        let slot = self.carrier.get_or_init(Box::default);
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(carrier));
    }

    fn carrier(&self) -> Option<Arc<Self>> {
        let slot = self.carrier.get()?;
        slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The gathered request is over, or goes on without it: what it did so far is its own.
    pub(super) fn put_down(&self) {
        let Some(carrier) = self.carrier() else {
            return;
        };
        if let Some(slot) = self.carrier.get() {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        if carrier.was_sent() {
            self.phase.sent();
        }
        self.queued(carrier.queued_us());
        self.trace.absorb(&carrier.trace);
        for attempt in carrier.attempts() {
            self.push(attempt);
        }
    }

    /// Whether anything may have reached a provider.
    pub(super) fn was_sent(&self) -> bool {
        self.phase.was_sent() || self.carrier().is_some_and(|carrier| carrier.was_sent())
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        Some(self.deadline.load(Relaxed))
            .filter(|nanos| *nanos > 0)
            .map(Duration::from_nanos)
    }

    /// The call may be shared: who joins it later may wait longer than those who wait now.
    pub(crate) fn keep_open(&self, until: Duration) {
        self.open_until.store(nanos(until), Relaxed);
    }

    /// The latest moment anybody waits for, or may come to wait for.
    pub(crate) fn open_until(&self) -> Option<Duration> {
        let open = Duration::from_nanos(self.open_until.load(Relaxed));
        self.deadline().map(|deadline| deadline.max(open))
    }

    /// A flight is begun for somebody who waits until then.
    pub(crate) fn be_patient(&self, until: Duration) {
        self.patience.0.store(nanos(until), Relaxed);
    }

    /// Somebody has joined who waits until then.
    pub(crate) fn be_more_patient(&self, until: Duration) {
        self.patience.0.fetch_max(nanos(until), Relaxed);
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_nanos(self.patience.0.load(Relaxed))
    }

    pub(crate) fn queued(&self, micros: u64) {
        self.queued_us.fetch_add(micros, Relaxed);
    }

    pub(crate) fn queued_us(&self) -> u64 {
        self.queued_us.load(Relaxed)
    }

    pub(super) fn push(&self, attempt: Attempt) {
        self.attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(attempt);
    }

    /// Where the time went when it ran out.
    pub(crate) fn timed_out(&self, scope: &str) -> Error {
        self.ran_out();
        let carrier = self.carrier();
        let phase = carrier.as_ref().map_or(&self.phase, |by| &by.phase);
        let mut error = Error::timeout(phase.name(), scope);
        error.fields_mut().attempts = self.attempts();
        if self.was_sent() {
            error.fields_mut().billed = crate::error::Billed::Maybe;
        }
        error
    }
}
