//! What money and tokens are booked on: one scope's value in one window, of one tenant.

use std::sync::Arc;

use super::config::{Scope, Window};

/// Longest value that stands in an account's name as it is.
const LONGEST: usize = 256;

/// Whose an account is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) scope: Scope,
    pub(crate) tag: Option<&'a str>,
    pub(crate) window: Window,
}

/// One scope's value in one window of time. Equal in every process that shares a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Account {
    /// `tenant/day/acme`; `user/hour/4:acme/ada`, `tag:4:team/day/-/search` where there is no tenant. A tenant that is absent
    /// leaves the value out, which an empty one differs from.
    pub(crate) id: Arc<str>,
    /// When the window began, in milliseconds since 1970; 0 for `total`.
    pub(crate) period: i64,
}

impl Owner<'_> {
    fn prefix(&self) -> String {
        let mut id = String::with_capacity(64);
        id.push_str(self.scope.name());
        if let Some(tag) = self.tag {
            id.push_str(&format!(":{}:{tag}", tag.len()));
        }
        id.push('/');
        id.push_str(self.window.name());
        id
    }

    /// The account of this value. Users, models, keys and tags are each tenant's own.
    pub(crate) fn account(
        &self,
        tenant: Option<&str>,
        value: Option<&str>,
        period: i64,
    ) -> Account {
        let mut id = self.prefix();
        if self.scope != Scope::Tenant {
            match tenant {
                Some(tenant) => id.push_str(&format!("/{}:{tenant}", tenant.len())),
                None => id.push_str("/-"),
            }
        }
        if let Some(value) = value {
            id.push('/');
            if value.len() <= LONGEST {
                id.push_str(value);
            } else {
                id.push_str("blake3:");
                id.push_str(&blake3::hash(value.as_bytes()).to_hex());
            }
        }
        Account {
            id: id.into(),
            period,
        }
    }

    /// Tenant and value of an account, where it is one of these.
    pub(crate) fn read(&self, account: &Account) -> Option<(Option<String>, Option<String>)> {
        let rest = account.id.strip_prefix(&self.prefix())?;
        if self.scope == Scope::Tenant {
            if rest.is_empty() {
                return Some((None, None));
            }
            let tenant = rest.strip_prefix('/')?.to_owned();
            return Some((None, Some(tenant)));
        }
        let rest = rest.strip_prefix('/')?;
        if let Some(value) = rest.strip_prefix("-/") {
            return Some((None, Some(value.to_owned())));
        }
        let (length, rest) = rest.split_once(':')?;
        let length: usize = length.parse().ok()?;
        let (tenant, value) = (rest.get(..length)?, rest.get(length..)?);
        let value = value.strip_prefix('/')?.to_owned();
        Some((Some(tenant.to_owned()), Some(value)))
    }
}

impl Window {
    /// The window that holds a moment: when it began and when it ends, in milliseconds since 1970 (UTC).
    pub(crate) fn period(self, now: i64) -> (i64, Option<i64>) {
        let whole = |length: i64| {
            let start = now.div_euclid(length) * length;
            (start, Some(start + length))
        };
        match self {
            Self::Hour => whole(3_600_000),
            Self::Day => whole(86_400_000),
            Self::Month => {
                let (start, end) = crate::cost::Date::of_unix(now.div_euclid(1000)).month();
                (start * 1000, Some(end * 1000))
            }
            Self::Total => (0, None),
        }
    }
}
