//! How many stream events the host will take: the task waits for the host, never a thread.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// A stream's credit, in events.
pub(crate) struct Credit {
    left: AtomicU32,
    granted: Notify,
}

impl Credit {
    pub(crate) fn new(left: u32) -> Self {
        Self {
            left: AtomicU32::new(left),
            granted: Notify::new(),
        }
    }

    /// Adds to the credit; it saturates.
    pub(crate) fn grant(&self, events: u32) {
        let add = |left: u32| Some(left.saturating_add(events));
        // The closure never refuses.
        let _ = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        self.granted.notify_one();
    }

    /// Waits until there is some and says how much; only the one task that spends it asks.
    pub(crate) async fn available(&self) -> u32 {
        loop {
            let left = self.left.load(Ordering::Acquire);
            if left > 0 {
                return left;
            }
            // A grant in between has left a permit behind.
            self.granted.notified().await;
        }
    }

    /// Spends what was available.
    pub(crate) fn spend(&self, events: u32) {
        self.left.fetch_sub(events, Ordering::AcqRel);
    }
}
