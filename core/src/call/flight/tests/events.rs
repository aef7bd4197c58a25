//! Events: order, batches, wake-ups.

use super::*;

#[test]
fn a_late_joiner_gets_the_same_events_in_the_same_order() {
    let api = flights();
    let (mut first, publisher) = start(&api);
    publish(&publisher, 0..50);
    assert_eq!(read(&mut first).len(), 50);
    let mut late = joined(&api);
    publish(&publisher, 50..60);
    assert_eq!(read(&mut late), (0..60).collect::<Vec<_>>());
    assert_eq!(read(&mut first), (50..60).collect::<Vec<_>>());
}

#[test]
fn an_error_comes_after_the_events_before_it_to_each_reader_at_its_own_pace() {
    let api = flights();
    let (mut fast, publisher) = start(&api);
    let mut slow = joined(&api);
    publish(&publisher, [1, 2]);
    assert_eq!(read(&mut fast), [1, 2]);
    publisher.finish(Err(Error::new(ErrorKind::TransportInterrupted, "reset")));
    assert_eq!(
        read_error(&mut fast).kind(),
        ErrorKind::TransportInterrupted
    );
    assert_eq!(read(&mut slow), [1, 2]);
    assert_eq!(
        read_error(&mut slow).kind(),
        ErrorKind::TransportInterrupted
    );
    assert_eq!(
        now(slow.result()).unwrap_err().kind(),
        ErrorKind::TransportInterrupted
    );
}

#[test]
fn a_good_end_shows_after_the_last_event_and_again_when_asked_again() {
    let api = flights();
    let (mut subscriber, publisher) = start(&api);
    publish(&publisher, [1]);
    publisher.finish(Ok("answer"));
    assert_eq!(read(&mut subscriber), [1]);
    for _ in 0..2 {
        assert!(!now(subscriber.next_batch(&mut Vec::new(), 8)).unwrap());
        assert_eq!(now(subscriber.result()).unwrap(), "answer");
    }
}

#[test]
fn a_batch_is_read_in_pieces_of_the_size_asked_for() {
    let api = flights();
    let (mut subscriber, publisher) = start(&api);
    publish(&publisher, 0..5);
    let mut out = Vec::new();
    for (max, expected) in [(2, 2), (0, 3), (9, 5)] {
        assert!(now(subscriber.next_batch(&mut out, max)).unwrap());
        assert_eq!(out.len(), expected);
    }
    assert!(waits(subscriber.next_batch(&mut out, 1)));
}

#[test]
fn one_batch_wakes_each_parked_reader_once_and_nobody_else() {
    let api = flights();
    let (mut parked, publisher) = start(&api);
    let mut busy = joined(&api);
    let (bell, waker) = Bell::new();
    let (busy_bell, busy_waker) = Bell::new();
    let mut out = Vec::new();
    let mut cx = Context::from_waker(&waker);
    assert!(parked.poll_batch(&mut cx, &mut out, 9).is_pending());
    publish(&publisher, 0..100);
    assert_eq!(bell.rings(), 1);
    let mut busy_cx = Context::from_waker(&busy_waker);
    assert!(busy.poll_batch(&mut busy_cx, &mut out, 9).is_ready());
    publish(&publisher, 0..100);
    assert_eq!(
        (bell.rings(), busy_bell.rings()),
        (1, 0),
        "neither is parked"
    );
}

#[test]
fn who_wants_the_result_only_is_not_woken_by_events() {
    let api = flights();
    let (mut subscriber, publisher) = start(&api);
    let (bell, waker) = Bell::new();
    assert!(
        subscriber
            .poll_result(&mut Context::from_waker(&waker))
            .is_pending()
    );
    publish(&publisher, 0..100);
    assert_eq!(bell.rings(), 0);
    publisher.finish(Ok("answer"));
    assert_eq!(bell.rings(), 1);
}

#[test]
fn the_end_wakes_a_reader_that_waits_for_more() {
    let api = flights();
    for vanish in [false, true] {
        let (mut reader, publisher) = start(&api);
        let (bell, waker) = Bell::new();
        let mut cx = Context::from_waker(&waker);
        let mut out = Vec::new();
        assert!(reader.poll_batch(&mut cx, &mut out, 9).is_pending());
        if vanish {
            drop(publisher);
        } else {
            publisher.finish(Ok("answer"));
        }
        assert_eq!(bell.rings(), 1);
        assert!(reader.poll_batch(&mut cx, &mut out, 9).is_ready());
    }
}
