//! The client's own way into a ledger: a record is handed over and forgotten, so that no call waits for a disk or fails with it.
//!
//! One thread writes what has come together in one transaction. It begins with the first record and ends when the last
//! handle is gone and what was handed over is written. The queue is bounded: while the disk cannot follow, further records
//! are lost, counted and told of.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::{Ledger, UsageRow};
use crate::error::Result;

/// Records that may wait.
const QUEUE: usize = 10_000;
/// Most of one transaction.
const BATCH: usize = 1024;
/// How long a file that did not answer is left alone.
const PAUSE: Duration = Duration::from_millis(200);
/// Tries to write once nobody is left to hand anything over.
const LAST_TRIES: u32 = 3;
/// How long the last handle waits for what was said before it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often old records are taken away.
const PRUNED_EVERY: Duration = Duration::from_secs(3600);

enum Message {
    Row(Box<UsageRow>),
    Flush(oneshot::Sender<()>),
}

struct Thread {
    sender: SyncSender<Message>,
    over: Mutex<Receiver<Infallible>>,
}

/// The handle. Handing over never waits and never fails.
pub(crate) struct Recorder {
    path: PathBuf,
    retention_days: u32,
    /// Absent where the system gave no thread.
    thread: OnceLock<Option<Thread>>,
    lost: Arc<AtomicU64>,
    /// The loss was told of.
    told: AtomicBool,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Nothing is opened before the first record.
    pub(crate) fn new(path: PathBuf, retention_days: u32) -> Self {
        Self {
            path,
            retention_days,
            thread: OnceLock::new(),
            lost: Arc::default(),
            told: AtomicBool::new(false),
        }
    }

    /// Hands a record over.
    pub(crate) fn record(&self, row: UsageRow) {
        let sent = match self.thread() {
            Some(thread) => thread.sender.try_send(Message::Row(Box::new(row))).is_ok(),
            None => false,
        };
        if sent {
            self.told.store(false, Relaxed);
            return;
        }
        self.lost.fetch_add(1, Relaxed);
        if !self.told.swap(true, Relaxed) {
            tracing::warn!(
                "the usage ledger cannot follow: records are lost (`usage.ledger`, `stats.unrecorded`)"
            );
        }
    }

    /// Records that were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Waits until what was handed over is written, or could not be.
    pub(crate) async fn flush(&self) {
        let Some(Some(thread)) = self.thread.get() else {
            return;
        };
        let (sender, receiver) = oneshot::channel();
        let mut message = Message::Flush(sender);
        // A full queue empties while the thread writes.
        loop {
            match thread.sender.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => message = back,
                Err(TrySendError::Disconnected(_)) => return,
            }
            tokio::task::yield_now().await;
        }
        let _ = receiver.await;
    }

    fn thread(&self) -> Option<&Thread> {
        let start = || {
            let (sender, receiver) = mpsc::sync_channel(QUEUE);
            let (running, over) = mpsc::channel::<Infallible>();
            let mut writer = Writer {
                path: self.path.clone(),
                retention_days: self.retention_days,
                ledger: None,
                pruned: None,
                lost: Arc::clone(&self.lost),
            };
            std::thread::Builder::new()
                .name("ossai-usage".into())
                .spawn(move || {
                    writer.run(&receiver);
                    drop(running);
                })
                .ok()
                .map(|_| Thread {
                    sender,
                    over: Mutex::new(over),
                })
        };
        self.thread.get_or_init(start).as_ref()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A program that ends here would take the last records with it; a file that does not answer is not waited for long.
        if let Some(Thread { sender, over }) = self.thread.take().flatten() {
            drop(sender);
            let over = over.into_inner().unwrap_or_else(PoisonError::into_inner);
            let _ = over.recv_timeout(LAST_WORDS);
        }
    }
}

struct Writer {
    path: PathBuf,
    retention_days: u32,
    ledger: Option<Ledger>,
    pruned: Option<Instant>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    fn run(&mut self, receiver: &Receiver<Message>) {
        let mut rows: Vec<UsageRow> = Vec::new();
        let mut waiting = Vec::new();
        let mut last_tries = 0;
        loop {
            let mut is_over = false;
            let mut take = |message, rows: &mut Vec<UsageRow>| match message {
                Message::Row(row) => rows.push(*row),
                Message::Flush(reply) => waiting.push(reply),
            };
            let first = if rows.is_empty() {
                receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                receiver.recv_timeout(PAUSE)
            };
            match first {
                Ok(message) => take(message, &mut rows),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_over = true,
            }
            while rows.len() < BATCH
                && let Ok(message) = receiver.try_recv()
            {
                take(message, &mut rows);
            }
            match self.write(&rows) {
                Ok(()) => rows.clear(),
                Err(error) => {
                    tracing::warn!(%error, rows = rows.len(), "the usage ledger cannot be written");
                    // What cannot be opened or written now is opened anew.
                    self.ledger = None;
                    if rows.len() >= BATCH && !is_over {
                        std::thread::sleep(PAUSE);
                    }
                }
            }
            for reply in waiting.drain(..) {
                let _ = reply.send(());
            }
            if is_over {
                last_tries += 1;
                if rows.is_empty() || last_tries >= LAST_TRIES {
                    self.lost.fetch_add(rows.len() as u64, Relaxed);
                    return;
                }
            }
        }
    }

    fn write(&mut self, rows: &[UsageRow]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let ledger = match &self.ledger {
            Some(ledger) => ledger,
            None => self.ledger.insert(Ledger::open(&self.path)?),
        };
        ledger.record(rows)?;
        let due = self
            .pruned
            .is_none_or(|pruned| pruned.elapsed() >= PRUNED_EVERY);
        if self.retention_days > 0 && due {
            self.pruned = Some(Instant::now());
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
            let kept = i64::from(self.retention_days) * 86_400_000;
            // It is tried again in an hour.
            if let Err(error) = ledger.prune(now.saturating_sub(kept)) {
                tracing::warn!(%error, "old usage records cannot be taken away yet");
            }
        }
        Ok(())
    }
}
