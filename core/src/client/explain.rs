//! What a call would do, worked out without sending it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::config::ProviderKind;
use super::prepare::Prepared;
use super::route::Route;
use super::{Client, Core, EstimateOptions};
use crate::cache::policy;
use crate::call::fallback::Fallbacks;
use crate::call::pace::Asked;
use crate::call::pipeline::millis;
use crate::call::validate;
use crate::cost::Estimate;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Nearness, fields_in_key};
use crate::provider;
use crate::types::{CacheStatus, CacheTier, CallOptions, CompletionRequest};

/// What a call would do. It holds names of fields, never their values.
///
/// Over an orchestrator it speaks of this side only: provider, cache and parameters are decided there.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The key of the call, 64 hexadecimal digits: equal keys are equal calls.
    pub key: String,
    /// What is in the key and set, as paths.
    pub key_fields: Vec<String>,
    /// Where it would go.
    pub route: RoutePlan,
    /// Where it would go after that, in order, as long as nobody answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<RoutePlan>,
    /// Whether equal requests must have equal answers: temperature 0, or a local model.
    pub deterministic: bool,
    /// What it would do with the cache.
    pub cache: CachePlan,
    /// Whether it would share a flight.
    pub sharing: SharingPlan,
    /// How long it would wait for its provider's limit, in milliseconds, as far as known.
    pub pace_ms: u64,
    /// What would become of its parameters.
    pub parameters: ParameterPlan,
    /// Time for the whole call, in milliseconds.
    pub timeout_ms: u64,
    /// Most tries.
    pub max_attempts: u32,
    /// What it would cost if it were sent.
    pub estimate: Estimate,
    /// The error it would end in before anything is sent, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Error>,
}

/// Where a call would go.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RoutePlan {
    /// `direct`, `orchestrator` or `local`.
    pub road: &'static str,
    /// The provider, or `orchestrator`.
    pub provider: String,
    /// The model as the upstream is asked for it.
    pub model: String,
    /// The wire format, on the direct road.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<provider::Api>,
    /// The address, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Which further address it is, as a path of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// What a call would do with the cache.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CachePlan {
    /// Whether it would be answered from it.
    pub status: CacheStatus,
    /// Which one would answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<CacheTier>,
    /// How old the answer is, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Whether its answer would be stored, if it is whole.
    pub stores: bool,
    /// For how long, in milliseconds.
    pub ttl_ms: u64,
    /// Why not a hit, in the words of [`crate::TraceStep`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// In what the nearest traced call before differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
}

/// Whether a call would share a flight.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct SharingPlan {
    /// It may.
    pub allowed: bool,
    /// An identical call is under way at this moment.
    pub under_way: bool,
}

/// What would become of a call's parameters.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ParameterPlan {
    /// Left out because the model or the wire format does not take them, by name.
    pub dropped: Vec<String>,
}

impl Client {
    /// What this call would do, without sending it: key, route, cache, sharing, parameters, cost.
    ///
    /// Nothing is counted and nothing waits; it needs no runtime. A cache entry that would answer stays where it is.
    ///
    /// # Errors
    /// `invalid_request` and `not_found`, as the call itself would answer. What would stop the call later but before
    /// anything is sent (no key, a cost above `max_cost`) is told in [`Explanation::refused`].
    pub fn explain(
        &self,
        request: &Arc<CompletionRequest>,
        options: &Arc<CallOptions>,
    ) -> Result<Explanation> {
        let core = &self.core;
        let mut refused = None;
        let call = match core.prepare(Arc::clone(request), Arc::clone(options)) {
            Ok(call) => call,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BudgetExceeded | ErrorKind::PriceUnknown | ErrorKind::Unsupported
                ) =>
            {
                refused = Some(error);
                let without = CallOptions {
                    max_cost: None,
                    unsupported: None,
                    ..CallOptions::clone(options)
                };
                core.prepare(Arc::clone(request), Arc::new(without))?
            }
            Err(error) => return Err(error),
        };
        let (_, model) = validate::split_model(&request.model)?;
        let route = &call.route;
        let road = if route.is_orchestrator {
            "orchestrator"
        } else if route.kind == ProviderKind::Local {
            "local"
        } else {
            "direct"
        };
        let model = if route.is_orchestrator {
            &request.model
        } else {
            model
        };
        let mut parameters = ParameterPlan::default();
        let mut url = None;
        if road == "direct" {
            let traits = core.traits(route, &request.model);
            match provider::encode_completion(route.api, request, model, &traits, false) {
                Ok(wire) => {
                    parameters.dropped = wire.dropped_params;
                    url = Some(format!("{}{}", route.base_url, wire.path));
                }
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
            if let Some(message) = &route.missing_key {
                refused
                    .get_or_insert_with(|| Error::new(ErrorKind::Authentication, message.clone()));
            }
        }
        let max_age = options.cache.max_age_ms.map(Duration::from_millis);
        let entry = core
            .memory
            .as_ref()
            .filter(|_| call.cache.read)
            .and_then(|memory| {
                [call.key, call.key.as_stream()]
                    .iter()
                    .find_map(|key| memory.get(key, call.started, max_age))
            });
        let mut cache = CachePlan {
            status: match (&entry, call.cache.read) {
                (Some(_), _) => CacheStatus::Hit,
                (None, true) => CacheStatus::Miss,
                (None, false) => CacheStatus::Bypass,
            },
            tier: entry.as_ref().map(|_| CacheTier::Memory),
            age_ms: entry
                .as_ref()
                .map(|entry| millis(call.started.saturating_sub(entry.stored_at))),
            stores: call.cache.write,
            ttl_ms: options.cache.ttl_ms.unwrap_or(core.config.cache.ttl_ms),
            why: None,
            differs: Vec::new(),
        };
        if entry.is_none() {
            if call.cache.read {
                let (why, differs) = match core.nearness(&call, false) {
                    Nearness::Unknown => ("unknown", Vec::new()),
                    Nearness::Same => ("not_kept", Vec::new()),
                    Nearness::Differs(fields) => ("differs", fields),
                };
                cache.why = Some(why.into());
                cache.differs = differs;
            } else {
                cache.why = Some(policy::bypass_reason(&core.config, options).into());
            }
        }
        let under_way = call.coalesce
            && [call.key, call.key.as_stream()]
                .iter()
                .any(|key| core.flights.is_under_way(&key.0));
        Ok(Explanation {
            key: call.key.hex(),
            key_fields: fields_in_key(&core.place(route, &route.endpoint, model), request),
            route: RoutePlan {
                road,
                provider: route.name.clone(),
                model: model.to_owned(),
                api: (road == "direct").then_some(route.api),
                url,
                place: None,
            },
            fallbacks: core.places_after(&call),
            deterministic: call.deterministic,
            cache,
            sharing: SharingPlan {
                allowed: call.coalesce,
                under_way,
            },
            pace_ms: route
                .pace
                .as_deref()
                .and_then(|lane| {
                    let pacer = lane.pacer(&request.model)?;
                    let amounts = Asked::Completion(Arc::clone(request)).amounts();
                    Some(millis(pacer.would_wait(&amounts, lane.now())))
                })
                .unwrap_or(0),
            parameters,
            timeout_ms: options.timeout_ms.unwrap_or(core.config.timeouts.total_ms),
            max_attempts: options
                .max_attempts
                .unwrap_or(core.config.retry.max_attempts),
            estimate: core.estimate(
                request,
                &EstimateOptions {
                    prices: options.prices.clone(),
                    ..EstimateOptions::default()
                },
                options.prompt_cache.unwrap_or(core.config.prompt_cache),
            )?,
            refused,
        })
    }
}

impl Core {
    /// The places a call would go to after its first.
    fn places_after(&self, call: &Prepared) -> Vec<RoutePlan> {
        let model = &call.request.model;
        let mut plans = Vec::new();
        let with_others = |plans: &mut Vec<RoutePlan>, route: &Arc<Route>, model: &str| {
            plans.extend(route.others.iter().map(|route| plan(route, model)));
        };
        with_others(&mut plans, &call.route, model);
        let listed = |plans: &mut Vec<RoutePlan>, fallbacks: &Fallbacks| {
            for (model, route) in fallbacks.models.iter().zip(&fallbacks.routes) {
                plans.push(plan(route, model));
                with_others(plans, route, model);
            }
        };
        if let Some(fallbacks) = &call.fallbacks {
            listed(&mut plans, fallbacks);
        }
        if call.route.is_orchestrator
            && self.config.fallback.direct
            && let Ok((provider, _)) = validate::split_model(model)
            && let Ok(route) = self.routes.direct(provider)
        {
            plans.push(RoutePlan {
                place: Some("config.fallback.direct".into()),
                ..plan(route, model)
            });
            with_others(&mut plans, route, model);
            if let Ok(Some(fallbacks)) =
                self.fallbacks(model, Some(&call.request), &call.options, false)
            {
                listed(&mut plans, &fallbacks);
            }
        }
        plans
    }
}

fn plan(route: &Route, model: &str) -> RoutePlan {
    let (_, name) = model.split_once('/').unwrap_or(("", model));
    let (road, model) = if route.is_orchestrator {
        ("orchestrator", model)
    } else if route.kind == ProviderKind::Local {
        ("local", name)
    } else {
        ("direct", name)
    };
    RoutePlan {
        road,
        provider: route.name.clone(),
        model: model.to_owned(),
        api: (road == "direct").then_some(route.api),
        url: (road != "local").then(|| route.base_url.clone()),
        place: route.place.clone(),
    }
}
