//! Models and health, as a client sees them.

use serde::{Deserialize, Serialize};

use super::Extra;

/// A model one can call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelInfo {
    /// `provider/model`, as a request names it.
    pub id: String,
    /// When it was made, in seconds since 1970, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// Who owns it, in the vendor's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owned_by: Option<String>,
    /// What the vendor says beyond that.
    #[serde(skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

/// Whether an upstream takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HealthStatus {
    /// It answered and takes calls.
    Serving,
    /// It answered and takes none, or did not answer.
    NotServing,
}

/// The health of one upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `orchestrator`, or the provider's name.
    pub upstream: String,
    /// Whether it takes calls.
    pub status: HealthStatus,
    /// How long the answer took, in microseconds.
    pub latency_us: u64,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
