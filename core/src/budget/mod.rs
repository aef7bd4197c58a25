//! What calls may cost: budgets by tenant, key, user, model and tag, in money and in tokens.
//!
//! A try reserves the most it may cost before it is sent, in one step over every budget it counts against, and settles
//! what it did cost afterwards. So `spent + held` of a hard budget is within its limit at every instant, however many calls
//! come at once and wherever a process dies (`behaviour.md` §2.12). What is held stands in a `ledger`; the guard of a hold
//! is `held`; how much a call reserves and what it is charged with is the pipeline's stage (`call/budget.rs`).

mod account;
pub mod config;
mod held;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod kept;
mod ledger;
mod memory;
#[cfg(all(test, ossai_loom))]
mod models;
mod outputs;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(test, not(ossai_loom)))]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub(crate) use account::{Account, Owner};
use config::{Budget, Reserve, Scope, Window};
pub(crate) use held::Held;
pub(crate) use ledger::{Amount, Ask, Balance, Bound, Entry, Ledger, Refused, Short, Unit};
pub(crate) use outputs::Outputs;

use crate::client::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Clock, Random};
use crate::transport::timer::IdleTimer;
use crate::types::NanoUsd;

/// The budgets of one configuration and the ledger behind them. Clients that are given the same ones share them.
#[derive(Clone, Debug)]
pub struct SharedBudgets(pub(crate) Option<Arc<Budgets>>);

impl SharedBudgets {
    /// The budgets of this configuration; nothing is opened before the first call.
    ///
    /// # Errors
    /// `invalid_request` naming the field that is wrong; `unsupported` for a ledger file where this build has no SQLite.
    pub fn new(config: &Config) -> Result<Self> {
        config.budgets.check()?;
        if config.budgets.limits.is_empty() {
            return Ok(Self(None));
        }
        let (clock, random) = crate::client::time_and_chance(config);
        Budgets::new(config, clock, &*random).map(|budgets| Self(Some(Arc::new(budgets))))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Waits until what ended so far stands in the ledger, or five seconds.
    pub async fn flush(&self) {
        if let Some(budgets) = &self.0 {
            budgets.flush().await;
        }
    }

    /// The budgets with what is spent and held in the present windows: those with a name, and every other one something was
    /// booked on, of all tenants and keys.
    ///
    /// # Errors
    /// `budget_unavailable` when the ledger does not answer.
    pub async fn states(&self) -> Result<Vec<BudgetState>> {
        match &self.0 {
            None => Ok(Vec::new()),
            Some(budgets) => budgets.states().await,
        }
    }
}

/// What of one scope and window has its budgets: those with a name, and the one of everybody else.
#[derive(Debug)]
struct Group {
    scope: Scope,
    tag: Option<String>,
    window: Window,
    default: Option<usize>,
    named: HashMap<String, usize>,
}

impl Group {
    fn owner(&self) -> Owner<'_> {
        Owner {
            scope: self.scope,
            tag: self.tag.as_deref(),
            window: self.window,
        }
    }
}

/// Whom a call counts for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) tenant: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) model: &'a str,
    pub(crate) tags: Option<&'a BTreeMap<String, String>>,
}

/// A budget a call counts against.
#[derive(Debug)]
pub(crate) struct Applied<'a> {
    pub(crate) budget: &'a Budget,
    pub(crate) account: Account,
    /// When its window ends, in milliseconds since 1970.
    pub(crate) ends: Option<i64>,
    /// Whose it is.
    pub(crate) value: Option<String>,
}

pub(crate) struct Budgets {
    limits: Vec<Budget>,
    groups: Vec<Group>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) outputs: Outputs,
    pub(crate) clamps: bool,
    clock: Arc<dyn Clock>,
    /// How long a call waits for the ledger, on this clock.
    pub(crate) patience: Duration,
}

impl std::fmt::Debug for Budgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budgets")
            .field("limits", &self.limits.len())
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

impl Budgets {
    fn new(config: &Config, clock: Arc<dyn Clock>, random: &dyn Random) -> Result<Self> {
        let ledger = open(config, &clock, random)?;
        let mut budgets = Self::with(&config.budgets.limits, ledger, clock);
        // The file's own time is real.
        budgets.patience *= config.testing.time_scale.unwrap_or(1).max(1);
        Ok(budgets)
    }

    pub(crate) fn with(limits: &[Budget], ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (at, budget) in limits.iter().enumerate() {
            let same = |group: &&mut Group| {
                group.scope == budget.scope
                    && group.tag == budget.tag
                    && group.window == budget.window
                    && group
                        .default
                        .or_else(|| group.named.values().next().copied())
                        .and_then(|first| limits.get(first))
                        .is_some_and(|first| first.soft == budget.soft)
            };
            let place = groups.iter_mut().find(same);
            let group = match place {
                Some(group) => group,
                None => {
                    groups.push(Group {
                        scope: budget.scope,
                        tag: budget.tag.clone(),
                        window: budget.window,
                        default: None,
                        named: HashMap::new(),
                    });
                    let Some(group) = groups.last_mut() else {
                        continue;
                    };
                    group
                }
            };
            match &budget.name {
                Some(name) => {
                    group.named.insert(name.clone(), at);
                }
                None => group.default = Some(at),
            }
        }
        Self {
            groups,
            ledger,
            outputs: Outputs::default(),
            clamps: limits.iter().any(|budget| budget.clamp),
            limits: limits.to_vec(),
            clock,
            patience: PATIENCE,
        }
    }

    /// Now, in milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        wall_ms(&*self.clock)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The budgets a call counts against: of each scope and window the one with its name, else the default one.
    pub(crate) fn applied(&self, facts: &Facts<'_>, now: i64) -> Vec<Applied<'_>> {
        let mut applied = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let value = match group.scope {
                Scope::Tenant => facts.tenant,
                Scope::Key => facts.key,
                Scope::User => facts.user,
                Scope::Model => Some(facts.model),
                Scope::Tag => group
                    .tag
                    .as_ref()
                    .and_then(|tag| facts.tags?.get(tag))
                    .map(String::as_str),
            };
            if value.is_none() && group.scope != Scope::Tenant {
                continue;
            }
            let named = value.and_then(|value| group.named.get(value).copied());
            let Some(budget) = named.or(group.default).and_then(|at| self.limits.get(at)) else {
                continue;
            };
            let (start, ends) = group.window.period(now);
            let account = group.owner().account(facts.tenant, value, start);
            applied.push(Applied {
                budget,
                account,
                ends,
                value: value.map(str::to_owned),
            });
        }
        applied
    }

    /// Every budget with something on it, and every one with a name.
    pub(crate) async fn states(&self) -> Result<Vec<BudgetState>> {
        let now = self.now();
        let mut timer = IdleTimer::new(Arc::clone(&self.clock), self.patience);
        let listed = timer.limit(pin!(self.ledger.list(now).get())).await;
        let accounts = listed
            .flatten()
            .unwrap_or(Err(Refused::Unavailable(None)))
            .map_err(|_| unavailable())?;
        let mut states = Vec::new();
        for group in &self.groups {
            let (start, ends) = group.window.period(now);
            let mut seen = BTreeMap::new();
            for (name, at) in &group.named {
                seen.insert((None, Some(name.clone())), (*at, Balance::default()));
            }
            for (account, balance) in &accounts {
                let read = (account.period == start).then(|| group.owner().read(account));
                let Some((tenant, name)) = read.flatten() else {
                    continue;
                };
                let named = name
                    .as_ref()
                    .and_then(|name| group.named.get(name).copied());
                if let Some(at) = named.or(group.default) {
                    seen.insert((tenant, name), (at, *balance));
                }
            }
            for ((tenant, name), (at, balance)) in seen {
                let Some(budget) = self.limits.get(at) else {
                    continue;
                };
                let Balance { spent, held } = balance;
                let left = |limit: Option<u64>, spent: u64, held: u64| {
                    limit.map(|limit| limit.saturating_sub(spent).saturating_sub(held))
                };
                states.push(BudgetState {
                    scope: group.scope,
                    tag: group.tag.clone(),
                    tenant,
                    name,
                    window: group.window,
                    soft: budget.soft,
                    limit_nano_usd: budget.nano_usd.map(NanoUsd),
                    limit_tokens: budget.tokens,
                    spent_nano_usd: NanoUsd(spent.money),
                    spent_tokens: spent.tokens,
                    held_nano_usd: NanoUsd(held.money),
                    held_tokens: held.tokens,
                    left_nano_usd: left(budget.nano_usd, spent.money, held.money).map(NanoUsd),
                    left_tokens: left(budget.tokens, spent.tokens, held.tokens),
                    resets_at_ms: ends.and_then(|ends| u64::try_from(ends).ok()),
                });
            }
        }
        Ok(states)
    }

    /// Waits until everything said so far stands in the ledger.
    pub(crate) async fn flush(&self) {
        let mut timer = IdleTimer::new(Arc::clone(&self.clock), self.patience);
        let _ = timer.limit(pin!(self.ledger.flush().get())).await;
    }

    /// Whether any budget reserves by what calls of the kind were seen to use.
    pub(crate) fn learns(&self) -> bool {
        self.limits
            .iter()
            .any(|budget| budget.reserve == Reserve::Calibrated)
    }
}

/// A budget and what is on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BudgetState {
    /// What it is of.
    pub scope: Scope,
    /// The tag, where it is of a tag's values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Whose tenant's it is, where it is not the tenant's itself; absent also for one with a name that nothing is booked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whose it is; absent for calls without a tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it lasts.
    pub window: Window,
    /// It is booked and never refuses.
    pub soft: bool,
    /// The limit in money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_nano_usd: Option<NanoUsd>,
    /// The limit in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_tokens: Option<u64>,
    /// Money spent in this window.
    pub spent_nano_usd: NanoUsd,
    /// Tokens used in this window.
    pub spent_tokens: u64,
    /// Money held for calls under way.
    pub held_nano_usd: NanoUsd,
    /// Tokens held for calls under way.
    pub held_tokens: u64,
    /// Money that calls can still have, never below 0; absent without a limit in money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_nano_usd: Option<NanoUsd>,
    /// Tokens that calls can still have, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_tokens: Option<u64>,
    /// When the window ends, in milliseconds since 1970; absent for `total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at_ms: Option<u64>,
}

/// The error of a ledger that does not answer.
pub(crate) fn unavailable() -> Error {
    Error::new(
        ErrorKind::BudgetUnavailable,
        "the ledger of the budgets does not answer (`budgets.ledger`)",
    )
}

pub(crate) fn wall_ms(clock: &dyn Clock) -> i64 {
    let since = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How long a call waits for the ledger.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

fn open(config: &Config, clock: &Arc<dyn Clock>, random: &dyn Random) -> Result<Arc<dyn Ledger>> {
    let budgets = &config.budgets;
    let lacks = |field: &str, feature: &str| {
        Error::new(
            ErrorKind::Unsupported,
            format!("this build keeps no budgets there: it is without the feature `{feature}`"),
        )
        .with(|fields| fields.field = Some(format!("config.budgets.{field}")))
    };
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    let keep = |place| -> Arc<dyn Ledger> {
        Arc::new(kept::Kept::new(kept::Settings {
            place,
            clock: Arc::clone(clock),
            lease: Duration::from_millis(budgets.lease_ms),
            scale: config.testing.time_scale.unwrap_or(1).max(1),
            owner: i64::from_le_bytes(random.next_u64().to_le_bytes()),
        }))
    };
    if let Some(place) = &budgets.postgres {
        #[cfg(feature = "postgres")]
        {
            let database = postgres::database(place, config)?;
            return Ok(keep(kept::Place::Database(Box::new(database))));
        }
        #[cfg(not(feature = "postgres"))]
        {
            let _ = place;
            return Err(lacks("postgres", "postgres"));
        }
    }
    let Some(path) = &budgets.ledger else {
        return Ok(Arc::new(memory::Memory::new()));
    };
    #[cfg(feature = "sqlite")]
    {
        let _ = lacks;
        Ok(keep(kept::Place::File(path.clone())))
    }
    #[cfg(not(feature = "sqlite"))]
    {
        let _ = (path, clock, random);
        Err(lacks("ledger", "sqlite"))
    }
}
