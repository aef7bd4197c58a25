//! Recorded usage of the caller's tenant: sums, top spenders, a trend, anomalies, and the records themselves.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use ossai::ledger::{GroupBy, Ledger, Period, UsageFilter, UsageSum, Watch, parse_time};
use ossai::{Error, NanoUsd, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::off_thread;
use super::own::answer;
use crate::app::App;
use crate::call::Caller;
use crate::store::{Store, now_ms};

/// Rows of a page, and the most one can ask for.
const PAGE: usize = 1000;
const MAX_PAGE: usize = 10_000;
/// What is compared where nobody says since when: a week.
const LATELY: i64 = 7 * 86_400_000;

/// All that any of these addresses can be asked; one that means nothing there is refused.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    since: Option<String>,
    until: Option<String>,
    group_by: Option<String>,
    model: Option<String>,
    provider: Option<String>,
    key: Option<String>,
    user: Option<String>,
    operation: Option<String>,
    outcome: Option<String>,
    tag: Option<String>,
    page_size: Option<usize>,
    page_token: Option<String>,
    top: Option<usize>,
    period: Option<String>,
    min_calls: Option<u64>,
    min_cost_nano_usd: Option<u64>,
}

type Asking = Result<Query<Asked>, QueryRejection>;

impl Asked {
    fn filter(&self, caller: &Caller) -> Result<UsageFilter> {
        let time = |name: &str, text: &Option<String>| {
            text.as_deref()
                .map(|text| parse_time(name, text))
                .transpose()
        };
        let tag = self.tag.as_deref();
        Ok(UsageFilter {
            tenant: Some(caller.identity.tenant.to_string()),
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
            model: self.model.clone(),
            provider: self.provider.clone(),
            key_id: self.key.clone(),
            user: self.user.clone(),
            operation: self.operation.clone(),
            outcome: self.outcome.clone(),
            tag: tag
                .map(|tag| UsageFilter::read_tag("tag", tag))
                .transpose()?,
            ..UsageFilter::default()
        })
    }

    fn groups(&self) -> Result<Vec<GroupBy>> {
        let words = self.group_by.as_deref().unwrap_or_default();
        words
            .split(',')
            .filter(|word| !word.is_empty())
            .map(GroupBy::from_name)
            .collect()
    }

    /// Refuses what is said and means nothing here.
    fn only(self, names: &[&str]) -> Result<Self> {
        let said = [
            ("group_by", self.group_by.is_some()),
            ("page_size", self.page_size.is_some()),
            ("page_token", self.page_token.is_some()),
            ("top", self.top.is_some()),
            ("period", self.period.is_some()),
            ("min_calls", self.min_calls.is_some()),
            ("min_cost_nano_usd", self.min_cost_nano_usd.is_some()),
        ];
        match said
            .iter()
            .find(|(name, said)| *said && !names.contains(name))
        {
            Some((name, _)) => Err(Error::invalid(*name, "expected none at this address")),
            None => Ok(self),
        }
    }
}

fn read(query: Asking, names: &[&str]) -> Result<Asked> {
    let Query(asked) = query.map_err(|error| Error::invalid("query", error.body_text()))?;
    asked.only(names)
}

/// The filter with a time: until now, and for a week, where it names none.
pub(crate) fn lately(filter: UsageFilter) -> UsageFilter {
    let until = filter.until.unwrap_or_else(now_ms);
    UsageFilter {
        since: filter.since.or(Some(until.saturating_sub(LATELY).max(0))),
        until: Some(until),
        ..filter
    }
}

async fn ask<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Ledger) -> Result<T> + Send + 'static,
) -> Result<T> {
    let ledger = store.usage().clone();
    off_thread(move || work(&ledger)).await
}

/// A page of sums, and where the next one begins.
pub(crate) async fn usage_page(
    store: &Store,
    filter: UsageFilter,
    group_by: Vec<GroupBy>,
    asked_size: usize,
    token: &str,
) -> Result<(Vec<UsageSum>, String)> {
    let size = page_size(asked_size);
    let skip = usize::try_from(page_token(token)?).unwrap_or(0);
    let filter = UsageFilter {
        skip,
        limit: Some(size + 1),
        ..filter
    };
    let mut rows = ask(store, move |ledger| ledger.sums(&filter, &group_by)).await?;
    let more = rows.len() > size;
    rows.truncate(size);
    let next = if more {
        skip.saturating_add(size).to_string()
    } else {
        String::new()
    };
    Ok((rows, next))
}

pub(crate) fn page_size(asked: usize) -> usize {
    if asked == 0 {
        PAGE
    } else {
        asked.min(MAX_PAGE)
    }
}

pub(crate) fn page_token(text: &str) -> Result<i64> {
    let wrong = || Error::invalid("page_token", "expected a `next_page_token`");
    match text {
        "" => Ok(0),
        text => text
            .parse()
            .ok()
            .filter(|number| *number >= 0)
            .ok_or_else(wrong),
    }
}

/// `GET /ossai/v1/usage?since&until&group_by&…&top&page_size&page_token`.
pub(super) async fn sums(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Asking,
) -> Response {
    let run = async {
        let asked = read(query, &["group_by", "page_size", "page_token", "top"])?;
        let filter = asked.filter(&caller)?;
        let groups = asked.groups()?;
        if let Some(most) = asked.top {
            asked.only(&["group_by", "top"])?;
            let most = page_size(most);
            let top = ask(&app.store, move |ledger| ledger.top(&filter, &groups, most)).await?;
            return Ok(json!({ "rows": top.rows, "rest": top.rest, "next_page_token": "" }));
        }
        let token = asked.page_token.as_deref().unwrap_or_default();
        let size = asked.page_size.unwrap_or(0);
        let (rows, next) = usage_page(&app.store, filter, groups, size, token).await?;
        Ok(json!({ "rows": rows, "next_page_token": next }))
    };
    answer(run.await)
}

/// `GET /ossai/v1/usage/records?since&until&…&page_size&page_token`: the records themselves, as they were written.
pub(super) async fn records(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Asking,
) -> Response {
    let run = async {
        let asked = read(query, &["page_size", "page_token"])?;
        let filter = asked.filter(&caller)?;
        let after = page_token(asked.page_token.as_deref().unwrap_or_default())?;
        let size = page_size(asked.page_size.unwrap_or(0));
        let mut rows = ask(&app.store, move |ledger| {
            ledger.records(&filter, after, size + 1)
        })
        .await?;
        let more = rows.len() > size;
        rows.truncate(size);
        let next = rows.last().filter(|_| more);
        let next = next.map(|(id, _)| id.to_string()).unwrap_or_default();
        let rows: Vec<Value> = rows.iter().map(|(_, row)| json!(row)).collect();
        Ok(json!({ "records": rows, "next_page_token": next }))
    };
    answer(run.await)
}

/// `GET /ossai/v1/usage/trend?since&until&group_by&…&top`: that time beside as long a time before it.
pub(super) async fn trend(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Asking,
) -> Response {
    let run = async {
        let asked = read(query, &["group_by", "top"])?;
        let filter = lately(asked.filter(&caller)?);
        let groups = asked.groups()?;
        let mut trend = ask(&app.store, move |ledger| ledger.trend(&filter, &groups)).await?;
        trend.rows.truncate(page_size(asked.top.unwrap_or(0)));
        Ok(json!(trend))
    };
    answer(run.await)
}

/// `GET /ossai/v1/usage/anomalies?since&until&group_by&…&period&min_calls&min_cost_nano_usd&top`.
pub(super) async fn anomalies(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Asking,
) -> Response {
    let run = async {
        let names = [
            "group_by",
            "top",
            "period",
            "min_calls",
            "min_cost_nano_usd",
        ];
        let asked = read(query, &names)?;
        let filter = lately(asked.filter(&caller)?);
        let groups = asked.groups()?;
        let watch = watch(
            asked.period.as_deref().unwrap_or_default(),
            asked.min_calls,
            asked.min_cost_nano_usd,
        )?;
        let mut found = ask(&app.store, move |ledger| {
            ledger.anomalies(&filter, &groups, &watch)
        })
        .await?;
        found.truncate(page_size(asked.top.unwrap_or(0)));
        Ok(json!({ "anomalies": found }))
    };
    answer(run.await)
}

/// What is watched, where something is said of it.
pub(crate) fn watch(period: &str, min_calls: Option<u64>, min_cost: Option<u64>) -> Result<Watch> {
    let usual = Watch::default();
    Ok(Watch {
        period: match period {
            "" => usual.period,
            word => Period::from_name(word)?,
        },
        min_calls: min_calls.unwrap_or(usual.min_calls),
        min_cost: min_cost.map_or(usual.min_cost, NanoUsd),
    })
}
