//! One row per finished call, and sums over them.

use std::collections::BTreeMap;

use ossai::{Error, NanoUsd, Result, Usage};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params, params_from_iter};
use serde::{Deserialize, Serialize};

use super::{Store, fault};

/// A finished call: what it used and cost, never what it said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageRow {
    /// When it ended, in milliseconds since 1970.
    pub time: i64,
    /// The id its caller got.
    pub request_id: String,
    /// Whose call it was.
    pub tenant: String,
    /// The key it came with.
    pub key_id: Option<String>,
    /// `chat` or `embeddings`.
    pub operation: String,
    /// The provider asked.
    pub provider: String,
    /// The model asked for, `provider/model`.
    pub model: String,
    /// The end user the request named.
    pub user: Option<String>,
    /// `ok`, or the error's kind.
    pub outcome: String,
    /// Tokens.
    pub usage: Usage,
    /// Money spent; absent where it is not known.
    pub cost: Option<NanoUsd>,
    /// Money not spent thanks to caches and shared calls.
    pub saved: Option<NanoUsd>,
    /// What priced it.
    pub price_version: String,
    /// `hit`, `miss` or `bypass`.
    pub cache: String,
    /// It joined another's flight.
    pub joined: bool,
    /// Tries at providers.
    pub attempts: u32,
    /// From its arrival to its end, in microseconds.
    pub latency_us: u64,
    /// To the first token, for streams.
    pub first_token_us: Option<u64>,
    /// Attribution.
    pub tags: BTreeMap<String, String>,
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn nat(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

pub(super) fn insert(connection: &mut Connection, rows: &[UsageRow]) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut statement = transaction.prepare(
            "INSERT INTO usage (time, request_id, tenant, key_id, operation, provider, model, end_user, outcome,
                input, output, cache_read, cache_write, cache_write_1h, cache_write_12h, reasoning, audio_input,
                audio_cache_read, audio_output, image_input, citation, web_searches, estimated,
                cost, saved, price_version, cache, joined, attempts, latency_us, first_token_us, tags)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for row in rows {
            let used = &row.usage;
            let tags = (!row.tags.is_empty())
                .then(|| serde_json::to_string(&row.tags).unwrap_or_default());
            statement.execute(params![
                row.time,
                row.request_id,
                row.tenant,
                row.key_id,
                row.operation,
                row.provider,
                row.model,
                row.user,
                row.outcome,
                int(used.input_tokens),
                int(used.output_tokens),
                int(used.cache_read_tokens),
                int(used.cache_write_tokens),
                int(used.cache_write_1h_tokens),
                int(used.cache_write_12h_tokens),
                int(used.reasoning_tokens),
                int(used.audio_input_tokens),
                int(used.audio_cache_read_tokens),
                int(used.audio_output_tokens),
                int(used.image_input_tokens),
                int(used.citation_tokens),
                int(used.web_searches),
                used.estimated,
                row.cost.map(|cost| int(cost.0)),
                row.saved.map(|saved| int(saved.0)),
                row.price_version,
                row.cache,
                row.joined,
                row.attempts,
                int(row.latency_us),
                row.first_token_us.map(int),
                tags,
            ])?;
        }
    }
    transaction.commit()
}

/// Which calls to sum; absent means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// That ended at or after this, in milliseconds since 1970.
    pub since: Option<i64>,
    /// That ended before this.
    pub until: Option<i64>,
    /// Of this model (`provider/model`).
    pub model: Option<String>,
    /// Made with this key.
    pub key_id: Option<String>,
    /// Rows to pass over.
    pub skip: usize,
    /// Most rows; absent means 10,000.
    pub limit: Option<usize>,
}

/// What to group by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GroupBy {
    Tenant,
    Key,
    Model,
    Provider,
    Operation,
    User,
    Outcome,
    /// Hours in UTC (`2026-11-21T14:00:00Z`).
    Hour,
    /// Days in UTC (`2026-11-21`).
    Day,
    /// Months in UTC (`2026-11`).
    Month,
    /// The value of a tag.
    Tag(String),
}

impl GroupBy {
    /// Reads a word: `model`, `provider`, `operation`, `key`, `user`, `outcome`, `tenant`, `hour`, `day`, `month` or
    /// `tag:NAME`.
    ///
    /// # Errors
    /// `invalid_request` for another.
    pub fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "tenant" => Self::Tenant,
            "key" => Self::Key,
            "model" => Self::Model,
            "provider" => Self::Provider,
            "operation" => Self::Operation,
            "user" => Self::User,
            "outcome" => Self::Outcome,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "month" => Self::Month,
            _ => match name.strip_prefix("tag:") {
                Some(tag) if !tag.is_empty() => Self::Tag(tag.to_owned()),
                _ => {
                    return Err(Error::invalid(
                        "group_by",
                        "expected model, provider, operation, key, user, outcome, hour, day, month or tag:NAME",
                    ));
                }
            },
        })
    }

    /// The word.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Tenant => "tenant".into(),
            Self::Key => "key".into(),
            Self::Model => "model".into(),
            Self::Provider => "provider".into(),
            Self::Operation => "operation".into(),
            Self::User => "user".into(),
            Self::Outcome => "outcome".into(),
            Self::Hour => "hour".into(),
            Self::Day => "day".into(),
            Self::Month => "month".into(),
            Self::Tag(tag) => format!("tag:{tag}"),
        }
    }

    fn sql(&self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "coalesce(key_id, '')",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Operation => "operation",
            Self::User => "coalesce(end_user, '')",
            Self::Outcome => "outcome",
            Self::Hour => "strftime('%Y-%m-%dT%H:00:00Z', time / 1000, 'unixepoch')",
            Self::Day => "strftime('%Y-%m-%d', time / 1000, 'unixepoch')",
            Self::Month => "strftime('%Y-%m', time / 1000, 'unixepoch')",
            Self::Tag(_) => "coalesce((SELECT value FROM json_each(tags) WHERE key = ?), '')",
        }
    }
}

/// Sums over one group of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UsageSum {
    /// Each word of the grouping with its value, in order; an empty value stands for calls without one.
    pub groups: Vec<(String, String)>,
    /// Calls that ended, well or not.
    pub calls: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Calls answered by a cache.
    pub cache_hits: u64,
    /// Calls that joined another's flight.
    pub joined: u64,
    /// Tokens.
    pub usage: Usage,
    /// Money spent where the price is known.
    pub cost: NanoUsd,
    /// Calls whose cost is unknown: they are in no sum of money.
    pub unknown_cost_calls: u64,
    /// Money not spent thanks to caches and shared calls.
    pub saved: NanoUsd,
}

impl Store {
    /// Writes rows of finished calls at once: for programs that call without a server.
    ///
    /// # Errors
    /// `internal` when the store does not answer.
    pub fn record(&self, rows: &[UsageRow]) -> Result<()> {
        insert(&mut self.connection(), rows).map_err(fault)
    }

    /// Sums the recorded calls, ordered by group; without a grouping there is one row.
    ///
    /// # Errors
    /// `internal` when the store does not answer.
    pub fn query_usage(&self, filter: &UsageFilter, group_by: &[GroupBy]) -> Result<Vec<UsageSum>> {
        let mut sql = String::from("SELECT ");
        let mut values: Vec<Sql> = Vec::new();
        for group in group_by {
            sql.push_str(group.sql());
            sql.push_str(", ");
            if let GroupBy::Tag(tag) = group {
                values.push(tag.clone().into());
            }
        }
        sql.push_str(
            "count(*), sum(outcome <> 'ok'), sum(cache = 'hit'), sum(joined), sum(input), sum(output), sum(cache_read),
             sum(cache_write), sum(cache_write_1h), sum(cache_write_12h), sum(reasoning), sum(audio_input),
             sum(audio_cache_read), sum(audio_output), sum(image_input), sum(citation), sum(web_searches),
             max(estimated), sum(cost), sum(cost IS NULL), sum(saved) FROM usage WHERE 1",
        );
        let mut only = |clause: &str, value: Option<Sql>| {
            if let Some(value) = value {
                sql.push_str(clause);
                values.push(value);
            }
        };
        only(" AND tenant = ?", filter.tenant.clone().map(Sql::from));
        only(" AND time >= ?", filter.since.map(Sql::from));
        only(" AND time < ?", filter.until.map(Sql::from));
        only(" AND model = ?", filter.model.clone().map(Sql::from));
        only(" AND key_id = ?", filter.key_id.clone().map(Sql::from));
        let columns: Vec<String> = (1..=group_by.len()).map(|i| i.to_string()).collect();
        if !columns.is_empty() {
            let columns = columns.join(", ");
            sql.push_str(&format!(" GROUP BY {columns} ORDER BY {columns}"));
        }
        sql.push_str(" LIMIT ? OFFSET ?");
        values.push(int(filter.limit.unwrap_or(10_000) as u64).into());
        values.push(int(filter.skip as u64).into());

        let connection = self.connection();
        let read = || {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                let mut groups = Vec::with_capacity(group_by.len());
                for (i, group) in group_by.iter().enumerate() {
                    groups.push((group.name(), row.get(i)?));
                }
                let at = group_by.len();
                let n = |i: usize| {
                    Ok::<u64, rusqlite::Error>(nat(row.get::<_, Option<i64>>(at + i)?.unwrap_or(0)))
                };
                Ok(UsageSum {
                    groups,
                    calls: n(0)?,
                    errors: n(1)?,
                    cache_hits: n(2)?,
                    joined: n(3)?,
                    usage: Usage {
                        input_tokens: n(4)?,
                        output_tokens: n(5)?,
                        cache_read_tokens: n(6)?,
                        cache_write_tokens: n(7)?,
                        cache_write_1h_tokens: n(8)?,
                        cache_write_12h_tokens: n(9)?,
                        reasoning_tokens: n(10)?,
                        audio_input_tokens: n(11)?,
                        audio_cache_read_tokens: n(12)?,
                        audio_output_tokens: n(13)?,
                        image_input_tokens: n(14)?,
                        citation_tokens: n(15)?,
                        web_searches: n(16)?,
                        estimated: n(17)? > 0,
                        ..Usage::default()
                    },
                    cost: NanoUsd(n(18)?),
                    unknown_cost_calls: n(19)?,
                    saved: NanoUsd(n(20)?),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(fault)
    }
}

/// Reads a time as people write it: seconds since 1970, `2026-11-21`, or `2026-11-21T14:00:00Z`; in milliseconds.
///
/// # Errors
/// `invalid_request` for `field`.
pub fn parse_time(field: &str, text: &str) -> Result<i64> {
    let wrong = || {
        Error::invalid(
            field,
            "expected seconds since 1970, `2026-11-21` or `2026-11-21T14:00:00Z` (UTC)",
        )
    };
    if !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse::<i64>()
            .map(|seconds| seconds * 1000)
            .map_err(|_| wrong());
    }
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let numbers = |text: &str, separator: char, widths: [usize; 3]| -> Option<[i64; 3]> {
        let mut parts = text.split(separator);
        let mut numbers = [0_i64; 3];
        for (number, width) in numbers.iter_mut().zip(widths) {
            let part = parts
                .next()
                .filter(|part| part.len() == width && part.bytes().all(|b| b.is_ascii_digit()))?;
            *number = part.parse().ok()?;
        }
        parts.next().is_none().then_some(numbers)
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2]).ok_or_else(wrong)?;
    let [hour, minute, second] = time
        .strip_suffix('Z')
        .and_then(|time| numbers(time, ':', [2, 2, 2]))
        .ok_or_else(wrong)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(wrong()),
    };
    if !(1970..=9999).contains(&year)
        || !(1..=last).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return Err(wrong());
    }
    // Days from the civil date in the proleptic Gregorian calendar: years begin in March, leap days end them.
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Ok((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
}
