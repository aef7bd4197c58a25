//! What a configuration says of budgets.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::client::Secret;
use crate::error::{Error, Result};

/// Largest limit: more is a mistake, and sums stay far from the end of their integers.
const MOST: u64 = 1_000_000_000_000_000_000;
/// Most budgets of one configuration.
const MOST_BUDGETS: usize = 10_000;

/// What calls may cost. Over an orchestrator its budgets hold and these do not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// The budgets. A call counts against every one it falls under, and is admitted by all or none.
    pub limits: Vec<Budget>,
    /// The file of the ledger (SQLite), for several processes of one machine and for what must outlive one; absent means
    /// this client's memory.
    pub ledger: Option<PathBuf>,
    /// The ledger in PostgreSQL, for processes of many machines: `postgres://user:password@host/database`. Not beside `ledger`;
    /// builds without the feature `postgres` (those of other languages) refuse it.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub postgres: Option<Secret>,
    /// How long what a process holds stays held after it was last heard of, in milliseconds; then its calls are charged
    /// with their input estimate. A living process says so every third of it.
    pub lease_ms: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            ledger: None,
            postgres: None,
            lease_ms: 60_000,
        }
    }
}

/// One budget: a limit in money, in tokens or in both, for one scope and window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// What it is of.
    #[serde(default)]
    pub scope: Scope,
    /// Of `scope` `tag`: the tag whose values have a budget each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Whose it is; absent means each one's own, unless another budget of this scope and window names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it lasts, in UTC.
    pub window: Window,
    /// The limit in nanodollars (1,000,000,000 to the dollar).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_usd: Option<u64>,
    /// The limit in tokens, input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Only booked, never refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub soft: bool,
    /// How much a call holds while it is under way.
    #[serde(default)]
    pub reserve: Reserve,
    /// Lower a call's `max_tokens` to what is left instead of refusing it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clamp: bool,
    /// Most a single call holds of it, in nanodollars. A call that then costs more overshoots by the difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_reserve_nano_usd: Option<u64>,
    /// Most tokens a single call holds of it; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_reserve_tokens: Option<u64>,
}

/// What a budget is of. Keys, users, models and tags are each tenant's own.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The client's tenant, or an orchestrator's caller's; calls without one are one more.
    #[default]
    Tenant,
    /// The key a call came to an orchestrator with.
    Key,
    /// The end user a request names (`user`).
    User,
    /// The model asked (`provider/model`).
    Model,
    /// A tag of the call (`options.tags`).
    Tag,
}

impl Scope {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::User => "user",
            Self::Model => "model",
            Self::Tag => "tag",
        }
    }
}

/// How long a budget lasts, in UTC. A call counts in the window that admitted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The hour of the clock.
    Hour,
    /// From midnight to midnight.
    Day,
    /// The calendar month.
    Month,
    /// For ever.
    Total,
}

impl Window {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }
}

/// How much a call holds while it is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reserve {
    /// The most it can cost: input by bytes, which are never fewer than tokens, and output up to `max_tokens` or the
    /// model's own limit. The limit is never passed.
    #[default]
    Strict,
    /// The high end of what it is likely to cost: input as counted, output up to `max_tokens` or what the model's answers
    /// were seen to be. More calls run side by side; one that costs more is booked in full and may pass the limit.
    Calibrated,
}

impl Budgets {
    /// Checks what types cannot.
    pub(crate) fn check(&self) -> Result<()> {
        // A living process may wait five seconds for the file, and must have said so by then.
        if !(15_000..=86_400_000).contains(&self.lease_ms) {
            return Err(Error::invalid(
                "config.budgets.lease_ms",
                "expected 15,000 to 86,400,000",
            ));
        }
        if self.ledger.is_some() && self.postgres.is_some() {
            return Err(Error::invalid(
                "config.budgets.postgres",
                "expected one of `ledger` and `postgres`",
            ));
        }
        if self.limits.len() > MOST_BUDGETS {
            return Err(Error::invalid(
                "config.budgets.limits",
                format_args!("expected at most {MOST_BUDGETS}"),
            ));
        }
        let mut seen = HashSet::new();
        for (i, budget) in self.limits.iter().enumerate() {
            let path = format!("config.budgets.limits[{i}]");
            budget.check(&path)?;
            let same = (
                budget.scope,
                &budget.tag,
                &budget.name,
                budget.window,
                budget.soft,
            );
            if !seen.insert(same) {
                return Err(Error::invalid(
                    path,
                    "expected one budget of the same scope, name, window and softness",
                ));
            }
        }
        Ok(())
    }
}

impl Budget {
    fn check(&self, path: &str) -> Result<()> {
        for (name, value) in [
            ("nano_usd", self.nano_usd),
            ("tokens", self.tokens),
            ("max_reserve_nano_usd", self.max_reserve_nano_usd),
            ("max_reserve_tokens", self.max_reserve_tokens),
        ] {
            if value.is_some_and(|value| value > MOST) {
                return Err(Error::invalid(
                    format!("{path}.{name}"),
                    format_args!("expected at most {MOST}"),
                ));
            }
        }
        if self.nano_usd.is_none() && self.tokens.is_none() {
            return Err(Error::invalid(
                format!("{path}.nano_usd"),
                "expected a limit in `nano_usd`, in `tokens`, or in both",
            ));
        }
        if (self.scope == Scope::Tag) != self.tag.is_some() {
            return Err(Error::invalid(
                format!("{path}.tag"),
                "expected the tag's name with the scope `tag`, and none with another",
            ));
        }
        if self.soft && self.clamp {
            return Err(Error::invalid(
                format!("{path}.clamp"),
                "expected a budget that refuses: a soft one leaves nothing to be lowered to",
            ));
        }
        for (name, text) in [("tag", &self.tag), ("name", &self.name)] {
            if text
                .as_ref()
                .is_some_and(|text| text.len() > 256 || text.chars().any(char::is_control))
            {
                return Err(Error::invalid(
                    format!("{path}.{name}"),
                    "expected at most 256 bytes without control characters",
                ));
            }
        }
        Ok(())
    }
}
