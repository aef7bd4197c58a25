//! What the store promises.
#![allow(clippy::unwrap_used)]

use ossai::{ErrorKind, NanoUsd, Usage};
use ossai_orchestrator::{Allowance, GroupBy, Store, UsageFilter, UsageRow, parse_time};
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("deep/data")).unwrap();
    (folder, store)
}

fn row(time: i64, tenant: &str, model: &str, cost: Option<u64>) -> UsageRow {
    UsageRow {
        time,
        tenant: tenant.into(),
        model: model.into(),
        provider: "p".into(),
        operation: "chat".into(),
        outcome: "ok".into(),
        usage: Usage {
            input_tokens: 10,
            output_tokens: 1,
            ..Usage::default()
        },
        cost: cost.map(NanoUsd),
        ..UsageRow::default()
    }
}

#[cfg(unix)]
#[test]
fn folder_and_files_are_for_their_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, store) = store();
    store.create_key("acme", "").unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.folder()), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(store.folder()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        files += 1;
    }
    assert!(files >= 2);
}

#[test]
fn a_key_is_shown_once_and_kept_nowhere() {
    let (_folder, store) = store();
    let created = store.create_key("acme", "ci").unwrap();
    let (id, rest) = created
        .key
        .strip_prefix("ossai_")
        .unwrap()
        .split_once('_')
        .unwrap();
    assert_eq!(
        (id, id.len(), rest.len()),
        (created.entry.id.as_str(), 16, 72)
    );
    assert!(!format!("{created:?}").contains(rest));
    let secret = &rest[..64];
    for entry in std::fs::read_dir(store.folder()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        );
    }
    let listed = store.list_keys().unwrap();
    assert_eq!(listed, [created.entry]);
    assert_ne!(store.create_key("acme", "ci").unwrap().key, created.key);
}

#[test]
fn keys_are_listed_and_revoked_by_id() {
    let (folder, store) = store();
    let first = store.create_key("acme", "one").unwrap().entry;
    let second = store.create_key("bolt", "two").unwrap().entry;
    // As another process would.
    let other = Store::open(&folder.path().join("deep/data")).unwrap();
    assert!(other.revoke_key(&first.id).unwrap());
    assert!(!store.revoke_key(&first.id).unwrap());
    let listed = store.list_keys().unwrap();
    assert!(listed[0].revoked.is_some() && listed[1] == second);
    assert_eq!(
        store.revoke_key("nothing").unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn tenants_and_names_are_checked() {
    let (_folder, store) = store();
    for tenant in ["", "a b", "a/b", "é", &"x".repeat(129)] {
        let error = store.create_key(tenant, "").unwrap_err();
        assert_eq!(error.fields().field.as_deref(), Some("tenant"));
    }
    assert!(store.create_key("A-z.0_9", "name").is_ok());
    assert_eq!(
        store
            .create_key("a", "x\ny")
            .unwrap_err()
            .fields()
            .field
            .as_deref(),
        Some("name")
    );
}

#[test]
fn usage_is_filtered_and_grouped() {
    let (_folder, store) = store();
    let day = |text: &str| parse_time("t", text).unwrap();
    let mut tagged = row(day("2026-11-21T10:30:00Z"), "acme", "p/a", Some(5));
    tagged.tags = [
        ("team".to_owned(), "blue".to_owned()),
        ("a\"b".to_owned(), "c".to_owned()),
    ]
    .into();
    let mut failed = row(day("2026-11-21T10:59:59Z"), "acme", "p/b", None);
    failed.outcome = "timeout".into();
    let mut hit = row(day("2026-12-01"), "acme", "p/a", Some(0));
    (hit.cache, hit.saved, hit.joined) = ("hit".into(), Some(NanoUsd(5)), 1);
    store
        .record(&[
            tagged,
            failed,
            hit,
            row(day("2026-11-21"), "bolt", "p/a", Some(7)),
        ])
        .unwrap();

    let acme = UsageFilter {
        tenant: Some("acme".into()),
        ..UsageFilter::default()
    };
    let all = store.query_usage(&acme, &[]).unwrap();
    assert_eq!(all.len(), 1);
    let sum = &all[0];
    assert_eq!(
        (
            sum.calls,
            sum.errors,
            sum.cache_hits,
            sum.joined,
            sum.unknown_cost_calls
        ),
        (3, 1, 1, 1, 1)
    );
    assert_eq!(
        (sum.cost, sum.saved, sum.usage.input_tokens),
        (NanoUsd(5), NanoUsd(5), 30)
    );

    let groups = |filter: &UsageFilter, by: &str| -> Vec<(String, u64)> {
        let by = GroupBy::from_name(by).unwrap();
        let sums = store.query_usage(filter, &[by]).unwrap();
        sums.into_iter()
            .map(|sum| (sum.groups[0].1.clone(), sum.calls))
            .collect()
    };
    let pairs = |list: &[(&str, u64)]| {
        list.iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        groups(&acme, "hour"),
        pairs(&[("2026-11-21T10:00:00Z", 2), ("2026-12-01T00:00:00Z", 1)])
    );
    assert_eq!(
        groups(&acme, "day"),
        pairs(&[("2026-11-21", 2), ("2026-12-01", 1)])
    );
    assert_eq!(
        groups(&acme, "month"),
        pairs(&[("2026-11", 2), ("2026-12", 1)])
    );
    assert_eq!(groups(&acme, "tag:team"), pairs(&[("", 2), ("blue", 1)]));
    assert_eq!(groups(&acme, "tag:a\"b"), pairs(&[("", 2), ("c", 1)]));
    assert_eq!(groups(&acme, "tag:' OR 1=1 --"), pairs(&[("", 3)]));
    assert_eq!(
        groups(&UsageFilter::default(), "tenant"),
        pairs(&[("acme", 3), ("bolt", 1)])
    );
    assert_eq!(
        groups(&acme, "outcome"),
        pairs(&[("ok", 2), ("timeout", 1)])
    );
    let since = UsageFilter {
        since: Some(day("2026-11-21T10:59:59Z")),
        until: Some(day("2026-12-01")),
        ..acme.clone()
    };
    assert_eq!(groups(&since, "model"), pairs(&[("p/b", 1)]));
    let page = UsageFilter {
        skip: 1,
        limit: Some(1),
        ..acme.clone()
    };
    assert_eq!(groups(&page, "model"), pairs(&[("p/b", 1)]));
    assert_eq!(
        store
            .query_usage(
                &UsageFilter {
                    tenant: Some("nobody".into()),
                    ..acme
                },
                &[]
            )
            .unwrap()[0]
            .calls,
        0
    );
    for word in ["", "colour", "tag:", "model; DROP TABLE usage"] {
        assert_eq!(
            GroupBy::from_name(word).unwrap_err().kind(),
            ErrorKind::InvalidRequest
        );
    }
}

#[test]
fn money_stays_exact_above_what_a_float_holds() {
    let (_folder, store) = store();
    let big = (1 << 60) + 1;
    store
        .record(&[row(0, "a", "p/a", Some(big)), row(0, "a", "p/a", Some(2))])
        .unwrap();
    assert_eq!(
        store.query_usage(&UsageFilter::default(), &[]).unwrap()[0].cost,
        NanoUsd(big + 2)
    );
}

#[test]
fn times_are_read_as_people_write_them_and_nothing_else_is() {
    for (text, seconds) in [
        ("0", 0),
        ("1795237262", 1_795_237_262),
        ("1970-01-01", 0),
        ("2000-02-29", 951_782_400),
        ("2026-11-21T05:01:02Z", 1_795_237_262),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ] {
        assert_eq!(parse_time("t", text).unwrap(), seconds * 1000, "{text}");
    }
    for text in [
        "",
        "-1",
        "now",
        "2026-02-29",
        "2026-13-01",
        "2026-1-1",
        "2026-11-21T24:00:00Z",
        "2026-11-21T05:01:02",
        "2026-11-21Z",
        "99999999999999",
    ] {
        assert!(parse_time("t", text).is_err(), "{text}");
    }
}

#[test]
fn a_folder_of_a_newer_version_is_left_alone() {
    let (folder, store) = store();
    let path = store.folder().join("ossai.db");
    drop(store);
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(&folder.path().join("deep/data")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(error.fields().message.contains("version 99"), "{error}");
}

#[test]
fn many_programs_can_open_a_fresh_folder_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let path = &path;
                scope.spawn(move || {
                    Store::open(path)
                        .unwrap()
                        .create_key(&format!("t{i}"), "")
                        .unwrap()
                        .entry
                        .id
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(
        Store::open(&path).unwrap().list_keys().unwrap().len(),
        keys.len()
    );
}

#[test]
fn the_next_versions_folder_still_works_during_an_update() {
    let (folder, store) = store();
    let path = store.folder().join("ossai.db");
    drop(store);
    let raw = rusqlite::Connection::open(&path).unwrap();
    let version: u32 = raw
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    raw.execute_batch("ALTER TABLE api_keys ADD COLUMN from_the_future TEXT")
        .unwrap();
    raw.pragma_update(None, "user_version", version + 1)
        .unwrap();
    let store = Store::open(&folder.path().join("deep/data")).unwrap();
    assert!(store.create_key("acme", "").is_ok());
    raw.pragma_update(None, "user_version", version + 2)
        .unwrap();
    assert!(Store::open(&folder.path().join("deep/data")).is_err());
}

#[test]
fn a_folder_of_the_version_before_gets_limits_and_keeps_its_keys() {
    let folder = TempDir::new().unwrap();
    let raw = rusqlite::Connection::open(folder.path().join("ossai.db")).unwrap();
    raw.execute_batch(
        "CREATE TABLE api_keys (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL,
            created INTEGER NOT NULL, revoked INTEGER) STRICT;
         INSERT INTO api_keys VALUES ('0123456789abcdef', 'acme', 'old', x'00', 5, NULL);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(raw);
    let store = Store::open(folder.path()).unwrap();
    let keys = store.list_keys().unwrap();
    assert_eq!((keys.len(), &*keys[0].name), (1, "old"));
    assert_eq!(keys[0].limits, Allowance::default());
    let limits = Allowance {
        requests_per_minute: Some(7),
        models: Some(vec!["local/*".into()]),
        ..Allowance::default()
    };
    let changed = store.limit_key("0123456789abcdef", &limits).unwrap();
    assert_eq!((&changed.limits, changed.created), (&limits, 5));
}

#[test]
fn what_is_done_to_keys_is_in_an_audit_log_nobody_can_change() {
    let (folder, store) = store();
    let store = store.acting_as("mira\n");
    let limits = Allowance {
        requests_per_minute: Some(60),
        ..Allowance::default()
    };
    let made = store.create_limited_key("acme", "search", &limits).unwrap();
    let id = made.entry.id.as_str();
    store.limit_key(id, &Allowance::default()).unwrap();
    let new = store
        .rotate_key(id, std::time::Duration::from_secs(60))
        .unwrap();
    assert!(store.revoke_key(id).unwrap());
    assert!(!store.revoke_key(id).unwrap());
    assert!(store.revoke_key("0000000000000000").is_err());
    let log = store.audit(100).unwrap();
    let actions: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "key_created",
            "limits_changed",
            "key_rotated",
            "key_revoked"
        ]
    );
    for entry in &log {
        assert_eq!(
            (&*entry.actor, entry.tenant.as_deref()),
            ("mira", Some("acme"))
        );
        assert_eq!(entry.key_id.as_deref(), Some(id));
        assert!(entry.time > 0);
    }
    assert_eq!(log[1].detail, "from [requests_per_minute=60] to []");
    assert!(log[2].detail.contains(&new.entry.id));
    assert_eq!(store.audit(1).unwrap()[0].action, "key_revoked");
    let text = serde_json::to_string(&log).unwrap();
    for key in [&made.key, &new.key] {
        let secret = key.rsplit('_').next().unwrap();
        assert!(!text.contains(secret));
    }
    let raw = rusqlite::Connection::open(folder.path().join("deep/data/ossai.db")).unwrap();
    for change in ["DELETE FROM audit", "UPDATE audit SET actor = 'nobody'"] {
        let error = raw.execute(change, []).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[test]
fn limits_that_cannot_be_kept_are_refused_by_name() {
    let (_folder, store) = store();
    let wrong = [
        (
            Allowance {
                requests_per_minute: Some(0),
                ..Allowance::default()
            },
            "limits.requests_per_minute",
        ),
        (
            Allowance {
                max_tokens: Some(u64::MAX),
                ..Allowance::default()
            },
            "limits.max_tokens",
        ),
        (
            Allowance {
                models: Some(vec![]),
                ..Allowance::default()
            },
            "limits.models",
        ),
        (
            Allowance {
                models: Some(vec!["a/b".into(), "gpt".into()]),
                ..Allowance::default()
            },
            "limits.models[1]",
        ),
        (
            Allowance {
                models: Some(vec!["a/*b".into()]),
                ..Allowance::default()
            },
            "limits.models[0]",
        ),
        (
            Allowance {
                models: Some(vec!["a/b,c/d".into()]),
                ..Allowance::default()
            },
            "limits.models[0]",
        ),
        (
            Allowance {
                models: Some(vec!["*/x".into()]),
                ..Allowance::default()
            },
            "limits.models[0]",
        ),
    ];
    for (limits, field) in wrong {
        let error = store.create_limited_key("acme", "", &limits).unwrap_err();
        assert_eq!(error.fields().field.as_deref(), Some(field));
    }
    assert!(store.list_keys().unwrap().is_empty());
}
