//! `ossai serve`, `ossai keys` and `ossai usage`: the orchestrator and what it keeps.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ossai_orchestrator::{Auth, GroupBy, ServeConfig, Store, UsageFilter, UsageSum, parse_time};

use crate::common::{Failure, Global, out};

/// Run the orchestrator: gRPC and OpenAI-compatible HTTP on one port
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ossai serve
  ossai serve --config ossai.json --bind 127.0.0.1:9000
The first SIGTERM or Ctrl-C drains, the second ends at once. Providers are found by their key variables.")]
pub struct Serve {
    /// Address and port
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<SocketAddr>,
    /// Folder of keys and recorded usage
    #[arg(long, value_name = "FOLDER", env = "OSSAI_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Require API keys (made by `ossai keys create`)
    #[arg(long)]
    require_keys: bool,
    /// Check the configuration and end
    #[arg(long)]
    check: bool,
}

impl Serve {
    /// Runs until told to stop.
    ///
    /// # Errors
    /// A wrong configuration, everything in it at once; an address or folder that cannot be used.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::message(error.to_string());
        let mut config =
            ServeConfig::load(global.config.as_deref()).map_err(|errors| failed(&errors))?;
        config.bind = self.bind.unwrap_or(config.bind);
        config.data_dir = self.data_dir.or(config.data_dir);
        if self.require_keys {
            config.auth = Some(Auth::Keys);
        }
        config.check().map_err(|errors| failed(&errors))?;
        if self.check {
            return out("the configuration is good\n");
        }
        let ended = ossai_orchestrator::run(config, |address| {
            anstream::eprintln!("listening on {address}")
        })
        .await
        .map_err(|error| failed(&error))?;
        if ended.lost_rows > 0 {
            return Err(Failure::message(format!(
                "{} rows of usage could not be written",
                ended.lost_rows
            )));
        }
        Ok(())
    }
}

/// Keys of the orchestrator's callers
#[derive(Args, Debug)]
pub struct Keys {
    /// Folder of keys and recorded usage
    #[arg(long, global = true, value_name = "FOLDER", env = "OSSAI_DATA_DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    what: KeysCommand,
}

#[derive(Subcommand, Debug)]
enum KeysCommand {
    /// Make a key; it is shown once
    Create {
        /// Whose calls it makes
        #[arg(long, default_value = "default")]
        tenant: String,
        /// What it is for
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List keys, without their secrets
    List,
    /// Revoke a key
    Revoke {
        /// Its id, as listed
        id: String,
    },
}

impl Keys {
    /// Runs the command.
    ///
    /// # Errors
    /// A folder that cannot be used, an id that is not there.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let store = store(self.data_dir)?;
        match self.what {
            KeysCommand::Create { tenant, name } => {
                let created = store.create_key(&tenant, &name)?;
                if global.json {
                    let (id, tenant) = (&created.entry.id, &created.entry.tenant);
                    return global.print_json(
                        &serde_json::json!({ "id": id, "tenant": tenant, "key": created.key }),
                    );
                }
                anstream::eprintln!(
                    "key {} of tenant {}; it is shown only now:",
                    created.entry.id,
                    created.entry.tenant
                );
                out(&format!("{}\n", created.key))
            }
            KeysCommand::List => {
                let keys = store.list_keys()?;
                if global.json {
                    return global.print_json(&keys);
                }
                keys.iter().try_for_each(|key| {
                    let state = if key.revoked.is_some() {
                        "revoked"
                    } else {
                        "active"
                    };
                    out(&format!(
                        "{}  {:12}  {state:7}  {}\n",
                        key.id, key.tenant, key.name
                    ))
                })
            }
            KeysCommand::Revoke { id } => {
                if store.revoke_key(&id)? {
                    Ok(())
                } else {
                    Err(Failure::message(format!("no active key {id}")))
                }
            }
        }
    }
}

/// What was used and spent, as the orchestrator recorded it
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ossai usage --since 7d --by model,day
  ossai usage --by tenant,model,day --json")]
pub struct Usage {
    /// Folder of keys and recorded usage
    #[arg(long, value_name = "FOLDER", env = "OSSAI_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// From when: a time (RFC 3339), or a span back from now (30m, 24h, 7d)
    #[arg(long)]
    since: Option<String>,
    /// Until when
    #[arg(long)]
    until: Option<String>,
    /// Group by: tenant, key, model, provider, operation, user, outcome, hour, day, month, tag:NAME
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    by: Vec<String>,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<String>,
    /// Only this model's
    #[arg(short, long)]
    model: Option<String>,
}

impl Usage {
    /// Runs the command.
    ///
    /// # Errors
    /// A folder that cannot be used, words that are none.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let store = store(self.data_dir)?;
        let filter = UsageFilter {
            tenant: self.tenant,
            since: self
                .since
                .as_deref()
                .map(|text| time("since", text))
                .transpose()?,
            until: self
                .until
                .as_deref()
                .map(|text| time("until", text))
                .transpose()?,
            model: self.model,
            ..UsageFilter::default()
        };
        let groups = self
            .by
            .iter()
            .map(|name| GroupBy::from_name(name))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = store.query_usage(&filter, &groups)?;
        if global.json || global.jsonl {
            let rows: Vec<_> = rows.iter().map(row).collect();
            if global.jsonl {
                return rows.iter().try_for_each(|row| global.print_json(row));
            }
            return global.print_json(&serde_json::json!({ "rows": rows }));
        }
        let label = |row: &UsageSum| {
            row.groups
                .iter()
                .map(|(_, value)| value.as_str())
                .collect::<Vec<_>>()
                .join("  ")
        };
        let width = rows
            .iter()
            .map(|row| label(row).chars().count())
            .max()
            .unwrap_or(0)
            .max(5);
        out(&format!(
            "{:width$}  {:>7}  {:>6}  {:>6}  {:>6}  {:>10}  {:>10}  {:>14}  {:>14}\n",
            self.by.join("  "),
            "calls",
            "errors",
            "hits",
            "joined",
            "in",
            "out",
            "cost",
            "saved"
        ))?;
        for sum in &rows {
            let mut cost = sum.cost.to_string();
            if sum.unknown_cost_calls > 0 {
                cost.push('?');
            }
            out(&format!(
                "{:width$}  {:>7}  {:>6}  {:>6}  {:>6}  {:>10}  {:>10}  {cost:>14}  {:>14}\n",
                label(sum),
                sum.calls,
                sum.errors,
                sum.cache_hits,
                sum.joined,
                sum.usage.input_tokens,
                sum.usage.output_tokens,
                sum.saved.to_string(),
            ))?;
        }
        if rows.iter().any(|row| row.unknown_cost_calls > 0) {
            anstream::eprintln!("?: some calls had no known price and are not in the sum");
        }
        Ok(())
    }
}

fn row(sum: &UsageSum) -> serde_json::Value {
    let mut value = serde_json::to_value(sum).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        let groups: serde_json::Map<_, _> = sum
            .groups
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        fields.insert("groups".into(), groups.into());
    }
    value
}

/// A time, or a span back from now.
fn time(field: &str, text: &str) -> Result<i64, Failure> {
    let units = [('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];
    let span = units.iter().find_map(|(unit, seconds)| {
        let number: i64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds * 1_000)
    });
    match span {
        Some(span) => {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            Ok(i64::try_from(now.as_millis())
                .unwrap_or(i64::MAX)
                .saturating_sub(span))
        }
        None => Ok(parse_time(field, text)?),
    }
}

fn store(data_dir: Option<PathBuf>) -> Result<Store, Failure> {
    let folder = data_dir
        .or_else(ossai_orchestrator::config::default_data_dir)
        .ok_or_else(|| Failure::message("no data folder: give --data-dir"))?;
    Ok(Store::open(&folder)?)
}
