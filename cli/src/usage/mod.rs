//! `ossai usage`: what was used and spent, from an orchestrator or from this machine's own store.

pub(crate) mod remote;
mod source;
mod table;
mod time;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ossai::ledger::{GroupBy, Ledger, Period, Repriced, UsageFilter, Watch, csv_head, csv_line};
use ossai::{Config, NanoUsd};
use ossai_orchestrator::config::default_data_dir;
use serde::Serialize;
use serde_json::json;

use self::remote::Remote;
use self::source::Source;
pub use self::time::day;
use self::time::{now, time};
use crate::failure::Failure;
use crate::global::Global;
use crate::io::{out, out_styled};
use crate::money::dollars;

/// The store's file in its folder.
const STORE: &str = "ossai.db";

/// Say what was used and spent
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  ossai usage
  ossai usage --since 7d --by model,day
  ossai usage --since 2026-11-01 --by tag:team --json
  ossai usage --by tenant,user --top 10
  ossai usage --trend --since 30d --by model
  ossai usage --anomalies --by tenant,model
  ossai usage --records --since 1d --csv > calls.csv
  ossai usage prune --older-than 90d

Asks the orchestrator of --endpoint, for the tenant of its key; without one reads the configuration's `usage.ledger`, or
this machine's store, where `ossai serve` and direct calls of `ossai ask` are recorded. Days and hours are UTC."
)]
pub struct Usage {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    question: Question,
}

#[derive(Subcommand)]
enum What {
    /// Take old records away
    Prune {
        /// Records that ended longer ago than this
        #[arg(long, value_name = "WHEN", default_value = "90d")]
        older_than: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the records are
#[derive(Args)]
struct Place {
    /// The store's folder [default: the platform's own]
    #[arg(long, value_name = "FOLDER", env = "OSSAI_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A file of records, in place of the store
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

/// What is asked
#[derive(Args)]
struct Question {
    /// From then on: 30m, 12h, 7d, 4w back, seconds since 1970, 2026-11-21 or 2026-11-21T14:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Before then, in the same forms
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// What to group by, with commas between: model, provider, operation, tenant, key, user, outcome, hour, day, month, tag:NAME, tag, none
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
    /// Only of this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only of the key with this id
    #[arg(long)]
    key: Option<String>,
    /// Only of this end user
    #[arg(long)]
    user: Option<String>,
    /// Only of this operation: chat or embeddings
    #[arg(long)]
    operation: Option<String>,
    /// Only those that ended so: ok, or an error's kind
    #[arg(long)]
    outcome: Option<String>,
    /// Only with this tag
    #[arg(long, value_name = "NAME=VALUE")]
    tag: Option<String>,
    /// Only of this tenant (this machine's store)
    #[arg(long)]
    tenant: Option<String>,
    /// Only the groups that cost most, and the rest as one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    top: Option<u64>,
    /// Compare the time with as long a time before it; without --since the last seven days
    #[arg(long, conflicts_with_all = ["anomalies", "records", "reprice"])]
    trend: bool,
    /// Find days (or with --hourly hours) in which a group used at least twice what it usually does; without --since of the last seven days
    #[arg(long, conflicts_with_all = ["records", "reprice"])]
    anomalies: bool,
    /// With --anomalies: look at hours
    #[arg(long, requires = "anomalies")]
    hourly: bool,
    /// With --anomalies: judge periods with so many calls
    #[arg(long, value_name = "N", requires = "anomalies")]
    min_calls: Option<u64>,
    /// With --anomalies: judge also periods that cost so much, in dollars
    #[arg(long, value_name = "USD", requires = "anomalies", value_parser = dollars)]
    min_usd: Option<NanoUsd>,
    /// Print the records themselves, as CSV unless --json or --jsonl is given
    #[arg(long, conflicts_with_all = ["top", "reprice"])]
    records: bool,
    /// Price the records of this machine's store again with the prices they name, and compare
    #[arg(long, conflicts_with = "top")]
    reprice: bool,
    /// Print comma-separated values (RFC 4180), amounts in nanodollars
    #[arg(long, conflicts_with_all = ["json", "jsonl", "trend", "anomalies", "reprice"])]
    csv: bool,
    #[command(flatten)]
    place: Place,
}

impl Usage {
    /// Runs the command.
    ///
    /// # Errors
    /// Times and words that are none; an orchestrator that does not answer; a store that cannot be read.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self.what {
            Some(What::Prune { older_than, place }) => prune(global, &older_than, &place),
            None => self.question.answer(global).await,
        }
    }
}

impl Question {
    async fn answer(&self, global: &Global) -> Result<(), Failure> {
        let groups = self
            .by
            .iter()
            .map(|word| word.trim())
            .filter(|word| !word.is_empty() && *word != "none");
        let groups = groups
            .map(GroupBy::from_name)
            .collect::<ossai::Result<Vec<_>>>()?;
        let filter = self.filter()?;
        let source = self.source(global)?;
        if self.records {
            return export(&source, &filter, global).await;
        }
        if self.reprice {
            return self.reprice(&source, &filter, global);
        }
        if self.trend {
            let mut trend = source.trend(&lately(filter), &groups).await?;
            trend.rows.truncate(self.most());
            return say(global, &trend, &trend.rows, || {
                table::trend(&groups, &trend)
            });
        }
        if self.anomalies {
            let usual = Watch::default();
            let watch = Watch {
                period: if self.hourly {
                    Period::Hour
                } else {
                    Period::Day
                },
                min_calls: self.min_calls.unwrap_or(usual.min_calls),
                min_cost: self.min_usd.unwrap_or(usual.min_cost),
            };
            let mut found = source.anomalies(&lately(filter), &groups, &watch).await?;
            found.truncate(self.most());
            let whole = json!({ "anomalies": found });
            return say(global, &whole, &found, || table::anomalies(&groups, &found));
        }
        let (rows, rest) = match self.top {
            Some(top) => {
                let top = source.top(&filter, &groups, top).await?;
                (top.rows, Some(top.rest))
            }
            None => (source.sums(&filter, &groups).await?, None),
        };
        if self.csv {
            return out(&table::csv(&groups, &rows));
        }
        let whole = match &rest {
            None => json!({ "rows": rows }),
            Some(rest) => json!({ "rows": rows, "rest": rest }),
        };
        say(global, &whole, &rows, || {
            table::table(&groups, &rows, rest.as_ref())
        })
    }

    /// The rows of a comparison that are shown.
    fn most(&self) -> usize {
        self.top
            .and_then(|top| usize::try_from(top).ok())
            .unwrap_or(usize::MAX)
    }

    fn filter(&self) -> Result<UsageFilter, Failure> {
        let moment = |argument, text: &Option<String>| {
            text.as_deref().map(|text| time(argument, text)).transpose()
        };
        let tag = self.tag.as_deref();
        Ok(UsageFilter {
            tenant: self.tenant.clone(),
            since: moment("--since", &self.since)?,
            until: moment("--until", &self.until)?,
            model: self.model.clone(),
            provider: self.provider.clone(),
            key_id: self.key.clone(),
            user: self.user.clone(),
            operation: self.operation.clone(),
            outcome: self.outcome.clone(),
            tag: tag
                .map(|tag| UsageFilter::read_tag("--tag", tag))
                .transpose()?,
            ..UsageFilter::default()
        })
    }

    fn source(&self, global: &Global) -> Result<Source, Failure> {
        let config = global.configuration()?;
        match &config.endpoint {
            Some(_) if self.place.ledger.is_none() => {
                let expected = "expected none with an orchestrator: it tells of its key's tenant";
                if self.tenant.is_some() {
                    return Err(Failure::usage("--tenant", expected));
                }
                if self.reprice {
                    let expected = "expected no orchestrator: name its folder on its machine";
                    return Err(Failure::usage("--reprice", expected));
                }
                let key = global.orchestrator_key()?;
                Ok(Source::Remote(Remote::new(config, key)?))
            }
            _ => Ok(Source::Local(local(&self.place, &config)?)),
        }
    }

    fn reprice(
        &self,
        source: &Source,
        filter: &UsageFilter,
        global: &Global,
    ) -> Result<(), Failure> {
        let Source::Local(Some(ledger)) = source else {
            return say(global, &Repriced::default(), &[] as &[u8], String::new);
        };
        let again = ledger.reprice(filter, global.client()?.prices())?;
        let text = format!(
            "{} records: {} the same, {} different, {} of other prices, {} without a price\n{} recorded, {} priced again\n",
            again.records,
            again.same,
            again.different,
            again.other_version,
            again.unpriced,
            again.recorded,
            again.repriced
        );
        say(global, &again, std::slice::from_ref(&again), || text)?;
        if again.different == 0 {
            return Ok(());
        }
        Err(Failure::message(format!(
            "{} records do not price as they were recorded",
            again.different
        )))
    }
}

/// One object, lines, or a table.
fn say<T: Serialize>(
    global: &Global,
    whole: &impl Serialize,
    lines: &[T],
    table: impl FnOnce() -> String,
) -> Result<(), Failure> {
    if global.json {
        return global.print_json(whole);
    }
    if global.jsonl {
        return lines.iter().try_for_each(|line| global.print_json(line));
    }
    out_styled(&table())
}

/// Every record of the filter, page by page.
async fn export(source: &Source, filter: &UsageFilter, global: &Global) -> Result<(), Failure> {
    let (head, between, tail) = match (global.json, global.jsonl) {
        (true, _) => ("{\"records\": [\n".to_owned(), ",\n", "\n]}\n"),
        (_, true) => (String::new(), "", ""),
        _ => (csv_head(), "", ""),
    };
    out(&head)?;
    let mut page = source.first_page();
    let mut is_first = true;
    while let Some(at) = page {
        let (rows, next) = source.records(filter, at).await?;
        let mut text = String::new();
        for row in &rows {
            if !std::mem::take(&mut is_first) {
                text.push_str(between);
            }
            if global.json {
                text.push_str(&serde_json::to_string(row)?);
            } else if global.jsonl {
                text.push_str(&serde_json::to_string(row)?);
                text.push('\n');
            } else {
                text.push_str(&csv_line(row));
            }
        }
        out(&text)?;
        page = next;
    }
    out(tail)
}

fn prune(global: &Global, older_than: &str, place: &Place) -> Result<(), Failure> {
    let before = time("--older-than", older_than)?;
    let records = match local(place, &global.configuration()?)? {
        None => 0,
        Some(ledger) => ledger.prune(before)?,
    };
    let text = format!("{records} records taken away\n");
    say(
        global,
        &json!({ "records": records }),
        &[json!({ "records": records })],
        || text,
    )
}

/// The ledger of this machine: the file that is named, the named folder's, the configuration's, or the platform's own. None
/// where nothing is recorded yet.
fn local(place: &Place, config: &Config) -> Result<Option<Ledger>, Failure> {
    let named = place.data_dir.as_ref();
    let named = named.filter(|folder| !folder.as_os_str().is_empty());
    let file = match (&place.ledger, named, &config.usage.ledger) {
        (Some(file), _, _) | (None, None, Some(file)) => file.clone(),
        _ => data_dir(place.data_dir.as_deref())?.join(STORE),
    };
    if !file.exists() {
        anstream::eprintln!("nothing is recorded yet: {} is not there", file.display());
        return Ok(None);
    }
    Ok(Some(Ledger::open(&file)?))
}

/// The filter with a time: until now, and for seven days, where it names none.
fn lately(filter: UsageFilter) -> UsageFilter {
    let until = filter.until.unwrap_or_else(now);
    UsageFilter {
        since: filter.since.or(Some((until - 7 * 86_400_000).max(0))),
        until: Some(until),
        ..filter
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
