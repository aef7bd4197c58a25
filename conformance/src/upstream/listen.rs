//! Ports: the shared one, those that refuse, close, reset, hang or never accept, and those of other protocols.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Target};
use super::wire::Wire;
use super::{Scripted, State, h2, lock, redis};
use crate::script::Listen;

/// Connections are numbered over the whole process, so that a number in a log means one connection.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

pub(super) async fn accept_shared(listener: TcpListener, state: Arc<State>) {
    while let Some(stream) = accept(&listener).await {
        let number = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
        let target = Target::Shared(state.clone());
        tokio::spawn(connection::serve(Wire::Plain(stream), number, target));
    }
}

/// The next connection; `None` when the listener is broken for good. Running out of descriptors passes.
pub(super) async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    for _ in 0..100 {
        if let Ok((stream, _)) = listener.accept().await
            && stream.set_nodelay(true).is_ok()
        {
            return Some(stream);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

/// Opens a port of a script's own.
pub(super) async fn open(
    how: Listen,
    tls: Option<TlsAcceptor>,
    scripted: Arc<Scripted>,
) -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = socket.local_addr()?;
    let task = match how {
        // A bound socket that does not listen refuses, and keeps the port from being given to anybody else.
        Listen::Refuse => {
            let stopped = scripted.stopped.subscribe();
            tokio::spawn(async move {
                let _held = socket;
                until_stopped(stopped).await;
            })
        }
        Listen::NoAccept => {
            let listener = socket.listen(1)?;
            let filling = fill(address).await;
            let stopped = scripted.stopped.subscribe();
            tokio::spawn(async move {
                let _held = (listener, filling);
                until_stopped(stopped).await;
            })
        }
        _ => {
            let listener = socket.listen(1024)?;
            tokio::spawn(accept_own(listener, how, tls, scripted.clone()))
        }
    };
    lock(&scripted.tasks).push(task.abort_handle());
    Ok(address)
}

async fn until_stopped(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // An error means that the script is gone, which is the same to us.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Takes up the whole backlog: once a connection attempt hangs, every later one does too.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut held = Vec::new();
    while held.len() < 64 {
        match tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => held.push(stream),
            _ => break,
        }
    }
    held
}

async fn accept_own(
    listener: TcpListener,
    how: Listen,
    tls: Option<TlsAcceptor>,
    scripted: Arc<Scripted>,
) {
    let mut hanging = Vec::new();
    while let Some(stream) = accept(&listener).await {
        let number = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
        scripted.change(|seen| seen.log.connections.push(number));
        match how {
            Listen::AcceptClose => drop(stream),
            Listen::AcceptReset => Wire::Plain(stream).reset(),
            Listen::AcceptHang => hanging.push(stream),
            _ => {
                let (tls, scripted) = (tls.clone(), scripted.clone());
                tokio::spawn(async move {
                    let wire = match tls {
                        None => Wire::Plain(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Wire::Encrypted(Box::new(stream)),
                            Err(_) => return,
                        },
                    };
                    match how {
                        Listen::H2 => h2::serve(wire, number, scripted).await,
                        Listen::Redis => redis::serve(wire, number, scripted).await,
                        _ => connection::serve(wire, number, Target::Own(scripted)).await,
                    }
                });
            }
        }
    }
}
