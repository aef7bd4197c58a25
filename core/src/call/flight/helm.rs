//! Who moves a flight's work on.
//!
//! While one caller alone waits, its own polls do the work: no task, no hop between threads for a call that nobody
//! shares. The moment a second caller depends on the work it becomes a task, so that nobody's pace, deadline or leaving is
//! another's. The work stands in a slot that is held only to take it out or put it back, never while it runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::sync::Mutex;

/// The work of a flight: it ends by publishing an outcome, and dropping it ends the flight too.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the work is.
enum Slot {
    /// Not given yet; true once it is wanted as a task.
    Expected(bool),
    /// Between two polls of the caller that started the flight.
    Resting(Work),
    /// Being polled by that caller; true once it is wanted as a task.
    Polled(bool),
    /// A task's, or over.
    Gone,
}

/// The slot of one flight.
pub(super) struct Helm(Mutex<Slot>);

impl fmt::Debug for Helm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Helm")
    }
}

impl Helm {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Slot::Expected(false)))
    }

    /// Gives the flight its work; it comes back when somebody else waits for it already: make it a task.
    #[must_use]
    pub(super) fn give(&self, work: Work) -> Option<Work> {
        let mut slot = self.0.lock();
        match *slot {
            Slot::Expected(false) => {
                *slot = Slot::Resting(work);
                None
            }
            Slot::Expected(true) => {
                *slot = Slot::Gone;
                Some(work)
            }
            _ => Some(work),
        }
    }

    /// Asks for the work as a task. It comes out here, or where it is given or was being polled at this moment.
    #[must_use]
    pub(super) fn want(&self) -> Option<Work> {
        let mut slot = self.0.lock();
        match &mut *slot {
            Slot::Expected(wanted) | Slot::Polled(wanted) => {
                *wanted = true;
                None
            }
            Slot::Resting(_) => take(&mut slot),
            Slot::Gone => None,
        }
    }

    /// One poll by the caller that started the flight, unless the work is a task's. It comes out when it is wanted as one.
    #[must_use]
    pub(super) fn steer(&self, cx: &mut Context<'_>) -> Option<Work> {
        // Nobody would be woken: a look at what is there, which must not cost the time of the work.
        if cx.waker().will_wake(Waker::noop()) {
            return None;
        }
        let mut slot = self.0.lock();
        if !matches!(*slot, Slot::Resting(_)) {
            return None;
        }
        let Slot::Resting(mut work) = std::mem::replace(&mut *slot, Slot::Polled(false)) else {
            return None;
        };
        drop(slot);
        // A panic of the work is its end, as it is of a task: its publisher says so to all who wait.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        let mut slot = self.0.lock();
        if matches!(polled, Ok(Poll::Pending)) {
            if matches!(*slot, Slot::Polled(true)) {
                *slot = Slot::Gone;
                return Some(work);
            }
            *slot = Slot::Resting(work);
            return None;
        }
        *slot = Slot::Gone;
        drop(slot);
        drop(work);
        None
    }

    /// Drops the work if it rests here: nobody waits for it any more.
    pub(super) fn abandon(&self) {
        let mut slot = self.0.lock();
        let work = if matches!(*slot, Slot::Resting(_)) {
            take(&mut slot)
        } else {
            None
        };
        drop(slot);
        drop(work);
    }
}

fn take(slot: &mut Slot) -> Option<Work> {
    match std::mem::replace(slot, Slot::Gone) {
        Slot::Resting(work) => Some(work),
        _ => None,
    }
}
