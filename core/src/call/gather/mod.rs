//! Gathering: embeddings asked for while a request to the same place is under way wait for it and go as one.
//!
//! What goes together is alike in all that a request is made of: tenant, credential, address, model, fields and the limits
//! of a try. Nothing above notices: keys, caches and shared calls are each call's own, and so are its deadline, its
//! budgets, its record and its place in the answer. A client whose calls come one after the other never waits, since each
//! finds nothing under way.

pub(crate) mod config;
mod queue;
mod share;
mod together;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

pub(crate) use self::together::{Together, deserted};

use self::config::Gather;
use self::queue::{Arrival, Comer, Load, Queue, Rank};
use self::together::{Passenger, Reply, depart};
use super::embed::EmbeddingLog;
use super::key::{self, Key};
use super::pipeline::Flight;
use crate::error::{Error, ErrorKind, Result};
use crate::provider;
use crate::retry::Clock;
use crate::tokens;
use crate::types::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse, TraceStep};

/// Most places calls are gathered for at once; calls to further ones go by themselves.
const MOST_GROUPS: usize = 1_024;
/// How long nothing is gathered for a server that refused several inputs together and took each of them.
const APART_FOR: Duration = Duration::from_secs(300);

/// What calls that go together have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Alike {
    /// Everything but the inputs.
    key: Key,
    /// Whether the inputs are tokens: they cannot go with texts.
    tokens: bool,
    /// Of a try, of its first byte, of a silence.
    limits: [Option<u64>; 3],
    max_attempts: Option<u32>,
    hurry: bool,
    label: Option<String>,
}

/// The calls of a client that wait for others.
pub(crate) struct Gatherer {
    config: Gather,
    groups: Mutex<HashMap<Alike, Arc<Group>>>,
}

/// Those who wait for one place.
struct Group {
    queue: Mutex<Queue<Passenger>>,
    clock: Arc<dyn Clock>,
}

/// A request under way, for which others wait; when it is dropped they go.
struct Lane {
    group: Arc<Group>,
    began: Duration,
}

/// One's place among those who wait, left when it is dropped.
struct Seat {
    group: Arc<Group>,
    rank: Rank,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gatherer {
    /// `None` where nothing is gathered, which then costs a look at this.
    pub(crate) fn new(config: &Gather) -> Option<Self> {
        config.enabled.then(|| Self {
            config: config.clone(),
            groups: Mutex::default(),
        })
    }

    fn group(&self, alike: Alike, limit: Load, clock: &Arc<dyn Clock>) -> Option<Arc<Group>> {
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.get(&alike) {
            return Some(Arc::clone(group));
        }
        if groups.len() >= MOST_GROUPS {
            groups.retain(|_, group| Arc::strong_count(group) > 1 || !lock(&group.queue).is_idle());
        }
        if groups.len() >= MOST_GROUPS {
            return None;
        }
        let wait = Duration::from_millis(self.config.max_wait_ms);
        let group = Arc::new(Group {
            queue: Mutex::new(Queue::new(limit, wait)),
            clock: Arc::clone(clock),
        });
        groups.insert(alike, Arc::clone(&group));
        Some(group)
    }

    /// What one request may hold, where the vendor takes so much.
    fn limit(&self, vendor: Load) -> Load {
        let least = |vendor: usize, configured: Option<u64>| {
            configured.map_or(vendor, |n| {
                vendor.min(usize::try_from(n).unwrap_or(usize::MAX))
            })
        };
        Load {
            inputs: least(vendor.inputs, self.config.max_inputs),
            tokens: least(vendor.tokens, self.config.max_tokens),
        }
    }
}

impl Group {
    fn send(self: &Arc<Self>, going: Vec<Vec<Passenger>>) {
        for passengers in going {
            let lane = Lane {
                group: Arc::clone(self),
                began: self.clock.now(),
            };
            depart(passengers, lane);
        }
    }

    /// The server does not take several inputs: for a while everybody goes alone.
    fn part(&self) {
        let until = self.clock.now().saturating_add(APART_FOR);
        lock(&self.queue).part(until);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let took = self.group.clock.now().saturating_sub(self.began);
        let going = lock(&self.group.queue).returned(took);
        self.group.send(going);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Dropped when the lock is gone.
        let _passenger = lock(&self.group.queue).leave(self.rank);
    }
}

impl Flight {
    /// Asks with others who ask the same place now; alone where there are none, or where the call is one of its kind.
    pub(super) async fn embed_gathered(
        self: &Arc<Self>,
        part: EmbeddingRequest,
        log: &EmbeddingLog,
    ) -> Result<EmbeddingResponse> {
        let Some(group) = self.group(&part) else {
            return self.embed_part(&part, log).await;
        };
        let core = &self.core;
        let (_, model) = super::validate::split_model(&part.model)?;
        // What cannot be written must not stand in others' way.
        let bytes = provider::encode_embedding(&part, model)?.body.len();
        let load = Load {
            inputs: part.input.len(),
            tokens: self.counted(&part),
        };
        let part = Arc::new(part);
        let now = core.clock.now();
        let latest = log.latest_deadline().unwrap_or(Duration::MAX);
        let latest = latest.min(self.progress.patience());
        let comer = Comer {
            load,
            priority: self.options.priority.unwrap_or(0),
            now,
            left: latest.saturating_sub(now),
        };
        let (reply, answer) = oneshot::channel();
        let passenger = || Passenger {
            flight: Arc::clone(self),
            part: Arc::clone(&part),
            load,
            bytes,
            arrived: now,
            deadlines: log.deadlines(),
            reply: Mutex::new(Some(reply)),
        };
        let (arrival, going) = lock(&group.queue).arrive(comer, passenger);
        let (rank, window) = match arrival {
            Arrival::Goes => {
                let _lane = Lane { group, began: now };
                self.note_gather("alone", "idle");
                return self.embed_part(&part, log).await;
            }
            Arrival::Apart => {
                self.note_gather("alone", "apart");
                return self.embed_part(&part, log).await;
            }
            Arrival::Waits(rank, window) => (rank, window),
        };
        let seat = Seat { group, rank };
        seat.group.send(going);
        match self.wait(&seat, window, answer).await? {
            Reply::Alone(side) => {
                self.note_gather("alone", side.why());
                let outcome = self.embed_part(&part, log).await;
                side.ended(&outcome);
                outcome
            }
            Reply::Shared(outcome) => *outcome,
        }
    }

    async fn wait(
        &self,
        seat: &Seat,
        window: Duration,
        answer: oneshot::Receiver<Reply>,
    ) -> Result<Reply> {
        let mut answer = pin!(answer);
        let reply = tokio::select! {
            biased;
            reply = answer.as_mut() => reply,
            () = self.core.clock.sleep(window) => {
                let going = {
                    let mut queue = lock(&seat.group.queue);
                    if queue.is_waiting(seat.rank) { queue.depart() } else { Vec::new() }
                };
                seat.group.send(going);
                answer.await
            }
        };
        reply.map_err(|_| Error::new(ErrorKind::Internal, "a gathered request broke"))
    }

    fn note_gather(&self, outcome: &'static str, why: &'static str) {
        self.progress.trace.note(&*self.core.clock, || {
            TraceStep::new("gather", outcome).why(why)
        });
    }

    /// Whom the call may go with; `None` where it goes alone: it brings along what is meant for itself only.
    fn group(&self, part: &EmbeddingRequest) -> Option<Arc<Group>> {
        let core = &self.core;
        let gatherer = core.gatherer.as_ref()?;
        let options = &self.options;
        let key = options.idempotency_key.as_deref();
        let own = key.is_some_and(|key| !is_of_a_server(key))
            || options.prices.is_some()
            || !options.headers.is_empty()
            || (options.traceparent.is_some() && self.route.is_users);
        if own {
            return None;
        }
        let (_, model) = part.model.split_once('/').unwrap_or_default();
        let place = core.place(&self.route, &self.route.endpoint, model);
        let alike = Alike {
            key: key::embedding_key(&place, &part.clone_without_input()),
            tokens: matches!(
                part.input,
                EmbeddingInput::Tokens(_) | EmbeddingInput::TokenLists(_)
            ),
            limits: [
                options.attempt_timeout_ms,
                options.first_byte_timeout_ms,
                options.stream_idle_timeout_ms,
            ],
            max_attempts: options.max_attempts,
            hurry: self.hurry,
            label: self.label.clone(),
        };
        let (inputs, tokens) = self.vendor_limit();
        let limit = gatherer.limit(Load { inputs, tokens });
        gatherer.group(alike, limit, &core.clock)
    }

    /// How many tokens go in, as its model counts them where that is published.
    fn counted(&self, part: &EmbeddingRequest) -> usize {
        let encoding =
            tokens::encoding_for_model(&part.model).unwrap_or_else(|| self.core.tokens());
        match &part.input {
            EmbeddingInput::Text(text) => encoding.count(text),
            EmbeddingInput::Texts(texts) => texts.iter().map(|text| encoding.count(text)).sum(),
            EmbeddingInput::Tokens(tokens) => tokens.len(),
            EmbeddingInput::TokenLists(lists) => lists.iter().map(Vec::len).sum(),
        }
    }
}

/// Whether a server made this idempotency key of its caller's: every call that comes to one has a key, and what comes
/// again under it the server answers itself. A program's own key is meant for the provider.
fn is_of_a_server(key: &str) -> bool {
    key.strip_prefix("ossai-").is_some_and(|digest| {
        digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
