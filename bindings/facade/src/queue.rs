//! The completion queue: every answer, stream event and host call of one host event loop, in order, with one wake-up
//! for as many as there are by the time the host comes.

use std::sync::Arc;

use crate::event::Event;
use crate::sync::Mutex;
use crate::wake::Wake;

/// A queue of events for one event loop (or one blocked thread).
///
/// It is bounded by what feeds it: one answer per call under way, and no more stream events than were granted.
/// Cheap to clone; may be used from any thread.
#[derive(Clone)]
pub struct Queue(Arc<Shared<Event>>);

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    /// An empty queue that announces itself by `wake`.
    pub fn new(wake: Arc<impl Wake>) -> Self {
        Self(Arc::new(Shared::new(wake)))
    }

    /// Takes at most `max` events, oldest first; wakes again when some are left.
    ///
    /// Call it after each wake-up, after having consumed the wake-up itself (the byte in the pipe). It never blocks.
    #[must_use]
    pub fn drain(&self, max: usize) -> Vec<Event> {
        self.0.drain(max)
    }

    /// Ends the queue: what is in it is dropped, and so is what would come; who waits for it is woken. Calls that would
    /// have answered here should be cancelled by their sessions.
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub(crate) fn push(&self, event: Event) {
        self.0.push(event);
    }
}

pub(crate) struct Shared<T> {
    inner: Mutex<Inner<T>>,
    wake: Arc<dyn Wake>,
}

struct Inner<T> {
    events: Vec<T>,
    /// A wake-up is under way and the drain it asks for has not come.
    announced: bool,
    closed: bool,
}

impl<T> Shared<T> {
    pub(crate) fn new(wake: Arc<dyn Wake>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                events: Vec::new(),
                announced: false,
                closed: false,
            }),
            wake,
        }
    }

    pub(crate) fn push(&self, event: T) {
        let mut inner = self.inner.lock();
        if inner.closed {
            drop(inner);
            drop(event); // not under the lock: it may hold a whole answer
            return;
        }
        inner.events.push(event);
        let first = !std::mem::replace(&mut inner.announced, true);
        drop(inner);
        if first {
            self.wake.wake();
        }
    }

    pub(crate) fn drain(&self, max: usize) -> Vec<T> {
        let mut inner = self.inner.lock();
        if inner.events.len() <= max {
            inner.announced = false;
            return std::mem::take(&mut inner.events);
        }
        // Still announced: the rest needs a wake-up of its own.
        let rest = inner.events.split_off(max);
        let taken = std::mem::replace(&mut inner.events, rest);
        drop(inner);
        self.wake.wake();
        taken
    }

    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let dropped = std::mem::take(&mut inner.events);
        let first = !std::mem::replace(&mut inner.announced, true);
        drop(inner);
        drop(dropped);
        if first {
            self.wake.wake();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }
}

#[cfg(all(test, ossai_loom))]
mod models {
    //! No wake-up is lost and none is doubled, under every interleaving of two producers and a consumer.
    //! `RUSTFLAGS="--cfg ossai_loom" cargo test -p ossai-facade --lib --release -- queue::models`.

    use super::*;
    use loom::sync::Condvar;
    use loom::thread;

    /// A host that sleeps until it is woken, and counts wake-ups nobody has answered yet.
    struct Host {
        wakes: loom::sync::Mutex<usize>,
        changed: Condvar,
    }

    struct Waker(Arc<Host>);

    impl Wake for Waker {
        fn wake(&self) {
            let mut wakes = self.0.wakes.lock().expect("no panic under it");
            *wakes += 1;
            assert_eq!(*wakes, 1, "a second wake-up before the drain for the first");
            self.0.changed.notify_one();
        }
    }

    fn consume(host: &Host, queue: &Shared<u32>, wanted: usize, max: usize) -> Vec<u32> {
        let mut seen = Vec::new();
        while seen.len() < wanted {
            let mut wakes = host.wakes.lock().expect("no panic under it");
            while *wakes == 0 {
                // Loom reports a deadlock here when a wake-up is lost.
                wakes = host.changed.wait(wakes).expect("no panic under it");
            }
            *wakes = 0;
            drop(wakes);
            seen.extend(queue.drain(max));
        }
        seen
    }

    fn model(max: usize) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(3);
        builder.check(move || {
            let host = Arc::new(Host {
                wakes: loom::sync::Mutex::new(0),
                changed: Condvar::new(),
            });
            let queue = Arc::new(Shared::new(Arc::new(Waker(Arc::clone(&host)))));
            let producers = [10, 20].map(|base| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    queue.push(base);
                    queue.push(base + 1);
                })
            });
            let seen = consume(&host, &queue, 4, max);
            for producer in producers {
                producer.join().expect("no panic");
            }
            for base in [10, 20] {
                let own: Vec<u32> = seen
                    .iter()
                    .copied()
                    .filter(|n| n / 10 == base / 10)
                    .collect();
                assert_eq!(
                    own,
                    [base, base + 1],
                    "each producer's events in order, once"
                );
            }
        });
    }

    #[test]
    fn every_event_arrives_once_and_in_order_whoever_runs_first() {
        model(usize::MAX);
    }

    #[test]
    fn a_drain_that_leaves_some_is_woken_again() {
        model(1);
    }
}
