//! Where calls go: a provider's configuration with everything that can be worked out ahead worked out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::config::{Auth, Config, ProviderConfig, ProviderKind};
use super::credential::{Credential, Live};
use super::presets::{self, Preset};
use super::secret::Secret;
use crate::cost::usage::{UsageApi, usage_api};
use crate::error::{Error, ErrorKind, Result};
use crate::limit::{self, Lane};
use crate::provider::Api;
use crate::transport::grpc::GrpcRoad;

/// The `anthropic-version` this was written against; servers that only speak its shape know the older one.
const ANTHROPIC_VERSION: &str = "2026-10-21";
const ANTHROPIC_VERSION_COMPATIBLE: &str = "2023-06-01";

/// One provider, ready to be called.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) kind: ProviderKind,
    pub(crate) api: Api,
    pub(crate) usage_api: UsageApi,
    pub(crate) base_url: String,
    /// Origin for retry quotas: scheme, host and port.
    pub(crate) origin: String,
    /// Endpoint and version, as far as a call's key is concerned.
    pub(crate) endpoint: String,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) credential: [u8; 32],
    /// Addresses of its endpoints, by path.
    pub(crate) uris: Mutex<Vec<(&'static str, Uri)>>,
    /// What to say when a call is made although a key is needed and there is none.
    pub(crate) missing_key: Option<String>,
    /// Whether it leads to an orchestrator, which then chooses the provider.
    pub(crate) is_orchestrator: bool,
    /// Whether it is OpenAI itself and not a server that speaks like it.
    pub(crate) is_openai: bool,
    /// Whether its address is the user's own and not a vendor's: only there a caller's trace context goes.
    pub(crate) is_users: bool,
    /// Where the credential comes from while calls are made, if it is not in `headers`.
    pub(crate) live: Option<Arc<Live>>,
    /// What its upstream says of its limits; `None` where nobody paces.
    pub(crate) pace: Option<Arc<Lane>>,
    /// The connection to it, if it is an orchestrator.
    pub(crate) road: Option<GrpcRoad>,
    /// Further addresses of the same server, in order.
    pub(crate) others: Vec<Arc<Route>>,
    /// Which of the further addresses it is, as a path of the configuration.
    pub(crate) place: Option<String>,
}

impl Route {
    /// The connection to the orchestrator it leads to.
    pub(crate) fn road(&self) -> Result<&GrpcRoad> {
        self.road
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "no orchestrator is configured"))
    }

    /// Whether it is of one of the vendors whose batch APIs are known; servers that speak like them seldom have one.
    pub(crate) fn has_batches(&self) -> bool {
        match self.kind {
            ProviderKind::Openai => self.name == "openai",
            ProviderKind::Anthropic => self.name == "anthropic",
            ProviderKind::Local => false,
        }
    }

    /// Blots out the credential wherever a text repeats it.
    pub(crate) fn hide_credential(&self, text: &mut String) {
        let live = self.live.as_ref().and_then(|live| live.sent());
        let fixed = self.headers.values().filter(|value| value.is_sensitive());
        for value in fixed.chain(&live) {
            let Ok(value) = value.to_str() else { continue };
            let key = value.strip_prefix("Bearer ").unwrap_or(value);
            // Shorter ones are no secrets, and would blot out words.
            if key.len() >= 8 && text.contains(key) {
                *text = text.replace(key, "***");
            }
        }
    }

    /// The address of an endpoint; parsed once for each.
    pub(crate) fn uri(&self, path: &'static str) -> Result<Uri> {
        let mut uris = self.uris.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, uri)) = uris.iter().find(|(known, _)| *known == path) {
            return Ok(uri.clone());
        }
        let uri = self.uri_with(path, [])?;
        uris.push((path, uri.clone()));
        Ok(uri)
    }

    /// The address of an endpoint with a query beside the configured one.
    pub(crate) fn uri_with<'a>(
        &self,
        path: &str,
        query: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Uri> {
        let invalid = |error: &dyn std::fmt::Display| {
            Error::invalid(format!("config.providers.{}.base_url", self.name), error)
        };
        let mut url =
            Url::parse(&format!("{}{path}", self.base_url)).map_err(|error| invalid(&error))?;
        let mut query = query.into_iter().peekable();
        if !self.query.is_empty() || query.peek().is_some() {
            url.query_pairs_mut()
                .extend_pairs(&self.query)
                .extend_pairs(query);
        }
        Uri::try_from(url.as_str()).map_err(|error| invalid(&error))
    }
}

/// Every provider a client can call.
#[derive(Debug)]
pub(crate) struct Routes {
    direct: BTreeMap<String, Arc<Route>>,
    /// Where everything goes when there is an orchestrator.
    orchestrator: Option<Arc<Route>>,
}

impl Routes {
    /// Works out the routes; an error names the field that is wrong.
    pub(crate) fn new(
        config: &Config,
        sources: &BTreeMap<String, Arc<dyn Credential>>,
        road: impl Fn(&str) -> Result<GrpcRoad>,
    ) -> Result<Self> {
        let mut routes = BTreeMap::new();
        for (name, provider) in &config.providers {
            let preset = presets::preset(name);
            let source = sources.get(name);
            let mut first = paced(route(name, provider, preset, source)?, config);
            for (i, url) in provider.fallback_urls.iter().enumerate() {
                let place = format!("config.providers.{name}.fallback_urls[{i}]");
                let provider = ProviderConfig {
                    base_url: Some(url.clone()),
                    ..provider.clone()
                };
                let misplaced = |error: Error| {
                    error.with(|fields| {
                        if fields
                            .field
                            .as_ref()
                            .is_some_and(|f| f.ends_with(".base_url"))
                        {
                            fields.field = Some(place.clone());
                        }
                    })
                };
                let mut other = paced(
                    route(name, &provider, preset, source).map_err(misplaced)?,
                    config,
                );
                other.place = Some(place);
                first.others.push(Arc::new(other));
            }
            routes.insert(name.clone(), Arc::new(first));
        }
        for preset in presets::PRESETS {
            if !routes.contains_key(preset.name) {
                let source = sources.get(preset.name);
                let route = route(
                    preset.name,
                    &ProviderConfig::default(),
                    Some(preset),
                    source,
                )?;
                routes.insert(preset.name.to_owned(), Arc::new(paced(route, config)));
            }
        }
        if let Some(name) = sources.keys().find(|name| !routes.contains_key(*name)) {
            return Err(Error::invalid(
                format!("config.providers.{name}"),
                "expected a provider for this credential callback",
            ));
        }
        let orchestrator = match &config.endpoint {
            None => None,
            Some(endpoint) => {
                let mut first = orchestrator(endpoint, config, road(endpoint)?);
                for (i, endpoint) in config.fallback.endpoints.iter().enumerate() {
                    let place = format!("config.fallback.endpoints[{i}]");
                    let road = road(endpoint).map_err(|error| {
                        error.with(|fields| {
                            if fields.field.as_deref() == Some("endpoint") {
                                fields.field = Some(place.clone());
                            }
                        })
                    })?;
                    let mut other = orchestrator(endpoint, config, road);
                    other.place = Some(place);
                    first.others.push(Arc::new(other));
                }
                Some(Arc::new(first))
            }
        };
        Ok(Self {
            direct: routes,
            orchestrator,
        })
    }

    /// The route of a provider.
    pub(crate) fn get(&self, provider: &str) -> Result<&Arc<Route>> {
        if let Some(orchestrator) = &self.orchestrator {
            return Ok(orchestrator);
        }
        self.direct(provider)
    }

    /// The route straight to a provider, whether or not there is an orchestrator.
    pub(crate) fn direct(&self, provider: &str) -> Result<&Arc<Route>> {
        self.direct.get(provider).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "no provider `{provider}`: name one under `providers`, or use one of {}",
                    self.usable().join(", ")
                ),
            )
            .with(|fields| {
                fields.field = Some("model".into());
                fields.provider_code = Some("model_not_found".into());
            })
        })
    }

    /// Whether there are the providers that the semantic cache asks, where it is this client's.
    pub(super) fn check_semantic(&self, config: &super::Config) -> Result<()> {
        let Some(semantic) = &config.cache.semantic else {
            return Ok(());
        };
        for (name, model) in [
            ("model", Some(&semantic.model)),
            ("verify", semantic.verify.as_ref()),
        ] {
            let provider = model.and_then(|model| model.split('/').next());
            if let Some(Err(error)) = provider.map(|provider| self.get(provider)) {
                let field = format!("config.cache.semantic.{name}");
                return Err(Error::invalid(field, &error.fields().message));
            }
        }
        Ok(())
    }

    /// Providers that can be called as things are: configured ones, and known ones whose key is there.
    pub(crate) fn usable(&self) -> Vec<&str> {
        self.callable().map(|route| route.name.as_str()).collect()
    }

    /// The headers that go to providers, credentials among them.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderMap> {
        self.direct.values().flat_map(|route| {
            let others = route.others.iter().map(|other| &other.headers);
            std::iter::once(&route.headers).chain(others)
        })
    }

    pub(crate) fn callable(&self) -> impl Iterator<Item = &Arc<Route>> {
        let direct = self.direct.values().filter(|route| {
            route.missing_key.is_none() && (route.name != "ollama" || env("OLLAMA_HOST").is_some())
        });
        let orchestrated = self.orchestrator.iter();
        // One road at a time: an orchestrator stands in for every provider.
        let skip = if self.orchestrator.is_some() {
            usize::MAX
        } else {
            0
        };
        orchestrated.chain(direct.skip(skip))
    }
}

fn orchestrator(endpoint: &str, config: &Config, road: GrpcRoad) -> Route {
    Route {
        name: "orchestrator".into(),
        kind: ProviderKind::Openai,
        api: Api::OpenAiChat,
        usage_api: usage_api("orchestrator", Api::OpenAiChat),
        base_url: endpoint.to_owned(),
        origin: endpoint.to_owned(),
        endpoint: "ossai.orchestrator.v1".into(),
        headers: HeaderMap::new(),
        query: Vec::new(),
        uris: Mutex::default(),
        credential: Secret::fingerprint(config.api_key.as_ref()),
        missing_key: None,
        is_orchestrator: true,
        is_openai: false,
        is_users: true,
        live: None,
        pace: None,
        road: Some(road),
        others: Vec::new(),
        place: None,
    }
}

/// The route with the pacing all clients of the process share for it.
fn paced(mut route: Route, config: &Config) -> Route {
    // What a vendor once said of its limits says nothing of now.
    if config.pacing.enabled && !config.replays() && route.kind != ProviderKind::Local {
        let factor = config.testing.time_scale.unwrap_or(1).max(1);
        route.pace = Some(limit::lane(&route.base_url, &route.credential, factor));
    }
    route
}

fn env(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

fn route(
    name: &str,
    config: &ProviderConfig,
    preset: Option<&Preset>,
    source: Option<&Arc<dyn Credential>>,
) -> Result<Route> {
    let path = |field: &str| format!("config.providers.{name}.{field}");
    let kind = config
        .kind
        .or(preset.map(|preset| preset.kind))
        .unwrap_or(ProviderKind::Openai);
    let preset = preset.filter(|preset| preset.kind == kind);
    let api = config.api.unwrap_or(match kind {
        ProviderKind::Anthropic => Api::AnthropicMessages,
        _ => Api::OpenAiChat,
    });
    let configured = config
        .base_url
        .clone()
        .or_else(|| preset?.base_env.and_then(env));
    let is_own = configured.is_none();
    let base_url = configured
        .or_else(|| preset.map(|preset| preset.base_url.to_owned()))
        .ok_or_else(|| {
            Error::invalid(
                path("base_url"),
                "expected the server's address, for example `http://localhost:8000/v1`",
            )
        })?;
    let base_url = if kind == ProviderKind::Local {
        base_url
    } else {
        normalise(&base_url, name, kind)
    };
    if source.is_some() && (config.api_key.is_some() || config.api_key_env.is_some()) {
        return Err(Error::invalid(
            path("api_key"),
            "expected none beside a credential callback",
        ));
    }
    let key = config
        .api_key
        .clone()
        .or_else(|| {
            config
                .api_key_env
                .as_deref()
                .and_then(env)
                .map(Secret::from)
        })
        .or_else(|| {
            // A vendor's key goes to that vendor's own address, or to one the vendor's own variable names.
            (config.base_url.is_none())
                .then(|| preset?.key_env.and_then(env).map(Secret::from))
                .flatten()
        })
        .filter(|_| source.is_none());
    let has_key = key.is_some() || source.is_some();
    let auth = config
        .auth
        .or(preset.map(|preset| preset.auth))
        .unwrap_or(match kind {
            ProviderKind::Anthropic => Auth::XApiKey,
            ProviderKind::Openai => Auth::Bearer,
            ProviderKind::Local => Auth::None,
        });
    let auth = if auth == Auth::None && config.auth.is_none() && has_key {
        Auth::Bearer
    } else {
        auth
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        headers.insert(
            header_name(&path("headers"), name)?,
            header_value(&path("headers"), value)?,
        );
    }
    if let Some(key) = &key {
        let (name, value) = auth_header(auth, key.expose()).ok_or_else(|| {
            Error::invalid(path("auth"), "expected a header for the key, found `none`")
        })?;
        let mut value = header_value(&path("api_key"), &value)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let version = config
        .version
        .clone()
        .unwrap_or_else(|| match (api, is_own) {
            (Api::AnthropicMessages, true) => ANTHROPIC_VERSION.into(),
            (Api::AnthropicMessages, false) => ANTHROPIC_VERSION_COMPATIBLE.into(),
            _ => String::new(),
        });
    if api == Api::AnthropicMessages {
        headers.insert(
            "anthropic-version",
            header_value(&path("version"), &version)?,
        );
    }
    let missing_key = (kind != ProviderKind::Local && !has_key && is_own)
        .then(|| preset?.key_env)
        .flatten()
        .map(|variable| {
            format!("no key for `{name}`: set {variable}, or `providers.{name}.api_key`")
        });
    let origin = if kind == ProviderKind::Local {
        "local".into()
    } else {
        let url = Url::parse(&base_url).map_err(|error| Error::invalid(path("base_url"), error))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(Error::invalid(
                path("base_url"),
                "expected an http or https address",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(Error::invalid(
                path("base_url"),
                "expected no credentials and no query in the address",
            ));
        }
        if url.scheme() == "http" && has_key && !config.allow_http && !is_loopback(&url) {
            return Err(Error::invalid(
                path("base_url"),
                "expected https: a key would cross the network in the clear (`allow_http` permits it)",
            ));
        }
        url.origin().ascii_serialization()
    };
    let live = source.map(|source| Arc::new(Live::new(Arc::clone(source), auth, name)));
    Ok(Route {
        name: name.to_owned(),
        kind,
        api,
        usage_api: usage_api(name, api),
        base_url,
        origin,
        endpoint: format!("{api:?}@{version}"),
        headers,
        uris: Mutex::default(),
        query: config
            .query
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        credential: live.as_ref().map_or_else(
            || Secret::fingerprint(key.as_ref()),
            |live| live.fingerprint(),
        ),
        live,
        missing_key,
        is_orchestrator: false,
        is_openai: name == "openai" && is_own,
        is_users: !is_own || preset.is_none_or(|preset| preset.key_env.is_none()),
        pace: None,
        road: None,
        others: Vec::new(),
        place: None,
    })
}

/// The header that carries a credential.
pub(crate) fn auth_header(auth: Auth, key: &str) -> Option<(HeaderName, String)> {
    Some(match auth {
        Auth::Bearer => (AUTHORIZATION, format!("Bearer {key}")),
        Auth::XApiKey => (HeaderName::from_static("x-api-key"), key.to_owned()),
        Auth::ApiKey => (HeaderName::from_static("api-key"), key.to_owned()),
        Auth::None => return None,
    })
}

/// Adds what people leave out: the scheme, and the version where the vendor's own variable has the bare host.
fn normalise(base_url: &str, name: &str, kind: ProviderKind) -> String {
    let mut url = base_url.trim().trim_end_matches('/').to_owned();
    if !url.contains("://") {
        url = format!("http://{}", url.replace("0.0.0.0", "127.0.0.1"));
    }
    let bare = Url::parse(&url).is_ok_and(|url| matches!(url.path(), "" | "/"));
    if bare && (kind == ProviderKind::Anthropic || name == "ollama") {
        url.push_str("/v1");
    }
    url
}

/// Whether an address can only be this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

pub(crate) fn header_name(path: &str, name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::invalid(path, "expected a header name"))
}

pub(crate) fn header_value(path: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value)
        .map_err(|_| Error::invalid(path, "expected a header value without control characters"))
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
