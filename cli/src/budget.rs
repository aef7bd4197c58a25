//! `ossai budget`: what the budgets have left, and what they are.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use ossai::budget::config::{Budget as Limit, Reserve, Scope, Window};
use ossai::{Client, Config, NanoUsd};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::global::{Global, config_path};
use crate::io::{out, out_styled};
use crate::money::dollars;
use crate::usage::{data_dir, remote};

/// Show what the budgets have left, set them, take them away
#[derive(Args)]
#[command(after_help = "Examples:
  ossai budget show
  ossai budget set --window day --usd 25
  ossai budget set --scope user --name ada --window hour --tokens 200000
  ossai budget remove --window day

`show` asks the orchestrator of --endpoint, for the tenant of its key; without one it reads the ledger the configuration
names, or that of `ossai serve` on this machine. `set` and `remove` change the configuration file, which running programs
and servers read when they start.")]
pub struct Budget {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show every budget with what is spent, held and left
    Show {
        /// The orchestrator's data folder [default: the platform's own]
        #[arg(long, value_name = "FOLDER", env = "OSSAI_DATA_DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Write a budget into the configuration file, in place of the same one
    Set {
        #[command(flatten)]
        whose: Whose,
        /// The limit in dollars
        #[arg(long, value_name = "USD", value_parser = dollars)]
        usd: Option<NanoUsd>,
        /// The limit in tokens, input and output together
        #[arg(long, value_name = "N")]
        tokens: Option<u64>,
        /// Hold what a call is likely to cost instead of the most it can
        #[arg(long)]
        calibrated: bool,
        /// Lower a call's max_tokens to what is left instead of refusing it
        #[arg(long, conflicts_with = "soft")]
        clamp: bool,
    },
    /// Take a budget out of the configuration file
    Remove {
        #[command(flatten)]
        whose: Whose,
    },
}

/// Which budget
#[derive(Args)]
struct Whose {
    /// What it is of
    #[arg(long, value_enum, default_value = "tenant")]
    scope: Of,
    /// Of --scope tag: the tag
    #[arg(long, required_if_eq("scope", "tag"))]
    tag: Option<String>,
    /// Whose it is; without it everybody's own
    #[arg(long)]
    name: Option<String>,
    /// How long it lasts, in UTC
    #[arg(long, value_enum)]
    window: Lasts,
    /// It is booked and refuses nothing
    #[arg(long)]
    soft: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Of {
    Tenant,
    Key,
    User,
    Model,
    Tag,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lasts {
    Hour,
    Day,
    Month,
    Total,
}

impl Whose {
    fn limit(&self) -> Limit {
        Limit {
            scope: match self.scope {
                Of::Tenant => Scope::Tenant,
                Of::Key => Scope::Key,
                Of::User => Scope::User,
                Of::Model => Scope::Model,
                Of::Tag => Scope::Tag,
            },
            tag: self.tag.clone(),
            name: self.name.clone(),
            window: match self.window {
                Lasts::Hour => Window::Hour,
                Lasts::Day => Window::Day,
                Lasts::Month => Window::Month,
                Lasts::Total => Window::Total,
            },
            nano_usd: None,
            tokens: None,
            soft: self.soft,
            reserve: Reserve::Strict,
            clamp: false,
            max_reserve_nano_usd: None,
            max_reserve_tokens: None,
        }
    }
}

/// Whether two are the same budget, whatever their limits.
fn same(a: &Limit, b: &Limit) -> bool {
    (a.scope, &a.tag, &a.name, a.window, a.soft) == (b.scope, &b.tag, &b.name, b.window, b.soft)
}

impl Budget {
    /// Runs the command.
    ///
    /// # Errors
    /// A wrong configuration, one that cannot be written, an orchestrator or a ledger that does not answer.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self.what {
            What::Show { data_dir } => show(global, data_dir.as_deref()).await,
            What::Set {
                whose,
                usd,
                tokens,
                calibrated,
                clamp,
            } => {
                if usd.is_none() && tokens.is_none() {
                    return Err(Failure::usage(
                        "--usd",
                        "expected a limit: --usd, --tokens, or both",
                    ));
                }
                let limit = Limit {
                    nano_usd: usd.map(|usd| usd.0),
                    tokens,
                    clamp,
                    reserve: if calibrated {
                        Reserve::Calibrated
                    } else {
                        Reserve::Strict
                    },
                    ..whose.limit()
                };
                change(global, |limits| {
                    match limits.iter_mut().find(|known| same(known, &limit)) {
                        Some(known) => *known = limit.clone(),
                        None => limits.push(limit.clone()),
                    }
                    Ok(())
                })
            }
            What::Remove { whose } => {
                let gone = whose.limit();
                change(global, |limits| {
                    let before = limits.len();
                    limits.retain(|known| !same(known, &gone));
                    if limits.len() == before {
                        return Err(Failure::message(
                            "there is no such budget in the configuration file",
                        ));
                    }
                    Ok(())
                })
            }
        }
    }
}

async fn show(global: &Global, folder: Option<&Path>) -> Result<(), Failure> {
    let mut config = global.configuration()?;
    let budgets: Vec<Value> = if let Some(endpoint) = config.endpoint.clone() {
        let key = global.orchestrator_key()?;
        let answer = remote::get(&endpoint, key.as_deref(), &config, "/ossai/v1/budgets").await?;
        let listed = answer.get("budgets").and_then(Value::as_array);
        listed.cloned().unwrap_or_default()
    } else {
        if config.budgets.ledger.is_none() && config.budgets.postgres.is_none() {
            // Where `ossai serve` keeps them, unless its configuration says otherwise.
            let store = data_dir(folder)?.join("ossai.db");
            config.budgets.ledger = store.exists().then_some(store);
        }
        let states = Client::new(config)?.budgets().await?;
        states
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?
    };
    if global.json {
        return global.print_json(&json!({ "budgets": budgets }));
    }
    if global.jsonl {
        return budgets.iter().try_for_each(|one| global.print_json(one));
    }
    if budgets.is_empty() {
        anstream::eprintln!("there are no budgets: `ossai budget set --help` says how to make one");
        return Ok(());
    }
    out_styled(&table(&budgets))
}

/// A line for each limit of each budget.
fn table(budgets: &[Value]) -> String {
    let mut lines = vec![["budget", "window", "limit", "spent", "held", "left"].map(str::to_owned)];
    for budget in budgets {
        let text = |name: &str| budget.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| budget.get(name).and_then(Value::as_u64);
        let scope = match text("scope") {
            "tag" => text("tag"),
            scope => scope,
        };
        let mut whose = [scope, text("tenant"), text("name")]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        if budget.get("soft") == Some(&Value::Bool(true)) {
            whose.push_str(" (soft)");
        }
        type Show = fn(u64) -> String;
        let units: [(&str, Show); 2] = [
            ("nano_usd", |n| NanoUsd(n).to_string()),
            ("tokens", |n| format!("{n} tokens")),
        ];
        for (unit, shown) in units {
            let Some(limit) = number(&format!("limit_{unit}")) else {
                continue;
            };
            let spent = number(&format!("spent_{unit}")).unwrap_or(0);
            let held = number(&format!("held_{unit}")).unwrap_or(0);
            let left = limit.saturating_sub(spent).saturating_sub(held);
            lines.push([
                whose.clone(),
                text("window").to_owned(),
                shown(limit),
                shown(spent),
                shown(held),
                shown(left),
            ]);
        }
    }
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for line in &lines {
        let cells = line
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column < 2 {
                    format!("{cell:width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Changes the budgets of the configuration file and nothing else in it; it is replaced whole or not at all.
fn change(
    global: &Global,
    edit: impl FnOnce(&mut Vec<Limit>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let named = global
        .config
        .clone()
        .filter(|path| !path.as_os_str().is_empty());
    let path = named.or_else(config_path).ok_or_else(|| {
        Failure::message("no HOME and no XDG_CONFIG_HOME is set: name a file with --config")
    })?;
    let mut document = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Object(Map::new()),
        Err(error) => return Err(Failure::path(&path, &error)),
    };
    // Of a server's file the client's part.
    let of_server = document.get("client").is_some();
    let client = if of_server {
        document.get_mut("client")
    } else {
        Some(&mut document)
    };
    let client = client
        .and_then(Value::as_object_mut)
        .ok_or_else(|| Failure::message("the configuration file is no JSON object"))?;
    let known = Config::from_json(&Value::Object(client.clone()).to_string())?;
    let mut limits = known.budgets.limits;
    edit(&mut limits)?;
    let budgets = client
        .entry("budgets")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(budgets) = budgets.as_object_mut() {
        budgets.insert("limits".into(), serde_json::to_value(&limits)?);
    }
    Config::from_json(&Value::Object(client.clone()).to_string())?;
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    write_whole(&path, &text).map_err(|error| Failure::path(&path, &error))?;
    if global.json || global.jsonl {
        return global.print_json(&json!({"config": path, "limits": limits}));
    }
    out(&format!("{}\n", path.display()))
}

fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    // It may hold keys.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}
