//! Our own routes: budgets, token counts and estimates.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use ossai::budget::config::Scope;
use ossai::{Error, ErrorKind, EstimateOptions, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body, error};
use crate::app::App;
use crate::call::Caller;
use crate::dialect::openai;

/// `GET /ossai/v1/budgets`: those of the caller's tenant, with what is spent and held.
pub(super) async fn budgets(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let tenant = &*caller.identity.tenant;
    let run = async {
        let states = app.clients.budgets.states().await?;
        let own: Vec<_> = states
            .into_iter()
            .filter(|state| match state.scope {
                Scope::Tenant => state.name.as_deref() == Some(tenant),
                _ => state.tenant.as_deref() == Some(tenant),
            })
            .collect();
        Ok(json!({ "budgets": own }))
    };
    answer(run.await)
}

/// `POST /ossai/v1/count` with a Chat Completions request, or with `{"model", "text"}`.
pub(super) async fn count(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let run = async {
        let mut body = body::read(&app, request).await?;
        let client = app.clients.get(&caller.identity.tenant)?;
        let text = body
            .as_object_mut()
            .and_then(|body| body.shift_remove("text"));
        let count = if let Some(text) = text {
            let body: TextBody = serde_path_to_error::deserialize(body)
                .map_err(|error| Error::invalid(error.path().to_string(), error.into_inner()))?;
            let Value::String(text) = text else {
                return Err(Error::invalid("text", "expected a string"));
            };
            let model = app.full_model_name(&body.model)?;
            off_thread(move || Ok(client.count_text(&model, &text))).await?
        } else {
            let request = chat_request(&app, body)?;
            off_thread(move || client.count(&request)).await?
        };
        Ok(json!(count))
    };
    answer(run.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextBody {
    model: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EstimateBody {
    request: Value,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    batch: bool,
}

/// `POST /ossai/v1/estimate` with `{"request": a Chat Completions request, "output_tokens", "cached_tokens", "batch"}`.
pub(super) async fn estimate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let run = async {
        let body = body::read(&app, request).await?;
        let body: EstimateBody = serde_path_to_error::deserialize(body)
            .map_err(|error| Error::invalid(error.path().to_string(), error.into_inner()))?;
        let request = chat_request(&app, body.request)?;
        let options = EstimateOptions {
            output_tokens: body.output_tokens,
            cached_tokens: body.cached_tokens,
            batch: body.batch,
            ..EstimateOptions::default()
        };
        let client = app.clients.get(&caller.identity.tenant)?;
        let estimate = off_thread(move || client.estimate(&request, &options)).await?;
        Ok(json!(estimate))
    };
    answer(run.await)
}

fn chat_request(app: &App, body: Value) -> Result<ossai::CompletionRequest> {
    let mut request = openai::request::read(body)?.request;
    super::chat::check_messages(app, &request)?;
    request.model = app.full_model_name(&request.model)?;
    Ok(request)
}

/// Counting megabytes takes milliseconds that other requests must not wait for.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Internal, "the work broke off").with_source(error))
        })
}

pub(super) fn answer(outcome: Result<Value>) -> Response {
    match outcome {
        Ok(value) => body::json(StatusCode::OK, &value),
        Err(error) => error::respond(&error),
    }
}
