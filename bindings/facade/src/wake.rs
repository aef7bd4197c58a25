//! Ways to tell a host that its queue has something, for the two kinds of host: those that wait on a descriptor in
//! their event loop and those that block a thread. A binding with another way (a threadsafe function, a continuation)
//! implements [`Wake`] itself.

use std::io::{PipeReader, PipeWriter, Write};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tells the host to drain a queue.
///
/// Called from a thread of ours, with no lock held, at most once between two drains. It must not block, must not call
/// back into the queue's session, and must not panic.
pub trait Wake: Send + Sync + 'static {
    /// Asks for one drain soon.
    fn wake(&self);
}

/// Wakes an event loop by one byte in a pipe.
///
/// The loop watches the reading end; on readiness it reads what is there (one byte) and then drains. In that order no
/// more than one byte is ever in the pipe, so that writing never blocks.
#[derive(Debug)]
pub struct PipeWake(PipeWriter);

/// A pipe for [`PipeWake`]: the end the host watches, and the waker.
///
/// # Errors
/// When the process has no descriptor left.
pub fn pipe() -> std::io::Result<(PipeReader, PipeWake)> {
    let (reader, writer) = std::io::pipe()?;
    Ok((reader, PipeWake(writer)))
}

impl Wake for PipeWake {
    fn wake(&self) {
        // A loop that has closed its end no longer wants to know.
        let _ = (&self.0).write(&[1]);
    }
}

/// Wakes a blocked thread: one for each synchronous call.
#[derive(Debug, Default)]
pub struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    /// Waits for a wake-up, at most this long; whether there was one since the last wait.
    pub fn wait(&self, patience: Duration) -> bool {
        let end = Instant::now().checked_add(patience);
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            let left = end.map_or(patience, |end| {
                end.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            woken = self
                .changed
                .wait_timeout(woken, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        std::mem::take(&mut *woken)
    }
}

impl Wake for Parker {
    fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}
