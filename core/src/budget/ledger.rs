//! What every ledger does, in memory or in a file.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::account::Account;

/// Largest amount that is booked; far beyond any call, and sums of it stay within every integer they are kept in.
const MOST: u64 = 1_000_000_000_000_000_000;

/// Money in nanodollars, and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) money: u64,
    pub(crate) tokens: u64,
}

impl Amount {
    pub(crate) fn new(money: u64, tokens: u64) -> Self {
        Self {
            money: money.min(MOST),
            tokens: tokens.min(MOST),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            money: self.money.saturating_add(other.money),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            money: self.money.saturating_sub(other.money),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// What is on an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) spent: Amount,
    pub(crate) held: Amount,
}

/// A limit on an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) money: Option<u64>,
    pub(crate) tokens: Option<u64>,
}

/// What one account is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) account: Account,
    /// When the account's window ends, in milliseconds since 1970.
    pub(crate) ends: Option<i64>,
    /// What is to be held.
    pub(crate) amount: Amount,
    /// The hard limit; a soft one refuses nothing.
    pub(crate) bound: Option<Bound>,
}

/// What a try wants to hold, over every account at once.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) id: u128,
    /// One per account.
    pub(crate) entries: Vec<Entry>,
    /// What it is charged with when nothing better is known: its input.
    pub(crate) input: Amount,
}

impl Ask {
    /// Whether a budget among them refuses.
    pub(crate) fn is_hard(&self) -> bool {
        self.entries.iter().any(|entry| entry.bound.is_some())
    }
}

/// Money or tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Money,
    Tokens,
}

/// An account that has not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// The place of its entry.
    pub(crate) entry: usize,
    pub(crate) unit: Unit,
    pub(crate) limit: u64,
    pub(crate) spent: u64,
    pub(crate) held: u64,
    pub(crate) asked: u64,
}

/// Why nothing is held.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    /// These have not enough.
    Short(Vec<Short>),
    /// Nobody knows: the ledger does not answer.
    Unavailable(Option<Arc<dyn std::error::Error + Send + Sync>>),
}

impl Entry {
    /// Adds what is missing on this account to `shorts`.
    pub(crate) fn check(&self, place: usize, balance: &Balance, shorts: &mut Vec<Short>) {
        let Some(bound) = &self.bound else { return };
        let mut look = |unit, limit: Option<u64>, spent: u64, held: u64, asked: u64| {
            let Some(limit) = limit else { return };
            if spent.saturating_add(held).saturating_add(asked) > limit {
                shorts.push(Short {
                    entry: place,
                    unit,
                    limit,
                    spent,
                    held,
                    asked,
                });
            }
        };
        let (spent, held) = (balance.spent, balance.held);
        look(
            Unit::Money,
            bound.money,
            spent.money,
            held.money,
            self.amount.money,
        );
        look(
            Unit::Tokens,
            bound.tokens,
            spent.tokens,
            held.tokens,
            self.amount.tokens,
        );
    }
}

/// An answer that is there, or on its way.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    Now(T),
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
    Later(oneshot::Receiver<T>),
}

impl<T> Reply<T> {
    /// Waits for it; `None` when whoever should answer has gone.
    pub(crate) async fn get(self) -> Option<T> {
        match self {
            Self::Now(answer) => Some(answer),
            Self::Later(answer) => answer.await.ok(),
        }
    }
}

/// Where balances and holds are kept.
pub(crate) trait Ledger: Send + Sync + std::fmt::Debug {
    /// Holds what is asked on every account, or on none, in one step.
    fn reserve(&self, ask: &Arc<Ask>) -> Reply<Result<(), Refused>>;

    /// Ends a hold with what is charged, or with nothing. Never waits and never fails: what cannot be written at once is
    /// written as soon as it can be. Ending what was never held, because the ledger did not answer, books the charge.
    fn end(&self, ask: &Arc<Ask>, charge: Option<Amount>);

    /// The accounts of the windows that hold `now`, at most 10,000.
    fn list(&self, now: i64) -> Reply<Result<Vec<(Account, Balance)>, Refused>>;

    /// What is on these accounts.
    fn read(&self, accounts: Vec<Account>) -> Reply<Result<Vec<Balance>, Refused>>;

    /// Answers once everything said before is kept.
    fn flush(&self) -> Reply<()>;
}

/// Most accounts listed.
pub(crate) const MOST_LISTED: usize = 10_000;
