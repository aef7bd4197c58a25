//! What flights promise under every interleaving of two or three threads, checked by loom:
//! `RUSTFLAGS="--cfg ossai_loom" cargo test --release --lib call::`.
//!
//! Loom also fails a model that deadlocks (a lost wake-up is one) and one that leaks a flight, a home or a waker.

use std::collections::VecDeque;

use loom::future::block_on;
use loom::sync::atomic::AtomicBool;
use loom::thread;

use super::*;

type Api = Flights<u32, u32>;
type Sub = Subscriber<u32, u32>;
type Pub = Publisher<u32, u32>;

const KEY: Key = [1; 32];

/// Runs the model once for each interleaving with up to three preemptions, and prints how many there are.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let runs = std::sync::Arc::new(AtomicU64::new(0));
    let count = std::sync::Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3); // LOOM_MAX_PREEMPTIONS overrides it.
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        model();
    });
    println!("{} interleavings", runs.load(Relaxed));
}

fn flights(log_events: usize, window_events: usize) -> Api {
    Flights::new(Limits {
        log_events,
        window_events,
        ..Limits::default()
    })
}

fn join(api: &Api, want: Want) -> Join<u32, u32> {
    api.join(KEY, want, None).expect("open")
}

fn start(api: &Api, want: Want) -> (Sub, Pub) {
    match join(api, want) {
        Join::Started(subscriber, publisher) => (subscriber, publisher),
        Join::Joined(_) => panic!("no flight was under way"),
    }
}

fn joined(api: &Api, want: Want) -> Sub {
    match join(api, want) {
        Join::Joined(subscriber) => subscriber,
        Join::Started(..) => panic!("a flight was under way"),
    }
}

fn is_over(api: &Api) {
    assert!(api.home.shard(&KEY).lock().is_empty());
    assert_eq!(api.stats().active_flights, 0);
    assert_eq!(api.stats().active_waiters, 0);
}

fn read_to_end(subscriber: &mut Sub) -> Result<Vec<u32>> {
    let mut out = Vec::new();
    while block_on(subscriber.next_batch(&mut out, 8))? {}
    Ok(out)
}

fn publish(publisher: &Pub, event: u32) {
    let mut queue = VecDeque::from([(event, 1)]);
    assert_eq!(publisher.try_publish(&mut queue), Ok(true));
}

#[test]
fn who_joins_while_the_flight_finishes_gets_its_result_or_starts_anew_after_the_store() {
    check(|| {
        let api = flights(8, 8);
        let stored = Arc::new(AtomicBool::new(false));
        let (mut first, publisher) = start(&api, Want::Result);
        let finisher = {
            let stored = Arc::clone(&stored);
            thread::spawn(move || {
                stored.store(true, Relaxed);
                publisher.finish(Ok(1));
            })
        };
        match join(&api, Want::Events) {
            Join::Joined(mut second) => assert_eq!(block_on(second.result()).unwrap(), 1),
            Join::Started(mut second, publisher) => {
                assert!(
                    stored.load(Relaxed),
                    "the newcomer's look-up finds the stored answer"
                );
                publisher.finish(Ok(2));
                assert_eq!(block_on(second.result()).unwrap(), 2);
            }
        }
        assert_eq!(block_on(first.result()).unwrap(), 1);
        finisher.join().unwrap();
        drop(first);
        is_over(&api);
    });
}

#[test]
fn who_joins_while_the_last_one_leaves_either_keeps_the_flight_alive_or_starts_a_new_one() {
    check(|| {
        let api = flights(8, 8);
        let (first, old) = start(&api, Want::Events);
        let leaver = thread::spawn(move || drop(first));
        match join(&api, Want::Events) {
            Join::Joined(mut second) => {
                leaver.join().unwrap();
                assert!(!old.is_cancelled());
                old.finish(Ok(1));
                assert_eq!(block_on(second.result()).unwrap(), 1);
            }
            Join::Started(mut second, new) => {
                assert!(old.is_cancelled());
                leaver.join().unwrap();
                let mut third = joined(&api, Want::Events);
                drop(old);
                drop(joined(&api, Want::Events));
                new.finish(Ok(2));
                assert_eq!(block_on(second.result()).unwrap(), 2);
                assert_eq!(block_on(third.result()).unwrap(), 2);
            }
        }
        is_over(&api);
    });
}

#[test]
fn two_who_leave_while_the_flight_finishes_cancel_it_at_most_once_and_leave_nothing() {
    check(|| {
        let api = flights(8, 8);
        let (first, publisher) = start(&api, Want::Events);
        let second = joined(&api, Want::Events);
        let leavers = [first, second].map(|subscriber| thread::spawn(move || drop(subscriber)));
        publisher.finish(Ok(1));
        for leaver in leavers {
            leaver.join().unwrap();
        }
        assert!(api.stats().cancelled <= 1);
        is_over(&api);
    });
}

#[test]
fn the_publisher_always_hears_of_the_last_one_leaving() {
    check(|| {
        let api = flights(8, 8);
        let (first, publisher) = start(&api, Want::Events);
        let second = joined(&api, Want::Result);
        let leavers = [first, second].map(|subscriber| thread::spawn(move || drop(subscriber)));
        block_on(publisher.cancelled());
        assert!(publisher.is_cancelled());
        for leaver in leavers {
            leaver.join().unwrap();
        }
        drop(publisher);
        assert_eq!(api.stats().cancelled, 1);
        is_over(&api);
    });
}

#[test]
fn who_joins_while_the_task_vanishes_gets_internal_or_starts_anew() {
    check(|| {
        let api = flights(8, 8);
        let (mut first, publisher) = start(&api, Want::Result);
        let vanishing = thread::spawn(move || drop(publisher));
        match join(&api, Want::Events) {
            Join::Joined(mut second) => {
                let error = block_on(second.result()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Internal);
            }
            Join::Started(mut second, publisher) => {
                publisher.finish(Ok(2));
                assert_eq!(block_on(second.result()).unwrap(), 2);
            }
        }
        let error = block_on(first.result()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        vanishing.join().unwrap();
        drop(first);
        is_over(&api);
    });
}

#[test]
fn no_wake_up_is_lost_between_a_reader_and_a_publisher_that_waits_for_room() {
    for window in [1, 2] {
        check(move || {
            let api = flights(8, window);
            let (mut reader, publisher) = start(&api, Want::Events);
            let working = thread::spawn(move || {
                let mut queue: VecDeque<_> = (0..3).map(|event| (event, 1)).collect();
                block_on(publisher.publish_batch(&mut queue)).unwrap();
                publisher.finish(Ok(1));
            });
            assert_eq!(read_to_end(&mut reader).unwrap(), [0, 1, 2]);
            working.join().unwrap();
            drop(reader);
            is_over(&api);
        });
    }
}

#[test]
fn a_publisher_that_waits_for_room_goes_on_with_the_next_reader_or_is_cancelled() {
    check(|| {
        let api = flights(8, 1);
        let (first, publisher) = start(&api, Want::Events);
        let mut second = joined(&api, Want::Events);
        let working = thread::spawn(move || {
            let mut queue: VecDeque<_> = (0..2).map(|event| (event, 1)).collect();
            let published = block_on(publisher.publish_batch(&mut queue));
            publisher.finish(Ok(1));
            published
        });
        let leaver = thread::spawn(move || drop(first));
        let read = block_on(second.next_batch(&mut Vec::new(), 1));
        assert!(read.unwrap());
        drop(second);
        leaver.join().unwrap();
        let _ = working.join().unwrap();
        is_over(&api);
    });
}

#[test]
fn a_reader_who_turns_to_the_result_lets_the_publisher_go_on() {
    check(|| {
        let api = flights(8, 1);
        let (mut reader, publisher) = start(&api, Want::Events);
        let working = thread::spawn(move || {
            let mut queue: VecDeque<_> = (0..2).map(|event| (event, 1)).collect();
            block_on(publisher.publish_batch(&mut queue)).unwrap();
            publisher.finish(Ok(1));
        });
        assert_eq!(block_on(reader.result()).unwrap(), 1);
        working.join().unwrap();
    });
}

#[test]
fn a_replaced_flight_that_finishes_leaves_the_entry_of_the_new_one_alone() {
    check(|| {
        let api = flights(1, 1);
        let (mut first, old) = start(&api, Want::Events);
        publish(&old, 1);
        assert!(block_on(first.next_batch(&mut Vec::new(), 1)).unwrap());
        publish(&old, 2);
        let finisher = thread::spawn(move || old.finish(Ok(1)));
        let (mut second, new) = start(&api, Want::Events);
        assert_eq!(read_to_end(&mut first).unwrap(), [2]);
        finisher.join().unwrap();
        let mut third = joined(&api, Want::Events);
        new.finish(Ok(2));
        assert_eq!(block_on(first.result()).unwrap(), 1);
        assert_eq!(block_on(second.result()).unwrap(), 2);
        assert_eq!(block_on(third.result()).unwrap(), 2);
        drop((first, second, third));
        is_over(&api);
    });
}

#[test]
fn two_newcomers_share_one_flight_whatever_the_old_one_does() {
    check(|| {
        let api = flights(8, 8);
        let (first, old) = start(&api, Want::Events);
        drop(first);
        let other = {
            let api = api.clone();
            thread::spawn(move || join(&api, Want::Result))
        };
        let ending = thread::spawn(move || drop(old));
        let mine = join(&api, Want::Result);
        let (mut one, mut two, publisher) = match (mine, other.join().unwrap()) {
            (Join::Started(one, publisher), Join::Joined(two))
            | (Join::Joined(two), Join::Started(one, publisher)) => (one, two, publisher),
            _ => panic!("exactly one of the two starts"),
        };
        ending.join().unwrap();
        publisher.finish(Ok(2));
        assert_eq!(block_on(one.result()).unwrap(), 2);
        assert_eq!(block_on(two.result()).unwrap(), 2);
        drop((one, two));
        is_over(&api);
    });
}

#[test]
fn a_reader_sees_every_event_before_the_end_and_misses_no_wake_up() {
    check(|| {
        let api = flights(8, 8);
        let (mut reader, publisher) = start(&api, Want::Events);
        let working = thread::spawn(move || {
            publish(&publisher, 1);
            publish(&publisher, 2);
            publisher.finish(Err(Error::new(ErrorKind::Overloaded, "busy")));
        });
        let mut out = Vec::new();
        let error = loop {
            match block_on(reader.next_batch(&mut out, 8)) {
                Ok(true) => {}
                Ok(false) => panic!("the flight failed"),
                Err(error) => break error,
            }
        };
        assert_eq!((out, error.kind()), (vec![1, 2], ErrorKind::Overloaded));
        working.join().unwrap();
    });
}

#[test]
fn a_wait_given_up_while_the_event_comes_loses_neither_event_nor_waker() {
    check(|| {
        let api = flights(8, 8);
        let (mut reader, publisher) = start(&api, Want::Events);
        let working = thread::spawn(move || {
            publish(&publisher, 1);
            publisher.finish(Ok(1));
        });
        let mut out = Vec::new();
        block_on(std::future::poll_fn(|cx| {
            let mut waiting = reader.next_batch(&mut out, 8);
            let _ = Pin::new(&mut waiting).poll(cx);
            Poll::Ready(())
        }));
        out.extend(read_to_end(&mut reader).unwrap());
        assert_eq!(out, [1]);
        working.join().unwrap();
    });
}

#[test]
fn a_slow_reader_is_served_or_cut_off_but_never_hangs_nor_sees_a_gap() {
    check(|| {
        let api = flights(1, 1);
        let (mut fast, publisher) = start(&api, Want::Result);
        let mut slow = joined(&api, Want::Events);
        let working = thread::spawn(move || {
            publish(&publisher, 0);
            publish(&publisher, 1);
            publisher.finish(Ok(1));
        });
        let mut out = Vec::new();
        let end = loop {
            match block_on(slow.next_batch(&mut out, 1)) {
                Ok(true) => {}
                end => break end,
            }
        };
        match end {
            Ok(_) => assert_eq!(out, [0, 1]),
            Err(error) => {
                assert_eq!(error.fields().detail.as_deref(), Some("lagged"));
                assert!(out.is_empty());
            }
        }
        assert_eq!(block_on(fast.result()).unwrap(), 1);
        working.join().unwrap();
    });
}

#[test]
fn after_shutdown_has_resolved_no_flight_is_at_work_and_none_starts() {
    check(|| {
        let api = flights(8, 8);
        let (first, publisher) = start(&api, Want::Result);
        let caller = {
            let api = api.clone();
            thread::spawn(move || match api.start_private(Want::Result, None) {
                Ok((_subscriber, publisher)) => publisher.finish(Ok(1)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ShuttingDown),
            })
        };
        let ending = thread::spawn(move || publisher.finish(Ok(1)));
        block_on(api.shutdown());
        assert_eq!(api.stats().active_flights, 0);
        assert!(api.home.shard(&KEY).lock().is_empty());
        assert!(api.join(KEY, Want::Result, None).is_err());
        caller.join().unwrap();
        ending.join().unwrap();
        drop(first);
        is_over(&api);
    });
}

/// Makes the work a task: a thread of its own here.
fn spawn(orphan: Orphan<u32, u32>) {
    thread::spawn(move || block_on(orphan.run()));
}

/// Work that has to be polled twice before it ends.
fn work(publisher: Pub) -> helm::Work {
    let mut publisher = Some(publisher);
    let mut polled = false;
    Box::pin(std::future::poll_fn(move |cx| {
        if !std::mem::replace(&mut polled, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(publisher) = publisher.take() {
            publisher.finish(Ok(7));
        }
        Poll::Ready(())
    }))
}

/// Joins, or starts and does the work; gives the result.
fn take_part(api: &Api) -> u32 {
    let mut subscriber = match join(api, Want::Result) {
        Join::Joined(subscriber) => {
            if let Some(orphan) = subscriber.orphan() {
                spawn(orphan);
            }
            subscriber
        }
        Join::Started(mut subscriber, publisher) => {
            subscriber.steer(work(publisher), spawn);
            subscriber
        }
    };
    block_on(subscriber.result()).expect("the work ends well")
}

#[test]
fn work_that_a_second_caller_comes_to_depend_on_is_neither_lost_nor_stuck() {
    check(|| {
        let api = flights(8, 8);
        let other = {
            let api = api.clone();
            thread::spawn(move || assert_eq!(take_part(&api), 7))
        };
        assert_eq!(take_part(&api), 7);
        other.join().expect("no panic");
    });
}

#[test]
fn who_started_the_work_and_leaves_takes_it_along_only_if_nobody_else_waits() {
    check(|| {
        let api = flights(8, 8);
        let (mut starter, publisher) = start(&api, Want::Result);
        starter.steer(work(publisher), spawn);
        let other = {
            let api = api.clone();
            thread::spawn(move || assert_eq!(take_part(&api), 7))
        };
        drop(starter);
        other.join().expect("no panic");
    });
}
