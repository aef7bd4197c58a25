//! Opens the clients of a case, for either road, and makes its calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conformance::case::{Op, Road};
use conformance::disturb::Disturbance;
use conformance::expand::merge;
use conformance::runner::{Client, Driver, EventSink, Invocation, Setup};
use futures_util::{Stream, StreamExt};
use ossai::client::config::without_value;
use ossai::{
    CallOptions, CompletionRequest, Config, EmbeddingRequest, Error, EstimateOptions, Invalidation,
    StreamEvent,
};
use ossai_orchestrator::{ServeConfig, Server, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::adapter::Adapter;
use crate::{killed, tools};

/// Opens clients, on the orchestrator's road each with an orchestrator of its own in front of it.
pub(crate) struct Roads {
    pub(crate) adapter: Option<Arc<Adapter>>,
}

/// Who makes the calls.
pub(crate) enum Caller {
    Here(ossai::Client),
    There(Arc<Adapter>, u64),
}

pub(crate) struct Open {
    caller: Caller,
    config: Value,
    server: Mutex<Option<Serving>>,
}

/// An orchestrator of a case, and what it takes to start it again at the same address.
struct Serving {
    server: Server,
    told: Value,
    /// A key of each tenant that its settings name.
    keys: BTreeMap<String, String>,
    _folder: TempDir,
}

async fn serve(told: &Value) -> Result<Server, String> {
    let config = ServeConfig::from_parts(Some(&told.to_string()), &|_| None);
    Server::start(config.map_err(|e| e.to_string())?)
        .await
        .map_err(|e| e.to_string())
}

pub(crate) fn fields(error: &Error) -> Value {
    serde_json::to_value(error).unwrap_or_default()
}

fn value(answer: impl Serialize) -> Result<Value, Value> {
    serde_json::to_value(answer).map_err(|e| json!({"kind": "internal", "message": e.to_string()}))
}

/// A request of the wrong shape never reaches a Rust client; what serde says stands for its error, as in every binding.
pub(crate) fn typed<T: DeserializeOwned>(root: &str, value: &Value) -> Result<T, Value> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = match (root, e.path().to_string().as_str()) {
            ("", ".") => "request".to_owned(),
            ("", path) => path.to_owned(),
            (root, ".") => root.to_owned(),
            (root, path) => format!("{root}.{path}"),
        };
        fields(&Error::invalid(
            path,
            without_value(&e.into_inner().to_string()),
        ))
    })
}

impl Roads {
    async fn caller(&self, config: &Value) -> Result<Caller, Value> {
        if let Some(adapter) = &self.adapter {
            let client = adapter.open(config).await?;
            return Ok(Caller::There(Arc::clone(adapter), client));
        }
        let config = Config::from_json(&config.to_string()).map_err(|e| fields(&e))?;
        ossai::Client::new(config)
            .map(Caller::Here)
            .map_err(|e| fields(&e))
    }
}

/// What of a case's configuration the orchestrator has, and what its client.
fn behind_and_before(config: &Value) -> (Value, Value) {
    let (mut behind, mut before) = (config.clone(), config.clone());
    if let (Some(behind), Some(before)) = (behind.as_object_mut(), before.as_object_mut()) {
        for name in ["endpoint", "api_key", "tenant"] {
            behind.remove(name);
        }
        // It is the orchestrator that asks providers.
        before.remove("cassette");
        let past_it = before.get("fallback").and_then(|f| f.get("direct"));
        if past_it != Some(&json!(true)) {
            before.remove("providers");
        }
        if let Some(fallback) = behind.get_mut("fallback").and_then(Value::as_object_mut) {
            fallback.remove("endpoints");
        }
    }
    (behind, before)
}

fn broken(e: impl std::fmt::Display) -> Value {
    json!({"kind": "internal", "message": e.to_string()})
}

impl Serving {
    async fn start(behind: Value, serve_with: &Value) -> Result<Self, Value> {
        let folder = tempfile::tempdir().map_err(broken)?;
        let mut told = json!({"bind": "127.0.0.1:0", "data_dir": folder.path(), "client": behind});
        merge(&mut told, serve_with);
        let mut keys = BTreeMap::new();
        if let Some(tenants) = serve_with["tenants"].as_object() {
            let store = Store::open(folder.path()).map_err(|e| fields(&e))?;
            for tenant in tenants.keys() {
                let made = store.create_key(tenant, "case").map_err(|e| fields(&e))?;
                keys.insert(tenant.clone(), made.key);
            }
        }
        let server = serve(&told).await.map_err(broken)?;
        told["bind"] = json!(server.address());
        Ok(Self {
            server,
            told,
            keys,
            _folder: folder,
        })
    }

    /// The client's configuration with what only the orchestrator knows: its address (a case may name places where no
    /// orchestrator is, and `@orchestrator` for the one there is) and a key of the tenant the case names.
    fn introduce(&self, before: &mut Value) -> Result<(), Value> {
        let address = self.server.address().to_string();
        if before.get("endpoint").is_none() {
            before["endpoint"] = json!(address);
        }
        if let Some(further) = before.pointer_mut("/fallback/endpoints") {
            let text = further.to_string().replace("@orchestrator", &address);
            *further = serde_json::from_str(&text).map_err(broken)?;
        }
        let tenant = before["api_key"].as_str();
        if let Some(tenant) = tenant.and_then(|key| key.strip_prefix('@')) {
            let key = self.keys.get(tenant);
            before["api_key"] = json!(key.ok_or_else(|| broken("no such tenant in `serve`"))?);
        }
        Ok(())
    }
}

impl Driver for Roads {
    type Client = Open;

    async fn open(&self, setup: Setup) -> Result<Open, Value> {
        let config = setup.config;
        if setup.road == Road::Direct {
            return Ok(Open {
                caller: self.caller(&config).await?,
                config,
                server: Mutex::new(None),
            });
        }
        // A configuration that is wrong is so on either road, whoever reads it.
        let text = config.to_string().replace("@orchestrator", "localhost:1");
        let written = serde_json::from_str(&text).unwrap_or_default();
        if let Caller::There(adapter, client) = self.caller(&written).await? {
            adapter.tell(client, "close").await?;
        }
        let (behind, mut before) = behind_and_before(&config);
        let serving = Serving::start(behind, &setup.serve).await?;
        serving.introduce(&mut before)?;
        Ok(Open {
            caller: self.caller(&before).await?,
            config,
            server: Mutex::new(Some(serving)),
        })
    }

    async fn open_beside(&self, first: &Open, setup: Setup) -> Result<Open, Value> {
        let mut config = setup.config;
        if let Some(serving) = &*first.server.lock().await {
            (_, config) = behind_and_before(&config);
            serving.introduce(&mut config)?;
        }
        Ok(Open {
            caller: self.caller(&config).await?,
            config,
            server: Mutex::new(None),
        })
    }
}

/// Reads a stream to its end; the completion it came to.
async fn read(
    mut stream: impl Stream<Item = ossai::Result<StreamEvent>> + Send + Unpin,
    events: &mut EventSink,
) -> Result<Value, Value> {
    let mut answer = Value::Null;
    while let Some(event) = stream.next().await {
        let event = event.map_err(|error| fields(&error))?;
        if let StreamEvent::End { completion } = &event {
            answer = value(completion)?;
        }
        events.event(value(&event)?).await;
    }
    Ok(answer)
}

impl Client for Open {
    async fn call(&self, call: Invocation, mut events: EventSink) -> Result<Value, Value> {
        let client = match &self.caller {
            Caller::Here(client) => client,
            Caller::There(adapter, client) => {
                return adapter.call(*client, &call, &mut events).await;
            }
        };
        let options: CallOptions = typed("options", &call.options)?;
        let failed = |error: Error| fields(&error);
        if let Some(tools) = &call.tools {
            let client = tools::client(client, tools)?;
            let request: CompletionRequest = typed("", &call.request)?;
            if call.op == Op::Complete {
                let answer = client.complete_with(request, options).await;
                return value(answer.map_err(failed)?);
            }
            let stream = client.stream_with(request, options).await;
            return read(stream.map_err(failed)?, &mut events).await;
        }
        match call.op {
            Op::Complete => {
                let request: CompletionRequest = typed("", &call.request)?;
                value(
                    client
                        .complete_with(request, options)
                        .await
                        .map_err(failed)?,
                )
            }
            Op::Stream => {
                let request: CompletionRequest = typed("", &call.request)?;
                let stream = client.stream_with(request, options).await;
                read(stream.map_err(failed)?, &mut events).await
            }
            Op::Embed => {
                let request: EmbeddingRequest = typed("", &call.request)?;
                value(client.embed_with(request, options).await.map_err(failed)?)
            }
            Op::Models => value(client.models(None).await.map_err(failed)?),
            Op::Health => value(client.health().await.map_err(failed)?),
            Op::Budgets => value(client.budgets().await.map_err(failed)?),
            Op::Count => value(client.count(&typed("", &call.request)?).map_err(failed)?),
            Op::Estimate => {
                let options = EstimateOptions::default();
                value(
                    client
                        .estimate(&typed("", &call.request)?, &options)
                        .map_err(failed)?,
                )
            }
            Op::Explain => {
                let request: CompletionRequest = typed("", &call.request)?;
                value(
                    client
                        .explain(&Arc::new(request), &Arc::new(options))
                        .map_err(failed)?,
                )
            }
            Op::Invalidate => {
                let what: Invalidation = typed("", &call.request)?;
                value(client.invalidate(&what).await.map_err(failed)?)
            }
            Op::Disturb => Err(json!({"kind": "internal", "message": "no call"})),
            Op::Lookup => {
                let request: CompletionRequest = typed("", &call.request)?;
                value(
                    client
                        .lookup(&Arc::new(request), &Arc::new(options))
                        .map_err(failed)?,
                )
            }
        }
    }

    async fn stats(&self) -> Value {
        match &self.caller {
            Caller::Here(client) => serde_json::to_value(client.stats()).unwrap_or_default(),
            Caller::There(adapter, client) => {
                adapter.tell(*client, "stats").await.unwrap_or_default()
            }
        }
    }

    async fn disturb(&self, what: &Disturbance) -> Result<(), String> {
        if let Some(request) = &what.killed {
            let mut config = self.config.clone();
            // Two processes of one seed would take one another's holds for their own.
            merge(&mut config, &json!({"testing": {"seed": 8}}));
            return killed::after_its_first_event(&config, request).await;
        }
        if what.client.is_some() {
            return match &self.caller {
                Caller::Here(client) => {
                    client.close(Duration::from_millis(200)).await;
                    Ok(())
                }
                Caller::There(adapter, client) => {
                    let closed = adapter.tell(*client, "shut").await;
                    closed.map(drop).map_err(|error| error.to_string())
                }
            };
        }
        let mut held = self.server.lock().await;
        let Some(mut serving) = held.take() else {
            return Err("there is no orchestrator on this road".into());
        };
        // Never over before those under way are: what is not drained would be lost, which is what the case looks for.
        serving.server.shutdown(std::future::pending()).await;
        serving.server = serve(&serving.told).await?;
        *held = Some(serving);
        Ok(())
    }

    async fn close(&self) {
        match &self.caller {
            Caller::Here(client) => {
                client.close(Duration::from_millis(200)).await;
            }
            Caller::There(adapter, client) => {
                let _ = adapter.tell(*client, "close").await;
            }
        }
        let server = self.server.lock().await.take();
        if let Some(serving) = server {
            serving.server.shutdown(std::future::ready(())).await;
        }
    }
}
