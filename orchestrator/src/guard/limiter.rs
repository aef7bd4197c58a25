//! Requests and tokens per minute and places at once, of tenants and of keys.
//!
//! A rate of N a minute is a bucket that holds N and leaks N a minute: N may come at once, and any minute takes at most
//! 2 N. Admission over both scopes is one step, all or nothing. State is in memory: several servers each grant the whole
//! rate, and a restart forgets what was used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ossai::{Error, ErrorKind, Result};

use super::Bounds;
use crate::config::Allowance;
use crate::store::keyring::Identity;

/// One unit in a bucket, so that a microsecond's leak of any rate is a whole number.
const UNIT: u128 = 60_000_000;
/// Above so many names those without anything to remember are forgotten.
const TIDY: usize = 4096;
/// When a place may be free again: nobody knows.
const PLACE_HINT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    used: u128,
    at: Instant,
}

impl Bucket {
    fn leak(&mut self, rate: u64, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_micros();
        self.used = self
            .used
            .saturating_sub(passed.saturating_mul(u128::from(rate)));
        self.at = self.at.max(now);
    }

    /// How long until so many fit; nothing when they fit now.
    fn wait(&self, rate: u64, amount: u64) -> Option<Duration> {
        let room = u128::from(rate).saturating_mul(UNIT);
        let wanted = self
            .used
            .saturating_add(u128::from(amount).saturating_mul(UNIT));
        let over = wanted.checked_sub(room).filter(|over| *over > 0)?;
        let micros = over.div_ceil(u128::from(rate.max(1)));
        Some(Duration::from_micros(
            u64::try_from(micros).unwrap_or(u64::MAX),
        ))
    }

    fn add(&mut self, amount: u64) {
        self.used = self
            .used
            .saturating_add(u128::from(amount).saturating_mul(UNIT));
    }

    fn give_back(&mut self, amount: u64) {
        self.used = self
            .used
            .saturating_sub(u128::from(amount).saturating_mul(UNIT));
    }
}

struct Account {
    requests: Bucket,
    tokens: Bucket,
    running: u64,
    last: Instant,
}

impl Account {
    fn new(now: Instant) -> Self {
        let empty = Bucket { used: 0, at: now };
        Self {
            requests: empty,
            tokens: empty,
            running: 0,
            last: now,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Tenant,
    Key,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
        }
    }
}

type Accounts = HashMap<(Scope, Arc<str>), Account>;

/// The accounts of all callers that are counted.
#[derive(Default)]
pub(crate) struct Limiter {
    accounts: Mutex<Accounts>,
}

/// Whom a request counts for: each scope with its name and bounds.
fn scopes(identity: &Identity) -> impl Iterator<Item = (Scope, Arc<str>, &Allowance)> {
    let Bounds { tenant, key, .. } = &*identity.bounds;
    let first = (Scope::Tenant, Arc::clone(&identity.tenant), tenant);
    let second = identity
        .key_id
        .as_ref()
        .map(|id| (Scope::Key, Arc::clone(id), key));
    std::iter::once(first).chain(second)
}

impl Limiter {
    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request in, before anything of its body is read.
    ///
    /// # Errors
    /// `rate_limited` naming the scope and the bound, with the time until it fits.
    pub(crate) fn admit(
        self: &Arc<Self>,
        identity: &Identity,
        now: Instant,
    ) -> Result<Option<Seat>> {
        if !identity.bounds.counts {
            return Ok(None);
        }
        let mut accounts = self.accounts();
        if accounts.len() > TIDY {
            accounts.retain(|_, account| {
                account.running > 0
                    || now.saturating_duration_since(account.last) < Duration::from_secs(120)
            });
        }
        for (scope, name, bounds) in scopes(identity) {
            let account = accounts
                .entry((scope, name))
                .or_insert_with(|| Account::new(now));
            account.last = now;
            if let Some(rate) = bounds.requests_per_minute {
                account.requests.leak(rate, now);
                if let Some(wait) = account.requests.wait(rate, 1) {
                    return Err(refusal(scope, "requests_per_minute", rate, wait));
                }
            }
            if let Some(rate) = bounds.tokens_per_minute {
                account.tokens.leak(rate, now);
                if let Some(wait) = account.tokens.wait(rate, 1) {
                    return Err(refusal(scope, "tokens_per_minute", rate, wait));
                }
            }
            if let Some(most) = bounds.concurrency
                && account.running >= most
            {
                return Err(refusal(scope, "concurrency", most, PLACE_HINT));
            }
        }
        for (scope, name, bounds) in scopes(identity) {
            if let Some(account) = accounts.get_mut(&(scope, name)) {
                account.running += 1;
                if bounds.requests_per_minute.is_some() {
                    account.requests.add(1);
                }
            }
        }
        Ok(Some(Seat {
            limiter: Arc::clone(self),
            identity: identity.clone(),
        }))
    }

    /// Reserves the tokens a call is likely to use.
    ///
    /// # Errors
    /// `rate_limited` as above; `request_too_large` for more tokens than a minute ever has.
    pub(crate) fn reserve(&self, identity: &Identity, tokens: u64, now: Instant) -> Result<()> {
        let mut accounts = self.accounts();
        for (scope, name, bounds) in scopes(identity) {
            let Some(rate) = bounds.tokens_per_minute else {
                continue;
            };
            if tokens > rate {
                let message = format!(
                    "the call needs about {tokens} tokens, the {}'s limit is {rate} a minute (`tokens_per_minute`)",
                    scope.name()
                );
                return Err(named(
                    ErrorKind::RequestTooLarge,
                    message,
                    scope,
                    "tokens_per_minute",
                ));
            }
            let account = accounts
                .entry((scope, name))
                .or_insert_with(|| Account::new(now));
            account.tokens.leak(rate, now);
            if let Some(wait) = account.tokens.wait(rate, tokens) {
                return Err(refusal(scope, "tokens_per_minute", rate, wait));
            }
        }
        for (scope, name, bounds) in scopes(identity) {
            if bounds.tokens_per_minute.is_some()
                && let Some(account) = accounts.get_mut(&(scope, name))
            {
                account.tokens.add(tokens);
            }
        }
        Ok(())
    }

    /// Replaces what was reserved by what was used, more or less.
    pub(crate) fn settle(&self, identity: &Identity, reserved: u64, used: u64) {
        let mut accounts = self.accounts();
        for (scope, name, bounds) in scopes(identity) {
            if bounds.tokens_per_minute.is_some()
                && let Some(account) = accounts.get_mut(&(scope, name))
            {
                account.tokens.add(used);
                account.tokens.give_back(reserved);
            }
        }
    }
}

fn named(kind: ErrorKind, message: String, scope: Scope, bound: &str) -> Error {
    Error::new(kind, message).with(|fields| {
        fields.field = Some(format!("{}.{bound}", scope.name()));
        fields.detail = Some(bound.to_owned());
    })
}

fn refusal(scope: Scope, bound: &str, limit: u64, wait: Duration) -> Error {
    let message = format!("over the {}'s limit of {limit} (`{bound}`)", scope.name());
    let millis = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    named(ErrorKind::RateLimited, message, scope, bound)
        .with(|fields| fields.retry_after_ms = Some(millis.max(1)))
}

/// A request's place among those of its tenant and key, free again when it is dropped.
pub(crate) struct Seat {
    limiter: Arc<Limiter>,
    identity: Identity,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut accounts = self.limiter.accounts();
        for (scope, name, _) in scopes(&self.identity) {
            if let Some(account) = accounts.get_mut(&(scope, name)) {
                account.running = account.running.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
#[path = "limiter/tests.rs"]
mod tests;
