//! A limit on silence that costs one clock reading per wait instead of one timer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::retry::{Clock, Sleep};

/// Ends waits that last longer than a limit. Time between two waits does not count: a slow consumer is not a silent peer.
pub(crate) struct IdleTimer {
    clock: Arc<dyn Clock>,
    limit: Duration,
    /// Wakes at or after the earliest end of a wait; armed anew only when it has fired too early.
    sleep: Option<(Duration, Sleep)>,
}

impl IdleTimer {
    pub(crate) fn new(clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self {
            clock,
            limit,
            sleep: None,
        }
    }

    /// Waits for `future`, at most the limit; `None` when the limit came first.
    ///
    /// The future comes pinned: taken by value it would be in this one's state twice, and states are moved.
    pub(crate) async fn limit<F: Future + ?Sized>(
        &mut self,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        let mut end = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let end = *end.get_or_insert_with(|| self.clock.now().saturating_add(self.limit));
            loop {
                let (fires_at, sleep) = self
                    .sleep
                    .get_or_insert_with(|| (end, self.clock.sleep(self.limit)));
                match sleep.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) if *fires_at >= end => {
                        self.sleep = None;
                        return Poll::Ready(None);
                    }
                    // Armed by an earlier wait: sleep on for what is left of this one.
                    Poll::Ready(()) => {
                        let left = end.saturating_sub(self.clock.now());
                        self.sleep = Some((end, self.clock.sleep(left)));
                    }
                }
            }
        })
        .await
    }
}
