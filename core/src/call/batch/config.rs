//! What a configuration says of calls that are not urgent.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How calls marked `batch` go through the vendors' batch APIs. Nothing of it is used before the first such call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// A file that says which batches are under way, so that the same calls find their answers after a restart; absent means
    /// that a batch is lost with its process. One process has it at a time. Neither prompts nor credentials are in it.
    pub journal: Option<PathBuf>,
    /// How long the first call of a batch waits for others, in milliseconds.
    pub window_ms: u64,
    /// Most requests of one batch; absent, and at most, what the vendor takes.
    pub max_requests: Option<u64>,
    /// Most bytes of one batch, likewise.
    pub max_bytes: Option<u64>,
    /// How long after its start a batch is first asked for, in milliseconds; each further wait is half as long again.
    pub poll_ms: u64,
    /// The longest wait between two looks, in milliseconds.
    pub max_poll_ms: u64,
    /// How long a call may take that says nothing of it (`timeout_ms`), in milliseconds. Vendors give up after 24 hours.
    pub timeout_ms: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            journal: None,
            window_ms: 10_000,
            max_requests: None,
            max_bytes: None,
            poll_ms: 15_000,
            max_poll_ms: 300_000,
            timeout_ms: 90_000_000,
        }
    }
}

impl Batch {
    /// Checks what types cannot.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, value) in [
            ("max_requests", self.max_requests),
            ("max_bytes", self.max_bytes),
            ("poll_ms", Some(self.poll_ms)),
            ("timeout_ms", Some(self.timeout_ms)),
        ] {
            if value == Some(0) {
                let field = format!("config.batch.{name}");
                return Err(Error::invalid(field, "expected at least 1"));
            }
        }
        if self.max_poll_ms < self.poll_ms {
            return Err(Error::invalid(
                "config.batch.max_poll_ms",
                "expected no less than `poll_ms`",
            ));
        }
        let journal = self.journal.as_ref();
        if journal.is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(Error::invalid("config.batch.journal", "expected a path"));
        }
        Ok(())
    }
}
