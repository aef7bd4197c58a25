//! Recorded usage over gRPC: what `http::usage` answers, in messages.

use ossai::ledger::{Anomaly, GroupBy, Ledger, UsageFilter, UsageRow, UsageSum};
use ossai::{Error, Result};
use ossai_proto::v1 as pb;
use pb::usage_service_server::UsageService;
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use super::{Desk, enter, reply, status};
use crate::call::Caller;
use crate::http::{lately, off_thread, page_size, page_token, usage_page, watch};

/// What every request says of the calls it means.
fn meant(
    caller: &Caller,
    since: Option<&Timestamp>,
    until: Option<&Timestamp>,
    filter: Option<pb::UsageFilter>,
) -> Result<UsageFilter> {
    let time = |field, time: Option<&Timestamp>| time.map(|time| millis(field, time)).transpose();
    let filter = filter.unwrap_or_default();
    let some = |text: String| (!text.is_empty()).then_some(text);
    Ok(UsageFilter {
        tenant: Some(caller.identity.tenant.to_string()),
        since: time("since", since)?,
        until: time("until", until)?,
        model: some(filter.model),
        provider: some(filter.provider),
        key_id: some(filter.key),
        user: some(filter.user),
        operation: some(filter.operation),
        outcome: some(filter.outcome),
        tag: some(filter.tag)
            .map(|tag| UsageFilter::read_tag("filter.tag", &tag))
            .transpose()?,
        ..UsageFilter::default()
    })
}

fn groups(words: &[String]) -> Result<Vec<GroupBy>> {
    words.iter().map(|word| GroupBy::from_name(word)).collect()
}

fn at_most(field: &str, number: i32) -> Result<usize> {
    let number =
        usize::try_from(number).map_err(|_| Error::invalid(field, "expected 0 or more"))?;
    Ok(page_size(number))
}

impl Desk {
    async fn ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let ledger = self.0.store.usage().clone();
        off_thread(move || work(&ledger)).await
    }
}

#[tonic::async_trait]
impl UsageService for Desk {
    async fn query_usage(
        &self,
        request: Request<pb::QueryUsageRequest>,
    ) -> Result<Response<pb::QueryUsageResponse>, Status> {
        let (caller, _, message) = enter(request)?;
        let run = async {
            let size = at_most("page_size", message.page_size)?;
            let (since, until) = (message.since.as_ref(), message.until.as_ref());
            let filter = meant(&caller, since, until, message.filter)?;
            let groups = groups(&message.group_by)?;
            let most = at_most("top", message.top)?;
            if message.top > 0 {
                let top = self
                    .ledger(move |ledger| ledger.top(&filter, &groups, most))
                    .await?;
                return Ok(reply(pb::QueryUsageResponse {
                    rows: top.rows.iter().map(row).collect(),
                    next_page_token: String::new(),
                    rest: Some(row(&top.rest)),
                }));
            }
            let token = &message.page_token;
            let (rows, next_page_token) =
                usage_page(&self.0.store, filter, groups, size, token).await?;
            Ok(reply(pb::QueryUsageResponse {
                rows: rows.iter().map(row).collect(),
                next_page_token,
                rest: None,
            }))
        };
        run.await.map_err(status)
    }

    async fn list_usage_records(
        &self,
        request: Request<pb::ListUsageRecordsRequest>,
    ) -> Result<Response<pb::ListUsageRecordsResponse>, Status> {
        let (caller, _, message) = enter(request)?;
        let run = async {
            let size = at_most("page_size", message.page_size)?;
            let after = page_token(&message.page_token)?;
            let (since, until) = (message.since.as_ref(), message.until.as_ref());
            let filter = meant(&caller, since, until, message.filter)?;
            let mut rows = self
                .ledger(move |ledger| ledger.records(&filter, after, size + 1))
                .await?;
            let more = rows.len() > size;
            rows.truncate(size);
            let next = rows.last().filter(|_| more);
            Ok(reply(pb::ListUsageRecordsResponse {
                next_page_token: next.map(|(id, _)| id.to_string()).unwrap_or_default(),
                records: rows.into_iter().map(|(_, row)| record(row)).collect(),
            }))
        };
        run.await.map_err(status)
    }

    async fn query_usage_trend(
        &self,
        request: Request<pb::QueryUsageTrendRequest>,
    ) -> Result<Response<pb::QueryUsageTrendResponse>, Status> {
        let (caller, _, message) = enter(request)?;
        let run = async {
            let most = at_most("top", message.top)?;
            let (since, until) = (message.since.as_ref(), message.until.as_ref());
            let filter = meant(&caller, since, until, message.filter)?;
            let filter = lately(filter);
            let groups = groups(&message.group_by)?;
            let trend = self
                .ledger(move |ledger| ledger.trend(&filter, &groups))
                .await?;
            let rows = trend.rows.iter().take(most);
            Ok(reply(pb::QueryUsageTrendResponse {
                previous_since: Some(timestamp(trend.previous_since_ms)),
                since: Some(timestamp(trend.since_ms)),
                until: Some(timestamp(trend.until_ms)),
                rows: rows
                    .map(|both| pb::UsageTrendRow {
                        groups: group_values(&both.groups),
                        current: Some(row(&both.current)),
                        previous: Some(row(&both.previous)),
                        change_nano_usd: both.change_nano_usd,
                        change_percent: both.change_percent,
                    })
                    .collect(),
            }))
        };
        run.await.map_err(status)
    }

    async fn list_usage_anomalies(
        &self,
        request: Request<pb::ListUsageAnomaliesRequest>,
    ) -> Result<Response<pb::ListUsageAnomaliesResponse>, Status> {
        let (caller, _, message) = enter(request)?;
        let run = async {
            let most = at_most("top", message.top)?;
            let (since, until) = (message.since.as_ref(), message.until.as_ref());
            let filter = meant(&caller, since, until, message.filter)?;
            let filter = lately(filter);
            let groups = groups(&message.group_by)?;
            let watch = watch(
                &message.period,
                message.min_calls,
                message.min_cost_nano_usd,
            )?;
            let found = self
                .ledger(move |ledger| ledger.anomalies(&filter, &groups, &watch))
                .await?;
            Ok(reply(pb::ListUsageAnomaliesResponse {
                anomalies: found.into_iter().take(most).map(anomaly).collect(),
            }))
        };
        run.await.map_err(status)
    }
}

fn millis(field: &str, time: &Timestamp) -> Result<i64> {
    let wrong = || Error::invalid(field, "expected a time in this calendar");
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(wrong());
    }
    let millis = time.seconds.checked_mul(1000).ok_or_else(wrong)?;
    millis
        .checked_add(i64::from(time.nanos / 1_000_000))
        .ok_or_else(wrong)
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp {
        seconds: millis.div_euclid(1000),
        nanos: i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or(0),
    }
}

fn group_values(groups: &[(String, String)]) -> Vec<pb::UsageGroup> {
    groups
        .iter()
        .map(|(name, value)| pb::UsageGroup {
            name: name.clone(),
            value: value.clone(),
        })
        .collect()
}

fn row(sum: &UsageSum) -> pb::UsageRow {
    let UsageSum {
        groups,
        calls,
        errors,
        cache_hits,
        joined,
        usage,
        cost,
        unknown_cost_calls,
        saved,
    } = sum;
    pb::UsageRow {
        groups: group_values(groups),
        calls: *calls,
        errors: *errors,
        cache_hits: *cache_hits,
        joined: *joined,
        usage: Some(usage.into()),
        cost_nano_usd: cost.0,
        unknown_cost_calls: *unknown_cost_calls,
        saved_nano_usd: saved.0,
    }
}

fn record(row: UsageRow) -> pb::UsageRecord {
    pb::UsageRecord {
        time: Some(timestamp(row.time)),
        request_id: row.request_id,
        tenant: row.tenant,
        key: row.key_id.unwrap_or_default(),
        user: row.user.unwrap_or_default(),
        operation: row.operation,
        provider: row.provider,
        model: row.model,
        outcome: row.outcome,
        usage: Some((&row.usage).into()),
        cost_nano_usd: row.cost.map(|cost| cost.0),
        saved_nano_usd: row.saved.map(|saved| saved.0),
        price_version: row.price_version,
        cache: row.cache,
        calls: row.calls,
        joined: row.joined,
        attempts: row.attempts,
        latency_us: row.latency_us,
        first_token_us: row.first_token_us,
        tags: row.tags,
    }
}

fn anomaly(found: Anomaly) -> pb::UsageAnomaly {
    pb::UsageAnomaly {
        groups: group_values(&found.groups),
        period: found.period,
        metric: found.metric.name().into(),
        value: found.value,
        baseline: found.baseline,
        times: found.times,
        severity: found.severity.name().into(),
    }
}
