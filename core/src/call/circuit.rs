//! A flight before its circuit: whether a try may go out, and what its outcome says of the upstream.

use std::time::Duration;

use super::pipeline::{Failure, Flight};
use crate::client::Core;
use crate::client::config::ProviderKind;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Fields, Result};
use crate::retry::{Circuit, Health, Pass};

impl Core {
    /// The circuit of a model; none where circuits are off or the model is built in.
    pub(crate) fn gate(&self, route: &Route, model: &str) -> Option<Circuit> {
        (self.config.breaker.enabled && route.kind != ProviderKind::Local)
            .then(|| self.breaker.circuit(&route.origin, model))
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
    /// Asks the circuit.
    ///
    /// # Errors
    /// `circuit_open` with `retry_after_ms`, without a try.
    pub(crate) fn enter<'a, D: Fn() -> Option<Duration>>(
        &'a self,
        deadline: &'a D,
    ) -> Result<Entered<'a, D>> {
        let pass = self.gate.map(|circuit| {
            let core = &self.core;
            core.breaker
                .enter(circuit, core.clock.now())
                .map_err(|open| refused(&self.route.name, open.retry_after))
        });
        Ok(Entered {
            flight: self,
            deadline,
            pass: pass.transpose()?,
        })
    }

    /// Whether a try after this wait would be refused, as far as is known now.
    pub(crate) fn is_shut_for(&self, wait: Duration) -> bool {
        let core = &self.core;
        self.gate
            .is_some_and(|circuit| core.breaker.is_open_for(circuit, core.clock.now(), wait))
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

/// Whether an error says that nobody was asked.
pub(crate) fn is_refusal(fields: &Fields) -> bool {
    matches!(
        fields.kind,
        ErrorKind::CircuitOpen
            | ErrorKind::BudgetExceeded
            | ErrorKind::PriceUnknown
            | ErrorKind::BudgetUnavailable
    ) || fields.detail.as_deref() == Some(super::pace::PACED)
}

/// The error of a call that was not tried.
fn refused(provider: &str, wait: Duration) -> Error {
    let message =
        format!("{provider} was not asked: it failed too often and is left alone for a while");
    Error::new(ErrorKind::CircuitOpen, message).with(|fields| {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        fields.retry_after_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
        fields.provider = Some(provider.to_owned());
    })
}
