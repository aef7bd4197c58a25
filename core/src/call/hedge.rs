//! Hedging: when the first try of a call is late a second copy goes out, and the earlier answer is taken.
//!
//! The loser is billed, so this is off unless asked for, holds only for calls marked safe, and makes one copy of a call
//! at most (`behaviour.md` §2.6). The rules of who may be copied and who wins stand here; the tries themselves are the
//! pipeline's. A stream's winner is the copy whose first event is there first, as only one of them may reach a caller.

mod latency;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::task::Poll;
use std::time::Duration;

pub(crate) use latency::Latencies;

use super::budget::Hold;
use super::circuit::{Entered, is_refusal};
use super::pace::Pace;
use super::pipeline::{Failure, Flight, Success, Try, millis};
use super::progress::Seen;
use crate::client::Core;
use crate::client::config::ProviderKind;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Counters;
use crate::retry::{Bucket, Evidence, Spent, Verdict, classify};
use crate::transport::http::Phase;
use crate::types::{Attempt, CallOptions, Completion, Cost, CostStatus, NanoUsd, TraceStep, Usage};

/// When the copy of a call goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hedge {
    /// After this long; `None` for the measured 95th percentile.
    after: Option<Duration>,
    /// Under which its time is measured: origin, model, and whether it is streamed.
    lane: u64,
}

impl Core {
    /// How a call is hedged; `None` for every call that is not. An orchestrator hedges its upstream itself.
    pub(crate) fn hedge(
        &self,
        options: &CallOptions,
        route: &Route,
        model: &str,
        streamed: bool,
    ) -> Option<Box<Hedge>> {
        if options.safe != Some(true)
            || options.is_batch()
            || route.is_orchestrator
            || route.kind == ProviderKind::Local
        {
            return None;
        }
        let config = &self.config.hedge;
        let wanted = options
            .hedge
            .unwrap_or(config.enabled || options.hedge_after_ms.is_some());
        wanted.then(|| {
            Box::new(Hedge {
                after: options
                    .hedge_after_ms
                    .or(config.after_ms)
                    .map(Duration::from_millis),
                lane: self.latencies.lane(&route.origin, model, streamed),
            })
        })
    }
}

/// Which of the two copies is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    First = 1,
    Copy = 2,
}

/// What the two copies share: whose events go out.
#[derive(Debug, Default)]
struct Line {
    winner: AtomicU8,
    /// When the first one had its first event, in nanoseconds of the client's clock.
    first_event: AtomicU64,
}

/// One of two copies of a call, as its try sees it.
#[derive(Debug)]
pub(crate) struct Racer {
    line: Arc<Line>,
    side: Side,
    phase: Phase,
    pace: Pace,
    seen: Seen,
}

impl Racer {
    fn new(line: &Arc<Line>, side: Side) -> Self {
        Self {
            line: Arc::clone(line),
            side,
            phase: Phase::default(),
            pace: Pace::default(),
            seen: Seen::default(),
        }
    }

    /// Where the second one's try is; the first one's is the call's.
    pub(super) fn phase(&self) -> Option<&Phase> {
        (self.side == Side::Copy).then_some(&self.phase)
    }

    /// Likewise its place in the vendor's limits.
    pub(super) fn pace(&self) -> Option<&Pace> {
        (self.side == Side::Copy).then_some(&self.pace)
    }

    /// Likewise what came of its stream.
    pub(super) fn seen(&self) -> Option<&Seen> {
        (self.side == Side::Copy).then_some(&self.seen)
    }

    /// Asks to be the one whose events reach the callers.
    ///
    /// # Errors
    /// `cancelled` where the other one was before it.
    pub(super) fn claim(&self, now: Duration) -> Result<()> {
        if self.side == Side::First {
            let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
            self.line.first_event.store(now, Relaxed);
        }
        match self
            .line
            .winner
            .compare_exchange(0, self.side as u8, AcqRel, Acquire)
        {
            Ok(_) => Ok(()),
            Err(winner) if winner == self.side as u8 => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::Cancelled,
                "the other copy of the call was earlier",
            )),
        }
    }
}

/// The outcome that counts, and whose it is.
pub(super) struct Decided<'a, T, D: Fn() -> Option<Duration>> {
    pub(super) outcome: Result<Success<T>, Failure>,
    pub(super) entered: Entered<'a, D>,
    pub(super) started: Duration,
    /// From the start of the first copy to that of this one.
    pub(super) waited: Duration,
}

/// What a race needs of the call it is in.
pub(super) struct Race<'a, D: Fn() -> Option<Duration>> {
    pub(super) flight: &'a Flight,
    pub(super) bucket: &'a Bucket,
    pub(super) deadline: &'a D,
    /// Most tries of the call.
    pub(super) most: u32,
}

type Running<'f, T> = Pin<Box<dyn Future<Output = Result<Success<T>, Failure>> + Send + 'f>>;

/// A copy that is under way.
struct Copy<'a, 'f, T, D: Fn() -> Option<Duration>> {
    side: Side,
    flight: &'f Flight,
    running: Running<'f, T>,
    entered: Entered<'a, D>,
    started: Duration,
    waited: Duration,
}

impl<'a, D: Fn() -> Option<Duration> + Send + Sync> Race<'a, D> {
    /// Tries once, or twice side by side; says also what a copy was paid with.
    pub(super) async fn run<T: Try>(
        self,
        hedge: &Hedge,
        what: &T,
        entered: Entered<'a, D>,
        hold: Option<Box<Hold<'_>>>,
        counted: &mut u32,
    ) -> (Decided<'a, T::Value, D>, Option<Spent>) {
        let core = &self.flight.core;
        let line = Arc::new(Line::default());
        let first = self.flight.racing(&line, Side::First);
        let copy = self.flight.racing(&line, Side::Copy);
        let started = core.clock.now();
        let mut one = Copy {
            side: Side::First,
            flight: &first,
            running: Box::pin(first.charged(what, hold)),
            entered,
            started,
            waited: Duration::ZERO,
        };
        let patience = hedge.after.or_else(|| core.latencies.p95(hedge.lane));
        let early = match patience {
            None => {
                self.note(|| TraceStep::new("hedge", "not_sent").why("not_measured"));
                Some(one.running.as_mut().await)
            }
            Some(patience) => {
                let late = core.clock.sleep(patience);
                tokio::select! {
                    biased;
                    outcome = one.running.as_mut() => Some(outcome),
                    () = late => None,
                }
            }
        };
        let started_already = line.winner.load(Acquire) != 0;
        let why = match &early {
            Some(outcome) if !self.is_passing(outcome) || patience.is_none() => {
                self.measure(hedge, &line, started, outcome.is_ok());
                return (one.decided(early), None);
            }
            Some(_) => "failed",
            // A stream that has begun is not copied.
            None if started_already => {
                let outcome = one.running.as_mut().await;
                self.measure(hedge, &line, started, outcome.is_ok());
                return (one.decided(Some(outcome)), None);
            }
            None if hedge.after.is_some() => "delay",
            None => "p95",
        };
        let (permit, entered) = match self.admit(*counted) {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.note(|| TraceStep::new("hedge", "not_sent").why(reason));
                let outcome = match early {
                    Some(outcome) => outcome,
                    None => one.running.as_mut().await,
                };
                self.measure(hedge, &line, started, outcome.is_ok());
                return (one.decided(Some(outcome)), None);
            }
        };
        *counted = counted.saturating_add(1);
        Counters::add(&core.counters.attempts, 1);
        let now = core.clock.now();
        let waited = now.saturating_sub(started);
        self.note(|| {
            TraceStep::new("hedge", "sent")
                .why(why)
                .wait_ms(millis(waited))
                .attempt(*counted)
        });
        let deadline = self.deadline;
        let two = Copy {
            side: Side::Copy,
            flight: &copy,
            running: Box::pin(async {
                copy.pace(deadline()).await?;
                // It is paid for on its own.
                let hold = match copy.budgets() {
                    Some(budgets) => copy.hold(budgets, what.billable()).await?,
                    None => None,
                };
                copy.charged(what, hold).await
            }),
            entered,
            started: now,
            // One that follows a failure comes after it, not beside it.
            waited: if early.is_some() {
                Duration::ZERO
            } else {
                waited
            },
        };
        let one = match early {
            Some(outcome) => {
                self.failed(one, outcome, false);
                None
            }
            None => Some(one),
        };
        let decided = self.race(one, two, &line).await;
        self.measure(hedge, &line, started, decided.outcome.is_ok());
        (decided, Some(permit))
    }

    /// Runs both until one has an outcome that counts.
    async fn race<'f, T>(
        &self,
        mut one: Option<Copy<'a, 'f, T, D>>,
        two: Copy<'a, 'f, T, D>,
        line: &Line,
    ) -> Decided<'a, T, D> {
        let mut two = Some(two);
        loop {
            let (side, outcome) = std::future::poll_fn(|cx| {
                let winner = || line.winner.load(Acquire);
                if let Some(copy) = &mut one
                    && let Poll::Ready(outcome) = copy.running.as_mut().poll(cx)
                {
                    let overtaken = winner() == Side::Copy as u8;
                    return Poll::Ready((Side::First, Some(outcome).filter(|_| !overtaken)));
                }
                if let Some(copy) = &mut two
                    && let Poll::Ready(outcome) = copy.running.as_mut().poll(cx)
                {
                    let overtaken = winner() == Side::First as u8;
                    return Poll::Ready((Side::Copy, Some(outcome).filter(|_| !overtaken)));
                }
                // Events of one are going out: the other has lost, though nothing has ended yet.
                if winner() == Side::First as u8 && two.is_some() {
                    return Poll::Ready((Side::Copy, None));
                }
                if winner() == Side::Copy as u8 && one.is_some() {
                    return Poll::Ready((Side::First, None));
                }
                Poll::Pending
            })
            .await;
            let (mine, other) = match side {
                Side::First => (one.take(), two.take()),
                Side::Copy => (two.take(), one.take()),
            };
            let Some(mine) = mine else { continue };
            match (outcome, other) {
                // Overtaken.
                (None, other) => {
                    self.lost(mine);
                    match side {
                        Side::First => two = other,
                        Side::Copy => one = other,
                    }
                }
                (Some(outcome), Some(other)) if is_final(&outcome) => {
                    self.lost(other);
                    return mine.decided(Some(outcome));
                }
                (Some(outcome), Some(other)) => {
                    self.failed(mine, outcome, true);
                    match side {
                        Side::First => two = Some(other),
                        Side::Copy => one = Some(other),
                    }
                }
                (Some(outcome), None) => return mine.decided(Some(outcome)),
            }
        }
    }

    /// Whether this is a failure that a copy may follow at once: one worth another try, that names no time for it.
    fn is_passing<T>(&self, outcome: &Result<Success<T>, Failure>) -> bool {
        let Err(failure) = outcome else { return false };
        let verdict = classify(
            &failure.error,
            &Evidence {
                committed: failure.committed,
                replayable: !failure.exhausted,
                should_retry: failure.should_retry.as_deref(),
                pushback: failure.pushback,
                unprocessed: failure.unprocessed,
                ..Evidence::default()
            },
        );
        matches!(verdict, Verdict::Retry { .. })
            && failure.error.retry_after().is_none()
            && failure.pushback.is_none()
    }

    /// Lets the copy go out, or says why not.
    fn admit(&self, counted: u32) -> std::result::Result<(Spent, Entered<'a, D>), &'static str> {
        let flight = self.flight;
        if counted >= self.most {
            return Err("attempts");
        }
        if (self.deadline)().is_some_and(|end| flight.core.clock.now() >= end) {
            return Err("deadline");
        }
        if !self.bucket.is_above_half() {
            return Err("quota");
        }
        if flight.would_pace() {
            return Err("pace");
        }
        let entered = flight.enter(self.deadline).map_err(|_| "circuit")?;
        let permit = self.bucket.take(false).ok_or("quota")?;
        Ok((permit.sent(), entered))
    }

    /// Gives up the copy that lost: its connection is closed, what it may cost is kept in mind.
    fn lost<T>(&self, copy: Copy<'a, '_, T, D>) {
        let flight = self.flight;
        if copy.flight.phase().was_sent() {
            flight.progress.losers.fetch_add(1, Relaxed);
        }
        let side = copy.side;
        let gone: Result<Success<T>, Failure> = Err(Error::new(
            ErrorKind::Cancelled,
            "the other copy of the call was earlier",
        )
        .into());
        let record = Attempt {
            parallel: true,
            ..flight.record(copy.started, copy.waited, &gone)
        };
        // The loser's permit of the circuit goes back unused: it says nothing of the upstream.
        drop(copy);
        flight.progress.push(record);
        self.note(|| {
            TraceStep::new("hedge", "lost").why(match side {
                Side::First => "first",
                Side::Copy => "copy",
            })
        });
    }

    /// Lists a copy that failed while the other one goes on, or before it.
    fn failed<T>(
        &self,
        copy: Copy<'a, '_, T, D>,
        outcome: Result<Success<T>, Failure>,
        parallel: bool,
    ) {
        let flight = self.flight;
        copy.entered.report(&outcome);
        let record = Attempt {
            parallel,
            ..flight.record(copy.started, copy.waited, &outcome)
        };
        if let Err(failure) = &outcome {
            if is_refusal(failure.error.fields()) {
                return;
            }
            if failure.error.fields().billed != crate::error::Billed::No {
                flight.progress.losers.fetch_add(1, Relaxed);
            }
            let kind = failure.error.kind().name();
            self.note(|| TraceStep::new("attempt", "failed").why(kind));
        }
        flight.progress.push(record);
    }

    /// Remembers how long the first copy took, or has taken at least: what is late is measured by it.
    fn measure(&self, hedge: &Hedge, line: &Line, started: Duration, good: bool) {
        if hedge.after.is_some() || !good {
            return;
        }
        let core = &self.flight.core;
        let end = match line.first_event.load(Relaxed) {
            0 => core.clock.now(),
            nanos => Duration::from_nanos(nanos),
        };
        core.latencies
            .record(hedge.lane, end.saturating_sub(started));
    }

    fn note(&self, make: impl FnOnce() -> TraceStep) {
        let flight = self.flight;
        flight.progress.trace.note(&*flight.core.clock, make);
    }
}

impl<'a, T, D: Fn() -> Option<Duration>> Copy<'a, '_, T, D> {
    fn decided(self, outcome: Option<Result<Success<T>, Failure>>) -> Decided<'a, T, D> {
        let outcome = outcome.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Internal, "a copy ended without an outcome").into())
        });
        Decided {
            outcome,
            entered: self.entered,
            started: self.started,
            waited: self.waited,
        }
    }
}

/// Whether nothing the other copy could say would change it: an answer, or a failure another try could not mend. What a
/// server says about trying again is about further copies, not about one that is out (gRFC A6).
fn is_final<T>(outcome: &Result<Success<T>, Failure>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(failure) => {
            let evidence = Evidence {
                committed: failure.committed,
                unprocessed: failure.unprocessed,
                ..Evidence::default()
            };
            !is_refusal(failure.error.fields())
                && classify(&failure.error, &evidence) == Verdict::Never
        }
    }
}

impl Flight {
    /// This flight as one of two copies.
    fn racing(&self, line: &Arc<Line>, side: Side) -> Self {
        Self {
            core: Arc::clone(&self.core),
            route: Arc::clone(&self.route),
            options: Arc::clone(&self.options),
            progress: Arc::clone(&self.progress),
            idempotency_key: self.idempotency_key.clone(),
            request_id: self.request_id.clone(),
            asked: self.asked.clone(),
            gate: self.gate,
            fallbacks: None,
            label: self.label.clone(),
            hedge: None,
            racer: Some(Racer::new(line, side)),
            hurry: self.hurry,
        }
    }

    /// Adds what the copies that were not answered may be billed: their input, as the answer's usage counts it.
    pub(crate) fn charge_losers(&self, completion: &mut Completion, model: &str) {
        let losers = u64::from(self.progress.losers.load(Relaxed));
        if losers == 0 {
            return;
        }
        let usage = Usage {
            input_tokens: completion.usage.input_tokens,
            estimated: true,
            ..Usage::default()
        };
        let one = self.core.price(model, None, &self.options, &usage);
        add(&mut completion.cost, &one, losers);
    }
}

/// Adds a cost several times; the sum is an estimate, and rounded up once like any other.
fn add(cost: &mut Cost, other: &Cost, times: u64) {
    if cost.total.is_none() || other.total.is_none() {
        return;
    }
    cost.input_pico = cost
        .input_pico
        .saturating_add(other.input_pico.saturating_mul(times));
    cost.other_pico = cost
        .other_pico
        .saturating_add(other.other_pico.saturating_mul(times));
    let parts = [
        cost.input_pico,
        cost.cache_read_pico,
        cost.cache_write_pico,
        cost.output_pico,
        cost.other_pico,
    ];
    cost.total = Some(NanoUsd::from_pico_ceil(
        parts.iter().map(|part| u128::from(*part)).sum(),
    ));
    cost.status = CostStatus::Estimated;
}
