//! Call options.

use ossai_proto::v1 as pb;

use crate::types::{CacheOptions, CallOptions, NanoUsd, PromptCache, Unsupported};

/// The options an orchestrator takes from a caller.
///
/// `timeout_ms` goes as `grpc-timeout` and `traceparent` as metadata. `headers` are for the direct road and `prices`
/// would let a caller talk itself out of a budget: an orchestrator takes neither. The caller sets what is not in
/// [`CallOptions`]: `request_id` and, for streams, `first_event_timeout_ms`.
#[must_use]
pub fn options_message(options: &CallOptions) -> pb::CallOptions {
    let CallOptions {
        timeout_ms: _,
        attempt_timeout_ms,
        first_byte_timeout_ms,
        stream_idle_timeout_ms,
        max_attempts,
        fallbacks,
        fallback_on,
        hedge,
        hedge_after_ms,
        safe,
        cache,
        coalesce,
        idempotency_key,
        headers: _,
        tags,
        // Who calls is for a server to know, not to be told.
        key_id: _,
        max_cost,
        prices: _,
        traceparent: _,
        trace,
        priority,
        unsupported,
        prompt_cache,
        batch,
        patience_ms,
    } = options;
    let CacheOptions {
        no_cache,
        refresh,
        max_age_ms,
        ttl_ms,
    } = *cache;
    pb::CallOptions {
        cache: Some(pb::CacheOptions {
            no_cache,
            refresh,
            max_age_ms,
            ttl_ms,
        }),
        coalesce: *coalesce,
        idempotency_key: idempotency_key.clone(),
        request_id: None,
        tags: tags.clone(),
        max_cost_nano_usd: max_cost.map(|max| max.0),
        attempt_timeout_ms: *attempt_timeout_ms,
        first_byte_timeout_ms: *first_byte_timeout_ms,
        stream_idle_timeout_ms: *stream_idle_timeout_ms,
        max_attempts: *max_attempts,
        first_event_timeout_ms: None,
        trace: *trace,
        priority: *priority,
        refuse_unsupported: unsupported.map(|unsupported| unsupported == Unsupported::Refuse),
        fallbacks: fallbacks.as_deref().map(names),
        fallback_on: fallback_on.as_deref().map(names),
        hedge: *hedge,
        hedge_after_ms: *hedge_after_ms,
        safe: *safe,
        patience_ms: *patience_ms,
        batch: *batch,
        prompt_cache: prompt_cache
            .map_or(pb::PromptCache::Unspecified, |wanted| match wanted {
                PromptCache::Off => pb::PromptCache::Off,
                PromptCache::Auto => pb::PromptCache::Auto,
                PromptCache::FiveMinutes => pb::PromptCache::FiveMinutes,
                PromptCache::OneHour => pb::PromptCache::OneHour,
            })
            .into(),
    }
}

/// What the server takes over; `request_id` is for it to read beforehand, and for unary calls `timeout_ms` comes from
/// `grpc-timeout`, see [`super::time_left`].
impl From<pb::CallOptions> for CallOptions {
    fn from(options: pb::CallOptions) -> Self {
        let pb::CallOptions {
            cache,
            coalesce,
            idempotency_key,
            request_id: _,
            tags,
            max_cost_nano_usd,
            attempt_timeout_ms,
            first_byte_timeout_ms,
            stream_idle_timeout_ms,
            max_attempts,
            first_event_timeout_ms,
            trace,
            priority,
            refuse_unsupported,
            fallbacks,
            fallback_on,
            hedge,
            hedge_after_ms,
            safe,
            patience_ms,
            prompt_cache,
            batch,
        } = options;
        let pb::CacheOptions {
            no_cache,
            refresh,
            max_age_ms,
            ttl_ms,
        } = cache.unwrap_or_default();
        Self {
            // For a stream the time for the call is the time until its first event.
            timeout_ms: first_event_timeout_ms,
            attempt_timeout_ms,
            first_byte_timeout_ms,
            stream_idle_timeout_ms,
            max_attempts,
            fallbacks: fallbacks.map(|list| list.names),
            fallback_on: fallback_on.map(|list| list.names),
            hedge,
            hedge_after_ms,
            safe,
            patience_ms,
            batch,
            prompt_cache: match pb::PromptCache::try_from(prompt_cache) {
                Ok(pb::PromptCache::Off) => Some(PromptCache::Off),
                Ok(pb::PromptCache::Auto) => Some(PromptCache::Auto),
                Ok(pb::PromptCache::FiveMinutes) => Some(PromptCache::FiveMinutes),
                Ok(pb::PromptCache::OneHour) => Some(PromptCache::OneHour),
                // What a newer peer wants of them is not known here: the configuration decides.
                Ok(pb::PromptCache::Unspecified) | Err(_) => None,
            },
            cache: CacheOptions {
                no_cache,
                refresh,
                max_age_ms,
                ttl_ms,
            },
            coalesce,
            idempotency_key,
            tags,
            max_cost: max_cost_nano_usd.map(NanoUsd),
            trace,
            priority,
            unsupported: refuse_unsupported.map(|refuse| {
                if refuse {
                    Unsupported::Refuse
                } else {
                    Unsupported::Drop
                }
            }),
            ..Self::default()
        }
    }
}

fn names(names: &[String]) -> pb::Names {
    let names = names.to_vec();
    pb::Names { names }
}
