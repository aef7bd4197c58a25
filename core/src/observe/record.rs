//! Where the decisions of a call are collected. Off, it is one empty cell: no lock, no clock, no allocation.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::retry::Clock;
use crate::types::{Trace, TraceStep};

/// Decisions with their moment on the client's clock.
#[derive(Debug, Default)]
struct Recorded {
    trace: Trace,
    at: Vec<Duration>,
}

/// The decisions of a call or a flight, if somebody wants to know them.
#[derive(Debug, Default)]
pub(crate) struct Recorder(OnceLock<Box<Mutex<Recorded>>>);

impl Recorder {
    /// From here on decisions are kept.
    pub(crate) fn turn_on(&self) {
        self.0.get_or_init(Box::default);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.get().is_some()
    }

    /// Keeps the step `make` gives; it is not called when nobody wants to know.
    pub(crate) fn note(&self, clock: &dyn Clock, make: impl FnOnce() -> TraceStep) {
        let Some(recorded) = self.0.get() else { return };
        let (now, step) = (clock.now(), make());
        let mut recorded = lock(recorded);
        recorded.at.truncate(crate::types::MAX_STEPS);
        recorded.at.push(now);
        recorded.trace.push(step);
    }

    /// Keeps what another one decided, in its own time.
    pub(crate) fn adopt(&self, theirs: Trace, by: &'static str) {
        let Some(recorded) = self.0.get() else { return };
        let mut recorded = lock(recorded);
        let Recorded { trace, .. } = &mut *recorded;
        trace.omitted = trace.omitted.saturating_add(theirs.omitted);
        for mut step in theirs.steps {
            step.by.get_or_insert(by.into());
            recorded.at.truncate(crate::types::MAX_STEPS);
            recorded.at.push(Duration::MAX);
            recorded.trace.push(step);
        }
    }

    /// Takes over what was decided for several at once, at its own times.
    pub(crate) fn absorb(&self, other: &Self) {
        let (Some(recorded), Some(other)) = (self.0.get(), other.0.get()) else {
            return;
        };
        let (at, steps, omitted) = {
            let other = lock(other);
            let trace = &other.trace;
            (other.at.clone(), trace.steps.clone(), trace.omitted)
        };
        let mut recorded = lock(recorded);
        let Recorded { trace, at: times } = &mut *recorded;
        trace.omitted = trace.omitted.saturating_add(omitted);
        for (step, at) in steps.into_iter().zip(at) {
            times.truncate(crate::types::MAX_STEPS);
            times.push(at);
            trace.push(step);
        }
    }

    /// Appends the decisions so far to `trace`, timed from `start`.
    pub(crate) fn copy_to(&self, trace: &mut Trace, start: Duration) {
        let Some(recorded) = self.0.get() else { return };
        let recorded = lock(recorded);
        trace.omitted = trace.omitted.saturating_add(recorded.trace.omitted);
        for (step, at) in recorded.trace.steps.iter().zip(&recorded.at) {
            let mut step = step.clone();
            if *at != Duration::MAX {
                step.at_us = crate::call::pipeline::micros(at.saturating_sub(start));
            }
            trace.push(step);
        }
    }
}

fn lock(recorded: &Mutex<Recorded>) -> MutexGuard<'_, Recorded> {
    recorded.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::SystemClock;

    #[test]
    fn a_recorder_that_is_off_never_asks_for_a_step() {
        let recorder = Recorder::default();
        recorder.note(&SystemClock::new(), || panic!("asked"));
        assert!(!recorder.is_on());
    }

    #[test]
    fn a_trace_is_bounded_and_says_what_it_left_out() {
        let (recorder, clock) = (Recorder::default(), SystemClock::new());
        recorder.turn_on();
        for _ in 0..1000 {
            recorder.note(&clock, || TraceStep::new("retry", "waits"));
        }
        let mut trace = Trace::default();
        recorder.copy_to(&mut trace, Duration::ZERO);
        assert_eq!((trace.steps.len(), trace.omitted), (64, 936));
    }
}
