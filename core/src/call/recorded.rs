//! The stage that records a flight in the client's own ledger: once, however it ends, with all who shared it. Whoever keeps
//! a record of calls instead is told of what flights cost that none of their callers was told: the one to be told had left.
//!
//! The record lies with what the flight's callers share, and is handed over when the last of them lets go: then nobody can
//! join any more, and everybody who did has been counted. Calls over an orchestrator are recorded there, those past it here.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::fly::BATCH;
use super::pace::Asked;
use super::pipeline::{Flight, micros};
use super::progress::Progress;
use crate::budget::wall_ms;
use crate::client::Core;
use crate::client::config::UsageConfig;
use crate::client::route::Route;
use crate::error::{Billed, Error, ErrorKind, Result};
use crate::ledger::{Recorder, Untold, UsageRow};
use crate::retry::Clock;
use crate::types::{
    Attempt, CacheOutcome, CacheStatus, CallOptions, Completion, CompletionRequest, Cost,
    EmbeddingRequest, EmbeddingResponse, NanoUsd, Usage,
};

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Recorded<'a> {
    Completion(&'a CompletionRequest),
    Embedding(&'a EmbeddingRequest),
}

/// Where the records of flights go.
#[derive(Clone)]
pub(crate) enum Records {
    /// All of them, to the client's ledger.
    Ledger(Arc<Recorder>),
    /// Those with a cost that none of its callers was told.
    Untold(Untold),
}

impl Records {
    /// The way into the ledger a configuration names, if it names one. Nothing is opened before the first record.
    ///
    /// # Errors
    /// None; a build without SQLite refuses one that is named.
    pub(crate) fn of(config: &UsageConfig) -> Result<Option<Self>> {
        let open = |path: &PathBuf| Arc::new(Recorder::new(path.clone(), config.retention_days));
        Ok(config.ledger.as_ref().map(open).map(Self::Ledger))
    }

    /// How many could not be kept.
    pub(crate) fn lost(&self) -> u64 {
        match self {
            Self::Ledger(recorder) => recorder.lost(),
            Self::Untold(_) => 0,
        }
    }

    /// Waits until all are kept.
    pub(crate) async fn flush(&self) {
        if let Self::Ledger(recorder) = self {
            recorder.flush().await;
        }
    }
}

/// A record under way.
pub(super) struct Record {
    records: Records,
    clock: Arc<dyn Clock>,
    began: Duration,
    state: Mutex<State>,
}

struct State {
    row: UsageRow,
    /// The flight said how it ended; until then its callers have.
    ended: bool,
    /// What it used and cost is known although its callers left before.
    paid: bool,
    /// The caller that is told what it cost has been told.
    told: bool,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").finish_non_exhaustive()
    }
}

/// Where a flight's record lies; empty for nearly everybody.
pub(super) type Slot = OnceLock<Box<Record>>;

impl Core {
    /// The beginning of a record.
    fn row(&self, what: Recorded<'_>, options: &CallOptions, request_id: &str) -> UsageRow {
        let (operation, model, user) = match what {
            Recorded::Completion(request) => ("chat", &request.model, &request.user),
            Recorded::Embedding(request) => ("embeddings", &request.model, &request.user),
        };
        let mut row = UsageRow {
            request_id: request_id.to_owned(),
            tenant: self
                .config
                .tenant
                .clone()
                .unwrap_or_else(|| "default".into()),
            key_id: options.key_id.as_deref().map(str::to_owned),
            operation: operation.into(),
            provider: model.split('/').next().unwrap_or_default().to_owned(),
            model: model.clone(),
            user: user.clone(),
            outcome: "cancelled".into(),
            cache: "bypass".into(),
            tags: options.tags.clone(),
            ..UsageRow::default()
        };
        if let Recorded::Completion(request) = what {
            // What decides the price beside the usage, where the vendor does not say what it did.
            let context = self.price_context(Some(request));
            let text = |text: Option<&str>| text.map(str::to_owned);
            row.usage.service_tier = text(context.service_tier);
            row.usage.speed = text(context.speed);
            row.usage.region = text(context.region);
            if options.is_batch() {
                row.usage.service_tier = text(Some(BATCH));
            }
        }
        row
    }

    /// Begins the record of a flight.
    pub(crate) fn record_flight(
        &self,
        progress: &Progress,
        route: &Route,
        what: Recorded<'_>,
        options: &CallOptions,
        request_id: &str,
        reads_cache: bool,
    ) {
        let Some(records) = self.records.as_ref().filter(|_| !route.is_orchestrator) else {
            return;
        };
        let mut row = self.row(what, options, request_id);
        if reads_cache {
            row.cache = "miss".into();
        }
        let _ = progress.record.set(Box::new(Record {
            records: records.clone(),
            clock: Arc::clone(&self.clock),
            began: self.clock.now(),
            state: Mutex::new(State {
                row,
                ended: false,
                paid: false,
                told: false,
            }),
        }));
    }

    /// Counts a caller who shares a flight that may be recorded.
    pub(crate) fn record_joined(&self, progress: &Progress) {
        if self.records.is_some() {
            progress.joined.fetch_add(1, Relaxed);
        }
    }

    /// Records a call that the memory answered.
    pub(crate) fn record_hit(
        &self,
        route: &Route,
        what: Recorded<'_>,
        options: &CallOptions,
        request_id: &str,
        (cost, cache): (&Cost, &CacheOutcome),
        latency_us: u64,
    ) {
        let Some(Records::Ledger(recorder)) =
            self.records.as_ref().filter(|_| !route.is_orchestrator)
        else {
            return;
        };
        let mut row = self.row(what, options, request_id);
        row.time = wall_ms(&*self.clock);
        row.answered(&Usage::default(), cost, cache, &[]);
        row.latency_us = latency_us;
        recorder.record(row);
    }
}

impl Flight {
    /// Begins the record of a flight that goes past its orchestrator, which knows nothing of it.
    pub(super) fn record_direct(&self) {
        let what = match &self.asked {
            Asked::Completion(request) => Recorded::Completion(request),
            Asked::Embedding(request) => Recorded::Embedding(request),
            Asked::Nothing => return,
        };
        let reads = !self.options.cache.no_cache;
        let (options, id) = (&self.options, &self.request_id);
        self.core
            .record_flight(&self.progress, &self.route, what, options, id, reads);
    }
}

impl Progress {
    /// Notes how the flight ended, where it is recorded.
    pub(crate) fn completed(&self, outcome: &Result<Arc<Completion>>) {
        let Some(record) = self.record.get() else {
            return;
        };
        record.end(outcome.as_ref().map(|answer| {
            let first = answer.timing.first_token_us;
            let parts = (&answer.usage, &answer.cost, &answer.cache);
            (&answer.model, parts, &*answer.attempts, first)
        }));
    }

    /// The same of an embedding.
    pub(crate) fn embedded(&self, outcome: &Result<Arc<EmbeddingResponse>>) {
        let Some(record) = self.record.get() else {
            return;
        };
        record.end(outcome.as_ref().map(|answer| {
            let parts = (&answer.usage, &answer.cost, &answer.cache);
            (&answer.model, parts, &*answer.attempts, None)
        }));
    }

    /// Notes what a call used and cost whose callers may not wait for the end of it: others do.
    pub(super) fn paid(&self, usage: &Usage, cost: &Cost) {
        if let Some(record) = self.record.get() {
            let mut state = record.state.lock().unwrap_or_else(PoisonError::into_inner);
            let row = &mut state.row;
            row.usage = usage.clone();
            row.cost = cost.total;
            row.price_version.clone_from(&cost.price_version);
            state.paid = true;
        }
    }

    /// Notes that the outcome has reached the caller that is told what it cost.
    pub(crate) fn told(&self) {
        if let Some(record) = self.record.get() {
            let mut state = record.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.told = true;
        }
    }

    /// Notes that a caller's time ran out: with it the flight ends, unless another one waits longer.
    pub(super) fn ran_out(&self) {
        if let Some(record) = self.record.get() {
            let mut state = record.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.ended {
                state.row.outcome = ErrorKind::Timeout.name().to_owned();
            }
        }
    }

    /// Hands the record over.
    fn hand_over(&mut self, record: Box<Record>) {
        let joined = *self.joined.get_mut();
        let Record {
            records,
            clock,
            began,
            state,
        } = *record;
        let State {
            mut row,
            ended,
            paid,
            told,
        } = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !ended {
            row.attempts = u32::try_from(self.attempts().len()).unwrap_or(u32::MAX);
            if !paid {
                // What was sent may be billed though nobody says how much: unknown, not nothing.
                row.cost = (!self.was_sent()).then_some(NanoUsd::ZERO);
            }
        }
        row.calls = joined.saturating_add(1);
        row.joined = joined;
        let times = |amount: Option<NanoUsd>, calls: u32| {
            amount.map(|amount| NanoUsd(amount.0.saturating_mul(u64::from(calls))))
        };
        row.saved = match row.cache.as_str() {
            // Everybody on the flight was spared the same.
            "hit" => times(row.saved, row.calls),
            _ if joined > 0 && row.outcome == "ok" => times(row.cost, joined),
            _ => row.saved,
        };
        row.time = wall_ms(&*clock);
        row.latency_us = micros(clock.now().saturating_sub(began));
        match records {
            Records::Ledger(recorder) => recorder.record(row),
            Records::Untold(_) if told || row.cost.is_none_or(|cost| cost.0 == 0) => {}
            Records::Untold(tell) => {
                // Its calls have rows of their own, and so what they were spared.
                (row.calls, row.joined, row.saved) = (0, 0, None);
                tell(row);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.hand_over(record);
        }
    }
}

type Answer<'a> = (
    &'a String,
    (&'a Usage, &'a Cost, &'a CacheOutcome),
    &'a [Attempt],
    Option<u64>,
);

impl Record {
    fn end(&self, outcome: Result<Answer<'_>, &Error>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        let row = &mut state.row;
        match outcome {
            Ok((model, (usage, cost, cache), attempts, first_token_us)) => {
                if !model.is_empty() && row.model != *model {
                    // Another model answered in its place: the figures are that one's.
                    row.provider = model.split('/').next().unwrap_or_default().to_owned();
                    row.model.clone_from(model);
                }
                row.answered(usage, cost, cache, attempts);
                row.first_token_us = first_token_us;
            }
            Err(error) => {
                let fields = error.fields();
                match &fields.partial {
                    Some(partial) => {
                        let attempts = &fields.attempts;
                        row.answered(&partial.usage, &partial.cost, &partial.cache, attempts);
                    }
                    None => {
                        row.attempts = u32::try_from(fields.attempts.len()).unwrap_or(u32::MAX);
                        row.cost = (fields.billed == Billed::No).then_some(NanoUsd::ZERO);
                    }
                }
                row.outcome = error.kind().name().to_owned();
            }
        }
    }
}

impl UsageRow {
    /// What an answer used of a provider: nothing where a cache had it.
    fn answered(&mut self, usage: &Usage, cost: &Cost, cache: &CacheOutcome, attempts: &[Attempt]) {
        let asked = std::mem::take(&mut self.usage);
        if cache.status != CacheStatus::Hit {
            self.usage = usage.clone();
            let used = &mut self.usage;
            used.service_tier = used.service_tier.take().or(asked.service_tier);
            used.speed = used.speed.take().or(asked.speed);
            used.region = used.region.take().or(asked.region);
        }
        self.outcome = "ok".into();
        self.cost = cost.total;
        self.saved = cache.saved;
        self.price_version.clone_from(&cost.price_version);
        self.attempts = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
        if cache.status == CacheStatus::Hit {
            self.cache = "hit".into();
        }
    }
}
