//! Parked wakers.

use super::*;

#[test]
fn a_future_dropped_while_it_waits_leaves_no_waker_behind() {
    fn give_up<F: Future>(bell: &Arc<Bell>, waker: &Waker, future: F) {
        let mut future = Box::pin(future);
        let mut cx = Context::from_waker(waker);
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(Arc::strong_count(bell), 3, "parked");
        drop(future);
        assert_eq!(Arc::strong_count(bell), 2, "the bell and its waker here");
    }
    let api = small(65_536, 1);
    let (mut reader, publisher) = start(&api);
    let (bell, waker) = Bell::new();
    give_up(&bell, &waker, reader.next_batch(&mut Vec::new(), 1));
    publish(&publisher, [1]);
    give_up(&bell, &waker, publisher.publish(2, 1));
    give_up(&bell, &waker, reader.result());
    give_up(&bell, &waker, publisher.cancelled());
    give_up(&bell, &waker, api.idle());
    assert_eq!(bell.rings(), 0);
}

#[test]
fn a_subscriber_dropped_while_parked_leaves_no_waker_behind() {
    let api = flights();
    let (_first, publisher) = start(&api);
    let (bell, waker) = Bell::new();
    for want in [Want::Events, Want::Result] {
        let (mut other, _) = join_as(&api, want);
        let mut cx = Context::from_waker(&waker);
        assert!(other.poll_batch(&mut cx, &mut Vec::new(), 1).is_pending());
        drop(other);
    }
    assert_eq!(Arc::strong_count(&bell), 2);
    let state = publisher.flight().lock();
    assert_eq!((state.readers.parked(), state.finals.parked()), (0, 0));
}

#[test]
fn a_task_that_moves_gets_the_wake_up_where_it_is_now() {
    let api = flights();
    let (mut reader, publisher) = start(&api);
    let ((old, old_waker), (new, new_waker)) = (Bell::new(), Bell::new());
    for waker in [&old_waker, &new_waker] {
        let mut cx = Context::from_waker(waker);
        assert!(reader.poll_batch(&mut cx, &mut Vec::new(), 1).is_pending());
    }
    publish(&publisher, [1]);
    assert_eq!((old.rings(), new.rings()), (0, 1));
    assert_eq!(Arc::strong_count(&old), 2);
}

#[test]
fn a_waker_that_drops_a_subscriber_of_the_same_flight_does_no_harm() {
    struct Task(std::sync::Mutex<Option<Sub>>);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.lock().unwrap().take();
        }
    }
    let api = flights();
    let (mut parked, publisher) = start(&api);
    // The task's end is the other subscriber's end; it comes once by a wake-up and once by dropping the waker.
    for drop_it in [false, true] {
        let task = Arc::new(Task(std::sync::Mutex::new(Some(joined(&api)))));
        let waker = Waker::from(task);
        let mut cx = Context::from_waker(&waker);
        assert!(parked.poll_batch(&mut cx, &mut Vec::new(), 1).is_pending());
        drop(waker);
        if drop_it {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(parked.poll_batch(&mut cx, &mut Vec::new(), 1).is_pending());
        } else {
            publish(&publisher, [1]);
            read(&mut parked);
        }
        assert_eq!(publisher.flight().lock().log.served(), 1);
    }
}

#[test]
fn slots_of_parked_wakers_are_used_again() {
    let api = flights();
    let (_first, publisher) = start(&api);
    for _ in 0..1000 {
        let mut subscriber = joined(&api);
        assert!(waits(subscriber.next_batch(&mut Vec::new(), 1)));
    }
    let mut held: Vec<_> = (0..3).map(|_| joined(&api)).collect();
    for subscriber in &mut held {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(
            subscriber
                .poll_batch(&mut cx, &mut Vec::new(), 1)
                .is_pending()
        );
    }
    assert_eq!(publisher.flight().lock().readers.parked(), 3);
    let debug = format!("{:?}", publisher.flight().lock().readers);
    assert_eq!(debug.matches("Vacant").count(), 0, "three slots in all");
}

#[test]
fn ten_thousand_waiters_get_one_wake_up_and_one_result_each() {
    let api = flights();
    let (first, publisher) = start(&api);
    let (bell, waker) = Bell::new();
    let mut waiters: Vec<_> = (0..10_000).map(|_| joined(&api)).collect();
    let mut cx = Context::from_waker(&waker);
    for waiter in &mut waiters {
        assert!(waiter.poll_result(&mut cx).is_pending());
    }
    assert_eq!(api.stats().active_waiters, 10_001);
    publisher.finish(Ok("answer"));
    assert_eq!(bell.rings(), 10_000);
    for waiter in &mut waiters {
        assert_eq!(now(waiter.result()).unwrap(), "answer");
    }
    drop((first, waiters, waker));
    assert_eq!(Arc::strong_count(&bell), 1);
}
