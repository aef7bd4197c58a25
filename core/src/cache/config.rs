//! How the tiers beneath the memory are told what they are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::Secret;
use crate::error::{Error, Result};

/// Redis or Valkey, shared by processes and machines. Trouble with it is never an error: calls go on without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RedisCache {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS (`tls` says whom to trust).
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub url: Option<Secret>,
    /// How long a look or a write may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long an answer is kept there, in milliseconds; absent means as in memory.
    pub ttl_ms: Option<u64>,
    /// How long embeddings are kept there, in milliseconds; absent means as in memory.
    pub embedding_ttl_ms: Option<u64>,
    /// Whether processes that share it ask once for an answer that several of them want at the same time and that may be
    /// kept there: the others wait for it.
    pub share_calls: bool,
    /// Whether a stream that another process asked for is given on while it comes, not when it has ended. Where that
    /// process dies half-way and the provider words its answer anew, it breaks with `stream_interrupted`.
    pub relay_streams: bool,
    /// What its keys begin with.
    pub prefix: String,
    /// Largest answer kept there, in bytes.
    pub max_entry_bytes: u64,
    /// Answers from this size on are compressed, in bytes.
    pub compress_from_bytes: u64,
    /// Encrypts what is kept there; all who share it need the same. Any text of at least 16 characters.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub key: Option<Secret>,
}

impl Default for RedisCache {
    fn default() -> Self {
        Self {
            url: None,
            timeout_ms: 100,
            ttl_ms: None,
            embedding_ttl_ms: None,
            share_calls: false,
            relay_streams: false,
            prefix: "ossai:".into(),
            max_entry_bytes: 8 << 20,
            compress_from_bytes: 1 << 10,
            key: None,
        }
    }
}

/// A folder on this machine, which several processes may share. Trouble with it is never an error: calls go on without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DiskCache {
    /// The folder; made where it is not there, closed to other users.
    pub path: Option<PathBuf>,
    /// Most bytes completions take there.
    pub max_bytes: u64,
    /// Most bytes embeddings take there.
    pub embedding_max_bytes: u64,
    /// How long a look or a write may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long an answer is kept there, in milliseconds; absent means as in memory.
    pub ttl_ms: Option<u64>,
    /// How long embeddings are kept there, in milliseconds; absent means as in memory.
    pub embedding_ttl_ms: Option<u64>,
    /// Largest answer kept there, in bytes.
    pub max_entry_bytes: u64,
    /// Answers from this size on are compressed, in bytes.
    pub compress_from_bytes: u64,
    /// Whether files are encrypted.
    pub encrypt: bool,
    /// What they are encrypted with, instead of a random key in the folder itself: any text of at least 16 characters.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub key: Option<Secret>,
}

impl Default for DiskCache {
    fn default() -> Self {
        Self {
            path: None,
            max_bytes: 1 << 30,
            embedding_max_bytes: 1 << 30,
            timeout_ms: 1_000,
            ttl_ms: None,
            embedding_ttl_ms: None,
            max_entry_bytes: 8 << 20,
            compress_from_bytes: 1 << 10,
            encrypt: true,
            key: None,
        }
    }
}

pub(super) fn check_key(path: &str, key: Option<&Secret>) -> Result<()> {
    if key.is_some_and(|key| key.expose().chars().count() < 16) {
        return Err(Error::invalid(path, "expected at least 16 characters"));
    }
    Ok(())
}

pub(super) fn check_positive(fields: &[(&str, u64)], path: &str) -> Result<()> {
    match fields.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(Error::invalid(
            format!("{path}.{name}"),
            "expected at least 1",
        )),
        None => Ok(()),
    }
}

impl RedisCache {
    pub(crate) fn check(&self) -> Result<()> {
        const PATH: &str = "config.cache.redis";
        if self.relay_streams && !self.share_calls {
            return Err(Error::invalid(
                format!("{PATH}.relay_streams"),
                "expected `share_calls` beside it",
            ));
        }
        if !cfg!(feature = "redis") {
            return Err(Error::invalid(
                PATH,
                "expected none: this build has no Redis tier",
            ));
        }
        let address = self
            .url
            .as_ref()
            .ok_or_else(|| Error::invalid(format!("{PATH}.url"), "expected `redis://host:port`"))?;
        Address::parse(address)?;
        check_positive(
            &[
                ("timeout_ms", self.timeout_ms),
                ("max_entry_bytes", self.max_entry_bytes),
            ],
            PATH,
        )?;
        if self.prefix.len() > 128 || self.prefix.chars().any(|c| c.is_control() || c == ' ') {
            return Err(Error::invalid(
                format!("{PATH}.prefix"),
                "expected at most 128 bytes without spaces and control characters",
            ));
        }
        check_key(&format!("{PATH}.key"), self.key.as_ref())
    }
}

impl DiskCache {
    pub(crate) fn check(&self) -> Result<()> {
        const PATH: &str = "config.cache.disk";
        self.path()?;
        check_positive(
            &[
                ("timeout_ms", self.timeout_ms),
                ("max_entry_bytes", self.max_entry_bytes),
            ],
            PATH,
        )?;
        if self.key.is_some() && !self.encrypt {
            return Err(Error::invalid(
                format!("{PATH}.key"),
                "expected none where `encrypt` is off",
            ));
        }
        check_key(&format!("{PATH}.key"), self.key.as_ref())
    }

    pub(crate) fn path(&self) -> Result<&Path> {
        let path = self.path.as_deref().unwrap_or(Path::new(""));
        if path.as_os_str().is_empty() {
            return Err(Error::invalid(
                "config.cache.disk.path",
                "expected a folder",
            ));
        }
        Ok(path)
    }
}

/// Where a Redis is, taken out of its URL. A build without that tier reads it only to say what is wrong with it.
#[cfg_attr(not(feature = "redis"), allow(dead_code))]
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: i64,
}

impl Address {
    /// Reads the URL; an error repeats nothing of it.
    pub(crate) fn parse(url: &Secret) -> Result<Self> {
        let wrong = |what: &str| Error::invalid("config.cache.redis.url", what);
        let url = url::Url::parse(url.expose())
            .map_err(|_| wrong("expected `redis://[user:password@]host[:port][/database]`"))?;
        let tls = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(wrong("expected `redis://` or `rediss://`")),
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("expected a host"))?;
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number
                .parse::<u16>()
                .map_err(|_| wrong("expected the database's number after the host"))?,
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("expected no query"));
        }
        let decoded = |text: &str| {
            percent_decoded(text).ok_or_else(|| wrong("expected a name and a password in UTF-8"))
        };
        let user = Some(url.username()).filter(|user| !user.is_empty());
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(6379),
            tls,
            user: user.map(decoded).transpose()?,
            password: url.password().map(decoded).transpose()?.map(Secret::from),
            database: database.into(),
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?.to_owned();
        bytes.push(u8::from_str_radix(&digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn address(url: &str) -> Result<Address> {
        Address::parse(&Secret::new(url))
    }

    #[test]
    fn a_redis_url_is_taken_apart() {
        let whole = address("rediss://me:p%40ss%2F@cache.example:7000/3").unwrap();
        assert_eq!((whole.host.as_str(), whole.port), ("cache.example", 7000));
        assert_eq!((whole.tls, whole.database), (true, 3));
        assert_eq!(whole.user.as_deref(), Some("me"));
        assert_eq!(whole.password.unwrap().expose(), "p@ss/");
        let bare = address("redis://[::1]").unwrap();
        assert_eq!((bare.host.as_str(), bare.port), ("::1", 6379));
        assert!(bare.user.is_none() && bare.password.is_none());
    }

    #[test]
    fn a_wrong_setting_names_its_path_and_never_repeats_a_secret() {
        for (json, field) in [
            (r#"{"redis": {}}"#, "config.cache.redis.url"),
            (r#"{"redis": {"url": "canary"}}"#, "config.cache.redis.url"),
            (
                r#"{"redis": {"url": "http://u:canary@h"}}"#,
                "config.cache.redis.url",
            ),
            (
                r#"{"redis": {"url": "redis://u:canary@h/x"}}"#,
                "config.cache.redis.url",
            ),
            (
                r#"{"redis": {"url": "redis://h", "key": "canary"}}"#,
                "config.cache.redis.key",
            ),
            (
                r#"{"redis": {"url": "redis://h", "timeout_ms": 0}}"#,
                "config.cache.redis.timeout_ms",
            ),
            (
                r#"{"redis": {"url": "redis://h", "prefix": "a b"}}"#,
                "config.cache.redis.prefix",
            ),
            (
                r#"{"redis": {"url": "redis://h", "relay_streams": true}}"#,
                "config.cache.redis.relay_streams",
            ),
            (
                r#"{"redis": {"url": "redis://h", "ttl": 1}}"#,
                "config.cache.redis.ttl",
            ),
            (r#"{"disk": {}}"#, "config.cache.disk.path"),
            (
                r#"{"disk": {"path": "/c", "key": "canary"}}"#,
                "config.cache.disk.key",
            ),
            (
                r#"{"disk": {"path": "/c", "max_entry_bytes": 0}}"#,
                "config.cache.disk.max_entry_bytes",
            ),
            (
                r#"{"disk": {"path": "/c", "bytes": 1}}"#,
                "config.cache.disk.bytes",
            ),
        ] {
            let error = Config::from_json(&format!(r#"{{"cache": {json}}}"#)).unwrap_err();
            assert_eq!(error.fields().field.as_deref(), Some(field), "{json}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn the_url_of_a_redis_cannot_be_shown() {
        let json =
            r#"{"cache": {"redis": {"url": "redis://u:canary@h", "key": "canary canary canary"}}}"#;
        let config = Config::from_json(json).unwrap();
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
}
