//! Counting, closing, and what is left.

use super::*;

#[test]
fn the_counters_tell_flights_joins_cancellations_and_who_is_there_now() {
    let api = flights();
    let (first, publisher) = start(&api);
    let second = joined(&api);
    let (private, _private_publisher) = api.start_private(Want::Result, None).unwrap();
    let expected = Stats {
        flights_started: 2,
        joined: 1,
        active_flights: 2,
        active_waiters: 3,
        ..Stats::default()
    };
    assert_eq!(api.clone().stats(), expected);
    drop(private);
    publisher.finish(Ok("answer"));
    drop((first, second));
    let expected = Stats {
        flights_started: 2,
        joined: 1,
        cancelled: 1,
        active_flights: 1,
        ..Stats::default()
    };
    assert_eq!(api.stats(), expected);
}

#[test]
fn idle_waits_for_every_publisher_cancelled_ones_included() {
    let api = flights();
    now(api.idle());
    let (first, publisher) = start(&api);
    let (bell, waker) = Bell::new();
    let mut cx = Context::from_waker(&waker);
    let mut idle = api.idle();
    assert!(Pin::new(&mut idle).poll(&mut cx).is_pending());
    drop(first);
    assert!(
        Pin::new(&mut idle).poll(&mut cx).is_pending(),
        "its task still cleans up"
    );
    drop(publisher);
    assert_eq!(bell.rings(), 1);
    assert!(Pin::new(&mut idle).poll(&mut cx).is_ready());
}

#[test]
fn after_shutdown_nothing_starts_while_flights_under_way_go_on_and_can_be_joined() {
    let api = flights();
    let (mut first, publisher) = start(&api);
    let mut closed = api.shutdown();
    let mut second = joined(&api);
    let refused = api.join([2; 32], Want::Events, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ShuttingDown);
    let refused = api.start_private(Want::Events, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ShuttingDown);
    assert!(poll(&mut closed).is_pending());
    publisher.finish(Ok("answer"));
    assert!(poll(&mut closed).is_ready());
    assert_eq!(now(first.result()).unwrap(), "answer");
    assert_eq!(now(second.result()).unwrap(), "answer");
}

#[test]
fn the_futures_can_be_sent_to_another_thread() {
    fn send<T: Send>(_: &T) {}
    let api = flights();
    let (mut subscriber, publisher) = start(&api);
    send(&api);
    send(&subscriber.next_batch(&mut Vec::new(), 1));
    send(&subscriber.result());
    send(&publisher.publish(1, 1));
    send(&publisher.cancelled());
    send(&publisher);
    send(&api.idle());
}

#[test]
fn nothing_is_left_in_memory_when_all_is_over() {
    let token = Arc::new(());
    let api: Flights<Arc<()>, Arc<()>> = Flights::new(Limits::default());
    for finish in [true, false] {
        let Ok(Join::Started(subscriber, publisher)) = api.join(KEY, Want::Events, None) else {
            panic!("a new flight");
        };
        assert_eq!(now(publisher.publish(Arc::clone(&token), 1)), Ok(()));
        if finish {
            publisher.finish(Ok(Arc::clone(&token)));
            drop(subscriber);
        } else {
            drop(subscriber);
            drop(publisher);
        }
        assert_eq!(Arc::strong_count(&token), 1);
    }
}
