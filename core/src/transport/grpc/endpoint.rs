//! Where an orchestrator is, and whether credentials may go there in the clear.

use std::net::IpAddr;

use http::Uri;

use crate::error::Error;

const EXPECTED: &str = "expected host:port, http://host:port or https://host:port";

/// A checked address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `host:port`, IPv6 hosts in brackets.
    pub(super) authority: String,
    /// The host without brackets, as a certificate must name it.
    pub(super) host: String,
    pub(super) tls: bool,
    pub(super) loopback: bool,
}

impl Target {
    /// Reads an address. Without a scheme a loopback host is plain and any other is TLS; without a port it is 8080 for
    /// a plain address (where `ossai serve` listens) and 443 for TLS.
    pub(super) fn parse(endpoint: &str) -> Result<Self, Error> {
        let invalid = || Error::invalid("endpoint", EXPECTED);
        let bare = !endpoint.contains("://");
        let uri: Uri = if bare {
            format!("http://{endpoint}").parse()
        } else {
            endpoint.parse()
        }
        .map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        let in_brackets = authority.host();
        let host = in_brackets
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let bad_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
        if host.is_empty() || bad_path || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let loopback = host.parse().map_or_else(
            |_| host == "localhost" || host.ends_with(".localhost"),
            |address: IpAddr| address.is_loopback(),
        );
        let tls = match uri.scheme_str() {
            _ if bare => !loopback,
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid()),
        };
        let port = match (authority.port_u16(), authority.port()) {
            (Some(port), _) if port > 0 => port,
            (None, None) if authority.as_str().len() == in_brackets.len() => {
                if tls {
                    443
                } else {
                    8080
                }
            }
            _ => return Err(invalid()),
        };
        Ok(Self {
            authority: format!("{in_brackets}:{port}"),
            host,
            tls,
            loopback,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_scheme_is_plain_only_on_loopback() {
        for (endpoint, authority, tls, loopback) in [
            ("localhost:8080", "localhost:8080", false, true),
            ("localhost", "localhost:8080", false, true),
            ("127.0.0.9:1", "127.0.0.9:1", false, true),
            ("[::1]:8080", "[::1]:8080", false, true),
            ("ossai.example:8080", "ossai.example:8080", true, false),
            ("ossai.example", "ossai.example:443", true, false),
            ("10.0.0.1:8080", "10.0.0.1:8080", true, false),
            ("http://10.0.0.1/", "10.0.0.1:8080", false, false),
            ("https://localhost:1", "localhost:1", true, true),
            (
                "http://localhost.evil.example",
                "localhost.evil.example:8080",
                false,
                false,
            ),
            (
                "http://127.0.0.1.evil.example:1",
                "127.0.0.1.evil.example:1",
                false,
                false,
            ),
        ] {
            let target = Target::parse(endpoint).unwrap();
            assert_eq!(
                (target.authority.as_str(), target.tls, target.loopback),
                (authority, tls, loopback)
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for endpoint in [
            "",
            ":8080",
            "http://",
            "ftp://a:1",
            "a:0",
            "a:99999",
            "a:b",
            "a:",
            "http://a/path",
            "http://a/?q",
            "http://user:pass@a:1",
            "a b:1",
            "unix:///tmp/s",
            "http://[::1",
            "é:1",
        ] {
            let error = Target::parse(endpoint).unwrap_err();
            assert_eq!(
                error.fields().field.as_deref(),
                Some("endpoint"),
                "{endpoint:?}"
            );
        }
    }
}
