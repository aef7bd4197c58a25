//! What calls cost: before them an estimate, after them the figure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::route::Route;
use super::{Client, Core};
use crate::cost::{
    self, CacheWrites, Estimate, Found, InputEstimate, OutputEstimate, PriceContext, Span,
};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Counters;
use crate::provider::ModelTraits;
use crate::types::{CallOptions, CompletionRequest, Cost, CostStatus, NanoUsd, PromptCache, Usage};

/// Assumptions of an estimate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EstimateOptions {
    /// Expected tokens of the answer.
    pub output_tokens: Option<u64>,
    /// Input tokens the vendor's prompt cache is expected to hold.
    pub cached_tokens: Option<u64>,
    /// Sent through the vendor's batch API.
    pub batch: bool,
    /// Prices instead of the table's, as in [`CallOptions::prices`].
    pub prices: Option<Value>,
}

impl Client {
    /// What a request will cost, without sending it: a floor, a likely figure and a ceiling, in nanodollars.
    ///
    /// # Errors
    /// `invalid_request` for a request or prices that are wrong. An unknown price is no error: the amounts are absent.
    pub fn estimate(
        &self,
        request: &CompletionRequest,
        options: &EstimateOptions,
    ) -> Result<Estimate> {
        crate::call::validate::split_model(&request.model)?;
        crate::call::depth::completion(request)?;
        let wanted = self.core.config.prompt_cache;
        self.core.estimate(request, options, wanted)
    }
}

/// Whether the model's answers are computed here: they cost nothing, which is known.
fn is_free(model: &str) -> bool {
    model.starts_with("local/")
}

/// The dearest writing to a vendor's cache that may be chosen for a call.
fn writes(wanted: PromptCache) -> CacheWrites {
    match wanted {
        PromptCache::Auto | PromptCache::OneHour => CacheWrites::OneHour,
        PromptCache::Off | PromptCache::FiveMinutes => CacheWrites::Standard,
    }
}

impl Core {
    /// What the model's entry says of how requests to it must look.
    pub(crate) fn traits(&self, route: &Route, model: &str) -> ModelTraits {
        let entry = self.prices.find(model).map(|found| found.entry);
        let has = |cap: &str| entry.as_ref().is_some_and(|entry| entry.has_cap(cap));
        ModelTraits {
            no_sampling: has("no_sampling"),
            reasoning: entry.as_ref().map(|_| has("reasoning")),
            uses_max_completion_tokens: (!route.is_openai).then_some(false),
            developer_role: (!route.is_openai).then_some(false),
            no_top_k: route.is_openai,
            no_stream_options: false,
            default_max_tokens: entry.as_ref().and_then(|entry| entry.limits.output),
        }
    }

    pub(crate) fn estimate(
        &self,
        request: &CompletionRequest,
        options: &EstimateOptions,
        wanted: PromptCache,
    ) -> Result<Estimate> {
        let count = self.count_request(request)?;
        if is_free(&request.model) {
            return Ok(Estimate::free(
                Span {
                    low: count.low,
                    expected: count.tokens,
                    high: count.high,
                },
                request.max_tokens,
            ));
        }
        let found = self.found(&request.model, options.prices.as_ref())?;
        let input = InputEstimate {
            tokens: Span {
                low: count.low,
                expected: count.tokens,
                high: count.high,
            },
            cached: options.cached_tokens,
            audio: 0,
            image: 0,
            cache_writes: writes(wanted),
        };
        let output = OutputEstimate {
            max_tokens: request.max_tokens,
            expected: options.output_tokens,
            audio: false,
        };
        let context = PriceContext {
            batch: options.batch,
            ..self.price_context(Some(request))
        };
        Ok(match found {
            Some(found) => cost::estimate(&found, &input, &output, &context),
            None => cost::estimate(
                &Found::priced_by_call(&request.model, Vec::new()),
                &input,
                &output,
                &context,
            ),
        })
    }

    /// Refuses a call whose ceiling is above what its caller allows.
    pub(crate) fn check_cost(
        &self,
        request: &CompletionRequest,
        options: &CallOptions,
        max_cost: NanoUsd,
    ) -> Result<()> {
        let estimate = self.estimate(
            request,
            &EstimateOptions {
                prices: options.prices.clone(),
                batch: options.is_batch(),
                ..EstimateOptions::default()
            },
            options.prompt_cache.unwrap_or(self.config.prompt_cache),
        )?;
        match (estimate.status, estimate.high) {
            (CostStatus::Unknown, _) => {
                Err(Error::new(ErrorKind::PriceUnknown, format!("no price is known for `{}`", request.model)))
            }
            (_, Some(high)) if high <= max_cost => Ok(()),
            (_, high) => {
                let high = high.map_or("is not bounded".to_owned(), |high| format!("may reach {high}"));
                Err(Error::new(
                    ErrorKind::BudgetExceeded,
                    format!("the call {high}, above its limit of {max_cost}: lower `max_tokens` or raise `max_cost`"),
                ))
            }
        }
        .map_err(|error| error.with(|fields| fields.field = Some("options.max_cost".into())))
    }

    /// What a call with this usage cost.
    pub(crate) fn price(
        &self,
        model: &str,
        request: Option<&CompletionRequest>,
        options: &CallOptions,
        usage: &Usage,
    ) -> Cost {
        if is_free(model) {
            return Cost {
                status: CostStatus::Exact,
                total: Some(NanoUsd::ZERO),
                price_version: "local".into(),
                ..Cost::default()
            };
        }
        match self.found(model, options.prices.as_ref()) {
            Ok(Some(found)) => {
                let context = PriceContext {
                    batch: options.is_batch(),
                    ..self.price_context(request)
                };
                cost::cost(&found, usage, &context)
            }
            _ => Cost::default(),
        }
    }

    pub(crate) fn count_spent(&self, cost: &Cost) {
        match cost.total {
            Some(total) => Counters::add(&self.counters.spent, total.0),
            None => Counters::add(&self.counters.unpriced, 1),
        }
    }

    pub(crate) fn found(&self, model: &str, prices: Option<&Value>) -> Result<Option<Found>> {
        Ok(self.prices.find_for_call(model, prices)?)
    }

    pub(crate) fn price_context<'a>(
        &self,
        request: Option<&'a CompletionRequest>,
    ) -> PriceContext<'a> {
        let text = |name: &str| {
            request
                .and_then(|request| request.extra.get(name))
                .and_then(Value::as_str)
        };
        PriceContext {
            service_tier: request.and_then(|request| request.service_tier.as_deref()),
            speed: text("speed"),
            region: text("inference_geo"),
            ..PriceContext::at(self.clock.wall())
        }
    }
}
