//! The stage before a request is written: it puts vendors' prompt caches to use where that is expected to save money.
//!
//! A vendor keeps the beginning of a request (tools, then instructions, then messages) and bills what comes again at a
//! fraction. Anthropic keeps what a request marks, and charges more for writing it than for reading it fresh: a mark is a bet
//! that the same beginning comes again in time. OpenAI keeps by itself, and takes a key that brings equal beginnings together.
//!
//! What is added here changes what a call costs and not what the model reads (the order of tools apart, which no answer
//! should depend on), so it is no part of a call's key: an answer that was kept, or is shared, is the same with and without.
//! It is added after the look into the caches, and only to what goes out.

mod marks;
mod prefix;
mod reuse;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError};

pub(crate) use reuse::Reuse;

use self::marks::{Chosen, Prices};
use self::prefix::{Place, Prefixes};
use super::pipeline::Flight;
use crate::client::config::ProviderKind;
use crate::cost::{Meter, rates_in_force};
use crate::provider::Api;
use crate::types::{CompletionRequest, PromptCache, TraceStep};

/// About how many bytes a token has, for the least length a vendor keeps. Too few tokens are no harm: the vendor passes over
/// the mark and charges nothing for it.
const BYTES_PER_TOKEN: u64 = 4;

/// The least number of tokens kept where the price table has none for the model: the largest one published for any
/// (Anthropic, "Prompt caching": 4,096).
const LONGEST_LEAST: u64 = 4_096;

/// The least number of tokens OpenAI keeps ("Prompt caching": 1,024).
const OPENAI_LEAST: u64 = 1_024;

impl Flight {
    /// What the call, or else the client, wants of vendors' caches; where nothing can be wanted of them it is `off`.
    pub(crate) fn prompt_cache(&self) -> PromptCache {
        let wanted = self.options.prompt_cache;
        let wanted = wanted.unwrap_or(self.core.config.prompt_cache);
        if self.route.is_orchestrator || self.route.kind == ProviderKind::Local {
            return PromptCache::Off;
        }
        wanted
    }

    /// The request as it goes out: itself where nothing is expected to be saved.
    pub(crate) fn planned(
        &self,
        request: Arc<CompletionRequest>,
        wanted: PromptCache,
    ) -> Arc<CompletionRequest> {
        match self.route.api {
            Api::AnthropicMessages => self.marked(request, wanted),
            // Servers that speak likewise may refuse fields they do not know.
            _ if self.route.name == "openai" => self.keyed(request),
            _ => request,
        }
    }

    fn prefixes<'a>(&self, request: &'a CompletionRequest) -> Prefixes<'a> {
        let tenant = self.core.config.tenant.as_deref();
        // What one account has written another cannot read.
        let whose = [
            tenant.map_or(&b"-"[..], str::as_bytes),
            tenant.unwrap_or_default().as_bytes(),
            self.route.origin.as_bytes(),
            &self.route.credential,
            request.model.as_bytes(),
        ];
        Prefixes::of(request, &whose)
    }

    /// Anthropic: marks where what is before them is expected to come again.
    fn marked(
        &self,
        request: Arc<CompletionRequest>,
        wanted: PromptCache,
    ) -> Arc<CompletionRequest> {
        if request.extra.contains_key("cache_control") {
            return request; // the caller lets the vendor choose
        }
        let Some(prefixes) = self.prefixes(&request).complete() else {
            return request;
        };
        let now = self.core.clock.now();
        let tallies = self
            .core
            .prompts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .see(&prefixes, now);
        let Some((prices, least)) = self.prices_of_caching(&request, prefixes.bytes()) else {
            return request;
        };
        let chosen = marks::choose(&prefixes, &tallies, &prices, least, wanted);
        if chosen.is_empty() && prefixes.order.is_none() {
            return request;
        }
        self.progress.trace.note(&*self.core.clock, || {
            TraceStep::new("prompt_cache", "marked")
                .fields(chosen.iter().map(Chosen::name).collect())
        });
        let mut planned = CompletionRequest::clone(&request);
        prefix::reorder(&mut planned.tools, prefixes.order.as_deref());
        for mark in &chosen {
            marks::put(&mut planned, mark);
        }
        Arc::new(planned)
    }

    /// The rates that decide, and how many tokens a beginning must have. `None` where no price is known, so that nothing can
    /// be said to be saved.
    fn prices_of_caching(&self, request: &CompletionRequest, bytes: u64) -> Option<(Prices, u64)> {
        let prices = self.options.prices.as_ref();
        let found = self.core.found(&request.model, prices).ok()??;
        let context = self.core.price_context(Some(request));
        let rates = rates_in_force(&found.entry, &context, bytes / BYTES_PER_TOKEN);
        let least = found.entry.cache_min_tokens.unwrap_or(LONGEST_LEAST);
        Some((
            Prices {
                input: rates.get(Meter::Input)?,
                read: rates.get(Meter::CacheRead)?,
                write: rates.get(Meter::CacheWrite)?,
                write_1h: rates.get(Meter::CacheWrite1h),
            },
            least,
        ))
    }

    /// OpenAI: the key that brings requests with the same beginning to where it is kept.
    fn keyed(&self, request: Arc<CompletionRequest>) -> Arc<CompletionRequest> {
        if request.extra.contains_key("prompt_cache_key") {
            return request;
        }
        let Some(prefixes) = self.prefixes(&request).complete() else {
            return request;
        };
        if prefixes.bytes() / BYTES_PER_TOKEN < OPENAI_LEAST {
            return request;
        }
        // What conversations have in common; where they have nothing, the conversation itself.
        let common = |place: &Place| !matches!(place, Place::Message(_));
        let at = prefixes.boundaries.iter().rev().find(|b| common(&b.place));
        let Some(at) = at.or(prefixes.boundaries.first()) else {
            return request;
        };
        self.progress.trace.note(&*self.core.clock, || {
            TraceStep::new("prompt_cache", "keyed").fields(vec!["prompt_cache_key".into()])
        });
        let mut planned = CompletionRequest::clone(&request);
        let key = format!("ossai-{:032x}", at.hash);
        planned.extra.insert("prompt_cache_key".into(), key.into());
        prefix::reorder(&mut planned.tools, prefixes.order.as_deref());
        Arc::new(planned)
    }
}
