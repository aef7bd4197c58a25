//! Hours and days in which a group used far more than it usually does.
//!
//! The **baseline** of a group in a day is the median of the same figure over the seven days before, in UTC; in an hour it
//! is the median over the same hour of the seven days before. A period without calls counts as zero. Periods before the
//! group's first call within the time that is looked at (the filter's, and seven days before it) do not count; at least
//! three must be left, and the baseline must not be zero: otherwise there is nothing to compare with, and the period is
//! judged by nobody. Of an even number the median is the higher of the two in the middle.
//!
//! Twice the baseline is *medium*, five times it is *high*. A period below the minimum volume is not judged. The period
//! under way is, by what it has so far.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sums::{as_object, from_object};
use super::trend::no_times;
use super::{GroupBy, Ledger, UsageFilter, UsageSum};
use crate::cost::Date;
use crate::error::{Error, Result};
use crate::types::NanoUsd;

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
/// Periods a baseline is made of, and the fewest of them.
const BACK: i64 = 7;
const FEWEST: usize = 3;
/// Most periods looked at.
const MOST_PERIODS: i64 = 4_000;

/// What is compared with what came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A day with the seven before it.
    #[default]
    Day,
    /// An hour with the same hour of the seven days before.
    Hour,
}

impl Period {
    /// Reads `day` or `hour`.
    ///
    /// # Errors
    /// `invalid_request` for another word.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "day" => Ok(Self::Day),
            "hour" => Ok(Self::Hour),
            _ => Err(Error::invalid("period", "expected day or hour")),
        }
    }

    fn length(self) -> i64 {
        match self {
            Self::Day => DAY,
            Self::Hour => HOUR,
        }
    }

    fn group(self) -> GroupBy {
        match self {
            Self::Day => GroupBy::Day,
            Self::Hour => GroupBy::Hour,
        }
    }

    /// As the grouping writes it.
    fn name_of(self, start: i64) -> String {
        let date = Date::of_unix(start.div_euclid(1000));
        match self {
            Self::Day => date.to_string(),
            Self::Hour => format!("{date}T{:02}:00:00Z", start.rem_euclid(DAY) / HOUR),
        }
    }
}

/// The figure that is out of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Money, in nanodollars.
    Cost,
    /// Input and output tokens.
    Tokens,
    /// Calls.
    Calls,
}

impl Metric {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Tokens => "tokens",
            Self::Calls => "calls",
        }
    }

    fn of(self, sum: &UsageSum) -> u64 {
        match self {
            Self::Cost => sum.cost.0,
            Self::Tokens => sum.usage.total_tokens(),
            Self::Calls => sum.calls,
        }
    }
}

/// How far out of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// At least twice the baseline.
    Medium,
    /// At least five times.
    High,
}

impl Severity {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A group's period that is out of line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The group.
    #[serde(serialize_with = "as_object", deserialize_with = "from_object")]
    pub groups: Vec<(String, String)>,
    /// The period, as `day` and `hour` write theirs.
    pub period: String,
    /// The figure.
    pub metric: Metric,
    /// What it was: nanodollars, tokens or calls.
    pub value: u64,
    /// What it usually is.
    pub baseline: u64,
    /// One by the other, to a tenth.
    pub times: f64,
    /// How far out of line.
    pub severity: Severity,
}

/// What is looked at, and from which volume on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Days or hours.
    pub period: Period,
    /// A period with so many calls is judged …
    pub min_calls: u64,
    /// … and one that cost so much, however few its calls.
    pub min_cost: NanoUsd,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            period: Period::Day,
            min_calls: 20,
            min_cost: NanoUsd(1_000_000_000),
        }
    }
}

impl Ledger {
    /// The periods of the filter's time in which a group is out of line: latest first, in each the dearest first.
    ///
    /// # Errors
    /// `invalid_request` without `since` and `until`, with more than 4,000 periods between them, and for a grouping by
    /// time; `response_too_large` over [`super::MOST_GROUPS`] pairs of group and period; `internal` when the file does not
    /// answer.
    pub fn anomalies(
        &self,
        filter: &UsageFilter,
        groups: &[GroupBy],
        watch: &Watch,
    ) -> Result<Vec<Anomaly>> {
        no_times(groups)?;
        let (Some(since), Some(until)) = (filter.since, filter.until) else {
            return Err(Error::invalid("since", "expected a time, and `until`, too"));
        };
        let length = watch.period.length();
        let first = since.div_euclid(length) * length;
        let from = first.checked_sub(BACK * DAY);
        let (Some(from), true) = (from, until > since) else {
            return Err(Error::invalid("until", "expected a time after `since`"));
        };
        if until.saturating_sub(first) / length > MOST_PERIODS {
            return Err(Error::invalid(
                "since",
                format_args!("expected at most {MOST_PERIODS} periods before `until`"),
            ));
        }
        let filter = UsageFilter {
            since: Some(from),
            until: Some(until),
            ..filter.clone()
        };
        let mut by = groups.to_vec();
        by.push(watch.period.group());
        let mut series: BTreeMap<Vec<(String, String)>, BTreeMap<String, UsageSum>> =
            BTreeMap::new();
        for mut sum in self.all_sums(&filter, &by)? {
            let mut key = std::mem::take(&mut sum.groups);
            if let Some((_, period)) = key.pop() {
                series.entry(key).or_default().insert(period, sum);
            }
        }
        // Names of periods are in the order of time.
        let mut found = Vec::new();
        let mut start = first;
        while start < until {
            let names: Vec<String> = (1..=BACK)
                .map(|back| watch.period.name_of(start - back * DAY))
                .collect();
            let name = watch.period.name_of(start);
            for (group, periods) in &series {
                judge(group, periods, &name, &names, watch, &mut found);
            }
            start += length;
        }
        found.sort_by(|a, b| (&b.period, b.value).cmp(&(&a.period, a.value)));
        Ok(found)
    }
}

fn judge(
    group: &[(String, String)],
    periods: &BTreeMap<String, UsageSum>,
    name: &str,
    before: &[String],
    watch: &Watch,
    found: &mut Vec<Anomaly>,
) {
    let Some(sum) = periods.get(name) else { return };
    if sum.calls < watch.min_calls && sum.cost < watch.min_cost {
        return;
    }
    let Some((began, _)) = periods.first_key_value() else {
        return;
    };
    for metric in [Metric::Cost, Metric::Tokens, Metric::Calls] {
        let mut usual: Vec<u64> = before
            .iter()
            .filter(|name| *name >= began)
            .map(|name| periods.get(name).map_or(0, |sum| metric.of(sum)))
            .collect();
        if usual.len() < FEWEST {
            return;
        }
        usual.sort_unstable();
        let baseline = usual.get(usual.len() / 2).copied().unwrap_or(0);
        let value = metric.of(sum);
        let severity = match (baseline, u128::from(value)) {
            (0, _) => continue,
            (b, value) if value >= u128::from(b) * 5 => Severity::High,
            (b, value) if value >= u128::from(b) * 2 => Severity::Medium,
            _ => continue,
        };
        #[allow(clippy::cast_precision_loss)]
        let times = (u128::from(value) * 10 / u128::from(baseline)) as f64 / 10.0;
        found.push(Anomaly {
            groups: group.to_vec(),
            period: name.to_owned(),
            metric,
            value,
            baseline,
            times,
            severity,
        });
    }
}
