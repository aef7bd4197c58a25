//! Fall-back lists: which models are asked in a model's place when it cannot answer.
//!
//! A fall-back begins when the model's own tries are over, and never once an event has reached the caller. What answered
//! stands in the answer's `model`; price and cache key are that model's, so that no key ever holds another model's answer.
//! Calls share a flight only with calls that fall back alike. How they are asked one after the other is [`super::elsewhere`].

use std::sync::Arc;

use super::flight::Key as FlightKey;
use super::key::Key;
use super::validate::split_model;
use crate::client::Core;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{CallOptions, CompletionRequest};

/// Most models in a list.
const MOST: usize = 8;

/// Failures after which another model may be asked.
const USUAL: [ErrorKind; 7] = [
    ErrorKind::ConnectFailed,
    ErrorKind::TransportInterrupted,
    ErrorKind::Timeout,
    ErrorKind::UpstreamError,
    ErrorKind::Overloaded,
    ErrorKind::RateLimited,
    ErrorKind::CircuitOpen,
];

/// Failures for which it may be asked where the caller says so; the others are the caller's mistakes, its budget or ours.
const ON_REQUEST: [ErrorKind; 10] = [
    ErrorKind::ContentFiltered,
    ErrorKind::ContextLengthExceeded,
    ErrorKind::QuotaExhausted,
    ErrorKind::Authentication,
    ErrorKind::PermissionDenied,
    ErrorKind::NotFound,
    ErrorKind::RequestTooLarge,
    ErrorKind::DecodeError,
    ErrorKind::UnexpectedContentType,
    ErrorKind::Unsupported,
];

/// What a call falls back to.
#[derive(Debug)]
pub(crate) struct Fallbacks {
    pub(crate) models: Vec<String>,
    pub(crate) on: Vec<String>,
    /// Where they are; none on the orchestrator's road, which asks them itself.
    pub(crate) routes: Vec<Arc<Route>>,
}

/// Checks a list of models.
pub(crate) fn check_models(path: &str, models: &[String]) -> Result<()> {
    if models.len() > MOST {
        return Err(Error::invalid(path, format!("expected at most {MOST}")));
    }
    for (i, model) in models.iter().enumerate() {
        let good = split_model(model).is_ok() && !model.chars().any(char::is_control);
        if !good {
            return Err(Error::invalid(
                format!("{path}[{i}]"),
                "expected `provider/model`",
            ));
        }
    }
    Ok(())
}

/// Checks how many further addresses there are; each is read where its first one is.
pub(crate) fn check_addresses(path: &str, addresses: &[String]) -> Result<()> {
    if addresses.len() > MOST {
        return Err(Error::invalid(path, format!("expected at most {MOST}")));
    }
    Ok(())
}

/// Checks a list of kinds.
pub(crate) fn check_kinds(path: &str, kinds: &[String]) -> Result<()> {
    for (i, name) in kinds.iter().enumerate() {
        let kind = ErrorKind::from_name(name);
        if !kind.is_some_and(|kind| ON_REQUEST.contains(&kind) || USUAL.contains(&kind)) {
            let names = ON_REQUEST.map(ErrorKind::name).join(", ");
            return Err(Error::invalid(
                format!("{path}[{i}]"),
                format!("expected one of {names}"),
            ));
        }
    }
    Ok(())
}

impl Core {
    /// What this call of `model` falls back to: its own list, else the configured one of its model. `request` is there
    /// where it has a cost to be checked.
    pub(crate) fn fallbacks(
        &self,
        model: &str,
        request: Option<&CompletionRequest>,
        options: &CallOptions,
        remote: bool,
    ) -> Result<Option<Arc<Fallbacks>>> {
        let config = &self.config.fallback;
        let models = match &options.fallbacks {
            Some(models) => models.as_slice(),
            None if config.models.is_empty() => return Ok(None),
            None => config.models.get(model).map_or(&[][..], Vec::as_slice),
        };
        // A model of a batch is asked once, whatever is configured for others.
        if models.is_empty() || options.is_batch() {
            return Ok(None);
        }
        let on = options.fallback_on.as_ref().unwrap_or(&config.on);
        let mut routes = Vec::new();
        if !remote {
            for (i, model) in models.iter().enumerate() {
                let (provider, _) = split_model(model)?;
                let route = self.routes.direct(provider).map_err(|error| {
                    Error::invalid(
                        format!("options.fallbacks[{i}]"),
                        error.fields().message.clone(),
                    )
                })?;
                if let (Some(max_cost), Some(request)) = (options.max_cost, request) {
                    let request = CompletionRequest {
                        model: model.clone(),
                        ..request.clone()
                    };
                    self.check_cost(&request, &CallOptions::default(), max_cost)?;
                }
                routes.push(Arc::clone(route));
            }
        }
        Ok(Some(Arc::new(Fallbacks {
            models: models.to_vec(),
            on: on.clone(),
            routes,
        })))
    }
}

impl Fallbacks {
    /// The key under which calls that fall back alike share a flight.
    pub(crate) fn flight_key(&self, key: Key) -> FlightKey {
        let mut digest = blake3::Hasher::new();
        digest.update(&key.0);
        for list in [&self.models, &self.on] {
            digest.update(&(list.len() as u64).to_le_bytes());
            for name in list {
                digest.update(&(name.len() as u64).to_le_bytes());
                digest.update(name.as_bytes());
            }
        }
        digest.finalize().into()
    }

    /// Whether another model may be asked after this.
    pub(super) fn allow(&self, error: &Error) -> bool {
        let kind = error.kind();
        !is_over(error) && (is_usual(kind) || self.on.iter().any(|name| name == kind.name()))
    }
}

/// Whether a failure is the upstream's, and so worth asking another.
pub(super) fn is_usual(kind: ErrorKind) -> bool {
    USUAL.contains(&kind)
}

/// Whether the call has begun to be answered, or has no time left.
pub(super) fn is_over(error: &Error) -> bool {
    let fields = error.fields();
    fields.partial.is_some()
        || fields.gave_up.as_deref() == Some("deadline")
        || fields.kind == ErrorKind::Timeout && fields.scope.as_deref() == Some("total")
}
