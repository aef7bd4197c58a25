//! What retries cost and what comes back: a test for each rule.

use proptest::prelude::*;

use super::*;

fn bucket() -> Bucket {
    RetryQuota::new(QuotaSettings::default()).bucket("https://api.example:443", Some("t"))
}

fn drain(bucket: &Bucket) -> usize {
    std::iter::from_fn(|| bucket.take(false).map(Permit::sent)).count()
}

#[test]
fn thirty_five_retries_follow_one_another_and_then_one_per_fourteen_successes() {
    let bucket = bucket();
    assert_eq!(drain(&bucket), 35);
    assert_eq!(bucket.left(), 10);
    for _ in 0..3 {
        bucket.first_try_succeeded();
    }
    assert!(bucket.take(false).is_none(), "13 are not enough");
    bucket.first_try_succeeded();
    assert_eq!(drain(&bucket), 1);
    for _ in 0..14 {
        assert!(bucket.take(false).is_none());
        bucket.first_try_succeeded();
    }
    assert_eq!(drain(&bucket), 1);
}

#[test]
fn a_throttled_retry_costs_five() {
    let bucket = bucket();
    let spent: Vec<_> = std::iter::from_fn(|| bucket.take(true).map(Permit::sent)).collect();
    assert_eq!(spent.len(), 100);
    assert_eq!(bucket.left(), 0);
}

#[test]
fn a_success_after_retries_returns_the_last_cost_only() {
    let bucket = bucket();
    let _first = bucket.take(false).map(Permit::sent);
    let last = bucket.take(true).map(Permit::sent).expect("enough");
    assert_eq!(bucket.left(), 481);
    bucket.retry_succeeded(last);
    assert_eq!(bucket.left(), 486);
}

#[test]
fn a_failure_returns_nothing() {
    let bucket = bucket();
    let _ = bucket.take(false).map(Permit::sent);
    assert_eq!(bucket.left(), 486);
}

#[test]
fn a_retry_cancelled_before_it_is_sent_returns_its_cost() {
    let bucket = bucket();
    let permit = bucket.take(false);
    assert_eq!(bucket.left(), 486);
    drop(permit);
    assert_eq!(bucket.left(), 500);
}

#[test]
fn a_bucket_is_never_more_than_full() {
    let bucket = bucket();
    bucket.first_try_succeeded();
    assert_eq!(bucket.left(), 500);
    let spent = bucket.take(true).map(Permit::sent).expect("enough");
    for _ in 0..100 {
        bucket.first_try_succeeded();
        bucket.retry_succeeded(spent);
    }
    assert_eq!(bucket.left(), 500);
}

#[test]
fn each_origin_and_tenant_has_its_own_bucket() {
    let quota = RetryQuota::new(QuotaSettings::default());
    let a = quota.bucket("https://a:443", Some("t"));
    assert_eq!(drain(&a), 35);
    assert!(
        quota
            .bucket("https://a:443", Some("t"))
            .take(false)
            .is_none(),
        "the same one"
    );
    for (origin, tenant) in [
        ("https://b:443", Some("t")),
        ("https://a:443", None),
        ("https://a:443", Some("")),
    ] {
        assert_eq!(
            quota.bucket(origin, tenant).left(),
            500,
            "{origin} {tenant:?}"
        );
    }
}

#[test]
fn only_buckets_in_trouble_are_held_and_never_more_than_the_bound() {
    let quota = RetryQuota::new(QuotaSettings {
        max_buckets: 100,
        ..QuotaSettings::default()
    });
    let drained = quota.bucket("drained", None);
    drain(&drained);
    for tenant in 0..10_000 {
        let bucket = quota.bucket("a", Some(&tenant.to_string()));
        bucket.first_try_succeeded();
        let _ = bucket.take(true).map(Permit::sent);
        assert!(quota.buckets() <= 100);
    }
    assert_eq!(
        drained.left(),
        10,
        "a drained bucket outlives nearly full ones"
    );
    let quota = RetryQuota::new(QuotaSettings::default());
    drop(quota.bucket("a", None).take(false));
    assert_eq!(quota.buckets(), 0, "a full one is forgotten");
}

#[test]
fn a_capacity_of_zero_forbids_retries() {
    let quota = RetryQuota::new(QuotaSettings {
        capacity: 0,
        ..QuotaSettings::default()
    });
    assert!(quota.bucket("a", None).take(true).is_none());
    let free = RetryQuota::new(QuotaSettings {
        transient: 0,
        max_buckets: 0,
        ..QuotaSettings::default()
    });
    assert!(free.bucket("a", None).take(false).is_some());
}

proptest! {
    #[test]
    fn tokens_are_never_made_from_nothing(steps in proptest::collection::vec(0..5, 0..200)) {
        let bucket = bucket();
        let (mut expected, mut unsent, mut spent) = (500_u32, Vec::new(), Vec::new());
        for step in steps {
            match step {
                0 | 1 => match bucket.take(step == 1) {
                    Some(permit) => {
                        expected -= permit.cost;
                        unsent.push(permit);
                    }
                    None => prop_assert!(expected < 14),
                },
                2 => expected += unsent.pop().map_or(0, |permit| permit.cost),
                3 => spent.extend(unsent.pop().map(Permit::sent)),
                _ => {
                    if let Some(last) = spent.pop() {
                        bucket.retry_succeeded(last);
                        expected += last.0;
                    }
                }
            }
            prop_assert_eq!(bucket.left(), expected);
        }
    }
}
