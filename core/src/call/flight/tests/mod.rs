//! What flights promise, told on one thread: futures are polled by hand, so that every interleaving is on the page.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Wake, Waker};

use super::*;

mod closing;
mod deadlines;
mod events;
mod joining;
mod leaving;
mod parking;
mod slow_readers;

type Api = Flights<u32, &'static str>;
type Sub = Subscriber<u32, &'static str>;
type Pub = Publisher<u32, &'static str>;

const KEY: Key = [1; 32];

/// Counts its wake-ups.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Bell {
    fn new() -> (Arc<Self>, Waker) {
        let bell = Arc::new(Self::default());
        (Arc::clone(&bell), Waker::from(bell))
    }

    fn rings(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it should not have to wait"),
    }
}

fn waits<F: Future>(future: F) -> bool {
    pin!(future)
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
}

fn flights() -> Api {
    Flights::new(Limits::default())
}

fn small(log_events: usize, window_events: usize) -> Api {
    Flights::new(Limits {
        log_events,
        window_events,
        ..Limits::default()
    })
}

fn join_as(api: &Api, want: Want) -> (Sub, Option<Pub>) {
    match api.join(KEY, want, None).expect("open") {
        Join::Joined(subscriber) => (subscriber, None),
        Join::Started(subscriber, publisher) => (subscriber, Some(publisher)),
    }
}

fn start(api: &Api) -> (Sub, Pub) {
    let (subscriber, publisher) = join_as(api, Want::Events);
    (subscriber, publisher.expect("a new flight"))
}

fn joined(api: &Api) -> Sub {
    let (subscriber, publisher) = join_as(api, Want::Events);
    assert!(publisher.is_none(), "a flight was under way");
    subscriber
}

fn read(subscriber: &mut Sub) -> Vec<u32> {
    let mut out = Vec::new();
    assert!(now(subscriber.next_batch(&mut out, usize::MAX)).expect("events"));
    out
}

fn read_error(subscriber: &mut Sub) -> Error {
    now(subscriber.next_batch(&mut Vec::new(), 1)).expect_err("an error")
}

fn seconds(s: u64) -> Option<Duration> {
    Some(Duration::from_secs(s))
}

fn join_until(api: &Api, deadline: Option<Duration>) -> Sub {
    match api.join(KEY, Want::Events, deadline) {
        Ok(Join::Joined(subscriber)) => subscriber,
        _ => panic!("a flight was under way"),
    }
}

fn publish(publisher: &Pub, events: impl IntoIterator<Item = u32>) {
    let mut queue = events.into_iter().map(|event| (event, 1)).collect();
    assert_eq!(publisher.try_publish(&mut queue), Ok(true));
}
