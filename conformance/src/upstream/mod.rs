//! The scripted upstream: one port for control, one shared by all scripts, and ports of their own for those that ask.
//!
//! HTTP/1.1, HTTP/2 and Redis' protocol are written by hand on plain sockets, because a library would put right what a
//! script wants wrong. Each protocol is a module over the same `Scripted` state and log.

mod connection;
mod control;
mod h2;
mod hpack;
mod http1;
mod listen;
mod log;
mod redis;
mod wire;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) use http1::header_object;
pub use log::{Entry, Log, Outcome};

use crate::script::{Listen, Response, Script, Submission};

/// A running upstream; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    control: SocketAddr,
    tasks: Vec<tokio::task::AbortHandle>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl Server {
    /// Starts on free loopback ports.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> std::io::Result<Self> {
        let shared = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let state = Arc::new(State::new(shared.local_addr()?));
        let address = control.local_addr()?;
        let tasks = vec![
            tokio::spawn(listen::accept_shared(shared, state.clone())).abort_handle(),
            tokio::spawn(control::accept(control, state)).abort_handle(),
        ];
        Ok(Self {
            control: address,
            tasks,
        })
    }

    /// Where scripts are registered and logs read.
    #[must_use]
    pub fn control(&self) -> SocketAddr {
        self.control
    }
}

/// Everything the connections share.
#[derive(Debug)]
struct State {
    shared: SocketAddr,
    scripts: Mutex<HashMap<String, Arc<Scripted>>>,
    next_script: AtomicU64,
}

impl State {
    fn new(shared: SocketAddr) -> Self {
        Self {
            shared,
            scripts: Mutex::default(),
            next_script: AtomicU64::new(1),
        }
    }

    fn script(&self, id: &str) -> Option<Arc<Scripted>> {
        lock(&self.scripts).get(id).cloned()
    }

    /// Registers a script and returns what it is known by: `{"id", "base_url", "authority"}`.
    async fn register(&self, value: Value) -> Result<Value, String> {
        let script = Script::parse(value)?;
        let id = format!("s{}", self.next_script.fetch_add(1, Ordering::Relaxed));
        let listen = script.listen;
        let protocol: &[u8] = match listen {
            Listen::H2 => b"h2",
            _ => b"http/1.1",
        };
        let identity = script
            .tls
            .as_ref()
            .map(|tls| wire::identity(tls, protocol))
            .transpose()?;
        let scripted = Arc::new(Scripted::new(script));
        let base_url = match listen {
            Listen::Shared => format!("http://{}/{id}", self.shared),
            own => {
                let acceptor = identity.as_ref().map(|identity| identity.acceptor.clone());
                let scheme = if acceptor.is_some() { "https" } else { "http" };
                let address = listen::open(own, acceptor, scripted.clone())
                    .await
                    .map_err(|e| format!("cannot listen: {e}"))?;
                format!("{scheme}://{address}")
            }
        };
        lock(&self.scripts).insert(id.clone(), scripted);
        let authority = identity.map(|identity| identity.authority);
        Ok(json!({"id": id, "base_url": base_url, "authority": authority}))
    }

    fn remove(&self, id: &str) -> bool {
        match lock(&self.scripts).remove(id) {
            Some(script) => {
                script.stop();
                true
            }
            None => false,
        }
    }
}

/// A registered script with what it has seen.
#[derive(Debug)]
struct Scripted {
    script: Script,
    scale: f64,
    started: Instant,
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
    stopped: watch::Sender<bool>,
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

#[derive(Debug, Default)]
struct Seen {
    used: Vec<u64>,
    /// Of a Redis: what it keeps, and how often each command came.
    kept: HashMap<Vec<u8>, Vec<u8>>,
    commands: HashMap<String, usize>,
    log: Log,
}

impl Scripted {
    fn new(script: Script) -> Self {
        Self {
            scale: script.time_scale.unwrap_or(1.0),
            seen: Mutex::new(Seen {
                used: vec![0; script.responses.len()],
                ..Seen::default()
            }),
            script,
            started: Instant::now(),
            changed: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
            tasks: Mutex::default(),
        }
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
        lock(&self.tasks)
            .iter()
            .for_each(tokio::task::AbortHandle::abort);
    }

    /// Milliseconds of the case since the script was registered.
    fn now_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0 * self.scale
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut lock(&self.seen));
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn log(&self) -> Log {
        lock(&self.seen).log.clone()
    }

    /// Logs a request, picks its response and returns the number of the request with it.
    fn take(&self, mut entry: Entry) -> (u64, Option<Response>) {
        let mut taken = (0, None);
        self.change(|seen| {
            let number = seen.log.requests.len() as u64 + 1;
            entry.number = number;
            let left = self
                .script
                .responses
                .iter()
                .enumerate()
                .find(|(i, response)| {
                    let used = seen.used.get(*i).copied().unwrap_or(0);
                    used < response.times.unwrap_or(1)
                        && http1::applies(response.when.as_ref(), &entry)
                });
            entry.response = left.map(|(i, _)| i);
            if let Some(used) = left.and_then(|(i, _)| seen.used.get_mut(i)) {
                *used += 1;
            }
            let response = left
                .map(|(_, response)| response)
                .or(self.script.default.as_deref());
            taken = (number, response.cloned());
            seen.log.requests.push(entry);
        });
        taken
    }

    /// What made batches before this request.
    fn submissions(&self, before: u64) -> Vec<Submission> {
        let seen = lock(&self.seen);
        let earlier = seen.log.requests.iter();
        earlier
            .filter(|entry| entry.number < before && Submission::is_one(&entry.method, &entry.path))
            .map(|entry| Submission {
                path: entry.path.clone(),
                body: entry.body.clone(),
            })
            .collect()
    }

    /// Changes the log entry of a request.
    fn note(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        self.change(|seen| {
            if let Some(entry) = seen
                .log
                .requests
                .iter_mut()
                .find(|entry| entry.number == number)
            {
                change(entry);
            }
        });
    }
}

fn unix_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64() * 1000.0)
}

/// A poisoned lock only says that another task panicked; the log is still what was seen.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
