//! Which requests wait to be sent and which are at a vendor: plain data, without time, tasks or requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use super::host::Host;
use super::journal::{AllKnown, Known};
use super::passenger::{Mood, Passenger, Reply};
use crate::call::key::Key;
use crate::error::{Error, ErrorKind, Result};

/// Most requests at vendors whose answers are still to be had.
const MOST: usize = 1_000_000;

/// What requests of one batch have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Alike {
    pub(super) tenant: Option<String>,
    pub(super) provider: String,
    pub(super) credential: [u8; 32],
    pub(super) base_url: String,
    pub(super) path: &'static str,
    pub(super) model: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
}

pub(super) type Going = Vec<Arc<Passenger>>;

/// Those who wait for a batch of their kind to be sent.
#[derive(Default)]
struct Collection {
    serial: u64,
    bytes: usize,
    passengers: Going,
}

/// A batch that was sent, or is being.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) at: i64,
    /// Of each request, until it has been answered.
    pub(super) keys: Vec<Option<Key>>,
    /// The vendor's id; absent while nobody knows whether it has the batch.
    pub(super) vendor: Option<String>,
    pub(super) waiting: HashMap<usize, Arc<Passenger>>,
    /// Which have been paid for by callers who were gone when they were answered.
    pub(super) paid: BTreeSet<usize>,
    /// Whether somebody looks after it.
    pub(super) driven: bool,
    /// Its requests are not to be found again: it was cancelled.
    pub(super) closed: bool,
    pub(super) notify: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct State {
    collecting: HashMap<Alike, Collection>,
    pub(super) batches: HashMap<Arc<str>, Batch>,
    /// Where a request is.
    index: HashMap<Key, Vec<(Arc<str>, usize)>>,
    serial: u64,
    open: usize,
}

impl State {
    /// What a journal had.
    pub(super) fn of(known: AllKnown) -> Self {
        let mut state = Self::default();
        for (id, known) in known {
            let batch = Batch {
                at: known.at,
                keys: known.keys,
                vendor: known.vendor,
                paid: known.paid,
                ..Batch::default()
            };
            state.insert(id, batch);
        }
        state
    }

    /// What a journal should have.
    pub(super) fn known(&self) -> AllKnown {
        let known = self.batches.iter().filter(|(_, batch)| !batch.closed);
        let known = known.map(|(id, batch)| {
            let known = Known {
                at: batch.at,
                keys: batch.keys.clone(),
                vendor: batch.vendor.clone(),
                paid: batch.paid.clone(),
            };
            (Arc::clone(id), known)
        });
        known.collect()
    }

    pub(super) fn lines(&self) -> usize {
        self.batches.len() * 3
    }

    pub(super) fn insert(&mut self, id: Arc<str>, batch: Batch) {
        for (number, key) in batch.keys.iter().enumerate() {
            if let Some(key) = key {
                let places = self.index.entry(*key).or_default();
                places.push((Arc::clone(&id), number));
                self.open += 1;
            }
        }
        self.batches.insert(id, batch);
    }

    /// Finds a batch that has the same request, whose answer nobody waits for, and puts the passenger there. The second part
    /// says whether somebody must look after it from now on.
    pub(super) fn claim(&mut self, passenger: &Arc<Passenger>) -> Option<(Arc<str>, bool)> {
        for (id, number) in self.index.get(&passenger.key())? {
            let Some(batch) = self.batches.get_mut(id).filter(|batch| !batch.closed) else {
                continue;
            };
            let taken = batch.waiting.get(number);
            if taken.is_some_and(|other| other.mood() == Mood::Here) {
                continue;
            }
            passenger.driven_by(&batch.notify);
            if let Some(other) = batch.waiting.insert(*number, Arc::clone(passenger)) {
                other.tell(Reply::Taken);
            }
            batch.notify.notify_one();
            let asleep = !std::mem::replace(&mut batch.driven, true);
            return Some((Arc::clone(id), asleep));
        }
        None
    }

    /// Puts a request to those that wait for the next batch. Gives the number of the collection it began, and collections that
    /// are full now.
    ///
    /// # Errors
    /// `request_too_large` for one that no batch takes, `overloaded` where too many are at vendors.
    pub(super) fn collect(
        &mut self,
        alike: Alike,
        passenger: &Arc<Passenger>,
        host: &Host,
    ) -> Result<(Option<u64>, Vec<Going>)> {
        let (requests, most_bytes) = host.limits();
        let bytes = passenger.bytes() + host.api.overhead();
        if bytes > most_bytes {
            let text = format!("the request is over the {most_bytes} bytes of a batch");
            return Err(Error::new(ErrorKind::RequestTooLarge, text));
        }
        if self.open >= MOST {
            let text = format!("{MOST} requests are at vendors already");
            return Err(Error::new(ErrorKind::Overloaded, text));
        }
        let mut going = Vec::new();
        let serial = &mut self.serial;
        let new = |serial: &mut u64| {
            *serial += 1;
            Collection {
                serial: *serial,
                ..Collection::default()
            }
        };
        let mut begun = false;
        let waiting = self.collecting.entry(alike.clone()).or_insert_with(|| {
            begun = true;
            new(serial)
        });
        if waiting.bytes + bytes > most_bytes {
            let full = std::mem::replace(waiting, new(serial));
            begun = true;
            going.push(full.passengers);
        }
        waiting.bytes += bytes;
        waiting.passengers.push(Arc::clone(passenger));
        let number = begun.then_some(waiting.serial);
        if waiting.passengers.len() >= requests {
            let full = self.collecting.remove(&alike);
            going.extend(full.map(|full| full.passengers));
            return Ok((None, going));
        }
        Ok((number, going))
    }

    /// Those whose wait is over, unless they have gone before.
    pub(super) fn due(&mut self, alike: &Alike, serial: u64) -> Option<Going> {
        let waiting = self.collecting.get(alike)?;
        if waiting.serial != serial {
            return None;
        }
        Some(self.collecting.remove(alike)?.passengers)
    }

    /// Takes out all of a client's.
    pub(super) fn take_out(&mut self, owner: usize) -> Going {
        let mut out = Vec::new();
        for waiting in self.collecting.values_mut() {
            out.extend(waiting.passengers.extract_if(.., |one| one.owner == owner));
        }
        for batch in self.batches.values_mut() {
            let before = out.len();
            let gone = batch.waiting.extract_if(|_, one| one.owner == owner);
            out.extend(gone.map(|(_, one)| one));
            if out.len() > before {
                batch.notify.notify_one();
            }
        }
        out
    }

    /// Forgets requests that have been answered; true where the whole batch is over with them.
    pub(super) fn answered(&mut self, id: &Arc<str>, requests: &[usize]) -> bool {
        let Some(batch) = self.batches.get_mut(id) else {
            return true;
        };
        let mut keys = Vec::new();
        for number in requests {
            keys.extend(batch.keys.get_mut(*number).and_then(Option::take));
        }
        let over = batch.keys.iter().all(Option::is_none);
        for key in keys {
            self.unindex(key, id, Some(requests));
        }
        if over {
            self.batches.remove(id);
        }
        over
    }

    /// Forgets a batch, giving those who wait for it.
    pub(super) fn remove(&mut self, id: &Arc<str>) -> Vec<(usize, Arc<Passenger>)> {
        let Some(batch) = self.batches.remove(id) else {
            return Vec::new();
        };
        for key in batch.keys.into_iter().flatten() {
            self.unindex(key, id, None);
        }
        batch.waiting.into_iter().collect()
    }

    fn unindex(&mut self, key: Key, id: &Arc<str>, requests: Option<&[usize]>) {
        let Some(places) = self.index.get_mut(&key) else {
            return;
        };
        let before = places.len();
        places
            .retain(|(of, number)| of != id || requests.is_some_and(|list| !list.contains(number)));
        self.open = self.open.saturating_sub(before - places.len());
        if places.is_empty() {
            self.index.remove(&key);
        }
    }
}
