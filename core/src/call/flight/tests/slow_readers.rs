//! Back-pressure, and readers that fall behind.

use super::*;

#[test]
fn an_idle_reader_holds_the_publisher_at_the_window_and_reading_lets_it_go_on() {
    let api = small(65_536, 4);
    let (mut reader, publisher) = start(&api);
    let mut queue: std::collections::VecDeque<_> = (0..10).map(|event| (event, 1)).collect();
    let (bell, waker) = Bell::new();
    let mut publishing = publisher.publish_batch(&mut queue);
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut publishing).poll(&mut cx).is_pending());
    let mut out = Vec::new();
    assert!(now(reader.next_batch(&mut out, 1)).unwrap());
    assert_eq!(bell.rings(), 0, "one free place is not worth a wake-up");
    assert!(now(reader.next_batch(&mut out, 1)).unwrap());
    assert_eq!(bell.rings(), 1);
    assert!(Pin::new(&mut publishing).poll(&mut cx).is_pending());
    drop(publishing);
    assert_eq!(queue.len(), 4, "what did not fit stays in the queue");
    assert_eq!(read(&mut reader), (2..6).collect::<Vec<_>>());
}

#[test]
fn a_window_in_bytes_holds_the_publisher_too_but_never_a_lone_event() {
    let api: Api = Flights::new(Limits {
        window_bytes: 100,
        ..Limits::default()
    });
    let (mut reader, publisher) = start(&api);
    assert_eq!(now(publisher.publish(1, 1000)), Ok(()));
    assert!(waits(publisher.publish(2, 1)));
    assert_eq!(read(&mut reader), [1]);
    assert_eq!(now(publisher.publish(2, 60)), Ok(()));
    assert!(waits(publisher.publish(3, 60)));
}

#[test]
fn a_publisher_that_waits_for_room_hears_of_the_last_one_leaving() {
    let api = small(65_536, 1);
    let (reader, publisher) = start(&api);
    publish(&publisher, [1]);
    let (bell, waker) = Bell::new();
    let mut publishing = pin!(publisher.publish(2, 1));
    let mut cx = Context::from_waker(&waker);
    assert!(publishing.as_mut().poll(&mut cx).is_pending());
    drop(reader);
    assert_eq!(bell.rings(), 1);
    assert_eq!(
        publishing.as_mut().poll(&mut cx),
        Poll::Ready(Err(Cancelled))
    );
}

#[test]
fn asking_for_the_result_gives_up_unread_events_and_lets_the_publisher_go_on() {
    let api = small(65_536, 1);
    let (mut reader, publisher) = start(&api);
    publish(&publisher, [1]);
    let (bell, waker) = Bell::new();
    let mut publishing = Box::pin(publisher.publish(2, 1));
    let mut cx = Context::from_waker(&waker);
    assert!(publishing.as_mut().poll(&mut cx).is_pending());
    assert!(waits(reader.result()));
    assert_eq!(bell.rings(), 1);
    assert_eq!(publishing.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
    drop(publishing);
    publisher.finish(Ok("answer"));
    assert_eq!(now(reader.result()).unwrap(), "answer");
    assert!(!now(reader.next_batch(&mut Vec::new(), 1)).unwrap());
}

#[test]
fn a_reader_that_falls_behind_the_log_is_cut_off_and_holds_nobody() {
    let api = small(4, 4);
    let (mut fast, publisher) = start(&api);
    let mut slow = joined(&api);
    for event in 0..10 {
        publish(&publisher, [event]);
        assert_eq!(read(&mut fast), [event]);
    }
    for _ in 0..2 {
        let error = read_error(&mut slow);
        assert_eq!(error.kind(), ErrorKind::StreamInterrupted);
        assert_eq!(error.fields().detail.as_deref(), Some("lagged"));
    }
    assert_eq!(
        now(slow.result()).unwrap_err().kind(),
        ErrorKind::StreamInterrupted
    );
    assert_eq!(api.stats().lagged, 1);
    publisher.finish(Ok("answer"));
    assert_eq!(now(fast.result()).unwrap(), "answer");
}

#[test]
fn a_reader_cut_off_learns_it_from_the_result_too() {
    let api = small(1, 1);
    let (mut fast, publisher) = start(&api);
    let mut slow = joined(&api);
    publish(&publisher, [1]);
    read(&mut fast);
    publish(&publisher, [2]);
    let error = now(slow.result()).unwrap_err();
    assert_eq!(error.fields().detail.as_deref(), Some("lagged"));
}

#[test]
fn when_only_readers_cut_off_are_left_the_flight_is_cancelled() {
    let api = small(1, 1);
    let (mut fast, publisher) = start(&api);
    let mut slow = joined(&api);
    publish(&publisher, [1]);
    read(&mut fast);
    publish(&publisher, [2]);
    drop(fast);
    assert!(publisher.is_cancelled());
    let error = read_error(&mut slow);
    assert_eq!(error.fields().detail.as_deref(), Some("lagged"));
    assert_eq!(api.stats().cancelled, 1);
}

#[test]
fn a_deadline_of_a_reader_cut_off_counts_no_more_once_it_knows() {
    let api = small(1, 1);
    let Ok(Join::Started(mut fast, publisher)) = api.join(KEY, Want::Events, seconds(1)) else {
        panic!("a new flight");
    };
    let mut slow = join_until(&api, seconds(9));
    publish(&publisher, [1]);
    read(&mut fast);
    publish(&publisher, [2]);
    read_error(&mut slow);
    assert_eq!(publisher.latest_deadline(), seconds(1));
    slow.set_deadline(None);
    assert_eq!(publisher.latest_deadline(), seconds(1));
}

#[test]
fn when_the_fastest_leaves_the_next_one_holds_the_publisher_and_loses_nothing() {
    let api = small(8, 2);
    let (mut fast, publisher) = start(&api);
    let mut slow = joined(&api);
    for event in 0..6 {
        publish(&publisher, [event]);
        read(&mut fast);
    }
    drop(fast);
    assert!(waits(publisher.publish(6, 1)));
    assert_eq!(read(&mut slow), (0..6).collect::<Vec<_>>());
    assert_eq!(now(publisher.publish(6, 1)), Ok(()));
}

#[test]
fn who_comes_after_the_first_event_was_dropped_replaces_the_flight_that_goes_on_for_its_own() {
    let api = small(1, 1);
    let (mut first, old) = start(&api);
    publish(&old, [1]);
    read(&mut first);
    publish(&old, [2]);
    let (mut second, new) = start(&api);
    let mut third = joined(&api);
    publish(&new, [10]);
    assert_eq!((read(&mut second), read(&mut third)), (vec![10], vec![10]));
    assert_eq!(read(&mut first), [2]);
    old.finish(Ok("old"));
    assert_eq!(now(first.result()).unwrap(), "old");
    let mut fourth = joined(&api);
    new.finish(Ok("new"));
    assert_eq!(now(fourth.result()).unwrap(), "new");
}

#[test]
fn who_wants_the_result_only_joins_even_after_events_were_dropped() {
    let api = small(1, 1);
    let (mut first, publisher) = start(&api);
    publish(&publisher, [1]);
    read(&mut first);
    publish(&publisher, [2]);
    let (mut second, started) = join_as(&api, Want::Result);
    assert!(started.is_none());
    publisher.finish(Ok("answer"));
    assert_eq!(now(second.result()).unwrap(), "answer");
}
