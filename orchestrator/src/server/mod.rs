//! A running server: one port for gRPC and HTTP, started, drained and ended.

mod connection;
mod pruning;
mod signals;
mod tls;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ossai::ledger::Untold;
use ossai::{Error, ErrorKind};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::app::{App, Clients, DEFAULT_TENANT};
use crate::config::{Auth, ConfigErrors, ServeConfig};
use crate::grpc::resume::Kept;
use crate::guard::Policy;
use crate::guard::replay::Replays;
use crate::http::ModelLists;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::keyring::{Identity, Keyring, Refresher};
use crate::store::writer::{self, Recorder, Writer};
use crate::{grpc, http, logging};
use connection::{Listening, Phase};
use signals::{Heard, Signals};
use tls::Certificates;

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
    pruning: Option<AbortHandle>,
    reload: mpsc::Sender<oneshot::Sender<()>>,
    files: Option<AbortHandle>,
    certificates: Option<Arc<Certificates>>,
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
        let policy = Policy::new(&config);
        let nobody = Identity {
            bounds: Arc::new(policy.bounds(DEFAULT_TENANT, None)),
            tenant: Arc::from(DEFAULT_TENANT),
            key_id: None,
        };
        let (store, keyring, refresher) = blocking(move || {
            let store = Store::open(&folder)?.acting_as("server");
            let (keyring, refresher) = Keyring::open(&store, policy)?;
            Ok((store, keyring, refresher))
        })
        .await?;
        let certificates = match config.tls.clone() {
            None => None,
            Some(files) => Some(blocking(move || Certificates::open(&files)).await?),
        };
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
        let metrics = Arc::new(Metrics::new(limits.metric_models));
        let template = behind(&config, &store);
        let clients = Clients::new(template, limits.tenants, untold(&metrics, &recorder))?;
        let app = Arc::new(App {
            auth: config.auth(),
            keyring,
            recorder,
            clients,
            metrics,
            room: Arc::new(Semaphore::new(limits.concurrent_requests)),
            models: ModelLists::new(limits.tenants),
            kept: Kept::new(
                limits.concurrent_requests,
                Duration::from_millis(limits.resume_ms),
            ),
            limiter: Arc::default(),
            replays: Arc::new(Replays::new(
                limits.replay_bytes,
                Duration::from_secs(limits.replay_seconds),
            )),
            nobody,
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
            tls: certificates.clone(),
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
                tls: None,
                ..listening.clone()
            };
            tokio::spawn(metrics.accept(listener));
        }
        tokio::spawn(listening.accept(listener));
        let (reload, asked) = mpsc::channel(1);
        let keys = tokio::spawn(watch_keys(refresher, asked)).abort_handle();
        let days = app.config.usage.retention_days;
        let pruning =
            (days > 0).then(|| tokio::spawn(pruning::run(app.store.clone(), days)).abort_handle());
        let files = certificates
            .clone()
            .map(|certificates| tokio::spawn(watch_files(certificates)).abort_handle());
        tracing::info!(%address, auth = ?app.auth, tls = certificates.is_some(), version = env!("CARGO_PKG_VERSION"), "serving");
        Ok(Self {
            app,
            address,
            metrics_address,
            phase,
            alive,
            writer,
            keys,
            pruning,
            reload,
            files,
            certificates,
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

    /// Reads changed keys and limits now instead of within a second.
    pub async fn refresh_keys(&self) {
        let (tell, told) = oneshot::channel();
        if self.reload.send(tell).await.is_ok() {
            // Without an answer the task has ended, and with it the server.
            let _ = told.await;
        }
    }

    /// Reads certificate and key again now instead of when their files are seen to have changed; connections that are
    /// there are not touched.
    ///
    /// # Errors
    /// `invalid_request` naming the file that is wrong; those read last hold then.
    pub async fn reload_certificates(&self) -> Result<(), Error> {
        match self.certificates.clone() {
            None => Ok(()),
            Some(certificates) => blocking(move || certificates.reload()).await,
        }
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
        for task in [self.files, self.pruning].into_iter().flatten() {
            task.abort();
        }
        self.app.clients.budgets.flush().await;
        ended.lost_rows = self.writer.finish().await;
        tracing::info!(cut = ended.cut, lost_rows = ended.lost_rows, "ended");
        ended
    }
}

/// The configuration of every tenant's client: whoever may call must not reach this machine's own network through it.
/// What it spends stands in the server's own store, unless it names another place.
fn behind(config: &ServeConfig, store: &Store) -> ossai::Config {
    let mut client = config.client.clone();
    client.egress.checked = true;
    if client.budgets.postgres.is_none() {
        client.budgets.ledger.get_or_insert_with(|| store.file());
    }
    client
}

/// Records and counts what a call cost whose caller was not there to be told. Its own record says that this is not known.
fn untold(metrics: &Arc<Metrics>, recorder: &Recorder) -> Untold {
    let (metrics, recorder) = (Arc::clone(metrics), recorder.clone());
    Arc::new(move |row| {
        metrics.untold(&row);
        recorder.late(row);
    })
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

async fn watch_files(certificates: Arc<Certificates>) {
    loop {
        tokio::time::sleep(tls::FILES_EVERY).await;
        let certificates = Arc::clone(&certificates);
        let look = blocking(move || {
            let changed = certificates.have_changed();
            if changed {
                certificates.reload()?;
            }
            Ok(changed)
        });
        match look.await {
            Ok(false) => {}
            Ok(true) => tracing::info!("certificate read again"),
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used, the last one holds");
            }
        }
    }
}

async fn watch_keys(mut refresher: Refresher, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
    let mut ticks = tokio::time::interval(KEYS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let waiting = tokio::select! {
            _ = ticks.tick() => None,
            waiting = asked.recv() => waiting,
        };
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
        if let Some(waiting) = waiting {
            // Who asked may be gone.
            let _ = waiting.send(());
        }
    }
}

/// Serves until SIGTERM or SIGINT (Ctrl-C), then drains; a second signal ends it at once. SIGHUP reads certificate and
/// key again. Lines go to stderr.
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
    while let Heard::Reload = signals.heard().await {
        match server.reload_certificates().await {
            Ok(()) => tracing::info!("certificate read again"),
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used, the last one holds");
            }
        }
    }
    Ok(server.shutdown(async move { signals.next().await }).await)
}
