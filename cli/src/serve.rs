//! `ossai serve`: the orchestrator in this process.

use std::path::{Path, PathBuf};

use clap::Args;
use ossai_orchestrator::{ServeConfig, ServeError, run};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::global::{Global, config_path};
use crate::io::out;

/// Run an orchestrator: one port for gRPC and the HTTP APIs of OpenAI and Anthropic
#[derive(Args)]
#[command(after_help = "Examples:
  ossai serve
  ossai serve --bind 127.0.0.1:0 --data-dir ./data
  OSSAI_ENDPOINT=127.0.0.1:8080 ossai ask 'Is anybody there?'
  OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=none python my_program.py
  ANTHROPIC_BASE_URL=http://127.0.0.1:8080 ANTHROPIC_API_KEY=none python my_program.py

Prints its address on standard output once it listens; logs go to standard error. SIGTERM or Ctrl-C lets calls
under way end; a second signal cuts them; SIGHUP reads the certificate again. --config names a server's file; without one, the providers of the
client's own file (`ossai config path`) are served.")]
pub struct Serve {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// The one folder of everything kept [default: the platform's own]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Certificate chain (PEM): the port then speaks TLS only
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities of client certificates (PEM): every client must then present one
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Let nobody call without a key (made by `ossai keys create`), on this machine's own address too
    #[arg(long)]
    require_keys: bool,
    /// Check the configuration and end
    #[arg(long)]
    check: bool,
    /// The least important log lines: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How a log line looks: json or text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Serve {
    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration at once; an address or folder that cannot be used.
    pub async fn run(&self, global: &Global) -> Result<(), Failure> {
        let document = document(global.config.as_deref())?;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flag = |name: &str| match name {
            "OSSAI_BIND" => self.bind.clone(),
            "OSSAI_DATA_DIR" => path(&self.data_dir),
            "OSSAI_TLS_CERT" => path(&self.tls_cert),
            "OSSAI_TLS_KEY" => path(&self.tls_key),
            "OSSAI_TLS_CLIENT_CA" => path(&self.tls_client_ca),
            "OSSAI_AUTH" => self.require_keys.then(|| "keys".to_owned()),
            "OSSAI_LOG_LEVEL" => self.log_level.clone(),
            "OSSAI_LOG_FORMAT" => self.log_format.clone(),
            _ => None,
        };
        let env = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        let config = ServeConfig::from_parts(document.as_deref(), &|name| {
            flag(name).or_else(|| env(name))
        })
        .map_err(|errors| failed(ServeError::Config(errors)))?;
        if self.check {
            anstream::eprintln!("the configuration is good");
            return Ok(());
        }
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let mut unprinted = None;
        let ended = run(config, |address| {
            let line = if global.json || global.jsonl {
                json!({ "address": format!("{scheme}://{address}") }).to_string()
            } else {
                format!("{scheme}://{address}")
            };
            unprinted = out(&format!("{line}\n")).err();
        })
        .await
        .map_err(failed)?;
        match unprinted {
            Some(failure) => Err(failure),
            None if ended.lost_rows > 0 => Err(Failure::message(format!(
                "{} rows of usage could not be written",
                ended.lost_rows
            ))),
            None => Ok(()),
        }
    }
}

fn failed(error: ServeError) -> Failure {
    match error {
        ServeError::Config(errors) => match <[_; 1]>::try_from(errors.0) {
            Ok([one]) => one.into(),
            Err(many) => {
                let many: Vec<_> = many
                    .iter()
                    .map(|error| error.fields().message.as_str())
                    .collect();
                Failure::usage("configuration", many.join("\n  "))
            }
        },
        ServeError::Failed(error) => error.into(),
    }
}

/// The server's file; without one, the client's file as the server's `client` part.
fn document(named: Option<&Path>) -> Result<Option<String>, Failure> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(
                "--config",
                format_args!("cannot read {}: {error}", path.display()),
            )
        })
    };
    if let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) {
        return read(path).map(Some);
    }
    let Some(path) = config_path().filter(|path| path.exists()) else {
        return Ok(None);
    };
    let mut client: Value = serde_json::from_str(&read(&path)?)
        .map_err(|error| Failure::usage("--config", format_args!("{}: {error}", path.display())))?;
    if let Some(fields) = client.as_object_mut() {
        // How this user reaches an orchestrator, perhaps this very one, is not where it sends calls.
        for own in ["endpoint", "api_key", "tenant"] {
            fields.remove(own);
        }
    }
    Ok(Some(json!({ "client": client }).to_string()))
}
