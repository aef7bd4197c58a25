//! Which records are meant, and by what they are grouped.

use rusqlite::types::Value as Sql;

use crate::error::{Error, Result};

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
    /// Of this provider.
    pub provider: Option<String>,
    /// Made with this key.
    pub key_id: Option<String>,
    /// Of this end user.
    pub user: Option<String>,
    /// `chat` or `embeddings`.
    pub operation: Option<String>,
    /// That ended so: `ok`, or an error's kind.
    pub outcome: Option<String>,
    /// With this tag of this value.
    pub tag: Option<(String, String)>,
    /// Rows to pass over.
    pub skip: usize,
    /// Most rows; absent means 10,000.
    pub limit: Option<usize>,
}

impl UsageFilter {
    /// The condition in SQL, and its values.
    pub(super) fn clause(&self) -> (String, Vec<Sql>) {
        let mut sql = String::from("1");
        let mut values = Vec::new();
        let mut only = |clause: &str, value: Option<Sql>| {
            if let Some(value) = value {
                sql.push_str(clause);
                values.push(value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Sql::from);
        only(" AND tenant = ?", text(&self.tenant));
        only(" AND time >= ?", self.since.map(Sql::from));
        only(" AND time < ?", self.until.map(Sql::from));
        only(" AND model = ?", text(&self.model));
        only(" AND provider = ?", text(&self.provider));
        only(" AND key_id = ?", text(&self.key_id));
        only(" AND end_user = ?", text(&self.user));
        only(" AND operation = ?", text(&self.operation));
        only(" AND outcome = ?", text(&self.outcome));
        if let Some((name, value)) = &self.tag {
            let clause = " AND EXISTS (SELECT 1 FROM json_each(tags) WHERE key = ? AND value = ?)";
            only(clause, Some(name.clone().into()));
            values.push(value.clone().into());
        }
        (sql, values)
    }

    /// Reads `NAME=VALUE` as a tag.
    ///
    /// # Errors
    /// `invalid_request` for `field`.
    pub fn read_tag(field: &str, text: &str) -> Result<(String, String)> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Error::invalid(field, "expected NAME=VALUE")),
        }
    }
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
    /// All tags of a call together, as JSON by name: a call with several is in one group.
    Tags,
}

impl GroupBy {
    /// Reads a word: `model`, `provider`, `operation`, `key`, `user`, `outcome`, `tenant`, `hour`, `day`, `month`,
    /// `tag:NAME`, or `tag` for all tags of a call together.
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
            "tag" => Self::Tags,
            _ => match name.strip_prefix("tag:") {
                Some(tag) if !tag.is_empty() => Self::Tag(tag.to_owned()),
                _ => {
                    return Err(Error::invalid(
                        "group_by",
                        "expected model, provider, operation, key, user, outcome, hour, day, month, tag or tag:NAME",
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
            Self::Tags => "tag".into(),
        }
    }

    /// Whether it says when a call ended.
    pub(super) fn is_time(&self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Month)
    }

    pub(super) fn sql(&self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "coalesce(key_id, '')",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Operation => "operation",
            Self::User => "coalesce(end_user, '')",
            Self::Outcome => "outcome",
            // A time outside of the calendar is in no hour.
            Self::Hour => "coalesce(strftime('%Y-%m-%dT%H:00:00Z', time / 1000, 'unixepoch'), '')",
            Self::Day => "coalesce(strftime('%Y-%m-%d', time / 1000, 'unixepoch'), '')",
            Self::Month => "coalesce(strftime('%Y-%m', time / 1000, 'unixepoch'), '')",
            Self::Tag(_) => "coalesce((SELECT value FROM json_each(tags) WHERE key = ?), '')",
            Self::Tags => "coalesce(tags, '')",
        }
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
