//! `ossai usage`: what was used and spent, from an orchestrator or from this machine's own store.

pub(crate) mod remote;
mod table;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use ossai_orchestrator::config::default_data_dir;
use ossai_orchestrator::{GroupBy, Store, UsageFilter, UsageSum, parse_time};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::global::Global;
use crate::io::{out, out_styled};

/// Say what was used and spent
#[derive(Args)]
#[command(after_help = "Examples:
  ossai usage
  ossai usage --since 7d --by model,day
  ossai usage --since 2026-11-01 --by tag:team --json
  ossai usage --by tenant,key,model,day --csv > usage.csv

Asks the orchestrator of --endpoint, for the tenant of its key; without one reads this machine's store, where
`ossai serve` and direct calls of `ossai ask` are recorded. Days and hours are UTC.")]
pub struct Usage {
    /// From then on: 30m, 12h, 7d, 4w back, seconds since 1970, 2026-11-21 or 2026-11-21T14:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Before then, in the same forms
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// What to group by, with commas between: model, provider, operation, tenant, key, user, outcome, hour, day, month, tag:NAME
    #[arg(
        long,
        value_name = "WORDS",
        value_delimiter = ',',
        default_value = "model"
    )]
    by: Vec<String>,
    /// Only of this model
    #[arg(short, long)]
    model: Option<String>,
    /// Only of this tenant (this machine's store)
    #[arg(long)]
    tenant: Option<String>,
    /// Print comma-separated values (RFC 4180), amounts in nanodollars
    #[arg(long, conflicts_with_all = ["json", "jsonl"])]
    csv: bool,
    /// The store's folder [default: the platform's own]
    #[arg(long, value_name = "FOLDER", env = "OSSAI_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

/// Sums over one group, in the orchestrator's own JSON form.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Row {
    groups: Map<String, Value>,
    calls: u64,
    errors: u64,
    cache_hits: u64,
    joined: u64,
    usage: ossai::Usage,
    cost_nano_usd: u64,
    unknown_cost_calls: u64,
    saved_nano_usd: u64,
}

impl From<UsageSum> for Row {
    fn from(sum: UsageSum) -> Self {
        Self {
            groups: sum
                .groups
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect(),
            calls: sum.calls,
            errors: sum.errors,
            cache_hits: sum.cache_hits,
            joined: sum.joined,
            usage: sum.usage,
            cost_nano_usd: sum.cost.0,
            unknown_cost_calls: sum.unknown_cost_calls,
            saved_nano_usd: sum.saved.0,
        }
    }
}

impl Usage {
    /// Runs the command.
    ///
    /// # Errors
    /// Times and words that are none; an orchestrator that does not answer; a store that cannot be read.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let groups = self
            .by
            .iter()
            .map(|word| word.trim())
            .filter(|word| !word.is_empty() && *word != "none");
        let groups = groups
            .map(GroupBy::from_name)
            .collect::<ossai::Result<Vec<_>>>()?;
        let filter = UsageFilter {
            tenant: self.tenant.clone(),
            since: self
                .since
                .as_deref()
                .map(|text| time("--since", text))
                .transpose()?,
            until: self
                .until
                .as_deref()
                .map(|text| time("--until", text))
                .transpose()?,
            model: self.model.clone(),
            ..UsageFilter::default()
        };
        let config = global.configuration()?;
        let rows = match &config.endpoint {
            Some(_) if self.tenant.is_some() => {
                let expected = "expected none with an orchestrator: it tells of its key's tenant";
                return Err(Failure::usage("--tenant", expected));
            }
            Some(endpoint) => {
                remote::query(
                    endpoint,
                    global.orchestrator_key()?.as_deref(),
                    &config,
                    &filter,
                    &groups,
                )
                .await?
            }
            None => self.local(&filter, &groups)?,
        };
        if global.json {
            return global.print_json(&json!({ "rows": rows }));
        }
        if global.jsonl {
            return rows.iter().try_for_each(|row| global.print_json(row));
        }
        if self.csv {
            return out(&table::csv(&groups, &rows));
        }
        out_styled(&table::table(&groups, &rows))
    }

    fn local(&self, filter: &UsageFilter, groups: &[GroupBy]) -> Result<Vec<Row>, Failure> {
        let folder = data_dir(self.data_dir.as_deref())?;
        if !folder.exists() {
            anstream::eprintln!("nothing is recorded yet: {} is not there", folder.display());
            return Ok(Vec::new());
        }
        let sums = Store::open(&folder)?.query_usage(filter, groups)?;
        Ok(sums
            .into_iter()
            .filter(|sum| sum.calls > 0)
            .map(Row::from)
            .collect())
    }
}

/// The folder of this machine's store: the one given, `OSSAI_DATA_DIR`, or the platform's own.
///
/// # Errors
/// There is none: this user has no home.
pub fn data_dir(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let env = || {
        std::env::var_os("OSSAI_DATA_DIR")
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
    };
    let given = given
        .filter(|folder| !folder.as_os_str().is_empty())
        .map(Path::to_owned);
    given
        .or_else(env)
        .or_else(default_data_dir)
        .ok_or_else(|| Failure::message("this user has no home: name a folder in OSSAI_DATA_DIR"))
}

/// Reads `7d` as so long ago, everything else as [`parse_time`] does; in milliseconds since 1970.
fn time(argument: &str, text: &str) -> Result<i64, Failure> {
    let unit = match text.trim().chars().last() {
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        Some('w') => 7 * 86_400_000,
        _ => return Ok(parse_time(argument, text.trim())?),
    };
    let number = text.trim().trim_end_matches(['m', 'h', 'd', 'w']);
    let ago = number
        .parse::<u32>()
        .ok()
        .and_then(|number| i64::from(number).checked_mul(unit));
    let ago = ago
        .ok_or_else(|| Failure::usage(argument, "expected a number before the unit, such as 7d"))?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    Ok(now.saturating_sub(ago).max(0))
}

/// The day in UTC of milliseconds since 1970, as `2026-11-21`.
#[must_use]
pub fn day(millis: i64) -> String {
    // The civil date of a day number in the proleptic Gregorian calendar, years beginning in March.
    let days = millis.div_euclid(86_400_000) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year_of_era + next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_agree() {
        for text in [
            "1970-01-01",
            "2000-02-29",
            "2024-12-31",
            "2026-11-21",
            "2100-03-01",
        ] {
            assert_eq!(day(time("--since", text).unwrap()), text);
        }
    }

    #[test]
    fn times_back_are_read_and_others_refused() {
        let now = time("--since", "0m").unwrap();
        let week = time("--since", "1w").unwrap();
        assert!((now - week - 7 * 86_400_000).abs() < 60_000);
        for bad in [
            "d",
            "-1d",
            "1.5h",
            "7dd0",
            "yesterday",
            "99999999999w",
            "dé",
        ] {
            assert!(time("--since", bad).is_err(), "{bad}");
        }
    }
}
