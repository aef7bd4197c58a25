//! Threads that join, read, leave and end flights at random, from fixed seeds: what the models are too small for.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Wake, Waker};
use std::thread;

use super::*;

/// Which flight, and which of its events.
type Event = (u64, u32);
/// Which flight, and how many events it had.
type Answer = (u64, u32);

const CALLERS: u64 = 6;
const WORKERS: u64 = 2;
const CALLS: usize = 1_500;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A flight's task: publishes numbered events and ends in one of four ways.
fn work(id: u64, publisher: Publisher<Event, Answer>, random: &mut Random) {
    let count = random.below(40) as u32;
    let mut queue: VecDeque<(Event, usize)> = VecDeque::new();
    for n in 0..count {
        queue.push_back(((id, n), 1 + random.below(8) as usize));
        if random.below(3) == 0 && block_on(publisher.publish_batch(&mut queue)).is_err() {
            assert!(publisher.is_cancelled());
            return;
        }
    }
    if block_on(publisher.publish_batch(&mut queue)).is_err() {
        return;
    }
    match random.below(8) {
        0 => publisher.finish(Err(Error::new(ErrorKind::Overloaded, "busy"))),
        1 => drop(publisher),
        2 => {
            // Waits until everybody has left; those who read on do so at the end of their patience.
            block_on(publisher.cancelled());
        }
        _ => publisher.finish(Ok((id, count))),
    }
}

/// A caller: reads some or all, checks what it reads, and leaves.
fn call(mut subscriber: Subscriber<Event, Answer>, want: Want, random: &mut Random) {
    let patience = random.below(30);
    let mut out: Vec<Event> = Vec::new();
    let mut end = None;
    for _ in 0..patience {
        let max = 1 + random.below(9) as usize;
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        match subscriber.poll_batch(&mut cx, &mut out, max) {
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(Ok(false)) => end = Some(Ok(())),
            Poll::Ready(Err(error)) => end = Some(Err(error.kind())),
            Poll::Pending => thread::yield_now(),
        }
    }
    for (n, event) in out.iter().enumerate() {
        assert_eq!(
            *event,
            (out[0].0, n as u32),
            "one flight's events, in order, without a gap"
        );
    }
    match end {
        Some(Ok(())) => {
            let (id, count) = block_on(subscriber.result()).expect("it ended well");
            let expected = if want == Want::Events { count } else { 0 };
            assert_eq!(out.len(), expected as usize);
            assert!(out.iter().all(|event| event.0 == id));
        }
        Some(Err(kind)) => {
            let known = [
                ErrorKind::Overloaded,
                ErrorKind::Internal,
                ErrorKind::StreamInterrupted,
            ];
            assert!(known.contains(&kind), "{kind:?}");
        }
        None => {}
    }
}

fn run(seed: u64) {
    let api: Flights<Event, Answer> = Flights::new(Limits {
        log_bytes: 80,
        log_events: 16,
        window_bytes: 30,
        window_events: 6,
    });
    let (tasks, inbox) = mpsc::channel::<(u64, Publisher<Event, Answer>)>();
    let inbox = Arc::new(std::sync::Mutex::new(inbox));
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            let (inbox, mut random) = (Arc::clone(&inbox), Random(seed + 1000 + n));
            thread::spawn(move || {
                loop {
                    let next = inbox.lock().expect("no panic").recv();
                    let Ok((id, publisher)) = next else { return };
                    work(id, publisher, &mut random);
                }
            })
        })
        .collect();
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| {
            let (api, tasks, mut random) = (api.clone(), tasks.clone(), Random(seed + n));
            thread::spawn(move || {
                let mut counts = (0, 0);
                for call_number in 0..CALLS {
                    let key = [random.below(3) as u8; 32];
                    let want = [Want::Events, Want::Events, Want::Result][random.below(3) as usize];
                    let deadline = Some(Duration::from_secs(1 + random.below(100)));
                    let id = n << 32 | call_number as u64;
                    let subscriber = match api.join(key, want, deadline).expect("open") {
                        Join::Joined(subscriber) => {
                            counts.1 += 1;
                            subscriber
                        }
                        Join::Started(subscriber, publisher) => {
                            counts.0 += 1;
                            tasks.send((id, publisher)).expect("workers");
                            subscriber
                        }
                    };
                    call(subscriber, want, &mut random);
                }
                counts
            })
        })
        .collect();
    drop(tasks);
    let mut counts = (0, 0);
    for caller in callers {
        let (started, joined) = caller.join().expect("a caller");
        counts = (counts.0 + started, counts.1 + joined);
    }
    block_on(api.idle());
    for worker in workers {
        worker.join().expect("a worker");
    }
    let stats = api.stats();
    assert_eq!((stats.flights_started, stats.joined), counts);
    assert_eq!((stats.active_flights, stats.active_waiters), (0, 0));
    assert!(
        stats.joined > 0 && stats.cancelled > 0 && stats.lagged > 0,
        "{stats:?}"
    );
    assert!(api.home.shards.iter().all(|shard| shard.lock().is_empty()));
}

#[test]
fn random_callers_on_many_threads_see_whole_streams_and_leave_nothing_behind() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        for seed in [0x5eed, 0xfeed, 0xbeef] {
            run(seed);
        }
        let _ = done.send(());
    });
    let outcome = finished.recv_timeout(Duration::from_secs(120));
    outcome.expect("no thread panicked or hangs");
}
