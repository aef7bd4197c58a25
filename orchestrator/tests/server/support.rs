//! A server for a test, in this process, and a plain HTTP client for it.

use std::collections::BTreeMap;
use std::time::Duration;

use ossai::client::config::ProviderConfig;
use ossai_orchestrator::{Ended, GroupBy, ServeConfig, Server, UsageFilter, UsageSum};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::upstream::Upstream;

pub(crate) struct Test {
    pub(crate) server: Server,
    pub(crate) http: reqwest::Client,
    pub(crate) folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn error(&self) -> Value {
        self.json()["error"].clone()
    }
}

/// A configuration on a free port and a fresh folder, with `openai` at the upstream.
pub(crate) fn config(folder: &TempDir, upstream: Option<&Upstream>) -> ServeConfig {
    let mut config = ServeConfig {
        bind: "127.0.0.1:0".parse().unwrap(),
        ..ServeConfig::default()
    };
    config.data_dir = Some(folder.path().join("data"));
    config.client.retry.base_ms = 1;
    config.client.retry.throttle_base_ms = 1;
    if let Some(upstream) = upstream {
        let provider = ProviderConfig {
            base_url: Some(format!("http://{}/v1", upstream.address)),
            api_key: Some("sk-provider-secret".into()),
            ..ProviderConfig::default()
        };
        config.client.providers = BTreeMap::from([("openai".to_owned(), provider)]);
    }
    config
}

impl Test {
    pub(crate) async fn start(upstream: Option<&Upstream>) -> Self {
        Self::with(upstream, |_| {}).await
    }

    pub(crate) async fn with(
        upstream: Option<&Upstream>,
        change: impl FnOnce(&mut ServeConfig),
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = config(&folder, upstream);
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        // reqwest wants a TLS provider even for plain HTTP; a second one is refused, which does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self {
            server,
            http,
            folder,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.http.post(self.url(path)).body(body.to_string()))
            .await
    }

    pub(crate) async fn chat(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", body).await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer {
            status,
            headers,
            text: response.text().await.unwrap(),
        }
    }

    /// Ends the server and gives what it recorded.
    pub(crate) async fn recorded(self, group_by: &[GroupBy]) -> Vec<UsageSum> {
        let store = self.server.store().clone();
        let ended = self.server.shutdown(std::future::pending()).await;
        assert_eq!(ended, Ended::default());
        let rows = store
            .query_usage(&UsageFilter::default(), group_by)
            .unwrap();
        drop(self.folder);
        rows
    }
}

pub(crate) fn question(model: &str) -> Value {
    json!({"model": model, "temperature": 0, "messages": [{"role": "user", "content": "The sky is blue. Grass is green.\n\nWhat is the sky?"}]})
}

/// The JSON of each `data` line of a stream; `[DONE]` as a string.
pub(crate) fn data_lines(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
        .collect()
}

/// Waits at most a second: for what must be so soon.
pub(crate) async fn within_a_second<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(1), what)
        .await
        .expect("it took longer than a second")
}
