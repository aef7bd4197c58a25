//! `ossai keys`: the keys of the orchestrator on this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ossai_orchestrator::{ApiKey, Store};
use serde_json::json;

use crate::failure::Failure;
use crate::global::Global;
use crate::io::{out, out_styled};
use crate::usage::{data_dir, day};

/// Make, list and revoke keys of the orchestrator on this machine
#[derive(Args)]
#[command(after_help = "Examples:
  ossai keys create --tenant search --name 'search team, production'
  ossai keys list
  ossai keys revoke 0123456789abcdef

A key is shown once, when it is made. A running server takes new keys and refuses revoked ones within a second.")]
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
    },
    /// List keys, revoked ones included
    List,
    /// Revoke a key
    Revoke {
        /// Its id, from `ossai keys list`
        id: String,
    },
}

impl Keys {
    /// Runs the command.
    ///
    /// # Errors
    /// A wrong tenant or name, no such key, a data folder that cannot be used.
    pub fn run(&self, global: &Global) -> Result<(), Failure> {
        let store = Store::open(&data_dir(self.data_dir.as_deref())?)?;
        match &self.what {
            What::Create { tenant, name } => {
                let made = store.create_key(tenant, name)?;
                if global.json || global.jsonl {
                    let mut value = serde_json::to_value(&made.entry)?;
                    if let Some(fields) = value.as_object_mut() {
                        fields.insert("key".into(), made.key.into());
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

fn table(keys: &[ApiKey]) -> String {
    let width = keys
        .iter()
        .map(|key| key.tenant.len())
        .max()
        .unwrap_or(0)
        .max(6);
    let mut text = format!(
        "{:16}  {:width$}  {:10}  {:10}  name\n",
        "id", "tenant", "made", "revoked"
    );
    for key in keys {
        let revoked = key.revoked.map_or_else(|| "-".into(), day);
        let made = day(key.created);
        text.push_str(&format!(
            "{:16}  {:width$}  {made:10}  {revoked:10}  {}\n",
            key.id, key.tenant, key.name
        ));
    }
    text
}
