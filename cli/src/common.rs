//! What every subcommand shares: where results go, how a client is made, what an exit code means.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ossai::{Client, Config, Error, ErrorKind, Secret};
use serde::Serialize;

/// The model used when no key and no server is configured.
pub const OFFLINE_MODEL: &str = "local/extract";

/// Options every subcommand takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Orchestrator to talk to (`host:port`); without it calls go straight to the providers
    #[arg(long, global = true, env = "OSSAI_ENDPOINT", value_name = "ADDRESS")]
    pub endpoint: Option<String>,
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

    /// The configuration: the file, then the environment, then the command line.
    ///
    /// # Errors
    /// `invalid_request` naming what is wrong.
    pub fn configuration(&self) -> Result<Config, Error> {
        let env = Config::from_env();
        let path = self
            .config
            .clone()
            .or_else(|| config_path().filter(|path| path.exists()));
        let mut config = match path {
            None => env,
            Some(path) => {
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    Error::invalid(
                        "--config",
                        format_args!("cannot read {}: {error}", path.display()),
                    )
                })?;
                let mut config = Config::from_json(&text)?;
                config.endpoint = env.endpoint.or(config.endpoint);
                config.api_key = env.api_key.or(config.api_key);
                config.tenant = env.tenant.or(config.tenant);
                config.prices = env.prices.or(config.prices);
                config
            }
        };
        if let Some(endpoint) = &self.endpoint {
            config.endpoint = Some(endpoint.clone());
        }
        if let Ok(key) = std::env::var("OSSAI_API_KEY")
            && !key.trim().is_empty()
        {
            config.api_key = Some(Secret::new(key));
        }
        Ok(config)
    }

    /// A client of this configuration.
    ///
    /// # Errors
    /// As [`Global::configuration`].
    pub fn client(&self) -> Result<Client, Error> {
        Client::new(self.configuration()?)
    }

    /// Prints a result: one JSON object with `--json`, a line of it with `--jsonl`.
    ///
    /// # Errors
    /// A closed or full standard output.
    pub fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = if self.jsonl {
            serde_json::to_string(value)
        } else {
            serde_json::to_string_pretty(value)
        };
        out(&text.map_err(|error| Failure::message(error.to_string()))?)?;
        out("\n")
    }
}

/// Where the configuration file is looked for: `$XDG_CONFIG_HOME/ossai/config.json`, else `~/.config/ossai/config.json`.
#[must_use]
pub fn config_path() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(base.join("ossai").join("config.json"))
}

/// Why a command ends badly.
#[derive(Debug)]
pub enum Failure {
    /// A call failed.
    Call(Error),
    /// Anything else, as a sentence.
    Message(String),
    /// What was asked about does not hold; said already.
    No,
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads standard output any more: a quiet end.
    ClosedPipe,
}

impl Failure {
    /// A sentence.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// The exit code: 1 failure, 2 usage, 3 refused for money, 4 rate-limited, 130 interrupted.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Call(error) => match error.kind() {
                ErrorKind::BudgetExceeded | ErrorKind::PriceUnknown | ErrorKind::QuotaExhausted => {
                    3
                }
                ErrorKind::RateLimited => 4,
                ErrorKind::InvalidRequest => 2,
                _ => 1,
            },
            Self::Message(_) | Self::No => 1,
            Self::Interrupted => 130,
            Self::ClosedPipe => 0,
        })
    }

    /// Says it on standard error, with what to do where that is known.
    pub fn report(&self, json: bool) {
        match self {
            Self::Call(error) if json => {
                let value = serde_json::json!({ "error": error });
                anstream::eprintln!("{value}");
            }
            Self::Call(error) => {
                anstream::eprintln!("error: {error}");
                let fields = error.fields();
                if fields.attempts.len() > 1 {
                    anstream::eprintln!("  after {} tries", fields.attempts.len());
                }
                if let Some(id) = &fields.upstream_request_id {
                    anstream::eprintln!("  request id {id}");
                }
                match error.kind() {
                    ErrorKind::Authentication if fields.http_status.is_some() => {
                        anstream::eprintln!(
                            "  the key was refused: check the provider's key variable"
                        );
                    }
                    ErrorKind::ConnectFailed => {
                        anstream::eprintln!("  is the server running? `ossai doctor` looks")
                    }
                    ErrorKind::PriceUnknown => {
                        anstream::eprintln!("  give prices by OSSAI_PRICES, or drop --max-cost")
                    }
                    _ => {}
                }
            }
            Self::Message(text) => anstream::eprintln!("error: {text}"),
            Self::No | Self::Interrupted | Self::ClosedPipe => {}
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::Message(error.to_string())
    }
}

/// Writes to standard output and flushes, so that a reader sees it now.
///
/// # Errors
/// A closed or full standard output.
pub fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Whether somebody reads standard output on a screen.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// What is piped in, if anything is.
///
/// # Errors
/// Input that is not UTF-8.
pub fn piped() -> Result<Option<String>, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(None);
    }
    let mut text = String::new();
    match stdin.lock().read_to_string(&mut text) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(Failure::message("standard input is not UTF-8 text"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The model asked when none is named: what the environment has a key for, else the offline one.
pub async fn default_model(client: &Client) -> String {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    if let Ok(model) = std::env::var("OSSAI_MODEL")
        && !model.trim().is_empty()
    {
        return model;
    }
    if client.config().endpoint.is_none() {
        for (variable, model) in [
            ("OPENAI_API_KEY", "openai/gpt-5-mini"),
            ("ANTHROPIC_API_KEY", "anthropic/claude-haiku-4-5"),
            ("GEMINI_API_KEY", "google/gemini-3.5-flash"),
        ] {
            if set(variable) {
                return model.into();
            }
        }
        if set("OLLAMA_HOST")
            && let Ok(models) = client.models(Some("ollama")).await
            && let Some(first) = models.into_iter().next()
        {
            return first.id;
        }
    }
    anstream::eprintln!(
        "using {OFFLINE_MODEL}, which runs offline and only quotes (-m MODEL names another)"
    );
    OFFLINE_MODEL.into()
}

/// A progress bar on standard error, where somebody looks at it.
#[must_use]
pub fn progress_bar() -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(0);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar
}
