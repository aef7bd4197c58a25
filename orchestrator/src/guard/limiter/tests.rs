use super::*;

fn caller(tenant: &str, key: &str, of_tenant: Allowance, of_key: Allowance) -> Identity {
    Identity {
        tenant: Arc::from(tenant),
        key_id: Some(Arc::from(key)),
        bounds: Arc::new(Bounds {
            tenant: of_tenant,
            key: of_key,
            counts: true,
            looks: true,
        }),
    }
}

fn requests(rate: u64) -> Allowance {
    Allowance {
        requests_per_minute: Some(rate),
        ..Allowance::default()
    }
}

fn tokens(rate: u64) -> Allowance {
    Allowance {
        tokens_per_minute: Some(rate),
        ..Allowance::default()
    }
}

fn places(most: u64) -> Allowance {
    Allowance {
        concurrency: Some(most),
        ..Allowance::default()
    }
}

fn refused(outcome: Result<Option<Seat>>) -> (String, u64) {
    let error = outcome.err().expect("it was let in");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    let fields = error.fields();
    (
        fields.field.clone().unwrap_or_default(),
        fields.retry_after_ms.unwrap_or_default(),
    )
}

#[test]
fn a_minutes_requests_may_come_at_once_and_then_at_their_rate() {
    let (limiter, start) = (Arc::new(Limiter::default()), Instant::now());
    let who = caller("a", "k", Allowance::default(), requests(60));
    for _ in 0..60 {
        assert!(limiter.admit(&who, start).is_ok());
    }
    assert_eq!(
        refused(limiter.admit(&who, start)),
        ("key.requests_per_minute".into(), 1000)
    );
    let almost = start + Duration::from_millis(999);
    assert_eq!(refused(limiter.admit(&who, almost)).1, 1);
    let then = start + Duration::from_secs(1);
    assert!(limiter.admit(&who, then).is_ok());
    assert_eq!(refused(limiter.admit(&who, then)).1, 1000);
}

#[test]
fn a_clock_that_stands_or_jumps_back_gives_nothing() {
    let (limiter, start) = (Arc::new(Limiter::default()), Instant::now());
    let who = caller("a", "k", requests(1), Allowance::default());
    let later = start + Duration::from_secs(100);
    assert!(limiter.admit(&who, later).is_ok());
    assert_eq!(
        refused(limiter.admit(&who, start)),
        ("tenant.requests_per_minute".into(), 60_000)
    );
}

#[test]
fn keys_of_a_tenant_share_its_bounds_and_have_their_own() {
    let (limiter, now) = (Arc::new(Limiter::default()), Instant::now());
    let one = caller("a", "1", requests(3), requests(2));
    let two = caller("a", "2", requests(3), requests(2));
    assert!(limiter.admit(&one, now).is_ok());
    assert!(limiter.admit(&one, now).is_ok());
    assert_eq!(
        refused(limiter.admit(&one, now)).0,
        "key.requests_per_minute"
    );
    assert!(limiter.admit(&two, now).is_ok());
    assert_eq!(
        refused(limiter.admit(&two, now)).0,
        "tenant.requests_per_minute"
    );
    let other = caller("b", "3", requests(3), requests(2));
    assert!(limiter.admit(&other, now).is_ok());
}

#[test]
fn a_refusal_takes_nothing_of_any_scope() {
    let (limiter, now) = (Arc::new(Limiter::default()), Instant::now());
    let narrow = caller("a", "1", requests(2), places(1));
    let seat = limiter.admit(&narrow, now).unwrap();
    for _ in 0..10 {
        assert_eq!(refused(limiter.admit(&narrow, now)).0, "key.concurrency");
    }
    drop(seat);
    assert!(
        limiter.admit(&narrow, now).is_ok(),
        "the tenant's rate was charged"
    );
}

#[test]
fn a_place_is_free_again_when_its_holder_is_dropped() {
    let (limiter, now) = (Arc::new(Limiter::default()), Instant::now());
    let who = caller("a", "k", places(2), Allowance::default());
    let first = limiter.admit(&who, now).unwrap();
    let _second = limiter.admit(&who, now).unwrap();
    assert_eq!(
        refused(limiter.admit(&who, now)),
        ("tenant.concurrency".into(), 1000)
    );
    drop(first);
    assert!(limiter.admit(&who, now).is_ok());
}

#[test]
fn tokens_are_reserved_and_settled_and_the_rest_comes_back() {
    let (limiter, now) = (Arc::new(Limiter::default()), Instant::now());
    let who = caller("a", "k", Allowance::default(), tokens(600));
    limiter.reserve(&who, 500, now).unwrap();
    let error = limiter.reserve(&who, 200, now).unwrap_err();
    assert_eq!(error.fields().retry_after_ms, Some(10_000));
    limiter.settle(&who, 500, 100);
    limiter.reserve(&who, 500, now).unwrap();
    // Used more than reserved: a debt that the rate works off before the next request is let in.
    limiter.settle(&who, 500, 1_100);
    assert_eq!(
        refused(limiter.admit(&who, now)),
        ("key.tokens_per_minute".into(), 60_100)
    );
    assert!(
        limiter
            .admit(&who, now + Duration::from_millis(60_100))
            .is_ok()
    );
}

#[test]
fn a_call_larger_than_a_minute_is_not_told_to_wait() {
    let limiter = Limiter::default();
    let who = caller("a", "k", tokens(100), Allowance::default());
    let error = limiter.reserve(&who, 101, Instant::now()).unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retriable()),
        (ErrorKind::RequestTooLarge, false)
    );
    assert_eq!(
        error.fields().field.as_deref(),
        Some("tenant.tokens_per_minute")
    );
}

#[test]
fn the_greatest_rates_and_amounts_do_not_overflow() {
    let (limiter, now) = (Arc::new(Limiter::default()), Instant::now());
    let who = caller("a", "k", tokens(u64::MAX), requests(u64::MAX));
    assert!(limiter.admit(&who, now).is_ok());
    limiter.reserve(&who, u64::MAX - 1, now).unwrap();
    limiter.settle(&who, u64::MAX - 1, u64::MAX);
    limiter.settle(&who, 0, u64::MAX);
    let years = now + Duration::from_secs(60 * 60 * 24 * 3650);
    assert!(limiter.admit(&who, years).is_ok());
}

#[test]
fn names_without_anything_to_remember_are_forgotten() {
    let (limiter, now) = (Arc::new(Limiter::default()), Instant::now());
    for i in 0..=TIDY {
        let who = caller(&format!("t{i}"), "k", requests(9), Allowance::default());
        drop(limiter.admit(&who, now).unwrap());
    }
    let later = now + Duration::from_secs(300);
    let who = caller("last", "k", requests(9), Allowance::default());
    drop(limiter.admit(&who, later).unwrap());
    assert_eq!(limiter.accounts().len(), 2);
}
