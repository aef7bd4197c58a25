//! What a server is told: one JSON document, environment variables over it, everything checked before a socket opens.

mod allowance;
mod check;
mod load;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ossai::Error;
use serde::{Deserialize, Serialize};

pub use allowance::{Allowance, Defaults, Tenant};
pub use load::{ENVIRONMENT, default_data_dir};

/// Everything a server can be told. An unknown key is an error that names its path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// Address and port of both gRPC and HTTP; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Certificate and key; with them the port speaks TLS only, HTTP/1.1 and HTTP/2 as the client asks (ALPN).
    pub tls: Option<Tls>,
    /// Accept a `bind` that others can reach without `tls`: something in front must end it.
    pub allow_insecure: bool,
    /// The one folder of everything kept; absent means `ossai` in the platform's data folder. Made with mode 0700.
    pub data_dir: Option<PathBuf>,
    /// Whether callers need a key; absent means `off` on a loopback address and `keys` elsewhere.
    pub auth: Option<Auth>,
    /// Host names accepted beside those of this machine while bound to a loopback address (DNS rebinding).
    pub hosts: Vec<String>,
    /// Values of `Origin` accepted; a request with any other is refused with 403. No CORS headers are sent.
    pub origins: Vec<String>,
    /// The provider of models that are named without one; absent refuses such names.
    pub default_provider: Option<String>,
    /// Where `/metrics` is served instead of on `bind`.
    pub metrics_bind: Option<SocketAddr>,
    /// Whether gRPC reflection answers; absent means on loopback addresses only.
    pub reflection: Option<bool>,
    /// Bounds of the whole server.
    pub limits: Limits,
    /// Bounds of tenants by name.
    pub tenants: BTreeMap<String, Tenant>,
    /// Bounds of tenants and keys that have none of their own.
    pub defaults: Defaults,
    /// How long recorded calls are kept.
    pub usage: UsageConfig,
    /// How it ends.
    pub shutdown: Shutdown,
    /// What it says on stderr.
    pub log: Log,
    /// The client behind the server: providers, time-outs, retries, cache.
    pub client: ossai::Config,
}

/// What the server proves itself with, as PEM files. They are read again when they change, and on SIGHUP; connections
/// that are there keep the certificate they began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate, and those between it and a root.
    pub cert: PathBuf,
    /// Its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
    /// Authorities of client certificates; with them every client must present one (mTLS), beside its API key.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// Whether callers need a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Everybody who reaches the port may call, as the tenant `default`; on loopback addresses only.
    Off,
    /// A key in `authorization: Bearer`; the tenant comes from it.
    Keys,
}

/// Bounds of what is taken in and held (behaviour: orchestrator server checklist).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest body of an HTTP request, in bytes.
    pub body_bytes: usize,
    /// Largest head of a request, in bytes; at least 8 KiB.
    pub header_bytes: usize,
    /// Most messages of one request.
    pub messages: usize,
    /// Largest gRPC message in, in bytes.
    pub grpc_message_bytes: usize,
    /// Most requests under way; more are refused at once with `overloaded`.
    pub concurrent_requests: usize,
    /// Most open connections; more wait in the listener's backlog.
    pub connections: usize,
    /// Most requests at once on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Time to send a request's head, in seconds; also how long an idle connection is kept.
    pub header_seconds: u64,
    /// Time to send a request's body, in seconds.
    pub body_seconds: u64,
    /// After so many seconds without an event a stream shows a sign of life.
    pub heartbeat_seconds: u64,
    /// How long a stream over gRPC is kept for its caller after its connection broke, in milliseconds, at most a minute; 0
    /// for not at all. Its provider is read, and paid, for so long at most.
    pub resume_ms: u64,
    /// Most tenants whose clients (connections, cache, shared calls) are kept at once.
    pub tenants: usize,
    /// Most pairs of provider and model with metrics of their own; the rest is counted as `other`.
    pub metric_models: usize,
    /// Bytes of answers kept by idempotency key, in memory; an answer over an eighth of it is not kept.
    pub replay_bytes: usize,
    /// How long they are kept, in seconds.
    pub replay_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 20 << 20,
            header_bytes: 64 << 10,
            messages: 10_000,
            grpc_message_bytes: 4 << 20,
            concurrent_requests: 4096,
            connections: 10_000,
            streams_per_connection: 100,
            header_seconds: 60,
            body_seconds: 30,
            heartbeat_seconds: 15,
            resume_ms: 900,
            tenants: 64,
            metric_models: 200,
            replay_bytes: 64 << 20,
            replay_seconds: 86_400,
        }
    }
}

/// What becomes of recorded calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageConfig {
    /// Records older than so many days are taken away, at the start and every hour; 0 keeps them for ever.
    pub retention_days: u32,
}

impl Default for UsageConfig {
    fn default() -> Self {
        Self { retention_days: 90 }
    }
}

/// How a server ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long `/readyz` and the gRPC health service say "no" before connections are refused, in seconds: time for a
    /// load balancer to notice.
    pub notice_seconds: u64,
    /// How long calls under way may take to end, in seconds; then they are cut.
    pub drain_seconds: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            notice_seconds: 0,
            drain_seconds: 30,
        }
    }
}

/// What the server says on stderr; never prompts, answers or keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important lines shown.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Json,
        }
    }
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            tls: None,
            allow_insecure: false,
            data_dir: None,
            auth: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            default_provider: None,
            metrics_bind: None,
            reflection: None,
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            defaults: Defaults::default(),
            usage: UsageConfig::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
            client: ossai::Config::default(),
        }
    }
}

impl ServeConfig {
    /// Whether callers need a key.
    #[must_use]
    pub fn auth(&self) -> Auth {
        self.auth.unwrap_or(if self.is_loopback() {
            Auth::Off
        } else {
            Auth::Keys
        })
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.bind.ip().is_loopback()
    }

    /// The folder of everything kept, if the platform has one.
    #[must_use]
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.data_dir.clone().or_else(default_data_dir)
    }
}

/// Everything that is wrong with a configuration; each error's `field` is the path.
#[derive(Clone, Debug)]
pub struct ConfigErrors(pub Vec<Error>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is wrong:")?;
        for error in &self.0 {
            write!(f, "\n  {}", error.fields().message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
