//! The one configuration document: from a file, from the environment, or from any language's options.
//!
//! Unknown keys and wrong values are errors that name their path, because a misspelt limit that is silently ignored is
//! a limit that is not there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::ledger::UsageConfig;
use super::secret::Secret;
pub use super::testing::{Testing, WallJump};
use crate::budget::config::Budgets;
pub use crate::cache::config::{DiskCache, RedisCache};
pub use crate::cache::semantic::config::{
    Gates, SemanticCache, SemanticMode, SemanticPostgres, Watch,
};
pub use crate::call::batch::config::Batch;
pub use crate::call::gather::config::Gather;
use crate::call::{fallback, validate};
pub use crate::cassette::config::{Cassette, CassetteMode, CassetteTiming};
use crate::error::{Error, ErrorKind, Result};
use crate::provider::Api;
use crate::types::PromptCache;

/// Everything a client can be told. Durations are milliseconds, sizes bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// An orchestrator (`host:port`, or a URL); absent means straight to the providers.
    pub endpoint: Option<String>,
    /// The orchestrator's key.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub api_key: Option<Secret>,
    /// Whose calls these are: part of every key, so that nothing crosses tenants.
    pub tenant: Option<String>,
    /// Providers by the name models are asked for under (`name/model`). Known names need only what differs.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When and how often to try again.
    pub retry: Retry,
    /// Whether calls wait where a provider has said that nothing is left.
    pub pacing: Pacing,
    /// Whether embeddings asked for at the same time go out as one request.
    pub gather: Gather,
    /// How calls that are not urgent go through the vendors' batch APIs.
    pub batch: Batch,
    /// When an upstream that keeps failing is left alone.
    pub breaker: Breaker,
    /// Whether a second copy of a late call goes out.
    pub hedge: Hedge,
    /// Which models are asked in another's place.
    pub fallback: Fallback,
    /// The caches: in memory, and beneath it.
    pub cache: Cache,
    /// Whether and how vendors' prompt caches are put to use, unless the call says otherwise. Over an orchestrator its own
    /// configuration says so.
    pub prompt_cache: PromptCache,
    /// Which calls may share a flight.
    pub coalesce: Coalesce,
    /// Bounds on what is read and held.
    pub limits: Limits,
    /// What calls may cost, by tenant, key, user, model and tag.
    pub budgets: Budgets,
    /// Where calls that go straight to providers are recorded.
    pub usage: UsageConfig,
    /// A file whose prices replace or add to the built-in table.
    pub prices: Option<std::path::PathBuf>,
    /// Trust.
    pub tls: Tls,
    /// Proxies.
    pub proxy: Proxy,
    /// Which addresses of providers may be connected to.
    pub egress: Egress,
    /// Whether answers and errors tell why they came out as they did; a call may say otherwise.
    pub trace: bool,
    /// Answers of providers, recorded or given again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cassette: Option<Cassette>,
    /// For tests only.
    #[serde(skip_serializing_if = "Testing::is_off")]
    pub testing: Testing,
}

/// One provider.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// Whose way of speaking it has: `openai` (also every compatible server) or `anthropic`. Known names have theirs.
    pub kind: Option<ProviderKind>,
    /// Which endpoint completions use; by default the kind's own.
    pub api: Option<Api>,
    /// Base address up to and including the version (`https://api.openai.com/v1`).
    pub base_url: Option<String>,
    /// Further addresses of the same provider, asked in order and at once when the one before fails, at most 8. The key
    /// goes to them too if it is named here, not if it comes from the vendor's own variable.
    pub fallback_urls: Vec<String>,
    /// The credential itself.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub api_key: Option<Secret>,
    /// The environment variable that holds the credential.
    pub api_key_env: Option<String>,
    /// Which header carries the credential; by default the kind's own.
    pub auth: Option<Auth>,
    /// Headers sent with every request.
    pub headers: BTreeMap<String, String>,
    /// Query parameters sent with every request (`api-version`); never credentials.
    pub query: BTreeMap<String, String>,
    /// `anthropic-version` or the like, where it differs from the default.
    pub version: Option<String>,
    /// Allow plain http to hosts other than this machine although a credential is sent.
    pub allow_http: bool,
}

/// Whose way of speaking a provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderKind {
    /// OpenAI's, and that of every compatible server.
    Openai,
    /// Anthropic's.
    Anthropic,
    /// The built-in offline model.
    Local,
}

/// Which header carries the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// `authorization: Bearer …`
    Bearer,
    /// `x-api-key: …`
    XApiKey,
    /// `api-key: …` (Azure)
    ApiKey,
    /// None.
    None,
}

/// How long things may take, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// A whole call: queueing, all tries and the waits between them; for a stream until its first event.
    pub total_ms: u64,
    /// One try.
    pub attempt_ms: Option<u64>,
    /// Making a connection.
    pub connect_ms: u64,
    /// From sending to the response headers.
    pub first_byte_ms: Option<u64>,
    /// The longest silence inside a body.
    pub stream_idle_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            total_ms: 600_000,
            attempt_ms: None,
            connect_ms: 5_000,
            first_byte_ms: None,
            stream_idle_ms: 20_000,
        }
    }
}

/// When and how often to try again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Most tries, the first included.
    pub max_attempts: u32,
    /// First back-off after a transient fault.
    pub base_ms: u64,
    /// First back-off after throttling.
    pub throttle_base_ms: u64,
    /// Longest computed back-off.
    pub max_backoff_ms: u64,
    /// Longest wait an upstream may ask for; above it the error is returned at once.
    pub max_retry_after_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base_ms: 500,
            throttle_base_ms: 1_000,
            max_backoff_ms: 20_000,
            max_retry_after_ms: 120_000,
        }
    }
}

/// Whether calls wait where a provider has said that nothing is left (`x-ratelimit-*`, `anthropic-ratelimit-*`,
/// `retry-after`) instead of being refused by it. Providers that say nothing are never waited for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Pacing {
    /// Whether they do.
    pub enabled: bool,
    /// Most calls that wait for one model; more are refused with `overloaded`.
    pub max_waiting: u64,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            enabled: true,
            max_waiting: 10_000,
        }
    }
}

/// Whether a second copy of a call goes out when the first is late. Only calls marked `safe` are copied; both copies are
/// paid for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Hedge {
    /// Whether it does, unless the call says otherwise.
    pub enabled: bool,
    /// After how long; absent means the 95th percentile of the model's last 100 answers, once there are 20.
    pub after_ms: Option<u64>,
}

/// Who is asked when a model or an orchestrator cannot answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Fallback {
    /// By model (`provider/model`): those asked in its place, in order, at most 8.
    pub models: BTreeMap<String, Vec<String>>,
    /// Kinds of error after which they are asked, beside the usual ones.
    pub on: Vec<String>,
    /// Further orchestrators, asked in order and at once when the one before cannot be reached, at most 8.
    pub endpoints: Vec<String>,
    /// Ask the providers straight, with the keys and the prices here, when no orchestrator can be reached. Its budgets,
    /// limits and records do not see such a call.
    pub direct: bool,
}

/// When an upstream that keeps failing is left alone: one circuit per endpoint origin and model.
///
/// Failures are `connect_failed`, `transport_interrupted`, `timeout`, `upstream_error` and `overloaded`. While a circuit is
/// open calls end at once with `circuit_open` and `retry_after_ms`, without a try.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// Whether there are circuits.
    pub enabled: bool,
    /// How far back results count.
    pub window_ms: u64,
    /// Fewest results in the window that can open a circuit.
    pub min_calls: u32,
    /// The share of failures among them that opens it, in percent (1 to 100).
    pub failure_percent: u32,
    /// How long it stays open before trial calls pass, a tenth more or less.
    pub open_ms: u64,
    /// How many trial calls pass then; it closes when all of them succeed.
    pub half_open: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            enabled: true,
            window_ms: 30_000,
            min_calls: 20,
            failure_percent: 50,
            open_ms: 30_000,
            half_open: 3,
        }
    }
}

impl Breaker {
    pub(super) fn settings(&self) -> crate::retry::BreakerSettings {
        crate::retry::BreakerSettings {
            window: std::time::Duration::from_millis(self.window_ms),
            min_calls: self.min_calls,
            failure_percent: self.failure_percent,
            open: std::time::Duration::from_millis(self.open_ms),
            half_open: self.half_open,
            ..Default::default()
        }
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("window_ms", self.window_ms),
            ("min_calls", self.min_calls.into()),
            ("open_ms", self.open_ms),
            ("half_open", self.half_open.into()),
        ] {
            if value == 0 {
                return Err(Error::invalid(
                    format!("config.breaker.{name}"),
                    "expected at least 1",
                ));
            }
        }
        if !(1..=100).contains(&self.failure_percent) {
            return Err(Error::invalid(
                "config.breaker.failure_percent",
                "expected 1 to 100",
            ));
        }
        Ok(())
    }
}

/// The caches: in memory, and beneath it the tiers that outlive the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Whether there are any.
    pub enabled: bool,
    /// Most bytes of completions held in memory, keys and bookkeeping included; 0 holds none.
    pub max_bytes: u64,
    /// Most bytes of embeddings held in memory; 0 holds none.
    pub embedding_max_bytes: u64,
    /// How long an answer is kept.
    pub ttl_ms: u64,
    /// How long embeddings are kept; they do not change while the model does not.
    pub embedding_ttl_ms: u64,
    /// Which answers are kept.
    pub store: Store,
    /// Completions older than their time are still given for this long, at once and marked `stale`, while one call in the
    /// background fetches a new one.
    pub stale_while_revalidate_ms: u64,
    /// Completions older than their time are still given for this long, marked `stale`, where the upstream cannot be
    /// reached or fails (5xx).
    pub stale_if_error_ms: u64,
    /// Fetches a completion anew before its time is over, the likelier the nearer the end and the longer it took to make:
    /// 0 never, 1 as published (Vattani, Chierichetti and Lowenstein 2015), more is earlier.
    pub early_refresh: f64,
    /// Shared by processes and machines.
    pub redis: Option<RedisCache>,
    /// On this machine.
    pub disk: Option<DiskCache>,
    /// Answers to questions that mean the same; absent means none.
    pub semantic: Option<SemanticCache>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            enabled: true,
            max_bytes: 64 * 1024 * 1024,
            embedding_max_bytes: 64 * 1024 * 1024,
            ttl_ms: 3_600_000,
            embedding_ttl_ms: 86_400_000,
            store: Store::Deterministic,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
            early_refresh: 0.0,
            redis: None,
            disk: None,
            semantic: None,
        }
    }
}

impl Cache {
    fn check(&self) -> Result<()> {
        if !(0.0..=1_000.0).contains(&self.early_refresh) {
            return Err(Error::invalid(
                "config.cache.early_refresh",
                "expected 0 to 1000",
            ));
        }
        self.redis.as_ref().map_or(Ok(()), RedisCache::check)?;
        self.disk.as_ref().map_or(Ok(()), DiskCache::check)?;
        self.semantic.as_ref().map_or(Ok(()), SemanticCache::check)
    }

    /// How long an answer is kept beyond its time, for either reason.
    pub(crate) fn stale_ms(&self) -> u64 {
        self.stale_while_revalidate_ms.max(self.stale_if_error_ms)
    }
}

/// Which answers a cache keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Of requests at temperature 0, embeddings, and calls that ask for it.
    #[default]
    Deterministic,
    /// Of every request.
    All,
}

/// Which calls may share a flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Coalesce {
    /// Requests at temperature 0, embeddings, and calls that ask for it.
    #[default]
    Deterministic,
    /// Every request.
    All,
    /// None, unless a call asks for it.
    Off,
}

/// Bounds on what is read and held, in bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest decoded body of an answer.
    pub max_response_bytes: u64,
    /// Largest single event of a stream.
    pub max_event_bytes: u64,
    /// Largest gRPC message in.
    pub max_grpc_message_bytes: u64,
    /// Most bytes of events kept for late joiners of one stream.
    pub max_stream_log_bytes: u64,
    /// Most calls under way at once; more are refused with `overloaded`.
    pub max_in_flight: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_response_bytes: 128 << 20,
            max_event_bytes: 128 << 20,
            max_grpc_message_bytes: 4 << 20,
            max_stream_log_bytes: 8 << 20,
            max_in_flight: 100_000,
        }
    }
}

/// Trust.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificate authorities to trust beside the system's, PEM.
    pub ca_pem: Option<String>,
    /// A file of the same.
    pub ca_file: Option<std::path::PathBuf>,
    /// Trust the authorities Mozilla does, as bundled with this version, beside the system's: for containers without any.
    pub bundled_roots: bool,
}

/// Proxies; they hold for providers and the orchestrator alike, never for this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// `http://[user:password@]host:port`, instead of the environment's. Encrypted connections go through it untouched.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub url: Option<Secret>,
    /// Hosts, domains, addresses and networks reached without it, separated by commas, instead of `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// Read `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub from_env: bool,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            url: None,
            no_proxy: None,
            from_env: true,
        }
    }
}

/// Which addresses of providers may be connected to; a server checks them always.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Connect to hosts of providers only, and to private addresses only where this configuration names the host, in a
    /// `base_url`, `fallback_urls` or below; never to link-local and metadata addresses. What goes through a proxy is the proxy's to check.
    pub checked: bool,
    /// Further hosts that may have private addresses: those a vendor's name resolves to in your own network, for example.
    pub private_hosts: Vec<String>,
}

impl Config {
    /// Reads a JSON document; an error names the path of what is wrong.
    ///
    /// # Errors
    /// `invalid_request` with `field`.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse_json("config", json)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration the environment describes: `OSSAI_ENDPOINT`, `OSSAI_API_KEY`, `OSSAI_TENANT`, `OSSAI_PRICES`,
    /// and every provider whose own key variable is set.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        Self {
            endpoint: var("OSSAI_ENDPOINT"),
            api_key: var("OSSAI_API_KEY").map(Secret::from),
            tenant: var("OSSAI_TENANT"),
            prices: var("OSSAI_PRICES").map(Into::into),
            ..Self::default()
        }
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// `invalid_request` naming the first wrong field.
    pub fn check(&self) -> Result<()> {
        if let Some(tenant) = &self.tenant {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if tenant.len() > 128 || !tenant.chars().all(allowed) {
                return Err(Error::invalid(
                    "config.tenant",
                    "expected at most 128 of A-Z a-z 0-9 . _ -",
                ));
            }
        }
        if self.retry.max_attempts == 0 {
            return Err(Error::invalid(
                "config.retry.max_attempts",
                "expected at least 1",
            ));
        }
        self.gather.check()?;
        self.batch.check()?;
        self.breaker.check()?;
        self.cache.check()?;
        self.budgets.check()?;
        self.check_cassette()?;
        self.usage.check()?;
        if self.hedge.after_ms == Some(0) {
            return Err(Error::invalid(
                "config.hedge.after_ms",
                "expected at least 1",
            ));
        }
        for (model, list) in &self.fallback.models {
            let path = format!("config.fallback.models.{model}");
            fallback::check_models(&path, list)?;
        }
        fallback::check_kinds("config.fallback.on", &self.fallback.on)?;
        if !self.fallback.endpoints.is_empty() && self.endpoint.is_none() {
            return Err(Error::invalid(
                "config.fallback.endpoints",
                "expected `endpoint` beside it: these come after it",
            ));
        }
        fallback::check_addresses("config.fallback.endpoints", &self.fallback.endpoints)?;
        if self.testing.time_scale == Some(0) {
            return Err(Error::invalid(
                "config.testing.time_scale",
                "expected at least 1",
            ));
        }
        for (name, value) in [
            ("max_response_bytes", self.limits.max_response_bytes),
            ("max_event_bytes", self.limits.max_event_bytes),
            ("max_grpc_message_bytes", self.limits.max_grpc_message_bytes),
            ("max_stream_log_bytes", self.limits.max_stream_log_bytes),
            ("max_in_flight", self.limits.max_in_flight),
        ] {
            if value == 0 {
                return Err(Error::invalid(
                    format!("config.limits.{name}"),
                    "expected at least 1",
                ));
            }
        }
        for (name, provider) in &self.providers {
            let path = format!("config.providers.{name}");
            if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) {
                return Err(Error::invalid(path, "expected a name without `/`"));
            }
            validate::headers(&format!("{path}.headers"), &provider.headers)?;
            fallback::check_addresses(&format!("{path}.fallback_urls"), &provider.fallback_urls)?;
            if let Some(key) = &provider.api_key {
                if key.expose().is_empty() {
                    return Err(Error::invalid(
                        format!("{path}.api_key"),
                        "expected a key, found an empty one",
                    ));
                }
                validate::no_controls(&format!("{path}.api_key"), key.expose())?;
            }
        }
        Ok(())
    }
}

impl Config {
    /// The cassette, and what would go round it.
    fn check_cassette(&self) -> Result<()> {
        let Some(cassette) = &self.cassette else {
            return Ok(());
        };
        cassette.check()?;
        if cassette.mode == CassetteMode::Off {
            return Ok(());
        }
        if self.endpoint.is_some() {
            return Err(Error::invalid(
                "config.cassette",
                "expected none beside `endpoint`: providers are asked by the orchestrator, whose configuration has it (`client.cassette`)",
            ));
        }
        let semantic = self.cache.semantic.as_ref();
        for (field, is_there) in [
            ("config.cache.redis", self.cache.redis.is_some()),
            (
                "config.cache.semantic.postgres",
                semantic.is_some_and(|semantic| semantic.postgres.is_some()),
            ),
        ] {
            if cassette.mode == CassetteMode::Replay && is_there {
                return Err(Error::invalid(
                    field,
                    "expected none beside a cassette that is replayed: no connection is made",
                ));
            }
        }
        Ok(())
    }

    /// Whether answers come from a cassette and from nowhere else.
    pub(crate) fn only_replays(&self) -> bool {
        self.cassette
            .as_ref()
            .is_some_and(|cassette| cassette.mode == CassetteMode::Replay)
    }

    /// Whether answers come from a cassette.
    pub(crate) fn replays(&self) -> bool {
        self.cassette.as_ref().is_some_and(Cassette::replays)
    }
}

/// What serde says of a wrong value, without the value: it may be a key in the wrong place.
#[must_use]
pub fn without_value(message: &str) -> String {
    let Some((found, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    if !found.starts_with("invalid type") && !found.starts_with("invalid value") {
        return message.to_owned();
    }
    let kind = found.split_once(": ").map_or(found, |(_, kind)| kind);
    let kind = kind.split(['"', '`']).next().unwrap_or_default().trim();
    format!("expected {expected}, found {kind}")
}

/// Parses JSON into `T`; the error names the path beneath `root` and repeats no value.
pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(root: &str, json: &str) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." {
            root.to_owned()
        } else {
            format!("{root}.{path}")
        };
        Error::invalid(field, without_value(&error.into_inner().to_string()))
    })?;
    deserializer
        .end()
        .map_err(|error| Error::invalid(root, error))?;
    Ok(value)
}

/// Reads a configured file.
pub(crate) fn read_file(field: &str, path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::new(
            ErrorKind::InvalidRequest,
            format!("{field}: cannot read {}: {error}", path.display()),
        )
        .with(|fields| fields.field = Some(field.into()))
        .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_path_and_never_the_value_found_there() {
        for (json, field) in [
            (
                r#"{"providers": {"openai": "sk-canary"}}"#,
                "config.providers.openai",
            ),
            (
                r#"{"providers": {"openai": {"api_key": ["sk-canary"]}}}"#,
                "config.providers.openai.api_key",
            ),
            (
                r#"{"timeouts": {"total_ms": "sk-canary"}}"#,
                "config.timeouts.total_ms",
            ),
            (r#"{"timeouts": {"total": 1}}"#, "config.timeouts.total"),
        ] {
            let error = Config::from_json(json).unwrap_err();
            assert_eq!(error.fields().field.as_deref(), Some(field), "{json}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
