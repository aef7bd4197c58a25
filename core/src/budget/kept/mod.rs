//! A ledger outside of the process: in a file for those of one machine, in a database for those of many.
//!
//! One thread of the process owns the connection and writes whatever has come together in one transaction, so that a
//! thousand calls at once cost a few syncs of the disk and not a thousand. The guard of a hold only sends a message. A
//! process that dies leaves its holds behind: its lease runs out, and whoever writes next charges them.

mod writer;

use std::convert::Infallible;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::account::Account;
use super::ledger::{Amount, Ask, Balance, Ledger, Refused, Reply};
use crate::retry::Clock;

pub(super) use writer::{Fault, Keeping, Outcome, Round};

/// Where a ledger is.
#[derive(Debug)]
pub(crate) enum Place {
    /// SQLite.
    #[cfg(feature = "sqlite")]
    File(std::path::PathBuf),
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Database(Box<crate::transport::postgres::Database>),
}

/// How a ledger is kept.
pub(crate) struct Settings {
    pub(crate) place: Place,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Duration,
    /// How many times faster than real the clock runs.
    pub(crate) scale: u32,
    /// This process, among those that share it.
    pub(crate) owner: i64,
}

/// What the thread is told.
pub(crate) enum Message {
    Reserve(Arc<Ask>, oneshot::Sender<Result<(), Refused>>),
    End(Arc<Ask>, Option<Amount>),
    List(
        i64,
        oneshot::Sender<Result<Vec<(Account, Balance)>, Refused>>,
    ),
    Read(Vec<Account>, oneshot::Sender<Result<Vec<Balance>, Refused>>),
    Flush(oneshot::Sender<()>),
}

/// The handle. The thread begins with the first message and ends when the last handle is gone and all is written.
pub(crate) struct Kept {
    settings: Arc<Settings>,
    /// Absent where the system gave no thread.
    thread: OnceLock<Option<Thread>>,
}

/// The way to the thread, and what ends with it.
struct Thread {
    sender: Sender<Message>,
    over: Mutex<Receiver<Infallible>>,
}

/// How long the last handle waits for what was said before it.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("place", &self.settings.place)
            .finish_non_exhaustive()
    }
}

impl Kept {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            thread: OnceLock::new(),
        }
    }

    /// Hands a message over; one that comes back unheard drops its sender, which its reader sees.
    fn tell(&self, message: Message) {
        let thread = self.thread.get_or_init(|| {
            let (sender, receiver) = mpsc::channel();
            let (running, over) = mpsc::channel::<Infallible>();
            let settings = Arc::clone(&self.settings);
            std::thread::Builder::new()
                .name("ossai-budgets".into())
                .spawn(move || {
                    writer::run(&settings, &receiver);
                    drop(running);
                })
                .ok()
                .map(|_| Thread {
                    sender,
                    over: Mutex::new(over),
                })
        });
        if let Some(thread) = thread {
            let _ = thread.sender.send(message);
        }
    }

    fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Message) -> Reply<T> {
        let (sender, receiver) = oneshot::channel();
        self.tell(make(sender));
        Reply::Later(receiver)
    }
}

impl Ledger for Kept {
    fn reserve(&self, ask: &Arc<Ask>) -> Reply<Result<(), Refused>> {
        self.ask(|reply| Message::Reserve(Arc::clone(ask), reply))
    }

    fn end(&self, ask: &Arc<Ask>, charge: Option<Amount>) {
        self.tell(Message::End(Arc::clone(ask), charge));
    }

    fn list(&self, now: i64) -> Reply<Result<Vec<(Account, Balance)>, Refused>> {
        self.ask(|reply| Message::List(now, reply))
    }

    fn read(&self, accounts: Vec<Account>) -> Reply<Result<Vec<Balance>, Refused>> {
        self.ask(|reply| Message::Read(accounts, reply))
    }

    fn flush(&self) -> Reply<()> {
        if self.thread.get().is_none() {
            return Reply::Now(());
        }
        self.ask(Message::Flush)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A program that ends here would take the last ends with it; a file that does not answer is not waited for long.
        if let Some(Thread { sender, over }) = self.thread.take().flatten() {
            drop(sender);
            let over = over.into_inner().unwrap_or_else(PoisonError::into_inner);
            let _ = over.recv_timeout(LAST_WORDS);
        }
    }
}
