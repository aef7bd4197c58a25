//! Why a call came out as it did: one shape for every language, every road and every case.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Most steps a trace holds; the ones after are counted in [`Trace::omitted`].
pub const MAX_STEPS: usize = 64;

/// The decisions of one call, in the order they were made.
///
/// It names stages, reasons and fields, never their values: no prompt, no answer and no credential is in it. It is there
/// when the call (`options.trace`) or the client (`config.trace`) asked for it, on an answer and on an error alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// The decisions.
    pub steps: Vec<TraceStep>,
    /// Decisions left out because there were more than [`MAX_STEPS`].
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// One decision. Its words are stable; new ones may be added.
///
/// | stage | outcome | why |
/// |---|---|---|
/// | `cache` | `hit` | the tier |
/// | | `miss` | `unknown`, `differs` (`fields`: in what from the nearest call seen), `not_kept` (the same call was seen, but its answer expired, was evicted, is too old, was never stored or is under way) |
/// | | `bypass` | `disabled`, `no_cache`, `refresh`, `not_deterministic` |
/// | | `stale` | the error a kept answer stands in for |
/// | | `renewed` | |
/// | `tier` | `hit`, `stale`, `miss` | `redis`, `disk` |
/// | | `failed` | `timeout`, `connect`, `io`, `circuit_open`, `auth`, `foreign`, `type`, `gone` … (`fields`: which tier) |
/// | `semantic` | `hit` | (`fields`: `similarity=0.9731`) |
/// | | `miss` | |
/// | | `refused` | the gate (`numbers`, `negation`, `entities`, `language`, `direction`), or `verify` |
/// | | `shadow`, `checked` | an answer was found and not given, to be compared |
/// | | `bypass` | `shape` (the last message is not one text of a user), `length` |
/// | | `failed` | the embedding's error, or why the database could not be asked (`timeout`, `connect`, `io`, `circuit_open`, `no_pgvector`, `tables` …) |
/// | `flight` | `started`, `joined` | |
/// | | `alone` | `coalesce_off`, `not_deterministic` |
/// | `gather` | `waited` | |
/// | | `alone` | `idle` (nothing was under way), `apart` (too large, or the server takes no several inputs), `single` (nobody else came), `refused` (together) |
/// | `batch` | `collected`, `found` (it was in one already) | |
/// | | `sent`, `answered` | (`fields`: the vendor's id of the batch) |
/// | `parameters` | `dropped` | `model` (`fields`: which) |
/// | `prompt_cache` | `marked`, `keyed` | (`fields`: where) |
/// | `pace` | `waited`, `refused` | `requests`, `tokens`, `retry_after` … |
/// | `budget` | `held` | |
/// | | `refused` | the scope of the budget, or `unavailable` |
/// | | `lowered` | (`fields`: `max_tokens`) |
/// | `credential` | `fetched`, `refreshed` | |
/// | `attempt` | `ok`, `failed` | the error's kind |
/// | `retry` | `waits`, `at_once` | `transient`, `throttle`; `not_processed`, `credential` |
/// | | `gives_up` | the error's `gave_up`, or `final` |
/// | `fallback` | `address`, `model`, `direct` | the error before (`fields`: which, as a path) |
/// | `resume` | `resumed`, `refused`, `failed` | the error's kind |
/// | `hedge` | `sent` | `delay`, `p95`, `failed` |
/// | | `not_sent` | `not_measured`, `attempts`, `deadline`, `quota`, `pace`, `circuit` |
/// | | `lost` | `first`, `copy` |
/// | `store` | `stored`, `not_stored` | `policy`, `incomplete` |
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceStep {
    /// When, in microseconds after the call began; of an orchestrator's step, after the call reached it.
    pub at_us: u64,
    /// What was decided upon.
    pub stage: Cow<'static, str>,
    /// How it was decided.
    pub outcome: Cow<'static, str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Cow<'static, str>>,
    /// The fields concerned, as paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The wait it led to, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// The try it belongs to, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who decided, where it was not this client: `orchestrator`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Cow<'static, str>>,
}

impl TraceStep {
    /// A step of `stage` with this outcome.
    #[must_use]
    pub fn new(stage: &'static str, outcome: &'static str) -> Self {
        Self {
            stage: stage.into(),
            outcome: outcome.into(),
            ..Self::default()
        }
    }

    /// Adds why.
    #[must_use]
    pub fn why(mut self, why: impl Into<Cow<'static, str>>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds the fields concerned.
    #[must_use]
    pub fn fields(mut self, fields: Vec<String>) -> Self {
        self.fields = fields;
        self
    }

    /// Adds the wait, in milliseconds.
    #[must_use]
    pub fn wait_ms(mut self, wait: u64) -> Self {
        self.wait_ms = Some(wait);
        self
    }

    /// Adds the number of the try.
    #[must_use]
    pub fn attempt(mut self, number: u32) -> Self {
        self.attempt = Some(number);
        self
    }
}

impl Trace {
    /// Appends a step, or counts it where there is no room.
    pub fn push(&mut self, step: TraceStep) {
        if self.steps.len() < MAX_STEPS {
            self.steps.push(step);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }
}
