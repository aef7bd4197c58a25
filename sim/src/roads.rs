//! Clients on both roads to one upstream, opened as a user would: by a configuration document.

use std::net::SocketAddr;

use ossai::{Client, Config};
use ossai_orchestrator::{ServeConfig, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Anything that keeps a program from beginning.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The configuration of a client whose provider `openai` is at `upstream`, with time running `scale` times faster.
#[must_use]
pub fn direct(upstream: SocketAddr, scale: u32) -> Value {
    let mut config = json!({
        "providers": {"openai": {"base_url": format!("http://{upstream}/v1"), "api_key": "sk-sim-secret", "api": "openai_chat"}},
        "cache": {"max_bytes": 1 << 20},
    });
    if scale > 1 {
        config["testing"] = json!({"time_scale": scale});
    }
    config
}

/// The same without providers, for a client that goes over an orchestrator.
#[must_use]
pub fn over(mut config: Value, orchestrator: SocketAddr) -> Value {
    if let Some(config) = config.as_object_mut() {
        config.remove("providers");
    }
    config["endpoint"] = json!(orchestrator.to_string());
    config
}

/// A client with this configuration.
///
/// # Errors
/// When the configuration is wrong.
pub fn client(config: &Value) -> Result<Client, Failed> {
    Ok(Client::new(Config::from_json(&config.to_string())?)?)
}

/// An orchestrator in this process with `config` as its own client's; the folder is its data.
///
/// # Errors
/// When it does not start.
pub async fn orchestrator(config: &Value) -> Result<(Server, TempDir), Failed> {
    let folder = tempfile::tempdir()?;
    // What is kept by a bound is kept small, as the cache is: a test of memory begins when the bounds are reached.
    let serve = json!({
        "bind": "127.0.0.1:0", "data_dir": folder.path(), "client": config, "limits": {"replay_bytes": 1 << 20},
    });
    let serve = ServeConfig::from_parts(Some(&serve.to_string()), &|_| None)?;
    Ok((Server::start(serve).await?, folder))
}
