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
fn a_caller_may_change_its_deadline() {
    let api = flights();
    let Ok(Join::Started(mut first, publisher)) = api.join(KEY, Want::Events, seconds(5)) else {
        panic!("a new flight");
    };
    let _second = join_until(&api, seconds(7));
    first.set_deadline(None);
    assert_eq!(publisher.latest_deadline(), None);
    first.set_deadline(seconds(1));
    assert_eq!(publisher.latest_deadline(), seconds(7));
    drop(first);
    assert_eq!(publisher.latest_deadline(), seconds(7));
}
