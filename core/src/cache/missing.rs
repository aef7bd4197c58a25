//! The one failure that is kept, for a moment: a model that there is not. Programs that name a wrong one ask for it in
//! every call; all other failures pass or are the vendor's to repeat.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::call::pipeline::Flight;
use crate::client::config::ProviderKind;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::types::TraceStep;

/// How long it is kept.
const FOR: Duration = Duration::from_secs(5);
/// Most models kept.
const MOST: usize = 1_000;

/// Models that there were not when they were last asked for. A client is one tenant's, and so is what is kept here.
#[derive(Default)]
pub(crate) struct Missing {
    /// Whether there are any; without them a call reads only this.
    any: AtomicBool,
    models: Mutex<HashMap<[u8; 32], (Duration, Error)>>,
}

/// One model at one address under one credential.
fn place(route: &Route, model: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&route.credential);
    for text in [&*route.base_url, &*route.endpoint, model] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn is_missing_model(error: &Error) -> bool {
    let fields = error.fields();
    fields.kind == ErrorKind::NotFound
        && fields.http_status == Some(404)
        && matches!(
            fields.provider_code.as_deref(),
            Some("model_not_found" | "not_found_error")
        )
}

impl Missing {
    fn get(&self, route: &Route, model: &str, now: Duration) -> Option<Error> {
        if !self.any.load(Relaxed) {
            return None;
        }
        let models = self.lock();
        let (until, error) = models.get(&place(route, model))?;
        (now < *until).then(|| error.clone())
    }

    fn note(&self, route: &Route, model: &str, error: &Error, now: Duration) {
        let mut models = self.lock();
        models.retain(|_, (until, _)| now < *until);
        if models.len() < MOST {
            let kept = error.clone().with(|fields| {
                // What was tried, was tried for another call.
                fields.attempts.clear();
                fields.upstream_request_id = None;
                fields.request_id = None;
                fields.trace = None;
            });
            models.insert(place(route, model), (now.saturating_add(FOR), kept));
        }
        self.any.store(!models.is_empty(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Duration, Error)>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn keeps_missing(&self) -> bool {
        let cache = &self.options.cache;
        self.core.config.cache.enabled
            && !cache.no_cache
            && !self.route.is_orchestrator
            && self.route.kind != ProviderKind::Local
    }

    /// Refuses a model that was found not to be there a moment ago.
    ///
    /// # Errors
    /// `not_found`, as the vendor said then.
    pub(crate) fn check_missing(&self, model: &str) -> Result<()> {
        let core = &self.core;
        if !self.keeps_missing() || self.options.cache.refresh {
            return Ok(());
        }
        match core.missing.get(&self.route, model, core.clock.now()) {
            None => Ok(()),
            Some(error) => {
                self.progress.trace.note(&*core.clock, || {
                    TraceStep::new("cache", "hit").why("missing")
                });
                Err(error)
            }
        }
    }

    /// Keeps an error that says that there is no such model.
    pub(crate) fn note_missing(&self, error: &Error) {
        if let Some(model) = self.asked.model()
            && is_missing_model(error)
            && self.keeps_missing()
        {
            let core = &self.core;
            core.missing
                .note(&self.route, model, error, core.clock.now());
        }
    }
}
