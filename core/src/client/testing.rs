//! What tests ask of a client in its configuration, so that they can be written once for all languages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::retry::{Clock, ScaledClock, SystemClock};

/// For tests: time runs faster, chance is repeatable, and what a machine does only on its bad days happens. Nobody should set this in production.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Testing {
    /// How many times faster every time-out and wait runs.
    pub time_scale: Option<u32>,
    /// Seed of the random source.
    pub seed: Option<u64>,
    /// The wall clock is put forward or back while the client runs; the clock of its time-outs and waits goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_jump: Option<WallJump>,
    /// Hosts whose names are asked for without ever an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hanging_hosts: Vec<String>,
    /// So many of the client's first tries meet a bug of ours and panic, when what they may cost is held.
    #[serde(skip_serializing_if = "is_zero")]
    pub panics: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// When and by how much the wall clock is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WallJump {
    /// So long after the client was made, in milliseconds.
    #[serde(default)]
    pub at_ms: u64,
    /// By so many milliseconds; negative is back.
    pub by_ms: i64,
}

impl Testing {
    pub(super) fn is_off(&self) -> bool {
        self.time_scale.is_none()
            && self.seed.is_none()
            && self.wall_jump.is_none()
            && self.hanging_hosts.is_empty()
            && self.panics == 0
    }

    /// The clock these settings ask for.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match (self.time_scale, self.wall_jump) {
            (None, None) => Arc::new(SystemClock::new()),
            (factor, jump) => Arc::new(ScaledClock::new(factor.unwrap_or(1)).jumping(jump)),
        }
    }
}
