//! What a configuration says of gathering.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Whether embeddings asked for at the same time go out as one request. A call that finds nothing under way goes at once;
/// those that come while one is under way go together when it returns, when a request is full, or after their wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Gather {
    /// Whether they do.
    pub enabled: bool,
    /// The longest a call waits for others, in milliseconds. It never waits longer than half of what requests took lately.
    pub max_wait_ms: u64,
    /// Most inputs of one request; absent, and at most, what the vendor takes.
    pub max_inputs: Option<u64>,
    /// Most tokens of one request, likewise.
    pub max_tokens: Option<u64>,
}

impl Default for Gather {
    fn default() -> Self {
        Self {
            enabled: false,
            max_wait_ms: 50,
            max_inputs: None,
            max_tokens: None,
        }
    }
}

impl Gather {
    /// Checks what types cannot.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, value) in [
            ("max_wait_ms", Some(self.max_wait_ms)),
            ("max_inputs", self.max_inputs),
            ("max_tokens", self.max_tokens),
        ] {
            if value == Some(0) {
                return Err(Error::invalid(
                    format!("config.gather.{name}"),
                    "expected at least 1",
                ));
            }
        }
        Ok(())
    }
}
