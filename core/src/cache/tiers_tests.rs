use std::path::Path;

use super::*;
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

async fn find(tiers: &Arc<Tiers>, max_age: Option<u64>) -> Option<Found> {
    let trace = Recorder::default();
    tiers
        .find(Kind::Completion, &[KEY, KEY.as_stream()], max_age, &trace)
        .await
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
    tiers.keep(Kind::Completion, KEY, answer("Hi"), made, &keep());
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
    tiers.keep(Kind::Completion, KEY, answer("Hi"), made, &asked);
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
    let long = "x".repeat(4 << 20);
    for n in 0..20 {
        tiers.keep(
            Kind::Completion,
            Key([n; 32]),
            answer(&long),
            tiers.now(),
            &keep(),
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
