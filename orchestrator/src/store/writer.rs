//! The one writer of usage rows: a thread that takes what has come together and writes it in one transaction.
//!
//! Nothing is lost and no call waits for the disk: a call reserves its place in the bounded queue before it starts, so
//! that its row always fits; when the disk cannot follow, new calls are refused instead.

use std::time::Duration;

use ossai::ledger::{Ledger, UsageRow};
use ossai::{Error, ErrorKind, Result};
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};

use super::Store;

/// Most rows of one transaction.
const BATCH: usize = 1024;
/// How long a call waits for a place before it is refused.
const PATIENCE: Duration = Duration::from_secs(1);
/// Tries to write a batch once the server is closing; before that it tries for as long as it runs.
const LAST_TRIES: u32 = 5;

pub(crate) enum Message {
    Row(Box<UsageRow>),
    /// Write what has come and end.
    Stop,
}

/// A place in the queue.
pub(crate) struct Place(OwnedPermit<Message>);

impl Place {
    /// Hands the row over; never waits.
    pub(crate) fn fill(self, row: UsageRow) {
        self.0.send(Message::Row(Box::new(row)));
    }
}

/// The calls' end of the queue.
#[derive(Clone)]
pub(crate) struct Recorder {
    sender: Sender<Message>,
}

/// The writer's thread.
pub(crate) struct Writer {
    sender: Sender<Message>,
    thread: std::thread::JoinHandle<usize>,
}

pub(crate) fn start(store: &Store, queue: usize) -> Result<(Recorder, Writer)> {
    let ledger = Ledger::open(&store.file())?;
    let (sender, receiver) = mpsc::channel(queue);
    let thread = std::thread::Builder::new()
        .name("ossai-usage".into())
        .spawn(move || write(&ledger, receiver))
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "the system gives no thread").with_source(error)
        })?;
    Ok((
        Recorder {
            sender: sender.clone(),
        },
        Writer { sender, thread },
    ))
}

impl Recorder {
    /// Takes a row that no call stands behind. When the queue is full it waits in a task of its own.
    pub(crate) fn late(&self, row: UsageRow) {
        let message = Message::Row(Box::new(row));
        let full = match self.sender.try_send(message) {
            Err(mpsc::error::TrySendError::Full(message)) => message,
            Err(mpsc::error::TrySendError::Closed(_)) => return lost(),
            Ok(()) => return,
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return lost();
        };
        let sender = self.sender.clone();
        runtime.spawn(async move {
            if sender.send(full).await.is_err() {
                lost();
            }
        });
    }

    /// A place for one row.
    ///
    /// # Errors
    /// `overloaded` when none comes free within a second.
    pub(crate) async fn reserve(&self) -> Result<Place> {
        let permit = match self.sender.clone().try_reserve_owned() {
            Ok(permit) => permit,
            Err(_) => {
                match tokio::time::timeout(PATIENCE, self.sender.clone().reserve_owned()).await {
                    Ok(Ok(permit)) => permit,
                    _ => {
                        return Err(Error::new(
                            ErrorKind::Overloaded,
                            "usage cannot be recorded as fast as calls come",
                        ));
                    }
                }
            }
        };
        Ok(Place(permit))
    }
}

fn lost() {
    tracing::error!(lost = 1, "usage rows lost");
}

impl Writer {
    /// Writes what has come, ends the thread and says how many rows could not be written.
    pub(crate) async fn finish(self) -> usize {
        // When the thread is gone already there is nothing to tell it.
        let _ = self.sender.send(Message::Stop).await;
        tokio::task::spawn_blocking(move || self.thread.join().unwrap_or_default())
            .await
            .unwrap_or_default()
    }
}

fn write(ledger: &Ledger, mut receiver: Receiver<Message>) -> usize {
    let mut messages = Vec::with_capacity(BATCH);
    let mut rows: Vec<UsageRow> = Vec::with_capacity(BATCH);
    let mut stopping = false;
    loop {
        if stopping {
            while rows.len() < BATCH {
                match receiver.try_recv() {
                    Ok(Message::Row(row)) => rows.push(*row),
                    Ok(Message::Stop) => {}
                    Err(_) => break,
                }
            }
            if rows.is_empty() {
                return 0;
            }
        } else {
            stopping = receiver.blocking_recv_many(&mut messages, BATCH) == 0;
            for message in messages.drain(..) {
                match message {
                    Message::Row(row) => rows.push(*row),
                    Message::Stop => stopping = true,
                }
            }
        }
        let mut tries = 0;
        while let Err(error) = ledger.record(&rows) {
            tries += 1;
            tracing::error!(%error, rows = rows.len(), "usage cannot be written, trying again");
            stopping |= receiver.is_closed();
            if stopping && tries >= LAST_TRIES {
                let lost = rows.len() + receiver.len();
                tracing::error!(lost, "usage rows lost");
                return lost;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        rows.clear();
    }
}
