//! Leases: who of several processes asks for an answer that all of them want.
//!
//! `SET key token NX PX`: the token, random, says whose it is. It is renewed while the call lives, and let go of by
//! compare-and-delete, so that a process that slept takes away nobody else's. One that dies leaves it to run out.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, cmd};
use tokio::task::AbortHandle;

use super::super::marks::{self, Token};
use super::super::tier::Fault;
use super::super::turn::{Lease, Turn};
use super::Redis;
use super::line::Line;

/// How long a process that died is waited for.
const LEASE: Duration = Duration::from_secs(3);

const RELEASE: &str =
    "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0";
const RENEW: &str = "if redis.call('get',KEYS[1])==ARGV[1] then return \
                     redis.call('pexpire',KEYS[1],ARGV[2]) end return 0";

/// A turn of ours. Dropping it lets the next one.
struct Held {
    line: Arc<Line>,
    name: String,
    token: Vec<u8>,
    renewing: AbortHandle,
}

fn script(text: &str, name: &str, token: &[u8]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(1).arg(name).arg(token);
    command
}

impl Redis {
    /// Takes the turn, or says whose it is.
    pub(in super::super) async fn turn(&self, of: &Token) -> Result<Turn, Fault> {
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
            _ => Ok(Turn::Ours(Lease::new(self.held(name, token)))),
        }
    }

    fn held(&self, name: String, token: Vec<u8>) -> Held {
        let (line, clock) = (Arc::clone(&self.line), Arc::clone(self.guard.clock()));
        let mut renew = script(RENEW, &name, &token);
        renew.arg(LEASE.as_millis());
        let every = LEASE.saturating_mul(self.scale) / 3;
        let renewing = tokio::spawn(async move {
            loop {
                clock.sleep(every).await;
                // One that could not be renewed runs out, and another process asks too.
                let renewed = line.ask::<i64>(&renew);
                let _ = tokio::time::timeout(LEASE / 3, renewed).await;
            }
        });
        Held {
            line: Arc::clone(&self.line),
            name,
            token,
            renewing: renewing.abort_handle(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
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
