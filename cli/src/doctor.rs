//! `ossai doctor`: whether things are as they should be, and what to do where they are not.

use clap::Args;
use ossai::client::presets::PRESETS;
use ossai::tokens::Encoding;
use ossai::{Client, HealthStatus};
use serde::Serialize;

use crate::common::{Failure, Global, config_path, out};

/// Check configuration, keys and servers
#[derive(Args, Debug)]
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

impl Doctor {
    /// Runs the command.
    ///
    /// # Errors
    /// `Failure::No` when a check fails.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let mut checks = vec![Check {
            name: "version".into(),
            ok: true,
            detail: env!("CARGO_PKG_VERSION").into(),
        }];
        let mut add = |name: &str, ok: bool, detail: String| {
            checks.push(Check {
                name: name.into(),
                ok,
                detail,
            })
        };
        let path = global.config.clone().or_else(config_path);
        match (global.configuration(), path) {
            (Ok(_), Some(path)) if path.exists() => {
                add("configuration", true, path.display().to_string())
            }
            (Ok(_), _) => add(
                "configuration",
                true,
                "none; defaults and environment".into(),
            ),
            (Err(error), _) => add("configuration", false, error.to_string()),
        }
        let keys: Vec<&str> = PRESETS
            .iter()
            .filter_map(|preset| preset.key_env)
            .filter(|name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty()))
            .collect();
        add(
            "keys",
            true,
            if keys.is_empty() {
                "none; local/extract works without".into()
            } else {
                keys.join(", ")
            },
        );
        let encoding = Encoding::get("o200k_base").map(|encoding| encoding.count("hello world"));
        add(
            "tokenizer",
            encoding == Some(2),
            format!("o200k_base counts \"hello world\" as {encoding:?}"),
        );
        let client = Client::new(global.configuration().unwrap_or_default());
        match client {
            Err(error) => add("client", false, error.to_string()),
            Ok(client) => {
                add(
                    "prices",
                    client.prices().models().len() > 0,
                    format!(
                        "{} models, {}",
                        client.prices().models().len(),
                        client.prices().date()
                    ),
                );
                if !self.offline {
                    for health in client.health().await? {
                        let detail = health
                            .message
                            .unwrap_or_else(|| format!("{:.0} ms", health.latency_us as f64 / 1e3));
                        add(
                            &health.upstream,
                            health.status == HealthStatus::Serving,
                            detail,
                        );
                    }
                }
            }
        }
        let healthy = checks.iter().all(|check| check.ok);
        if global.json {
            global.print_json(&serde_json::json!({ "ok": healthy, "checks": checks }))?;
        } else {
            for check in &checks {
                out(&format!(
                    "{} {:14} {}\n",
                    if check.ok { "ok  " } else { "FAIL" },
                    check.name,
                    check.detail
                ))?;
            }
        }
        if healthy { Ok(()) } else { Err(Failure::No) }
    }
}
