//! Joining a flight, and how it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn the_first_caller_starts_a_flight_and_the_next_ones_join_it() {
    let api = flights();
    let (first, publisher) = start(&api);
    let second = joined(&api);
    assert!(!first.joined() && second.joined());
    assert_eq!(publisher.flight().lock().log.served(), 2);
    let other = api.join([2; 32], Want::Events, None).unwrap();
    assert!(
        matches!(other, Join::Started(..)),
        "another key is another flight"
    );
}

#[test]
fn every_waiter_gets_the_one_result() {
    let api = flights();
    let (mut first, publisher) = start(&api);
    let mut second = joined(&api);
    assert!(waits(first.result()) && waits(second.result()));
    publisher.finish(Ok("answer"));
    assert_eq!(now(first.result()).unwrap(), "answer");
    assert_eq!(now(second.result()).unwrap(), "answer");
}

#[test]
fn a_private_flight_is_never_joined() {
    let api = flights();
    let (mut subscriber, publisher) = api.start_private(Want::Events, None).unwrap();
    let (_other, started) = join_as(&api, Want::Events);
    assert!(started.is_some());
    publish(&publisher, [1, 2]);
    publisher.finish(Ok("mine"));
    assert_eq!(read(&mut subscriber), [1, 2]);
    assert_eq!(now(subscriber.result()).unwrap(), "mine");
}

#[test]
fn a_finished_flight_is_over_for_newcomers_who_start_anew() {
    let api = flights();
    let (mut first, publisher) = start(&api);
    publisher.finish(Ok("one"));
    let (mut second, publisher) = start(&api);
    publisher.finish(Ok("two"));
    assert_eq!(now(first.result()).unwrap(), "one");
    assert_eq!(now(second.result()).unwrap(), "two");
    assert!(api.home.shard(&KEY).lock().is_empty());
}

#[test]
fn an_error_is_shared_with_all_waiters_and_never_kept() {
    let api = flights();
    let (mut first, publisher) = start(&api);
    let mut second = joined(&api);
    publisher.finish(Err(Error::new(ErrorKind::Overloaded, "busy")));
    for subscriber in [&mut first, &mut second] {
        assert_eq!(
            now(subscriber.result()).unwrap_err().kind(),
            ErrorKind::Overloaded
        );
    }
    let (mut third, publisher) = start(&api);
    publisher.finish(Ok("fine"));
    assert_eq!(now(third.result()).unwrap(), "fine");
}

#[test]
fn a_vanished_task_gives_every_waiter_internal_and_the_next_caller_starts_fresh() {
    let api = flights();
    let (mut first, publisher) = start(&api);
    let mut second = joined(&api);
    publish(&publisher, [1]);
    drop(publisher);
    assert_eq!(
        read(&mut first),
        [1],
        "what came before it is still delivered"
    );
    assert_eq!(read_error(&mut first).kind(), ErrorKind::Internal);
    assert_eq!(
        now(second.result()).unwrap_err().kind(),
        ErrorKind::Internal
    );
    start(&api);
}

#[test]
fn a_panicking_task_gives_every_waiter_internal() {
    let api = flights();
    let (mut subscriber, publisher) = start(&api);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _mine = publisher;
        panic!("as the test wants it");
    }));
    assert!(panicked.is_err());
    assert_eq!(
        now(subscriber.result()).unwrap_err().kind(),
        ErrorKind::Internal
    );
}

#[test]
fn a_panic_while_an_event_is_copied_hurts_nobody_else() {
    struct Fragile(Arc<AtomicUsize>);
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            assert!(self.0.fetch_add(1, SeqCst) > 0, "the first copy fails");
            Self(Arc::clone(&self.0))
        }
    }
    let api: Flights<Fragile, ()> = Flights::new(Limits::default());
    let Ok(Join::Started(mut first, publisher)) = api.join(KEY, Want::Events, None) else {
        panic!("a new flight");
    };
    let mut queue = [(Fragile(Arc::default()), 1)].into();
    assert_eq!(publisher.try_publish(&mut queue), Ok(true));
    let mut out = Vec::new();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        now(first.next_batch(&mut out, 1)).is_ok()
    }));
    assert!(failed.is_err());
    let Ok(Join::Joined(mut second)) = api.join(KEY, Want::Events, None) else {
        panic!("the flight is still under way");
    };
    assert!(now(second.next_batch(&mut Vec::new(), 1)).unwrap());
    assert!(now(first.next_batch(&mut Vec::new(), 1)).unwrap());
    publisher.finish(Ok(()));
    assert!(now(first.result()).is_ok() && now(second.result()).is_ok());
}
