//! Making connections, so that a failed one says what failed: the name, the port, the time or the certificate.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use http::HeaderValue;
use http::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, ClientConfig, pki_types::ServerName};
use tower_service::Service;
use url::Url;

use crate::error::Error;

type Pending<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A byte stream to the orchestrator.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why no connection could be made.
#[derive(Clone, Debug)]
pub(super) struct ConnectFault {
    /// `dns`, `refused`, `timeout`, `tls` or `other`.
    pub(super) detail: &'static str,
    pub(super) message: String,
}

impl ConnectFault {
    fn new(detail: &'static str, message: impl fmt::Display) -> Self {
        Self {
            detail,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for ConnectFault {}

/// After a connect time-out those who waited for the same connection get the same answer within this time, instead of
/// each waiting for a time-out of its own, one after the other.
const SHARED_FOR: Duration = Duration::from_millis(50);

/// A proxy that is asked for a tunnel, with the credentials it wants.
#[derive(Clone)]
pub(super) struct Tunneled {
    proxy: Uri,
    auth: Option<HeaderValue>,
}

impl Tunneled {
    pub(super) fn new(url: &Url) -> Result<Self, Error> {
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

#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    proxy: Option<Tunneled>,
    /// For name, connection and handshake together.
    limit: Duration,
    timed_out: Arc<Mutex<Option<(Instant, ConnectFault)>>>,
}

impl Connector {
    pub(super) fn new(
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        proxy: Option<Tunneled>,
        limit: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver);
        tcp.set_nodelay(true);
        // Finds dead peers below HTTP/2, whose own pings many servers answer with `too_many_pings`.
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        tcp.set_keepalive_interval(Some(Duration::from_secs(10)));
        let tls = tls.map(|(config, name)| {
            let mut config = ClientConfig::clone(&config);
            config.alpn_protocols = vec![b"h2".to_vec()];
            (TlsConnector::from(Arc::new(config)), name)
        });
        Self {
            tcp,
            tls,
            proxy,
            limit,
            timed_out: Arc::default(),
        }
    }

    async fn connect(mut self, uri: Uri) -> Result<TokioIo<Box<dyn Io>>, ConnectFault> {
        let tcp = match self.proxy.take() {
            None => self
                .tcp
                .call(uri)
                .await
                .map_err(|error| tcp_fault(&error))?,
            Some(Tunneled { proxy, auth }) => {
                let mut tunnel = Tunnel::new(proxy, self.tcp.clone());
                if let Some(auth) = auth {
                    tunnel = tunnel.with_auth(auth);
                }
                tunnel.call(uri).await.map_err(|error| tcp_fault(&error))?
            }
        }
        .into_inner();
        let Some((tls, name)) = self.tls else {
            return Ok(TokioIo::new(Box::new(tcp)));
        };
        let stream = tls
            .connect(name, tcp)
            .await
            .map_err(|error| tls_fault(&error))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectFault::new(
                "tls",
                "the server does not offer HTTP/2 (ALPN h2)",
            ));
        }
        Ok(TokioIo::new(Box::new(stream)))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = ConnectFault;
    type Future = Pending<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(|error| tcp_fault(&error))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let timed_out = Arc::clone(&connector.timed_out);
            let recent = timed_out
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Some((at, fault)) = recent
                && at.elapsed() < SHARED_FOR
            {
                return Err(fault);
            }
            let limit = connector.limit;
            timeout(limit, connector.connect(uri))
                .await
                .unwrap_or_else(|_| {
                    let fault =
                        ConnectFault::new("timeout", format!("no connection within {limit:?}"));
                    let mut last = timed_out.lock().unwrap_or_else(PoisonError::into_inner);
                    *last = Some((Instant::now(), fault.clone()));
                    Err(fault)
                })
        })
    }
}

fn tcp_fault(error: &(dyn StdError + 'static)) -> ConnectFault {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<ConnectFault>() {
            return fault.clone();
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let detail = match io.kind() {
                io::ErrorKind::ConnectionRefused => "refused",
                io::ErrorKind::TimedOut => "timeout",
                _ => "other",
            };
            return ConnectFault::new(detail, io);
        }
        cause = error.source();
    }
    ConnectFault::new("other", error)
}

fn tls_fault(error: &io::Error) -> ConnectFault {
    // A reset in the middle of a handshake is a fault of the network, not of a certificate.
    let of_tls = error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>());
    ConnectFault::new(if of_tls { "tls" } else { "other" }, error)
}

/// The system's resolver, with an error that can be told from others.
#[derive(Clone)]
struct Resolver;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ConnectFault;
    type Future = Pending<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<_> = found
                .map_err(|error| ConnectFault::new("dns", error))?
                .collect();
            Ok(found.into_iter())
        })
    }
}
