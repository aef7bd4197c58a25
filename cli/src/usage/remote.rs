//! Recorded usage of an orchestrator, over the HTTP side of its port.

use std::time::Duration;

use ossai::ledger::{GroupBy, UsageFilter};
use ossai::{Config, Error, ErrorKind, Result};
use reqwest::{Certificate, Client, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// An orchestrator's own addresses.
pub(crate) struct Remote {
    url: Url,
    key: Option<String>,
    client: Client,
}

impl Remote {
    /// # Errors
    /// An address that is none, certificates that cannot be read.
    pub(crate) fn new(config: Config, key: Option<String>) -> Result<Self> {
        let endpoint = config.endpoint.as_deref().unwrap_or_default();
        Ok(Self {
            url: address(endpoint, key.is_some())?,
            client: client(&config)?,
            key,
        })
    }

    /// What it answers at `path` to a question about these calls.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &UsageFilter,
        groups: &[GroupBy],
        more: &[(&str, String)],
    ) -> Result<T> {
        let mut url = self.url.clone();
        url.set_path(&format!("/ossai/v1/usage{path}"));
        {
            let mut query = url.query_pairs_mut();
            let mut add = |name: &str, value: Option<String>| {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    query.append_pair(name, &value);
                }
            };
            let seconds = |millis: Option<i64>| millis.map(|millis| (millis / 1000).to_string());
            let words: Vec<String> = groups.iter().map(GroupBy::name).collect();
            add("since", seconds(filter.since));
            add("until", seconds(filter.until));
            add("group_by", Some(words.join(",")));
            add("model", filter.model.clone());
            add("provider", filter.provider.clone());
            add("key", filter.key_id.clone());
            add("user", filter.user.clone());
            add("operation", filter.operation.clone());
            add("outcome", filter.outcome.clone());
            let tag = filter.tag.as_ref();
            add("tag", tag.map(|(name, value)| format!("{name}={value}")));
            for (name, value) in more {
                add(name, Some(value.clone()));
            }
        }
        let body = fetch(&self.client, url, self.key.as_deref()).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::new(
                ErrorKind::DecodeError,
                "the answer is not usage: is this an ossai orchestrator?",
            )
            .with_source(error)
        })
    }
}

/// What one of an orchestrator's own addresses answers.
pub(crate) async fn get(
    endpoint: &str,
    key: Option<&str>,
    config: &Config,
    path: &str,
) -> Result<Value> {
    let mut url = address(endpoint, key.is_some())?;
    url.set_path(path);
    let body = fetch(&client(config)?, url, key).await?;
    serde_json::from_slice(&body).map_err(|error| {
        Error::new(
            ErrorKind::DecodeError,
            "the answer is no JSON: is this an ossai orchestrator?",
        )
        .with_source(error)
    })
}

async fn fetch(client: &Client, url: Url, key: Option<&str>) -> Result<Vec<u8>> {
    let mut request = client.get(url);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if !status.is_success() {
        return Err(refused(status, &body));
    }
    Ok(body.to_vec())
}

/// The usage address of an endpoint, with the core's rule: without a scheme this machine is plain, all others are TLS.
fn address(endpoint: &str, with_key: bool) -> Result<Url> {
    let wrong = |what: &dyn std::fmt::Display| Error::invalid("--endpoint", what);
    let parse = |text: &str| Url::parse(text).map_err(|error| wrong(&error));
    let mut url = if endpoint.contains("://") {
        parse(endpoint)?
    } else {
        let https = parse(&format!("https://{endpoint}"))?;
        if is_loopback(&https) {
            parse(&format!("http://{endpoint}"))?
        } else {
            https
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&"expected host:port, or an http or https address"));
    }
    if with_key && url.scheme() == "http" && !is_loopback(&url) {
        return Err(wrong(
            &"expected https: the key would cross the network in the clear",
        ));
    }
    url.set_path("/ossai/v1/usage");
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || host.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

fn client(config: &Config) -> Result<Client> {
    // The stack asks for a process-wide provider and panics without one; an already installed one is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = Vec::new();
    if let Some(pem) = &config.tls.ca_pem {
        roots.push(("config.tls.ca_pem", pem.clone().into_bytes()));
    }
    if let Some(path) = &config.tls.ca_file {
        let pem =
            std::fs::read(path).map_err(|error| Error::invalid("config.tls.ca_file", error))?;
        roots.push(("config.tls.ca_file", pem));
    }
    let mut builder = Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none());
    for (field, pem) in roots {
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| Error::invalid(field, error))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| {
        Error::new(ErrorKind::Internal, "the HTTP client cannot be built").with_source(error)
    })
}

fn unreachable(error: reqwest::Error) -> Error {
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else if error.is_connect() {
        ErrorKind::ConnectFailed
    } else {
        ErrorKind::TransportInterrupted
    };
    Error::new(kind, "the orchestrator does not answer").with_source(error.without_url())
}

fn refused(status: StatusCode, body: &[u8]) -> Error {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = body.pointer("/error/message").and_then(Value::as_str);
    let message = said.map_or_else(
        || format!("the orchestrator answered {status}"),
        str::to_owned,
    );
    let kind = match status.as_u16() {
        400 | 422 => ErrorKind::InvalidRequest,
        401 => ErrorKind::Authentication,
        403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        503 => ErrorKind::Overloaded,
        _ => ErrorKind::UpstreamError,
    };
    Error::new(kind, message).with(|fields| fields.http_status = Some(status.as_u16()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_plain_and_all_others_are_tls() {
        let is = |endpoint: &str| address(endpoint, false).unwrap().to_string();
        assert_eq!(is("127.0.0.1:8080"), "http://127.0.0.1:8080/ossai/v1/usage");
        assert_eq!(is("[::1]:8080"), "http://[::1]:8080/ossai/v1/usage");
        assert_eq!(is("localhost:1"), "http://localhost:1/ossai/v1/usage");
        assert_eq!(
            is("ai.example.com"),
            "https://ai.example.com/ossai/v1/usage"
        );
        assert_eq!(
            is("http://ai.example.com/x"),
            "http://ai.example.com/ossai/v1/usage"
        );
        assert!(address("ftp://a", false).is_err() && address("", false).is_err());
    }

    #[test]
    fn a_key_never_crosses_the_network_in_the_clear() {
        assert!(address("http://ai.example.com", true).is_err());
        assert!(address("http://127.0.0.1:8080", true).is_ok());
        assert!(address("ai.example.com", true).is_ok());
    }
}
