//! Making connections for both roads, so that a failed one says what failed: the name, the port, the time or the
//! certificate.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector, dns::Name};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, ClientConfig, pki_types::ServerName};
use tower_service::Service;

use super::egress::Egress;
use super::proxy::{Proxies, Proxy};

type Pending<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A byte stream to a server.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why no connection could be made.
#[derive(Clone, Debug)]
pub(crate) struct ConnectFault {
    /// `dns`, `refused`, `timeout`, `tls`, `egress`, `other` or [`RESET`].
    pub(crate) detail: &'static str,
    pub(crate) message: String,
}

/// The server took the connection and dropped it at once. Whether the making of the connection still sees that or the first
/// read does is chance, so it is told as the latter: an interrupted connection. (A port where nobody listens refuses.)
const RESET: &str = "reset";

impl ConnectFault {
    /// Whether the connection was made, and then dropped.
    pub(crate) fn was_made(&self) -> bool {
        self.detail == RESET
    }

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

/// Makes the TLS configuration, at the first connection that needs it: it reads the system's certificates.
type MakeTls = Box<dyn Fn() -> crate::Result<ClientConfig> + Send + Sync>;

/// Whether a connection is encrypted, and for whom.
enum Security {
    /// Always alike, whatever the address says: an orchestrator's.
    Fixed(Option<(Arc<ClientConfig>, ServerName<'static>)>),
    /// As the address says.
    ByScheme {
        make: MakeTls,
        made: OnceLock<Result<Arc<ClientConfig>, ConnectFault>>,
    },
}

/// After a connect time-out those who waited for the same connection get the same answer within this time, instead of
/// each waiting for a time-out of its own, one after the other.
const SHARED_FOR: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    /// To proxies, which are as configured.
    proxy_tcp: HttpConnector<Resolver>,
    egress: Option<Arc<Egress>>,
    security: Arc<Security>,
    proxies: Option<Arc<Proxies>>,
    /// For name, connection, proxy and handshake together.
    limit: Duration,
    timed_out: Arc<Mutex<Option<(Instant, ConnectFault)>>>,
}

impl Connector {
    /// For HTTP/2 to one server, with or without TLS.
    pub(crate) fn fixed(
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        proxies: Option<Arc<Proxies>>,
        names: Names,
        limit: Duration,
    ) -> Self {
        Self::new(Security::Fixed(tls), proxies, names, limit)
    }

    /// For HTTP/1.1 and HTTP/2 to any server, as its address says.
    pub(crate) fn by_scheme(
        make: MakeTls,
        proxies: Option<Arc<Proxies>>,
        names: Names,
        limit: Duration,
    ) -> Self {
        let made = OnceLock::new();
        Self::new(Security::ByScheme { make, made }, proxies, names, limit)
    }

    fn new(
        security: Security,
        proxies: Option<Arc<Proxies>>,
        names: Names,
        limit: Duration,
    ) -> Self {
        let egress = names.egress.map(Arc::new);
        let hanging = names.hanging;
        let tcp = |egress| {
            let mut tcp = HttpConnector::new_with_resolver(Resolver {
                egress,
                hanging: hanging.clone(),
            });
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            // Finds dead peers below HTTP/2, whose own pings many servers answer with `too_many_pings`.
            tcp.set_keepalive(Some(Duration::from_secs(30)));
            tcp.set_keepalive_interval(Some(Duration::from_secs(10)));
            tcp
        };
        Self {
            tcp: tcp(egress.clone()),
            proxy_tcp: tcp(None),
            egress,
            security: Arc::new(security),
            proxies,
            limit,
            timed_out: Arc::default(),
        }
    }

    /// What a plain request through a proxy must carry.
    pub(crate) fn proxy_authorization(&self, uri: &Uri) -> Option<HeaderValue> {
        let proxies = self.proxies.as_ref()?;
        (uri.scheme_str() == Some("http"))
            .then(|| proxies.for_uri(uri)?.auth)
            .flatten()
    }

    async fn connect(self, uri: Uri) -> Result<Conn, ConnectFault> {
        let (tls, alpn) = match &*self.security {
            Security::Fixed(tls) => (tls.clone(), &[b"h2" as &[u8]] as &[_]),
            Security::ByScheme { .. } if uri.scheme_str() == Some("https") => (
                Some((self.tls_config()?, server_name(&uri)?)),
                &[b"h2" as &[u8], b"http/1.1"] as &[_],
            ),
            Security::ByScheme { .. } => (None, &[] as &[_]),
        };
        let is_fixed = matches!(*self.security, Security::Fixed(_));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let proxy = self
            .proxies
            .as_ref()
            .and_then(|proxies| proxies.for_uri(&with_scheme(&uri, scheme)?));
        let mut proxied = false;
        let io = match proxy {
            None => {
                if let Some(egress) = &self.egress {
                    egress
                        .check_literal(uri.host().unwrap_or_default())
                        .map_err(|why| ConnectFault::new("egress", why))?;
                }
                open(&self.tcp, uri).await?
            }
            // HTTP/2 without TLS cannot go through a proxy but in a tunnel.
            Some(proxy) if tls.is_some() || is_fixed => self.tunnel(proxy, uri).await?,
            Some(proxy) => {
                proxied = true;
                open(&self.proxy_tcp, proxy.proxy).await?
            }
        };
        let Some((config, name)) = tls else {
            return Ok(Conn {
                io,
                h2: is_fixed,
                proxied,
            });
        };
        let (io, h2) = encrypt(io, &config, name, alpn).await?;
        if is_fixed && !h2 {
            return Err(ConnectFault::new(
                "tls",
                "the server does not offer HTTP/2 (ALPN h2)",
            ));
        }
        Ok(Conn { io, h2, proxied })
    }

    fn tls_config(&self) -> Result<Arc<ClientConfig>, ConnectFault> {
        match &*self.security {
            Security::Fixed(tls) => tls
                .as_ref()
                .map(|(config, _)| Arc::clone(config))
                .ok_or_else(|| ConnectFault::new("other", "no TLS configuration")),
            Security::ByScheme { make, made } => made
                .get_or_init(|| {
                    make()
                        .map(Arc::new)
                        .map_err(|error| ConnectFault::new("tls", error))
                })
                .clone(),
        }
    }

    async fn tunnel(&self, proxy: Proxy, uri: Uri) -> Result<TokioIo<Box<dyn Io>>, ConnectFault> {
        let mut tunnel = Tunnel::new(proxy.proxy, self.proxy_tcp.clone());
        if let Some(auth) = proxy.auth {
            tunnel = tunnel.with_auth(auth);
        }
        let tcp = tunnel.call(uri).await.map_err(|error| tcp_fault(&error))?;
        Ok(TokioIo::new(Box::new(tcp.into_inner())))
    }
}

async fn open(
    tcp: &HttpConnector<Resolver>,
    uri: Uri,
) -> Result<TokioIo<Box<dyn Io>>, ConnectFault> {
    let tcp = tcp.clone().call(uri).await;
    let tcp = tcp.map_err(|error| tcp_fault(&error))?;
    Ok(TokioIo::new(Box::new(tcp.into_inner())))
}

fn with_scheme(uri: &Uri, scheme: &str) -> Option<Uri> {
    Uri::builder()
        .scheme(scheme)
        .authority(uri.authority()?.clone())
        .path_and_query("/")
        .build()
        .ok()
}

fn server_name(uri: &Uri) -> Result<ServerName<'static>, ConnectFault> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|error| ConnectFault::new("tls", error))
}

/// The connection under TLS, and whether both sides chose HTTP/2.
async fn encrypt(
    io: TokioIo<Box<dyn Io>>,
    config: &ClientConfig,
    name: ServerName<'static>,
    alpn: &[&[u8]],
) -> Result<(TokioIo<Box<dyn Io>>, bool), ConnectFault> {
    let mut config = config.clone();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, io.into_inner())
        .await
        .map_err(|error| tls_fault(&error))?;
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((TokioIo::new(Box::new(stream)), h2))
}

impl Service<Uri> for Connector {
    type Response = Conn;
    type Error = ConnectFault;
    type Future = Pending<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(|error| tcp_fault(&error))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        // Hosts that do not answer must not speak for others.
        let shares = matches!(*self.security, Security::Fixed(_));
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
                    if shares {
                        let mut last = timed_out.lock().unwrap_or_else(PoisonError::into_inner);
                        *last = Some((Instant::now(), fault.clone()));
                    }
                    Err(fault)
                })
        })
    }
}

/// A connection, and what its user must know of it.
pub(crate) struct Conn {
    io: TokioIo<Box<dyn Io>>,
    h2: bool,
    proxied: bool,
}

impl Connection for Conn {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.h2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl Read for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
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
                io::ErrorKind::ConnectionReset => RESET,
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
    ConnectFault::new(if is_tls(error) { "tls" } else { "other" }, error)
}

/// Whether a cause is the TLS stack's: an `io::Error` hides what it wraps from `source`, however often it is wrapped.
fn is_tls(cause: &(dyn StdError + 'static)) -> bool {
    let mut cause = cause;
    while let Some(io) = cause.downcast_ref::<io::Error>() {
        let Some(inner) = io.get_ref() else {
            return false;
        };
        cause = inner;
    }
    cause.is::<rustls::Error>()
}

/// How names are looked up.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) egress: Option<Egress>,
    /// Names that get no answer, for tests.
    pub(crate) hanging: Arc<[String]>,
}

/// The system's resolver, with an error that can be told from others.
#[derive(Clone)]
struct Resolver {
    egress: Option<Arc<Egress>>,
    hanging: Arc<[String]>,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ConnectFault;
    type Future = Pending<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let egress = self.egress.clone();
        let hangs = self.hanging.iter().any(|host| host == name.as_str());
        Box::pin(async move {
            if hangs {
                return std::future::pending().await;
            }
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let mut found: Vec<_> = found
                .map_err(|error| ConnectFault::new("dns", error))?
                .collect();
            if let Some(egress) = egress {
                found = egress
                    .pick(name.as_str(), found)
                    .map_err(|why| ConnectFault::new("egress", why))?;
            }
            Ok(found.into_iter())
        })
    }
}
