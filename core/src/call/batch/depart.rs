//! A batch on its way to the vendor, from those who were collected for it to the vendor's id of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::Batches;
use super::drive::Wheel;
use super::host::{Host, Unmade};
use super::journal::Entry;
use super::passenger::{Passenger, Reply};
use super::state::{Batch, Going};
use crate::budget::wall_ms;
use crate::call::pipeline::Failure;
use crate::error::Error;

impl Batches {
    /// Sends those whose time has come.
    pub(super) async fn depart(self: Arc<Self>, host: Arc<Host>, going: Going) {
        let (mut passengers, mut requests) = (Vec::new(), Vec::new());
        for passenger in going {
            match passenger.body() {
                Some(body) => {
                    requests.push(body);
                    passengers.push(passenger);
                }
                None => passenger.tell(Reply::Taken),
            }
        }
        if passengers.is_empty() {
            return;
        }
        let sending = Sending::new(&self);
        let at = wall_ms(&*host.core.clock);
        let id = self.enter(&host, &passengers, at);
        let wheel = Wheel::of(&self, &id);
        let keys = passengers.iter().map(|one| Some(one.key().hex()));
        let begun = Entry::Begun {
            batch: Arc::clone(&id),
            at,
            keys: keys.collect(),
        };
        let sent = self.send(&host, &id, at, begun, passengers, requests).await;
        wheel.leave();
        drop(sending);
        if sent {
            tokio::spawn(self.drive(id, host, true));
        }
    }

    /// Whether the vendor has it; those who wait have been told where it has not.
    async fn send(
        self: &Arc<Self>,
        host: &Host,
        id: &Arc<str>,
        at: i64,
        begun: Entry,
        passengers: Vec<Arc<Passenger>>,
        requests: Vec<Bytes>,
    ) -> bool {
        if let Err(error) = self.note(begun, true).await {
            self.give_up(id, &error, true).await;
            return false;
        }
        let ask = match host.prepared(id, &requests).await {
            Ok(ask) => ask,
            Err(error) => {
                self.give_up(id, &error, true).await;
                return false;
            }
        };
        drop(requests);
        for passenger in &passengers {
            passenger.board();
        }
        let others = |vendor: &str| self.has(vendor);
        let made = host.make(id, passengers.len(), at, &ask, &others).await;
        match made {
            Ok(vendor) => self.sent(id, vendor).await,
            Err(Unmade::Surely(error)) => self.give_up(id, &error, true).await,
            Err(Unmade::Perhaps(error)) => self.give_up(id, &error, false).await,
        }
        self.has_batch(id)
    }

    fn has_batch(&self, id: &Arc<str>) -> bool {
        let state = self.state();
        let batch = state.batches.get(id);
        batch.is_some_and(|batch| batch.vendor.is_some())
    }

    fn enter(&self, host: &Host, passengers: &[Arc<Passenger>], at: i64) -> Arc<str> {
        let mut state = self.state();
        let id = loop {
            let id: Arc<str> = host.core.call_id().into();
            if !state.batches.contains_key(&id) {
                break id;
            }
        };
        let batch = Batch {
            at,
            keys: passengers.iter().map(|one| Some(one.key())).collect(),
            waiting: passengers.iter().cloned().enumerate().collect(),
            driven: true,
            ..Batch::default()
        };
        for passenger in passengers {
            passenger.driven_by(&batch.notify);
        }
        state.insert(Arc::clone(&id), batch);
        id
    }

    pub(super) fn has(&self, vendor: &str) -> bool {
        let state = self.state();
        let mut batches = state.batches.values();
        batches.any(|batch| batch.vendor.as_deref() == Some(vendor))
    }

    pub(super) async fn sent(self: &Arc<Self>, id: &Arc<str>, vendor: String) {
        if let Some(batch) = self.state().batches.get_mut(id) {
            for passenger in batch.waiting.values() {
                passenger.note("sent", Some(&vendor));
            }
            batch.vendor = Some(vendor.clone());
        }
        let batch = Arc::clone(id);
        // If it cannot be written down the next process finds it by looking.
        let _ = self.note(Entry::Sent { batch, vendor }, true).await;
    }

    /// Tells all who wait this error; a batch that is `over` is forgotten, another can be found again.
    pub(super) async fn give_up(self: &Arc<Self>, id: &Arc<str>, error: &Error, over: bool) {
        let waiting = {
            let mut state = self.state();
            if over {
                state.remove(id)
            } else if let Some(batch) = state.batches.get_mut(id) {
                batch.driven = false;
                batch.waiting.drain().collect()
            } else {
                Vec::new()
            }
        };
        if over {
            self.over(id).await;
        }
        for (_, passenger) in waiting {
            let error = error.clone();
            passenger.tell(Reply::Outcome(Err(Failure::from(error)), None));
        }
    }

    pub(super) async fn over(self: &Arc<Self>, id: &Arc<str>) {
        let batch = Arc::clone(id);
        let _ = self.note(Entry::Over { batch }, false).await;
    }
}

/// A batch that is being sent.
struct Sending<'a>(&'a Batches);

impl<'a> Sending<'a> {
    fn new(batches: &'a Batches) -> Self {
        batches.sending.fetch_add(1, Relaxed);
        Self(batches)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Relaxed);
        self.0.sent.notify_waiters();
    }
}
