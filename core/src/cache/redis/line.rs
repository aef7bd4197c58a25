//! The one connection to a Redis.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::super::config::Address;
use super::super::tier::Fault;
use crate::client::Config;
use crate::transport::{Io, tls};

type MakeTls = Box<dyn Fn() -> crate::Result<ClientConfig> + Send + Sync>;

/// Makes the connection when it is needed, and again when it broke.
pub(super) struct Line {
    address: Address,
    patience: Duration,
    tls: Option<MakeTls>,
    state: Mutex<State>,
}

enum State {
    Down,
    /// Somebody is at it; who listens hears how it ended.
    Dialling(watch::Receiver<Option<Fault>>),
    Up(Arc<Connection>),
}

struct Connection {
    commands: MultiplexedConnection,
    _driver: Driver,
}

/// The task that reads and writes; it ends with the connection.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Line {
    pub(super) fn new(
        address: Address,
        patience: Duration,
        config: &Config,
    ) -> crate::Result<Self> {
        Ok(Self {
            tls: address.tls.then(|| tls::lazily(config)).transpose()?,
            address,
            patience,
            state: Mutex::new(State::Down),
        })
    }

    /// Sends a command that does no harm twice and waits for its answer. A connection that turns out to be broken is made
    /// anew once.
    pub(super) async fn ask<T: FromRedisValue>(
        self: &Arc<Self>,
        command: &Cmd,
    ) -> Result<T, Fault> {
        let mut again = true;
        loop {
            let connection = self.connection().await?;
            let answer = command.query_async(&mut connection.commands.clone()).await;
            match answer {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let fault = fault(&error);
                    if fault == Fault::Away("io") {
                        self.drop_it(&connection);
                        if std::mem::take(&mut again) {
                            continue;
                        }
                    }
                    return Err(fault);
                }
            }
        }
    }

    async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, Fault> {
        loop {
            let mut dialled = match &mut *self.lock() {
                State::Up(connection) => return Ok(Arc::clone(connection)),
                // Its end is gone where the runtime it ran on is.
                State::Dialling(dialled) if dialled.has_changed().is_ok() => dialled.clone(),
                state => {
                    let (tell, dialled) = watch::channel(None);
                    *state = State::Dialling(dialled.clone());
                    tokio::spawn(Arc::clone(self).dial(tell));
                    dialled
                }
            };
            let told = dialled.wait_for(Option::is_some).await;
            if let Ok(Some(fault)) = told.map(|fault| *fault) {
                return Err(fault);
            }
        }
    }

    /// Connects in a task of its own, so that who cannot wait so long does not stop it.
    async fn dial(self: Arc<Self>, tell: watch::Sender<Option<Fault>>) {
        let dialled = tokio::time::timeout(self.patience, self.connect()).await;
        match dialled.unwrap_or(Err(Fault::Away("connect"))) {
            Ok(connection) => *self.lock() = State::Up(Arc::new(connection)),
            Err(fault) => {
                *self.lock() = State::Down;
                tell.send_replace(Some(fault));
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let address = &self.address;
        let tcp = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|_| Fault::Away("connect"))?;
        let _ = tcp.set_nodelay(true);
        let io: Box<dyn Io> = match &self.tls {
            None => Box::new(tcp),
            Some(make) => {
                let config = make().map_err(|_| Fault::Away("tls"))?;
                let name =
                    ServerName::try_from(address.host.clone()).map_err(|_| Fault::Away("tls"))?;
                let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
                let io = connector.connect(name, tcp).await;
                Box::new(io.map_err(|_| Fault::Away("tls"))?)
            }
        };
        let mut info = RedisConnectionInfo::default()
            .set_db(address.database)
            .set_skip_set_lib_name();
        if let Some(user) = &address.user {
            info = info.set_username(user);
        }
        if let Some(password) = &address.password {
            info = info.set_password(password.expose());
        }
        let (tell, made) = oneshot::channel();
        let driver = tokio::spawn(async move {
            // Waiting is bounded where the whole of a look is.
            let settings = AsyncConnectionConfig::new().set_response_timeout(None);
            match MultiplexedConnection::new_with_config(&info, io, settings).await {
                Err(error) => drop(tell.send(Err(fault(&error)))),
                Ok((commands, driver)) => {
                    drop(tell.send(Ok(commands)));
                    driver.await;
                }
            }
        });
        let driver = Driver(driver.abort_handle());
        let commands = made.await.map_err(|_| Fault::Away("io"))??;
        Ok(Connection {
            commands,
            _driver: driver,
        })
    }

    /// Lets a connection go, unless another one is in its place by now.
    fn drop_it(&self, broken: &Arc<Connection>) {
        let mut state = self.lock();
        if matches!(&*state, State::Up(current) if Arc::ptr_eq(current, broken)) {
            *state = State::Down;
        }
    }

    /// Lets the connection go after an answer was waited for in vain: what hangs holds up everything behind it.
    pub(super) fn hang_up(&self) {
        let mut state = self.lock();
        if matches!(&*state, State::Up(_)) {
            *state = State::Down;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error of the server or on the way there means for the tier.
fn fault(error: &RedisError) -> Fault {
    match error.code() {
        None => Fault::Away("io"),
        Some("WRONGTYPE") => Fault::Foreign("type"),
        Some("MOVED" | "ASK" | "CROSSSLOT") => Fault::Foreign("cluster"),
        Some("OOM") => Fault::Refused("full"),
        Some("READONLY") => Fault::Refused("read_only"),
        Some("NOPERM") => Fault::Refused("permission"),
        Some("MISCONF" | "NOREPLICAS") => Fault::Refused("not_taken"),
        Some("NOAUTH" | "WRONGPASS") => Fault::Away("auth"),
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN") => {
            Fault::Away("loading")
        }
        Some(_) => Fault::Foreign("error"),
    }
}
