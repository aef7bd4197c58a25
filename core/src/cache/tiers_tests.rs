use std::path::Path;

use super::*;
use crate::cache::marks;
use crate::cache::memory::Value;
use crate::types::{Answer, Completion};

fn config(path: &Path, more: &str) -> Config {
    let disk = format!(
        r#"{{"path": {:?}{more}}}"#,
        path.to_str().unwrap_or_default()
    );
    match Config::from_json(&format!(r#"{{"cache": {{"disk": {disk}}}}}"#)) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    }
}

fn answer(text: &str) -> Value {
    let completion = Completion::from(Answer {
        text: text.into(),
        ..Answer::default()
    });
    Value::Completion {
        completion: Arc::new(completion),
        events: None,
    }
}

fn keep() -> Keep {
    Keep {
        asked_ms: None,
        usual_ms: 60_000,
        stale_ms: 0,
        cost_ms: 5,
    }
}

const KEY: Key = Key([3; 32]);

const MODEL: &str = "openai/m";

fn scopes(tags: &[(&str, &str)]) -> Scopes {
    let tags = tags.iter();
    let tags = tags.map(|(name, value)| ((*name).into(), (*value).into()));
    Scopes::new(Some("acme"), MODEL, &tags.collect())
}

async fn find(tiers: &Arc<Tiers>, max_age: Option<u64>) -> Option<Found> {
    let (trace, keys, scopes) = (Recorder::default(), [KEY, KEY.as_stream()], scopes(&[]));
    let found = tiers.find(Kind::Completion, &keys, &scopes, max_age, &trace);
    found.await.0
}

#[tokio::test]
async fn clients_with_the_same_tiers_share_them_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let of = |more: &str| Tiers::of(&config(folder.path(), more)).ok().flatten();
    let (a, b, c) = (of(""), of(""), of(r#", "timeout_ms": 7"#));
    let (Some(a), Some(b), Some(c)) = (a, b, c) else {
        panic!("tiers");
    };
    assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
    let secret = |key: &str| of(&format!(r#", "key": "{key} {key} {key}""#));
    let (Some(d), Some(e)) = (secret("canary"), secret("parrot")) else {
        panic!("tiers");
    };
    assert!(!Arc::ptr_eq(&d, &e), "although neither secret can be shown");
    assert!(Tiers::of(&Config::default()).is_ok_and(|tiers| tiers.is_none()));
}

// proves: 2.11.tiers
#[tokio::test]
async fn a_tiers_own_time_counts_unless_the_call_names_one_and_what_remains_goes_up() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let config = config(folder.path(), r#", "ttl_ms": 300000"#);
    let Ok(Some(tiers)) = Tiers::of(&config) else {
        panic!("tiers");
    };
    let made = tiers.now() - 100_000;
    let seen = tiers.seen(&scopes(&[])).await;
    let label = || (None, &seen);
    tiers.keep(
        Kind::Completion,
        KEY,
        answer("Hi"),
        made,
        &keep(),
        label(),
        None,
    );
    tiers.flush().await;
    let Some(found) = find(&tiers, None).await else {
        panic!("an answer");
    };
    assert_eq!(found.tier, CacheTier::Disk);
    assert_eq!(found.times.fresh_until - found.times.created, 300_000);
    let left = found.times.left(tiers.now());
    assert!((199_000..=200_000).contains(&left), "{left}");
    let entry = crate::call::kept::promoted(&found.times, found.value, tiers.now(), 60_000);
    let entry = entry.at(Duration::from_secs(1_000));
    assert!(
        entry.is_fresh(Duration::from_secs(1_059)) && !entry.is_fresh(Duration::from_secs(1_061))
    );
    let asked = Keep {
        asked_ms: Some(150_000),
        ..keep()
    };
    tiers.keep(
        Kind::Completion,
        KEY,
        answer("Hi"),
        made,
        &asked,
        label(),
        None,
    );
    tiers.flush().await;
    let left = find(&tiers, None)
        .await
        .map(|found| found.times.left(tiers.now()));
    assert!(
        left.is_some_and(|left| (49_000..=50_000).contains(&left)),
        "{left:?}"
    );
    assert!(
        find(&tiers, Some(99_999)).await.is_none(),
        "older than this caller takes"
    );
    assert!(find(&tiers, Some(110_000)).await.is_some());
}

#[tokio::test]
async fn what_waits_to_be_written_is_bounded_and_dropped_beyond() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let config = config(folder.path(), "");
    let Ok(Some(tiers)) = Tiers::of(&config) else {
        panic!("tiers");
    };
    let seen = tiers.seen(&scopes(&[])).await;
    let long = "x".repeat(4 << 20);
    for n in 0..20 {
        tiers.keep(
            Kind::Completion,
            Key([n; 32]),
            answer(&long),
            tiers.now(),
            &keep(),
            (None, &seen),
            None,
        );
    }
    let dropped: u64 = tiers.stats().iter().map(|stats| stats.dropped).sum();
    assert!((12..=14).contains(&dropped), "{dropped}");
    tiers.flush().await;
    let stats = tiers.stats();
    assert_eq!(stats[0].stores + stats[0].dropped, 20);
}

#[test]
fn callers_who_would_not_take_a_kept_answer_fly_apart() {
    let key = [1; 32];
    assert_eq!(flight_key(key, true, None), key);
    let others = [
        flight_key(key, false, None),
        flight_key(key, true, Some(0)),
        flight_key(key, true, Some(1)),
        flight_key(key, false, Some(1)),
    ];
    for (i, other) in others.iter().enumerate() {
        assert_ne!(*other, key);
        assert!(!others[..i].contains(other));
    }
}

/// Keeps an answer of a call with these tags, asked for when the marks were `seen`.
async fn keep_one(tiers: &Arc<Tiers>, tags: &[(&str, &str)], seen: &Seen) {
    let (made, label) = (tiers.now(), (scopes(tags).tags, seen));
    tiers.keep(
        Kind::Completion,
        KEY,
        answer("Hi"),
        made,
        &keep(),
        label,
        None,
    );
    tiers.flush().await;
}

// proves: 2.11.invalidation
#[tokio::test]
async fn what_is_invalidated_is_not_found_and_what_is_not_is() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let Ok(Some(tiers)) = Tiers::of(&config(folder.path(), "")) else {
        panic!("tiers");
    };
    let (acme, tag) = (Some("acme"), &[("feature", "search")]);
    for (id, tags, hits) in [
        (marks::all(acme), &tag[..0], true),
        (marks::all(Some("other")), &tag[..0], false),
        (marks::model(acme, MODEL), &tag[..0], true),
        (marks::model(acme, "openai/other"), &tag[..0], false),
        (marks::tag(acme, "feature", "search"), tag, true),
        (marks::tag(acme, "feature", "chat"), tag, false),
        (marks::tag(acme, "feature", "search"), &tag[..0], false),
        (marks::tag(None, "feature", "search"), tag, false),
    ] {
        let seen = tiers.seen(&scopes(tags)).await;
        keep_one(&tiers, tags, &seen).await;
        assert!(find(&tiers, None).await.is_some(), "{tags:?}");
        let told = tiers.invalidate(&id, &scopes(&[])).await;
        let Ok((Some(any), of)) = told else {
            panic!("{told:?}");
        };
        assert_eq!(of, [CacheTier::Disk]);
        assert_ne!(seen.any, Some(any), "memories hear of it");
        assert_eq!(find(&tiers, None).await.is_none(), hits, "{tags:?}");
    }
}

// proves: 2.11.invalidation
#[tokio::test]
async fn an_answer_asked_for_before_an_invalidation_and_kept_after_it_never_counts() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    // Two sets of tiers over one folder, as two processes have them.
    let of = |more: &str| Tiers::of(&config(folder.path(), more)).ok().flatten();
    let (Some(one), Some(other)) = (of(""), of(r#", "timeout_ms": 999"#)) else {
        panic!("tiers");
    };
    for id in [marks::all(Some("acme")), marks::model(Some("acme"), MODEL)] {
        let seen = one.seen(&scopes(&[])).await;
        assert!(other.invalidate(&id, &scopes(&[])).await.is_ok());
        keep_one(&one, &[], &seen).await;
        assert!(find(&one, None).await.is_none() && find(&other, None).await.is_none());
        let seen = one.seen(&scopes(&[])).await;
        keep_one(&one, &[], &seen).await;
        assert!(find(&one, None).await.is_some() && find(&other, None).await.is_some());
    }
}

#[tokio::test]
async fn a_mark_that_is_no_mark_is_a_miss_and_nothing_is_kept_by_it() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let Ok(Some(tiers)) = Tiers::of(&config(folder.path(), "")) else {
        panic!("tiers");
    };
    let seen = tiers.seen(&scopes(&[])).await;
    keep_one(&tiers, &[], &seen).await;
    let id = u128::from_be_bytes(marks::all(Some("acme")));
    let mark = folder.path().join(format!("ossai-cache-1/marks/{id:032x}"));
    assert!(std::fs::write(mark, b"cut").is_ok());
    assert!(find(&tiers, None).await.is_none());
    assert_eq!(tiers.seen(&scopes(&[])).await, Seen::default());
    let again = tiers
        .invalidate(&marks::all(Some("acme")), &scopes(&[]))
        .await;
    assert!(again.is_ok() && find(&tiers, None).await.is_none());
}
