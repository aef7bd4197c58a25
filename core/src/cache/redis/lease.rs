//! Leases: who of several processes asks for an answer that all of them want.
//!
//! `SET key token NX PX`: the token, random, says whose it is. It is renewed while the call lives, and let go of by
//! compare-and-delete, so that a process that slept takes away nobody else's. One that dies leaves it to run out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use redis::{Cmd, cmd};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::super::envelope::Sealer;
use super::super::marks::{self, Token};
use super::super::tier::Fault;
use super::super::turn::{self, Lease, Turn};
use super::Redis;
use super::line::Line;
use super::relay::Place;
use crate::retry::Clock;
use crate::types::StreamEvent;

/// How long a process that died is waited for.
const LEASE: Duration = Duration::from_secs(3);
/// How often the holder of a stream looks whether anybody wants its events as they come.
const LOOK: Duration = Duration::from_millis(250);
/// Events of a stream that go in one piece, and pieces that may wait to go.
const PIECE: usize = 256;
const PIECES: usize = 256;
/// Whether anybody follows a stream; once a piece could not go, nobody does any more.
const NOBODY: u8 = 0;
const WANTED: u8 = 1;
const OVER: u8 = 2;

const RELEASE: &str =
    "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0";
const RENEW: &str = "if redis.call('get',KEYS[1])==ARGV[1] then return \
                     redis.call('pexpire',KEYS[1],ARGV[2]) end return 0";

/// A turn of ours. Dropping it lets the next one.
struct Held {
    line: Arc<Line>,
    name: String,
    token: Vec<u8>,
    keeping: AbortHandle,
    following: Arc<AtomicU8>,
    pieces: mpsc::Sender<Piece>,
}

/// Some events of a stream, and the number of the first.
type Piece = (usize, Vec<StreamEvent>);

impl turn::Held for Held {
    fn is_followed(&self) -> bool {
        self.following.load(Relaxed) == WANTED
    }

    fn give_on(&self, mut first: usize, events: &[StreamEvent]) {
        for piece in events.chunks(PIECE) {
            if self.pieces.try_send((first, piece.to_vec())).is_err() {
                // What follows a gap is of no use; who follows waits for the whole.
                self.following.store(OVER, Relaxed);
                return;
            }
            first += piece.len();
        }
    }
}

/// What keeps a turn while its call lives.
struct Keeper {
    line: Arc<Line>,
    clock: Arc<dyn Clock>,
    renew: Cmd,
    scale: u32,
    /// Of a stream that may be given on.
    relay: Option<(Place, Arc<Sealer>)>,
    following: Arc<AtomicU8>,
}

impl Keeper {
    /// Renews the lease, looks whether somebody follows, and gives on what there is, until it is dropped.
    async fn keep(self, mut pieces: mpsc::Receiver<Piece>) {
        let renewal = LEASE.saturating_mul(self.scale) / 3;
        let look = match &self.relay {
            Some(_) => LOOK.saturating_mul(self.scale),
            None => renewal,
        };
        let (mut renewed, mut looked) = (self.clock.now(), self.clock.now());
        loop {
            let now = self.clock.now();
            let next = look.saturating_sub(now.saturating_sub(looked));
            tokio::select! {
                biased;
                () = self.clock.sleep(next) => {
                    let now = self.clock.now();
                    looked = now;
                    if now.saturating_sub(renewed) >= renewal {
                        renewed = now;
                        // One that could not be renewed runs out, and another process asks too.
                        let _ = self.asked::<i64>(&self.renew).await;
                    }
                    if let Some((place, _)) = &self.relay
                        && self.following.load(Relaxed) == NOBODY
                        && self.asked::<i64>(&place.is_wanted()).await == Some(1)
                    {
                        self.following.store(WANTED, Relaxed);
                    }
                }
                Some((first, events)) = pieces.recv() => {
                    if !self.given(first, &events).await {
                        self.following.store(OVER, Relaxed);
                    }
                }
            }
        }
    }

    async fn given(&self, first: usize, events: &[StreamEvent]) -> bool {
        let Some((place, sealer)) = &self.relay else {
            return false;
        };
        match place.append(sealer, first, events) {
            Some(append) => self.asked::<i64>(&append).await.is_some(),
            None => false,
        }
    }

    async fn asked<T: redis::FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let asked = tokio::time::timeout(LEASE / 3, self.line.ask::<T>(command));
        asked.await.ok()?.ok()
    }
}

fn script(text: &str, name: &str, token: &[u8]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(1).arg(name).arg(token);
    command
}

impl Redis {
    /// Takes the turn, or says whose it is. A stream's may be given on while it comes.
    pub(in super::super) async fn turn(&self, of: &Token, relays: bool) -> Result<Turn, Fault> {
        let name = format!("{}turns:{:032x}", self.prefix, u128::from_be_bytes(*of));
        let token = marks::fresh().ok_or(Fault::Away("no_randomness"))?.to_vec();
        let asked = async {
            let mut take = cmd("SET");
            take.arg(&name)
                .arg(&token)
                .arg("NX")
                .arg("PX")
                .arg(LEASE.as_millis());
            if self.line.ask::<Option<String>>(&take).await?.is_some() {
                return Ok(None);
            }
            let theirs: Option<Vec<u8>> = self.line.ask(cmd("GET").arg(&name)).await?;
            match theirs {
                // What is no lease may never run out.
                Some(theirs) if theirs.len() != token.len() => Err(Fault::Foreign("foreign")),
                theirs => Ok(Some(theirs)),
            }
        };
        match self.told(self.guard.within(asked).await)? {
            Some(None) => Ok(Turn::Nobodys),
            // Sent twice over a connection that broke, it is ours all the same.
            Some(Some(theirs)) if theirs != token => Ok(Turn::Theirs(theirs)),
            _ => {
                let relay = relays.then(|| Place::new(&self.prefix, of, &token));
                Ok(Turn::Ours(Lease::new(self.held(name, token, relay))))
            }
        }
    }

    fn held(&self, name: String, token: Vec<u8>, relay: Option<Place>) -> Held {
        let mut renew = script(RENEW, &name, &token);
        renew.arg(LEASE.as_millis());
        let following = Arc::new(AtomicU8::new(NOBODY));
        let keeper = Keeper {
            line: Arc::clone(&self.line),
            clock: Arc::clone(self.guard.clock()),
            renew,
            scale: self.scale,
            relay: relay.map(|place| (place, Arc::clone(&self.sealer))),
            following: Arc::clone(&following),
        };
        let (pieces, waiting) = mpsc::channel(PIECES);
        Held {
            line: Arc::clone(&self.line),
            name,
            token,
            keeping: tokio::spawn(keeper.keep(waiting)).abort_handle(),
            following,
            pieces,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeping.abort();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (line, release) = (
            Arc::clone(&self.line),
            script(RELEASE, &self.name, &self.token),
        );
        runtime.spawn(async move {
            let _ = tokio::time::timeout(LEASE, line.ask::<i64>(&release)).await;
        });
    }
}
