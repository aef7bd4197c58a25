//! The latest deadline of those who wait.

use super::*;

#[test]
fn a_flight_knows_the_latest_deadline_of_those_who_wait() {
    let api = flights();
    let Ok(Join::Started(first, publisher)) = api.join(KEY, Want::Events, seconds(5)) else {
        panic!("a new flight");
    };
    assert_eq!(publisher.latest_deadline(), seconds(5));
    let longer = join_until(&api, seconds(9));
    let shorter = join_until(&api, seconds(2));
    let alike = join_until(&api, seconds(9));
    assert_eq!(publisher.latest_deadline(), seconds(9));
    let unbounded = join_until(&api, None);
    assert_eq!(publisher.latest_deadline(), None);
    drop(unbounded);
    drop(longer);
    assert_eq!(publisher.latest_deadline(), seconds(9));
    drop(alike);
    assert_eq!(publisher.latest_deadline(), seconds(5));
    drop(first);
    assert_eq!(publisher.latest_deadline(), seconds(2));
    drop(shorter);
    assert_eq!(
        publisher.latest_deadline(),
        seconds(2),
        "it stays after cancellation"
    );
}

#[test]
fn the_flight_hears_of_a_later_deadline_and_of_the_longest_one_leaving() {
    let api = flights();
    let Ok(Join::Started(_first, publisher)) = api.join(KEY, Want::Events, seconds(5)) else {
        panic!("a new flight");
    };
    let (bell, waker) = Bell::new();
    let mut cx = Context::from_waker(&waker);
    let mut signal = pin!(publisher.signal(seconds(5)));
    assert!(signal.as_mut().poll(&mut cx).is_pending());
    let _shorter = join_until(&api, seconds(3));
    assert_eq!(bell.rings(), 0, "the latest is still the same");
    let longer = join_until(&api, seconds(8));
    assert_eq!(bell.rings(), 1);
    let told = Poll::Ready(Signal::Deadline(seconds(8)));
    assert_eq!(signal.as_mut().poll(&mut cx), told);
    let mut signal = pin!(publisher.signal(seconds(8)));
    assert!(signal.as_mut().poll(&mut cx).is_pending());
    drop(longer);
    assert_eq!(bell.rings(), 2);
    let told = Poll::Ready(Signal::Deadline(seconds(5)));
    assert_eq!(signal.as_mut().poll(&mut cx), told);
}

#[test]
fn who_waits_for_cancellation_only_is_not_woken_by_deadlines() {
    let api = flights();
    let Ok(Join::Started(_first, publisher)) = api.join(KEY, Want::Events, seconds(5)) else {
        panic!("a new flight");
    };
    let (bell, waker) = Bell::new();
    let mut cancelled = pin!(publisher.cancelled());
    assert!(
        cancelled
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let _longer = join_until(&api, seconds(8));
    assert_eq!(bell.rings(), 0);
}

#[test]
fn a_caller_may_change_its_deadline() {
    let api = flights();
    let Ok(Join::Started(mut first, publisher)) = api.join(KEY, Want::Events, seconds(5)) else {
        panic!("a new flight");
    };
    let _second = join_until(&api, seconds(7));
    let mut signal = publisher.signal(seconds(7));
    assert!(poll(&mut signal).is_pending());
    first.set_deadline(None);
    assert_eq!(poll(&mut signal), Poll::Ready(Signal::Deadline(None)));
    first.set_deadline(seconds(1));
    assert_eq!(publisher.latest_deadline(), seconds(7));
    drop(first);
    assert_eq!(publisher.latest_deadline(), seconds(7));
}
