//! Which proxy a connection goes through, the same on both roads.
//!
//! By the configuration, else by `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` in either case, as curl reads
//! them; `HTTP_PROXY` in capitals is not read where a CGI server may have made it out of a request's header. This machine
//! itself is never reached through a proxy: a key that may go to it in the clear may not go elsewhere so.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::client::config::Config;
use crate::client::route::is_loopback;
use crate::error::{Error, Result};

const EXPECTED: &str = "expected http://host:port, with user and password where it wants them";

/// A proxy, with the credentials it wants.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) proxy: Uri,
    pub(crate) auth: Option<HeaderValue>,
}

impl Proxy {
    pub(crate) fn new(url: &Url) -> Result<Self, Error> {
        let unusable = || Error::invalid("proxy", "expected http://host:port");
        let host = url.host_str().ok_or_else(unusable)?;
        let port = url.port_or_known_default().unwrap_or(80);
        let auth = (!url.username().is_empty()).then(|| {
            let text = |text: &str| percent_decode(text);
            let pair = format!(
                "{}:{}",
                text(url.username()),
                text(url.password().unwrap_or_default())
            );
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            HeaderValue::from_str(&format!("Basic {encoded}")).map_err(|_| unusable())
        });
        Ok(Self {
            proxy: format!("http://{host}:{port}")
                .parse()
                .map_err(|_| unusable())?,
            auth: auth.transpose()?,
        })
    }
}

/// `%41` as `A`; what is no such escape stays.
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let rest = bytes.as_slice();
        let escape = (byte == b'%')
            .then(|| rest.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(escaped) => {
                out.push(escaped);
                bytes.nth(1);
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The proxies of a client.
pub struct Proxies {
    /// Decides who is reached directly.
    matcher: Matcher,
    http: Option<Url>,
    https: Option<Url>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may hold a password.
        f.write_str("Proxies")
    }
}

impl Proxies {
    /// The proxies the configuration and the environment name; `None` when they name none.
    pub(crate) fn new(config: &Config) -> Result<Option<Arc<Self>>> {
        Self::read(config, &|name| std::env::var(name).ok())
    }

    fn read(config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Arc<Self>>> {
        let settings = &config.proxy;
        let first = |names: &[&str]| {
            names.iter().filter(|_| settings.from_env).find_map(|name| {
                let value = env(name)?;
                (!value.trim().is_empty()).then(|| ((*name).to_owned(), value))
            })
        };
        let configured = || {
            let url = settings.url.as_ref()?;
            Some(("config.proxy.url".to_owned(), url.expose().to_owned()))
        };
        let all = ["ALL_PROXY", "all_proxy"];
        let of_https =
            configured().or_else(|| first(&["HTTPS_PROXY", "https_proxy", all[0], all[1]]));
        let of_http = configured().or_else(|| {
            let capitals = env("REQUEST_METHOD").is_none();
            first(&["http_proxy"])
                .or_else(|| first(&["HTTP_PROXY"]).filter(|_| capitals))
                .or_else(|| first(&all))
        });
        let parse = |named: Option<(String, String)>| {
            named
                .map(|(name, value)| address(&name, &value))
                .transpose()
        };
        let (http, https) = (parse(of_http)?, parse(of_https)?);
        if http.is_none() && https.is_none() {
            return Ok(None);
        }
        let no = settings
            .no_proxy
            .clone()
            .or_else(|| first(&["NO_PROXY", "no_proxy"]).map(|(_, value)| value))
            .unwrap_or_default();
        // Which proxy is ours to say; the matcher is asked only whether there is one.
        let some = "http://proxy.invalid:1";
        let mut matcher = Matcher::builder().no(no);
        if http.is_some() {
            matcher = matcher.http(some);
        }
        if https.is_some() {
            matcher = matcher.https(some);
        }
        Ok(Some(Arc::new(Self {
            matcher: matcher.build(),
            http,
            https,
        })))
    }

    /// The proxy an address is reached through.
    pub(crate) fn for_uri(&self, uri: &Uri) -> Option<Proxy> {
        let url = Url::parse(&uri.to_string()).ok()?;
        Proxy::new(self.for_url(&url)?).ok()
    }

    fn for_url(&self, url: &Url) -> Option<&Url> {
        if is_loopback(url) {
            return None;
        }
        self.matcher.intercept(&url.as_str().parse().ok()?)?;
        match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }
    }
}

fn address(name: &str, value: &str) -> Result<Url> {
    let value = value.trim();
    let whole = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    // The value may hold a password: no error repeats it.
    Url::parse(&whole)
        .ok()
        .filter(|url| url.scheme() == "http" && url.has_host())
        .ok_or_else(|| Error::invalid(name, EXPECTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str, env: &[(&str, &str)]) -> Result<Option<Arc<Proxies>>> {
        let config = Config::from_json(config).unwrap();
        Proxies::read(&config, &|name| {
            let (_, value) = env.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
    }

    fn through(proxies: &Proxies, url: &str) -> Option<String> {
        proxies
            .for_url(&Url::parse(url).unwrap())
            .map(ToString::to_string)
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let proxies = read(
            "{}",
            &[
                ("HTTPS_PROXY", "http://s:1"),
                ("http_proxy", "p:2"),
                ("ALL_PROXY", "http://a:3"),
            ],
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            through(&proxies, "https://x.example/v1").as_deref(),
            Some("http://s:1/")
        );
        assert_eq!(
            through(&proxies, "http://x.example/v1").as_deref(),
            Some("http://p:2/")
        );
        let proxies = read("{}", &[("ALL_PROXY", "http://a:3")]).unwrap().unwrap();
        assert_eq!(
            through(&proxies, "https://x.example").as_deref(),
            Some("http://a:3/")
        );
        assert!(read("{}", &[("HTTPS_PROXY", " ")]).unwrap().is_none());
        assert!(read("{}", &[]).unwrap().is_none());
    }

    #[test]
    fn no_proxy_names_hosts_domains_addresses_and_networks() {
        let no = "x.example, .inner.example,10.0.0.0/8,192.0.2.7";
        let proxies = read("{}", &[("HTTPS_PROXY", "http://s:1"), ("NO_PROXY", no)])
            .unwrap()
            .unwrap();
        for direct in [
            "https://x.example",
            "https://a.x.example",
            "https://a.inner.example:8443",
            "https://10.1.2.3",
            "https://192.0.2.7",
        ] {
            assert_eq!(through(&proxies, direct), None, "{direct}");
        }
        for proxied in [
            "https://y.example",
            "https://xx.example",
            "https://11.1.2.3",
        ] {
            assert!(through(&proxies, proxied).is_some(), "{proxied}");
        }
        let all = read("{}", &[("HTTPS_PROXY", "http://s:1"), ("NO_PROXY", "*")]).unwrap();
        assert_eq!(through(&all.unwrap(), "https://y.example"), None);
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let proxies = read("{}", &[("ALL_PROXY", "http://a:3")]).unwrap().unwrap();
        for here in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert_eq!(through(&proxies, here), None, "{here}");
        }
    }

    #[test]
    fn the_configuration_comes_before_the_environment_and_can_turn_it_off() {
        let env = [("HTTPS_PROXY", "http://s:1"), ("NO_PROXY", "*")];
        let own = r#"{"proxy": {"url": "http://u:canary@own:1", "no_proxy": ""}}"#;
        let proxies = read(own, &env).unwrap().unwrap();
        assert_eq!(
            through(&proxies, "https://x.example").as_deref(),
            Some("http://u:canary@own:1/")
        );
        assert!(!format!("{proxies:?} {:?}", Config::from_json(own).unwrap()).contains("canary"));
        assert!(
            read(r#"{"proxy": {"from_env": false}}"#, &env)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_server_that_makes_variables_of_headers_does_not_choose_the_proxy() {
        let env = [("HTTP_PROXY", "http://evil:1"), ("REQUEST_METHOD", "GET")];
        assert!(read("{}", &env).unwrap().is_none());
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_that_names_where_it_stands() {
        for value in [
            "socks5://canary:1",
            "https://canary:1",
            "http://",
            "::canary",
        ] {
            let error = read("{}", &[("HTTPS_PROXY", value)]).unwrap_err();
            assert_eq!(
                error.fields().field.as_deref(),
                Some("HTTPS_PROXY"),
                "{value}"
            );
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
