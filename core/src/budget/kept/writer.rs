//! The thread that writes: what has come together goes into the file in one transaction, and is answered after it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Message, Place, Settings};
use crate::budget::account::Account;
use crate::budget::ledger::{Amount, Ask, Balance, Refused, Short};
use crate::budget::wall_ms;

/// Most messages of one transaction.
const BATCH: usize = 1024;
/// How long a ledger that did not answer is left alone.
const PAUSE: Duration = Duration::from_millis(100);
/// Tries to write what is owed once nobody is left to say anything.
const LAST_TRIES: u32 = 3;
/// Most ends that wait for a file that does not answer. A hold whose end is not among them expires with the process.
const MOST_OWED: usize = 100_000;

/// What a message came to, told once it is kept.
pub(crate) enum Outcome {
    Reserved(Result<(), Vec<Short>>),
    Listed(Vec<(Account, Balance)>),
    Read(Vec<Balance>),
    Nothing,
}

/// Ends that could not be written yet, oldest first.
pub(crate) type Owed = VecDeque<(Arc<Ask>, Option<Amount>)>;

/// What is kept in one go.
pub(crate) struct Round<'a> {
    /// This process, and for how long it is heard of by this, in milliseconds; absent while that is not due.
    pub(crate) owner: i64,
    pub(crate) lease: Option<i64>,
    /// Now, by this process' clock, in milliseconds since 1970.
    pub(crate) now: i64,
    pub(crate) owed: &'a Owed,
    pub(crate) batch: &'a [Message],
}

/// Why a round is not kept.
pub(crate) struct Fault {
    pub(crate) error: String,
    /// It may be, all the same.
    pub(crate) doubts: bool,
}

/// Where rounds are kept.
pub(crate) trait Keeping {
    /// Keeps a round, whole or not at all, and says what came of each message of its batch.
    ///
    /// # Errors
    /// It does not answer.
    fn keep(&mut self, round: &Round<'_>) -> Result<Vec<Outcome>, Fault>;
}

struct Writer<'a> {
    settings: &'a Settings,
    keeping: Box<dyn Keeping + 'a>,
    owed: Owed,
    /// Holds of this process that are open.
    open: HashSet<u128>,
    /// When the lease was last written, and until when it holds, in milliseconds since 1970.
    renewed: Option<(Instant, i64)>,
    /// The last transaction failed.
    fails: bool,
    /// It failed at its very end: what was in it may be in the file.
    doubts: bool,
}

/// Writes until the last handle is gone.
pub(super) fn run(settings: &Settings, receiver: &Receiver<Message>) {
    let mut writer = Writer {
        settings,
        keeping: match &settings.place {
            #[cfg(feature = "sqlite")]
            Place::File(path) => Box::new(crate::budget::sqlite::File::new(path)),
            #[cfg(feature = "postgres")]
            Place::Database(database) => Box::new(crate::budget::postgres::Server::new(database)),
        },
        owed: VecDeque::new(),
        open: HashSet::new(),
        renewed: None,
        fails: false,
        doubts: false,
    };
    let mut batch = Vec::new();
    let mut last_tries = 0;
    loop {
        let mut is_last = false;
        match writer.patience() {
            // Nothing is held and nothing owed: there is nothing to say until somebody speaks.
            None => match receiver.recv() {
                Ok(message) => batch.push(message),
                Err(_) => is_last = true,
            },
            Some(patience) => match receiver.recv_timeout(patience) {
                Ok(message) => batch.push(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_last = true,
            },
        }
        while batch.len() < BATCH
            && let Ok(message) = receiver.try_recv()
        {
            batch.push(message);
        }
        if is_last && (writer.owed.is_empty() || last_tries >= LAST_TRIES) {
            return;
        }
        last_tries += u32::from(is_last);
        writer.write(std::mem::take(&mut batch));
    }
}

impl Writer<'_> {
    /// A third of the lease, in real time.
    fn beat(&self) -> Duration {
        self.settings.lease / 3 / self.settings.scale
    }

    /// How long there is nothing to do.
    fn patience(&self) -> Option<Duration> {
        if !self.owed.is_empty() || (self.fails && !self.open.is_empty()) {
            return Some(PAUSE);
        }
        (!self.open.is_empty()).then(|| {
            let since = self
                .renewed
                .map_or(Duration::MAX, |(renewed, _)| renewed.elapsed());
            self.beat().saturating_sub(since)
        })
    }

    fn write(&mut self, batch: Vec<Message>) {
        self.doubts = false;
        let outcomes = self.try_write(&batch);
        self.fails = outcomes.is_err();
        let failed = outcomes.as_ref().err().map(|fault| {
            self.doubts = fault.doubts;
            let error: Arc<dyn std::error::Error + Send + Sync> =
                Arc::new(Told(fault.error.clone()));
            error
        });
        let unavailable = || Refused::Unavailable(failed.clone());
        let mut outcomes = outcomes.unwrap_or_default().into_iter();
        for message in batch {
            let outcome = outcomes.next();
            match (message, outcome) {
                (Message::Reserve(ask, reply), Some(Outcome::Reserved(outcome))) => {
                    if outcome.is_ok() {
                        self.open.insert(ask.id);
                    }
                    // Whoever does not hear it any more has sent its end.
                    let _ = reply.send(outcome.map_err(Refused::Short));
                }
                (Message::Reserve(ask, reply), _) => {
                    if self.doubts {
                        self.owe(ask, None);
                    }
                    let _ = reply.send(Err(unavailable()));
                }
                (Message::End(ask, _), Some(Outcome::Nothing)) => {
                    self.open.remove(&ask.id);
                }
                (Message::End(ask, charge), _) => {
                    // What was never held and is not charged needs no word.
                    if charge.is_some() || self.doubts || self.open.contains(&ask.id) {
                        self.owe(ask, charge);
                    }
                }
                (Message::List(_, reply), Some(Outcome::Listed(found))) => {
                    let _ = reply.send(Ok(found));
                }
                (Message::List(_, reply), _) => {
                    let _ = reply.send(Err(unavailable()));
                }
                (Message::Read(_, reply), Some(Outcome::Read(found))) => {
                    let _ = reply.send(Ok(found));
                }
                (Message::Read(_, reply), _) => {
                    let _ = reply.send(Err(unavailable()));
                }
                (Message::Flush(reply), _) => {
                    let _ = reply.send(());
                }
            }
        }
    }

    fn owe(&mut self, ask: Arc<Ask>, charge: Option<Amount>) {
        if self.owed.len() < MOST_OWED {
            self.owed.push_back((ask, charge));
        }
    }

    fn try_write(&mut self, batch: &[Message]) -> Result<Vec<Outcome>, Fault> {
        let settings = self.settings;
        let beat = self.beat();
        let now = wall_ms(&*settings.clock);
        // The lease is due while something is held, and before anything is. A machine that slept finds it over by the date.
        let lease = i64::try_from(settings.lease.as_millis()).unwrap_or(i64::MAX);
        let due = self.renewed.is_none_or(|(renewed, until)| {
            renewed.elapsed() >= beat || until.saturating_sub(now) < lease / 2
        });
        let holds = !self.open.is_empty()
            || batch
                .iter()
                .any(|message| matches!(message, Message::Reserve(..)));
        let renews = due && holds;
        let outcomes = self.keeping.keep(&Round {
            owner: settings.owner,
            lease: renews.then_some(lease),
            now,
            owed: &self.owed,
            batch,
        })?;
        if renews {
            self.renewed = Some((Instant::now(), now.saturating_add(lease)));
        }
        for (ask, _) in self.owed.drain(..) {
            self.open.remove(&ask.id);
        }
        Ok(outcomes)
    }
}

/// A database's error, which itself cannot be shared.
#[derive(Debug)]
struct Told(String);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Told {}
