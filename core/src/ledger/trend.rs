//! A stretch of time beside the one before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sums::{as_object, from_object};
use super::{GroupBy, Ledger, MOST_GROUPS, UsageFilter, UsageSum};
use crate::error::{Error, ErrorKind, Result};

/// What was used in a stretch of time, and in the one of the same length before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Where the stretch before begins, in milliseconds since 1970.
    pub previous_since_ms: i64,
    /// Where it ends and the stretch itself begins.
    pub since_ms: i64,
    /// Where that ends.
    pub until_ms: i64,
    /// A row per group that is in either, the largest change of cost first.
    pub rows: Vec<TrendRow>,
}

/// One group in both stretches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrendRow {
    /// The group.
    #[serde(serialize_with = "as_object", deserialize_with = "from_object")]
    pub groups: Vec<(String, String)>,
    /// In the stretch.
    pub current: UsageSum,
    /// In the one before.
    pub previous: UsageSum,
    /// By how much the cost rose, in nanodollars; negative where it fell.
    pub change_nano_usd: i64,
    /// The same in percent of the cost before, to a tenth; absent where that was nothing.
    pub change_percent: Option<f64>,
}

impl Ledger {
    /// Compares the filter's time with as long a time just before it.
    ///
    /// # Errors
    /// `invalid_request` without `since` and `until`, with a stretch that is none, and for a grouping by time, since both
    /// stretches would have groups of their own; `response_too_large` over [`MOST_GROUPS`] groups; `internal` when the file
    /// does not answer.
    pub fn trend(&self, filter: &UsageFilter, groups: &[GroupBy]) -> Result<Trend> {
        no_times(groups)?;
        let (Some(since), Some(until)) = (filter.since, filter.until) else {
            return Err(Error::invalid("since", "expected a time, and `until`, too"));
        };
        let length = until.checked_sub(since).filter(|length| *length > 0);
        let before = length.and_then(|length| since.checked_sub(length));
        let Some(before) = before else {
            return Err(Error::invalid("until", "expected a time after `since`"));
        };
        let sums = |since, until| {
            let filter = UsageFilter {
                since: Some(since),
                until: Some(until),
                ..filter.clone()
            };
            self.all_sums(&filter, groups)
        };
        let mut rows: BTreeMap<Vec<String>, TrendRow> = BTreeMap::new();
        let mut put = |sums: Vec<UsageSum>, is_current: bool| {
            for mut sum in sums {
                let key = sum.groups.iter().map(|(_, value)| value.clone()).collect();
                let row = rows.entry(key).or_default();
                row.groups = std::mem::take(&mut sum.groups);
                *if is_current {
                    &mut row.current
                } else {
                    &mut row.previous
                } = sum;
            }
        };
        put(sums(before, since)?, false);
        put(sums(since, until)?, true);
        let mut rows: Vec<TrendRow> = rows.into_values().collect();
        for row in &mut rows {
            row.compare();
        }
        // The order by group stays among equals.
        rows.sort_by_key(|row| std::cmp::Reverse(row.change_nano_usd.unsigned_abs()));
        Ok(Trend {
            previous_since_ms: before,
            since_ms: since,
            until_ms: until,
            rows,
        })
    }

    /// Every group's sums.
    pub(super) fn all_sums(
        &self,
        filter: &UsageFilter,
        groups: &[GroupBy],
    ) -> Result<Vec<UsageSum>> {
        let filter = UsageFilter {
            skip: 0,
            limit: Some(MOST_GROUPS + 1),
            ..filter.clone()
        };
        let sums = self.sums(&filter, groups)?;
        if sums.len() > MOST_GROUPS {
            return Err(Error::new(
                ErrorKind::ResponseTooLarge,
                format!(
                    "there are more than {MOST_GROUPS} groups: ask for fewer, or a shorter time"
                ),
            ));
        }
        Ok(sums)
    }
}

pub(super) fn no_times(groups: &[GroupBy]) -> Result<()> {
    if groups.iter().any(GroupBy::is_time) {
        return Err(Error::invalid(
            "group_by",
            "expected no hour, day or month here",
        ));
    }
    Ok(())
}

impl TrendRow {
    fn compare(&mut self) {
        let (now, before) = (
            i128::from(self.current.cost.0),
            i128::from(self.previous.cost.0),
        );
        let change = now - before;
        self.change_nano_usd =
            i64::try_from(change).unwrap_or(if change < 0 { i64::MIN } else { i64::MAX });
        #[allow(clippy::cast_precision_loss)]
        let percent = |tenths: i128| tenths as f64 / 10.0;
        self.change_percent = (before > 0).then(|| percent(change * 1000 / before));
    }
}
