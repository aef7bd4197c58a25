//! The bucket under every order of its threads' steps (`RUSTFLAGS="--cfg ossai_loom"`).

use loom::thread;

use super::*;

fn small(capacity: u32) -> Bucket {
    let settings = QuotaSettings {
        capacity,
        transient: 2,
        throttle: 1,
        max_buckets: 1,
    };
    RetryQuota::new(settings).bucket("a", None)
}

#[test]
fn two_threads_never_spend_the_same_tokens() {
    loom::model(|| {
        let bucket = small(3);
        let other = bucket.clone();
        let thread = thread::spawn(move || other.take(false).map(Permit::sent).is_some());
        let here = bucket.take(false).map(Permit::sent).is_some();
        let there = thread.join().expect("no panic");
        assert!(here != there, "three tokens pay for one retry of two");
        assert_eq!(bucket.left(), 1);
    });
}

#[test]
fn a_cancelled_retry_returns_its_cost_whatever_others_do() {
    loom::model(|| {
        let bucket = small(4);
        let (a, b) = (bucket.clone(), bucket.clone());
        let cancels = thread::spawn(move || drop(a.take(false)));
        let succeeds = thread::spawn(move || {
            let spent = b.take(true).map(Permit::sent).expect("never short of it");
            b.retry_succeeded(spent);
        });
        let sent = bucket.take(true).map(Permit::sent).is_some();
        cancels.join().expect("no panic");
        succeeds.join().expect("no panic");
        assert_eq!(bucket.left(), 4 - u32::from(sent));
    });
}

#[test]
fn a_success_at_the_same_time_never_fills_a_bucket_beyond_full_nor_loses_a_cost() {
    loom::model(|| {
        let bucket = small(4);
        let other = bucket.clone();
        let thread = thread::spawn(move || other.first_try_succeeded());
        let spent = bucket.take(false).map(Permit::sent);
        thread.join().expect("no panic");
        assert!(spent.is_some());
        // Before the retry the success meets a full bucket and is void, after it it counts.
        assert!(bucket.left() == 2 || bucket.left() == 3);
    });
}
