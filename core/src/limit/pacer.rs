//! The queue before one model of one account.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use super::bucket::{Bucket, Window};
use super::{Amounts, DIMENSIONS, Lane, NAMES};
use crate::retry::Clock;

/// How much earlier than it came a call of one step of priority counts as having come.
const PRIORITY_STEP_MICROS: i64 = 10_000_000;

/// A place in the queue: arrival moved by priority, then arrival.
type Rank = (i64, u64);

/// What a call wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// What it is expected to use.
    pub(crate) amounts: Amounts,
    /// -10 to 10: each step puts it as far ahead as if it had come 10 s earlier, so that none waits forever.
    pub(crate) priority: i32,
    /// How long it can wait.
    pub(crate) patience: Duration,
    /// Most calls that may wait at once.
    pub(crate) max_waiting: usize,
}

/// What had been admitted when a call was: its answer's figures include no more than that.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticket {
    number: u64,
    used: Amounts,
}

/// How a call was let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    pub(crate) ticket: Ticket,
    pub(crate) waited: Duration,
    /// What it waited for.
    pub(crate) why: Option<&'static str>,
}

/// Why a call does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It would have to wait this long, for this, and has not so much time.
    TooLong(Duration, &'static str),
    /// The queue is full; a place would take this long.
    Full(Duration),
}

/// The limits of one model under one credential, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Pacer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    buckets: [Option<Bucket>; DIMENSIONS],
    /// Nobody goes before this moment: the vendor said so.
    shut_until: Duration,
    /// The youngest call whose answer has been learned from.
    learned: u64,
    admitted: Ticket,
    waiting: BTreeMap<Rank, Waiter>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiter {
    amounts: Amounts,
    turn: Arc<Notify>,
}

impl State {
    /// How long until `amounts` are there once `queued` are gone, and what is the last to come.
    fn wait(
        &mut self,
        amounts: &Amounts,
        queued: &Amounts,
        now: Duration,
    ) -> (Duration, &'static str) {
        let mut longest = (self.shut_until.saturating_sub(now), "retry_after");
        let wanted = amounts.iter().zip(queued).zip(NAMES);
        for (bucket, ((amount, queued), name)) in self.buckets.iter_mut().zip(wanted) {
            let wait = bucket
                .as_mut()
                .map_or(Duration::ZERO, |bucket| bucket.wait(*amount, *queued, now));
            if wait > longest.0 {
                longest = (wait, name);
            }
        }
        longest
    }

    fn admit(&mut self, amounts: &Amounts) -> Ticket {
        for (bucket, amount) in self.buckets.iter_mut().zip(amounts) {
            if let Some(bucket) = bucket {
                bucket.take(*amount);
            }
        }
        self.admitted.number += 1;
        for (used, amount) in self.admitted.used.iter_mut().zip(amounts) {
            *used += amount;
        }
        self.admitted
    }

    fn wake_first(&self) {
        if let Some((_, first)) = self.waiting.first_key_value() {
            first.turn.notify_one();
        }
    }
}

impl Pacer {
    fn lock(&self) -> MutexGuard<'_, State> {
        super::lock(&self.0)
    }

    /// Lets the call in when its turn has come and there is enough for it. Dropping the future gives up the place.
    pub(crate) async fn admit(
        &self,
        ask: Ask,
        lane: &Lane,
        clock: &dyn Clock,
    ) -> Result<Admitted, Refused> {
        let arrived = lane.now();
        let place = {
            let mut state = self.lock();
            let state = &mut *state;
            let micros = i64::try_from(arrived.as_micros()).unwrap_or(i64::MAX);
            state.arrivals += 1;
            let rank = (
                micros.saturating_sub(i64::from(ask.priority) * PRIORITY_STEP_MICROS),
                state.arrivals,
            );
            let mut ahead = Amounts::default();
            for waiter in state.waiting.range(..rank).map(|(_, waiter)| waiter) {
                for (sum, amount) in ahead.iter_mut().zip(&waiter.amounts) {
                    *sum += amount;
                }
            }
            let is_first = state
                .waiting
                .first_key_value()
                .is_none_or(|(first, _)| rank < *first);
            let (wait, why) = state.wait(&ask.amounts, &ahead, arrived);
            if is_first && wait.is_zero() {
                return Ok(Admitted {
                    ticket: state.admit(&ask.amounts),
                    waited: Duration::ZERO,
                    why: None,
                });
            }
            if wait > ask.patience {
                return Err(Refused::TooLong(wait, why));
            }
            if state.waiting.len() >= ask.max_waiting {
                return Err(Refused::Full(wait.max(Duration::from_millis(1))));
            }
            let turn = Arc::new(Notify::new());
            state.waiting.insert(
                rank,
                Waiter {
                    amounts: ask.amounts,
                    turn: Arc::clone(&turn),
                },
            );
            Place {
                pacer: self,
                rank,
                turn,
                why,
            }
        };
        loop {
            let wait = {
                let mut state = self.lock();
                let is_first = state
                    .waiting
                    .first_key_value()
                    .is_some_and(|(first, _)| *first == place.rank);
                let now = lane.now();
                if is_first {
                    let (wait, _) = state.wait(&ask.amounts, &Amounts::default(), now);
                    if wait.is_zero() {
                        return Ok(Admitted {
                            ticket: state.admit(&ask.amounts),
                            waited: now.saturating_sub(arrived),
                            why: Some(place.why),
                        });
                    }
                    Some(wait)
                } else {
                    None
                }
            };
            // A new word of the vendor, or the one before leaving, ends the wait early.
            match wait {
                Some(wait) => tokio::select! {
                    () = clock.sleep(wait) => {}
                    () = place.turn.notified() => {}
                },
                None => place.turn.notified().await,
            }
        }
    }

    /// Takes over what an answer to the call with this ticket says.
    pub(crate) fn learn(
        &self,
        ticket: Ticket,
        windows: &[Option<Window>; DIMENSIONS],
        now: Duration,
    ) {
        let mut state = self.lock();
        if ticket.number < state.learned {
            return; // an older answer, overtaken
        }
        state.learned = ticket.number;
        let used = state.admitted.used;
        let since = used.iter().zip(ticket.used);
        for ((bucket, window), (used, then)) in state.buckets.iter_mut().zip(windows).zip(since) {
            if let Some(window) = window {
                *bucket = Some(Bucket::new(window, used - then, now));
            }
        }
        state.wake_first();
    }

    /// The vendor wants nobody before this time has passed.
    pub(crate) fn shut(&self, time: Duration, now: Duration) {
        let mut state = self.lock();
        state.shut_until = state.shut_until.max(now.saturating_add(time));
    }

    /// How long a call that comes now would wait at the end of the queue.
    pub(crate) fn would_wait(&self, amounts: &Amounts, now: Duration) -> Duration {
        let mut state = self.lock();
        let mut ahead = Amounts::default();
        for waiter in state.waiting.values() {
            for (sum, amount) in ahead.iter_mut().zip(&waiter.amounts) {
                *sum += amount;
            }
        }
        state.wait(amounts, &ahead, now).0
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }
}

/// A place in the queue, left when it is dropped.
struct Place<'a> {
    pacer: &'a Pacer,
    rank: Rank,
    turn: Arc<Notify>,
    why: &'static str,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pacer.lock();
        state.waiting.remove(&self.rank);
        state.wake_first();
    }
}
