//! Measures flights: what joining, waking and leaving cost from 1 to 10,000 waiters, and events per second.
//!
//! `cargo run --release --example flight_bench`. Flights are no public API, so their module is compiled in here.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ossai::error;

#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "../src/call/flight/mod.rs"]
mod flight;

use flight::{Flights, Join, Limits, Publisher, Subscriber, Want};

type Event = Arc<str>;
type Api = Flights<Event, Arc<str>>;
type Reader = Subscriber<Event, Arc<str>>;
type Writer = Publisher<Event, Arc<str>>;

const KEY: [u8; 32] = [7; 32];

fn join(api: &Api, n: u64) -> (Reader, Option<Writer>) {
    let deadline = Some(Duration::from_secs(600) + Duration::from_micros(n));
    match api.join(KEY, Want::Events, deadline) {
        Ok(Join::Joined(subscriber)) => (subscriber, None),
        Ok(Join::Started(subscriber, publisher)) => (subscriber, Some(publisher)),
        Err(error) => panic!("{error}"),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Nanoseconds per waiter to join, park, be woken by the end, take the result, and leave (before an end).
fn waiters(count: usize) -> [f64; 5] {
    let rounds = (200_000 / count).clamp(9, 2_000);
    let mut figures: [Vec<f64>; 5] = Default::default();
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..rounds {
        let api: Api = Flights::new(Limits::default());
        let (_first, publisher) = join(&api, 0);
        let Some(publisher) = publisher else {
            panic!("a new flight")
        };
        let per = |start: Instant| start.elapsed().as_nanos() as f64 / count as f64;
        let start = Instant::now();
        let mut all: Vec<_> = (0..count).map(|n| join(&api, n as u64).0).collect();
        figures[0].push(per(start));
        // Once leaving, then the same number again to the end.
        let start = Instant::now();
        all.clear();
        figures[4].push(per(start));
        all.extend((0..count).map(|n| join(&api, n as u64).0));
        let start = Instant::now();
        for waiter in &mut all {
            assert!(waiter.poll_result(&mut cx).is_pending());
        }
        figures[1].push(per(start));
        let start = Instant::now();
        publisher.finish(Ok(Arc::from("answer")));
        figures[2].push(per(start));
        let start = Instant::now();
        for waiter in &mut all {
            assert!(matches!(
                black_box(waiter.poll_result(&mut cx)),
                Poll::Ready(Ok(_))
            ));
        }
        figures[3].push(per(start));
    }
    figures.map(median)
}

/// Deliveries per second of `events` events in batches of 16 to each of `readers`, on a runtime of two threads.
fn stream(readers: usize, events: usize, shared: bool) -> f64 {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
    else {
        panic!("a runtime");
    };
    let api: Api = Flights::new(Limits::default());
    let (first, publisher) = if shared {
        let (first, publisher) = join(&api, 0);
        let Some(publisher) = publisher else {
            panic!("a new flight")
        };
        (first, publisher)
    } else {
        let Ok(started) = api.start_private(Want::Events, None) else {
            panic!("a new flight")
        };
        started
    };
    let mut all = vec![first];
    all.extend((1..readers).map(|n| join(&api, n as u64).0));
    let start = Instant::now();
    let tasks: Vec<_> = all
        .into_iter()
        .map(|mut reader| {
            runtime.spawn(async move {
                let mut out = Vec::new();
                let mut seen = 0;
                while let Ok(true) = reader.next_batch(&mut out, 256).await {
                    seen += out.len();
                    out.clear();
                }
                seen
            })
        })
        .collect();
    let publishing = runtime.spawn(async move {
        let event: Event = Arc::from("a token of text");
        let mut queue = VecDeque::new();
        for _ in 0..events / 16 {
            queue.extend((0..16).map(|_| (Arc::clone(&event), 15)));
            if publisher.publish_batch(&mut queue).await.is_err() {
                return;
            }
        }
        publisher.finish(Ok(Arc::from("answer")));
    });
    let seen: usize = runtime.block_on(async {
        let _ = publishing.await;
        let mut seen = 0;
        for task in tasks {
            seen += task.await.unwrap_or(0);
        }
        seen
    });
    let elapsed = start.elapsed().as_secs_f64();
    let expected = events / 16 * 16 * readers;
    if seen < expected {
        println!(
            "  ({} of {expected} deliveries; {} readers cut off)",
            seen,
            api.stats().lagged
        );
    }
    seen as f64 / elapsed
}

/// Events per second published and read on one thread without an executor: the structure's own cost.
fn bare(events: usize, shared: bool) -> f64 {
    let api: Api = Flights::new(Limits::default());
    let (mut reader, publisher) = if shared {
        let (first, publisher) = join(&api, 0);
        let Some(publisher) = publisher else {
            panic!("a new flight")
        };
        (first, publisher)
    } else {
        let Ok(started) = api.start_private(Want::Events, None) else {
            panic!("a new flight")
        };
        started
    };
    let mut cx = Context::from_waker(Waker::noop());
    let event: Event = Arc::from("a token of text");
    let (mut queue, mut out) = (VecDeque::new(), Vec::new());
    let start = Instant::now();
    for _ in 0..events / 16 {
        queue.extend((0..16).map(|_| (Arc::clone(&event), 15)));
        assert_eq!(publisher.try_publish(&mut queue), Ok(true));
        assert!(matches!(
            reader.poll_batch(&mut cx, &mut out, 256),
            Poll::Ready(Ok(true))
        ));
        assert!(reader.poll_batch(&mut cx, &mut out, 256).is_pending());
        black_box(&out);
        out.clear();
    }
    (events / 16 * 16) as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    println!("ns per waiter, median   join   park   wake  result  leave");
    for count in [1, 10, 100, 1_000, 10_000] {
        let [join, park, wake, result, leave] = waiters(count);
        println!(
            "{count:>7} waiters       {join:>7.0} {park:>6.0} {wake:>6.0} {result:>7.0} {leave:>6.0}"
        );
    }
    for (name, shared) in [("shared", true), ("private", false)] {
        let figures = (0..5).map(|_| bare(1_600_000, shared)).collect();
        println!(
            "one thread, {name}, 1 reader: {:.1} M events/s",
            median(figures) / 1e6
        );
    }
    for (name, readers, events, shared) in [
        ("private", 1, 3_200_000, false),
        ("shared", 1, 3_200_000, true),
        ("shared", 100, 32_000, true),
    ] {
        let figures = (0..5).map(|_| stream(readers, events, shared)).collect();
        let rate = median(figures) / 1e6;
        println!("two threads, {name}, {readers} readers: {rate:.1} M deliveries/s");
    }
}
