//! The stage before a try that is paid for: it holds what it may cost at most, and is charged with what it did cost.
//!
//! Each try has a hold of its own, so that one that may be billed stays charged while the next must still fit, and so that
//! a second copy is paid for too. Calls over an orchestrator count there, and what is computed here costs nothing.

mod bounds;
mod clamp;
mod refusal;

use std::sync::{Arc, PoisonError};

use super::gather::{Together, deserted};
use super::pipeline::{Failure, Flight, Success, Try};
use crate::budget::config::Reserve;
use crate::budget::{Amount, Applied, Ask, Bound, Budgets, Entry, Facts, Held, Refused};
use crate::client::config::ProviderKind;
use crate::error::{Billed, Result};
use crate::transport::http::Phase;
use crate::transport::timer::IdleTimer;
use crate::types::{Completion, CompletionRequest, EmbeddingRequest, TraceStep, Usage};

/// What a try asks for, as a budget sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Billable<'a> {
    /// Something that costs nothing.
    Nothing,
    /// A completion, and how many bytes go out for it.
    Completion(&'a CompletionRequest, usize),
    /// An embedding, likewise.
    Embedding(&'a EmbeddingRequest, usize),
    /// Embeddings of several calls, each with budgets of its own.
    Together(&'a Together),
}

impl Billable<'_> {
    fn model(&self) -> &str {
        match self {
            Self::Nothing | Self::Together(_) => "",
            Self::Completion(request, _) => &request.model,
            Self::Embedding(request, _) => &request.model,
        }
    }

    fn user(&self) -> Option<&str> {
        match self {
            Self::Nothing | Self::Together(_) => None,
            Self::Completion(request, _) => request.user.as_deref(),
            Self::Embedding(request, _) => request.user.as_deref(),
        }
    }

    fn completion(&self) -> Option<&CompletionRequest> {
        match self {
            Self::Completion(request, _) => Some(request),
            _ => None,
        }
    }
}

/// The hold of one try. Dropped, as by a cancelled call, it is charged with what was sent and seen until then.
pub(crate) struct Hold<'a> {
    flight: &'a Flight,
    what: Billable<'a>,
    held: Option<Held>,
    input: Amount,
    most: Amount,
    /// Where the try is, and how many requests had gone out before.
    phase: &'a Phase,
    sends: u32,
    /// Of a gathered request instead: the holds of its calls, by their places.
    parts: Vec<(usize, Box<Self>)>,
}

impl Flight {
    /// The budgets its tries count against; `None` for nearly everybody.
    pub(super) fn budgets(&self) -> Option<&Arc<Budgets>> {
        let budgets = self.core.budgets.as_ref()?;
        (!self.route.is_orchestrator && self.route.kind != ProviderKind::Local).then_some(budgets)
    }

    /// Holds what the try may cost at most, on every budget it counts against or on none.
    ///
    /// # Errors
    /// `budget_exceeded` with the budgets that have not enough, `price_unknown` under a hard limit of money, and
    /// `budget_unavailable` when the ledger does not answer.
    pub(super) async fn hold<'a>(
        &'a self,
        budgets: &Arc<Budgets>,
        what: Billable<'a>,
    ) -> Result<Option<Box<Hold<'a>>>> {
        match what {
            Billable::Nothing => Ok(None),
            Billable::Together(together) => self.hold_each(budgets, together).await,
            what => self.hold_one(budgets, what).await,
        }
    }

    /// Holds for each call of a gathered request; who has not enough is told so, and the others go.
    async fn hold_each<'a>(
        &'a self,
        budgets: &Arc<Budgets>,
        together: &'a Together,
    ) -> Result<Option<Box<Hold<'a>>>> {
        let (mut places, mut parts) = (Vec::new(), Vec::new());
        let phase = self.phase();
        for place in together.present() {
            let Some(passenger) = together.passengers.get(place) else {
                continue;
            };
            let what = Billable::Embedding(&passenger.part, passenger.bytes);
            match passenger.flight.hold_one(budgets, what).await {
                Ok(hold) => {
                    places.push(place);
                    parts.extend(hold.map(|mut hold| {
                        (hold.phase, hold.sends) = (phase, phase.sends());
                        (place, hold)
                    }));
                }
                Err(refused) => together.refuse(passenger, refused),
            }
        }
        if places.is_empty() {
            return Err(deserted());
        }
        together.board(places);
        if parts.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(Hold {
            flight: self,
            what: Billable::Together(together),
            held: None,
            input: Amount::default(),
            most: Amount::default(),
            phase,
            sends: phase.sends(),
            parts,
        })))
    }

    async fn hold_one<'a>(
        &'a self,
        budgets: &Arc<Budgets>,
        what: Billable<'a>,
    ) -> Result<Option<Box<Hold<'a>>>> {
        let applied = budgets.applied(&self.facts(&what), budgets.now());
        if applied.is_empty() {
            return Ok(None);
        }
        let (ask, most) = self.ask(budgets, &what, &applied)?;
        let ask = Arc::new(ask);
        let mut timer = IdleTimer::new(Arc::clone(budgets.clock()), budgets.patience);
        let answer = timer
            .limit(std::pin::pin!(Held::reserve(&budgets.ledger, &ask)))
            .await;
        let held = match answer {
            Some(Ok(held)) => held,
            // Nobody knows in time; soft budgets find out later.
            None if !ask.is_hard() => Held::unheld(&budgets.ledger, &ask),
            None => return Err(self.refused(Refused::Unavailable(None), &ask, &applied)),
            Some(Err(refused)) => return Err(self.refused(refused, &ask, &applied)),
        };
        self.progress
            .trace
            .note(&*self.core.clock, || TraceStep::new("budget", "held"));
        // What came of a try before says nothing of this one.
        *self.seen().lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(Some(Box::new(Hold {
            flight: self,
            what,
            held: Some(held),
            input: ask.input,
            most,
            phase: self.phase(),
            sends: self.phase().sends(),
            parts: Vec::new(),
        })))
    }

    fn facts<'a>(&'a self, what: &'a Billable<'_>) -> Facts<'a> {
        Facts {
            tenant: self.core.config.tenant.as_deref(),
            key: self.options.key_id.as_deref(),
            user: what.user(),
            model: what.model(),
            tags: Some(&self.options.tags),
        }
    }

    /// What is asked of which account, and the most of all.
    fn ask(
        &self,
        budgets: &Budgets,
        what: &Billable<'_>,
        applied: &[Applied<'_>],
    ) -> Result<(Ask, Amount)> {
        let any = |reserve| applied.iter().any(|on| on.budget.reserve == reserve);
        let strict = any(Reserve::Strict).then(|| self.worst(budgets, what, Reserve::Strict));
        let likely = any(Reserve::Calibrated)
            .then(|| self.worst(budgets, what, Reserve::Calibrated))
            .transpose()?;
        let strict = strict.transpose()?;
        // Where it was counted the count says what the input is, else its bytes do.
        let input = likely.or(strict).map_or(0, |worst| worst.input);
        let mut entries: Vec<Entry> = Vec::with_capacity(applied.len());
        let mut most = Amount::default();
        for on in applied {
            let worst = match on.budget.reserve {
                Reserve::Strict => strict,
                Reserve::Calibrated => likely,
            };
            let Some(worst) = worst else { continue };
            let amount = self.amount(what, on.budget, worst)?;
            most = Amount::new(most.money.max(amount.money), most.tokens.max(amount.tokens));
            let bound = (!on.budget.soft).then_some(Bound {
                money: on.budget.nano_usd,
                tokens: on.budget.tokens,
            });
            // A hard and a soft budget of the same account hold once.
            match entries.iter_mut().find(|entry| entry.account == on.account) {
                Some(entry) => {
                    entry.amount = Amount::new(
                        entry.amount.money.max(amount.money),
                        entry.amount.tokens.max(amount.tokens),
                    );
                    entry.bound = entry.bound.or(bound);
                }
                None => entries.push(Entry {
                    account: on.account.clone(),
                    ends: on.ends,
                    amount,
                    bound,
                }),
            }
        }
        entries.sort_by(|a, b| a.account.cmp(&b.account));
        let random = &self.core.random;
        let id = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
        let input = Usage {
            input_tokens: input,
            estimated: true,
            ..Usage::default()
        };
        let input = Amount::new(
            self.money(what, &input).unwrap_or(most.money),
            input.input_tokens,
        );
        Ok((Ask { id, entries, input }, most))
    }

    fn money(&self, what: &Billable<'_>, usage: &Usage) -> Option<u64> {
        let cost = self
            .core
            .price(what.model(), what.completion(), &self.options, usage);
        cost.total.map(|total| total.0)
    }

    /// What came of a stream before its try was dropped.
    pub(super) fn saw(&self, partial: Completion) {
        if self.budgets().is_some() {
            *self.seen().lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(partial));
        }
    }
}

impl Hold<'_> {
    /// Ends it by what came of the try.
    pub(super) fn settle<T: Try>(mut self, what: &T, outcome: &Result<Success<T::Value>, Failure>) {
        for (place, mut part) in std::mem::take(&mut self.parts) {
            let Some(held) = part.held.take() else {
                continue;
            };
            let charge = match outcome {
                Ok(success) => what.part(&success.value, place).map(|(usage, cost)| {
                    let money = cost.total.map_or(part.most.money, |total| total.0);
                    Amount::new(money, usage.total_tokens())
                }),
                Err(failure) => part.failed(failure),
            };
            if let Some(charge) = charge {
                held.settle(charge);
            }
        }
        let Some(held) = self.held.take() else { return };
        let charge = match outcome {
            Ok(success) => {
                let usage = what.used(self.flight, &success.value);
                if let Some(budgets) = self.flight.budgets().filter(|budgets| budgets.learns()) {
                    budgets.outputs.saw(self.what.model(), usage.output_tokens);
                }
                Some(self.charge(&usage))
            }
            Err(failure) => self.failed(failure),
        };
        if let Some(charge) = charge {
            held.settle(charge);
        }
    }

    fn failed(&self, failure: &Failure) -> Option<Amount> {
        match failure.error.fields().billed {
            // Nothing was sent, or it was refused: it costs nothing.
            Billed::No => None,
            Billed::Maybe => Some(self.input),
            Billed::Yes => Some(match failure.error.fields().partial.as_deref() {
                Some(partial) => self.partly(partial),
                // Output came and nobody knows how much.
                None => self.most,
            }),
        }
    }

    fn charge(&self, usage: &Usage) -> Amount {
        let money = self.flight.money(&self.what, usage);
        Amount::new(money.unwrap_or(self.most.money), usage.total_tokens())
    }

    /// What an answer that broke off costs: its input, and its output as far as it was seen.
    fn partly(&self, partial: &Completion) -> Amount {
        let Billable::Completion(request, _) = self.what else {
            return self.input;
        };
        let counted = self.flight.core.counted_usage(request, partial);
        let told = partial.usage.clone();
        // Some vendors say at the beginning what the input was.
        let told = if told.input_tokens == 0 {
            Usage {
                input_tokens: self.input.tokens,
                ..Usage::default()
            }
        } else {
            told
        };
        self.charge(&Usage {
            output_tokens: told.output_tokens.max(counted.output_tokens),
            estimated: true,
            ..told
        })
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        if self.phase.sends() == self.sends {
            return; // nothing was sent
        }
        let seen = self
            .flight
            .seen()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        held.settle(match seen {
            Some(partial) => self.partly(&partial),
            None => self.input,
        });
    }
}
