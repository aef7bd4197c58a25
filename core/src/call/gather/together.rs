//! A gathered request: a flight of its own with the tries, the waits and the circuit of one, whose outcome is each caller's.
//!
//! Nobody leads it. A caller who leaves takes nothing from the others, and the last one's leaving ends it. What a caller
//! must not pay for others is its own here too: a budget that has nothing left takes its call out, and a request the
//! vendor will not take goes out once more, each call by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::queue::Load;
use super::share::divide;
use super::{Lane, lock};
use crate::call::attempt::Wire;
use crate::call::budget::Billable;
use crate::call::flight::LatestDeadline;
use crate::call::pace::Asked;
use crate::call::pipeline::{Failure, Flight, Success, Try, micros, millis};
use crate::call::progress::Progress;
use crate::call::validate;
use crate::error::{Error, ErrorKind, Result};
use crate::provider;
use crate::types::{
    CallOptions, Cost, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, TraceStep, Usage,
};

/// One call that waits for others, or goes with them.
pub(crate) struct Passenger {
    pub(crate) flight: Arc<Flight>,
    pub(crate) part: Arc<EmbeddingRequest>,
    pub(super) load: Load,
    /// Bytes of the request it would be alone.
    pub(crate) bytes: usize,
    pub(super) arrived: Duration,
    pub(super) deadlines: LatestDeadline<(), Arc<EmbeddingResponse>>,
    pub(super) reply: Mutex<Option<oneshot::Sender<Reply>>>,
}

/// What a passenger is told.
pub(super) enum Reply {
    /// Ask by yourself.
    Alone(Side),
    /// You have been asked for.
    Shared(Box<Result<EmbeddingResponse>>),
}

/// Why somebody who waited goes alone, and who waits for it.
pub(super) enum Side {
    /// Nobody else came.
    Single(#[allow(dead_code, reason = "held until the request is back")] Lane),
    /// The vendor would not take them together.
    Refused(Arc<Parting>),
    /// There is nobody to carry them.
    Stranded,
}

/// Calls that were refused together and go out one by one; others wait until all are back.
pub(super) struct Parting {
    lane: Lane,
    of: usize,
    taken: AtomicUsize,
}

impl Side {
    pub(super) fn why(&self) -> &'static str {
        match self {
            Self::Single(_) => "single",
            Self::Refused(_) => "refused",
            Self::Stranded => "stranded",
        }
    }

    /// Says how it went alone.
    pub(super) fn ended(&self, outcome: &Result<EmbeddingResponse>) {
        if let (Self::Refused(parting), Ok(_)) = (self, outcome) {
            parting.taken.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        // Each alone was right: it was their being together that the server did not take.
        if *self.taken.get_mut() == self.of {
            self.lane.group.part();
        }
    }
}

impl Passenger {
    fn is_gone(&self) -> bool {
        lock(&self.reply)
            .as_ref()
            .is_none_or(oneshot::Sender::is_closed)
    }

    /// Whether it was there to be told; false where its caller has left.
    fn tell(&self, reply: Reply) -> bool {
        let sender = lock(&self.reply).take();
        sender.is_some_and(|sender| sender.send(reply).is_ok())
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *lock(&self.reply) {
            None => Poll::Ready(()),
            Some(sender) => sender.poll_closed(cx),
        }
    }
}

/// Sends those who go together on their way.
pub(super) fn depart(mut passengers: Vec<Passenger>, lane: Lane) {
    passengers.retain(|passenger| !passenger.is_gone());
    for passenger in &passengers {
        let progress = &passenger.flight.progress;
        let waited = lane.began.saturating_sub(passenger.arrived);
        progress.queued(micros(waited));
        progress.trace.note(&*lane.group.clock, || {
            TraceStep::new("gather", "waited").wait_ms(millis(waited))
        });
    }
    if passengers.len() < 2 {
        if let Some(passenger) = passengers.pop() {
            passenger.tell(Reply::Alone(Side::Single(lane)));
        }
        return;
    }
    match Handle::try_current() {
        Ok(runtime) => {
            if let Some(together) = Together::new(passengers) {
                runtime.spawn(together.travel(lane));
            }
        }
        Err(_) => {
            for passenger in passengers {
                passenger.tell(Reply::Alone(Side::Stranded));
            }
        }
    }
}

/// Several calls as one request.
pub(crate) struct Together {
    pub(crate) passengers: Vec<Passenger>,
    carrier: Flight,
    /// Who has been let in to the coming try.
    boarded: Mutex<Option<Vec<usize>>>,
    /// What the try before ended in.
    last: Mutex<Option<Error>>,
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

/// A vendor may refuse these for what one caller asks, and our limits for how much all do: alone each has its own answer.
fn is_somebodys_own(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidRequest
            | ErrorKind::ContextLengthExceeded
            | ErrorKind::RequestTooLarge
            | ErrorKind::ContentFiltered
            | ErrorKind::ResponseTooLarge
            | ErrorKind::DecodeError
            | ErrorKind::UnexpectedContentType
    )
}

impl Together {
    fn new(passengers: Vec<Passenger>) -> Option<Self> {
        let first = &passengers.first()?.flight;
        let core = &first.core;
        let options = &first.options;
        let progress = Progress::default();
        if passengers
            .iter()
            .any(|passenger| passenger.flight.progress.trace.is_on())
        {
            progress.trace.turn_on();
        }
        let everybody = passengers.iter().map(|passenger| &*passenger.part);
        let together = Arc::new(CallOptions {
            attempt_timeout_ms: options.attempt_timeout_ms,
            first_byte_timeout_ms: options.first_byte_timeout_ms,
            stream_idle_timeout_ms: options.stream_idle_timeout_ms,
            max_attempts: options.max_attempts,
            priority: passengers
                .iter()
                .map(|passenger| passenger.flight.options.priority.unwrap_or(0))
                .max(),
            ..CallOptions::default()
        });
        let asked = Asked::Embedding(Arc::new(merged(everybody)?));
        let carrier = Flight {
            progress: Arc::new(progress),
            idempotency_key: core.call_id(),
            gate: first.gate,
            label: first.label.clone(),
            hurry: first.hurry,
            ..Flight::beside(core, &first.route, &together, core.call_id(), asked)
        };
        for passenger in &passengers {
            passenger.flight.progress.carried_by(&carrier.progress);
        }
        Some(Self {
            passengers,
            carrier,
            boarded: Mutex::default(),
            last: Mutex::default(),
        })
    }

    async fn travel(self, lane: Lane) {
        let outcome = {
            let mut tries = pin!(self.carrier.tries(|| self.latest_deadline(), &self));
            let mut at = 0;
            tokio::select! {
                // First, so that whoever is told by it counts as gone right after.
                biased;
                outcome = tries.as_mut() => outcome,
                () = std::future::poll_fn(|cx| self.poll_deserted(&mut at, cx)) => return,
            }
        };
        self.arrive(outcome, lane);
    }

    /// Tells everybody what came of it.
    fn arrive(self, outcome: Result<Vec<(usize, EmbeddingResponse)>>, lane: Lane) {
        for passenger in &self.passengers {
            passenger.flight.progress.put_down();
        }
        match outcome {
            Ok(answers) => {
                // Those who ask again as soon as they are told come together, not each just before this is over.
                drop(lane);
                let mut answers: BTreeMap<usize, EmbeddingResponse> = answers.into_iter().collect();
                // Who has left is written down before those who wait for that hear of the end.
                let (gone, here): (Vec<_>, Vec<_>) = self
                    .passengers
                    .into_iter()
                    .enumerate()
                    .partition(|(_, passenger)| passenger.is_gone());
                for (place, passenger) in gone.into_iter().chain(here) {
                    let Some(answer) = answers.remove(&place) else {
                        continue;
                    };
                    // Its inputs were sent, so it is paid for, whether or not it is there to be told.
                    let cost = answer.cost.clone();
                    passenger.flight.progress.paid(&answer.usage, &cost);
                    if !passenger.tell(Reply::Shared(Box::new(Ok(answer)))) {
                        passenger.flight.core.count_spent(&cost);
                    }
                }
            }
            Err(error) if is_somebodys_own(error.kind()) => {
                let here = self.passengers.iter().filter(|p| !p.is_gone());
                let parting = Arc::new(Parting {
                    lane,
                    of: here.count(),
                    taken: AtomicUsize::new(0),
                });
                for passenger in &self.passengers {
                    passenger.tell(Reply::Alone(Side::Refused(Arc::clone(&parting))));
                }
            }
            Err(error) => {
                drop(lane);
                for passenger in &self.passengers {
                    let attempts = passenger.flight.progress.attempts();
                    let error = error.clone().with(|fields| fields.attempts = attempts);
                    passenger.tell(Reply::Shared(Box::new(Err(error))));
                }
            }
        }
    }

    /// Resolves when the last of them has left.
    fn poll_deserted(&self, at: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(passenger) = self.passengers.get(*at) {
            if passenger.poll_gone(cx).is_pending() {
                return Poll::Pending;
            }
            *at += 1;
        }
        Poll::Ready(())
    }

    /// The latest moment any of them waits for; once nobody does, the latest anybody did.
    fn latest_deadline(&self) -> Option<Duration> {
        let latest = |passenger: &Passenger| {
            let latest = passenger.deadlines.latest()?;
            Some(latest.min(passenger.flight.progress.patience()))
        };
        let here = self
            .passengers
            .iter()
            .filter(|passenger| !passenger.is_gone());
        here.filter_map(latest)
            .max()
            .or_else(|| self.passengers.iter().filter_map(latest).max())
    }

    /// Who is there now.
    pub(crate) fn present(&self) -> Vec<usize> {
        (0..)
            .zip(&self.passengers)
            .filter(|(_, passenger)| !passenger.is_gone())
            .map(|(place, _)| place)
            .collect()
    }

    /// The coming try is for these.
    pub(crate) fn board(&self, places: Vec<usize>) {
        *lock(&self.boarded) = Some(places);
    }

    /// Takes one out whose own budget does not let it go, or go again.
    pub(crate) fn refuse(&self, passenger: &Passenger, refused: Error) {
        let last = lock(&self.last).clone();
        passenger.flight.progress.put_down();
        let error = match last {
            // The last real error says more.
            Some(last) => passenger.flight.dress(last, Some("budget")),
            None => passenger.flight.dress(refused, None),
        };
        passenger.tell(Reply::Shared(Box::new(Err(error))));
    }
}

impl Try for Together {
    /// The answers with the places of those they are for.
    type Value = Vec<(usize, EmbeddingResponse)>;

    fn billable(&self) -> Billable<'_> {
        Billable::Together(self)
    }

    fn part<'v>(&self, value: &'v Self::Value, place: usize) -> Option<(&'v Usage, &'v Cost)> {
        let (_, answer) = value.iter().find(|(at, _)| *at == place)?;
        Some((&answer.usage, &answer.cost))
    }

    async fn attempt(&self, flight: &Flight) -> Result<Success<Self::Value>, Failure> {
        let boarded = lock(&self.boarded).take();
        let places = boarded.unwrap_or_else(|| self.present());
        let aboard = || {
            places
                .iter()
                .filter_map(|place| self.passengers.get(*place))
        };
        let Some(request) = merged(aboard().map(|passenger| &*passenger.part)) else {
            return Err(deserted().into());
        };
        let (_, model) = validate::split_model(&request.model)?;
        let wire: Wire = provider::encode_embedding(&request, model)?.into();
        let outcome = flight.embed(&wire, request.input.len()).await;
        let success = outcome.inspect_err(|failure| {
            *lock(&self.last) = Some(failure.error.clone());
        })?;
        let cost = flight
            .core
            .price(&request.model, None, &flight.options, &success.value.usage);
        let loads: Vec<_> = aboard()
            .map(|passenger| (passenger.load.inputs, passenger.load.tokens as u64))
            .collect();
        let answers = divide(success.value, &cost, &loads);
        Ok(Success {
            value: places.iter().copied().zip(answers).collect(),
            status: success.status,
            upstream_request_id: success.upstream_request_id,
        })
    }
}

/// Nobody is left to ask for.
pub(crate) fn deserted() -> Error {
    Error::new(ErrorKind::Cancelled, "every caller has left")
}

/// The requests as one; they differ in their inputs only.
fn merged<'a>(
    parts: impl Iterator<Item = &'a EmbeddingRequest> + Clone,
) -> Option<EmbeddingRequest> {
    let first = parts.clone().next()?;
    let mut texts = Vec::new();
    let mut lists = Vec::new();
    for part in parts {
        match &part.input {
            EmbeddingInput::Text(text) => texts.push(text.clone()),
            EmbeddingInput::Texts(more) => texts.extend_from_slice(more),
            EmbeddingInput::Tokens(tokens) => lists.push(tokens.clone()),
            EmbeddingInput::TokenLists(more) => lists.extend_from_slice(more),
        }
    }
    Some(EmbeddingRequest {
        input: if lists.is_empty() {
            EmbeddingInput::Texts(texts)
        } else {
            EmbeddingInput::TokenLists(lists)
        },
        ..first.clone_without_input()
    })
}
