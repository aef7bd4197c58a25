//! The ledger in a client's memory: one lock, a few sums.
//!
//! Its holds end with their guards and so need no lease; the process that could lose them has lost the ledger too.

use std::collections::{HashMap, HashSet};

#[cfg(ossai_loom)]
use loom::sync::{Mutex, MutexGuard};
use std::sync::Arc;
#[cfg(not(ossai_loom))]
use std::sync::{Mutex, MutexGuard};

use super::account::Account;
use super::ledger::{Amount, Ask, Balance, Ledger, MOST_LISTED, Refused, Reply};

/// Most accounts held at once, those of past windows left out.
const MOST_ACCOUNTS: usize = 1_000_000;
/// Accounts from which on those of past windows are looked for.
const SWEPT_FROM: usize = 1024;

#[derive(Debug, Default)]
struct State {
    accounts: HashMap<Account, Kept>,
    /// Holds that are open.
    open: HashSet<u128>,
    /// How many accounts there were after those of past windows had gone.
    swept: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    balance: Balance,
    ends: Option<i64>,
}

/// The ledger of one client, or of those who share it.
#[derive(Debug)]
pub(crate) struct Memory(Mutex<State>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::default()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Sums are changed in steps that cannot panic.
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.lock().open.len()
    }

    #[cfg(test)]
    pub(crate) fn accounts(&self) -> usize {
        self.lock().accounts.len()
    }
}

impl State {
    fn balance(&self, account: &Account) -> Balance {
        self.accounts
            .get(account)
            .map_or_else(Balance::default, |kept| kept.balance)
    }

    /// Lets go of accounts whose window is over, by the windows of those who ask now. Each look pays for as many new
    /// accounts as there were.
    fn sweep(&mut self, ask: &Ask) {
        if self.accounts.len() < SWEPT_FROM.max(self.swept.saturating_mul(2)) {
            return;
        }
        let now = ask
            .entries
            .iter()
            .map(|entry| entry.account.period)
            .max()
            .unwrap_or(0);
        self.accounts.retain(|_, kept| {
            kept.balance.held != Amount::default() || kept.ends.is_none_or(|ends| ends > now)
        });
        self.swept = self.accounts.len();
    }
}

impl Ledger for Memory {
    fn reserve(&self, ask: &Arc<Ask>) -> Reply<Result<(), Refused>> {
        let mut state = self.lock();
        let mut shorts = Vec::new();
        for (place, entry) in ask.entries.iter().enumerate() {
            entry.check(place, &state.balance(&entry.account), &mut shorts);
        }
        if !shorts.is_empty() {
            return Reply::Now(Err(Refused::Short(shorts)));
        }
        state.sweep(ask);
        if state.accounts.len() >= MOST_ACCOUNTS {
            return Reply::Now(Err(Refused::Unavailable(None)));
        }
        for entry in &ask.entries {
            let kept = state
                .accounts
                .entry(entry.account.clone())
                .or_insert_with(|| Kept {
                    ends: entry.ends,
                    ..Kept::default()
                });
            kept.balance.held = kept.balance.held.plus(entry.amount);
        }
        state.open.insert(ask.id);
        Reply::Now(Ok(()))
    }

    fn end(&self, ask: &Arc<Ask>, charge: Option<Amount>) {
        let mut state = self.lock();
        let was_open = state.open.remove(&ask.id);
        if !was_open && charge.is_none() {
            return;
        }
        for entry in &ask.entries {
            let kept = state
                .accounts
                .entry(entry.account.clone())
                .or_insert_with(|| Kept {
                    ends: entry.ends,
                    ..Kept::default()
                });
            if was_open {
                kept.balance.held = kept.balance.held.minus(entry.amount);
            }
            kept.balance.spent = kept.balance.spent.plus(charge.unwrap_or_default());
        }
    }

    fn list(&self, now: i64) -> Reply<Result<Vec<(Account, Balance)>, Refused>> {
        let state = self.lock();
        let current = state
            .accounts
            .iter()
            .filter(|(account, kept)| {
                account.period <= now && kept.ends.is_none_or(|ends| ends > now)
            })
            .take(MOST_LISTED)
            .map(|(account, kept)| (account.clone(), kept.balance))
            .collect();
        Reply::Now(Ok(current))
    }

    fn read(&self, accounts: Vec<Account>) -> Reply<Result<Vec<Balance>, Refused>> {
        let state = self.lock();
        Reply::Now(Ok(accounts
            .iter()
            .map(|account| state.balance(account))
            .collect()))
    }

    fn flush(&self) -> Reply<()> {
        Reply::Now(())
    }
}
