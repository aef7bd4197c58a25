//! A flight before its circuit: whether a try may go out, and what its outcome says of the upstream.

use std::time::Duration;

use super::pipeline::{Failure, Flight};
use crate::client::Core;
use crate::client::config::ProviderKind;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Fields, Result};
use crate::retry::{Account, Backoff, Circuit, Health, Pass};

/// What a flight has to pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    circuit: Circuit,
    account: Account,
}

impl Core {
    /// The gate before a model; none where circuits are off or the model is built in.
    pub(crate) fn gate(&self, route: &Route, model: &str) -> Option<Gate> {
        if !self.config.breaker.enabled || route.kind == ProviderKind::Local {
            return None;
        }
        Some(Gate {
            circuit: self.breaker.circuit(&route.origin, model),
            account: self
                .cooldowns
                .account(&route.origin, &route.credential, model),
        })
    }
}

/// A try that is under way. Dropped without a report, as by a cancelled call, it says nothing of the upstream, unless
/// that was too slow for everybody who waited.
pub(crate) struct Entered<'a, D: Fn() -> Option<Duration>> {
    flight: &'a Flight,
    deadline: &'a D,
    pass: Option<Pass<'a>>,
}

impl Flight {
    /// Waits for the end of a rate limit that is known, then asks the circuit; adds the wait to `delay`.
    ///
    /// # Errors
    /// `rate_limited` where the wait is longer than a hint may be or does not fit, `circuit_open`; both with
    /// `retry_after_ms` and without a try.
    pub(crate) async fn enter<'a, D: Fn() -> Option<Duration>>(
        &'a self,
        deadline: &'a D,
        delay: &mut Duration,
    ) -> Result<Entered<'a, D>> {
        let mut entered = Entered {
            flight: self,
            deadline,
            pass: None,
        };
        let Some(gate) = self.gate else {
            return Ok(entered);
        };
        let core = &self.core;
        loop {
            let now = core.clock.now();
            let pause = core.cooldowns.left(gate.account, now);
            if pause.is_zero() {
                break;
            }
            let left = deadline().map_or(Duration::MAX, |deadline| deadline.saturating_sub(now));
            if pause > core.policy.longest_hint || pause >= left {
                return Err(refused(ErrorKind::RateLimited, &self.route.name, pause));
            }
            let wait = Backoff::hinted(pause, left, &*core.random);
            *delay = delay.saturating_add(wait);
            core.clock.sleep(wait).await;
        }
        let pass = core
            .breaker
            .enter(gate.circuit, core.clock.now())
            .map_err(|open| refused(ErrorKind::CircuitOpen, &self.route.name, open.retry_after))?;
        entered.pass = Some(pass);
        Ok(entered)
    }

    /// Whether a try after this wait would be refused, as far as is known now.
    pub(crate) fn is_shut_for(&self, wait: Duration) -> bool {
        let core = &self.core;
        self.gate.is_some_and(|gate| {
            core.breaker
                .is_open_for(gate.circuit, core.clock.now(), wait)
        })
    }

    /// What a failed try says of the upstream.
    fn health(&self, failure: &Failure) -> Health {
        if failure.unprocessed {
            return Health::Unknown;
        }
        if self.route.is_orchestrator && failure.exhausted {
            // It answered; the provider behind it has a circuit there.
            return Health::Good;
        }
        match failure.error.kind() {
            // How long a provider takes is no fault of the orchestrator's.
            ErrorKind::Timeout if self.route.is_orchestrator => Health::Unknown,
            ErrorKind::ConnectFailed
            | ErrorKind::TransportInterrupted
            | ErrorKind::Timeout
            | ErrorKind::UpstreamError
            | ErrorKind::Overloaded => Health::Bad,
            _ => Health::Unknown,
        }
    }
}

impl<D: Fn() -> Option<Duration>> Entered<'_, D> {
    /// Says how the try ended.
    pub(crate) fn report<T>(mut self, outcome: &Result<T, Failure>) {
        let Some(pass) = self.pass.take() else {
            return;
        };
        let core = &self.flight.core;
        let now = core.clock.now();
        let health = match outcome {
            Ok(_) => Health::Good,
            Err(failure) => self.flight.health(failure),
        };
        pass.report(health, now, || core.random.next_f64());
        if let (Some(gate), Err(failure)) = (self.flight.gate, outcome)
            && failure.error.kind() == ErrorKind::RateLimited
            && !failure.exhausted
            && let Some(hint) = failure.error.retry_after()
            && !hint.is_zero()
        {
            core.cooldowns.start(gate.account, now, hint);
        }
    }
}

impl<D: Fn() -> Option<Duration>> Drop for Entered<'_, D> {
    fn drop(&mut self) {
        let core = &self.flight.core;
        if let Some(pass) = self.pass.take()
            && !self.flight.route.is_orchestrator
            && let Some(deadline) = (self.deadline)()
            && core.clock.now() >= deadline
        {
            let now = core.clock.now();
            pass.report(Health::Bad, now, || core.random.next_f64());
        }
    }
}

/// `detail` of a `rate_limited` that another call was told of.
const COOLDOWN: &str = "cooldown";

/// Whether an error says that nobody was asked.
pub(crate) fn is_refusal(fields: &Fields) -> bool {
    fields.kind == ErrorKind::CircuitOpen || fields.detail.as_deref() == Some(COOLDOWN)
}

/// The error of a call that was not tried.
fn refused(kind: ErrorKind, provider: &str, wait: Duration) -> Error {
    let text = match kind {
        ErrorKind::CircuitOpen => "it failed too often and is left alone for a while",
        _ => "it has asked to be left alone for a while",
    };
    Error::new(kind, format!("{provider} was not asked: {text}")).with(|fields| {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        fields.retry_after_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
        fields.provider = Some(provider.to_owned());
        if kind == ErrorKind::RateLimited {
            fields.detail = Some(COOLDOWN.into());
        }
    })
}
