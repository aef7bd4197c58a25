//! Our own routes: recorded usage, token counts and estimates.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use ossai::budget::config::Scope;
use ossai::{Error, ErrorKind, EstimateOptions, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{body, error};
use crate::app::App;
use crate::call::Caller;
use crate::dialect::openai;
use crate::store::{GroupBy, Store, UsageFilter, UsageSum, parse_time};

/// Rows of a page, and the most one can ask for.
const PAGE: usize = 1000;
const MAX_PAGE: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageQuery {
    since: Option<String>,
    until: Option<String>,
    group_by: Option<String>,
    model: Option<String>,
    page_size: Option<usize>,
    page_token: Option<String>,
}

/// A page of sums, and where the next one begins.
pub(crate) async fn usage_page(
    store: &Store,
    filter: UsageFilter,
    group_by: Vec<GroupBy>,
    page_size: usize,
    page_token: &str,
) -> Result<(Vec<UsageSum>, String)> {
    let size = if page_size == 0 {
        PAGE
    } else {
        page_size.min(MAX_PAGE)
    };
    let skip = match page_token {
        "" => 0,
        token => token
            .parse()
            .map_err(|_| Error::invalid("page_token", "expected a `next_page_token`"))?,
    };
    let filter = UsageFilter {
        skip,
        limit: Some(size + 1),
        ..filter
    };
    let store = store.clone();
    let mut rows = tokio::task::spawn_blocking(move || store.query_usage(&filter, &group_by))
        .await
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "the query broke off").with_source(error)
        })??;
    let more = rows.len() > size;
    rows.truncate(size);
    Ok((
        rows,
        if more {
            (skip.saturating_add(size)).to_string()
        } else {
            String::new()
        },
    ))
}

/// `GET /ossai/v1/usage?since&until&group_by&model&page_size&page_token`, of the caller's tenant.
pub(super) async fn usage(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<UsageQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let run = async {
        let Query(query) = query.map_err(|error| Error::invalid("query", error.body_text()))?;
        let time = |name: &str, text: &Option<String>| {
            text.as_deref()
                .map(|text| parse_time(name, text))
                .transpose()
        };
        let filter = UsageFilter {
            tenant: Some(caller.identity.tenant.to_string()),
            since: time("since", &query.since)?,
            until: time("until", &query.until)?,
            model: query.model.clone(),
            ..UsageFilter::default()
        };
        let words = query.group_by.as_deref().unwrap_or_default();
        let groups = words
            .split(',')
            .filter(|word| !word.is_empty())
            .map(GroupBy::from_name)
            .collect::<Result<Vec<_>>>()?;
        let token = query.page_token.as_deref().unwrap_or_default();
        let (rows, next) = usage_page(
            &app.store,
            filter,
            groups,
            query.page_size.unwrap_or(0),
            token,
        )
        .await?;
        let rows: Vec<Value> = rows.iter().map(usage_row).collect();
        Ok(json!({ "rows": rows, "next_page_token": next }))
    };
    answer(run.await)
}

fn usage_row(row: &UsageSum) -> Value {
    let groups: Map<String, Value> = row
        .groups
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    json!({
        "groups": groups,
        "calls": row.calls,
        "errors": row.errors,
        "cache_hits": row.cache_hits,
        "joined": row.joined,
        "usage": row.usage,
        "cost_nano_usd": row.cost,
        "unknown_cost_calls": row.unknown_cost_calls,
        "saved_nano_usd": row.saved,
    })
}

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

fn answer(outcome: Result<Value>) -> Response {
    match outcome {
        Ok(value) => body::json(StatusCode::OK, &value),
        Err(error) => error::respond(&error),
    }
}
