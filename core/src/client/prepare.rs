//! What a call is before it leaves its caller's thread: checked, routed, named by its key, with its deadline.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Core;
use super::config::{CassetteMode, ProviderKind};
use super::route::Route;
use crate::cache::policy::{self, CacheUse};
use crate::call::fallback::Fallbacks;
use crate::call::key::{self, Key, Place};
use crate::call::progress::Progress;
use crate::call::validate;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Recorder;
use crate::provider;
use crate::types::{CallOptions, CompletionRequest, Trace, Unsupported};

/// A checked call, before it leaves the caller's thread.
pub(crate) struct Prepared {
    pub(crate) request: Arc<CompletionRequest>,
    pub(crate) options: Arc<CallOptions>,
    pub(crate) route: Arc<Route>,
    pub(crate) key: Key,
    pub(crate) cache: CacheUse,
    pub(crate) coalesce: bool,
    pub(crate) started: Duration,
    pub(crate) deadline: Duration,
    pub(crate) request_id: String,
    pub(crate) deterministic: bool,
    pub(crate) fallbacks: Option<Arc<Fallbacks>>,
    /// What was decided on the caller's side, and the flight where the rest was.
    pub(crate) trace: Recorder,
    pub(crate) flown: OnceLock<Arc<Progress>>,
}

impl Prepared {
    /// The decisions so far, if anybody asked for them.
    pub(super) fn traced(&self) -> Option<Box<Trace>> {
        if !self.trace.is_on() {
            return None;
        }
        let mut trace = Trace::default();
        self.trace.copy_to(&mut trace, self.started);
        if let Some(flown) = self.flown.get() {
            flown.trace.copy_to(&mut trace, self.started);
        }
        Some(Box::new(trace))
    }
}

impl Core {
    pub(crate) fn place<'a>(
        &'a self,
        route: &'a Route,
        endpoint: &'a str,
        model: &'a str,
    ) -> Place<'a> {
        Place {
            tenant: self.config.tenant.as_deref(),
            credential: &route.credential,
            provider: &route.name,
            base_url: &route.base_url,
            endpoint,
            model,
        }
    }

    pub(crate) fn key(&self, route: &Route, model: &str, request: &CompletionRequest) -> Key {
        key::completion_key(&self.place(route, &route.endpoint, model), request)
    }

    /// When a call that starts now and has this option must be over.
    pub(crate) fn deadline(&self, started: Duration, options: &CallOptions) -> Result<Duration> {
        let usual = if options.is_batch() {
            self.config.batch.timeout_ms
        } else {
            self.config.timeouts.total_ms
        };
        let total = options.timeout_ms.unwrap_or(usual);
        if total == 0 {
            return Err(Error::timeout("queue", "total"));
        }
        Ok(started.saturating_add(Duration::from_millis(total)))
    }

    pub(super) fn prepare(
        &self,
        request: Arc<CompletionRequest>,
        options: Arc<CallOptions>,
    ) -> Result<Prepared> {
        self.check_open()?;
        let started = self.clock.now();
        let (provider, model) = validate::split_model(&request.model)?;
        validate::completion(&request)?;
        validate::options(&options)?;
        let route = Arc::clone(self.route(provider)?);
        let model = if route.is_orchestrator {
            validate::remote_options(&options)?;
            request.model.as_str()
        } else {
            model
        };
        if options.is_batch() {
            self.check_batch(&route)?;
        }
        let deadline = self.deadline(started, &options)?;
        let deterministic = policy::is_deterministic(&request, provider == "local");
        let key = self.key(&route, model, &request);
        let trace = Recorder::default();
        if options.trace.unwrap_or(self.config.trace) {
            trace.turn_on();
        }
        // Kept and shared answers may be of calls that let parameters go.
        let strict = options.unsupported == Some(Unsupported::Refuse);
        if strict {
            self.check_parameters(&route, &request, model)?;
        }
        if let Some(max_cost) = options.max_cost {
            self.check_cost(&request, &options, max_cost)?;
        }
        let fallbacks = self.fallbacks(
            &request.model,
            Some(&request),
            &options,
            route.is_orchestrator,
        )?;
        let cache = policy::cache_use(&self.config, &options, deterministic);
        // Which parameters an orchestrator's provider takes is not known here.
        let blind = strict && route.is_orchestrator;
        Ok(Prepared {
            fallbacks,
            cache: CacheUse {
                read: cache.read && !blind,
                write: cache.write && !blind,
            },
            coalesce: !blind && policy::may_coalesce(&self.config, &options, deterministic),
            request_id: self.call_id(),
            request,
            options,
            route,
            key,
            started,
            deadline,
            deterministic,
            trace,
            flown: OnceLock::new(),
        })
    }

    /// Refuses a call that no vendor's batch takes. Over an orchestrator that one knows.
    fn check_batch(&self, route: &Route) -> Result<()> {
        if !route.is_orchestrator && !route.has_batches() {
            return Err(Error::invalid(
                "options.batch",
                format!(
                    "expected a model of a provider with batches (openai, anthropic), found one of `{}`",
                    route.name
                ),
            ));
        }
        if self
            .config
            .cassette
            .as_ref()
            .is_some_and(|cassette| cassette.mode != CassetteMode::Off)
        {
            return Err(Error::invalid(
                "options.batch",
                "expected none beside a cassette: when a batch is asked for, and how often, cannot be played again",
            ));
        }
        Ok(())
    }

    /// Refuses a call of which something would have to be left out.
    fn check_parameters(
        &self,
        route: &Route,
        request: &CompletionRequest,
        model: &str,
    ) -> Result<()> {
        if route.is_orchestrator || route.kind == ProviderKind::Local {
            return Ok(());
        }
        let traits = self.traits(route, &request.model);
        let wire = provider::encode_completion(route.api, request, model, &traits, false)?;
        match wire.dropped_params.first() {
            None => Ok(()),
            Some(first) => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "`{}` does not take {}",
                    request.model,
                    wire.dropped_params.join(", ")
                ),
            )
            .with(|fields| fields.field = Some(first.clone()))),
        }
    }
}
