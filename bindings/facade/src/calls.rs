//! The calls of a session that are under way, by id. Removing an entry is the right to give the call its end: of the
//! task that finished, the host that cancelled and the session that closed, exactly one does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ossai::Error;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::call::Task;
use crate::call::credit::Credit;
use crate::event::Event;
use crate::process::Process;
use crate::queue::Queue;
use crate::session::CallId;

/// Ids are numbers that are never used twice in a process, so that a late one misses instead of meeting another call,
/// and stay below 2⁵³, so that a double holds them.
static NEXT: AtomicU64 = AtomicU64::new(1);

const SHARDS: usize = 16;

pub(crate) fn next_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) struct Entry {
    pub(crate) task: Arc<Task>,
    pub(crate) abort: AbortHandle,
    pub(crate) queue: Queue,
    pub(crate) credit: Option<Arc<Credit>>,
}

impl Entry {
    /// Ends the work: unless it is being polled at this moment, the call has left its flight when this returns, so that
    /// the host's next call meets a new one.
    pub(crate) fn stop(&self) {
        let _entered = Process::current()
            .ok()
            .and_then(Process::started)
            .map(Handle::enter);
        self.task.stop();
        self.abort.abort();
    }
}

#[derive(Default)]
pub(crate) struct Calls {
    shards: [Mutex<HashMap<u64, Entry>>; SHARDS],
    ended: Notify,
}

impl Calls {
    fn shard(&self, id: CallId) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // The remainder is below the number of shards.
        let shard = usize::try_from(id.0 % SHARDS as u64).unwrap_or(0);
        self.shards
            .get(shard)
            .unwrap_or(&self.shards[0])
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a call's task with its entry already there, however soon the task ends.
    pub(crate) fn start(&self, id: CallId, spawn: impl FnOnce() -> Entry) {
        let mut shard = self.shard(id);
        let entry = spawn();
        shard.insert(id.0, entry);
    }

    /// Takes the right to end the call; `None` when somebody else has it.
    pub(crate) fn end(&self, id: CallId) -> Option<Entry> {
        let entry = self.shard(id).remove(&id.0);
        self.ended.notify_waiters();
        entry
    }

    /// Waits until no call but this one is under way.
    pub(crate) async fn only(&self, id: CallId) {
        loop {
            let ended = self.ended.notified(); // hears of every end from here on
            let own = usize::from(self.shard(id).contains_key(&id.0));
            if self.len() <= own {
                return;
            }
            ended.await;
        }
    }

    pub(crate) fn credit(&self, id: CallId) -> Option<Arc<Credit>> {
        self.shard(id).get(&id.0)?.credit.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Cancels every call; their hosts hear `error`.
    pub(crate) fn cancel_all(&self, error: &Error) {
        for shard in &self.shards {
            let entries =
                std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for (id, entry) in entries {
                entry.stop();
                entry.queue.push(Event::Reply {
                    id: CallId(id),
                    outcome: Err(error.clone()),
                });
            }
        }
    }
}
