//! Options every subcommand takes, and the configuration they, the environment and the file make together.

use std::path::PathBuf;

use clap::Args;
use ossai::{Client, Config, Error, Secret};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::io::out;

/// Options every subcommand takes.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Orchestrator to talk to (`host:port` or a URL); without it calls go straight to the providers
    #[arg(long, global = true, env = "OSSAI_ENDPOINT", value_name = "ADDRESS")]
    pub endpoint: Option<String>,
    /// The orchestrator's key (better in OSSAI_API_KEY, where other users cannot see it)
    #[arg(
        long,
        global = true,
        env = "OSSAI_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub api_key: Option<String>,
    /// Configuration file (JSON)
    #[arg(long, global = true, env = "OSSAI_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, global = true)]
    pub json: bool,
    /// Print JSON lines
    #[arg(long, global = true, conflicts_with = "json")]
    pub jsonl: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "always", "never"])]
    pub color: String,
}

impl Global {
    /// Makes colour follow `--color`; `NO_COLOR` and `CLICOLOR_FORCE` count where it says `auto`.
    pub fn apply_color(&self) {
        match self.color.as_str() {
            "always" => anstream::ColorChoice::Always.write_global(),
            "never" => anstream::ColorChoice::Never.write_global(),
            _ => {}
        }
    }

    /// The configuration file's text for a client, if there is a file: of a server's file the `client` part.
    fn document(&self) -> Result<Option<Value>, Error> {
        let named = self
            .config
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        let Some(path) = named.or_else(|| config_path().filter(|path| path.exists())) else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::invalid(
                "--config",
                format_args!("cannot read {}: {error}", path.display()),
            )
            .with_source(error)
        })?;
        let mut document: Value = serde_json::from_str(&text).map_err(|error| {
            Error::invalid("--config", format_args!("{}: {error}", path.display()))
        })?;
        let client = document.get_mut("client").map(Value::take);
        Ok(Some(client.unwrap_or(document)))
    }

    /// The configuration: the file, over it the environment, over that the command line.
    ///
    /// # Errors
    /// `invalid_request` naming what is wrong.
    pub fn configuration(&self) -> Result<Config, Error> {
        let env = Config::from_env();
        let mut config = match self.document()? {
            None => Config::default(),
            Some(document) => Config::from_json(&document.to_string())?,
        };
        config.tenant = env.tenant.or(config.tenant);
        config.prices = env.prices.or(config.prices);
        // An empty address says: none, whatever the file has.
        if let Some(endpoint) = &self.endpoint {
            config.endpoint =
                Some(endpoint.trim().to_owned()).filter(|endpoint| !endpoint.is_empty());
        }
        if let Some(key) = self.api_key.as_deref().filter(|key| !key.trim().is_empty()) {
            config.api_key = Some(Secret::new(key));
        }
        Ok(config)
    }

    /// The orchestrator's key as text, for the one request that does not go through the client.
    ///
    /// # Errors
    /// As [`Global::configuration`].
    pub fn orchestrator_key(&self) -> Result<Option<String>, Error> {
        if let Some(key) = self.api_key.as_deref().filter(|key| !key.trim().is_empty()) {
            return Ok(Some(key.trim().to_owned()));
        }
        let document = self.document()?.unwrap_or_default();
        Ok(document
            .get("api_key")
            .and_then(Value::as_str)
            .map(|key| key.trim().to_owned()))
    }

    /// A client of this configuration.
    ///
    /// # Errors
    /// As [`Global::configuration`].
    pub fn client(&self) -> Result<Client, Error> {
        Client::new(self.configuration()?)
    }

    /// Prints a result as JSON: on one line with `--jsonl`.
    ///
    /// # Errors
    /// A closed or full standard output.
    pub fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut text = if self.jsonl {
            serde_json::to_string(value)?
        } else {
            serde_json::to_string_pretty(value)?
        };
        text.push('\n');
        out(&text)
    }
}

/// Where the configuration file is looked for: `ossai/config.json` in `$XDG_CONFIG_HOME`, `~/Library/Application Support`
/// (macOS), `%APPDATA%` (Windows), or `~/.config`.
#[must_use]
pub fn config_path() -> Option<PathBuf> {
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let xdg = var("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let base = xdg.or_else(|| {
        if cfg!(windows) {
            var("APPDATA")
        } else if cfg!(target_os = "macos") {
            var("HOME").map(|home| home.join("Library/Application Support"))
        } else {
            var("HOME").map(|home| home.join(".config"))
        }
    })?;
    Some(base.join("ossai").join("config.json"))
}

/// The configuration for people's eyes: keys are hidden by their type, and here the values of headers and query
/// parameters that may be keys too.
#[must_use]
pub fn shown(config: &Config) -> Value {
    let mut shown = serde_json::to_value(config).unwrap_or_default();
    let providers = shown.get_mut("providers").and_then(Value::as_object_mut);
    for provider in providers
        .into_iter()
        .flat_map(|providers| providers.values_mut())
    {
        for place in ["headers", "query"] {
            let fields = provider.get_mut(place).and_then(Value::as_object_mut);
            for (_, value) in fields
                .into_iter()
                .flatten()
                .filter(|(name, _)| name.as_str() != "api-version")
            {
                *value = "***".into();
            }
        }
    }
    without_nulls(&mut shown);
    shown
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(without_nulls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::unwrap_used)]
    fn nothing_that_may_be_a_key_is_shown() {
        let config = Config::from_json(
            r#"{"api_key": "secret-1", "providers": {"a": {"base_url": "https://a.example/v1", "api_key": "secret-2",
                "headers": {"x-token": "secret-3"}, "query": {"api-version": "2026-01-01", "sig": "secret-4"}}}}"#,
        )
        .unwrap();
        let shown = shown(&config).to_string();
        assert!(!shown.contains("secret"), "{shown}");
        assert!(
            shown.contains("x-token") && shown.contains("2026-01-01"),
            "{shown}"
        );
    }
}
