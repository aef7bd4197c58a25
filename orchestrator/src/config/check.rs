//! The checks that types cannot make.

use ossai::{Client, Error};
use serde_json::Value;

use super::load::{read, take_out};
use super::{Auth, ServeConfig};
use crate::store::check_tenant;

impl ServeConfig {
    /// Everything wrong with it. `client` is the text form of the client's part, where there is one: mistakes are taken
    /// out of it one by one, so that the core, which names the first, names them all.
    pub(super) fn problems(&self, client: Option<&mut Value>) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut wrong = |path: &str, expected: &str| errors.push(Error::invalid(path, expected));
        if !self.is_loopback() {
            if self.auth() == Auth::Off {
                wrong(
                    "auth",
                    "expected `keys`: an address others can reach needs API keys",
                );
            }
            if self.tls.is_none() && !self.allow_insecure {
                wrong(
                    "bind",
                    "expected a loopback address, or `tls` (`allow_insecure` permits it where something in front ends TLS)",
                );
            }
        }
        if self
            .metrics_bind
            .is_some_and(|bind| !bind.ip().is_loopback())
            && !self.allow_insecure
        {
            wrong(
                "metrics_bind",
                "expected a loopback address (`allow_insecure` permits others)",
            );
        }
        if self.data_dir().is_none() {
            wrong("data_dir", "expected a folder: this user has no home");
        }
        let limits = &self.limits;
        for (name, value) in [
            ("body_bytes", limits.body_bytes),
            ("messages", limits.messages),
            ("grpc_message_bytes", limits.grpc_message_bytes),
            ("concurrent_requests", limits.concurrent_requests),
            ("connections", limits.connections),
            ("tenants", limits.tenants),
            ("metric_models", limits.metric_models),
        ] {
            if value == 0 || value > 1 << 30 {
                wrong(&format!("limits.{name}"), "expected 1 to 1,073,741,824");
            }
        }
        if limits.replay_bytes > 1 << 40 {
            wrong("limits.replay_bytes", "expected at most 1,099,511,627,776");
        }
        if !(1..=31 * 86_400).contains(&limits.replay_seconds) {
            wrong("limits.replay_seconds", "expected 1 to 2,678,400 seconds");
        }
        if !(8 << 10..=16 << 20).contains(&limits.header_bytes) {
            wrong("limits.header_bytes", "expected 8,192 to 16,777,216");
        }
        if limits.resume_ms > 60_000 {
            wrong("limits.resume_ms", "expected 0 to 60,000");
        }
        if limits.streams_per_connection == 0 {
            wrong("limits.streams_per_connection", "expected at least 1");
        }
        for (name, seconds) in [
            ("limits.header_seconds", limits.header_seconds),
            ("limits.body_seconds", limits.body_seconds),
            ("limits.heartbeat_seconds", limits.heartbeat_seconds),
        ] {
            if !(1..=86_400).contains(&seconds) {
                wrong(name, "expected 1 to 86,400 seconds");
            }
        }
        for (name, seconds) in [
            ("shutdown.notice_seconds", self.shutdown.notice_seconds),
            ("shutdown.drain_seconds", self.shutdown.drain_seconds),
        ] {
            if seconds > 86_400 {
                wrong(name, "expected at most 86,400 seconds");
            }
        }
        if self.usage.retention_days > 36_500 {
            wrong("usage.retention_days", "expected 0 to 36,500 days");
        }
        for (i, host) in self.hosts.iter().enumerate() {
            if host.is_empty() || host.contains(['/', '*', ' ']) {
                wrong(
                    &format!("hosts[{i}]"),
                    "expected a host name without a port",
                );
            }
        }
        for (i, origin) in self.origins.iter().enumerate() {
            if !origin.contains("://") || origin.ends_with('/') || origin.contains('*') {
                wrong(
                    &format!("origins[{i}]"),
                    "expected an origin such as `https://example.com`",
                );
            }
        }
        if let Some(provider) = &self.default_provider
            && (provider.is_empty() || provider.contains('/'))
        {
            wrong("default_provider", "expected a provider's name");
        }
        if self.client.tenant.is_some() {
            wrong(
                "client.tenant",
                "expected nothing: the tenant comes from the key",
            );
        }
        if self.client.usage.ledger.is_some() {
            wrong(
                "client.usage.ledger",
                "expected nothing: the server records its calls (`usage`)",
            );
        }
        self.check_bounds(&mut errors);
        self.check_client(client, &mut errors);
        errors
    }

    fn check_bounds(&self, errors: &mut Vec<Error>) {
        for (name, tenant) in &self.tenants {
            let path = format!("tenants.{name}");
            errors.extend(check_tenant(&path, name).err());
            errors.extend(tenant.limits.check(&format!("{path}.limits")).err());
        }
        errors.extend(self.defaults.tenant.check("defaults.tenant").err());
        errors.extend(self.defaults.key.check("defaults.key").err());
    }

    fn check_client(&self, document: Option<&mut Value>, errors: &mut Vec<Error>) {
        let mut config = self.client.clone();
        config.tenant = None;
        let mut nothing = Value::Null;
        let document = document.unwrap_or(&mut nothing);
        for _ in 0..100 {
            let Err(error) = Client::new(config) else {
                return;
            };
            let fields = error.fields();
            let field = fields.field.as_deref().unwrap_or("config");
            let path = format!("client{}", field.strip_prefix("config").unwrap_or(field));
            let reason = fields
                .message
                .split_once(": ")
                .map_or(&*fields.message, |(_, reason)| reason);
            let mut names: Vec<String> = field.split('.').skip(1).map(str::to_owned).collect();
            if errors
                .iter()
                .any(|known| known.fields().field.as_deref() == Some(&path))
            {
                // Only missing because it was wrong: what it belongs to goes, too.
                names.pop();
            } else {
                errors.push(Error::invalid(path, reason));
            }
            if !take_out(document, &names) {
                return;
            }
            let Some(rest) = read::<ossai::Config>(document, &mut Vec::new()) else {
                return;
            };
            config = ossai::Config {
                tenant: None,
                ..rest
            };
        }
    }
}
