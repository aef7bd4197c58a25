//! A network that fails by seed: a proxy that cuts, stalls, delays, half-closes, garbles and resets what passes through.
//!
//! Each connection draws its fate from the seed and its number when it is accepted, so a seed repeats the fates.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use crate::chance::Chance;

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Well,
    /// Closed, or reset, when it is opened.
    Refused {
        /// With RST rather than FIN.
        reset: bool,
    },
    /// Something happens when so many bytes have passed one way.
    At {
        /// How many.
        bytes: u64,
        /// Towards the client; otherwise towards the server.
        down: bool,
        /// What.
        fault: Fault,
    },
    /// Every piece waits so long, and is cut so small.
    Slow {
        /// Milliseconds for each piece.
        ms: u64,
        /// Bytes of each piece.
        piece: usize,
    },
}

/// What happens in the middle of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both sides are closed.
    Cut,
    /// Both sides are reset.
    Reset,
    /// Nothing passes any more, either way, and nothing is closed.
    Stall,
    /// This direction ends, the other goes on.
    HalfClose,
    /// The top bit of one byte is turned over.
    Garble,
    /// Nothing passes this way for 200 ms.
    Pause,
}

const FAULTS: [Fault; 6] = [
    Fault::Cut,
    Fault::Reset,
    Fault::Stall,
    Fault::HalfClose,
    Fault::Garble,
    Fault::Pause,
];

/// How a network behaves.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Of a hundred connections so many meet something.
    pub faulty: u64,
    /// Whether bytes may be garbled: without TLS nothing notices it below the format.
    pub garbles: bool,
}

impl Weather {
    fn fate(&self, chance: &mut Chance) -> Fate {
        if !chance.percent(self.faulty) {
            return Fate::Well;
        }
        match chance.below(8) {
            0 => Fate::Refused {
                reset: chance.percent(50),
            },
            1 => Fate::Slow {
                ms: chance.below(4),
                piece: usize::try_from(1 + chance.below(64)).unwrap_or(1),
            },
            _ => {
                // Mostly in the first answers: heads, first events, the frames that open a connection.
                let reach = [200, 2_000, 20_000][usize::try_from(chance.below(3)).unwrap_or(0)];
                let bytes = chance.below(reach);
                let down = chance.percent(70);
                let fault = FAULTS[usize::try_from(chance.below(6)).unwrap_or(0)];
                let fault = match fault {
                    Fault::Garble if !self.garbles => Fault::Cut,
                    fault => fault,
                };
                Fate::At { bytes, down, fault }
            }
        }
    }
}

/// A running proxy; dropped, it takes every connection with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    task: AbortHandle,
    faults: Arc<AtomicU64>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on a free port of this machine and passes connections on to `to`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(to: SocketAddr, weather: Weather, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let faults = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&faults);
        let task = tokio::spawn(async move {
            let mut chance = Chance::new(seed);
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((client, _)) = accepted {
                        let fate = weather.fate(&mut chance);
                        if fate != Fate::Well {
                            counted.fetch_add(1, Ordering::Relaxed);
                        }
                        open.spawn(connection(client, to, fate));
                    },
                    Some(_) = open.join_next() => {}
                }
            }
        })
        .abort_handle();
        Ok(Self {
            address,
            task,
            faults,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections met something so far.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

async fn connection(client: TcpStream, to: SocketAddr, fate: Fate) {
    if let Fate::Refused { reset } = fate {
        if reset {
            let _ = client.set_zero_linger();
        }
        return;
    }
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    if matches!(
        fate,
        Fate::At {
            fault: Fault::Reset,
            ..
        }
    ) {
        // A socket that is dropped with zero linger is reset; whole transfers are not hurt by it.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
    let stalled = Notify::new();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pass(from_client, to_server, fate, false, &stalled);
    let down = pass(from_server, to_client, fate, true, &stalled);
    tokio::pin!(up, down);
    let mut ended = (false, false);
    loop {
        let over = tokio::select! {
            over = &mut up, if !ended.0 => { ended.0 = true; over }
            over = &mut down, if !ended.1 => { ended.1 = true; over }
            () = stalled.notified() => {
                // Held open for as long as the proxy lives.
                std::future::pending::<()>().await;
                true
            }
        };
        if over || ended == (true, true) {
            return;
        }
    }
}

/// Copies one direction; true when the whole connection is to end with it.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    fate: Fate,
    down: bool,
    stalled: &Notify,
) -> bool {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0_u64;
    loop {
        let Ok(n) = from.read(&mut buffer).await else {
            return true;
        };
        let Some(bytes) = buffer.get_mut(..n).filter(|bytes| !bytes.is_empty()) else {
            // The sender is done; the other direction may go on.
            return to.shutdown().await.is_err();
        };
        let sent = match fate {
            Fate::Slow { ms, piece } => slowly(&mut to, bytes, ms, piece).await,
            Fate::At {
                bytes: at,
                down: towards_client,
                fault,
            } if towards_client == down && (passed..passed + n as u64).contains(&at) => {
                let (before, after) = bytes.split_at_mut(usize::try_from(at - passed).unwrap_or(0));
                if to.write_all(before).await.is_err() {
                    return true;
                }
                match fault {
                    Fault::Cut | Fault::Reset => return true,
                    Fault::Stall => {
                        stalled.notify_one();
                        std::future::pending::<()>().await;
                    }
                    Fault::HalfClose => {
                        let _ = to.shutdown().await;
                        // What still comes is read and dropped, as by a peer that has lost interest.
                        while from.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
                        return false;
                    }
                    Fault::Garble => {
                        if let Some(byte) = after.first_mut() {
                            *byte ^= 0x80;
                        }
                    }
                    Fault::Pause => tokio::time::sleep(Duration::from_millis(200)).await,
                }
                to.write_all(after).await
            }
            _ => to.write_all(bytes).await,
        };
        if sent.is_err() {
            return true;
        }
        passed += n as u64;
    }
}

async fn slowly(to: &mut OwnedWriteHalf, bytes: &[u8], ms: u64, piece: usize) -> io::Result<()> {
    for piece in bytes.chunks(piece.max(1)) {
        to.write_all(piece).await?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    Ok(())
}
