//! Sums over records, by any grouping: exact, so that the parts are the whole.

use rusqlite::{Connection, Row, params_from_iter};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{GroupBy, Ledger, UsageFilter, fault};
use crate::error::Result;
use crate::types::{NanoUsd, Usage};

/// Sums over one group of calls. As JSON amounts are nanodollars, and `groups` is an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageSum {
    /// Each word of the grouping with its value, in order; an empty value stands for calls without one.
    #[serde(serialize_with = "as_object", deserialize_with = "from_object")]
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
    #[serde(rename = "cost_nano_usd")]
    pub cost: NanoUsd,
    /// Records whose cost is unknown: they are in no sum of money.
    pub unknown_cost_calls: u64,
    /// Money not spent thanks to caches and shared calls.
    #[serde(rename = "saved_nano_usd")]
    pub saved: NanoUsd,
}

/// The groups that cost most, and all others as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// Dearest first; of the same cost first those with more calls.
    pub rows: Vec<UsageSum>,
    /// What is in none of them: rows and rest are the whole.
    pub rest: UsageSum,
}

/// Columns that are summed beside the calls. A sum of 64-bit numbers may leave 64 bits, where SQLite fails, so both
/// halves are summed apart.
const SUMMED: [&str; 15] = [
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "cache_write_12h",
    "reasoning",
    "audio_input",
    "audio_cache_read",
    "audio_output",
    "image_input",
    "citation",
    "web_searches",
    "cost",
    "saved",
];

/// Dearest first, exactly: the upper half with what the lower one carries, then the rest of the lower one.
const BY_COST: &str =
    "coalesce(sum(cost >> 32), 0) + (coalesce(sum(cost & 4294967295), 0) >> 32) DESC,
    coalesce(sum(cost & 4294967295), 0) & 4294967295 DESC, sum(calls) DESC";

impl UsageSum {
    fn numbers(&mut self) -> [&mut u64; 20] {
        let used = &mut self.usage;
        [
            &mut self.calls,
            &mut self.errors,
            &mut self.cache_hits,
            &mut self.joined,
            &mut self.unknown_cost_calls,
            &mut used.input_tokens,
            &mut used.output_tokens,
            &mut used.cache_read_tokens,
            &mut used.cache_write_tokens,
            &mut used.cache_write_1h_tokens,
            &mut used.cache_write_12h_tokens,
            &mut used.reasoning_tokens,
            &mut used.audio_input_tokens,
            &mut used.audio_cache_read_tokens,
            &mut used.audio_output_tokens,
            &mut used.image_input_tokens,
            &mut used.citation_tokens,
            &mut used.web_searches,
            &mut self.cost.0,
            &mut self.saved.0,
        ]
    }

    fn each(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        let mut other = other.clone();
        for (mine, theirs) in self.numbers().into_iter().zip(other.numbers()) {
            *mine = with(*mine, *theirs);
        }
        self.usage.estimated |= other.usage.estimated;
    }

    /// Adds another group's.
    pub fn add(&mut self, other: &Self) {
        self.each(other, u64::saturating_add);
    }

    /// Takes a part away.
    pub fn subtract(&mut self, part: &Self) {
        self.each(part, u64::saturating_sub);
    }

    fn read(row: &Row<'_>, groups: &[GroupBy]) -> rusqlite::Result<Self> {
        let mut sum = Self::default();
        for (i, group) in groups.iter().enumerate() {
            sum.groups.push((group.name(), row.get(i)?));
        }
        let at = groups.len();
        let n =
            |i: usize| Ok::<i64, rusqlite::Error>(row.get::<_, Option<i64>>(at + i)?.unwrap_or(0));
        sum.usage.estimated = n(5)? > 0;
        for (i, number) in sum.numbers().into_iter().enumerate() {
            *number = match i.checked_sub(5) {
                None => u64::try_from(n(i)?).unwrap_or(0),
                Some(part) => {
                    let whole =
                        i128::from(n(6 + 2 * part)?) * (1 << 32) + i128::from(n(7 + 2 * part)?);
                    u64::try_from(whole.max(0)).unwrap_or(u64::MAX)
                }
            };
        }
        Ok(sum)
    }
}

fn read_sums(
    connection: &Connection,
    filter: &UsageFilter,
    groups: &[GroupBy],
    by_cost: bool,
) -> rusqlite::Result<Vec<UsageSum>> {
    let mut sql = String::from("SELECT ");
    let mut values = Vec::new();
    for group in groups {
        sql.push_str(group.sql());
        sql.push_str(", ");
        if let GroupBy::Tag(tag) = group {
            values.push(tag.clone().into());
        }
    }
    sql.push_str(
        "sum(calls), sum(iif(outcome <> 'ok', calls, 0)), sum(iif(cache = 'hit', calls, 0)), sum(joined),
         sum(cost IS NULL), max(estimated)",
    );
    for column in SUMMED {
        sql.push_str(&format!(
            ", sum({column} >> 32), sum({column} & 4294967295)"
        ));
    }
    let (clause, more) = filter.clause();
    values.extend(more);
    sql.push_str(&format!(" FROM usage WHERE {clause}"));
    let columns: Vec<String> = (1..=groups.len()).map(|i| i.to_string()).collect();
    if !columns.is_empty() {
        let columns = columns.join(", ");
        let first = if by_cost {
            format!("{BY_COST}, ")
        } else {
            String::new()
        };
        sql.push_str(&format!(" GROUP BY {columns} ORDER BY {first}{columns}"));
    }
    sql.push_str(" LIMIT ? OFFSET ?");
    let int = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    values.push(int(filter.limit.unwrap_or(10_000)).into());
    values.push(int(filter.skip).into());
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| UsageSum::read(row, groups))?;
    rows.collect()
}

impl Ledger {
    /// Sums the records, ordered by group; without a grouping there is one row.
    ///
    /// # Errors
    /// `internal` when the file does not answer.
    pub fn sums(&self, filter: &UsageFilter, groups: &[GroupBy]) -> Result<Vec<UsageSum>> {
        read_sums(&self.connection(), filter, groups, false).map_err(fault)
    }

    /// The `most` groups that cost most, and the rest as one sum, all at one moment. The filter's page does not count.
    ///
    /// # Errors
    /// `internal` when the file does not answer.
    pub fn top(&self, filter: &UsageFilter, groups: &[GroupBy], most: usize) -> Result<Top> {
        let mut filter = UsageFilter {
            skip: 0,
            limit: Some(1),
            ..filter.clone()
        };
        let mut connection = self.connection();
        let mut read = || {
            let transaction = connection.transaction()?;
            let mut whole = read_sums(&transaction, &filter, &[], false)?;
            filter.limit = Some(most);
            let rows = read_sums(&transaction, &filter, groups, true)?;
            let mut rest = whole.pop().unwrap_or_default();
            for row in &rows {
                rest.subtract(row);
            }
            Ok(Top { rows, rest })
        };
        read().map_err(fault)
    }
}

pub(super) fn as_object<S: Serializer>(
    groups: &[(String, String)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(groups.len()))?;
    for (name, value) in groups {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

pub(super) fn from_object<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<(String, String)>, D::Error> {
    struct Groups;
    impl<'de> Visitor<'de> for Groups {
        type Value = Vec<(String, String)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of texts")
        }
        fn visit_map<A: MapAccess<'de>>(
            self,
            mut map: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let mut groups = Vec::new();
            while let Some(entry) = map.next_entry()? {
                groups.push(entry);
            }
            Ok(groups)
        }
    }
    deserializer.deserialize_map(Groups)
}
