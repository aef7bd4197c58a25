//! Calls that are not urgent, through the vendors' batch APIs at half the price.
//!
//! A call marked `batch` is put with others of its kind into the vendor's next batch and waits for the answer like any call;
//! keys, caches, shared calls, budgets and records are as ever. What goes on with a request does not hang on who asked: a
//! task of its own carries it from its hold to its record, so that what a vendor has begun with is settled by what it cost
//! though its caller has given up, and a caller who comes again finds it.

pub(crate) mod config;
mod depart;
mod drive;
mod exchange;
mod host;
mod journal;
mod passenger;
mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use self::host::Host;
use self::journal::{Entry, Journal};
use self::passenger::{Here, Mood, Passenger, Reply, Told};
use self::state::{Alike, State};
use super::attempt::{Outgoing, Whole};
use super::kept::Standing;
use super::key::Key;
use super::pipeline::{Failure, Flight, Success, Try};
use super::stream::EventLog;
use super::validate::split_model;
use crate::budget::wall_ms;
use crate::client::{Core, free};
use crate::error::{Billed, Error, ErrorKind, Result};
use crate::provider::batch::BatchApi;
use crate::types::{CacheStatus, Completion, Cost, CostStatus, NanoUsd, Usage};

/// How often a request goes into a batch before its caller is told that it cannot.
const MOST_TIMES: u32 = 3;

/// The batches of a journal, or of a client without one.
pub(crate) struct Batches {
    state: Mutex<State>,
    journal: Option<Mutex<Journal>>,
    /// Batches that are being sent at this moment, and who waits for there to be none.
    sending: AtomicUsize,
    sent: Notify,
}

/// Journals that are open in this process: all its clients that name one share what is in it.
static OPEN: Mutex<BTreeMap<PathBuf, Weak<Batches>>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    /// The batches, opened by the first call that wants them.
    async fn batches(self: &Arc<Self>) -> Result<Arc<Batches>> {
        if let Some(open) = &*lock(&self.batches) {
            return Ok(Arc::clone(open));
        }
        let core = Arc::clone(self);
        let open = tokio::task::spawn_blocking(move || {
            let mut slot = lock(&core.batches);
            if let Some(open) = &*slot {
                return Ok(Arc::clone(open));
            }
            let open = match &core.config.batch.journal {
                None => Arc::new(Batches::new(None, State::default())),
                Some(path) => Batches::open(path, wall_ms(&*core.clock))?,
            };
            core.check_open()?;
            Ok(Arc::clone(slot.insert(open)))
        });
        open.await.map_err(|_| vanished())?
    }

    /// Ends this client's waiting for batches, once those that are being sent have been: they go on at their vendors.
    pub(crate) async fn leave_batches(&self) {
        let Some(batches) = lock(&self.batches).take() else {
            return;
        };
        batches.leave(std::ptr::from_ref(self) as usize);
        loop {
            let mut sent = std::pin::pin!(batches.sent.notified());
            sent.as_mut().enable();
            if batches.sending.load(Relaxed) == 0 {
                return;
            }
            sent.await;
        }
    }
}

fn vanished() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the task of a batch ended without a result",
    )
}

fn left() -> Error {
    let text = "the client was closed; what the vendor has begun with goes on there, and the same call finds it later if there is a journal";
    Error::new(ErrorKind::ShuttingDown, text)
}

impl Batches {
    fn new(journal: Option<Mutex<Journal>>, state: State) -> Self {
        Self {
            state: Mutex::new(state),
            journal,
            sending: AtomicUsize::new(0),
            sent: Notify::new(),
        }
    }

    /// Blocks.
    fn open(path: &Path, now: i64) -> Result<Arc<Self>> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut open = lock(&OPEN);
        if let Some(batches) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(batches);
        }
        let mut opened = Journal::open(&path, now);
        // One that is being closed in this process still has it for a moment.
        for _ in 0..100 {
            if opened.is_ok() || !open.contains_key(&path) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            opened = Journal::open(&path, now);
        }
        let (journal, known) = opened?;
        let batches = Arc::new(Self::new(Some(Mutex::new(journal)), State::of(known)));
        open.retain(|_, batches| batches.strong_count() > 0);
        open.insert(path, Arc::downgrade(&batches));
        Ok(batches)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Writes a line into the journal, if there is one; `safely` when it must be on the disk before anything else happens.
    async fn note(self: &Arc<Self>, entry: Entry, safely: bool) -> Result<()> {
        if self.journal.is_none() {
            return Ok(());
        }
        let batches = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            let Some(journal) = &batches.journal else {
                return Ok(());
            };
            let mut journal = lock(journal);
            let written = journal.append(&entry, safely);
            let live = batches.state().lines();
            journal.tidy(|| batches.state().known(), live);
            written
        });
        written.await.map_err(|_| vanished())?
    }

    /// Takes a client's callers out.
    fn leave(&self, owner: usize) {
        for passenger in self.state().take_out(owner) {
            passenger.tell(Reply::Outcome(Err(Failure::from(left())), None));
        }
    }

    /// Puts a request where its answer comes from: a batch that has it already, or the next one of its kind.
    fn join(
        self: &Arc<Self>,
        host: &Arc<Host>,
        alike: Alike,
        passenger: &Arc<Passenger>,
    ) -> Result<()> {
        let mut state = self.state();
        if let Some((batch, asleep)) = state.claim(passenger) {
            drop(state);
            passenger.board();
            passenger.note("found", None);
            if asleep {
                tokio::spawn(Arc::clone(self).drive(batch, Arc::clone(host), false));
            }
            return Ok(());
        }
        let (begun, full) = state.collect(alike.clone(), passenger, host)?;
        drop(state);
        passenger.note("collected", None);
        for going in full {
            tokio::spawn(Arc::clone(self).depart(Arc::clone(host), going));
        }
        if let Some(serial) = begun {
            let host = Arc::clone(host);
            let window = Window {
                batches: Arc::clone(self),
                alike,
                serial,
            };
            tokio::spawn(async move {
                let wait = Duration::from_millis(host.core.config.batch.window_ms);
                host.core.clock.sleep(wait).await;
                if let Some(going) = window.due() {
                    Arc::clone(&window.batches).depart(host, going).await;
                }
            });
        }
        Ok(())
    }
}

/// A wait for a collection's time. Where it is dropped before, with the runtime it was on, those who wait go elsewhere.
struct Window {
    batches: Arc<Batches>,
    alike: Alike,
    serial: u64,
}

impl Window {
    fn due(&self) -> Option<state::Going> {
        self.batches.state().due(&self.alike, self.serial)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        for passenger in self.due().into_iter().flatten() {
            passenger.tell(Reply::Again);
        }
    }
}

impl Flight {
    /// The answer of the vendor's next batch that the call goes into, or of the one it is in already.
    pub(super) async fn batched(
        &self,
        call: Outgoing,
        log: &EventLog,
        store: Option<Key>,
        standing: Standing,
    ) -> Result<Arc<Completion>> {
        let flight = Arc::new(Self {
            progress: Arc::clone(&self.progress),
            label: self.label.clone(),
            ..Self::beside(
                &self.core,
                &self.route,
                &self.options,
                self.request_id.clone(),
                self.asked.clone(),
            )
        });
        let (passenger, reply) = Passenger::new(&flight);
        let passenger = Arc::new(passenger);
        let (tell, told) = oneshot::channel();
        let ride = Ride {
            flight,
            call,
            passenger: Arc::clone(&passenger),
            store,
            standing,
            told: Mutex::default(),
        };
        tokio::spawn(async move {
            let outcome = ride.whole(reply).await;
            if let Err(Ok(answer)) = tell.send(outcome) {
                // Nobody is there any more, and it is paid for.
                ride.flight.progress.paid(&answer.usage, &answer.cost);
            }
        });
        let _here = Here::new(passenger, log.deadlines(), &self.core.clock);
        told.await.map_err(|_| vanished())?
    }

    /// Which batch its request may go into.
    fn batch_alike(&self, path: &'static str, api: BatchApi) -> Alike {
        let of_one_model = api.is_of_one_model();
        Alike {
            tenant: self.core.config.tenant.clone(),
            provider: self.route.name.clone(),
            credential: self.route.credential,
            base_url: self.route.base_url.clone(),
            path,
            model: self
                .asked
                .model()
                .filter(|_| of_one_model)
                .map(str::to_owned),
            headers: self.options.headers.clone(),
        }
    }
}

/// A request on its way through a batch, whoever still waits for it.
struct Ride {
    flight: Arc<Flight>,
    call: Outgoing,
    passenger: Arc<Passenger>,
    store: Option<Key>,
    standing: Standing,
    /// Says when it is dropped that the caller has its answer.
    told: Mutex<Option<Told>>,
}

impl Ride {
    /// From the hold to the kept answer.
    async fn whole(&self, reply: oneshot::Receiver<Reply>) -> Result<Arc<Completion>> {
        let flight = &self.flight;
        let whole = Whole(&self.call);
        let hold = match flight.budgets() {
            None => None,
            Some(budgets) => {
                let hold = flight.hold(budgets, whole.billable()).await;
                hold.map_err(|refused| flight.dress(refused, None))?
            }
        };
        let (outcome, paid) = match self.ride(reply).await {
            Ok((success, paid)) => (Ok(success), paid),
            Err(failure) => (Err(failure), false),
        };
        if let Some(hold) = hold {
            // What was paid for before is not paid for again.
            let nothing = paid.then(|| Err(gone()));
            hold.settle(&whole, nothing.as_ref().unwrap_or(&outcome));
        }
        let started = self.passenger.boarded();
        if let Some(started) = started {
            let attempt = flight.record(started, Duration::ZERO, &outcome);
            flight.progress.push(attempt);
        }
        let mut completion = match outcome {
            Ok(success) => success.value,
            Err(failure) => return Err(flight.dress(failure.error, None)),
        };
        flight.account(&self.call, &mut completion);
        completion.cache.lookup_cost = flight.lookup_cost();
        let completion = Arc::new(completion);
        let standing = (self.standing, None);
        flight.keep(self.store, &completion, None, false, standing);
        if !paid {
            flight.core.count_spent(&completion.cost);
            return Ok(completion);
        }
        let mut hit = Completion::clone(&completion);
        hit.cost = free(&completion.cost);
        hit.cache.status = CacheStatus::Hit;
        hit.cache.saved = completion.cost.total;
        Ok(Arc::new(hit))
    }

    /// The answer, and whether it was paid for before.
    async fn ride(
        &self,
        mut reply: oneshot::Receiver<Reply>,
    ) -> Result<(Success<Completion>, bool), Failure> {
        let flight = &self.flight;
        let (Some(request), batches) = (flight.completion(), flight.core.batches().await?) else {
            return Err(vanished().into());
        };
        let (_, model) = split_model(&request.model)?;
        let key = flight.core.key(&flight.route, model, request);
        let host = Arc::new(Host::new(flight, self.call.wire.path));
        let alike = flight.batch_alike(self.call.wire.path, host.api);
        for _ in 0..MOST_TIMES {
            self.passenger.seat(key, self.call.wire.body.clone());
            if self.passenger.mood() != Mood::Here {
                return Err(gone());
            }
            batches.join(&host, alike.clone(), &self.passenger)?;
            match reply.await {
                Ok(Reply::Outcome(outcome, told)) => {
                    *lock(&self.told) = told;
                    return outcome.map(|success| (success, false));
                }
                Ok(Reply::Paid(success, told)) => {
                    *lock(&self.told) = Some(told);
                    return Ok((success, true));
                }
                Ok(Reply::Taken) => {
                    // Whoever has it now pays for it.
                    let nothing = Cost {
                        status: CostStatus::Exact,
                        total: Some(NanoUsd::ZERO),
                        ..Cost::default()
                    };
                    flight.progress.paid(&Usage::default(), &nothing);
                    return Err(gone());
                }
                Err(_) => return Err(gone()),
                Ok(Reply::Again) => reply = self.passenger.again(),
            }
        }
        let text =
            format!("the request was in {MOST_TIMES} batches that the vendor did not begin with");
        Err(Error::new(ErrorKind::UpstreamError, text).into())
    }
}

/// Nobody waits for the request any more, and nothing of it is to be paid for.
fn gone() -> Failure {
    let error = Error::new(ErrorKind::Cancelled, "every caller has left");
    Failure::from(error.with(|fields| fields.billed = Billed::No))
}

impl Flight {
    fn completion(&self) -> Option<&Arc<crate::types::CompletionRequest>> {
        match &self.asked {
            super::pace::Asked::Completion(request) => Some(request),
            _ => None,
        }
    }
}
