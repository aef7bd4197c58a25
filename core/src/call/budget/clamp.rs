//! Calls that are lowered to what is left instead of being refused.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::super::pipeline::Flight;
use super::Billable;
use super::bounds::asked_output;
use crate::budget::{Account, Applied, unavailable};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::timer::IdleTimer;
use crate::types::{CompletionRequest, TraceStep};

/// Times a call is lowered again because another one was before it.
const RACES: u32 = 8;

impl Flight {
    /// The request with `max_tokens` lowered to what is left, where a budget wants that and less is left than it asks for.
    ///
    /// It looks and holds nothing: where another call is before this one, its hold is refused and it is lowered again.
    pub(crate) async fn clamped(
        &self,
        request: &Arc<CompletionRequest>,
    ) -> Result<Option<Arc<CompletionRequest>>> {
        let Some(budgets) = self.budgets().filter(|budgets| budgets.clamps) else {
            return Ok(None);
        };
        // Its body is not written yet; a kilobyte is more than its frame and its parameters take.
        let bytes = serde_json::to_vec(&**request).map_or(0, |body| body.len() + 1024);
        let what = Billable::Completion(request, bytes);
        let applied = budgets.applied(&self.facts(&what), budgets.now());
        let clamping: Vec<&Applied<'_>> = applied.iter().filter(|on| on.budget.clamp).collect();
        if clamping.is_empty() {
            return Ok(None);
        }
        let accounts: Vec<Account> = clamping.iter().map(|on| on.account.clone()).collect();
        let mut timer = IdleTimer::new(Arc::clone(budgets.clock()), budgets.patience);
        let answer = timer
            .limit(std::pin::pin!(budgets.ledger.read(accounts).get()))
            .await
            .flatten();
        let Some(Ok(balances)) = answer else {
            return Err(unavailable());
        };
        let fits = |output: u64| -> Result<bool> {
            let lowered = CompletionRequest {
                max_tokens: Some(output),
                ..CompletionRequest::clone(request)
            };
            let what = Billable::Completion(&lowered, bytes);
            for (on, balance) in clamping.iter().zip(&balances) {
                let worst = self.worst(budgets, &what, on.budget.reserve)?;
                let amount = self.amount(&what, on.budget, worst)?;
                let used = balance.spent.plus(balance.held).plus(amount);
                if on.budget.nano_usd.is_some_and(|limit| used.money > limit)
                    || on.budget.tokens.is_some_and(|limit| used.tokens > limit)
                {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let model_most = self
            .core
            .found(&request.model, self.options.prices.as_ref())?
            .and_then(|found| found.entry.limits.output.or(found.entry.limits.context));
        let Some(most) = asked_output(request).or(model_most) else {
            return Ok(None);
        };
        if asked_output(request) != request.max_tokens || fits(most)? || !fits(1)? {
            // Nothing to lower, or nothing left: its hold says what is missing.
            return Ok(None);
        }
        let (mut low, mut high) = (1, most);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle)? {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.progress.clamps.fetch_add(1, Relaxed);
        self.progress.trace.note(&*self.core.clock, || {
            TraceStep::new("budget", "lowered").fields(vec!["max_tokens".into()])
        });
        Ok(Some(Arc::new(CompletionRequest {
            max_tokens: Some(low),
            ..CompletionRequest::clone(request)
        })))
    }

    /// Whether a call was lowered to what was left and then came too late for it. `before` counts how often.
    pub(crate) fn lost_its_place(&self, error: &Error, before: &mut u32) -> bool {
        let clamps = self.progress.clamps.load(Relaxed);
        let lowered = clamps > std::mem::replace(before, clamps);
        lowered
            && clamps < RACES
            && error.kind() == ErrorKind::BudgetExceeded
            && self.progress.attempts().is_empty()
    }
}
