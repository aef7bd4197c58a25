//! What a budget says when it refuses a call.

use serde::{Deserialize, Serialize};

/// A budget that has not enough for a call: what it is, what is on it, and what is left.
///
/// Amounts are nanodollars or tokens, as `unit` says. `spent + held + asked` is more than `limit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetRefusal {
    /// What it is of: `tenant`, `key`, `user`, `model` or `tag`.
    pub scope: String,
    /// The tag, where it is of a tag's values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Whose it is; absent for calls without a tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it lasts: `hour`, `day`, `month` or `total`, in UTC.
    pub window: String,
    /// `nano_usd` or `tokens`.
    pub unit: String,
    /// The limit.
    pub limit: u64,
    /// What is spent in this window.
    pub spent: u64,
    /// What is held for calls under way.
    pub held: u64,
    /// What the call would have held.
    pub asked: u64,
    /// What is left.
    pub available: u64,
    /// When the window ends, in milliseconds since 1970; absent for `total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at_ms: Option<u64>,
}
