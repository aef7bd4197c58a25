//! Accepting connections and serving each: HTTP/1.1 and HTTP/2, told apart by their first bytes, with or without TLS.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Sleep, sleep};
use tonic::codegen::Service;

use crate::grpc::resume::Broken;

use super::tls::Certificates;

/// Bytes no request is shorter than, and all of HTTP/2's greeting.
const FIRST_BYTES: usize = 24;
/// How long a connection without a request may send one while the server drains.
const LATE_PATIENCE: Duration = Duration::from_millis(500);
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long a client may take to agree on TLS.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// A byte stream from a client.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// No new connections; those there are end with their requests.
    Draining,
    /// All connections end now.
    Cut,
}

/// A listener's settings.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) router: Router,
    pub(super) tls: Option<Arc<Certificates>>,
    pub(super) room: Arc<Semaphore>,
    pub(super) header_bytes: usize,
    pub(super) header_patience: Duration,
    pub(super) streams: u32,
    pub(super) phase: watch::Receiver<Phase>,
    /// Held by everything that serves; the server waits until nobody holds it.
    pub(super) _alive: mpsc::Sender<Infallible>,
}

impl Listening {
    /// Accepts until the server drains.
    pub(super) async fn accept(self, listener: TcpListener) {
        loop {
            let mut phase = self.phase.clone();
            let next = async {
                let room = Arc::clone(&self.room).acquire_owned().await;
                (room, listener.accept().await)
            };
            let next = tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase >= Phase::Draining) => None,
                next = next => Some(next),
            };
            let Some((room, accepted)) = next else {
                return self.accept_waiting(&listener).await;
            };
            match (room, accepted) {
                (Ok(room), Ok((socket, _))) => {
                    tokio::spawn(self.clone().serve(socket, room));
                }
                (Err(_), _) => return,
                (_, Err(error)) => {
                    // Out of file descriptors, most likely: some will come free.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Takes those that have connected already: they get an answer, if only that the server is shutting down.
    async fn accept_waiting(self, listener: &TcpListener) {
        while let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            let waiting = std::future::poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
            let Poll::Ready(Ok((socket, _))) = waiting else {
                return;
            };
            tokio::spawn(self.clone().serve(socket, room));
        }
    }

    async fn serve(mut self, socket: TcpStream, _room: OwnedSemaphorePermit) {
        // Events are small and must not wait for more.
        let _ = socket.set_nodelay(true);
        let socket: Box<dyn Io> = match &self.tls {
            None => Box::new(socket),
            Some(certificates) => {
                let patience = HANDSHAKE_PATIENCE.min(self.header_patience);
                let handshake = tokio::time::timeout(patience, certificates.accept(socket));
                let done = tokio::select! {
                    done = handshake => done,
                    _ = self.phase.wait_for(|phase| *phase == Phase::Cut) => return,
                };
                match done {
                    Ok(Ok(stream)) => Box::new(stream),
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "no TLS with a client");
                        return;
                    }
                    Err(_) => return,
                }
            }
        };
        let spoke = Arc::new(AtomicBool::new(false));
        let broken = Broken::default();
        let io = TokioIo::new(Greeted {
            socket,
            got: 0,
            spoke: Arc::clone(&spoke),
            broken: broken.clone(),
            patience: Box::pin(sleep(self.header_patience)),
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_patience)
            .max_buf_size(self.header_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_concurrent_streams(self.streams)
            .max_header_list_size(u32::try_from(self.header_bytes).unwrap_or(u32::MAX));
        let connection = builder.serve_connection(
            io,
            TowerToHyperService::new(Marked {
                router: self.router,
                broken,
            }),
        );
        tokio::pin!(connection);
        let mut draining = false;
        loop {
            let least = if draining {
                Phase::Cut
            } else {
                Phase::Draining
            };
            let phase = tokio::select! {
                // How a client ends its connection is its own affair.
                _ = connection.as_mut() => return,
                phase = self.phase.wait_for(|phase| *phase >= least) => phase.map_or(Phase::Cut, |phase| *phase),
            };
            if phase == Phase::Cut {
                return;
            }
            draining = true;
            if !spoke.load(Ordering::Relaxed) {
                // Its request may be on the way; closing now would look like a fault.
                let finished = tokio::time::timeout(LATE_PATIENCE, connection.as_mut()).await;
                if finished.is_ok() {
                    return;
                }
            }
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// The routes, with the state of the connection beside every request.
#[derive(Clone)]
struct Marked {
    router: Router,
    broken: Broken,
}

impl<B> Service<Request<B>> for Marked
where
    Router: Service<Request<B>>,
{
    type Response = <Router as Service<Request<B>>>::Response;
    type Error = <Router as Service<Request<B>>>::Error;
    type Future = <Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.broken.clone());
        self.router.call(request)
    }
}

/// A connection that must say something soon: until HTTP's version is known, nothing else limits its silence.
struct Greeted {
    socket: Box<dyn Io>,
    got: usize,
    /// Something has come.
    spoke: Arc<AtomicBool>,
    /// It has ended, from the other side or on the way.
    broken: Broken,
    patience: Pin<Box<Sleep>>,
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.got < FIRST_BYTES && self.patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        let more = buf.filled().len() - before;
        if matches!(&polled, Poll::Ready(read) if read.is_err() || more == 0) {
            self.broken.set();
        }
        if self.got == 0 && more > 0 {
            self.spoke.store(true, Ordering::Relaxed);
        }
        self.got = self.got.saturating_add(more);
        polled
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }
}
