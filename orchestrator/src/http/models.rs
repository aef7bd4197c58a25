//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use ossai::{Error, ErrorKind, ModelInfo, Result};
use serde_json::Value;

use super::{body, error};
use crate::app::App;
use crate::call::Caller;
use crate::dialect::anthropic::models::{self, Page};
use crate::dialect::openai;

/// How long a list is good: asking every provider takes as long as the slowest one.
const FRESH: Duration = Duration::from_secs(30);
/// How long providers may take to list their models.
const PATIENCE: Duration = Duration::from_secs(20);

type Kept = (Instant, Arc<Vec<ModelInfo>>);

/// The lists got lately, by tenant and provider; the empty provider stands for all.
pub(crate) struct ModelLists {
    most: usize,
    kept: Mutex<HashMap<(Arc<str>, String), Kept>>,
}

impl ModelLists {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            kept: Mutex::default(),
        }
    }

    /// The models of a provider, or of all, that this caller may ask.
    pub(crate) async fn get(
        &self,
        app: &App,
        caller: &Caller,
        provider: Option<&str>,
    ) -> Result<Arc<Vec<ModelInfo>>> {
        let models = self.of_tenant(app, caller, provider).await?;
        let bounds = &caller.identity.bounds;
        if !bounds.picks_models() {
            return Ok(models);
        }
        let allowed = models.iter().filter(|model| bounds.permit(&model.id));
        Ok(Arc::new(allowed.cloned().collect()))
    }

    async fn of_tenant(
        &self,
        app: &App,
        caller: &Caller,
        provider: Option<&str>,
    ) -> Result<Arc<Vec<ModelInfo>>> {
        let key = (
            Arc::clone(&caller.identity.tenant),
            provider.unwrap_or_default().to_owned(),
        );
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, models)) = lock().get(&key)
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(models));
        }
        let client = app.clients.get(&caller.identity.tenant)?;
        let models = tokio::time::timeout(PATIENCE, client.models(provider))
            .await
            .map_err(|_| Error::timeout("first_byte", "total"))??;
        let models = Arc::new(models);
        let mut kept = lock();
        if kept.len() >= self.most {
            kept.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if kept.len() < self.most {
            kept.insert(key, (Instant::now(), Arc::clone(&models)));
        }
        Ok(models)
    }
}

/// In Anthropic's form for its clients, which name their version of it.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let anthropic = error::is_anthropic(uri.path(), &headers);
    let run = async {
        let page = if anthropic {
            let query = Query::try_from_uri(&uri);
            let Query(pairs) = query.map_err(|error| Error::invalid("query", error.body_text()))?;
            Some(Page::read(pairs)?)
        } else {
            None
        };
        let models = app.models.get(&app, &caller, None).await?;
        match page {
            Some(page) => models::list(&models, &page),
            None => Ok(openai::models::list(&models)),
        }
    };
    answer(run.await, anthropic, &caller)
}

/// An id has a slash in it, which clients encode or not; both arrive here decoded.
pub(super) async fn retrieve(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let anthropic = error::is_anthropic(uri.path(), &headers);
    let find = async {
        let id = app.full_model_name(&id)?;
        let provider = id.split('/').next().unwrap_or_default();
        let models = app.models.get(&app, &caller, Some(provider)).await?;
        let found = models.iter().find(|model| model.id == id);
        let write = if anthropic {
            models::one
        } else {
            openai::models::one
        };
        found.map(write).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such model")
                .with(|fields| fields.field = Some("model".into()))
        })
    };
    answer(find.await, anthropic, &caller)
}

fn answer(outcome: Result<Value>, anthropic: bool, caller: &Caller) -> Response {
    match outcome {
        Ok(body) => body::json(StatusCode::OK, &body),
        Err(error) => error::respond_as(anthropic, &error, &caller.request_id),
    }
}
