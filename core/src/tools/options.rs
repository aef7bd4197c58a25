//! The bounds of a tool loop, and what becomes of a handler's failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a tool loop runs. An unknown key is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoopOptions {
    /// Most answers asked of the model, at least 1; 10 unless said otherwise. When the last of them still calls tools the
    /// call ends in `budget_exceeded` with the detail `max_turns`.
    pub max_turns: u32,
    /// Most handlers at work at once, at least 1; 8 unless said otherwise.
    pub max_parallel: u32,
    /// Time for each tool call in milliseconds, where the tool has none of its own; 30 s unless said otherwise.
    pub timeout_ms: u64,
    /// Time for each approval in milliseconds; 10 minutes unless said otherwise.
    pub approval_timeout_ms: u64,
    /// What becomes of a handler's failure.
    pub on_error: OnError,
}

/// What becomes of a handler that fails, takes too long or returns what does not fit its schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The model is told, as a tool result that is marked as an error, and goes on.
    #[default]
    Tell,
    /// The call ends in `callback_error`; other handlers at work are cancelled.
    Fail,
}

impl Default for LoopOptions {
    fn default() -> Self {
        Self {
            max_turns: 10,
            max_parallel: 8,
            timeout_ms: 30_000,
            approval_timeout_ms: 600_000,
            on_error: OnError::Tell,
        }
    }
}

impl LoopOptions {
    pub(super) fn check(&self) -> Result<()> {
        for (name, value) in [
            ("max_turns", u64::from(self.max_turns)),
            ("max_parallel", u64::from(self.max_parallel)),
            ("timeout_ms", self.timeout_ms),
            ("approval_timeout_ms", self.approval_timeout_ms),
        ] {
            if value == 0 {
                let field = format!("options.tools.{name}");
                return Err(Error::invalid(field, "expected at least 1"));
            }
        }
        Ok(())
    }

    pub(super) fn timeout(&self, own: Option<u64>) -> Duration {
        Duration::from_millis(own.unwrap_or(self.timeout_ms))
    }
}
