//! Which calls use the cache and share flights.
//!
//! Two calls at temperature 1 are two samples of a distribution, and a caller who asks twice wants both: only requests
//! that must answer alike are shared, unless the caller or the configuration says otherwise.

use crate::client::config::{Coalesce, Config, Store};
use crate::types::{CallOptions, Completion, CompletionRequest, FinishReason, OutputPart};

/// What a call does with the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheUse {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// Whether the same request must give the same answer.
pub(crate) fn is_deterministic(request: &CompletionRequest, local: bool) -> bool {
    local || request.temperature == Some(0.0)
}

/// What a call with these options does with the cache.
pub(crate) fn cache_use(config: &Config, options: &CallOptions, deterministic: bool) -> CacheUse {
    let asked = &options.cache;
    let eligible = config.cache.enabled
        && (deterministic
            || config.cache.store == Store::All
            || asked.ttl_ms.is_some()
            || asked.max_age_ms.is_some()
            || asked.refresh);
    CacheUse {
        read: eligible && !asked.no_cache && !asked.refresh,
        write: eligible && !asked.no_cache,
    }
}

/// Why a call with these options does not read the cache.
pub(crate) fn bypass_reason(config: &Config, options: &CallOptions) -> &'static str {
    match &options.cache {
        _ if !config.cache.enabled => "disabled",
        cache if cache.no_cache => "no_cache",
        cache if cache.refresh => "refresh",
        _ => "not_deterministic",
    }
}

/// Whether a call with these options may share a flight.
pub(crate) fn may_coalesce(config: &Config, options: &CallOptions, deterministic: bool) -> bool {
    options.coalesce.unwrap_or(match config.coalesce {
        Coalesce::Deterministic => deterministic,
        Coalesce::All => true,
        Coalesce::Off => false,
    })
}

/// Whether an answer is whole: cut, filtered and refused ones are never kept.
pub(crate) fn may_store(completion: &Completion) -> bool {
    completion.finish_reason.is_complete()
        && completion.finish_reason != FinishReason::Refusal
        && !completion
            .parts
            .iter()
            .any(|part| matches!(part, OutputPart::Refusal { .. }))
}
