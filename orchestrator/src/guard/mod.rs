//! What bounds a caller: rates and places ([`limiter`]), models and money ([`wallet`]), and answers that are not paid for
//! twice ([`replay`]).

pub(crate) mod limiter;
pub(crate) mod replay;
pub(crate) mod wallet;

use std::collections::BTreeMap;

use crate::config::{Allowance, Auth, Defaults, ServeConfig, Tenant};

/// Bounds by name, as configured.
pub(crate) struct Policy {
    tenants: BTreeMap<String, Tenant>,
    defaults: Defaults,
}

/// What binds one caller: its tenant's bounds, which it shares, and its key's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) tenant: Allowance,
    pub(crate) key: Allowance,
    /// Something is counted: requests, tokens or places.
    pub(crate) counts: bool,
    /// Calls are looked into: models, ceilings or tokens.
    pub(crate) looks: bool,
}

impl Policy {
    pub(crate) fn new(config: &ServeConfig) -> Self {
        let mut defaults = config.defaults.clone();
        if config.auth() == Auth::Keys && defaults.tenant.concurrency.is_none() {
            let share = config.limits.concurrent_requests.saturating_mul(4) / 5;
            defaults.tenant.concurrency = Some(share.max(1) as u64);
        }
        Self {
            tenants: config.tenants.clone(),
            defaults,
        }
    }

    /// What binds a tenant's key, or the tenant where there are no keys.
    pub(crate) fn bounds(&self, tenant: &str, key: Option<&Allowance>) -> Bounds {
        let tenant = match self.tenants.get(tenant) {
            Some(known) => known.limits.or(&self.defaults.tenant),
            None => self.defaults.tenant.clone(),
        };
        let key = key.map_or_else(Allowance::default, |key| key.or(&self.defaults.key));
        let both = [&tenant, &key];
        Bounds {
            counts: both.iter().any(|of| {
                of.requests_per_minute.is_some()
                    || of.tokens_per_minute.is_some()
                    || of.concurrency.is_some()
            }),
            looks: both.iter().any(|of| {
                of.tokens_per_minute.is_some()
                    || of.models.is_some()
                    || of.max_tokens.is_some()
                    || of.max_cost_nano_usd.is_some()
            }),
            tenant,
            key,
        }
    }
}

impl Bounds {
    /// The lower of both ceilings.
    fn least(&self, of: impl Fn(&Allowance) -> Option<u64>) -> Option<u64> {
        match (of(&self.tenant), of(&self.key)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether a model may be asked.
    pub(crate) fn permit(&self, model: &str) -> bool {
        self.tenant.permits(model) && self.key.permits(model)
    }

    /// Whether some models may not be asked.
    pub(crate) fn picks_models(&self) -> bool {
        self.tenant.models.is_some() || self.key.models.is_some()
    }
}
