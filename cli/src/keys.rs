//! `ossai keys`: the keys of the orchestrator on this machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use ossai::NanoUsd;
use ossai_orchestrator::{Allowance, ApiKey, AuditEntry, CreatedKey, Store};
use serde_json::json;

use crate::failure::Failure;
use crate::global::Global;
use crate::io::{out, out_styled};
use crate::money::dollars;
use crate::usage::{data_dir, day};

/// Make, limit, rotate, list and revoke keys of the orchestrator on this machine
#[derive(Args)]
#[command(after_help = "Examples:
  ossai keys create --tenant search --name 'search team, production'
  ossai keys create --tenant search --rpm 600 --tpm 200000 --models 'openai/gpt-4o-mini,local/*' --max-cost 0.05
  ossai keys rotate 0123456789abcdef --overlap 24h
  ossai keys list
  ossai keys revoke 0123456789abcdef

A key is shown once, when it is made. A running server follows every change within a second.")]
pub struct Keys {
    #[command(subcommand)]
    what: What,
    /// The orchestrator's data folder [default: the platform's own]
    #[arg(long, value_name = "FOLDER", env = "OSSAI_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// Make a key and print it
    Create {
        /// Whose calls it makes; nothing is shared between tenants
        #[arg(long, default_value = "default")]
        tenant: String,
        /// What it is for
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// Replace a key's limits: those not named are taken away
    Limit {
        /// Its id, from `ossai keys list`
        id: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// Make a key in another's place and print it
    Rotate {
        /// The old key's id, from `ossai keys list`
        id: String,
        /// How much longer the old key holds: 30s, 15m, 24h or 7d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
        overlap: Duration,
    },
    /// Show what was done to keys: an append-only log
    Audit {
        /// At most so many lines, the newest
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: usize,
    },
    /// List keys, revoked ones included
    List,
    /// Revoke a key
    Revoke {
        /// Its id, from `ossai keys list`
        id: String,
    },
}

/// What a key may use, beside its tenant's bounds
#[derive(Args)]
struct Limits {
    /// Requests in any minute
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Input and output tokens in any minute
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// Requests under way at once
    #[arg(long, value_name = "N")]
    concurrency: Option<u64>,
    /// Models it may ask: provider/model or provider/*
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// Ceiling of a call's max_tokens, and the value of calls that name none
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// Ceiling of a call's highest estimated cost, in dollars
    #[arg(long, value_name = "USD", value_parser = dollars)]
    max_cost: Option<NanoUsd>,
}

impl Limits {
    fn allowance(&self) -> Allowance {
        Allowance {
            requests_per_minute: self.rpm,
            tokens_per_minute: self.tpm,
            concurrency: self.concurrency,
            models: self.models.clone(),
            max_tokens: self.max_tokens,
            max_cost_nano_usd: self.max_cost.map(|cost| cost.0),
        }
    }
}

/// Reads a whole number of seconds, minutes, hours or days.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || "expected a time such as 30s, 15m, 24h or 7d".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(bad()),
    };
    let number = text.get(..text.len() - 1).unwrap_or_default();
    let number: u32 = number.parse().map_err(|_| bad())?;
    Ok(Duration::from_secs(u64::from(number) * unit))
}

/// Who runs this, for the audit log.
fn actor() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "unknown".into())
}

impl Keys {
    /// Runs the command.
    ///
    /// # Errors
    /// A wrong tenant or name, no such key, a data folder that cannot be used.
    pub fn run(&self, global: &Global) -> Result<(), Failure> {
        let store = Store::open(&data_dir(self.data_dir.as_deref())?)?.acting_as(&actor());
        match &self.what {
            What::Create {
                tenant,
                name,
                limits,
            } => show_new(
                global,
                &store.create_limited_key(tenant, name, &limits.allowance())?,
            ),
            What::Rotate { id, overlap } => show_new(global, &store.rotate_key(id, *overlap)?),
            What::Limit { id, limits } => {
                let key = store.limit_key(id, &limits.allowance())?;
                if global.json || global.jsonl {
                    return global.print_json(&key);
                }
                anstream::eprintln!("key {} has the limits: {}", key.id, limited(&key));
                Ok(())
            }
            What::Audit { limit } => {
                let log = store.audit(*limit)?;
                if global.json {
                    return global.print_json(&json!({ "entries": log }));
                }
                if global.jsonl {
                    return log.iter().try_for_each(|entry| global.print_json(entry));
                }
                out_styled(&audit_table(&log))
            }
            What::List => {
                let keys = store.list_keys()?;
                if global.json {
                    return global.print_json(&json!({ "keys": keys }));
                }
                if global.jsonl {
                    return keys.iter().try_for_each(|key| global.print_json(key));
                }
                out_styled(&table(&keys))
            }
            What::Revoke { id } => {
                let was_valid = store.revoke_key(id)?;
                if global.json || global.jsonl {
                    return global.print_json(&json!({ "id": id, "was_valid": was_valid }));
                }
                anstream::eprintln!(
                    "{}",
                    if was_valid {
                        "revoked"
                    } else {
                        "it was revoked before"
                    }
                );
                Ok(())
            }
        }
    }
}

fn show_new(global: &Global, made: &CreatedKey) -> Result<(), Failure> {
    if global.json || global.jsonl {
        let mut value = serde_json::to_value(&made.entry)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("key".into(), made.key.clone().into());
        }
        return global.print_json(&value);
    }
    anstream::eprintln!(
        "key {} of tenant {}, shown this once; clients take it from OSSAI_API_KEY",
        made.entry.id,
        made.entry.tenant
    );
    out(&format!("{}\n", made.key))
}

fn table(keys: &[ApiKey]) -> String {
    let width = keys
        .iter()
        .map(|key| key.tenant.len())
        .max()
        .unwrap_or(0)
        .max(6);
    let mut text = format!(
        "{:16}  {:width$}  {:10}  {:10}  {:10}  name, limits\n",
        "id", "tenant", "made", "revoked", "ends"
    );
    for key in keys {
        let revoked = key.revoked.map_or_else(|| "-".into(), day);
        let made = day(key.created);
        let ends = key.expires.map_or_else(|| "-".into(), day);
        let limits = match limited(key) {
            none if none == "none" => String::new(),
            some => format!(" ({some})"),
        };
        text.push_str(&format!(
            "{:16}  {:width$}  {made:10}  {revoked:10}  {ends:10}  {}{limits}\n",
            key.id, key.tenant, key.name
        ));
    }
    text
}

fn limited(key: &ApiKey) -> String {
    let text = key.limits.describe();
    if text.is_empty() { "none".into() } else { text }
}

fn audit_table(log: &[AuditEntry]) -> String {
    let mut text = format!(
        "{:10}  {:12}  {:14}  {:16}  detail\n",
        "day", "who", "what", "key"
    );
    for entry in log {
        text.push_str(&format!(
            "{:10}  {:12}  {:14}  {:16}  {}\n",
            day(entry.time),
            entry.actor,
            entry.action,
            entry.key_id.as_deref().unwrap_or("-"),
            entry.detail
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_read_with_their_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "1", "h", "-1h", "1w", "1 h", "99999999999d", "é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
