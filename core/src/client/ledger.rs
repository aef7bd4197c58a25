//! What a configuration says of the client's own record of its calls.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Longest a record is kept: a century.
const MOST_DAYS: u32 = 36_500;

/// Where calls that go straight to providers are recorded: whose they were, what they used and cost, never what was said.
/// Calls over an orchestrator are recorded there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UsageConfig {
    /// The file (SQLite), which several processes of one machine may share; absent records nothing. No call waits for it
    /// or fails with it.
    pub ledger: Option<PathBuf>,
    /// Records older than so many days are taken away; 0 keeps them for ever.
    pub retention_days: u32,
}

impl Default for UsageConfig {
    fn default() -> Self {
        Self {
            ledger: None,
            retention_days: 90,
        }
    }
}

impl UsageConfig {
    /// Checks what types cannot.
    pub(crate) fn check(&self) -> Result<()> {
        if self
            .ledger
            .as_ref()
            .is_some_and(|ledger| ledger.as_os_str().is_empty())
        {
            return Err(Error::invalid("config.usage.ledger", "expected a file"));
        }
        if self.retention_days > MOST_DAYS {
            return Err(Error::invalid(
                "config.usage.retention_days",
                "expected 0 to 36,500",
            ));
        }
        Ok(())
    }
}
