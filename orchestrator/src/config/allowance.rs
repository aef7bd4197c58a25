//! What a tenant or a key may use: rates, places, models and money.

use ossai::{Error, Result};
use serde::{Deserialize, Serialize};

/// Most of any rate or ceiling: larger ones are mistakes.
const MOST: u64 = 1_000_000_000_000;
const MAX_MODELS: usize = 256;

/// Bounds of a tenant or a key; an absent one does not bind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowance {
    /// Requests in any minute; as many may come at once, then they come at this rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Input and output tokens in any minute: a call reserves its estimate and settles what it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Models that may be asked, as `provider/model` or `provider/*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Ceiling of `max_tokens`; a call that names none gets this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Ceiling of one call's highest estimated cost, in nanodollars (1,000,000,000 to the dollar).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_nano_usd: Option<u64>,
}

impl Allowance {
    /// Whether every bound is one that can be kept.
    ///
    /// # Errors
    /// `invalid_request` naming the bound beneath `path`.
    pub fn check(&self, path: &str) -> Result<()> {
        for (name, value) in [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
            ("concurrency", self.concurrency),
            ("max_tokens", self.max_tokens),
            ("max_cost_nano_usd", self.max_cost_nano_usd),
        ] {
            if value.is_some_and(|value| !(1..=MOST).contains(&value)) {
                return Err(Error::invalid(
                    format!("{path}.{name}"),
                    format_args!("expected 1 to {MOST}"),
                ));
            }
        }
        let Some(models) = &self.models else {
            return Ok(());
        };
        if models.is_empty() || models.len() > MAX_MODELS {
            return Err(Error::invalid(
                format!("{path}.models"),
                format_args!("expected 1 to {MAX_MODELS} models"),
            ));
        }
        for (i, model) in models.iter().enumerate() {
            let whole = model.split_once('/').is_some_and(|(provider, name)| {
                !provider.is_empty() && !name.is_empty() && (name == "*" || !name.contains('*'))
            });
            let plain = model.bytes().all(|b| b.is_ascii_graphic() && b != b',');
            if !whole || !plain || model.len() > 256 || model.starts_with('*') {
                return Err(Error::invalid(
                    format!("{path}.models[{i}]"),
                    "expected `provider/model` or `provider/*`",
                ));
            }
        }
        Ok(())
    }

    /// This one's bounds, and the other's where it has none.
    #[must_use]
    pub(crate) fn or(&self, default: &Self) -> Self {
        Self {
            requests_per_minute: self.requests_per_minute.or(default.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(default.tokens_per_minute),
            concurrency: self.concurrency.or(default.concurrency),
            models: self.models.clone().or_else(|| default.models.clone()),
            max_tokens: self.max_tokens.or(default.max_tokens),
            max_cost_nano_usd: self.max_cost_nano_usd.or(default.max_cost_nano_usd),
        }
    }

    /// Whether a model (`provider/model`) may be asked.
    pub(crate) fn permits(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| {
            models.iter().any(|known| match known.strip_suffix("/*") {
                Some(provider) => model
                    .strip_prefix(provider)
                    .is_some_and(|rest| rest.starts_with('/')),
                None => known == model,
            })
        })
    }

    /// The bounds there are, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let numbers = [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
            ("concurrency", self.concurrency),
            ("max_tokens", self.max_tokens),
            ("max_cost_nano_usd", self.max_cost_nano_usd),
        ];
        let mut parts: Vec<String> = numbers
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
            .collect();
        if let Some(models) = &self.models {
            parts.push(format!("models={}", models.join(",")));
        }
        parts.join(" ")
    }
}

/// A tenant the server knows by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    /// Its bounds, over [`Defaults::tenant`]; all its keys share them.
    pub limits: Allowance,
}

/// Bounds of those who have none of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// Of each tenant. Without a `concurrency` here or of its own a tenant that has keys may hold four fifths of
    /// `limits.concurrent_requests`, so that no single one shuts the others out.
    pub tenant: Allowance,
    /// Of each key.
    pub key: Allowance,
}
