//! `ossai doctor`: whether things are as they should be, and what to do where they are not.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use clap::Args;
use ossai::client::presets::PRESETS;
use ossai::tokens::Encoding;
use ossai::{Client, Config, HealthStatus};
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;
use crate::global::{Global, config_path};
use crate::io::out_styled;
use crate::usage::{data_dir, day};

/// Check configuration, keys, clock, folders and servers
#[derive(Args)]
#[command(after_help = "Examples:
  ossai doctor
  ossai doctor --offline --json

Keys are looked for, never shown. Exits with 1 if a check fails.")]
pub struct Doctor {
    /// Ask no server
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

impl Check {
    fn new(name: &str, ok: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            detail: detail.into(),
        }
    }
}

impl Doctor {
    /// Runs the command.
    ///
    /// # Errors
    /// `Failure::No` when a check fails.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let configuration = global.configuration();
        let mut checks = vec![
            Check::new("version", true, env!("CARGO_PKG_VERSION")),
            configured(global, configuration.as_ref().err()),
            keys(configuration.as_ref().ok()),
            tokenizer(),
            folder(),
        ];
        match configuration.and_then(Client::new) {
            Err(error) if checks.iter().all(|check| check.ok) => {
                checks.push(Check::new("client", false, error.to_string()));
            }
            Err(_) => {}
            Ok(client) => {
                let prices = client.prices();
                let count = prices.models().len();
                checks.push(Check::new(
                    "prices",
                    count > 0,
                    format!("{count} models, as of {}", prices.date()),
                ));
                checks.push(clock(prices.date()));
                if !self.offline {
                    checks.extend(servers(&client).await);
                }
            }
        }
        print(global, &checks)
    }
}

fn configured(global: &Global, error: Option<&ossai::Error>) -> Check {
    let path = global
        .config
        .clone()
        .or_else(config_path)
        .filter(|path| path.exists());
    match (error, path) {
        (Some(error), _) => Check::new("configuration", false, error.fields().message.clone()),
        (None, Some(path)) => Check::new("configuration", true, path.display().to_string()),
        (None, None) => Check::new("configuration", true, "no file; defaults and environment"),
    }
}

fn keys(config: Option<&Config>) -> Check {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let mut found: Vec<String> = PRESETS
        .iter()
        .filter_map(|preset| preset.key_env)
        .chain(["OSSAI_API_KEY"])
        .filter(|name| set(name))
        .map(str::to_owned)
        .collect();
    for (name, provider) in config.iter().flat_map(|config| &config.providers) {
        if provider.api_key.is_some() {
            found.push(format!("providers.{name}.api_key"));
        }
    }
    let none = "none; local/extract works without";
    Check::new(
        "keys",
        true,
        if found.is_empty() {
            none.to_owned()
        } else {
            found.join(", ")
        },
    )
}

fn tokenizer() -> Check {
    // The ids tiktoken gives.
    let ids = Encoding::get("o200k_base").map(|encoding| encoding.encode("hello world"));
    let ok = ids.as_deref() == Some(&[24912, 2375]);
    Check::new(
        "tokenizer",
        ok,
        format!("{} encodings, offline", Encoding::all().len()),
    )
}

/// Prices and certificates have dates: a clock before the price table's is wrong.
fn clock(prices: &str) -> Check {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let today = day(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    if today.as_str() < prices {
        return Check::new(
            "clock",
            false,
            format!("{today} is before {prices}, when this was built: set the clock"),
        );
    }
    Check::new("clock", true, today)
}

fn folder() -> Check {
    let folder = match data_dir(None) {
        Ok(folder) => folder,
        Err(_) => {
            return Check::new(
                "data folder",
                false,
                "no home: name a folder in OSSAI_DATA_DIR",
            );
        }
    };
    let shown = folder.display();
    if !folder.exists() {
        return Check::new("data folder", true, format!("{shown}, made when needed"));
    }
    match writable(&folder) {
        Ok(()) => Check::new("data folder", true, shown.to_string()),
        Err(error) => Check::new(
            "data folder",
            false,
            format!("{shown} cannot be written: {error}"),
        ),
    }
}

fn writable(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    std::fs::File::create_new(&probe)?;
    std::fs::remove_file(probe)
}

async fn servers(client: &Client) -> Vec<Check> {
    #[allow(clippy::cast_precision_loss)]
    let millis = |us: u64| format!("answers in {:.1} ms", us as f64 / 1000.0);
    match client.health().await {
        Err(error) => vec![Check::new("orchestrator", false, error.to_string())],
        Ok(all) => all
            .into_iter()
            .map(|health| {
                let ok = health.status == HealthStatus::Serving;
                Check::new(
                    &health.upstream,
                    ok,
                    health.message.unwrap_or_else(|| millis(health.latency_us)),
                )
            })
            .collect(),
    }
}

fn print(global: &Global, checks: &[Check]) -> Result<(), Failure> {
    let healthy = checks.iter().all(|check| check.ok);
    if global.json {
        global.print_json(&json!({ "ok": healthy, "checks": checks }))?;
    } else if global.jsonl {
        checks
            .iter()
            .try_for_each(|check| global.print_json(check))?;
    } else {
        let (green, red) = (colour(AnsiColor::Green), colour(AnsiColor::Red));
        let mut text = String::new();
        for Check { name, ok, detail } in checks {
            let (style, word) = if *ok { (green, "ok  ") } else { (red, "FAIL") };
            text.push_str(&format!("{style}{word}{style:#} {name:14} {detail}\n"));
        }
        out_styled(&text)?;
    }
    if healthy { Ok(()) } else { Err(Failure::No) }
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}
