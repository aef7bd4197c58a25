//! What all requests of a server share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ossai::budget::SharedBudgets;
use ossai::ledger::Untold;
use ossai::{Client, Error, ErrorKind, Result};
use tokio::sync::Semaphore;

use crate::config::{Auth, ServeConfig};
use crate::grpc::resume::Kept;
use crate::guard::limiter::Limiter;
use crate::guard::replay::Replays;
use crate::http::ModelLists;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::keyring::{Identity, Keyring};
use crate::store::writer::Recorder;

/// The tenant of every call while keys are off.
pub(crate) const DEFAULT_TENANT: &str = "default";

pub(crate) struct App {
    pub(crate) config: ServeConfig,
    pub(crate) auth: Auth,
    pub(crate) store: Store,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) clients: Clients,
    pub(crate) models: ModelLists,
    pub(crate) kept: Kept,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) replays: Arc<Replays>,
    /// Who calls while keys are off.
    pub(crate) nobody: Identity,
    /// New calls are refused.
    pub(crate) closing: AtomicBool,
    /// The server says it is not ready.
    pub(crate) leaving: AtomicBool,
}

impl App {
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.config
            .limits
            .concurrent_requests
            .saturating_sub(self.room.available_permits())
    }

    /// A model's full name: one without a provider gets the default one, if there is one.
    ///
    /// # Errors
    /// `not_found`, as the vendors answer for a model that does not exist.
    pub(crate) fn full_model_name(&self, model: &str) -> Result<String> {
        if model.contains('/') {
            return Ok(model.to_owned());
        }
        if let Some(provider) = self
            .config
            .default_provider
            .as_ref()
            .filter(|_| !model.is_empty())
        {
            return Ok(format!("{provider}/{model}"));
        }
        let shown: String = model.chars().take(64).filter(|c| !c.is_control()).collect();
        Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "there is no model `{shown}`: name it `provider/model`, for example `openai/gpt-4o-mini` or `local/extract`"
            ),
        )
        .with(|fields| {
            fields.field = Some("model".into());
            fields.provider_code = Some("model_not_found".into());
        }))
    }
}

/// A client per tenant. They share nothing but the budgets' ledger: cached answers, shared calls, retry quotas and
/// connections are a tenant's own.
pub(crate) struct Clients {
    template: ossai::Config,
    pub(crate) budgets: SharedBudgets,
    untold: Untold,
    most: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    clients: HashMap<Arc<str>, (Client, u64)>,
    clock: u64,
}

impl Clients {
    /// # Errors
    /// Budgets that are wrong.
    pub(crate) fn new(template: ossai::Config, most: usize, untold: Untold) -> Result<Self> {
        Ok(Self {
            budgets: SharedBudgets::new(&template)?,
            template,
            untold,
            most,
            held: Mutex::default(),
        })
    }

    /// The tenant's client, made when it is not held; the one unused for longest makes room. Calls under way keep theirs.
    pub(crate) fn get(&self, tenant: &Arc<str>) -> Result<Client> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clock += 1;
        let now = held.clock;
        if let Some((client, used)) = held.clients.get_mut(tenant) {
            *used = now;
            return Ok(client.clone());
        }
        let config = ossai::Config {
            tenant: Some(tenant.to_string()),
            ..self.template.clone()
        };
        let client = Client::with_records(config, &self.budgets, Arc::clone(&self.untold))?;
        if held.clients.len() >= self.most {
            let oldest = held
                .clients
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(name, _)| Arc::clone(name));
            if let Some(oldest) = oldest {
                held.clients.remove(&oldest);
            }
        }
        held.clients
            .insert(Arc::clone(tenant), (client.clone(), now));
        Ok(client)
    }
}
