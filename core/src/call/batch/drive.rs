//! The life of a batch at its vendor: asked for until it is over, its results given to whom they belong.
//!
//! Nobody's leaving is another's: the vendor is asked as long as anybody's answer, or anybody's bill, is to come.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::host::{Host, Look};
use super::journal::Entry;
use super::passenger::{Mood, Reply};
use super::{Batches, lock};
use crate::call::pipeline::{Failure, Success};
use crate::error::{Error, ErrorKind, Result};
use crate::provider::batch::{BatchApi, BatchState, Rest, number_of};

/// How long a batch nobody waits for is left alone before it is cancelled: a connection that broke is back by then.
const LEFT_FOR: Duration = Duration::from_secs(60);

impl Batches {
    /// Looks after a batch until nobody waits for anything of it.
    pub(super) async fn drive(self: Arc<Self>, id: Arc<str>, host: Arc<Host>, fresh: bool) {
        let wheel = Wheel::of(&self, &id);
        self.follow(id, host, fresh).await;
        wheel.leave();
    }

    async fn follow(self: Arc<Self>, id: Arc<str>, host: Arc<Host>, fresh: bool) {
        let config = &host.core.config.batch;
        let clock = &host.core.clock;
        let most = Duration::from_millis(config.max_poll_ms);
        let mut wait = Duration::from_millis(config.poll_ms);
        let mut next = if fresh {
            clock.now().saturating_add(wait)
        } else {
            clock.now()
        };
        let mut nobody_since: Option<Duration> = None;
        // Batches of others that were taken for this one.
        let mut strangers: HashSet<String> = HashSet::new();
        loop {
            let Some((notify, vendor, wanted)) = self.look_after(&id) else {
                return;
            };
            let now = clock.now();
            nobody_since = if wanted {
                None
            } else {
                Some(nobody_since.unwrap_or(now))
            };
            let cancelled_at = nobody_since.map(|since| since.saturating_add(LEFT_FOR));
            if cancelled_at.is_some_and(|at| at <= now)
                && let Some(vendor) = &vendor
            {
                let _ = host.cancel(vendor).await;
                self.close(&id).await;
                nobody_since = None;
                // What was done before is still billed, and told when it is over.
                next = clock.now().saturating_add(wait);
                continue;
            }
            if now < next {
                let until = cancelled_at.map_or(next, |at| at.min(next));
                tokio::select! {
                    () = clock.sleep(until.saturating_sub(now)) => {}
                    () = notify.notified() => {}
                }
                continue;
            }
            let step = match vendor {
                None => self.find(&id, &host, &strangers).await,
                Some(vendor) => self.see(&id, &host, &vendor, &mut strangers).await,
            };
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Later) => {
                    next = clock.now().saturating_add(wait);
                    wait = (wait + wait / 2).min(most);
                }
                Ok(Step::Over) => return,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return self.give_up(&id, &error, true).await;
                }
                Err(error) if !error.is_retriable() => {
                    return self.give_up(&id, &error, false).await;
                }
                // It goes on there although it cannot be asked for now.
                Err(_) => next = clock.now().saturating_add(most),
            }
        }
    }

    /// What there is to be done for a batch; nothing where nobody waits.
    fn look_after(
        &self,
        id: &Arc<str>,
    ) -> Option<(Arc<tokio::sync::Notify>, Option<String>, bool)> {
        let mut state = self.state();
        let batch = state.batches.get_mut(id)?;
        if batch.waiting.is_empty() {
            batch.driven = false;
            return None;
        }
        // Requests of a process before this one may still be asked for.
        let left = |number: usize, key: &Option<_>| match batch.waiting.get(&number) {
            Some(passenger) => passenger.mood() == Mood::Left,
            None => key.is_none(),
        };
        let deserted = batch
            .keys
            .iter()
            .enumerate()
            .all(|(number, key)| left(number, key));
        let wanted = batch.closed || !deserted;
        Some((Arc::clone(&batch.notify), batch.vendor.clone(), wanted))
    }

    /// Nothing of a batch is to be found again.
    async fn close(self: &Arc<Self>, id: &Arc<str>) {
        if let Some(batch) = self.state().batches.get_mut(id) {
            batch.closed = true;
        }
        self.over(id).await;
    }

    /// A batch of which nobody knows whether it was made.
    async fn find(
        self: &Arc<Self>,
        id: &Arc<str>,
        host: &Host,
        strangers: &HashSet<String>,
    ) -> Result<Step> {
        let (count, at) = {
            let state = self.state();
            let Some(batch) = state.batches.get(id) else {
                return Ok(Step::Over);
            };
            (batch.keys.len(), batch.at)
        };
        let others = |vendor: &str| strangers.contains(vendor) || self.has(vendor);
        match host.look(id, count, at, &others).await? {
            Look::Found(vendor) => self.sent(id, vendor).await,
            // It is written down when it is known to be the one.
            Look::Perhaps(vendor) => {
                if let Some(batch) = self.state().batches.get_mut(id) {
                    batch.vendor = Some(vendor);
                }
            }
            Look::Nowhere => {
                let waiting = self.state().remove(id);
                self.over(id).await;
                for (_, passenger) in waiting {
                    passenger.tell(Reply::Again);
                }
                return Ok(Step::Over);
            }
        }
        Ok(Step::Again)
    }

    /// Asks how far a batch is, and gives its results where it is over.
    async fn see(
        self: &Arc<Self>,
        id: &Arc<str>,
        host: &Host,
        vendor: &str,
        strangers: &mut HashSet<String>,
    ) -> Result<Step> {
        let ended = match host.told(vendor).await?.state {
            BatchState::Running => return Ok(Step::Later),
            BatchState::Failed(refusals) => {
                self.refused(id, refusals).await;
                return Ok(Step::Over);
            }
            BatchState::Ended(ended) => ended,
        };
        let count = {
            let state = self.state();
            state.batches.get(id).map_or(0, |batch| batch.keys.len())
        };
        let seen: Mutex<HashSet<usize>> = Mutex::default();
        let told: Mutex<Vec<usize>> = Mutex::default();
        let kept: Mutex<Vec<usize>> = Mutex::default();
        let (hold, all_told) = mpsc::channel(1);
        let each = |line: &[u8]| {
            let Some(number) = number_of(id, line).filter(|number| *number < count) else {
                return;
            };
            if !lock(&seen).insert(number) {
                return;
            }
            let (passenger, paid) = {
                let mut state = self.state();
                let Some(batch) = state.batches.get_mut(id) else {
                    return;
                };
                (batch.waiting.remove(&number), batch.paid.contains(&number))
            };
            let Some(passenger) = passenger else {
                return;
            };
            let route = &host.route;
            let line = host.api.decode_line(route.api, route.usage_api, line);
            passenger.note("answered", Some(vendor));
            // Whoever comes again finds what was paid for when nobody was there.
            let comes_again = passenger.mood() == Mood::OutOfTime && line.outcome.is_ok();
            lock(if comes_again { &kept } else { &told }).push(number);
            passenger.tell(match line.outcome {
                Ok(value) => {
                    let success = Success {
                        value,
                        status: line.status,
                        upstream_request_id: line.request_id,
                    };
                    if paid {
                        Reply::Paid(success, hold.clone())
                    } else {
                        Reply::Outcome(Ok(success), Some(hold.clone()))
                    }
                }
                Err(error) => {
                    let error = error.with(|fields| {
                        fields.http_status = fields.http_status.or(line.status);
                        let id = &mut fields.upstream_request_id;
                        *id = id.take().or(line.request_id);
                    });
                    Reply::Outcome(Err(Failure::from(error)), Some(hold.clone()))
                }
            });
        };
        // Twice as many lines as requests, and some: what goes on and on is no result of ours.
        let most = count.saturating_mul(2).saturating_add(1_000);
        let mut outcome = Ok(());
        for results in &ended.results {
            outcome = host.results(results, most, &each).await;
            if outcome.is_err() {
                break;
            }
        }
        let (seen, mut told, kept) = (into(seen), into(told), into(kept));
        if outcome.is_ok()
            && seen.is_empty()
            && ended.rest == Rest::Missing
            && host.api == BatchApi::Anthropic
        {
            // None of them is ours: it was another one of the same size.
            strangers.insert(vendor.to_owned());
            if let Some(batch) = self.state().batches.get_mut(id) {
                batch.vendor = None;
            }
            return Ok(Step::Again);
        }
        let mut lost = Vec::new();
        if outcome.is_ok()
            && let Some(batch) = self.state().batches.get_mut(id)
        {
            // Whoever came while the results were read is not among the lost.
            lost.extend(batch.waiting.extract_if(|number, _| !seen.contains(number)));
        }
        for (number, passenger) in lost {
            told.push(number);
            let error = Failure::from(ended.rest.error());
            passenger.tell(Reply::Outcome(Err(error), Some(hold.clone())));
        }
        drop(hold);
        self.settled(id, told, kept, all_told).await;
        outcome.map(|()| Step::Again)
    }

    /// Notes whose answers have been given, and whose have been paid for and are still to be had. It is written down when the
    /// callers have them: a process that is killed before finds them again.
    async fn settled(
        self: &Arc<Self>,
        id: &Arc<str>,
        told: Vec<usize>,
        kept: Vec<usize>,
        mut all_told: mpsc::Receiver<Infallible>,
    ) {
        let over = {
            let mut state = self.state();
            if let Some(batch) = state.batches.get_mut(id) {
                batch.paid.extend(&kept);
            }
            !told.is_empty() && state.answered(id, &told)
        };
        let _ = all_told.recv().await;
        let batch = Arc::clone(id);
        let entries = [
            (!kept.is_empty()).then(|| Entry::Paid {
                batch: Arc::clone(id),
                requests: kept,
            }),
            match told.is_empty() {
                true => None,
                false if over => Some(Entry::Over { batch }),
                false => Some(Entry::Answered {
                    batch,
                    requests: told,
                }),
            },
        ];
        for entry in entries.into_iter().flatten() {
            let _ = self.note(entry, false).await;
        }
    }

    /// The vendor would not begin with a batch: those it names are told, the others go into another.
    async fn refused(self: &Arc<Self>, id: &Arc<str>, refusals: Vec<(Option<usize>, Error)>) {
        let waiting = self.state().remove(id);
        self.over(id).await;
        let named = refusals.iter().any(|(number, _)| number.is_some());
        for (number, passenger) in waiting {
            let own = refusals.iter().find(|(of, _)| *of == Some(number));
            let error = own.or_else(|| refusals.first().filter(|_| !named));
            passenger.tell(match error {
                Some((_, error)) => Reply::Outcome(Err(Failure::from(error.clone())), None),
                None => Reply::Again,
            });
        }
    }
}

/// What comes next.
enum Step {
    /// The next look, at once.
    Again,
    /// The next look, later.
    Later,
    Over,
}

fn into<T>(mutex: Mutex<T>) -> T {
    mutex
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whoever looks after a batch. Dropped before its end, with the runtime it was on, it leaves those who wait to themselves: one
/// of them takes over.
pub(super) struct Wheel(Option<(Arc<Batches>, Arc<str>)>);

impl Wheel {
    pub(super) fn of(batches: &Arc<Batches>, id: &Arc<str>) -> Self {
        Self(Some((Arc::clone(batches), Arc::clone(id))))
    }

    pub(super) fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Wheel {
    fn drop(&mut self) {
        let Some((batches, id)) = self.0.take() else {
            return;
        };
        let waiting: Vec<_> = {
            let mut state = batches.state();
            let Some(batch) = state.batches.get_mut(&id) else {
                return;
            };
            batch.driven = false;
            batch.waiting.drain().collect()
        };
        for (_, passenger) in waiting {
            passenger.tell(Reply::Again);
        }
    }
}
