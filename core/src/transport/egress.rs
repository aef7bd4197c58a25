//! Which addresses may be connected to, for a server that must not be talked into reaching its own network (SSRF).
//!
//! A name is resolved, its addresses are checked, and the connection goes to one of those that passed: nothing resolves it
//! again. Ranges are those of the IANA special-purpose registries (RFC 6890 and its updates) and the clouds' metadata
//! services.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::Url;

use crate::client::config::Config;
use crate::client::presets::PRESETS;

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    /// This machine, or a network of the operator's.
    Private,
    /// Link-local and metadata addresses, and those that are no host's: never connected to.
    Never,
}

/// The hosts there are, and which of them may be private.
#[derive(Debug)]
pub(crate) struct Egress {
    hosts: HashMap<String, bool>,
}

impl Egress {
    /// From the configuration, if it asks for checks: the hosts of `base_url` and `fallback_urls` (or in the
    /// vendors' own variables) and of `egress.private_hosts` may be private, those of known providers may not.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        if !config.egress.checked {
            return None;
        }
        let mut hosts = HashMap::new();
        let host = |url: &str| Some(plain(Url::parse(url).ok()?.host_str()?));
        for preset in PRESETS {
            hosts.extend(host(preset.base_url).map(|host| {
                let here = host == "localhost";
                (host, here)
            }));
            let named = preset.base_env.and_then(|name| std::env::var(name).ok());
            hosts.extend(named.and_then(|url| host(&url)).map(|host| (host, true)));
        }
        for provider in config.providers.values() {
            let further = provider.fallback_urls.iter();
            let named = provider.base_url.iter().chain(further);
            hosts.extend(named.filter_map(|url| host(url)).map(|host| (host, true)));
        }
        let private = config.egress.private_hosts.iter();
        hosts.extend(private.map(|host| (plain(host), true)));
        Some(Self { hosts })
    }

    /// The addresses of a host that may be connected to; the error says why there are none.
    pub(crate) fn pick(
        &self,
        host: &str,
        found: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, String> {
        let Some(private) = self.hosts.get(&plain(host)).copied() else {
            return Err("the host is no configured provider's".to_owned());
        };
        let passes = |address: &SocketAddr| match reach(address.ip()) {
            Reach::Public => true,
            Reach::Private => private,
            Reach::Never => false,
        };
        let picked: Vec<_> = found.into_iter().filter(passes).collect();
        if picked.is_empty() {
            return Err(
                "the host has no public address (`egress.private_hosts` permits private ones)"
                    .to_owned(),
            );
        }
        Ok(picked)
    }

    /// Whether an address that stands in a URL itself may be connected to.
    pub(crate) fn check_literal(&self, host: &str) -> Result<(), String> {
        match plain(host).parse::<IpAddr>() {
            Ok(ip) => self.pick(host, vec![SocketAddr::new(ip, 0)]).map(drop),
            // A name: it is checked when it is resolved.
            Err(_) => Ok(()),
        }
    }
}

/// A host as a key: lower case, without brackets and the root's dot.
fn plain(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    // Metadata services outside of the link-local range: Alibaba's and Oracle's.
    const METADATA: [[u8; 4]; 2] = [[100, 100, 100, 200], [192, 0, 0, 192]];
    let octets = ip.octets();
    let [a, b, c, _] = octets;
    if METADATA.contains(&octets) {
        return Reach::Never;
    }
    match (a, b, c) {
        (0 | 224..=255, _, _) | (169, 254, _) => Reach::Never,
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) | (198, 18..=19, _) => {
            Reach::Never
        }
        (127 | 10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    let segments = ip.segments();
    let [a, b, c, d, e, f, g, h] = segments;
    let [hi, lo] = [g.to_be_bytes(), h.to_be_bytes()];
    let embedded = Ipv4Addr::new(hi[0], hi[1], lo[0], lo[1]);
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private,
        // Mapped, translated and compatible forms of IPv4, and NAT64: what counts is the address inside.
        _ if (a, b, c, d) == (0, 0, 0, 0) && matches!((e, f), (0, 0 | 0xffff) | (0xffff, 0)) => {
            reach_v4(embedded)
        }
        _ if (a, b) == (0x64, 0xff9b) => match (c, d, e, f) {
            (0, 0, 0, 0) => reach_v4(embedded),
            _ => Reach::Never,
        },
        // 6to4.
        _ if a == 0x2002 => {
            let [hi, lo] = [b.to_be_bytes(), c.to_be_bytes()];
            reach_v4(Ipv4Addr::new(hi[0], hi[1], lo[0], lo[1]))
        }
        // Amazon's metadata service.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => Reach::Never,
        _ if a & 0xfe00 == 0xfc00 => Reach::Private,
        // Global unicast without Teredo, documentation and benchmarks; everything else is no host's.
        _ if a & 0xe000 == 0x2000
            && !(a == 0x2001 && (b == 0 || b == 2 || b == 0x0db8))
            && a != 0x3fff =>
        {
            Reach::Public
        }
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(json: &str) -> Egress {
        Egress::new(&Config::from_json(json).unwrap()).unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        let ip = |text: &&str| SocketAddr::new(text.parse().unwrap(), 0);
        texts.iter().map(ip).collect()
    }

    #[test]
    fn private_link_local_metadata_and_mapped_addresses_are_told_from_public_ones() {
        let table = [
            (
                Reach::Public,
                "8.8.8.8 172.15.0.1 172.32.0.1 100.63.0.1 169.253.0.1 192.0.1.1 2606:4700::1111",
            ),
            (
                Reach::Public,
                "::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1",
            ),
            (
                Reach::Private,
                "127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 ::1 fc00::1 fdff::1",
            ),
            (
                Reach::Private,
                "::ffff:127.0.0.1 ::ffff:10.1.2.3 64:ff9b::a00:1 2002:a00:1::1 ::10.0.0.1 ::ffff:0:10.0.0.1",
            ),
            (
                Reach::Never,
                "169.254.169.254 100.100.100.200 192.0.0.192 fd00:ec2::254 fe80::1 fe80::a9fe:a9fe",
            ),
            (
                Reach::Never,
                "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 ::169.254.169.254",
            ),
            (
                Reach::Never,
                "0.0.0.0 0.1.2.3 255.255.255.255 224.0.0.1 240.0.0.1 :: ff02::1 64:ff9b:1::1 2001::1 2001:db8::1",
            ),
            (
                Reach::Never,
                "192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 3fff::1 100::1 fec0::1",
            ),
        ];
        for (expected, list) in table {
            for text in list.split(' ') {
                assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
            }
        }
    }

    #[test]
    fn a_vendors_name_that_resolves_to_a_private_address_is_not_connected_to() {
        let egress = egress(r#"{"egress": {"checked": true}}"#);
        let both = addresses(&["10.0.0.1", "8.8.8.8", "169.254.169.254"]);
        let picked = egress.pick("API.openai.com.", both).unwrap();
        assert_eq!(picked, addresses(&["8.8.8.8"]));
        for text in ["10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254"] {
            assert!(
                egress.pick("api.openai.com", addresses(&[text])).is_err(),
                "{text}"
            );
        }
        assert!(egress.pick("api.openai.com", Vec::new()).is_err());
    }

    #[test]
    fn hosts_the_operator_names_may_be_private_but_never_a_metadata_service() {
        let egress = egress(
            r#"{"egress": {"checked": true, "private_hosts": ["gpu.internal"]},
                "providers": {"own": {"kind": "openai", "base_url": "http://10.1.1.1:8000/v1", "auth": "none"},
                              "meta": {"kind": "openai", "base_url": "http://169.254.169.254/v1", "auth": "none"}}}"#,
        );
        assert!(
            egress
                .pick("gpu.internal", addresses(&["192.168.0.9"]))
                .is_ok()
        );
        assert!(
            egress
                .pick("gpu.internal", addresses(&["169.254.169.254"]))
                .is_err()
        );
        assert!(egress.check_literal("10.1.1.1").is_ok());
        assert!(egress.check_literal("169.254.169.254").is_err());
        assert!(egress.check_literal("10.1.1.2").is_err(), "no provider's");
        assert!(egress.check_literal("[::1]").is_err(), "no provider's");
        assert!(egress.check_literal("api.openai.com").is_ok());
    }

    #[test]
    fn a_host_of_no_provider_is_not_connected_to_even_if_it_is_public() {
        let egress = egress(r#"{"egress": {"checked": true}}"#);
        assert!(
            egress
                .pick("evil.example", addresses(&["8.8.8.8"]))
                .is_err()
        );
    }

    #[test]
    fn without_being_asked_nothing_is_checked() {
        assert!(Egress::new(&Config::default()).is_none());
    }
}
