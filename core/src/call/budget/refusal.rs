//! What a try that is not let pass is told.

use super::super::pipeline::Flight;
use crate::budget::config::Scope;
use crate::budget::{Applied, Ask, Refused, Short, Unit, unavailable};
use crate::error::{Error, ErrorKind};
use crate::types::{BudgetRefusal, NanoUsd, TraceStep};

impl Flight {
    /// The error of a try that was not let pass.
    pub(super) fn refused(&self, refused: Refused, ask: &Ask, applied: &[Applied<'_>]) -> Error {
        let shorts = match refused {
            Refused::Unavailable(source) => {
                self.note("unavailable");
                return unavailable().with(|fields| fields.source = source);
            }
            Refused::Short(shorts) => shorts,
        };
        let budgets: Vec<BudgetRefusal> = shorts
            .iter()
            .filter_map(|short| refusal(short, ask, applied))
            .collect();
        let first = budgets.first().cloned().unwrap_or_default();
        self.note(match first.scope.as_str() {
            "key" => "key",
            "user" => "user",
            "model" => "model",
            "tag" => "tag",
            _ => "tenant",
        });
        Error::new(ErrorKind::BudgetExceeded, sentence(&first)).with(|fields| {
            fields.detail = Some(if first.unit == "tokens" {
                "insufficient_tokens".into()
            } else {
                "insufficient_money".into()
            });
            fields.budgets = budgets;
        })
    }

    fn note(&self, why: &'static str) {
        self.progress.trace.note(&*self.core.clock, || {
            TraceStep::new("budget", "refused").why(why)
        });
    }
}

fn refusal(short: &Short, ask: &Ask, applied: &[Applied<'_>]) -> Option<BudgetRefusal> {
    let entry = ask.entries.get(short.entry)?;
    let on = applied
        .iter()
        .find(|on| on.account == entry.account && !on.budget.soft)?;
    Some(BudgetRefusal {
        scope: on.budget.scope.name().into(),
        tag: on.budget.tag.clone(),
        name: on.value.clone(),
        window: on.budget.window.name().into(),
        unit: match short.unit {
            Unit::Money => "nano_usd".into(),
            Unit::Tokens => "tokens".into(),
        },
        limit: short.limit,
        spent: short.spent,
        held: short.held,
        asked: short.asked,
        available: short
            .limit
            .saturating_sub(short.spent)
            .saturating_sub(short.held),
        resets_at_ms: on.ends.and_then(|ends| u64::try_from(ends).ok()),
    })
}

fn sentence(refusal: &BudgetRefusal) -> String {
    let amount = |n: u64| match refusal.unit.as_str() {
        "tokens" => format!("{n} tokens"),
        _ => NanoUsd(n).to_string(),
    };
    let whose = match (&refusal.tag, &refusal.name) {
        (Some(tag), Some(name)) => format!("{tag} `{name}`"),
        (None, Some(name)) if refusal.scope == Scope::User.name() => format!("user `{name}`"),
        (_, Some(name)) => format!("{} `{name}`", refusal.scope),
        (_, None) => "calls without a tenant".into(),
    };
    format!(
        "the budget of {whose} ({} per {}) has {} left, {} spent and {} held: the call may take {}",
        amount(refusal.limit),
        refusal.window,
        amount(refusal.available),
        amount(refusal.spent),
        amount(refusal.held),
        amount(refusal.asked),
    )
}
