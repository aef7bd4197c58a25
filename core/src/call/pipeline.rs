//! The flight's half of a call: tries, waits and what is done with the outcome, in the order they happen.
//!
//! A flight has no deadline of its own. It lives while somebody waits for it, so the last caller to give up ends it; what
//! it must know of deadlines is only whether a wait between two tries still fits into the latest of them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::budget::{Billable, Hold};
use super::circuit::is_refusal;
use super::fallback::Fallbacks;
use super::hedge::{Decided, Hedge, Race, Racer};
use super::pace::Asked;
use super::progress::{Progress, Seen};
use crate::client::Core;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Counters;
use crate::retry::{
    Circuit, Decision, Evidence, Permit, Pushback, Situation, Spent, Verdict, classify, decide,
};
use crate::transport::http::Phase;
use crate::transport::timer::IdleTimer;
use crate::types::{Attempt, CallOptions, Cost, TraceStep, Usage};

/// A failed try, with the evidence only its response had.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The answer's `x-should-retry`.
    pub(crate) should_retry: Option<String>,
    /// What a gRPC server says about trying again.
    pub(crate) pushback: Option<Pushback>,
    /// Somebody who owns the retries has used them up.
    pub(crate) exhausted: bool,
    /// The upstream has not begun with the request.
    pub(crate) unprocessed: bool,
    /// An event had already reached the caller.
    pub(crate) committed: bool,
    /// The number of the credential it was refused with, where that came from a callback.
    pub(crate) credential: Option<u64>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            should_retry: None,
            pushback: None,
            exhausted: false,
            unprocessed: false,
            committed: false,
            credential: None,
        }
    }
}

/// A finished try.
pub(crate) struct Success<T> {
    pub(crate) value: T,
    pub(crate) status: Option<u16>,
    pub(crate) upstream_request_id: Option<String>,
}

/// Something that can be tried several times.
pub(crate) trait Try: Sync {
    /// What a good try gives.
    type Value: Send;

    /// What a budget holds money for.
    fn billable(&self) -> Billable<'_> {
        Billable::Nothing
    }

    /// What an answer used of it.
    fn used(&self, _flight: &Flight, _value: &Self::Value) -> Usage {
        Usage::default()
    }

    /// What the answer used and cost of the part at this place, where it has parts that are paid for apart.
    fn part<'v>(&self, _value: &'v Self::Value, _place: usize) -> Option<(&'v Usage, &'v Cost)> {
        None
    }

    /// One try; dropping it closes its connection.
    fn attempt(
        &self,
        flight: &Flight,
    ) -> impl Future<Output = Result<Success<Self::Value>, Failure>> + Send;
}

/// What the tries of a flight need to know.
pub(crate) struct Flight {
    pub(crate) core: Arc<Core>,
    pub(crate) route: Arc<Route>,
    pub(crate) options: Arc<CallOptions>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) idempotency_key: String,
    pub(crate) request_id: String,
    pub(crate) asked: Asked,
    /// Its circuit; `None` where there are none.
    pub(crate) gate: Option<Circuit>,
    /// Who is asked when it cannot answer.
    pub(crate) fallbacks: Option<Arc<Fallbacks>>,
    /// The model its tries are listed under, where a call may ask several.
    pub(crate) label: Option<String>,
    /// When a second copy goes out; `None` for all calls that are not hedged.
    pub(crate) hedge: Option<Box<Hedge>>,
    /// Which of two copies its try is, while there are two.
    pub(crate) racer: Option<Racer>,
    /// Another address waits: a failure that would be tried again here is tried there, at once.
    pub(crate) hurry: bool,
}

impl Flight {
    /// One for what is done beside calls: under no circuit, with no other places and no copies, and with nobody waiting yet.
    pub(crate) fn beside(
        core: &Arc<Core>,
        route: &Arc<Route>,
        options: &Arc<CallOptions>,
        request_id: String,
        asked: Asked,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            route: Arc::clone(route),
            options: Arc::clone(options),
            progress: Arc::default(),
            idempotency_key: String::new(),
            request_id,
            asked,
            gate: None,
            fallbacks: None,
            label: None,
            hedge: None,
            racer: None,
            hurry: false,
        }
    }

    /// This flight for what is done beside it, without what its callers wait for.
    pub(crate) fn aside(&self) -> Self {
        let (request_id, asked) = (self.request_id.clone(), self.asked.clone());
        Self::beside(&self.core, &self.route, &self.options, request_id, asked)
    }

    pub(crate) fn attempt_limit(&self) -> Option<Duration> {
        if self.route.is_orchestrator {
            // It is told, and limits its own tries.
            return None;
        }
        let configured = self.core.config.timeouts.attempt_ms;
        self.options
            .attempt_timeout_ms
            .or(configured)
            .map(Duration::from_millis)
    }

    /// Tries until one try succeeds or none may follow. `deadline` tells the latest moment anybody still waits for.
    pub(crate) async fn tries<T: Try>(
        &self,
        deadline: impl Fn() -> Option<Duration> + Send + Sync,
        what: &T,
    ) -> Result<T::Value> {
        let core = &self.core;
        let mut policy = core.policy;
        policy.max_attempts = self.options.max_attempts.unwrap_or(policy.max_attempts);
        let bucket = core
            .quotas
            .bucket(&self.route.origin, core.config.tenant.as_deref());
        let mut counted = 0_u32;
        let mut transparent_used = false;
        let mut copied = false;
        let mut refreshed = false;
        let mut delay = Duration::ZERO;
        let mut spent: Option<Spent> = None;
        // The failure that is tried again, and what that try has been paid with.
        let mut again: Option<(Error, Option<Permit>)> = None;
        // Waits are measured against those who wait; the time a try has, against those who may still join, too.
        let patient = || deadline().map(|latest| latest.min(self.progress.patience()));
        loop {
            let entered = match self.pace(patient()).await {
                Ok(()) => self
                    .enter(&deadline)
                    .map_err(|refused| (refused, "circuit")),
                Err(refused) => Err((refused, "pace")),
            };
            let entered = match (entered, self.budgets()) {
                (Ok(entered), None) => Ok((entered, None)),
                // Boxed: the state of this stage would be moved about by every call without it.
                (Ok(entered), Some(budgets)) => {
                    match Box::pin(self.hold(budgets, what.billable())).await {
                        Ok(hold) => Ok((entered, hold)),
                        Err(refused) => Err((refused, "budget")),
                    }
                }
                (Err(refused), _) => Err(refused),
            };
            let (entered, hold) = match entered {
                Ok(entered) => entered,
                Err((refused, why)) => {
                    // The last real error says more. Dropping the permit gives its cost back: nothing was sent.
                    return Err(match again {
                        Some((last, _)) => self.dress(last, Some(why)),
                        None => self.dress(refused, None),
                    });
                }
            };
            if let Some((_, permit)) = again.take() {
                // Until here the retry was not sent: dropping the permit gave its cost back.
                spent = permit.map(Permit::sent).or(spent);
                Counters::add(&core.counters.retries, 1);
            }
            counted = counted.saturating_add(1);
            Counters::add(&core.counters.attempts, 1);
            let started = core.clock.now();
            let latest = deadline().map_or(0, nanos);
            self.progress.deadline.store(latest, Relaxed);
            let decided = match &self.hedge {
                Some(hedge) if !copied => {
                    let race = Race {
                        flight: self,
                        bucket: &bucket,
                        deadline: &deadline,
                        most: policy.max_attempts,
                    };
                    let (decided, copy) =
                        Box::pin(race.run(hedge, what, entered, hold, &mut counted)).await;
                    copied = copy.is_some();
                    spent = copy.or(spent);
                    decided
                }
                _ => {
                    let outcome = self.charged(what, hold).await;
                    Decided {
                        outcome,
                        entered,
                        started,
                        waited: delay,
                    }
                }
            };
            let outcome = decided.outcome;
            decided.entered.report(&outcome);
            let record = self.record(decided.started, decided.waited, &outcome);
            let failure = match outcome {
                Ok(success) => {
                    match spent {
                        Some(spent) => bucket.retry_succeeded(spent),
                        None => bucket.first_try_succeeded(),
                    }
                    self.progress.push(record);
                    self.progress.trace.note(&*core.clock, || {
                        TraceStep::new("attempt", "ok").attempt(counted)
                    });
                    return Ok(success.value);
                }
                Err(failure) => failure,
            };
            if self.route.is_orchestrator {
                self.progress.reached.note(&failure);
            }
            let mut error = failure.error;
            self.progress.trace.note(&*core.clock, || {
                TraceStep::new("attempt", "failed")
                    .why(error.kind().name())
                    .attempt(counted)
            });
            if let Some(theirs) = error.fields_mut().trace.take() {
                self.progress.trace.adopt(*theirs, "orchestrator");
            }
            self.progress.push(record);
            // It gave up for want of time, and somebody with more of it has joined since.
            let outgrown = self.route.is_orchestrator
                && matches!(error.fields().gave_up.as_deref(), Some("hint" | "deadline"))
                && deadline().is_some_and(|deadline| nanos(deadline) > latest);
            let verdict = classify(
                &error,
                &Evidence {
                    committed: failure.committed,
                    replayable: !failure.exhausted || outgrown,
                    should_retry: failure.should_retry.as_deref().filter(|_| !outgrown),
                    pushback: failure.pushback,
                    unprocessed: failure.unprocessed,
                    transparent_used,
                    refreshable: failure.credential.is_some() && !refreshed,
                },
            );
            if self.hurry && matches!(verdict, Verdict::Retry { .. }) {
                return Err(self.dress(error, Some("elsewhere")));
            }
            let now = core.clock.now();
            let decision = decide(
                &policy,
                verdict,
                &Situation {
                    attempts: counted,
                    left: patient().map_or(Duration::MAX, |deadline| deadline.saturating_sub(now)),
                    hint: failure
                        .pushback
                        .and_then(|pushback| match pushback {
                            Pushback::After(delay) => Some(delay),
                            Pushback::Never => None,
                        })
                        .or(error.retry_after()),
                    bucket: &bucket,
                    random: &*core.random,
                },
            );
            self.progress.trace.note(&*core.clock, || match &decision {
                Decision::GiveUp { why } => {
                    TraceStep::new("retry", "gives_up").why(why.map_or("final", |why| why.name()))
                }
                Decision::Transparent => TraceStep::new("retry", "at_once").why("not_processed"),
                Decision::Refresh => TraceStep::new("retry", "at_once").why("credential"),
                Decision::Retry { delay, .. } => TraceStep::new("retry", "waits")
                    .why(match verdict {
                        Verdict::Retry { throttle: true } => "throttle",
                        _ => "transient",
                    })
                    .wait_ms(millis(*delay)),
            });
            match decision {
                Decision::GiveUp { why } => {
                    return Err(self.dress(error, why.map(|why| why.name())));
                }
                Decision::Refresh => {
                    refreshed = true;
                    delay = Duration::ZERO;
                    counted = counted.saturating_sub(1);
                    if let (Some(live), Some(refused)) = (&self.route.live, failure.credential) {
                        if live.refresh(refused).await.is_err() {
                            return Err(self.dress(error, Some("credential")));
                        }
                        self.progress
                            .trace
                            .note(&*core.clock, || TraceStep::new("credential", "refreshed"));
                    }
                    again = Some((error, None));
                }
                Decision::Transparent => {
                    transparent_used = true;
                    delay = Duration::ZERO;
                    counted = counted.saturating_sub(1);
                    again = Some((error, None));
                }
                Decision::Retry { delay: wait, .. } if self.is_shut_for(wait) => {
                    return Err(self.dress(error, Some("circuit")));
                }
                Decision::Retry {
                    delay: wait,
                    permit,
                } => {
                    delay = wait;
                    core.clock.sleep(wait).await;
                    again = Some((error, Some(permit)));
                }
            }
        }
    }

    /// One try, within its own limit.
    pub(super) async fn limited<T: Try>(&self, what: &T) -> Result<Success<T::Value>, Failure> {
        let mut attempt = pin!(what.attempt(self));
        let Some(limit) = self.attempt_limit() else {
            return attempt.await;
        };
        let mut timer = IdleTimer::new(Arc::clone(&self.core.clock), limit);
        match timer.limit(attempt.as_mut()).await {
            Some(outcome) => outcome,
            None => Err(self
                .progress
                .timed_out("attempt")
                .with(|fields| fields.attempts.clear())
                .into()),
        }
    }

    /// A try with its hold, which is charged with what comes of it.
    pub(super) async fn charged<T: Try>(
        &self,
        what: &T,
        hold: Option<Box<Hold<'_>>>,
    ) -> Result<Success<T::Value>, Failure> {
        self.core.panic_if_told();
        let outcome = self.limited(what).await;
        if let Some(hold) = hold {
            hold.settle(what, &outcome);
        }
        outcome
    }

    /// A try as the call lists it.
    pub(super) fn record<T>(
        &self,
        started: Duration,
        waited: Duration,
        outcome: &Result<Success<T>, Failure>,
    ) -> Attempt {
        let mut record = Attempt {
            model: self.label.clone(),
            endpoint: self.place_name(),
            delay_ms: millis(waited),
            duration_us: micros(self.core.clock.now().saturating_sub(started)),
            ..Attempt::default()
        };
        match outcome {
            Ok(success) => {
                record.status = success.status;
                record
                    .upstream_request_id
                    .clone_from(&success.upstream_request_id);
            }
            Err(failure) => {
                let fields = failure.error.fields();
                record.error = Some(fields.kind);
                record.status = fields.http_status;
                record
                    .upstream_request_id
                    .clone_from(&fields.upstream_request_id);
            }
        }
        record
    }

    /// Where its try is.
    pub(super) fn phase(&self) -> &Phase {
        self.racer
            .as_ref()
            .and_then(Racer::phase)
            .unwrap_or(&self.progress.phase)
    }

    /// Where what came of a dropped stream is left.
    pub(super) fn seen(&self) -> &Seen {
        self.racer
            .as_ref()
            .and_then(Racer::seen)
            .unwrap_or(&self.progress.seen)
    }

    /// Adds what the call knows to the error of its last try.
    pub(super) fn dress(&self, error: Error, why: Option<&'static str>) -> Error {
        error.with(|fields| {
            // Some servers repeat the key they refuse; patterns find the vendors' own, this finds whatever was sent.
            self.route.hide_credential(&mut fields.message);
            if let Some(code) = &mut fields.provider_code {
                self.route.hide_credential(code);
            }
            if let Some(why) = why {
                fields.gave_up = Some(why.into());
            }
            if fields.attempts.is_empty() {
                fields.attempts = self.progress.attempts();
                if self.route.is_orchestrator && is_refusal(fields) {
                    // Neither it nor we have tried.
                    fields.attempts.pop();
                }
            }
            fields
                .provider
                .get_or_insert_with(|| self.route.name.clone());
            fields
                .request_id
                .get_or_insert_with(|| self.request_id.clone());
            if fields.kind == ErrorKind::Timeout && fields.scope.as_deref() == Some("attempt") {
                fields.retriable = true;
            }
        })
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
