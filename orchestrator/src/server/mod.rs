//! A running server: one port for gRPC and HTTP, started, drained and ended.

mod connection;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ossai::{Error, ErrorKind};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use crate::app::{App, Clients};
use crate::config::{Auth, ConfigErrors, ServeConfig};
use crate::grpc::resume::Kept;
use crate::http::ModelLists;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::keyring::{Keyring, Refresher};
use crate::store::writer::{self, Writer};
use crate::{grpc, http, logging};
use connection::{Listening, Phase};

/// How often keys changed by another process are looked for.
const KEYS_EVERY: Duration = Duration::from_millis(250);
/// How long what was cut may take to notice.
const CUT_PATIENCE: Duration = Duration::from_secs(5);
/// Rows of usage that may wait beside those of the calls under way.
const QUEUE: usize = 4096;

/// Why there is no server.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration is wrong.
    Config(ConfigErrors),
    /// Something it needs does not work: the data folder, the address.
    Failed(Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.fmt(f),
            Self::Failed(error) => f.write_str(&error.fields().message),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<Error> for ServeError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Calls were cut because they did not end in time.
    pub cut: bool,
    /// Rows of usage that could not be written.
    pub lost_rows: usize,
}

/// A running server.
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    phase: watch::Sender<Phase>,
    alive: mpsc::Receiver<Infallible>,
    writer: Writer,
    keys: AbortHandle,
    health: grpc::Health,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Checks the configuration, opens the data folder and the port, and serves on the current runtime's tasks.
    ///
    /// # Errors
    /// Everything wrong with the configuration at once; a folder or an address that cannot be used.
    pub async fn start(config: ServeConfig) -> Result<Self, ServeError> {
        config.check().map_err(ServeError::Config)?;
        let folder = config.data_dir().ok_or_else(|| {
            Error::invalid("data_dir", "expected a folder: this user has no home")
        })?;
        let (store, keyring, refresher) = blocking(move || {
            let store = Store::open(&folder)?;
            let (keyring, refresher) = Keyring::open(&store)?;
            Ok((store, keyring, refresher))
        })
        .await?;
        let limits = config.limits.clone();
        let (recorder, writer) = writer::start(&store, limits.concurrent_requests + QUEUE)?;
        let listener = bind("bind", config.bind).await?;
        let metrics_listener = match config.metrics_bind {
            Some(address) => Some(bind("metrics_bind", address).await?),
            None => None,
        };
        let address = local("bind", &listener)?;
        let metrics_address = metrics_listener
            .as_ref()
            .map(|listener| local("metrics_bind", listener))
            .transpose()?;
        let app = Arc::new(App {
            auth: config.auth(),
            keyring,
            recorder,
            metrics: Metrics::new(limits.metric_models),
            room: Arc::new(Semaphore::new(limits.concurrent_requests)),
            clients: Clients::new(config.client.clone(), limits.tenants),
            models: ModelLists::new(limits.tenants),
            kept: Kept::new(
                limits.concurrent_requests,
                Duration::from_millis(limits.resume_ms),
            ),
            closing: false.into(),
            leaving: false.into(),
            store,
            config,
        });
        let (phase, watched) = watch::channel(Phase::Serving);
        let (alive_sender, alive) = mpsc::channel(1);
        let (grpc_routes, health) = grpc::routes(&app).await?;
        // Metrics of all tenants are nobody's business who holds the key of one.
        let metrics_here =
            metrics_listener.is_none() && (app.auth == Auth::Off || app.config.is_loopback());
        let listening = Listening {
            router: http::router(&app, grpc_routes, metrics_here),
            room: Arc::new(Semaphore::new(limits.connections)),
            header_bytes: limits.header_bytes,
            header_patience: Duration::from_secs(limits.header_seconds),
            streams: limits.streams_per_connection,
            phase: watched,
            _alive: alive_sender,
        };
        if let Some(listener) = metrics_listener {
            let metrics = Listening {
                router: http::metrics_router(&app),
                ..listening.clone()
            };
            tokio::spawn(metrics.accept(listener));
        }
        tokio::spawn(listening.accept(listener));
        let keys = tokio::spawn(watch_keys(refresher)).abort_handle();
        tracing::info!(%address, auth = ?app.auth, version = env!("CARGO_PKG_VERSION"), "serving");
        Ok(Self {
            app,
            address,
            metrics_address,
            phase,
            alive,
            writer,
            keys,
            health,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are served, if on a port of their own.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The store it writes to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.app.store
    }

    /// Ends it: says "not ready", stops accepting, lets calls under way end within the configured time, writes all usage.
    /// When `now` completes, what is left is cut at once.
    pub async fn shutdown(mut self, now: impl Future<Output = ()>) -> Ended {
        tokio::pin!(now);
        let mut ended = Ended::default();
        let shutdown = self.app.config.shutdown.clone();
        tracing::info!(in_flight = self.app.in_flight(), "shutting down");
        self.app.leaving.store(true, Ordering::Release);
        self.health.leave().await;
        let mut hurry = false;
        if shutdown.notice_seconds > 0 {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(shutdown.notice_seconds)) => {}
                () = &mut now => hurry = true,
            }
        }
        self.app.closing.store(true, Ordering::Release);
        self.phase.send_replace(Phase::Draining);
        if !hurry {
            tokio::select! {
                _ = self.alive.recv() => {}
                () = tokio::time::sleep(Duration::from_secs(shutdown.drain_seconds)) => hurry = true,
                () = &mut now => hurry = true,
            }
        }
        ended.cut = hurry && self.app.in_flight() > 0;
        self.phase.send_replace(Phase::Cut);
        let all = u32::try_from(self.app.config.limits.concurrent_requests).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.app.room);
        let quiet = async {
            self.alive.recv().await;
            // Every call has let go of its place, and so has handed its row over.
            room.acquire_many(all).await.map(drop)
        };
        if tokio::time::timeout(CUT_PATIENCE, quiet).await.is_err() {
            tracing::warn!(
                in_flight = self.app.in_flight(),
                "calls did not notice that they were cut"
            );
        }
        self.keys.abort();
        ended.lost_rows = self.writer.finish().await;
        tracing::info!(cut = ended.cut, lost_rows = ended.lost_rows, "ended");
        ended
    }
}

async fn bind(field: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(
            ErrorKind::InvalidState,
            format!("{field}: cannot listen on {address}: {error}"),
        )
        .with_source(error)
    })
}

fn local(field: &str, listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(|error| {
        Error::new(ErrorKind::InvalidState, format!("{field}: {error}")).with_source(error)
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    http::off_thread(work).await
}

async fn watch_keys(mut refresher: Refresher) {
    let mut ticks = tokio::time::interval(KEYS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let refreshed = tokio::task::spawn_blocking(move || {
            let outcome = refresher.refresh();
            (refresher, outcome)
        });
        let Ok((back, outcome)) = refreshed.await else {
            return;
        };
        if let Err(error) = outcome {
            tracing::warn!(error = %error, "keys cannot be read, the last known ones hold");
        }
        refresher = back;
    }
}

/// Serves until SIGTERM or SIGINT (Ctrl-C), then drains; a second signal ends it at once. Lines go to stderr.
///
/// `ready` is called with the address once the port is open.
///
/// # Errors
/// As [`Server::start`].
pub async fn run(config: ServeConfig, ready: impl FnOnce(SocketAddr)) -> Result<Ended, ServeError> {
    logging::start(&config.log);
    let mut signals = Signals::new()?;
    let server = Server::start(config).await?;
    ready(server.address());
    signals.next().await;
    Ok(server.shutdown(async move { signals.next().await }).await)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Error::new(
                    ErrorKind::InvalidState,
                    format!("cannot listen for signals: {error}"),
                )
                .with_source(error)
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
