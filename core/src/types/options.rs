//! What a caller wants of us for one call; none of it reaches a provider unless it says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::NanoUsd;

/// Options of one call; every absent one falls back to the client's configuration. An unknown key is an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallOptions {
    /// Time for the whole call in milliseconds: queueing, all tries and the waits between them. For a stream: until its
    /// first event. 0 times out at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Time for each try in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    /// Time from sending a try to its response headers, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_timeout_ms: Option<u64>,
    /// Longest silence inside a body, in milliseconds; any byte is life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_idle_timeout_ms: Option<u64>,
    /// Most tries, the first included; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Models asked in this one's place when it cannot answer, in order (`provider/model`, at most 8); absent means the
    /// configured ones, an empty list none. Not for embeddings: their vectors differ by model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallbacks: Option<Vec<String>>,
    /// Kinds of error after which they are asked, beside the usual ones (failures of the upstream, rate limits and open
    /// circuits), by their stable names: `content_filtered`, `quota_exhausted` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_on: Option<Vec<String>>,
    /// Whether a second copy of the call goes out when the first is late, and the earlier answer is taken; absent means as
    /// configured (`hedge`). Only for a call that is `safe`. Both copies are paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<bool>,
    /// After how long the copy goes out, in milliseconds; setting it asks for one. Absent means as configured, or the 95th
    /// percentile measured for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge_after_ms: Option<u64>,
    /// A second copy of the call does no harm but cost: nothing of its answer acts by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe: Option<bool>,
    /// The call is not urgent: it goes through the vendor's batch API at half the price and is answered within 24 hours, mostly
    /// within one. Its deadline is `timeout_ms`, or `batch.timeout_ms` of the configuration. Only for whole completions of
    /// `openai` and `anthropic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<bool>,
    /// How the call uses the caches.
    pub cache: CacheOptions,
    /// Whether vendors' prompt caches are put to use for the call; absent means as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_cache: Option<PromptCache>,
    /// Whether the call may share another identical one's flight; absent means only if it is deterministic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coalesce: Option<bool>,
    /// Sent as `Idempotency-Key` instead of one of ours; 1 to 255 visible ASCII characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Further request headers, sent to the provider on the direct road.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Attribution, recorded with the call's usage and never sent to a provider.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The key a caller came with, for budgets by key: a server says so of its callers, nobody else does.
    #[serde(skip)]
    pub key_id: Option<std::sync::Arc<str>>,
    /// Refuse the call when its highest estimated cost is above this, in nanodollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<NanoUsd>,
    /// Prices for this call only, in the price table's entry form (dollars per million tokens).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<serde_json::Value>,
    /// W3C trace context of the caller (`traceparent`, Trace Context §3.2), passed on to an orchestrator and to servers whose
    /// address the configuration gives; not to a vendor's own, which has no use for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// From -10 to 10, 0 when absent: where calls wait for a provider's limit, each step puts this one as far ahead as if
    /// it had come 10 s earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// What becomes of parameters that the model or its wire format does not take; absent means `drop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<Unsupported>,
    /// Whether the answer, or the error, tells why the call came out as it did (`trace`); absent means as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<bool>,
    /// For how long, in milliseconds, those wait who share the call in the client that sent it: no wait for another try is
    /// begun that would end later. An orchestrator's matter, so no part of a program's options.
    #[doc(hidden)]
    #[serde(skip)]
    pub patience_ms: Option<u64>,
}

impl CallOptions {
    /// Whether the call goes through a vendor's batch API.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        self.batch == Some(true)
    }
}

/// What becomes of parameters that cannot be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsupported {
    /// They are left out and named in the answer's `dropped_params`.
    #[default]
    Drop,
    /// The call is refused with `unsupported` before anything is sent.
    Refuse,
}

/// Whether and how vendors' prompt caches are put to use (Anthropic's, by marks; OpenAI's, by a key).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PromptCache {
    /// Nothing is added to requests; marks and keys of the caller's own go out as they are.
    #[default]
    #[serde(rename = "off")]
    Off,
    /// Beginnings of requests that are expected to come again are kept for as long as saves most.
    #[serde(rename = "auto")]
    Auto,
    /// The same, and Anthropic keeps them for five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// The same, and Anthropic keeps them for an hour.
    #[serde(rename = "1h")]
    OneHour,
}

/// How one call uses the caches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheOptions {
    /// Neither read nor store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
    /// Do not read, but store the fresh answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refresh: bool,
    /// Accept only answers at most this old, in milliseconds. Setting it lets a non-deterministic request use the cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<u64>,
    /// Keep the answer this long, in milliseconds. Setting it lets a non-deterministic request use the cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}
