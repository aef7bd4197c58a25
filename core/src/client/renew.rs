//! Answers fetched anew before anybody has to wait for them: early, with a chance that grows towards their end, and while
//! a stale one is being given.
//!
//! The chance is that of Vattani, Chierichetti and Lowenstein ("Optimal Probabilistic Cache Stampede Prevention", VLDB
//! 2015): `exp(-left / (beta * cost))`, so that of many processes that hold the same answer about one fetches it anew.

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::prepare::Prepared;
use crate::cache::memory::Entry;
use crate::call::flight::{Join, Want};
use crate::call::key::Key;
use crate::call::pace::Asked;
use crate::call::pipeline::{Flight, millis};
use crate::call::recorded::Recorded;
use crate::transport::timer::IdleTimer;
use crate::types::{CallOptions, TraceStep};

/// Which flight fetches an answer anew, apart from the flight of those who wait for one.
fn renewal(key: Key) -> [u8; 32] {
    let mut bytes = key.0;
    bytes[30] ^= 1;
    bytes
}

/// How likely an answer with so much time left is fetched anew by one look at it.
#[allow(clippy::cast_precision_loss)]
fn chance(left_ms: u64, cost_ms: u32, beta: f64) -> f64 {
    (-(left_ms as f64) / (beta * f64::from(cost_ms))).exp()
}

impl Core {
    /// Whether anything is ever fetched before its end.
    pub(super) fn renews(&self) -> bool {
        let cache = &self.config.cache;
        cache.early_refresh > 0.0 || cache.stale_while_revalidate_ms > 0
    }

    /// Draws whether an answer with so much time left is fetched anew.
    pub(crate) fn draws(&self, left_ms: u64, cost_ms: u32) -> bool {
        let beta = self.config.cache.early_refresh;
        if beta <= 0.0 || cost_ms == 0 {
            return false;
        }
        self.random.next_f64() < chance(left_ms, cost_ms, beta)
    }

    /// Fetches the answer of a call that was given a kept one anew, if it is stale or the draw says so.
    pub(super) fn renew(self: &Arc<Self>, call: &Prepared, entry: &Entry) {
        if !self.renews() || !call.cache.write {
            return;
        }
        let left = entry.expires_at.saturating_sub(call.started);
        if !entry.is_fresh(call.started) || self.draws(millis(left), entry.cost_ms) {
            let asked = Asked::Completion(Arc::clone(&call.request));
            let flight = Flight {
                gate: self.gate(&call.route, &call.request.model),
                hurry: !call.route.others.is_empty(),
                ..Flight::beside(
                    self,
                    &call.route,
                    &call.options,
                    call.request_id.clone(),
                    asked,
                )
            };
            call.trace
                .note(&*self.clock, || TraceStep::new("cache", "renewed"));
            flight.renew(call.key);
        }
    }
}

impl Flight {
    /// The same for a flight that found it beneath the memory.
    pub(crate) fn renew_found(&self) {
        let Asked::Completion(request) = &self.asked else {
            return;
        };
        let Ok((_, name)) = crate::call::validate::split_model(&request.model) else {
            return;
        };
        let name = if self.route.is_orchestrator {
            &request.model
        } else {
            name
        };
        let key = self.core.key(&self.route, name, request);
        self.progress
            .trace
            .note(&*self.core.clock, || TraceStep::new("cache", "renewed"));
        Flight {
            gate: self.core.gate(&self.route, &request.model),
            hurry: !self.route.others.is_empty(),
            ..self.aside()
        }
        .renew(key);
    }

    /// Goes off in the background, unless somebody is at it already. Nobody waits for it and nobody hears of its failure:
    /// the answer that is kept serves until its own end.
    fn renew(mut self, key: Key) {
        let core = Arc::clone(&self.core);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let Asked::Completion(request) = &self.asked else {
            return;
        };
        let request = Arc::clone(request);
        let total = Duration::from_millis(core.config.timeouts.total_ms);
        let deadline = core.clock.now().saturating_add(total);
        let joined = core
            .flights
            .join(renewal(key), Want::Result, Some(deadline));
        let Ok(Join::Started(mut subscriber, log)) = joined else {
            return;
        };
        let mut options = CallOptions::clone(&self.options);
        options.cache.refresh = true;
        options.idempotency_key = None;
        self.options = Arc::new(options);
        self.idempotency_key = core.call_id();
        self.request_id = core.call_id();
        self.progress = Arc::clone(subscriber.progress());
        core.record_flight(
            &self.progress,
            &self.route,
            Recorded::Completion(&request),
            &self.options,
            &self.request_id,
            true,
        );
        runtime.spawn(async move {
            let work = async move {
                let outcome = Box::pin(self.fly(request, &log, false, Some(key))).await;
                self.progress.completed(&outcome);
                log.finish(outcome);
            };
            subscriber.steer(Box::pin(work), super::flights::spawn);
            let mut timer = IdleTimer::new(Arc::clone(&core.clock), total);
            let _ = timer.limit(std::pin::pin!(subscriber.result())).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::{Random, SeededRandom};

    #[test]
    fn the_chance_is_the_published_one() {
        assert!((chance(0, 1_000, 1.0) - 1.0).abs() < 1e-12);
        assert!((chance(1_000, 1_000, 1.0) - (-1.0_f64).exp()).abs() < 1e-12);
        assert!((chance(1_000, 1_000, 2.0) - (-0.5_f64).exp()).abs() < 1e-12);
        assert!(chance(3_600_000, 1_000, 1.0) < 1e-300);
    }

    // proves: 2.11.stampede
    #[test]
    fn of_a_hundred_processes_few_fetch_an_answer_anew_and_nearly_always_one_does_before_its_end() {
        // Each looks ten times a second at an answer that took two seconds; who draws has a new one two seconds later.
        let random = SeededRandom::new(7);
        let (mut fetched, mut in_time) = (0, 0);
        for _ in 0..200 {
            let mut first = None;
            let mut drawn = 0;
            for left in (0..60_000_u64).rev().step_by(100) {
                if first.is_some_and(|at: u64| at >= left + 2_000) {
                    break;
                }
                for _ in 0..100 {
                    if random.next_f64() < chance(left, 2_000, 1.0) {
                        first.get_or_insert(left);
                        drawn += 1;
                        break;
                    }
                }
            }
            fetched += drawn;
            in_time += u32::from(first.is_some_and(|at| at >= 2_000));
        }
        assert!(in_time >= 195, "{in_time} of 200 were there before the end");
        assert!(
            fetched <= 200 * 5,
            "{fetched} fetches instead of {}",
            200 * 100
        );
    }
}
