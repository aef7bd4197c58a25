//! The tier that processes and machines share: Redis, Valkey, or what speaks like them.
//!
//! One connection carries all commands, each as soon as it is made, without waiting for the one before. It is made in the
//! background when the first look needs it and again after it broke; who looks meanwhile waits for it no longer than for
//! an answer. Answers are read with `GETRANGE`, so that no value there, whoever wrote it, is larger here than an answer may
//! be. Nothing a server says and nothing of its URL is ever shown: faults have names of our own.

mod lease;
mod line;
mod marks;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::config::{Address, RedisCache};
use super::envelope::{Kind, Sealer, Times};
use super::tier::{Fault, Guard};
use super::{Found, Kept, Scopes, parse};
use crate::call::key::Key;
use crate::client::Config;
use crate::error::Result;
use crate::types::CacheTier;
use line::Line;
pub(super) use marks::Known;
pub(crate) use relay::Follow;

/// Most writes under way at once.
const WRITES: usize = 16;
/// Answers above this size are opened and sealed on a blocking thread.
const LARGE: usize = 64 << 10;

/// What a look gave.
struct Looked {
    found: Option<Found>,
    /// Why one of the keys gave nothing.
    fault: Option<Fault>,
    known: Known,
}

/// The Redis tier.
pub(super) struct Redis {
    pub(super) guard: Guard,
    line: Arc<Line>,
    prefix: String,
    sealer: Arc<Sealer>,
    writes: Semaphore,
    /// How much faster than the machine's the clock runs.
    scale: u32,
}

impl Redis {
    pub(super) fn new(
        guard: Guard,
        settings: &RedisCache,
        secret: Option<[u8; 32]>,
        config: &Config,
    ) -> Result<Self> {
        let address = Address::parse(settings.url.as_ref().unwrap_or(&"".into()))?;
        let patience = Duration::from_millis(config.timeouts.connect_ms);
        let size =
            |bytes: u64| usize::try_from(bytes.min(u64::from(u32::MAX))).unwrap_or(usize::MAX);
        Ok(Self {
            guard,
            line: Arc::new(Line::new(address, patience, config)?),
            prefix: settings.prefix.clone(),
            sealer: Arc::new(Sealer::new(
                secret,
                size(settings.compress_from_bytes),
                size(settings.max_entry_bytes),
            )),
            writes: Semaphore::new(WRITES),
            scale: config.testing.time_scale.unwrap_or(1).max(1),
        })
    }

    /// `ossai:completions:` and the digest. Another version of the envelope finds its own bytes broken and writes anew.
    fn name(&self, kind: Kind, key: &Key) -> String {
        format!("{}{}:{}", self.prefix, kind.name(), key.hex())
    }

    /// The best of what is kept under these keys: fresh before stale, in their order; and the marks, where it could be
    /// asked for them.
    pub(super) async fn find(
        &self,
        kind: Kind,
        keys: &[Key],
        scopes: &Scopes,
        now: u64,
    ) -> (std::result::Result<Option<Found>, Fault>, Option<Known>) {
        let look = self.look(kind, keys, scopes, now);
        match self.told(self.guard.within(look).await) {
            Err(fault) => (Err(fault), None),
            Ok(Looked {
                found,
                fault,
                known,
            }) => {
                let fault = fault.filter(|_| found.is_none());
                let found = match fault {
                    None => Ok(found),
                    Some(fault) => {
                        self.guard.note(fault);
                        Err(fault)
                    }
                };
                (found, Some(known))
            }
        }
    }

    fn told<T>(&self, outcome: std::result::Result<T, Fault>) -> std::result::Result<T, Fault> {
        if matches!(outcome, Err(Fault::Away("timeout"))) {
            self.line.hang_up();
        }
        outcome
    }

    async fn look(
        &self,
        kind: Kind,
        keys: &[Key],
        scopes: &Scopes,
        now: u64,
    ) -> std::result::Result<Looked, Fault> {
        let most = self.sealer.max_bytes();
        let asked = keys.iter().map(|key| async move {
            let mut command = ::redis::cmd("GETRANGE");
            // One byte more than may be: what is longer is not ours, and found out by it.
            command.arg(self.name(kind, key)).arg(0).arg(most);
            self.line.ask::<Vec<u8>>(&command).await
        });
        let ids = scopes.asked();
        let (answers, known) = futures_util::future::join(
            futures_util::future::join_all(asked),
            self.read_marks(&ids),
        )
        .await;
        let known = known?;
        let mut best: Option<Found> = None;
        let mut fault = None;
        for (key, answer) in keys.iter().zip(answers) {
            let bytes = match answer {
                Ok(bytes) if bytes.is_empty() => continue,
                Ok(bytes) => bytes,
                Err(why @ Fault::Foreign(_)) => {
                    fault = Some(why);
                    continue;
                }
                Err(why) => return Err(why),
            };
            let Some(found) = self.open(kind, *key, bytes).await else {
                fault = Some(Fault::Foreign("foreign"));
                continue;
            };
            let of = scopes.of(found.label.tags.as_ref());
            if now >= found.times.kept_until || !self.counts(&known, &of, found.label.redis).await?
            {
                continue;
            }
            if found.times.is_fresh(now) {
                best = Some(found);
                break;
            }
            best = best.or(Some(found));
        }
        Ok(Looked {
            found: best,
            fault,
            known,
        })
    }

    async fn open(&self, kind: Kind, key: Key, bytes: Vec<u8>) -> Option<Found> {
        let sealer = Arc::clone(&self.sealer);
        let open = move |bytes| {
            let (times, body) = sealer.open(kind, &key, bytes).ok()?;
            let (label, value) = parse(kind, &body)?;
            Some(Found::new(CacheTier::Redis, key, times, label, value))
        };
        if bytes.len() <= LARGE {
            return open(bytes);
        }
        tokio::task::spawn_blocking(move || open(bytes))
            .await
            .ok()?
    }

    /// Keeps an answer.
    pub(super) async fn keep(&self, kept: &Arc<Kept>, times: Times, now: u64) {
        let left = times.kept_until.saturating_sub(now);
        if !self.guard.takes_writes() || left == 0 {
            return self.guard.dropped();
        }
        let _turn = self.writes.acquire().await;
        let (sealer, sealed) = (Arc::clone(&self.sealer), Arc::clone(kept));
        let seal = move || sealer.seal(sealed.kind, &sealed.key, &times, sealed.body()?);
        let sealed = if kept.value.bytes() <= LARGE {
            seal()
        } else {
            tokio::task::spawn_blocking(seal).await.ok().flatten()
        };
        let Some(sealed) = sealed else {
            return self.guard.dropped();
        };
        let mut command = ::redis::cmd("SET");
        command
            .arg(self.name(kept.kind, &kept.key))
            .arg(sealed)
            .arg("PX")
            .arg(left.min(MOST_PX));
        match self.told(self.guard.within(self.line.ask::<()>(&command)).await) {
            Ok(()) => self.guard.stored(),
            Err(_) => self.guard.dropped(),
        }
    }
}

/// About three thousand years: what a server adds to its own clock must not overflow.
const MOST_PX: u64 = 100_000_000_000_000;
