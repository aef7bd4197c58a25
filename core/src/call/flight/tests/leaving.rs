//! Leaving a flight.

use super::*;

#[test]
fn leaving_neither_fails_nor_restarts_the_others_not_even_the_first_ones() {
    let api = flights();
    let (first, publisher) = start(&api);
    let mut second = joined(&api);
    drop(first);
    assert!(!publisher.is_cancelled());
    publish(&publisher, [7]);
    publisher.finish(Ok("answer"));
    assert_eq!(read(&mut second), [7]);
    assert_eq!(now(second.result()).unwrap(), "answer");
    assert_eq!(api.stats().flights_started, 1);
}

#[test]
fn the_last_one_leaving_cancels_the_flight_and_takes_its_entry_out() {
    let api = flights();
    let (first, publisher) = start(&api);
    let second = joined(&api);
    let (bell, waker) = Bell::new();
    let mut cancelled = pin!(publisher.cancelled());
    let mut cx = Context::from_waker(&waker);
    assert!(cancelled.as_mut().poll(&mut cx).is_pending());
    drop(first);
    assert_eq!(bell.rings(), 0);
    drop(second);
    assert_eq!(bell.rings(), 1);
    assert!(cancelled.as_mut().poll(&mut cx).is_ready());
    assert!(api.home.shard(&KEY).lock().is_empty());
}

#[test]
fn a_caller_who_comes_while_a_flight_is_being_cancelled_starts_a_new_one() {
    let api = flights();
    let (first, old) = start(&api);
    drop(first);
    let (mut second, new) = start(&api);
    old.finish(Ok("too late"));
    let mut third = joined(&api);
    new.finish(Ok("new"));
    assert_eq!(now(second.result()).unwrap(), "new");
    assert_eq!(now(third.result()).unwrap(), "new");
}

#[test]
fn an_old_flight_never_removes_the_entry_of_a_newer_one() {
    for vanish in [false, true] {
        let api = flights();
        let (first, old) = start(&api);
        drop(first);
        let (_second, _new) = start(&api);
        if vanish {
            drop(old);
        } else {
            old.finish(Ok("too late"));
        }
        joined(&api);
    }
}

#[test]
fn an_ended_flight_whose_entry_is_still_there_is_not_joined() {
    let api = flights();
    let (_first, old) = start(&api);
    let flight = sync::Arc::clone(old.flight());
    old.finish(Ok("done"));
    // As a caller sees it who comes between the two halves of the end.
    api.home
        .shard(&KEY)
        .lock()
        .insert(KEY, sync::Arc::clone(&flight));
    let (_second, _new) = start(&api);
    api.home.remove(&flight);
    joined(&api);
}

#[test]
fn a_publisher_of_a_cancelled_flight_is_told_so_at_every_turn() {
    let api = flights();
    let (only, publisher) = start(&api);
    drop(only);
    assert!(publisher.is_cancelled());
    assert_eq!(now(publisher.publish(1, 1)), Err(Cancelled));
    now(publisher.cancelled());
    assert_eq!(Error::from(Cancelled).kind(), ErrorKind::Cancelled);
}

#[test]
fn leaving_after_the_end_cancels_nothing() {
    let api = flights();
    let (only, publisher) = start(&api);
    publisher.finish(Ok("answer"));
    drop(only);
    assert_eq!(api.stats().cancelled, 0);
}
